"""The report's documents from what the report knows: final-analysis.md (R6), report.html and its pictures."""

import base64
from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from ..loop.judge.tables import interval, label
from ..loop.project.project import Project
from ..loop.project.receipts import ReportReceipt
from ..loop.project.state import report_receipt
from ..loop.report import contents, report_folder
from ..loop.report.contents import EXPLAINED, Ranked, ReportData
from ..loop.report.pictures import Shown, shown
from ..loop.report.report_folder import ANALYSIS, DOCUMENT, PAGE, PICTURES, PICTURES_FOLDER
from ..loop.report.rescoring import Rescoring
from ..loop.store.paths import version_id
from ..loop.text import Language, Say, cell, english, words
from .charts.curves import Curve, curves_chart
from .charts.latency import latency_chart
from .charts.lineage import LineageInput, lineage_chart
from .charts.painting import INSTALL, can_paint, paint
from .charts.samples import Tile, samples_chart
from .charts.scale import number
from .charts.shapes import Chart
from .diffs import DiffLine, diff_lines
from .html import FOLDER, markdown, render_page, render_text

if TYPE_CHECKING:
    from markupsafe import Markup

NOISE_TOLD = (
    "A gain is {significant} when it would rarely come about by chance even though {looks} versions may be looked at on"
    " one validation set, {suggestive} when it would be rare for a single look, and {noise} otherwise."
)
BY_SCRIPT = (
    "By the script's own formula, as its validation_step logs it: {metrics}. The other numbers are by the server's"
    " formulas."
)
FIRST = "The loop's first version, made from the baseline under the user's rules."
EXTERNAL = "An external model of Models/external/, scored by the same 03_eval.py on the same samples."

_WIDTH = 960
_SUBTITLES = {
    "curves": "dashed: training loss of the best version",
    "latency": "filled: no other version is both quicker and better",
}


class _Row(NamedTuple):
    rank: int
    version_id: str
    origin: str
    values: dict[str, str]
    latency: str
    goal: str
    change: str
    symbols: str
    diff: str
    lines: tuple[DiffLine, ...]
    analysis: str
    interval: str
    label: str
    checkpoint: tuple[str, ...]
    actions: int
    kind: str | None


class _Rule(NamedTuple):
    rule: str
    value: str
    versions: str
    verdict: str


@dataclass(frozen=True)
class _View:
    dataset_id: str
    ended_by: str | None
    reason: str
    primary: str
    best: str | None
    warnings: tuple[str, ...]
    looks: int
    rows: tuple[_Row, ...]
    above: str
    rules: tuple[_Rule, ...]
    by_script: str
    leaks: str

    @property
    def top(self) -> tuple[_Row, ...]:
        return self.rows[:EXPLAINED]


@dataclass(frozen=True)
class _Sample:
    name: str
    uri: str
    alt: str
    output: str
    truth: str


@dataclass(frozen=True)
class Finished:
    """The report is there; `already_done` if it was before this call."""

    receipt: ReportReceipt
    already_done: bool


def finish(
    project: Project, analysis: str | None, stop_reason: str | None, awaited: Collection[str] = ()
) -> Rescoring | Finished:
    """One step towards the report with its documents; then what it still lacks, and the agent's analysis.

    Returns at once, and raises, as `contents.advance` does.
    """
    before = report_receipt(project)
    reached = contents.advance(project, stop_reason, awaited)
    if isinstance(reached, Rescoring):
        return reached
    if isinstance(reached, ReportReceipt):
        receipt, already_done = reached, True
        if can_paint() and report_folder.lacks_pictures(project, receipt):
            report_folder.add_pictures(project, receipt, *late_pictures(project))
    else:
        receipt, already_done = report_folder.publish(project, reached, report_files(project, reached)), False
        if before is not None and before.last_version == receipt.last_version:
            analysis = analysis or before.analysis  # it is made again, since files of it were gone
    if analysis and analysis.strip():
        receipt = report_folder.complete_analysis(project, analysis, analysis_html(analysis))
    return Finished(receipt, already_done)


