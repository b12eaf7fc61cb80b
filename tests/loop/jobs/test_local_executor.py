"""What only the local executor promises; what every one does is in test_every_executor.py."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from progressive_training.loop.errors import RunError
from progressive_training.loop.jobs.job import Job
from progressive_training.loop.jobs.local import LocalExecutor
from progressive_training.loop.jobs.logs import tail
from progressive_training.loop.jobs.runner import attempt_files as files
from progressive_training.loop.jobs.runner import processes
from progressive_training.loop.jobs.runner.status_files import RunnerIdentity
from support.jobs import FAMILY, STAY, alive, finish, job, linux, pid_in, run, submit_and_die, wait_for
from support.warmed import Warmed

RUNNING = Path(str(processes.__file__)).parent


def test_a_job_outlives_the_process_group_that_submitted_it(attempt: Path, work: Path) -> None:
    wait_for_go = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\nraise SystemExit(7)"
    submit_and_die(attempt, job(work, wait_for_go))
    another = LocalExecutor()
    assert another.poll(attempt).state == "running"
    (work / "go").touch()
    assert finish(another, attempt).rc == 7


def identity(attempt: Path) -> RunnerIdentity:
    return TypeAdapter(RunnerIdentity).validate_json((attempt / files.RUNNER).read_text())


def kill_runner(attempt: Path) -> None:
    os.kill(identity(attempt).pid, signal.SIGKILL)
    wait_for(lambda: not files.is_held(attempt), "the end of the runner")


@linux
def test_after_a_killed_runner_the_script_is_dead_and_a_sweep_finds_the_rest(attempt: Path, work: Path) -> None:
    executor = LocalExecutor()
    executor.submit(attempt, job(work, FAMILY + "stay('script')"))
    pids = {name: pid_in(work / name) for name in ("script", "child", "grandchild", "daemon")}
    kill_runner(attempt)
    wait_for(lambda: not alive(pids["script"]), "the kernel to end the script")
    status = executor.poll(attempt)
    assert status.state == "lost"
    assert status.outcome is not None
    assert status.outcome.reason == "lost"
    assert alive(pids["daemon"])  # a poll changes nothing
    killed = executor.sweep(attempt)
    assert {int(text.split()[1]) for text in killed} == {pids["child"], pids["grandchild"], pids["daemon"]}
    assert not any(alive(pid) for pid in pids.values())
    assert executor.sweep(attempt) == ()


@linux
def test_cancel_after_a_killed_runner_sweeps_and_stays_lost(attempt: Path, work: Path) -> None:
    executor = LocalExecutor()
    executor.submit(attempt, job(work, FAMILY + "stay('script')"))
    daemon = pid_in(work / "daemon")
    scratch = Path(identity(attempt).scratch)
    kill_runner(attempt)
    status = executor.cancel(attempt)
    assert not alive(daemon)
    assert not scratch.exists()
    assert status.state == "lost"
    assert status.outcome is not None
    assert any(str(daemon) in text for text in status.outcome.killed)


@linux
def test_a_runner_that_does_not_answer_is_killed_with_its_tree(attempt: Path, work: Path) -> None:
    executor = LocalExecutor(margin_seconds=0.5)
    executor.submit(attempt, job(work, FAMILY + "stay('script')", grace=0.0))
    pids = [pid_in(work / name) for name in ("script", "child", "grandchild", "daemon")]
    os.kill(identity(attempt).pid, signal.SIGSTOP)
    assert executor.cancel(attempt).state == "lost"
    assert not any(alive(pid) for pid in pids)


def test_cancel_signals_nobody_who_is_not_the_runner(attempt: Path, work: Path) -> None:
    executor = LocalExecutor(margin_seconds=0.1)
    # Before the job: a process that starts in the runner's own hundredth of a second has the runner's stamp.
    bystander = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
    executor.submit(attempt, job(work, STAY + "stay('script')", grace=0.0))
    true = (attempt / files.RUNNER).read_text()
    false = json.loads(true) | {"pid": bystander.pid}
    (attempt / files.RUNNER).write_text(json.dumps(false))
    with pytest.raises(RunError, match="is not the attempt's runner"):
        executor.cancel(attempt)
    (attempt / files.RUNNER).write_text(json.dumps(false | {"boot_id": "another"}))
    with pytest.raises(RunError, match="the job runs on"):
        executor.cancel(attempt)
    assert bystander.poll() is None
    (attempt / files.RUNNER).write_text(true)
    assert LocalExecutor().cancel(attempt).state == "finished"
    bystander.communicate()
    assert bystander.returncode == 0


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ('{"rc": 0, "signal": null', "EOF"),
        ('{"rc": 0}', "signal: Field required"),
        ("", "EOF"),
        ("[]", "not a result"),
    ],
)
def test_a_result_that_is_not_whole_means_lost(attempt: Path, work: Path, text: str, named: str) -> None:
    executor = LocalExecutor()
    run(executor, attempt, job(work, "pass"))
    (attempt / files.RESULT).write_text(text)
    status = executor.poll(attempt)
    assert status.state == "lost"
    assert status.detail is not None
    assert "result.json" in status.detail
    assert named in status.detail
    assert executor.cancel(attempt).state == "lost"


def test_a_result_that_is_no_plain_file_means_lost_and_blocks_nobody(attempt: Path, work: Path) -> None:
    executor = LocalExecutor()
    run(executor, attempt, job(work, "pass"))
    result = (attempt / files.RESULT).rename(work / "elsewhere.json")
    (attempt / files.RESULT).symlink_to(result)
    assert executor.poll(attempt).state == "lost"
    (attempt / files.RESULT).unlink()
    os.mkfifo(attempt / files.RESULT)
    assert executor.poll(attempt).state == "lost"


def test_the_elapsed_time_comes_from_no_date(attempt: Path, work: Path) -> None:
    executor = LocalExecutor()
    executor.submit(attempt, job(work, STAY + "stay('script')"))
    wait_for((attempt / files.HEARTBEAT).exists, "the first heartbeat")
    raw = json.loads((attempt / files.RUNNER).read_text())
    (attempt / files.RUNNER).write_text(json.dumps(raw | {"started_at": "1999-01-01T00:00:00Z"}))
    for name in (files.JOB, files.LOCK, files.LOG, files.RUNNER, files.HEARTBEAT):
        os.utime(attempt / name, (0, 0))
    status = executor.poll(attempt)
    assert status.state == "running"
    assert status.elapsed_seconds is not None
    assert 0 < status.elapsed_seconds < 30
    executor.cancel(attempt)


@linux
def test_the_script_inherits_no_lock_and_the_runner_knows_no_secret(attempt: Path, work: Path) -> None:
    executor = LocalExecutor()
    script = "import os; print([os.path.realpath(f'/proc/self/fd/{n}') for n in os.listdir('/proc/self/fd')])"
    executor.submit(attempt, job(work, script + STAY + "stay('script')"))
    pid_in(work / "script")
    held = tail(attempt / files.LOG)
    assert files.LOCK not in held
    assert files.LOG not in held
    runner = Path("/proc") / str(identity(attempt).pid) / "environ"
    names = {entry.split(b"=")[0] for entry in runner.read_bytes().split(b"\0") if entry}
    assert names <= {b"PATH", b"LC_CTYPE"}
    executor.cancel(attempt)


SUBMITTER = """
import sys
from pathlib import Path
from progressive_training.loop.jobs.job import Job
from progressive_training.loop.jobs.local import LocalExecutor

