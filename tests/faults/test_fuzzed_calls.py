"""Calls that no sensible client makes: every one gets an answer that helps, and none harms."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import example, given, settings

from support.fuzzed_wire import TracedServer
from support.fuzzing import Sessions
from support.hostile_calls import SLOW, TOOLS, Call, calls, drawn
from support.projects import ACTION, Shelf

SETTINGS = settings(max_examples=400, derandomize=True, database=None, deadline=None, suppress_health_check=SLOW)


@pytest.fixture(scope="module")
def sessions(tmp_path_factory: pytest.TempPathFactory, shelf: Shelf) -> Iterator[Sessions]:
    with Sessions(tmp_path_factory.mktemp("fuzzed"), shelf) as made:
        yield made


@SETTINGS
@given(call=calls())
@example(call=Call("started", "write_eval", {"source": "\ud800"}))
@example(call=Call("started", "run_train", {"version": 1, "x" * 2_000_000: "\u202e\x1b[31m"}))
@example(call=Call("started", "start_loop", {"dataset_id": "x" * 2_000_000}))
@example(call=Call("analysed", "write_action", {"version": 1, **ACTION, "goal": "closer\u202e \x98to 0.5"}))
def test_every_call_at_every_phase_gets_an_answer_that_helps_and_none_harms(sessions: Sessions, call: Call) -> None:
    assert sessions.faults(call) == []


@pytest.mark.whole
def test_a_server_process_under_hostile_calls_lives_on_and_writes_nothing_outside_the_project(
    tmp_path: Path, shelf: Shelf
) -> None:
    made = drawn("started", 60)
    assert {call.tool for call in made} == {*TOOLS}
    assert TracedServer(tmp_path, shelf, "started").faults(made, seconds=60) == []


def test_a_write_outside_the_project_would_be_seen(tmp_path: Path, shelf: Shelf) -> None:
    server = TracedServer(tmp_path, shelf, "new")
    outside = tmp_path / "밖" / "written"
    outside.parent.mkdir()
    server.folder.edit("02_train_baseline.py", ("def fit():\n", f"def fit():\n    Path({str(outside)!r}).touch()\n"))
    made = [Call("new", "start_loop", {}), Call("new", "run_train", {"version": 1, "wait_seconds": 30})]
    assert server.faults(made, seconds=60) == [f"it changed {outside}"]
