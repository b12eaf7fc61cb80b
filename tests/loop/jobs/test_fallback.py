"""Where there is no bubblewrap: what Landlock holds in its place, and that everybody says so. Needs Landlock."""

import json
import os
import socket
import subprocess
import sys
import sysconfig
import venv
from collections.abc import Iterator
from pathlib import Path

import pytest

from progressive_training.loop.jobs import fallback, sandbox, view
from progressive_training.loop.jobs.job import Job
from progressive_training.loop.jobs.local import LocalExecutor
from progressive_training.loop.jobs.logs import tail
from progressive_training.loop.jobs.placing import level
from progressive_training.loop.jobs.runner import attempt_files as files
from progressive_training.loop.jobs.runner import landlock
from progressive_training.loop.project.receipts import EvalReceipt, TrainReceipt
from progressive_training.loop.project.state import derive
from progressive_training.loop.project.version import Version
from progressive_training.loop.report.status import status
from progressive_training.loop.report.warnings import warnings
from progressive_training.loop.rules.execution import ExecutionConfig
from progressive_training.loop.store.paths import Workspace
from progressive_training.server.dashboard.overview_page import head_of
from support.jobs import finish
from support.projects import EVALUATOR, Folder, connected

LOOK = """
import ctypes, glob, json, os, pathlib, socket, subprocess, sys
found = {}
def tried(name, call):
    try:
        found[name] = call()
    except OSError as error:
        found[name] = type(error).__name__
for name in sys.argv[2:]:
    tried("read " + name, lambda: open(name).read())
    tried("write " + name, lambda: open(name + "-new", "w").close())
import utils
tried("temporary", lambda: open(os.environ["TMPDIR"] + "/x", "w").close())
shared = "/dev/shm/progressive-training-test"
tried("memory", lambda: open(shared, "w").close() or os.unlink(shared))
tried("outside", lambda: socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5).recv(9).decode())
server = socket.create_server(("127.0.0.1", 0))
tried("inside", lambda: socket.create_connection(server.getsockname()).close())
seen = []
for path in glob.glob("/proc/[0-9]*/environ"):
    try:
        seen.append(open(path).read())
    except OSError:
        pass
found["keys"] = "canary" in "".join(seen)
call = ctypes.CDLL(None, use_errno=True).syscall
found["keyring"] = call({"x86_64": 248, "aarch64": 217}[os.uname().machine], b"user", b"a", b"b", 1, -4)
found["child"] = subprocess.run([sys.executable, "-c", "open('/etc/shadow')"], capture_output=True).returncode
print(json.dumps(found))
"""


def test_landlock_keeps_a_job_to_what_it_would_see_and_write_in_bubblewrap(tmp_path: Path) -> None:
    root = (tmp_path / "a 한글 folder").resolve()
    shown = ("utils.py", "dataset/prepdata/v1/train.json", "Models/Artifacts/v001/best.ckpt")
    hidden = (
        ".env",
        ".progressive-training/receipt",
        "Models/Artifacts/v002/best.ckpt",
        "dataset/prepdata/v2/train.json",
    )
    for name in (*shown, *hidden):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("")
    attempt = root / ".progressive-training/attempts/v001/train-001"
    own = view.interpreter_folders(sys.executable)
    confines = view.Confines(attempt / files.SCRATCH, (root / "Models/Artifacts/v001",), own, network=False)
    confines = confines.with_project(view.ProjectView(Workspace(root), "v1"))
    holder = subprocess.Popen([sys.executable, "-c", "input()"], env={"KEY": "canary"}, stdin=subprocess.PIPE)
    outside = tmp_path / "outside"
    outside.write_text("")
    with socket.create_server(("127.0.0.1", 0)) as server:
        arguments = (str(server.getsockname()[1]), *shown, *hidden, str(outside))
        executor = LocalExecutor()
        executor.submit(
            attempt,
            Job(
                kind="train",
                version_id="v001",
                attempt=1,
                argv=(sys.executable, "-B", "-c", LOOK, *arguments),
                cwd=str(root),
                env={"PATH": os.defpath},
                timeout_seconds=60.0,
                landlock=fallback.of(confines, one_process=True),
            ),
        )
        assert finish(executor, attempt).rc == 0, tail(attempt / files.LOG)
    holder.communicate(b"\n")
    found = json.loads(tail(attempt / files.LOG))
    assert {found[f"read {name}"] for name in shown} == {""}
    assert {found[f"read {name}"] for name in (*hidden, str(outside))} == {"PermissionError"}
    written = [name for name in (*shown, *hidden, str(outside)) if found[f"write {name}"] is None]
    assert written == ["Models/Artifacts/v001/best.ckpt"]
    assert (found["temporary"], found["memory"], found["keys"], found["child"]) == (None, None, False, 1)
    assert (found["outside"], found["inside"], found["keyring"]) == ("ConnectionRefusedError", None, -1)