def report_files(project: Project, data: ReportData) -> Mapping[str, bytes]:
    """Every file of a report that is made from a template or painted: path in its folder -> content.

    Pictures are left out where matplotlib is missing; the analysis then says how to get them. Raises `LoopError`.
    """
    found = shown(project)
    painted = pictures(found)
    language = project.rules().file.report_language
    return {
        DOCUMENT: final_analysis(data, embedded(found, painted, words(language)), words(language)).encode(),
        PAGE: report_page(project.workspace.root.name, data, found, language).encode(),
        **painted,
    }


def late_pictures(project: Project) -> tuple[Mapping[str, bytes], str]:
    """The pictures of a report that was made without, and the Markdown that embeds them; none if that fails again."""
    found = shown(project)
    painted = pictures(found)
    return painted, embedded(found, painted, words(project.rules().file.report_language))


def pictures(found: Shown) -> Mapping[str, bytes]:
    """The report's pictures as PNG; none where they can't be painted."""
    return paint(_pictures(found))


def embedded(found: Shown, painted: Mapping[str, bytes], say: Say) -> str:
    """The pictures as Markdown, or how to get them."""
    if painted:
        charts = _pictures(found, say)
        told = {name: _unbracketed(f"{charts[name].name}. {charts[name].told}") for name in painted}
        return "\n\n".join(f"![{told[name]}]({name})" for name in painted)
    command, install = "`progressive-training report`", f"`{INSTALL}`"
    again = say("{command} tries again").format(command=command)
    how = again if can_paint() else say("{install}, then {command}").format(install=install, command=command)
    told = say("No pictures were painted: {how}. The same charts are in {page}.")
    return told.format(how=how, page=f"[{PAGE}]({PAGE})")


def _unbracketed(text: str) -> str:
    """As what describes a picture in Markdown, which a bracket would end."""
    return text.replace("[", "(").replace("]", ")")


def final_analysis(data: ReportData, pictures: str, say: Say) -> str:
    """The whole document, with the place where the agent's analysis goes."""
    names = _names(data)
    return render_text(
        "final_analysis.md.j2",
        data=_view(data, names, _cell, say),
        names=names,
        pictures=pictures,
        _=say,
        noise_told=NOISE_TOLD,
        by_script=BY_SCRIPT,
        at=PICTURES,
        place=ANALYSIS,
    )


def report_page(name: str, data: ReportData, found: Shown, language: Language) -> str:
    """One page that needs nothing beside itself, and runs nothing."""
    from markupsafe import Markup

    names, say = _names(data), words(language)
    best = next((point.value for point in found.points if point.version == found.best), None)
    style = "".join((FOLDER / name).read_text(encoding="utf-8") for name in ("templates/base.css", "charts/charts.css"))
    return render_page(
        "report.html.j2",
        language=language,
        _=say,
        noise_told=NOISE_TOLD,
        by_script=BY_SCRIPT,
        name=name,
        data=_view(data, names, _line, say, coloured=True),
        names=names,
        best="" if best is None else number(best),
        lineage=_lineage(found, _WIDTH, say),
        narrow=_lineage(found, 380, say),
        charts=list(_more_charts(found, 560, say).values()),
        samples=_samples(found, say),
        # Ours, and not of a project.
        style=Markup(style),
        opened=Markup(ANALYSIS.opened),
        closed=Markup(ANALYSIS.closed),
    )


def analysis_html(analysis: str) -> "Markup":
    """The agent's analysis for the page."""
    return markdown(analysis, below=2)


def _names(data: ReportData) -> list[str]:
    return list(dict.fromkeys(name for row in data.rows for name, _, _ in row.metrics))


