"""Charts: round axes, what a version looks like in one, and diffs and Markdown in pages."""

import math
from itertools import pairwise

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from progressive_training.loop.evaluate.infer_samples import Sample, SampleFile
from progressive_training.loop.judge.best import best_of, best_so_far
from progressive_training.loop.judge.lineage import Point
from progressive_training.loop.project.receipts import Metric
from progressive_training.pages.charts.curves import Curve, curves_chart
from progressive_training.pages.charts.latency import latency_chart
from progressive_training.pages.charts.lineage import LineageInput, lineage_chart
from progressive_training.pages.charts.scale import number, scale, signed
from progressive_training.pages.charts.shapes import Chart, Mark
from progressive_training.pages.charts.strip import strip_chart
from progressive_training.pages.diffs import diff_lines
from progressive_training.pages.html import markdown, svg


def point(version: int, value: float | None, **more: object) -> Point:
    known: dict[str, object] = {"low": None, "high": None, "label": None, "change": "", "latency_ms": 1.0, **more}
    known["called"] = known["label"] or ""
    return Point(version, value, **known)  # type: ignore[arg-type]


def metrics(*values: float, higher: bool = True) -> dict[int, Metric]:
    return {cur: Metric(name="m", value=value, higher_is_better=higher) for cur, value in enumerate(values, 1)}


@pytest.mark.parametrize(
    ("low", "high", "told"),
    [
        (0.9, 1.0, ["0.90", "0.92", "0.94", "0.96", "0.98", "1.00"]),
        (0.89, 1.01, ["0.900", "0.925", "0.950", "0.975", "1.000"]),
        (0.0, 4.0, ["0", "1", "2", "3", "4"]),
        (-3.0, 12000.0, ["0", "2,500", "5,000", "7,500", "10,000"]),
        (0.00012, 0.00031, ["0.00015", "0.00020", "0.00025", "0.00030"]),
    ],
)
def test_axes_have_round_numbers_with_as_many_digits_as_they_need(low: float, high: float, told: list[str]) -> None:
    assert [text for _, text in scale((low, high), 0, 100, pad=0).ticks()] == told


def test_an_axis_of_epochs_has_whole_numbers_only() -> None:
    assert [text for _, text in scale((0, 2), 0, 100, pad=0).ticks(10, whole=True)] == ["0", "1", "2"]


@given(st.lists(st.floats(), max_size=5), st.sampled_from([0.0, 0.08]))
@example([2.0], 0.0)
@example([-1.7e308, 1.7e308], 0.08)
@example([0.0, 5e-324], 0.08)
def test_any_values_make_an_axis_and_lie_on_it(values: list[float], pad: float) -> None:
    made = scale(values, 0, 100, pad=pad)
    assert 1 <= len(made.ticks(7)) <= 8
    assert all(0 <= made(value) <= 100 for value in values if math.isfinite(value))


def test_numbers_are_told_with_what_a_reader_needs() -> None:
    assert [number(value) for value in (0.98148, 0.5, 12.3456, 1.0, 1e-5, -0.25)] == [
        *("0.9815", "0.5000", "12.35", "1", "1e-05", "-0.2500")
    ]
    assert (signed(0.0056), signed(-0.25)) == ("+0.0056", "−0.25")


def test_labels_differ_in_shape_and_not_in_colour_alone() -> None:
    outlines = [Mark(0, 0, kind, "").outline for kind in ("noise", "suggestive", "first", "unscored")]
    assert len(set(outlines)) == 4
    points = [point(1, 0.5), point(2, 0.6, label="significant"), point(3, 0.61, label="noise"), point(4, None)]
    chart = lineage_chart(LineageInput(points, {}, 2, "m"), 960, 400)
    assert [mark.kind for mark in chart.marks] == ["first", "significant", "noise", "unscored"]
    assert [mark.ringed for mark in chart.marks] == [False, True, False, False]
    assert "v002: m 0.6000, gain over its parent: significant, the best" in [mark.told for mark in chart.marks]


def test_an_interval_that_is_far_wider_than_the_differences_does_not_flatten_them() -> None:
    points = [point(1, 0.50), point(2, 0.60, low=-40.0, high=40.0, label="noise")]
    chart = lineage_chart(LineageInput(points, {}, 2, "m"), 960, 400)
    assert abs(chart.marks[0].y - chart.marks[1].y) > 60


def test_the_best_so_far_is_drawn_where_a_version_fell_short_of_it() -> None:
    rising, falling = metrics(0.5, 0.6, 0.7), metrics(0.5, 0.7, 0.6)
    assert dict(best_so_far(falling)) == {1: 0.5, 2: 0.7, 3: 0.7}
    for values, drawn in ((rising, False), (falling, True)):
        points = [point(cur, metric.value) for cur, metric in values.items()]
        chart = lineage_chart(LineageInput(points, best_so_far(values), 2, "m"), 960, 400)
        assert ("best" in [line.kind for line in chart.lines]) == drawn


