"""What a job may use at most, and which words and signs of an end mean which kind of failure."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from progressive_training.loop.jobs.job import Job, Outcome
from progressive_training.loop.jobs.local import LocalExecutor
from progressive_training.loop.jobs.logs import tail
from progressive_training.loop.jobs.runner import attempt_files as files
from progressive_training.loop.jobs.runner import processes
from progressive_training.loop.jobs.runner.limits import oom_kills
from progressive_training.loop.project.failures import process_failure
from progressive_training.loop.project.receipts import INFRASTRUCTURE
from support.programs import need
from support.projects import Folder, connected

BASELINE = "02_train_baseline.py"
MAIN = "    threshold, rows = fit()\n"


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.01)


def run(work: Path, script: str, **limits: object) -> Outcome:
    attempt = work / "attempt"
    plain = Job("train", "v001", 1, (sys.executable, "-c", script), str(work), {"PATH": os.defpath}, 60.0)
    limited = Job.from_json(json.dumps(json.loads(plain.to_json()) | limits))
    LocalExecutor().submit(attempt, limited)
    wait_for(lambda: LocalExecutor().poll(attempt).state != "running", "the end of the job")
    status = LocalExecutor().poll(attempt)
    assert status.state == "finished" and status.outcome is not None, status
    return status.outcome


def left(work: Path) -> list[processes.Process]:
    return processes.Tree(json.loads((work / "attempt" / files.RUNNER).read_text())["marker"]).members()


FORKS = "import os, sys, time\nfor _ in range(int({count})):\n if os.fork() == 0: time.sleep(600)\n"


def test_too_many_processes_are_ended_with_the_number_and_none_is_left(tmp_path: Path) -> None:
    outcome = run(tmp_path, FORKS.format(count=40) + "time.sleep(600)", max_processes=20)
    assert outcome.reason == "limit" and outcome.detail is not None
    assert outcome.detail.startswith("41 processes at once; at most 20")
    assert left(tmp_path) == []


def test_as_many_processes_as_are_allowed_are_left_alone(tmp_path: Path) -> None:
    script = (
        "import os, time\nfor _ in range(19):\n if os.fork() == 0: time.sleep(1.5); os._exit(0)\n"
        "for _ in range(19): os.wait()"
    )
    outcome = run(tmp_path, script, max_processes=20, max_threads=20)
    assert (outcome.rc, outcome.reason, outcome.detail) == (0, "exited", None)


def test_too_many_threads_are_ended(tmp_path: Path) -> None:
    script = "import threading, time\nfor _ in range(50): threading.Thread(target=time.sleep, args=(600,)).start()"
    outcome = run(tmp_path, script, max_processes=100, max_threads=30)
    assert outcome.reason == "limit" and outcome.detail is not None and "51 threads" in outcome.detail


def test_a_crowd_that_was_killed_is_named_only_in_part(tmp_path: Path) -> None:
    outcome = run(tmp_path, FORKS.format(count=60))
    assert len(outcome.killed) == 51 and outcome.killed[-1] == "and 10 more"
    assert left(tmp_path) == []


@pytest.mark.parametrize("where", ["watched", "TMPDIR"])
def test_files_beyond_the_limit_end_the_run_with_the_size(tmp_path: Path, where: str) -> None:
    (tmp_path / "watched" / "deep").mkdir(parents=True)
    folder = "'watched/deep'" if where == "watched" else "os.environ['TMPDIR']"
    script = (
        f"import os, time\nfor n in range(30): open(os.path.join({folder}, str(n)), 'wb').write(os.urandom(1 << 20))\n"
    )
    outcome = run(tmp_path, script + "time.sleep(600)", watched=[str(tmp_path / "watched")], max_watched_bytes=20 << 20)
    assert outcome.reason == "limit" and outcome.detail is not None
    assert "0.0293 GiB on disk; at most 0.0195 GiB" in outcome.detail


def test_one_file_cannot_grow_beyond_its_limit_and_a_crash_leaves_no_core(tmp_path: Path) -> None:
    script = (
        "import resource\nprint(resource.getrlimit(resource.RLIMIT_CORE)[0])\nopen('big', 'wb').write(bytes(3 << 20))"
    )
    outcome = run(tmp_path, script, max_file_bytes=1 << 20)
    log = tail(tmp_path / "attempt" / files.LOG)
    assert log.startswith("0\n") and outcome.rc == 1
    assert (tmp_path / "big").stat().st_size == 1 << 20
    failure = process_failure(outcome, log, limit_minutes=None)
    assert failure is not None and failure.kind == "limit" and "max_artifact_gb" in failure.advice


@pytest.mark.parametrize(
    ("files_there", "count"),
    [
        ({"proc/self/cgroup": "0::/a b/c\n", "cg/a b/c/memory.events": "low 0\noom 3\noom_kill 2\n"}, 2),
        ({"proc/self/cgroup": "0::/gone\n", "cg/memory.events": "oom_kill 5\n"}, 5),
        ({"proc/self/cgroup": "3:cpu:/x\n7:memory:/job\n", "cg/memory/job/memory.oom_control": "oom_kill 4\n"}, 4),
        ({"proc/self/cgroup": "0::/\n", "proc/vmstat": "nr_free_pages 7\noom_kill 9\n"}, 9),
        ({"proc/vmstat": "nr_free_pages 7\n"}, None),
        ({}, None),
    ],
)  # fmt: skip
def test_kills_for_memory_are_counted_where_the_kernel_tells_them(
    tmp_path: Path, files_there: dict[str, str], count: int | None
) -> None:
    for name, text in files_there.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text)
    assert oom_kills(tmp_path / "proc", tmp_path / "cg") == count


ENDED = Outcome(
    rc=1, signal=None, signal_name=None, reason="exited", wall_seconds=1.0, cpu_seconds=1.0, peak_memory_bytes=1,
    killed=(), started_at=None, finished_at=None, log_truncated=False, oom_kills=0,
)  # fmt: skip
KILLED = replace(ENDED, rc=None, signal=9, signal_name="SIGKILL")
WORKER = "RuntimeError: DataLoader worker (pid(s) 7) is killed by signal: Killed. "


@pytest.mark.parametrize(
    ("outcome", "log", "kind", "words"),
    [
        (KILLED, "", "killed", "SIGKILL"),
        (replace(KILLED, oom_kills=1), "", "out of memory", "kernel killed it for memory"),
        (replace(KILLED, oom_kills=None), "", "killed", "often that is the kernel's out-of-memory killer"),
        (ENDED, WORKER, "killed", "is killed by signal"),
        (replace(ENDED, oom_kills=1), WORKER, "out of memory", "kernel killed it"),
        (ENDED, "traceback : Signal 9 (SIGKILL) received by PID 7", "killed", "Signal 9"),
        (replace(ENDED, oom_kills=1), "ValueError: no", "code error", "ValueError: no"),
        (ENDED, "torch.cuda.OutOfMemoryError: CUDA out of memory.", "out of memory", "CUDA out of memory"),
        (ENDED, "RuntimeError: unable to write: insufficient shared memory (shm)", "out of memory", "shared memory"),
        (replace(KILLED, signal=1), "", "killed", "SIGHUP"),
        (replace(KILLED, signal=24), "", "killed", "processor time"),
        (replace(KILLED, signal=11, signal_name="SIGSEGV"), "", "code error", "SIGSEGV"),
        (replace(ENDED, reason="limit", detail="3 processes"), "", "limit", "3 processes"),
        (replace(ENDED, disk_full=True), "ValueError: no", "disk full", "no space left"),
        (ENDED, "OSError: [Errno 122] Disk quota exceeded", "disk full", "quota"),
        (ENDED, "OSError: [Errno 27] File too large", "limit", "too large"),
        (ENDED, "OSError: [Errno 30] Read-only file system: 'v1/eval_score.json'", "evaluation output", "eval_score"),
        (ENDED, "OSError: [Errno 30] Read-only file system: 'data.py'", "code error", "data.py"),
        (ENDED, "ValueError: loss is nan", "diverged", "nan"),
        (replace(KILLED, reason="cancelled", signal=15), "", "killed", "from outside"),
        (replace(KILLED, reason="timeout", signal=15), "", "timeout", "timed out"),
    ],
)  # fmt: skip
def test_each_end_has_its_kind_a_short_cause_and_advice_of_its_own(
    outcome: Outcome, log: str, kind: str, words: str
) -> None:
    failure = process_failure(outcome, log, limit_minutes=None, requested=False)
    assert failure is not None
    assert (failure.kind, words in failure.summary) == (kind, True), failure
    assert failure.advice
    assert (failure.kind in INFRASTRUCTURE) == (kind in ("killed", "disk full"))


def test_a_lost_run_says_why_and_one_that_we_cancelled_is_no_failure_of_the_machine() -> None:
    lost = process_failure(
        replace(ENDED, reason="lost", rc=None), "", limit_minutes=None, detail="the machine restarted"
    )
    assert lost is not None and (lost.kind, lost.summary) == ("lost", "the machine restarted")
    ours = process_failure(replace(KILLED, reason="cancelled"), "", limit_minutes=None, requested=True)
    assert ours is not None and ours.kind == "cancelled"


# In the loop


@pytest.mark.anyio
async def test_the_rules_limits_reach_the_run_and_ask_for_a_repair(folder: Folder) -> None:
    folder.set_rules(execution_config={"max_artifact_gb": 0.001})
    flood = (
        "    for n in range(20):\n        (ARTIFACTS / f'{n}.ckpt').write_bytes(__import__('os').urandom(1 << 17))\n"
    )
    folder.edit(BASELINE, (MAIN, MAIN + flood + "    __import__('time').sleep(600)\n"))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        failure = await agent.failed_training("limit")
        assert "at most 0.001 GiB" in failure["summary"] and "save_top_k" in failure["advice"]
        assert await agent.where() == ("repair", 1)


@pytest.mark.anyio
async def test_a_run_that_somebody_else_ended_counts_as_killed_and_asks_for_no_repair(folder: Folder) -> None:
    folder.edit(BASELINE, (MAIN, MAIN + "    __import__('time').sleep(600)\n"))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.call("run_train", version=1)
        runner = folder.json(".progressive-training/attempts/v001/train-001/runner.json")["pid"]
        os.kill(runner, signal.SIGTERM)
        failure = await agent.failed_training("killed")
        assert "from outside" in failure["summary"]
        assert await agent.where() == ("train", 1)


@pytest.mark.anyio
async def test_a_run_for_which_there_is_no_room_is_refused_and_nothing_is_wiped(folder: Folder) -> None:
    folder.set_rules(execution_config={"min_free_gb": 1_000_000})
    async with connected(folder) as agent:
        await agent.call("start_loop")
        folder.write("Models/Artifacts/v001/best.ckpt", "mine")
        text = await agent.refused("run_train", version=1)
        assert "min_free_gb is 1e+06" in text and "nothing wiped" in text
        assert folder.read("Models/Artifacts/v001/best.ckpt") == "mine"


# Runs a loop in which training fills a disk of its own; says what was recorded, and what the next call says.
FILL = """
import json, pathlib, sys, time
from progressive_training.loop.author import start as starting
from progressive_training.loop.train import training
from progressive_training.loop.errors import LoopError
from support.projects import RULES, TRAINER, edited, make_project

