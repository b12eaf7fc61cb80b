"""Runs a rehearsal in the user's interpreter: the script for a few batches, twice, and the evaluator on what it left.

    python -I -B run_rehearsal.py PLAN.json

Standard library only, Python 3.9. The second run of the script only draws its data again, to see whether they are the
same. The evaluator's process imports meanwhile, is forked for the second run, which saves a third of the work, and
waits for a word. What comes of each is written to `said`; whatever still runs when its time is up is ended, so that all
of it together keeps to `seconds`.
"""

from __future__ import annotations

import glob
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import site
import subprocess
import sys
import time
import traceback
from pathlib import Path
from typing import Any

_GO = b"go\n"
_KILL_AFTER = 2.0
_AGAIN_SECONDS = 10.0  # that the second run may take after the first one
# Variables of an interpreter that change nothing in what a script does. The evaluator's ignores all of them.
_HARMLESS = frozenset({"PYTHONFAULTHANDLER", "PYTHONUNBUFFERED", "PYTHONDONTWRITEBYTECODE"})


def main() -> int:
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if sys.argv[2:3] == ["evaluate"]:
        return _evaluate(plan, int(sys.argv[3]))
    began = time.monotonic()
    end, train_end = began + plan["seconds"], began + plan["train_seconds"]
    said: dict[str, Any] = {"train": None, "again": None, "evaluate": None}
    # Two of them would need twice the memory of a GPU.
    side_by_side = not glob.glob("/dev/nvidia[0-9]*")
    train = _Child(plan["train"])
    evaluator = again = None
    if plan["evaluator"]:
        twin = _Twin()
        evaluator = _Child(_evaluator(plan, twin.end if side_by_side else -1), stdin=subprocess.PIPE, fds=(twin.end,))
        again = twin if side_by_side else None
        os.close(twin.end)
    elif side_by_side:
        again = _Child(plan["again"])
    said["train"] = train.waited(train_end)
    _write(plan["said"], said)
    checkpoint = _checkpoint(plan)
    if evaluator is not None and checkpoint is not None:
        shutil.copyfile(checkpoint, plan["arguments"]["checkpoint"])
        evaluator.go()
        said["evaluate"] = {**evaluator.waited(end), "checkpoint": os.path.basename(checkpoint)}
    elif evaluator is not None:
        evaluator.end()
    _write(plan["said"], said)
    if again is None or (isinstance(again, _Twin) and not again.has_begun(end)):
        again = _Child(plan["again"])
    said["again"] = again.waited(min(end, max(train_end, time.monotonic() + _AGAIN_SECONDS)))
    _write(plan["said"], said)
    return 0


class _Child:
    """One process of the rehearsal, in a process group of its own."""

    def __init__(self, plan: dict[str, Any], stdin: int = subprocess.DEVNULL, fds: tuple[int, ...] = ()) -> None:
        self._began = self._from = time.monotonic()
        output = open(plan["log"], "wb") if plan.get("log") else None  # noqa: SIM115 - its child holds it
        self._process = subprocess.Popen(
            plan["argv"],
            cwd=plan["cwd"],
            env={**os.environ, **plan["variables"]},
            stdin=stdin,
            stdout=output,
            stderr=subprocess.STDOUT if output is not None else None,
            start_new_session=True,
            pass_fds=fds,
        )
        if output is not None:
            output.close()

    def go(self) -> None:
        self._from = time.monotonic()
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(_GO)
            self._process.stdin.close()
        except BrokenPipeError:  # it has ended: how, its exit code says
            return

    def waited(self, until: float) -> dict[str, Any]:
        timed_out = False
        try:
            self._process.wait(max(0.1, until - time.monotonic()))
        except subprocess.TimeoutExpired:
            timed_out = True
        seconds = time.monotonic() - self._from
        self.end()
        return {"rc": self._process.returncode, "timed_out": timed_out, "seconds": round(seconds, 3)}

    def end(self) -> None:
        """Ends it with all its children."""
        for number in (signal.SIGTERM, signal.SIGKILL):
            try:
                os.killpg(self._process.pid, number)
            except (ProcessLookupError, PermissionError):
                break
            try:
                self._process.wait(_KILL_AFTER)
            except subprocess.TimeoutExpired:
                continue


class _Twin:
    """The second run as a child of the evaluator's process: what both import is imported once.

    It holds `end`, the other end of a pipe, says its number there and closes it by ending.
    """

    def __init__(self) -> None:
        self._pipe, self.end = os.pipe()
        self._group: int | None = None

    def has_begun(self, until: float) -> bool:
        """Whether there is one. The evaluator's process, which makes it, has ended."""
        if not self._is_readable(until):
            return False
        text = os.read(self._pipe, 16)  # written at once, and small enough to arrive so
        self._group = int(text) if text else None
        return bool(text)

    def waited(self, until: float) -> dict[str, Any]:
        ended = self._is_readable(until)
        if not ended and self._group is not None:
            try:
                os.killpg(self._group, signal.SIGKILL)
            except (ProcessLookupError, PermissionError):
                ended = True
        return {"rc": None, "timed_out": not ended}

    def _is_readable(self, until: float) -> bool:
        return bool(select.select([self._pipe], [], [], max(0.1, until - time.monotonic()))[0])