def test_the_best_is_the_earlier_of_equals_in_the_metrics_own_direction() -> None:
    assert best_of(metrics(0.5, 0.7, 0.7)) == 2
    assert best_of(metrics(0.5, 0.4, 0.4, higher=False)) == 2
    assert best_of({}) is None


def test_names_of_curves_that_end_together_are_told_apart() -> None:
    curves = [Curve(f"v00{number}", (0, 1, 2), (), (1.0, 0.5, 0.1 + number / 1e4)) for number in range(1, 6)]
    chart = curves_chart(curves, 560, 360)
    ends = sorted(text.y for text in chart.texts if text.text.startswith("v00"))
    assert all(after - before >= 14 for before, after in pairwise(ends))
    assert ends[-1] < 360 - 40


def test_losses_that_are_no_numbers_are_left_out_of_the_curves() -> None:
    chart = curves_chart([Curve("v001", (0, 1, 2), (), (float("nan"), None, 0.5))], 560, 360)
    assert "v001 ends at 0.5" in chart.told
    assert curves_chart([], 560, 360).told == "No version has a validation loss."


def test_versions_that_no_other_beats_in_both_latency_and_metric_are_filled() -> None:
    points = [point(1, 0.5, latency_ms=1.0), point(2, 0.6, latency_ms=2.0), point(3, 0.55, latency_ms=3.0)]
    chart = latency_chart(points, "m", higher_is_better=True, width=560, height=360)
    assert [mark.kind for mark in chart.marks] == ["front", "front", "plain"]
    chart = latency_chart(points, "loss", higher_is_better=False, width=560, height=360)
    assert [mark.kind for mark in chart.marks] == ["front", "plain", "plain"]


def test_a_thousand_versions_are_one_thin_line() -> None:
    values = metrics(*(0.5 + (number % 7) / 100 for number in range(1000)))
    chart = strip_chart(values, (961, 1000), "m", 1000, 64)
    assert len(svg(chart)) < 20_000 and "1000 versions" in chart.told


def test_what_a_chart_says_is_escaped() -> None:
    chart = Chart(10, 10, '"><script>', "<b>", marks=(Mark(1, 1, "first", "<i>", href="/versions/1"),))
    assert "<script>" not in svg(chart) and "<b>" not in svg(chart) and "<i>" not in svg(chart)


def test_a_diff_is_numbered_and_coloured_on_both_sides() -> None:
    diff = "--- a/x.py\n+++ b/x.py\n@@ -3,3 +3,4 @@ def f():\n a = 1\n-b = 2\n+b = '3'\n+# new\n c = 4\n"
    lines = diff_lines(diff)
    assert [(line.kind, line.old, line.new) for line in lines] == [
        *(("hunk", None, None), ("same", 3, 3), ("del", 4, None), ("add", None, 4), ("add", None, 5), ("same", 5, 6))
    ]
    assert ["".join(span.text for span in line.spans) for line in lines[1:]] == [
        *("a = 1", "b = 2", "b = '3'", "# new", "c = 4")
    ]
    assert "s" in [span.kind for span in lines[3].spans] and "m" in [span.kind for span in lines[2].spans]
    assert lines[4].spans[0].kind == "c"


@pytest.mark.parametrize(
    "diff", ["", "no diff at all\n", "@@ -1 +1 @@\n", "@@ -1,2 +1,2 @@\n+'''\n-x\n", "--- a\n+++ b\n"]
)
def test_what_is_hardly_a_diff_is_no_error(diff: str) -> None:
    assert all(line.spans is not None for line in diff_lines(diff))


def test_lines_that_begin_like_file_names_stay_in_the_diff() -> None:
    lines = diff_lines("--- a/x.sql\n+++ b/x.sql\n@@ -1,2 +1,1 @@\n--- comment\n-- x\n keep\n")
    assert [line.kind for line in lines] == ["hunk", "del", "del", "same"]


def test_markdown_of_others_is_text_links_and_tables_and_nothing_else() -> None:
    html = markdown(
        "# A\n\n<script>x</script>\n\n[a](javascript:x) [b](https://e.example) ![c](https://e.example/c.png)\n\n"
        "| a | b |\n|:--|--:|\n| 1 | <b> |\n",
        below=2,
    )
    assert "<script" not in html and 'href="javascript' not in html and "<img" not in html and "style=" not in html
    assert "<h3>A</h3>" in html and '<a href="https://e.example" rel="noreferrer nofollow">' in html
    assert "<td>&lt;b&gt;</td>" in html


def test_a_sample_says_the_one_thing_that_matters_of_its_json() -> None:
    texts = {
        "output.json": '{"prediction": 4, "probabilities": [0.1]}',
        "gt.json": '{"target": "네"}',
        "input.txt": "plain <text>",
    }
    files = tuple(
        SampleFile(place, name, text, is_picture=False) for place, (name, text) in enumerate(texts.items(), 1)
    )
    sample = Sample(1, "0001", files)
    assert [sample.said(stem) for stem in ("output", "gt", "input", "viz")] == ["4", "네", "plain <text>", None]
