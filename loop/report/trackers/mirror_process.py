"""The detached process: one at a time, one child a tracker, and what was sent is remembered after each part."""

import fcntl
import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Generator, Mapping
from contextlib import contextmanager

from ...errors import LoopError, NewerRecord
from ...project.project import Project
from ...project.receipts import LoopFile
from ...project.version import Version
from ...rules.reading import Rules
from ...store import journal
from ...store.paths import TRACKING
from ...store.records import save
from ..tracker_state import (
    MirroredRun,
    TrackerName,
    TrackerState,
    configured,
    error_line,
    loop_id,
    state_file,
    tracker_state,
)
from .mlflow import mlflow
from .start_mirror import open_log
from .tensorboard import TensorboardFiles
from .tracker import Tracker, Unreachable
from .trackio import TrackioRuns
from .version_as_run import run_view, stamp
from .wandb import WandbRuns

LIMIT_SECONDS = 3600.0
_MOST_LOG_BYTES = 1 << 18
_KEPT_LOG_BYTES = 1 << 16
_POLL_SECONDS = 0.05


def mirror_all(project: Project, *, wait: bool) -> None:
    """Mirrors to each configured tracker in a child of its own, one after the other.

    At most one mirror runs and one waits: whoever waits has read nothing yet, and will see what a third one would.
    Not guaranteed: that a tracker's own package ends by itself; its process is killed after an hour.
    """
    tree = project.workspace.tree
    tree.make_folder(TRACKING)
    with tree.lock_file(f"{TRACKING}/waiting") as waiting, tree.lock_file(f"{TRACKING}/lock") as lock:
        try:
            fcntl.flock(waiting, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError:
            return
        fcntl.flock(lock, fcntl.LOCK_EX)
        fcntl.flock(waiting, fcntl.LOCK_UN)
        for name in configured(project.rules()):
            _run_child(project, name, lock)


def _run_child(project: Project, name: TrackerName, lock: int) -> None:
    """A tracker's package may hang, print, or take its process down: none of that reaches another tracker."""
    command = [sys.executable, "-P", "-m", "progressive_training.loop.report.trackers", str(project.workspace.root)]
    command += [f"--skill-folder={folder}" for folder in project.skill_folders]
    log = open_log(project.workspace.tree, TRACKING)
    try:
        started = os.fstat(log).st_size
        child = subprocess.Popen(
            [*command, f"--tracker={name}"],
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            # As long as it lives, the lock is held, whatever becomes of this process.
            pass_fds=(lock,),
        )
        deadline = time.monotonic() + LIMIT_SECONDS
        while child.poll() is None and time.monotonic() < deadline:
            if _shorten(log):
                started = 0
            time.sleep(_POLL_SECONDS)
        if child.poll() is None:
            os.killpg(child.pid, signal.SIGKILL)
            child.wait()
            _record_problem(project, name, f"did not end within {LIMIT_SECONDS:.0f} s and was killed")
        elif child.returncode != 0:
            said = os.pread(log, _KEPT_LOG_BYTES, max(started, os.fstat(log).st_size - _KEPT_LOG_BYTES))
            lines = said.decode(errors="replace").strip().splitlines() or [f"exit code {child.returncode}"]
            _record_problem(project, name, f"{lines[-1][:300]} (the whole error is in {TRACKING}/log.txt)")
        _shorten(log)
    finally:
        os.close(log)


def _shorten(log: int) -> bool:
    """Keeps the log's newest end once it is too long."""
    size = os.fstat(log).st_size
    if size <= _MOST_LOG_BYTES:
        return False
    kept = os.pread(log, _KEPT_LOG_BYTES, size - _KEPT_LOG_BYTES)
    os.ftruncate(log, 0)
    os.write(log, kept)
    return True


def _record_problem(project: Project, name: TrackerName, problem: str) -> None:
    try:
        known = tracker_state(project, name)
    except NewerRecord:  # a later release's memory of its runs: it stays, and whoever looks at it is told
        return
    state = known or TrackerState(target="", loop="", runs={}, at=journal.now())
    with project.mutation():
        save(
            project.workspace.tree,
            state_file(name),
            state.model_copy(update={"problem": problem, "at": journal.now()}),
        )


def mirror(project: Project, name: TrackerName) -> int:
    """Sends every version that changed since it was sent; what goes wrong is remembered with what was sent.

    Returns 0 also when a tracker could not be reached; the lock is the caller's. Nothing goes anywhere under rules that
    the user has not accepted: whoever can edit them must not thereby get files or credentials sent.
    """
    loop = project.loop()
    if loop is None:
        return 0
    try:
        rules = project.rules()
        project.require_unchanged_rules(rules, loop)
        salted = loop_id(loop, _salt(project))
        with _opened(project, rules, name) as tracker:
            _Pass(project, rules, loop, salted, name, tracker).run()
    except (LoopError, OSError) as error:
        problem = error_line(error) if isinstance(error, LoopError) else str(error)
        _record_problem(project, name, problem)
    return 0


def _salt(project: Project) -> bytes:
    """Drawn once for a project: two loops that started in the same second must not be taken for one."""
    tree, where = project.workspace.tree, f"{TRACKING}/salt"
    if not tree.is_file(where):
        with project.mutation():
            tree.create(where, uuid.uuid4().hex.encode())
    return tree.read(where)


@contextmanager
def _opened(project: Project, rules: Rules, name: TrackerName) -> Generator[Tracker]:
    """The tracker that `name` stands for. Raises `Unreachable` if its package is missing, or its settings are wrong."""
    config, folder = rules.file.tracking_config, project.workspace.root.name
    if name == "mlflow" and config.mlflow is not None:
        with mlflow(config.mlflow, folder) as tracker:
            yield tracker
    elif name == "tensorboard" and config.tensorboard is not None:
        yield TensorboardFiles(config.tensorboard, project.workspace.root)
    elif name == "trackio" and config.trackio is not None:
        yield TrackioRuns(config.trackio.project or folder)
    elif name == "wandb" and config.wandb is not None:
        yield WandbRuns(config.wandb, folder)


class _Pass:
    """One look at every version, in order."""

    def __init__(
        self, project: Project, rules: Rules, loop: LoopFile, salted: str, name: TrackerName, tracker: Tracker
    ) -> None:
        self._project, self._rules, self._loop, self._loop_id = project, rules, loop, salted
        self._name: TrackerName = name
        self._tracker = tracker
        self._target = tracker.target
        known = tracker_state(project, name)
        same = known is not None and (known.target, known.loop) == (self._target, salted)
        self._runs = dict(known.runs) if known is not None and same else {}
        self._saved = known if same else None

    def run(self) -> None:
        problem: str | None = None
        notes: dict[str, None] = {}
        for version in (Version(self._project, number) for number in self._project.versions()):
            try:
                notes.update(dict.fromkeys(self._send(version)))
            except Unreachable as error:
                problem = error_line(error)
                break
            except LoopError as error:
                problem = problem or f"{version.id}: {error_line(error)}"
        self._save(problem, tuple(notes)[:5])

    def _send(self, version: Version) -> tuple[str, ...]:
        known, seen = self._runs.get(version.id), stamp(version)
        if known is not None and known.sent and known.stamp == seen:
            return self._old_notes()
        view = run_view(version, self._rules, self._loop, self._loop_id)
        digest = view.digest
        if known is not None and known.sent == digest:
            self._runs[version.id] = known.model_copy(update={"stamp": seen})
            return self._old_notes()

        def remember(run_id: str, parts: Mapping[str, str]) -> None:
            self._runs[version.id] = MirroredRun(run_id=run_id, stamp="", sent="", parts=dict(parts))
            self._save(self._saved.problem if self._saved else None, self._old_notes())

        tree = self._project.workspace.tree
        notes = self._tracker.send(tree, view, known.run_id if known else None, known.parts if known else {}, remember)
        done = self._runs[version.id]
        self._runs[version.id] = done.model_copy(update={"stamp": seen, "sent": digest})
        self._save(self._saved.problem if self._saved else None, self._old_notes())
        return notes

    def _old_notes(self) -> tuple[str, ...]:
        return self._saved.notes if self._saved else ()

    def _save(self, problem: str | None, notes: tuple[str, ...]) -> None:
        """Nothing is written where nothing changed."""
        state = TrackerState(
            target=self._target,
            loop=self._loop_id,
            runs=self._runs,
            problem=problem,
            notes=notes,
            at=journal.now(),
        )
        saved = self._saved
        if saved is not None and (saved.runs, saved.problem, saved.notes) == (state.runs, problem, notes):
            return
        with self._project.mutation():
            save(self._project.workspace.tree, state_file(self._name), state)
        self._saved = state.model_copy(update={"runs": dict(self._runs)})
