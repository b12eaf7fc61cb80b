"""A program that makes Step calls on project folders, each list of calls in a fork of its own.

    python -m support.faults.driver FD

Each line that it reads from the socket FD is a JSON list of orders, which it obeys at once; it answers with a list.
Everything heavy is imported before the first fork, so that what a fork does is the Step and little else. strace counts
system calls for each process, so that every fork begins at none; it answers by a socket: `sendto` is not counted.
"""

import gc
import importlib
import json
import os
import pkgutil
import signal
import socket
import sys
import time
import traceback
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import jinja2
import numpy
import pandas
import scipy.stats

from progressive_training import loop, pages, prompts
from progressive_training.loop.errors import LoopError
from progressive_training.loop.jobs.local import LocalExecutor
from progressive_training.loop.project import integrity
from progressive_training.loop.project.project import Project
from progressive_training.tools import STEPS

from ..projects import EVALUATOR
from .arguments import arguments_for
from .broken import BROKEN
from .executor import ForkingExecutor

_PATIENCE_SECONDS = 30  # a call that hangs is ended, and so seen
PRELOADED = (jinja2, numpy, pandas, scipy.stats)
_RUN_ELSEWHERE = {"recorder", "user_python", "evaluator_parts", "__main__"}
FUNCTIONS: dict[str, Callable[..., Any]] = {step.name: step.function for step in STEPS}

_NONE = 9999  # no descriptor
# A call that fails in the kernel at once, and yet is counted.
_NOTHING: dict[str, Callable[[], object]] = {
    "write": lambda: os.write(_NONE, b""),
    "pwrite64": lambda: os.pwrite(_NONE, b"", 0),
    "fsync": lambda: os.fsync(_NONE),
    "ftruncate": lambda: os.ftruncate(_NONE, 0),
    "openat": lambda: os.open("", os.O_RDONLY),
    "rename": lambda: os.rename("", ""),  # noqa: PTH104 - for its system call
    "renameat": lambda: os.rename("", "", src_dir_fd=_NONE, dst_dir_fd=_NONE),
    "link": lambda: os.link("", ""),
    "linkat": lambda: os.link("", "", src_dir_fd=_NONE, dst_dir_fd=_NONE, follow_symlinks=False),
    "unlink": lambda: os.unlink(""),  # noqa: PTH108 - for its system call
    "unlinkat": lambda: os.unlink("", dir_fd=_NONE),
    "rmdir": lambda: os.rmdir(""),  # noqa: PTH106 - for its system call
    "mkdir": lambda: os.mkdir(""),  # noqa: PTH102 - for its system call
    "mkdirat": lambda: os.mkdir("", dir_fd=_NONE),
    "sendfile": lambda: os.sendfile(_NONE, _NONE, 0, 1),
    "symlinkat": lambda: os.symlink("", "", dir_fd=_NONE),
}


def main() -> None:
    channel = socket.socket(fileno=int(sys.argv[1]))
    _import_all()
    gc.freeze()
    with channel, channel.makefile("r", encoding="utf-8") as lines:
        for line in lines:
            orders = json.loads(line)
            replies = [_forked(orders[0])] if len(orders) == 1 else _at_once(orders)
            channel.sendall(json.dumps(replies).encode() + b"\n")


def _import_all() -> None:
    """What a Step imports at its first call, a fork would import at each."""
    for package in (loop, pages, prompts):
        _import_below(package)


def _import_below(package: ModuleType) -> None:
    """Every module below the package. A folder that runs elsewhere isn't even looked into: torch comes with it."""
    for found in pkgutil.iter_modules(package.__path__, f"{package.__name__}."):
        if found.name.rpartition(".")[2] not in _RUN_ELSEWHERE:
            module = importlib.import_module(found.name)
            if found.ispkg:
                _import_below(module)


def _forked(order: dict[str, Any]) -> dict[str, Any]:
    child, ours = _fork(order, None)
    return _reply(child, ours)