def _view(
    data: ReportData, names: list[str], shown_as: Callable[[str | None], str], say: Say, *, coloured: bool = False
) -> _View:
    rows = tuple(_row(row, names, shown_as, say, coloured=coloured) for row in data.rows)
    return _View(
        data.dataset_id,
        data.ended_by,
        data.reason.told(say),
        data.primary,
        data.best,
        tuple(warning.told(say) for warning in data.warnings),
        data.looks,
        rows,
        ", ".join(map(shown_as, data.above)),
        tuple(
            _Rule(cell(row.rule, 100), cell(row.value, 100), ", ".join(row.versions), cell(row.verdict.told(say), 600))
            for row in data.rules
        ),
        ", ".join(dict.fromkeys(shown_as(name) for row in data.rows for name in row.script_formulas)),
        cell(" ".join(one.told(say) for one in data.leaks), 2000),
    )


def _row(row: Ranked, names: list[str], shown_as: Callable[[str | None], str], say: Say, *, coloured: bool) -> _Row:
    values = {name: f"{value:.6g}" for name, value, _ in row.metrics}
    return _Row(
        rank=row.rank,
        version_id=shown_as(row.version_id),
        origin=EXTERNAL if row.external else FIRST,
        values={name: values.get(name, "") for name in names},
        latency="" if row.latency_ms is None else f"{row.latency_ms:.4g}",
        goal=shown_as(row.action),
        change=shown_as(row.change),
        symbols=", ".join(row.symbols),
        diff=row.diff,
        lines=diff_lines(row.diff) if coloured else (),
        analysis=_line(row.analysis),
        interval=interval(row.noise),
        label=shown_as(label(row.noise)),
        checkpoint=tuple(one.told(say) for one in row.checkpoint),
        actions=row.actions,
        kind=row.noise.label if row.noise else None,
    )


def _line(text: str | None) -> str:
    return " ".join((text or "").split())


def _cell(text: str | None) -> str:
    return _line(text).replace("|", "\\|")


def _lineage(found: Shown, width: int, say: Say = english) -> Chart:
    newest = found.points if width == _WIDTH else found.points[-8:]
    height = 400 if width == _WIDTH and len(newest) <= 6 else 320
    return lineage_chart(LineageInput(newest, found.best_so_far, found.best, found.primary), width, height, say)


def _more_charts(found: Shown, width: int, say: Say) -> dict[str, Chart]:
    charts: dict[str, Chart] = {}
    if found.curves:
        curves = [
            Curve(one.version_id, one.curves.epochs, one.curves.train_loss, one.curves.val_loss, strong=one.best)
            for one in found.curves
        ]
        charts["curves"] = curves_chart(curves, width, 360, say)
    if any(point.value is not None for point in found.points):
        charts["latency"] = latency_chart(
            found.points, found.primary, higher_is_better=found.higher_is_better, width=width, height=360, say=say
        )
    return charts


def _pictures(found: Shown, say: Say = english) -> Mapping[str, Chart]:
    """Path in the report -> the chart with its title; only in English it can be painted on every machine."""
    charts: dict[str, Chart] = {}
    if any(point.value is not None for point in found.points):
        told = "each version is one action away from the one before; bar: 95 % interval of the gain over the parent"
        charts["metric"] = _lineage(found, _WIDTH, say).titled(told)
    for name, chart in _more_charts(found, 760, say).items():
        charts[name] = chart.titled(_SUBTITLES[name])
    if found.samples and found.best is not None:
        tiles = [
            Tile(one.sample.name, one.png, _line(one.sample.said("output")), _line(one.sample.said("gt")))
            for one in found.samples
        ]
        charts["samples"] = samples_chart(tiles, version_id(found.best), 820, say).titled()
    return {f"{PICTURES_FOLDER}/{name}.png": chart for name, chart in charts.items()}


def _samples(found: Shown, say: Say) -> list[_Sample]:
    return [
        _Sample(
            name=one.sample.name,
            uri=f"data:image/png;base64,{base64.b64encode(one.png).decode()}",
            alt=say("Sample {name}").format(name=one.sample.name),
            output=one.sample.said("output") or "",
            truth=one.sample.said("gt") or "",
        )
        for one in found.samples
    ]
