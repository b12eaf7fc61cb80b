"""A run is started anew after a crash of its own, and after nothing else."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from progressive_training.agents.supervised import BROKE, MOST_IN_VAIN, break_loudly, is_child, supervised
from support.chat_api import ChatApi
from support.e2e import GATED_TRAINER, PROGRAM, ended, environment, in_mid_training, until
from support.model_runs import VERSION_STEPS
from support.projects import EVALUATOR, FOLDER_NAME, make_project
from support.scripted_model import Follower

CRASHES = {"killed": "os.kill(os.getpid(), 9)", "broken": f"os._exit({BROKE})"}


def program(tmp_path: Path, *turns: str) -> list[str]:
    """One that does the next of these each time it is started, and says its run."""
    log = tmp_path / "starts"
    lines = [
        "import os, pathlib, sys, time",
        f"log = pathlib.Path({str(log)!r})",
        "log.touch()",
        "number = len(log.read_text().split())",
        "log.write_text(log.read_text() + os.environ['PROGRESSIVE_TRAINING_RUN'] + ' ')",
        *(f"if number == {number}: {turn}" for number, turn in enumerate(turns)),
    ]
    return [sys.executable, "-c", "\n".join(lines)]


@pytest.mark.parametrize("crash", list(CRASHES))
def test_after_a_crash_it_goes_on_as_the_same_run(tmp_path: Path, crash: str) -> None:
    told: list[str] = []
    starts = tmp_path / "starts"
    command = program(tmp_path, CRASHES[crash], CRASHES[crash], "sys.exit(3)")
    code = supervised(command, lambda: starts.exists() and starts.read_text(), told.append)
    assert code == 3 and len(told) == 2 and "goes on where the loop stands" in told[0]
    assert len(set(starts.read_text().split())) == 1 and not is_child()


@pytest.mark.parametrize(("turn", "code"), [("sys.exit(1)", 1), ("os.kill(os.getpid(), 15)", 143)])
def test_a_run_that_ended_or_was_asked_to_is_left_so(tmp_path: Path, turn: str, code: int) -> None:
    assert supervised(program(tmp_path, turn), lambda: None, pytest.fail) == code


@pytest.mark.whole
def test_a_run_that_crashes_without_getting_on_is_given_up(tmp_path: Path) -> None:
    told: list[str] = []
    assert supervised(program(tmp_path, *[CRASHES["broken"]] * 9), lambda: None, told.append) == 1
    assert len((tmp_path / "starts").read_text().split()) == MOST_IN_VAIN + 1 and "is given up" in told[-1]


def test_an_exception_that_nobody_expects_is_a_crash_with_its_traceback() -> None:
    code = f"from {break_loudly.__module__} import break_loudly\nbreak_loudly()\nraise KeyError('odd')"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, encoding="utf-8")
    assert done.returncode == BROKE and "KeyError: 'odd'" in done.stderr


def children(pid: int) -> list[int]:
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [int(one) for one in found]


def test_a_killed_run_goes_on_to_the_report_and_counts_what_it_had_spent(tmp_path: Path) -> None:
    project = make_project(tmp_path / FOLDER_NAME, trainer=GATED_TRAINER)
    project.write("03_eval.py", EVALUATOR)
    with ChatApi(Follower(project)) as api:
        command = [*PROGRAM, "run", "--agent", "openai", "--model", "m", "--base-url", f"{api.url}/v1"]
        command += ["--versions", "1", "--max-tokens-total", "10000000"]
        settings: dict[str, Any] = {"cwd": project.root, "env": environment(), "encoding": "utf-8"}
        streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
        try:
            with subprocess.Popen(command, **settings, **streams, start_new_session=True) as run:
                until(in_mid_training(project), "the training at its gate")
                (child,) = children(run.pid)
                os.kill(child, signal.SIGKILL)
                project.write("gate", "")
                done = ended(run)
        finally:
            project.write("gate", "")
            project.end_jobs()
    assert done.code == 0, done.err
    assert "was ended by SIGKILL, and goes on where the loop stands" in done.err and "Best: v001" in done.out
    assert all(step in done.err for step in VERSION_STEPS)
    (transcript,) = project.path(".progressive-training/transcripts").iterdir()
    assert f'"requests": {len(api.requests)}' in transcript.read_text(encoding="utf-8").splitlines()[-1]