CLOSE_IN_AGAIN = """
import json, os, sys
from pathlib import Path
names = {"__name__": "landlock"}
exec(sys.argv[1], names)
found = {"confined": names["confine"]([Path(sys.argv[2])], (), (Path(os.environ["TMPDIR"]),))}
for name in sys.argv[3:]:
    try:
        found[name] = open(name).read()
    except OSError as error:
        found[name] = type(error).__name__
import sqlite3  # a library of the system's that nothing has opened before
print(json.dumps(found))
"""


@pytest.mark.parametrize(("hidden", "readable"), [("Models", ["data"]), ("dataset/prepdata/v1", ["model"])])
def test_what_landlock_holds_can_close_itself_in_further_and_keeps_the_rest(
    tmp_path: Path, hidden: str, readable: list[str]
) -> None:
    root = (tmp_path / "a 한글 folder").resolve()
    files_of = {"data": "dataset/prepdata/v1/train.json", "model": "Models/Artifacts/v001/best.ckpt"}
    for name in files_of.values():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("content")
    attempt = root / ".progressive-training/attempts/v001/eval-001"
    own = view.interpreter_folders(sys.executable)
    confines = view.Confines(attempt / files.SCRATCH, (root / "Models/Artifacts/v001",), own, network=False)
    confines = confines.with_project(view.ProjectView(Workspace(root), "v1"))
    source = Path(landlock.__file__).read_text()
    executor = LocalExecutor()
    executor.submit(
        attempt,
        Job(
            kind="eval",
            version_id="v001",
            attempt=1,
            argv=(sys.executable, "-B", "-c", CLOSE_IN_AGAIN, source, str(root / hidden), *files_of.values()),
            cwd=str(root),
            env={"PATH": os.defpath},
            timeout_seconds=60.0,
            landlock=fallback.of(confines, one_process=True),
        ),
    )
    assert finish(executor, attempt).rc == 0, tail(attempt / files.LOG)
    found = json.loads(tail(attempt / files.LOG))
    assert found.pop("confined") is None
    assert [name for name, file in files_of.items() if found[file] == "content"] == readable


@pytest.fixture
def without_bubblewrap(tmp_path: Path) -> Iterator[None]:
    before, empty = os.environ["PATH"], tmp_path / "no programs"
    empty.mkdir()
    os.environ["PATH"] = str(empty)
    sandbox.problem.cache_clear()
    yield
    os.environ["PATH"] = before
    sandbox.problem.cache_clear()


@pytest.mark.anyio
@pytest.mark.usefixtures("without_bubblewrap")
async def test_a_loop_without_bubblewrap_says_so_once_each_and_its_receipts_say_what_held(folder: Folder) -> None:
    folder.set_rules(execution_config={"sandbox": "auto"})
    async with connected(folder) as agent:
        started = await agent.call("start_loop")
        assert sum("without bubblewrap" in text for text in started["findings"]) == 1
        assert (await agent.train())["state"] == "done"
        await agent.call("write_eval", source=EVALUATOR)
        assert (await agent.score())["state"] == "done"
    for kind in (TrainReceipt, EvalReceipt):
        receipt = Version(folder.project(), 1).receipt(kind)
        assert receipt is not None and receipt.sandbox.startswith("Landlock: bubblewrap is not installed; not kept")
    project = folder.project()
    said = status(project).unconfined
    assert said is not None and "without bubblewrap (bubblewrap is not installed): Landlock holds" in said
    assert [str(one) for one in warnings(project, project.rules(), ())].count(said) == 1
    assert str(head_of(project, project.rules(), derive(project, project.rules())).unconfined) == said
    assert level(ExecutionConfig()).kind == "landlock"


@pytest.mark.anyio
async def test_packages_in_the_project_that_changed_since_the_last_run_are_named(folder: Folder) -> None:
    venv.create(folder.path(".venv"), symlinks=True, with_pip=False)
    (site,) = folder.root.glob(".venv/lib/python3*/site-packages")
    own = sysconfig.get_paths()["purelib"]
    (site / "of_the_tests.pth").write_text(f"{own}\n")
    (site / "torch_helper.py").write_text("")
    async with connected(folder) as agent:
        await agent.call("start_loop")
        assert "changed since" not in str(await agent.train())
        # Nothing confines it: it could have been the training.
        (site / "torch_helper.py").write_text("print('poisoned')")
        await agent.call("write_eval", source=EVALUATOR)
        said = await agent.score()
    assert ".venv changed since the last run" in str(said["warnings"]) and "torch_helper.py" in str(said["warnings"])
