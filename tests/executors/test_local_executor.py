"""What every executor does (the first part: add a factory to EXECUTORS), and what only the local one promises."""

from __future__ import annotations

import ast
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from pydantic import TypeAdapter

from progressive_training.loop.errors import RunError
from progressive_training.loop.running import attempt as files
from progressive_training.loop.running import processes
from progressive_training.loop.running.executor import Executor
from progressive_training.loop.running.job import Job, Outcome
from progressive_training.loop.running.local import LocalExecutor, RunnerIdentity
from progressive_training.loop.running.logs import tail
from support.warmed import Warmed

EXECUTORS: dict[str, Callable[[], Executor]] = {"local": LocalExecutor, "local, warm": Warmed}
RUNNING = Path(str(processes.__file__)).parent
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")

# Says its pid in a file that appears as a whole, and stays until it is ended.
STAY = """
import os, pathlib, signal, time
def stay(name):
    here = pathlib.Path(name)
    here.with_suffix(".part").write_text(str(os.getpid()))
    here.with_suffix(".part").rename(here)
    while True:
        time.sleep(1)
"""
# A child, a grandchild, and a grandchild that left for a session of its own.
FAMILY = (
    STAY
    + """
if os.fork() == 0:
    if os.fork() == 0:
        stay("grandchild")
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            stay("daemon")
        os._exit(0)
    stay("child")
"""
)


@pytest.fixture(params=sorted(EXECUTORS))
def executor(request: pytest.FixtureRequest) -> Executor:
    return EXECUTORS[request.param]()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / 'it\'s a "한글" folder $HOME'
    folder.mkdir()
    return folder


@pytest.fixture
def attempt(work: Path) -> Path:
    return work / ".progressive-training" / "attempts" / "v001" / "001"


def job(
    work: Path,
    script: str,
    *arguments: str,
    timeout: float | None = 60.0,
    grace: float = 10.0,
    log: int = 1 << 20,
    env: dict[str, str] | None = None,
) -> Job:
    return Job(
        kind="train",
        version_id="v001",
        attempt=1,
        argv=(sys.executable, "-c", script, *arguments),
        cwd=str(work),
        env=env if env is not None else {"PATH": os.defpath},
        timeout_seconds=timeout,
        log_limit_bytes=log,
        grace_seconds=grace,
    )


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.01)


def finish(executor: Executor, attempt: Path) -> Outcome:
    wait_for(lambda: executor.poll(attempt).state != "running", "the end of the job")
    status = executor.poll(attempt)
    assert status.state == "finished", status
    assert status.outcome is not None
    return status.outcome


def run(executor: Executor, attempt: Path, job: Job) -> Outcome:
    executor.submit(attempt, job)
    return finish(executor, attempt)


def pid_in(path: Path) -> int:
    wait_for(path.exists, str(path))
    return int(path.read_text())


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    state = subprocess.run(["ps", "-o", "stat=", "-p", str(pid)], capture_output=True, text=True, check=False).stdout
    return bool(state.strip()) and not state.startswith("Z")


# Every executor


@pytest.mark.parametrize("code", [0, 1, 3, 255])
def test_the_exit_code_is_the_scripts_own(executor: Executor, attempt: Path, work: Path, code: int) -> None:
    outcome = run(executor, attempt, job(work, f"raise SystemExit({code})"))
    assert (outcome.rc, outcome.signal, outcome.reason, outcome.killed) == (code, None, "exited", ())


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGTERM"])
def test_a_death_by_signal_is_named(executor: Executor, attempt: Path, work: Path, name: str) -> None:
    outcome = run(executor, attempt, job(work, f"import os, signal; os.kill(os.getpid(), signal.{name})"))
    assert (outcome.rc, outcome.signal, outcome.signal_name) == (None, getattr(signal, name), name)
    assert outcome.reason == "exited"


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


def test_standard_input_is_empty(executor: Executor, attempt: Path, work: Path) -> None:
    run(executor, attempt, job(work, "import sys; print(repr(sys.stdin.read()))"))
    assert tail(attempt / files.LOG) == "''\n"


def test_a_job_outlives_the_process_group_that_submitted_it(attempt: Path, work: Path) -> None:
    wait_for_go = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\nraise SystemExit(7)"
    (work / "job.json").write_text(job(work, wait_for_go).to_json())
    submitter = subprocess.Popen(
        [
            sys.executable,
            "-c",
            "import sys; from pathlib import Path\n"
            "from progressive_training.loop.running.local import LocalExecutor\n"
            "from progressive_training.loop.running.job import Job\n"
            "LocalExecutor().submit(Path(sys.argv[2]), Job.from_json(Path(sys.argv[1]).read_text()))\n"
            "print('submitted', flush=True); sys.stdin.read()",
            str(work / "job.json"),
            str(attempt),
        ],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        start_new_session=True,
    )
    assert submitter.stdout is not None
    assert submitter.stdout.readline() == b"submitted\n"
    os.killpg(submitter.pid, signal.SIGKILL)
    submitter.communicate()
    another = LocalExecutor()
    assert another.poll(attempt).state == "running"
    (work / "go").touch()
    assert finish(another, attempt).rc == 7


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