def _at_once(orders: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Every order in a fork of its own, all let go in one moment."""
    gate, opener = os.pipe()
    children = [_fork(order, (gate, opener)) for order in orders]
    os.close(gate)
    os.close(opener)
    return [_reply(child, ours) for child, ours in children]


def _fork(order: dict[str, Any], start: tuple[int, int] | None) -> tuple[int, socket.socket]:
    ours, theirs = socket.socketpair()
    child = os.fork()
    if child == 0:
        signal.alarm(_PATIENCE_SECONDS)
        try:
            ours.close()
            if start is not None:
                os.close(start[1])
                os.read(start[0], 1)
            theirs.sendall(json.dumps(_obey(order)).encode())
        finally:
            os._exit(0)
    theirs.close()
    return child, ours


def _reply(child: int, ours: socket.socket) -> dict[str, Any]:
    with ours, ours.makefile("rb") as reader:
        said = reader.read()
    status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return {"pid": child, "status": status, "answers": json.loads(said) if said else []}


def _obey(order: dict[str, Any]) -> list[dict[str, Any]]:
    executor = {"local": LocalExecutor(), "forking": ForkingExecutor(), "deferred": ForkingExecutor(wait=False)}
    project = Project(Path(order["root"]), executor=executor[order["executor"]])
    if order.get("broken"):
        BROKEN[order["broken"]]()
    for name, count in order.get("pads", {}).items():
        for _ in range(count):
            try:
                _NOTHING[name]()
            except OSError:
                continue
    return [_answer(project, call) for call in order["calls"]]


def _answer(project: Project, call: dict[str, Any]) -> dict[str, Any]:
    try:
        return {"ok": True, **_done(project, call)}
    except LoopError as error:  # as server/app.py translates it
        return {"ok": False, "error": str(error)}
    except OSError as error:
        return {"ok": False, "error": f"the project could not be read or written: {error.strerror or error}"}
    except BaseException:  # noqa: BLE001 - what a client would see as a bug is what the test looks for
        return {"ok": False, "crash": traceback.format_exc()}


def _done(project: Project, call: dict[str, Any]) -> dict[str, Any]:
    arguments = call.get("arguments", {})
    match call["do"]:
        case "wait":
            wait_for_jobs(project)
            return {}
        case "write":
            (project.root / arguments["path"]).write_text(arguments["text"], encoding="utf-8")
            return {}
        case "without_pictures":
            _hide_matplotlib()
            return {}
        case "finish":
            _hide_matplotlib()
            return {"made": finish(project, arguments.get("most", 40))}
        case "next_phase":
            following = FUNCTIONS["next_step"](project, brief=False).next
            version = following.arguments.get("version") if following else None
            return {"tool": following.tool if following else None, "version": version}
        case "until":
            return {"made": until(project, arguments["phase"])}
        case "accept_rules":
            return {"changed": integrity.accept_rules(project)}
        case "accept_protocol":
            return {"changed": integrity.accept_protocol(project)}
        case tool:
            result = FUNCTIONS[tool](project, **arguments)
            said = result.model_dump(mode="json", include={"state", "phase", "version", "message", "already_done"})
            return dict(said)


def _hide_matplotlib() -> None:
    """From now on as where it isn't installed: to paint takes longer than all else that a loop's end does."""
    sys.modules["matplotlib"] = None  # type: ignore[assignment]


def wait_for_jobs(project: Project, version: int | None = None) -> None:
    """Until no job runs: of this version, or of any."""
    if isinstance(project.executor, ForkingExecutor):
        project.executor.begin()
    deadline = time.monotonic() + 60
    folder = f"v{version:03d}" if version else "*"
    for job in project.root.glob(f".progressive-training/attempts/{folder}/*/job.json"):
        while project.executor.poll(job.parent).state == "running":
            if time.monotonic() > deadline:
                raise TimeoutError(f"{job.parent} runs on")
            time.sleep(0.01)


def finish(project: Project, most: int) -> list[str]:
    """Goes on to the loop's end with the next legal call each time; the calls that it made.

    Raises `LoopError`, and `AssertionError` if that takes more than `most` calls.
    """
    made: list[str] = []
    while len(made) < most:
        following = FUNCTIONS["next_step"](project, brief=False).next
        if following is None:
            FUNCTIONS["final_report"](project, analysis="The higher rate did it.")
            return made
        made.append(following.tool)
        result = advance(project, following.tool, following.arguments.get("version"))
        if result.state == "running":
            wait_for_jobs(project)
    raise AssertionError(f"the loop doesn't end: {made}")


def until(project: Project, phase: str) -> list[str]:
    """Goes on as `finish` does, and stops at the first moment that the loop is in this phase."""
    made: list[str] = []
    while (now := FUNCTIONS["next_step"](project, brief=False)).phase != phase:
        assert now.next is not None, f"the loop never came to {phase}: {made}"
        made.append(now.next.tool)
        advance(project, now.next.tool, now.next.arguments.get("version"))
    return made


def advance(project: Project, tool: str, version: int | None) -> Any:
    """Makes the one legal call, with arguments that fit the stub scripts."""
    if tool == "run_eval" and not (project.root / "03_eval.py").exists():
        FUNCTIONS["write_eval"](project, source=EVALUATOR)
    return FUNCTIONS[tool](project, **arguments_for(project.root, tool, version))


if __name__ == "__main__":
    main()
