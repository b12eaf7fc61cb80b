"""Each mutating Step, stopped at its writes: then the state is the one before or the one after, and the loop ends.

Here a sample of the writes, the same one each time; `make soak` goes through every one of them.
"""

from collections.abc import Callable

import pytest

from support.faults.cases import CASES, Case
from support.faults.injection import Fault
from support.faults.sweep import Bench, Trial, spread

_BY_NAME = {case.name: case for case in CASES}
_SAMPLE = 5


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
@pytest.mark.whole(but="write_action")
def test_a_step_that_is_stopped_at_a_write_leaves_the_state_before_or_after(
    bench: Callable[[Fault], Bench], case: Case
) -> None:
    reference = bench("SIGKILL").reference(case)
    points = spread(reference.points, _SAMPLE)
    faults: tuple[Fault, ...] = ("SIGKILL", "ENOSPC", "SIGKILL", "EIO", "EROFS")
    trials = list[Trial]()
    for point, fault in zip(points, faults, strict=True):
        # A run may have a call less of a kind (a picture that wasn't painted in time): then it is made once more.
        trial = bench(fault).trial(case, reference, point)
        trials.append(trial if trial.hit else bench(fault).trial(case, reference, point))
    assert all(trial.hit for trial in trials), "the fault came where it was meant to"
    assert [f"{trial.point}: {problem}" for trial in trials for problem in trial.problems] == []


@pytest.mark.parametrize(
    ("broken", "name", "call", "where"),
    [
        ("write_in_place", "write_analysis", "write", "analysis.json"),
        # Not by author_next_version: what is left of a script without its receipt is put aside, and does no harm.
        ("create_without_exclusion", "start_loop", "write", "02_train_v001.py"),
        ("no_intent", "final_report", "renameat", ""),
        ("records_before_files", "author_next_version", "renameat", "02_train_v002.py"),
        ("receipt_before_document", "write_analysis", "renameat", "result-analysis.md"),
        ("no_recovery", "author_next_version", "renameat", "authored"),
        ("moved_before_the_intent", "final_report", "renameat", "/staging>"),
        ("staging_is_kept", "accept_rules", "fsync", ".staging-"),
        ("journal_without_torn_tails", "write_action", "write", "journal.jsonl"),
    ],
)
@pytest.mark.whole(but="write_in_place-write_analysis-write-analysis.json")
def test_a_protocol_that_is_broken_on_purpose_is_caught(
    bench: Callable[[Fault], Bench], broken: str, name: str, call: str, where: str
) -> None:
    killing, case = bench("SIGKILL"), _BY_NAME[name]
    reference = killing.reference(case, broken=broken)
    points = [point for point in reference.points if point.call == call and where in point.text]
    assert points, "the broken Step writes there"
    assert any(killing.trial(case, reference, point, broken=broken).problems for point in reversed(points))


def test_a_journal_line_that_a_kill_tears_costs_no_other_line(bench: Callable[[Fault], Bench]) -> None:
    killing = bench("SIGKILL")
    case = _BY_NAME["write_action"]
    reference = killing.reference(case, broken="journal_in_two_pieces")
    torn = [point for point in reference.points if point.call == "write" and "journal.jsonl" in point.text]
    assert len(torn) == 2, "the line is written in two pieces"
    assert [killing.trial(case, reference, point, broken="journal_in_two_pieces").problems for point in torn] == [
        (),
        (),
    ]