def _evaluator(plan: dict[str, Any], twin: int) -> dict[str, Any]:
    argv = [sys.executable, "-I", "-B", __file__, sys.argv[1], "evaluate", str(twin)]
    return {"argv": argv, "cwd": plan["arguments"]["source"], "variables": {}, "log": plan["evaluator_log"]}


def _evaluate(plan: dict[str, Any], twin: int) -> int:
    imported = True
    for item in plan["imports"]:
        name, _, value = item.partition("=")
        if value or item.endswith("="):
            os.environ[name] = value
            continue
        try:
            importlib.import_module(item.lstrip("?").partition(":")[0])
        except Exception:  # noqa: BLE001 - the script will say so itself, or handles it
            imported = False
            break
    if twin >= 0:
        _run_again(plan["again"], twin, shared=imported and _is_like_the_scripts(plan["again"]))
    if sys.stdin.buffer.readline() != _GO:
        return 0
    sys.argv = [plan["evaluator"], *(f"--{name}={value}" for name, value in plan["arguments"].items())]
    try:
        runpy.run_path(plan["evaluator"], run_name="__main__")
    except SystemExit as end:
        if end.code:
            raise
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)  # to take torch apart takes longer than some evaluations


def _is_like_the_scripts(run: dict[str, Any]) -> bool:
    """Whether a fork of this isolated interpreter is one that the script could have begun in."""
    theirs = {name for name in os.environ if name.startswith("PYTHON")} - _HARMLESS
    own_site = sys.prefix == sys.base_prefix and os.path.isdir(site.getusersitepackages())
    return sys.platform == "linux" and run["install"] is not None and not theirs and not own_site


def _run_again(run: dict[str, Any], end: int, *, shared: bool) -> None:
    """Begins the second run in a session of its own, with the pipe's end for its number."""
    if not shared:
        with open(run["log"], "wb") as output:
            child = subprocess.Popen(
                run["argv"],
                cwd=run["cwd"],
                env={**os.environ, **run["variables"]},
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                pass_fds=(end,),
            )
        os.write(end, b"%d\n" % child.pid)
    elif os.fork() == 0:
        try:
            os.setsid()
            os.write(end, b"%d\n" % os.getpid())
            _become(run)
            runpy.run_path(run["argv"][1], run_name="__main__")
        except BaseException:  # noqa: BLE001 - the forked child ends here, whatever the script raised
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(0)
    os.close(end)


def _become(run: dict[str, Any]) -> None:
    """This process is the script's from now on: folder, variables, search path, random numbers of its own."""
    output = os.open(run["log"], os.O_WRONLY | os.O_CREAT, 0o600)
    for source, target in ((os.open(os.devnull, os.O_RDONLY), 0), (output, 1), (output, 2)):
        os.dup2(source, target)
    os.environ.update(run["variables"])
    os.chdir(run["cwd"])
    sys.argv = [run["argv"][1]]
    sys.path.insert(0, run["cwd"])
    # As those of a new process would be; `random` does so by itself.
    if "numpy" in sys.modules:
        sys.modules["numpy"].random.seed()
    if "torch" in sys.modules:
        sys.modules["torch"].default_generator.seed()
    exec(run["install"], {"__name__": "progressive_training_rehearsal"})


def _checkpoint(plan: dict[str, Any]) -> str | None:
    """best.ckpt; else what the script's ModelCheckpoint called its best; else the newest that there is."""
    folder = plan["artifacts"]
    best = os.path.join(folder, "best.ckpt")
    if os.path.isfile(best):
        return best
    for place in sorted(glob.glob(os.path.join(glob.escape(plan["facts"]), "*.json"))):
        for path in _best_paths(place):
            whole = os.path.join(plan["train"]["cwd"], path)
            if os.path.isfile(whole):
                return whole
    others = glob.glob(os.path.join(glob.escape(folder), "**", "*.ckpt"), recursive=True)
    return max((path for path in others if os.path.isfile(path)), key=os.path.getmtime, default=None)


def _best_paths(facts: str) -> list[str]:
    try:
        sections = json.loads(Path(facts).read_bytes()).get("sections", [])
        savers = [saver for section in reversed(sections) for saver in section.get("checkpoints", [])]
        return [path for saver in savers if isinstance(path := saver.get("best_model_path"), str) and path]
    except (OSError, ValueError, AttributeError, TypeError):
        return []


def _write(path: str, content: Any) -> None:
    Path(path).write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
