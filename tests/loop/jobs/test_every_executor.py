"""What every executor does: add a factory to EXECUTORS.

Each test runs everywhere, but for those of which a cluster could say nothing new: there the same runner does the work,
so they run `on_this_machine`.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from progressive_training.loop.errors import RunError
from progressive_training.loop.jobs.executor import Executor
from progressive_training.loop.jobs.job import Job
from progressive_training.loop.jobs.local import LocalExecutor
from progressive_training.loop.jobs.logs import tail
from progressive_training.loop.jobs.runner import attempt_files as files
from progressive_training.loop.jobs.runner import processes
from support.clusters.ray import on_ray
from support.clusters.slurm import on_slurm
from support.jobs import FAMILY, STAY, alive, finish, job, linux, pid_in, run, wait_for
from support.warmed import Warmed

HERE: dict[str, Callable[[], Executor]] = {"local": LocalExecutor, "local, warm": Warmed}
CLUSTERS: dict[str, Callable[[], Executor]] = {"ray": on_ray, "slurm": on_slurm}
EXECUTORS = {**HERE, **CLUSTERS}
on_this_machine = pytest.mark.parametrize("executor", sorted(HERE), indirect=True)


# Ray starts a job in seconds; the tests of Ray have its own answers among the fast ones.
@pytest.fixture(
    params=[pytest.param(name, marks=pytest.mark.whole) if name == "ray" else name for name in sorted(EXECUTORS)]
)
def executor(request: pytest.FixtureRequest) -> Executor:
    return EXECUTORS[request.param]()


def test_the_exit_code_is_the_scripts_own(executor: Executor, attempt: Path, work: Path) -> None:
    codes = (0, 1, 3, 255)
    for code in codes:
        executor.submit(attempt.with_name(f"{code}"), job(work, f"raise SystemExit({code})"))
    for code in codes:
        outcome = finish(executor, attempt.with_name(f"{code}"))
        assert (outcome.rc, outcome.signal, outcome.reason, outcome.killed) == (code, None, "exited", ())


def test_a_death_by_signal_is_named(executor: Executor, attempt: Path, work: Path) -> None:
    names = ("SIGSEGV", "SIGKILL", "SIGTERM")
    for name in names:
        executor.submit(attempt.with_name(name), job(work, f"import os, signal; os.kill(os.getpid(), signal.{name})"))
    for name in names:
        outcome = finish(executor, attempt.with_name(name))
        assert (outcome.rc, outcome.signal, outcome.signal_name) == (None, getattr(signal, name), name)
        assert outcome.reason == "exited"


@on_this_machine
def test_a_crash_leaves_the_stack_in_the_log(executor: Executor, attempt: Path, work: Path) -> None:
    run(executor, attempt, job(work, "import faulthandler; faulthandler._sigsegv()"))
    assert "Fatal Python error: Segmentation fault" in tail(attempt / files.LOG)


def test_arguments_folder_and_environment_arrive_as_they_are(executor: Executor, attempt: Path, work: Path) -> None:
    script = "import json, os, sys; print(json.dumps([sys.argv[1:], os.getcwd(), os.environ['NOTE']]))"
    arguments = ("-x", "two words", 'it\'s "$HOME" `id` \\', "한글", "line\nbreak", "")
    environment = {"PATH": os.defpath, "NOTE": "값 = 'x'\n"}
    run(executor, attempt, job(work, script, *arguments, env=environment))
    assert json.loads(tail(attempt / files.LOG)) == [list(arguments), str(work), environment["NOTE"]]


def test_the_script_sees_no_variable_but_the_jobs_and_ours(executor: Executor, attempt: Path, work: Path) -> None:
    plain = Job("eval", "v001", 1, (str(shutil.which("env")),), str(work), {"ONLY": "this"})
    run(executor, attempt, plain)
    names = {line.split("=")[0] for line in tail(attempt / files.LOG).split("\n") if line}
    assert names == {"ONLY", "TMPDIR", "PYTHONFAULTHANDLER", "PYTHONUNBUFFERED", processes.MARKER}


def test_the_log_can_be_followed_and_holds_both_streams_in_order(executor: Executor, attempt: Path, work: Path) -> None:
    script = "import sys; print('out'); print('err', file=sys.stderr); print('last')" + STAY + "stay('here')"
    executor.submit(attempt, job(work, script))
    wait_for(lambda: tail(attempt / files.LOG) == "out\nerr\nlast\n", "the output of a running script")
    assert executor.poll(attempt).state == "running"
    executor.cancel(attempt)


@on_this_machine
def test_standard_input_is_empty(executor: Executor, attempt: Path, work: Path) -> None:
    run(executor, attempt, job(work, "import sys; print(repr(sys.stdin.read()))"))
    assert tail(attempt / files.LOG) == "''\n"


@linux
def test_cancel_ends_children_grandchildren_and_those_that_left_the_session(
    executor: Executor, attempt: Path, work: Path
) -> None:
    executor.submit(attempt, job(work, FAMILY + "stay('script')"))
    pids = [pid_in(work / name) for name in ("script", "child", "grandchild", "daemon")]
    assert all(alive(pid) for pid in pids)
    status = executor.cancel(attempt)
    assert not any(alive(pid) for pid in pids)
    assert status.outcome is not None
    assert (status.state, status.outcome.reason, status.outcome.killed) == ("finished", "cancelled", ())
    assert status.outcome.signal_name == "SIGTERM"


@on_this_machine
@linux
def test_cancel_ends_a_daemon_that_dropped_its_environment(executor: Executor, attempt: Path, work: Path) -> None:
    leave = (
        "import os, sys\n"
        "if os.fork() == 0:\n"
        "    os.setsid()\n"
        "    if os.fork() == 0:\n"
        "        os.execve(sys.executable, sys.argv, {})\n"
        "    os._exit(0)\n"
    )
    executor.submit(attempt, job(work, leave + STAY + "stay('script')", "-c", STAY + "stay('daemon')"))
    daemon = pid_in(work / "daemon")
    executor.cancel(attempt)
    assert not alive(daemon)


def test_cancel_kills_a_script_that_ignores_the_request_and_says_so(
    executor: Executor, attempt: Path, work: Path
) -> None:
    script = STAY + "signal.signal(signal.SIGTERM, signal.SIG_IGN); stay('script')"
    executor.submit(attempt, job(work, script, grace=0.2))
    pid = pid_in(work / "script")
    outcome = executor.cancel(attempt).outcome
    assert not alive(pid)
    assert outcome is not None
    assert (outcome.reason, outcome.signal_name) == ("cancelled", "SIGKILL")
    assert len(outcome.killed) == 1
    assert str(pid) in outcome.killed[0]


@on_this_machine
def test_a_cancelled_script_may_save_and_keeps_its_exit_code(executor: Executor, attempt: Path, work: Path) -> None:
    script = STAY + "signal.signal(signal.SIGTERM, lambda *_: (print('saved'), exit(5))); stay('script')"
    executor.submit(attempt, job(work, script))
    pid_in(work / "script")
    outcome = executor.cancel(attempt).outcome
    assert outcome is not None
    assert (outcome.rc, outcome.reason) == (5, "cancelled")
    assert tail(attempt / files.LOG) == "saved\n"


def test_cancel_again_and_cancel_after_the_end_return_the_same_outcome(
    executor: Executor, attempt: Path, work: Path
) -> None:
    executor.submit(attempt, job(work, STAY + "stay('script')"))
    first = executor.cancel(attempt)
    assert first.state == "finished"
    assert executor.cancel(attempt) == first == executor.poll(attempt)
    run(executor, attempt.with_name("002"), job(work, "raise SystemExit(4)"))
    after = executor.cancel(attempt.with_name("002")).outcome
    assert after is not None
    assert (after.rc, after.reason) == (4, "exited")


def test_a_job_past_its_time_limit_is_ended(executor: Executor, attempt: Path, work: Path) -> None:
    outcome = run(executor, attempt, job(work, FAMILY + "stay('script')", timeout=1.0))
    assert outcome.reason == "timeout"
    assert outcome.wall_seconds is not None
    assert outcome.wall_seconds >= 1.0
    assert not any(alive(pid_in(work / name)) for name in ("script", "child"))


def test_a_folder_takes_one_job_only(executor: Executor, attempt: Path, work: Path) -> None:
    executor.submit(attempt, job(work, STAY + "stay('script')"))
    with pytest.raises(RunError, match="has had its job"):
        executor.submit(attempt, job(work, "pass"))
    executor.cancel(attempt)
    with pytest.raises(RunError, match="has had its job"):
        executor.submit(attempt, job(work, "pass"))


@on_this_machine
def test_what_cannot_start_is_refused_with_the_reason_and_the_folder_stays_usable(
    executor: Executor, attempt: Path, work: Path
) -> None:
    missing = Job("train", "v001", 1, ("/no/such/python", "x.py"), str(work), {})
    with pytest.raises(RunError, match=r"/no/such/python.*not found"):
        executor.submit(attempt, missing)
    with pytest.raises(RunError, match=r"working folder doesn't exist"):
        executor.submit(attempt, Job("train", "v001", 1, (sys.executable,), str(work / "없음"), {}))
    (work / "broken").write_text("no format that a kernel knows")
    (work / "broken").chmod(0o755)
    with pytest.raises(RunError, match="Exec format error"):
        executor.submit(attempt, Job("train", "v001", 1, ("./broken",), str(work), {}))
    with pytest.raises(RunError, match="no job was submitted"):
        executor.poll(attempt)
    assert run(executor, attempt, job(work, "raise SystemExit(6)")).rc == 6


@on_this_machine
def test_a_flood_of_output_is_capped_and_blocks_nobody(executor: Executor, attempt: Path, work: Path) -> None:
    script = "print('the first line')\nfor n in range(300): print('x' * 100_000)\nprint('the last line')"
    outcome = run(executor, attempt, job(work, script, log=1 << 18))
    log = (attempt / files.LOG).read_text()
    assert (outcome.rc, outcome.log_truncated) == (0, True)
    assert len(log) <= 1 << 18
    assert log.startswith("the first line\n")
    assert log.endswith("\nthe last line\n")
    assert "bytes left out here" in log


@on_this_machine
def test_peak_memory_is_in_bytes(executor: Executor, attempt: Path, work: Path) -> None:
    outcome = run(executor, attempt, job(work, "kept = b'x' * 200_000_000"))
    assert outcome.peak_memory_bytes is not None
    assert 200_000_000 < outcome.peak_memory_bytes < 260_000_000


@on_this_machine
def test_processor_time_counts_the_children_too(executor: Executor, attempt: Path, work: Path) -> None:
    script = "import os, time\nif os.fork() == 0:\n while time.process_time() < 0.4: pass\nelse: os.wait()"
    outcome = run(executor, attempt, job(work, script))
    assert outcome.cpu_seconds is not None
    assert outcome.cpu_seconds >= 0.4


@on_this_machine
@linux
def test_leftovers_of_a_script_that_ended_are_ended_and_listed(executor: Executor, attempt: Path, work: Path) -> None:
    wait = "while not all(os.path.exists(n) for n in ('child', 'grandchild', 'daemon')): time.sleep(0.01)"
    outcome = run(executor, attempt, job(work, FAMILY + wait))
    pids = [pid_in(work / name) for name in ("child", "grandchild", "daemon")]
    assert not any(alive(pid) for pid in pids)
    assert (outcome.rc, outcome.reason) == (0, "exited")
    assert sorted(int(text.split()[1]) for text in outcome.killed) == sorted(pids)


@on_this_machine
def test_a_helper_that_ends_just_after_its_script_is_no_leftover(executor: Executor, attempt: Path, work: Path) -> None:
    script = "import os, time\nif os.fork() == 0: time.sleep(0.1); print('done')"
    assert run(executor, attempt, job(work, script)).killed == ()
    assert tail(attempt / files.LOG) == "done\n"


@on_this_machine
def test_the_temporary_folder_holds_sockets_and_is_gone_after(executor: Executor, attempt: Path, work: Path) -> None:
    script = (
        "import multiprocessing as m, pathlib, tempfile\n"
        "with m.get_context('fork').Manager() as manager: print(manager.list([1]))\n"
        "place = pathlib.Path(tempfile.mkstemp()[1])\n"
        "print(place); print(place.resolve())"
    )
    outcome = run(executor, attempt, job(work, script))
    log = tail(attempt / files.LOG)
    assert outcome.rc == 0, log
    said, real = (Path(line) for line in log.split("\n")[1:3])
    assert real.is_relative_to(attempt.resolve())
    assert not real.exists()
    assert not said.parent.is_symlink()


def test_a_script_cannot_announce_its_own_end(executor: Executor, attempt: Path, work: Path) -> None:
    run(executor, attempt, job(work, "pass"))
    forged = (attempt / files.RESULT).read_text()
    second = attempt.with_name("002")
    script = f"open({str(second / files.RESULT)!r}, 'w').write({forged!r})" + STAY + "stay('script')"
    executor.submit(second, job(work, script))
    pid_in(work / "script")
    assert executor.poll(second).state == "running"
    outcome = executor.cancel(second).outcome
    assert outcome is not None
    assert outcome.reason == "cancelled"