root, keep_reserve = pathlib.Path(sys.argv[1]), sys.argv[2] == "reserve"
fill = '''    with open(ARTIFACTS / "flood", "wb", buffering=0) as file:
        while file.write(bytes(4096)):
            pass
'''
main = "    threshold, rows = fit()\\n"
folder = make_project(root / "project", trainer=edited(TRAINER, (main, main + fill)))
folder.set_rules(execution_config={"sandbox": "off", "min_free_gb": 0.01})
project = folder.project()
starting.start_loop(project)
status = training.train(project, 1)
reserve = root / "project/.progressive-training/reserve"
assert reserve.stat().st_size == 4 << 20
if not keep_reserve:
    while status.state == "running" and list(root.glob("project/.progressive-training/attempts/*/*/run.lock")):
        if list(root.glob("project/.progressive-training/attempts/*/*/result.json")):
            break
        time.sleep(0.05)
    reserve.unlink()
    with open(root / "more", "wb", buffering=0) as file:
        try:
            while file.write(bytes(4096)):
                pass
        except OSError:
            pass
try:
    while status.state == "running":
        time.sleep(0.05)
        status = training.train(project, 1)
except OSError as error:
    print(json.dumps({"error": error.errno}))
    sys.exit()
try:
    training.train(project, 1)
    refused = None
except LoopError as error:
    refused = str(error)
print(json.dumps({"kind": status.verdict.kind, "summary": status.verdict.summary, "refused": refused}))
"""


def filled(reserve: str, place: Path) -> dict[str, str]:
    need("bwrap")
    tests = Path(__file__).parents[2]
    command = ["bwrap", "--dev-bind", "/", "/", "--size", str(24 << 20), "--tmpfs", str(place)]
    done = subprocess.run(
        [*command, "--", sys.executable, "-c", FILL, str(place), reserve],
        capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(tests)}, timeout=120, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_disk_that_training_filled_is_recorded_as_such_thanks_to_the_reserve(tmp_path: Path) -> None:
    found = filled("reserve", tmp_path)
    assert found["kind"] == "disk full" and "No space left" in found["summary"]
    assert "min_free_gb" in found["refused"] and "trash" in found["refused"]
    assert filled("no reserve", tmp_path) == {"error": 28}, "without it nothing can be recorded"
