"""A model's imperfect diff becomes the text that was meant, or is refused with what to do; never a wrong text."""

import importlib.util
import sys
from collections import Counter
from pathlib import Path
from types import ModuleType

import pytest

from progressive_training.loop.author.patch import Applied, apply_patch, parse_diff, unified_diff
from progressive_training.loop.errors import DiffError

SUPPORT = Path(__file__).resolve().parents[2] / "support"

SCRIPT = """\
import torch

LR = 0.1
EPOCHS = 3


def train(model, batches):
    for x, y in batches:
        loss = model(x, y)
        loss.backward()
        step()


def valid(model, batches):
    total = 0
    for x, y in batches:
        loss = model(x, y)
        total += loss
    return total
"""


def support(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, SUPPORT / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def apply(diff: str, text: str = SCRIPT) -> Applied:
    (patch,) = parse_diff(diff)
    return apply_patch(text, patch, name="02_train_v001.py")


def refusal(diff: str, text: str = SCRIPT) -> str:
    with pytest.raises(DiffError) as caught:
        apply(diff, text)
    return str(caught.value)


# --- the corpus ----------------------------------------------------------------------------------------------------


def test_of_300_spoilt_diffs_at_least_97_percent_apply_rightly_and_none_wrongly():
    corpus, scripts = support("diff_corpus"), support("training_scripts").SCRIPTS
    outcomes: Counter[str] = Counter()
    wrong: list[str] = []
    for case in corpus.corpus(300, seed=20, scripts=scripts):
        try:
            result = apply(case.diff, case.text)
        except DiffError:
            outcomes["refused" if case.determined else "refused rightly"] += 1
            continue
        if result.text != case.truth:
            wrong.append(f"{case.damage}\n{case.diff}")
        outcomes["right" if case.determined else "guessed"] += 1
        assert apply(result.diff, case.text).text == result.text
    assert not wrong, wrong[0]
    assert outcomes["right"] >= 0.97 * (outcomes["right"] + outcomes["refused"]), outcomes
    assert outcomes["refused rightly"] >= 20, outcomes


# --- reading -------------------------------------------------------------------------------------------------------


def test_a_correct_diff_gives_the_new_text_and_the_same_diff_back_without_notes():
    new = SCRIPT.replace("LR = 0.1", "LR = 0.01")
    diff = unified_diff(SCRIPT, new, name="02_train_v001.py")
    assert apply(diff) == Applied(new, diff, ())


def test_prose_bullets_and_fences_around_the_diff_are_not_part_of_it():
    hunk = "@@ @@\n LR = 0.1\n-EPOCHS = 3\n+EPOCHS = 5\n"
    assert apply(f"Lower it:\n\n- smoother\n+ faster\n\n```diff\n{hunk}```\n\n- done\n+ well\n").text == SCRIPT.replace(
        "EPOCHS = 3", "EPOCHS = 5"
    )


def test_a_closing_remark_with_bullets_is_dropped_when_the_counts_show_where_the_hunk_ends():
    diff = "@@ -3,2 +3,2 @@\n LR = 0.1\n-EPOCHS = 3\n+EPOCHS = 5\n\nWhat it does:\n- trains longer\n- nothing else\n"
    assert apply(diff).text == SCRIPT.replace("EPOCHS = 3", "EPOCHS = 5")


def test_removed_and_added_lines_that_look_like_file_headers_stay_in_the_hunk():
    text = 'Q = """\n-- old comment\nSELECT 1\n"""\nx = 1\n'
    diff = (
        "--- a/q.py\n+++ b/q.py\n@@ -1,3 +1,3 @@\n"
        ' Q = """\n--- old comment\n+++ new comment\n SELECT 1\n'
        '@@ -4,2 +4,2 @@\n """\n-x = 1\n+x = 2\n'
    )
    assert apply(diff, text).text == 'Q = """\n++ new comment\nSELECT 1\n"""\nx = 2\n'


def test_header_like_lines_at_a_hunks_end_stay_in_it():
    text = 'Q = """\n-- old comment\n"""\nx = 1\n'
    diff = '@@ -1,2 +1,2 @@\n Q = """\n--- old comment\n+++ new comment\n@@ -3,2 +3,2 @@\n """\n-x = 1\n+x = 2\n'
    assert apply(diff, text).text == 'Q = """\n++ new comment\n"""\nx = 2\n'


def test_hunks_of_one_file_are_gathered_though_the_header_is_repeated_and_other_files_are_kept_apart():
    one = "--- a/x.py\n+++ b/x.py\n@@ -1 +1 @@\n-a\n+b\n"
    other = "diff --git a/y.py b/y.py\nindex 1..2 100644\n--- a/y.py\n+++ b/y.py\n@@ -1 +1 @@\n-c\n+d\n"
    patches = parse_diff(one + other + one.replace("a\n+b", "e\n+f"))
    assert [(patch.path, len(patch.hunks)) for patch in patches] == [("x.py", 2), ("y.py", 1)]


def test_a_diff_without_headers_names_no_file_and_one_between_versions_names_the_old_one():
    hunk = "@@ -1 +1 @@\n-a\n+b\n"
    assert parse_diff(hunk)[0].path is None
    assert parse_diff("--- a/02_train_v001.py\n+++ b/02_train_v002.py\n" + hunk)[0].path == "02_train_v001.py"


def test_a_fenced_diff_may_lack_every_header():
    assert apply("```diff\n LR = 0.1\n-EPOCHS = 3\n+EPOCHS = 5\n```").text == SCRIPT.replace("EPOCHS = 3", "EPOCHS = 5")


@pytest.mark.parametrize(
    ("diff", "reason"),
    [
        ("", "holds no hunk"),
        ("I would change nothing.", "holds no hunk"),
        ("@@ -1 +1 @@\n-a\0\n+b\n", "NUL"),
        ("@@ -1 +1 @@\n-a\n+" + "b" * 1_000_001, "larger than 1 MB"),
        ("@@ @@\n-a\n+b\n" * 501, "501 hunks"),
        ("--- /dev/null\n+++ b/x.py\n@@ -0,0 +1 @@\n+a\n", "creates"),
        ("--- a/x.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-a\n", "deletes"),
        ("diff --git a/x.py b/y.py\nsimilarity index 90%\nrename from x.py\nrename to y.py\n", "renames"),
        ("diff --git a/x.png b/x.png\nBinary files a/x.png and b/x.png differ\n", "binary"),
        ("<<<<<<< SEARCH\na\n>>>>>>> REPLACE\n", "block 1"),
        ("<<<<<<< SEARCH\na\n=======\nb\n=======\nc\n>>>>>>> REPLACE\n", "block 1"),
        ("```diff\n@@ @@\n-a\n+b\n```\n@@ @@\n-c\n+d\n", "outside"),
    ],
)
def test_what_is_no_text_change_of_a_script_is_refused_with_the_reason(diff: str, reason: str):
    with pytest.raises(DiffError, match=reason) as caught:
        parse_diff(diff)
    assert caught.value.hint


# --- finding -------------------------------------------------------------------------------------------------------

TWICE = "@@ @@\n     for x, y in batches:\n-        loss = model(x, y)\n+        loss = model(x, y).mean()\n"


def test_a_block_that_stands_twice_is_refused_with_both_places():
    message = refusal(TWICE)
    assert "hunk 1" in message and "8-9, 16-17" in message and "Next: add unchanged lines" in message


@pytest.mark.parametrize("shift", [-4, -1, 1, 5])
def test_a_number_that_points_exactly_at_one_of_two_places_decides_and_one_that_does_not_is_not_believed(shift: int):
    exact = apply(TWICE.replace("@@ @@", "@@ -16,2 +16,2 @@")).text
    assert exact.splitlines()[16] == "        loss = model(x, y).mean()"
    assert "ambiguous" in refusal(TWICE.replace("@@ @@", f"@@ -{16 + shift},2 +16,2 @@"))


def test_other_hunks_show_how_far_off_the_numbers_are():
    sure = "@@ -24,2 +24,2 @@\n         total += loss\n-    return total\n+    return float(total)\n"
    result = apply(TWICE.replace("@@ @@", "@@ -22,2 +22,2 @@") + sure)
    assert result.text.splitlines()[16] == "        loss = model(x, y).mean()"
    assert "hunk 2: found 6 lines further up" in result.notes


def test_search_replace_goes_through_the_same_locator():
    block = "02_train_v001.py\n<<<<<<< SEARCH\nLR = 0.1\nEPOCHS = 3\n=======\nLR = 0.1\nEPOCHS = 5\n>>>>>>> REPLACE\n"
    assert apply(block).text == SCRIPT.replace("EPOCHS = 3", "EPOCHS = 5")
    assert parse_diff(block)[0].path == "02_train_v001.py"
    assert "ambiguous" in refusal(block.replace("LR = 0.1\nEPOCHS = 3", "        loss = model(x, y)"))
    assert "no line `EPOCHS = 4`" in refusal(block.replace("EPOCHS = 3", "EPOCHS = 4"))


def test_a_dedented_hunk_is_re_indented_as_a_whole():
    result = apply("@@ @@\n loss.backward()\n-step()\n+if ready:\n+    step()\n")
    assert result.text == SCRIPT.replace("        step()", "        if ready:\n            step()")
    assert result.notes == ("hunk 1: re-indented",)


def test_tabs_for_blanks_are_translated_by_level():
    result = apply(
        "@@ @@\n\tfor x, y in batches:\n \t\tloss = model(x, y)\n-\t\ttotal += loss\n+\t\tif y:\n+\t\t\ttotal += loss\n"
    )
    assert result.text == SCRIPT.replace("        total += loss", "        if y:\n            total += loss")


def test_tabs_in_added_lines_alone_get_the_files_blanks():
    result = apply("@@ @@\n LR = 0.1\n+if LR:\n+\tprint(LR)\n EPOCHS = 3\n")
    assert result.text == SCRIPT.replace("LR = 0.1\n", "LR = 0.1\nif LR:\n    print(LR)\n")


def test_context_from_another_part_of_the_script_makes_a_lone_match_doubtful():
    removal = "@@ @@\n import torch\n LR = 0.1\n     for x, y in batches:\n-        loss.backward()\n"
    assert "not found" in refusal(removal)
    neighbours = "         loss = model(x, y)\n+        check(loss)\n         loss.backward()\n"
    assert "not found" in refusal("@@ @@\n     return total\n     for x, y in batches:\n" + neighbours)


def test_an_indentation_that_follows_no_rule_is_refused():
    message = refusal("@@ @@\n-  total += loss\n-     return total\n+  return total\n")
    assert "not found" in message and "   18 |         total += loss" in message


def test_context_lines_keep_the_files_own_blanks():
    text = "a = 1   \nb = 2\nc = 3\t\n"
    assert apply("@@ @@\n a = 1\n-b = 2\n+b = 4\n c = 3\n", text).text == "a = 1   \nb = 4\nc = 3\t\n"


def test_lost_markers_of_blank_and_indented_context_lines_are_understood():
    before = "@@ @@\n EPOCHS = 3\n\n\ndef train(model, batches):\n    for x, y in batches:\n"
    diff = before + "+        x = x / 255\n        loss = model(x, y)\n"
    new = SCRIPT.replace("    for x, y in batches:\n", "    for x, y in batches:\n        x = x / 255\n", 1)
    assert apply(diff).text == new


def test_misquoted_outer_context_is_shed_and_noted():
    diff = "@@ @@\n # settings of the run\n LR = 0.1\n-EPOCHS = 3\n+EPOCHS = 5\n \n"
    result = apply(diff)
    assert result.text == SCRIPT.replace("EPOCHS = 3", "EPOCHS = 5")
    assert result.notes == ("hunk 1: 1 context line did not match",)


def test_a_removed_line_that_is_misquoted_is_never_guessed():
    message = refusal("@@ -2,3 +2,3 @@\n \n LR = 0.1\n-EPOCHS = 4\n+EPOCHS = 5\n")
    assert "no line `EPOCHS = 4`" in message
    assert "    3 | LR = 0.1\n    4 | EPOCHS = 3" in message
    assert "copy 3 unchanged lines" in message


def test_an_insertion_between_lines_that_are_no_neighbours_is_refused():
    assert "not found" in refusal("@@ @@\n LR = 0.1\n+MOMENTUM = 0.9\n def train(model, batches):\n")


def test_blank_lines_alone_place_nothing():
    assert "blank lines only" in refusal("@@ -5,2 +5,3 @@\n \n+x = 1\n \n")


# --- insertions, ends and orders -----------------------------------------------------------------------------------


def test_lines_can_be_added_at_the_files_start_and_end():
    end = "@@ -18,2 +19,4 @@\n         total += loss\n     return total\n+\n+DONE = True\n"
    start = "@@ -1,2 +1,3 @@\n+# new\n import torch\n \n"
    assert apply(end + start).text == "# new\n" + SCRIPT + "\nDONE = True\n"


def test_an_insertion_without_context_needs_numbers_that_agree():
    assert apply("@@ -4,0 +5,1 @@\n+SEED = 1\n").text == SCRIPT.replace("EPOCHS = 3\n", "EPOCHS = 3\nSEED = 1\n")
    for header in ("@@ @@", "@@ -4,1 +5,1 @@", "@@ -4,0 +9,1 @@", "@@ -400,0 +401,1 @@"):
        assert "quotes no line next to them" in refusal(f"{header}\n+SEED = 1\n")


def test_hunks_may_be_listed_out_of_order():
    late = "@@ -18,2 +18,2 @@\n         total += loss\n-    return total\n+    return float(total)\n"
    early = "@@ -3,2 +3,2 @@\n LR = 0.1\n-EPOCHS = 3\n+EPOCHS = 5\n"
    assert apply(late + early).text == apply(early + late).text
    assert "EPOCHS = 5" in apply(late + early).text


@pytest.mark.parametrize(
    "second",
    [
        "@@ @@\n-EPOCHS = 3\n+EPOCHS = 7\n",
        "@@ @@\n LR = 0.1\n-EPOCHS = 3\n+EPOCHS = 5\n",
        "@@ @@\n-LR = 0.1\n-EPOCHS = 3\n",
    ],
)
def test_hunks_that_change_the_same_line_are_refused(second: str):
    message = refusal("@@ @@\n LR = 0.1\n-EPOCHS = 3\n+EPOCHS = 5\n" + second)
    assert "hunks 1 and 2 both change line" in message and "one hunk" in message


def test_two_insertions_at_one_point_have_no_order_and_are_refused():
    assert "both change line 4" in refusal("@@ @@\n LR = 0.1\n+A = 1\n@@ @@\n+B = 2\n EPOCHS = 3\n")


def test_nothing_is_applied_when_one_hunk_fails():
    with pytest.raises(DiffError, match="not found") as caught:
        apply("@@ @@\n LR = 0.1\n-EPOCHS = 3\n+EPOCHS = 5\n@@ @@\n-gone = 1\n+gone = 2\n")
    assert caught.value.where == "02_train_v001.py, hunk 2"


# --- line endings and the last newline -----------------------------------------------------------------------------


@pytest.mark.parametrize("ours", ["\n", "\r\n"])
@pytest.mark.parametrize("theirs", ["\n", "\r\n"])
def test_the_files_own_line_endings_are_kept(ours: str, theirs: str):
    diff = "@@ -3,2 +3,3 @@\n LR = 0.1\n-EPOCHS = 3\n+EPOCHS = 5\n+SEED = 1\n".replace("\n", theirs)
    result = apply(diff, SCRIPT.replace("\n", ours))
    assert result.text == SCRIPT.replace("EPOCHS = 3", "EPOCHS = 5\nSEED = 1").replace("\n", ours)
    assert apply(result.diff, SCRIPT.replace("\n", ours)).text == result.text


def test_only_a_line_feed_ends_a_line():
    text = "a = '\x0c'\nb = '\u2028'\nc = 1\n"
    assert apply("@@ @@\n b = '\u2028'\n-c = 1\n+c = 2\n", text).text == text.replace("c = 1", "c = 2")


def test_a_file_without_a_last_newline_keeps_its_habit():
    text = SCRIPT.removesuffix("\n")
    diff = "@@ @@\n         total += loss\n-    return total\n+    return float(total)\n"
    assert apply(diff, text).text == text.replace("return total", "return float(total)")
    assert apply("@@ @@\n         total += loss\n     return total\n+# end\n", text).text == text + "\n# end"


def test_an_explicit_marker_adds_or_drops_the_last_newline():
    marker = "\\ No newline at end of file\n"
    gain = f"@@ -2 +2 @@\n-b\n{marker}+b\n"
    lose = f"@@ -2 +2 @@\n-b\n+b\n{marker}"
    assert apply(gain, "a\nb").text == "a\nb\n"
    assert apply(lose, "a\nb\n").text == "a\nb"
    assert unified_diff("a\nb", "a\nb\n", name="x.py").endswith(f"-b\n{marker}+b\n")


def test_an_empty_file_can_be_filled():
    assert apply("@@ -0,0 +1,2 @@\n+a\n+b\n", "").text == "a\nb\n"


# --- nothing to do -------------------------------------------------------------------------------------------------


def test_a_diff_whose_result_is_the_old_text_changes_nothing():
    assert "changes nothing" in refusal("@@ @@\n LR = 0.1\n-EPOCHS = 3\n+EPOCHS = 3\n")
    assert "changes nothing" in refusal("@@ @@\n LR = 0.1\n EPOCHS = 3\n")


def test_a_diff_that_was_applied_before_is_told_so():
    change = "@@ @@\n LR = 0.1\n-EPOCHS = 3\n+EPOCHS = 5\n"
    diff = change + "@@ @@\n         loss.backward()\n+        clip()\n         step()\n"
    assert "the diff is already applied" in refusal(diff, apply(diff).text)
    half = SCRIPT.replace("EPOCHS = 3", "EPOCHS = 5")
    assert "already applied: hunk 1;" in refusal(diff, half)


def test_an_addition_at_the_end_is_not_made_twice():
    diff = "@@ @@\n         total += loss\n     return total\n+\n+DONE = True\n"
    assert "already applied" in refusal(diff, apply(diff).text)


def test_the_same_line_may_be_added_again_between_quoted_neighbours():
    text = "a()\nlayer()\nb()\n"
    assert apply("@@ @@\n a()\n layer()\n+layer()\n b()\n", text).text == "a()\nlayer()\nlayer()\nb()\n"


def test_a_line_number_that_means_a_differently_indented_twin_makes_an_exact_match_doubtful():
    text = "if a:\n    x = 1\n    y = 2\nz = 0\nw = 0\nv = 0\nif b:\n    if c:\n        x = 1\n        y = 2\n"
    hunk = "\n-    x = 1\n+    x = 3\n     y = 2\n"
    assert apply("@@ -2,2 +2,2 @@" + hunk, text).text == text.replace("    x = 1", "    x = 3", 1)
    assert apply("@@ @@" + hunk, text).text == text.replace("    x = 1", "    x = 3", 1)
    assert "2-3, 9-10" in refusal("@@ -9,2 +9,2 @@" + hunk, text)


def test_a_large_diff_against_a_repetitive_script_is_refused_as_ambiguous():
    text = "x = 1\n" * 3000
    assert "ambiguous" in refusal("@@ @@\n" + " x = 1\n" * 200 + "-x = 1\n+x = 2\n", text)
