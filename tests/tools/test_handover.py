"""The hand-over from build-baseline: one call of the command line, which may come again, and the hook of the docs."""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.e2e import Ran, cli, environment
from support.projects import Folder, add_dataset

CONTRACT = Path(__file__).resolve().parents[2] / "docs" / "contract.md"
SPEC = "Models/Artifacts/baseline/spec.json"
SMOKE_REPORT = "Models/Artifacts/baseline/_tests/baseline_smoke_test_report.md"


@pytest.fixture
def handed_over(folder: Folder) -> Folder:
    """A project as build-baseline leaves it."""
    folder.write(SPEC, json.dumps({"version": "baseline", "dataset_id": "v1"}))
    folder.write(SMOKE_REPORT, "# Baseline smoke test\n\n- status: PASS\n- optimal_batch_size: 8\n")
    return folder


def start(folder: Folder, *arguments: str) -> Ran:
    return cli(folder.root, "start", "--from-baseline", *arguments)


@pytest.mark.requirement("C6", "C8", "I1")
def test_one_call_takes_the_hand_over_and_says_the_next_step(handed_over: Folder) -> None:
    add_dataset(handed_over, "v2")
    handed_over.set_rules(dataset_config={"dataset_id": "v2"}, training_config={"batch_size": None})
    run = start(handed_over)
    assert (run.code, run.err) == (0, "")
    assert "The loop is started on data set v1 (from: build-baseline), at v001" in run.out, "it outranks the rules"
    assert "Next: progressive-training train" in run.out
    assert handed_over.path("02_train_v001.py").is_file()


@pytest.mark.requirement("C6", "C8")
def test_a_second_hand_over_changes_nothing_and_says_where_the_loop_stands(handed_over: Folder) -> None:
    assert start(handed_over, "--dataset-id", "v1").code == 0
    assert cli(handed_over.root, "train").code == 0
    before = handed_over.contents()
    for arguments in ((), ("--dataset-id", "v1")):
        again = start(handed_over, *arguments)
        assert (again.code, again.err) == (0, "")
        assert "was started already on data set v1 (from: build-baseline)" in again.out
        assert "Next: progressive-training eval (it is trained, and not yet scored)" in again.out
    assert start(handed_over, "--json").json["next"]["tool"] == "run_eval"
    assert handed_over.contents() == before


@pytest.mark.requirement("C6")
def test_a_later_hand_over_of_another_data_set_is_an_error_and_no_switch(handed_over: Folder) -> None:
    add_dataset(handed_over, "v2")
    assert start(handed_over).code == 0
    named = start(handed_over, "--dataset-id", "v2")
    handed_over.write(SPEC, json.dumps({"dataset_id": "v2"}))
    made_anew = start(handed_over)
    for run in (named, made_anew):
        assert (run.code, run.out) == (1, "")
        assert "this loop's dataset_id is 'v1' to its end, and 'v2' was asked for" in run.err


@pytest.mark.requirement("C6")
def test_a_hand_over_that_names_two_data_sets_is_refused(handed_over: Folder) -> None:
    add_dataset(handed_over, "v2")
    run = start(handed_over, "--dataset-id", "v2")
    assert (run.code, run.out) == (1, "")
    assert "trained on data set 'v1', and 'v2' was handed over" in run.err and "\nNext: " in run.err
    assert not handed_over.path("02_train_v001.py").exists()


@pytest.mark.requirement("C6")
def test_without_a_data_set_in_the_spec_the_callers_counts_else_the_rules(handed_over: Folder) -> None:
    handed_over.write(SPEC, "{}")
    assert start(handed_over, "--json").json["message"].startswith("The loop is started on data set v1 (from: rules)")


@pytest.mark.requirement("I1")
@pytest.mark.parametrize(
    ("gone", "named"),
    [
        ((SPEC,), [SPEC]),
        ((SMOKE_REPORT,), [SMOKE_REPORT]),
        ((SPEC, SMOKE_REPORT, "02_train_baseline.py"), [SPEC, SMOKE_REPORT, "02_train_baseline.py"]),
        (("dataset/prepdata/v1/stats.json",), ["dataset/prepdata/v1/stats.json: is missing"]),
    ],
)
def test_everything_that_is_missing_is_named_and_nothing_is_started(
    handed_over: Folder, gone: tuple[str, ...], named: list[str]
) -> None:
    for name in gone:
        handed_over.path(name).unlink()
    run = start(handed_over)
    assert (run.code, run.out) == (1, "")
    assert all(name in run.err for name in named) and "\nNext: " in run.err
    assert not handed_over.path(".progressive-training/loop.json").exists()


@pytest.mark.parametrize("status", ["- status: FAIL", "| status | failed |", "**Status:** ERROR"])
def test_a_baseline_whose_smoke_test_failed_is_not_taken(handed_over: Folder, status: str) -> None:
    handed_over.write(SMOKE_REPORT, f"# Smoke test\n\n{status}\n")
    run = start(handed_over)
    assert run.code == 1 and f"{SMOKE_REPORT}: says that the baseline's smoke test failed" in run.err
    assert not handed_over.path("02_train_v001.py").exists()


def test_a_spec_that_is_no_json_object_counts_as_missing(handed_over: Folder) -> None:
    handed_over.write(SPEC, "[]")
    assert f"missing: {SPEC} as a JSON object" in start(handed_over).err


# The hook


def the_hook_of_the_docs() -> str:
    found = re.findall(r"^```sh\n(.*?)^```", CONTRACT.read_text(encoding="utf-8"), re.MULTILINE | re.DOTALL)
    assert len(found) == 1
    return found[0]


def hook(folder: Folder, tmp_path: Path) -> Ran:
    """The hook as Claude Code runs it: in some folder, with the project's in the environment."""
    programs = tmp_path / "bin"
    programs.mkdir(exist_ok=True)
    program = programs / "progressive-training"
    program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m progressive_training.server "$@"\n', encoding="utf-8")
    program.chmod(0o755)
    path = f"{programs}:{environment()['PATH']}"
    done = subprocess.run(
        ["sh", "-c", the_hook_of_the_docs()],
        cwd=tmp_path,
        env=environment(PATH=path, CLAUDE_PROJECT_DIR=str(folder.root)),
        input=json.dumps({"hook_event_name": "Stop", "stop_hook_active": False}),
        capture_output=True,
        encoding="utf-8",
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.mark.requirement("C8")
def test_the_hook_of_the_docs_starts_the_loop_once_and_lets_claude_go_on(handed_over: Folder, tmp_path: Path) -> None:
    first = hook(handed_over, tmp_path)
    assert (first.code, first.out) == (2, "")
    assert "The loop is started on data set v1 (from: build-baseline)" in first.err and "call next_step" in first.err
    assert hook(handed_over, tmp_path) == Ran(0, "", "")


@pytest.mark.requirement("C8")
def test_the_hook_of_the_docs_is_silent_before_build_baseline_has_finished(folder: Folder, tmp_path: Path) -> None:
    before = folder.contents()
    assert hook(folder, tmp_path) == Ran(0, "", "")
    assert folder.contents() == before


def test_the_hook_of_the_docs_tells_the_user_what_is_missing(handed_over: Folder, tmp_path: Path) -> None:
    handed_over.path(SPEC).unlink()
    told = hook(handed_over, tmp_path)
    assert told.code == 1 and f"missing: {SPEC}" in told.err