def children():
    found = " ".join(path.read_text() for path in Path("/proc/self/task").glob("*/children")).split()
    return [(Path("/proc") / pid / "stat").read_text() for pid in found]

executor, attempt = LocalExecutor(), Path(sys.argv[2])
executor.submit(attempt, Job.from_json(Path(sys.argv[1]).read_text()))
print(executor.poll(attempt).state, children())
print(executor.cancel(attempt).state, children())
"""


@linux
def test_no_zombie_stays_with_the_submitter(attempt: Path, work: Path) -> None:
    # A process of its own: this one has children of other tests.
    (work / "job.json").write_text(job(work, FAMILY + "stay('script')").to_json())
    command = [sys.executable, "-c", SUBMITTER, str(work / "job.json"), str(attempt)]
    assert subprocess.check_output(command, text=True).splitlines() == ["running []", "finished []"]


def test_the_attempt_folder_holds_readable_text_only(attempt: Path, work: Path) -> None:
    run(LocalExecutor(), attempt, job(work, "print('한글')"))
    names = {path.name for path in attempt.iterdir()}
    assert names == {files.JOB, files.LOG, files.LOCK, files.RUNNER, files.HEARTBEAT, files.RESULT}
    for path in attempt.iterdir():
        text = path.read_text()
        if path.suffix == ".json":
            json.loads(text)
    assert "한글" in (attempt / files.JOB).read_text()


def test_the_runner_in_the_foreground_exits_like_its_script(attempt: Path, work: Path) -> None:
    attempt.mkdir(parents=True)
    (attempt / files.JOB).write_text(job(work, "raise SystemExit(9)").to_json())
    command = [sys.executable, "-I", "-S", str(RUNNING / "__main__.py"), str(attempt)]
    assert subprocess.run(command, check=False).returncode == 9
    assert finish(LocalExecutor(), attempt).rc == 9


def test_an_interpreter_that_cannot_run_the_runner_is_named(attempt: Path, work: Path) -> None:
    with pytest.raises(RunError, match=r"/no/python: .*can't be started"):
        LocalExecutor("/no/python").submit(attempt, job(work, "pass"))
    with pytest.raises(RunError, match="can't be started"):
        LocalExecutor(str(shutil.which("false"))).submit(attempt, job(work, "pass"))
    assert not (attempt / files.JOB).exists()


def test_what_runs_in_the_users_interpreter_parses_as_the_oldest_python_that_has_a_torch_of_today() -> None:
    folders = (RUNNING.parent, RUNNING.parents[1] / "evaluate" / "user_python")
    plain = [path for folder in folders for path in folder.rglob("*.py") if "Python 3.9" in path.read_text()]
    assert {path.stem for path in plain} == {"landlock", "user_interpreter", "run_evaluator", "read_checkpoint"}
    machinery = list((RUNNING.parents[1] / "evaluate" / "evaluator_parts").rglob("*.py"))
    assert machinery
    for path in (*plain, *machinery):
        ast.parse(path.read_text(), feature_version=(3, 9))


def test_jobs_of_the_warm_executor_do_start_warm(attempt: Path, work: Path) -> None:
    assert run(Warmed(), attempt, job(work, "pass")).start == "warm"
    assert run(LocalExecutor(), attempt.with_name("002"), job(work, "pass")).start == "cold"


def test_a_job_survives_its_json(work: Path) -> None:
    original = job(work, "print('한글')", timeout=None)
    assert Job.from_json(original.to_json()) == original


@pytest.mark.parametrize(
    "change",
    [
        {"argv": []},
        {"argv": ["python", "nul\0"]},
        {"env": {"A": "\0"}},
        {"timeout_seconds": 0},
        {"grace_seconds": -1},
        {"log_limit_bytes": 10},
        {"attempt": "1"},
        {"surplus": 1},
    ],
)
def test_a_job_that_no_process_could_run_is_refused(work: Path, change: dict[str, object]) -> None:
    value = json.loads(job(work, "pass").to_json()) | change
    with pytest.raises(RunError):
        Job.from_json(json.dumps(value))