def test_a_flood_of_output_is_capped_and_blocks_nobody(executor: Executor, attempt: Path, work: Path) -> None:
    script = "print('the first line')\nfor n in range(300): print('x' * 100_000)\nprint('the last line')"
    outcome = run(executor, attempt, job(work, script, log=1 << 18))
    log = (attempt / files.LOG).read_text()
    assert (outcome.rc, outcome.log_truncated) == (0, True)
    assert len(log) <= 1 << 18
    assert log.startswith("the first line\n")
    assert log.endswith("\nthe last line\n")
    assert "bytes left out here" in log


def test_peak_memory_is_in_bytes(executor: Executor, attempt: Path, work: Path) -> None:
    outcome = run(executor, attempt, job(work, "kept = b'x' * 200_000_000"))
    assert outcome.peak_memory_bytes is not None
    assert 200_000_000 < outcome.peak_memory_bytes < 260_000_000


def test_processor_time_counts_the_children_too(executor: Executor, attempt: Path, work: Path) -> None:
    script = "import os, time\nif os.fork() == 0:\n while time.process_time() < 0.4: pass\nelse: os.wait()"
    outcome = run(executor, attempt, job(work, script))
    assert outcome.cpu_seconds is not None
    assert outcome.cpu_seconds >= 0.4


@linux
def test_leftovers_of_a_script_that_ended_are_ended_and_listed(executor: Executor, attempt: Path, work: Path) -> None:
    wait = "while not all(os.path.exists(n) for n in ('child', 'grandchild', 'daemon')): time.sleep(0.01)"
    outcome = run(executor, attempt, job(work, FAMILY + wait))
    pids = [pid_in(work / name) for name in ("child", "grandchild", "daemon")]
    assert not any(alive(pid) for pid in pids)
    assert (outcome.rc, outcome.reason) == (0, "exited")
    assert sorted(int(text.split()[1]) for text in outcome.killed) == sorted(pids)


def test_a_helper_that_ends_just_after_its_script_is_no_leftover(executor: Executor, attempt: Path, work: Path) -> None:
    script = "import os, time\nif os.fork() == 0: time.sleep(0.1); print('done')"
    assert run(executor, attempt, job(work, script)).killed == ()
    assert tail(attempt / files.LOG) == "done\n"


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


# The local executor


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
    executor.submit(attempt, job(work, STAY + "stay('script')", grace=0.0))
    bystander = subprocess.Popen([sys.executable, "-c", "import sys; sys.stdin.read()"], stdin=subprocess.PIPE)
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
    assert status.heartbeat_age_seconds is not None
    assert 0 <= status.heartbeat_age_seconds < 30
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


@linux
def test_no_zombie_stays_with_the_submitter(attempt: Path, work: Path) -> None:
    executor = LocalExecutor()
    executor.submit(attempt, job(work, FAMILY + "stay('script')"))
    runner = processes.start_stamp(identity(attempt).pid)
    assert runner is not None
    children = Path("/proc/self/task").glob("*/children")
    assert str(identity(attempt).pid) not in " ".join(path.read_text() for path in children).split()
    executor.cancel(attempt)
    children = Path("/proc/self/task").glob("*/children")
    pids = " ".join(path.read_text() for path in children).split()
    assert [pid for pid in pids if ") Z " in (Path("/proc") / pid / "stat").read_text()] == []


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
    command = [sys.executable, "-I", "-S", str(RUNNING / "runner.py"), str(attempt)]
    assert subprocess.run(command, check=False).returncode == 9
    assert finish(LocalExecutor(), attempt).rc == 9


def test_an_interpreter_that_cannot_run_the_runner_is_named(attempt: Path, work: Path) -> None:
    with pytest.raises(RunError, match=r"/no/python: .*can't be started"):
        LocalExecutor("/no/python").submit(attempt, job(work, "pass"))
    with pytest.raises(RunError, match="can't be started"):
        LocalExecutor(str(shutil.which("false"))).submit(attempt, job(work, "pass"))
    assert not (attempt / files.JOB).exists()


def test_the_runners_modules_parse_as_the_oldest_python_that_is_promised() -> None:
    plain = [path for path in RUNNING.glob("*.py") if "Standard library only and Python 3.9" in path.read_text()]
    assert {path.stem for path in plain} >= {"runner", "attempt", "launch", "spare", "doorway", "warm"}
    for path in plain:
        ast.parse(path.read_text(), feature_version=(3, 9))


def test_jobs_of_the_warm_executor_do_start_warm(attempt: Path, work: Path) -> None:
    assert run(Warmed(), attempt, job(work, "pass")).start == "warm"
    assert run(LocalExecutor(), attempt.with_name("002"), job(work, "pass")).start == "cold"


def test_the_runner_works_in_the_oldest_python_that_is_promised(attempt: Path, work: Path) -> None:
    old = os.environ.get("PYTHON39") or shutil.which("python3.9")
    if old is None or subprocess.run([old, "-c", ""], capture_output=True, check=False).returncode:
        pytest.skip("no Python 3.9 here; name one in PYTHON39")
    outcome = run(LocalExecutor(old), attempt, job(work, "raise SystemExit(2)"))
    assert outcome.rc == 2


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
