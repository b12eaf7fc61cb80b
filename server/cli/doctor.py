"""What this machine and project have, what they lack, and how to get it."""

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Literal

from ...loop.errors import LoopError
from ...loop.jobs.placing import level
from ...loop.jobs.warm.spare_folders import resting
from ...loop.project.confinement import install_command
from ...loop.project.disk import mounts
from ...loop.project.project import Project
from ...loop.project.state import derive
from ...loop.report.tracker_state import error_line, tracker_views
from ...loop.report.trackers.tracker import lacking
from ...loop.store.paths import PREPDATA, RULES_FILE, STATE, Workspace
from .options import project_of
from .probe_job import probe
from .progress_display import console
from .track import AGAIN, detail

_LOW_DISK_BYTES = 2 << 30
_PROBE = """
import importlib.metadata as m, json, sys
found = {"python": sys.version.split()[0]}
for name in ("torch", "lightning", "pytorch-lightning", "torchmetrics", "numpy"):
    try: found[name] = m.version(name)
    except m.PackageNotFoundError: pass
try:
    import torch
    found["cuda"] = torch.cuda.is_available() and torch.cuda.get_device_name(0)
    found["mps"] = bool(getattr(torch.backends, "mps", None) and torch.backends.mps.is_available())
except ImportError: pass
print(json.dumps(found))
"""


@dataclass(frozen=True)
class Check:
    """`hint` says how to get what is missing."""

    name: str
    status: Literal["ok", "note", "missing"]
    detail: str
    hint: str = ""


def on_doctor(arguments: argparse.Namespace) -> int:
    """Prints the checks; 1 if something that the loop needs is missing."""
    checks = list(_checks(project_of(arguments)))
    if arguments.json:
        sys.stdout.write(json.dumps([asdict(check) for check in checks], indent=1, ensure_ascii=False) + "\n")
    else:
        out = console()
        marks = {"ok": "ok     ", "note": "note   ", "missing": "MISSING"}
        for check in checks:
            out.print(f"{marks[check.status]} {check.name}: {check.detail}", markup=False)
            if check.hint:
                out.print(f"        {check.hint}", markup=False, style="dim")
    return 1 if any(check.status == "missing" for check in checks) else 0


def _checks(project: Project) -> Iterator[Check]:
    yield Check("server", "ok", f"Python {sys.version.split()[0]} at {sys.executable}")
    yield _project(project)
    yield from _user_python(project)
    yield _sandbox(project)
    yield _executor(project)
    yield _warm_start(project)
    yield from _trackers(project)
    yield _disk(project)
    yield from mount_checks(project.workspace)


def _project(project: Project) -> Check:
    try:
        state = derive(project, project.rules())
    except LoopError as error:
        return Check(
            "project", "missing", f"{error.where}: {error.what}" if error.where else error.what, error.hint or ""
        )
    return Check("project", "ok", f"{project.workspace.root}, phase {state.phase}")


def _user_python(project: Project) -> Iterator[Check]:
    try:
        rules = project.rules()
        python = project.interpreter(rules)
        command = [python, "-c", _PROBE]
        done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=project.environment(rules))
    except (LoopError, OSError, subprocess.TimeoutExpired) as error:
        yield Check(
            "python for scripts", "missing", str(error), "set execution_config.python in user_defined_rules.json"
        )
        return
    if done.returncode != 0:
        yield Check("python for scripts", "missing", f"{python}: {done.stderr.strip()[-300:]}", "repair its packages")
        return
    found = json.loads(done.stdout)
    yield Check("python for scripts", "ok", f"Python {found['python']} at {python}")
    install = f'{python} -m pip install "progressive-training[lightning]"'
    for name in ("torch", "torchmetrics"):
        known = name in found
        yield Check(name, "ok" if known else "missing", found.get(name, "not installed"), "" if known else install)
    lightning = found.get("lightning") or found.get("pytorch-lightning")
    yield Check(
        "lightning", "ok" if lightning else "missing", lightning or "not installed", "" if lightning else install
    )
    device = found.get("cuda") or ("Apple MPS" if found.get("mps") else None)
    yield Check("device", "ok" if device else "note", device or f"CPU only, {os.cpu_count()} cores")


def _sandbox(project: Project) -> Check:
    try:
        config = project.rules().file.execution_config
        found = level(config)
    except LoopError as error:
        return Check("sandbox", "missing", error.what, error.hint or "")
    if found.kind == "bubblewrap":
        told = f"{found.name}; user code sees its project, its data set and its Python, and writes its version's folder"
        mounts = f"; by the rules it also sees {', '.join(config.mounts)}" if config.mounts else ""
        return Check("sandbox", "ok", told + mounts)
    hint = f"{install_command()}; in a container it needs user namespaces" if found.lacks else ""
    if found.kind == "landlock":
        return Check("sandbox", "note", found.name, hint)
    return Check("sandbox", "note", f"{found.name}; user code gets an environment without keys, and no more", hint)


def _executor(project: Project) -> Check:
    """Runs a job: on a cluster only that tells whether its nodes see the project and its interpreter."""
    try:
        tried = probe(project)
    except LoopError as error:
        return Check("executor", "missing", error.what, error.hint or "")
    marks: dict[str, Literal["ok", "note", "missing"]] = {"ended": "ok", "waits": "note", "failed": "missing"}
    return Check("executor", marks[tried.state], tried.detail, tried.hint)


def _warm_start(project: Project) -> Check:
    try:
        wanted = project.rules().file.execution_config.warm_start
    except LoopError as error:
        return Check("warm start", "note", error.what)  # said for the project as well
    if not wanted:
        return Check("warm start", "note", f"off: execution_config.warm_start is false in {RULES_FILE}")
    waiting = [
        f"for {'trainings' if spare.kind == 'train' else 'evaluations'}"
        + (f" {spare.memory_bytes / (1 << 20):.0f} MiB" if spare.memory_bytes else "")
        for spare in resting(project.workspace.root / STATE)
    ]
    told = (
        f"waiting now: {', '.join(waiting)}" if waiting else "nothing waits now; serve, run and demo keep interpreters"
    )
    return Check("warm start", "ok", told)


def _trackers(project: Project) -> Iterator[Check]:
    """Notes only: the loop goes on without its trackers."""
    try:
        views = tracker_views(project, project.rules())
    except LoopError:
        return  # said for the project
    for view in views:
        missing = lacking(view.name)
        told = error_line(missing) if missing else detail(view)
        fine = missing is None and not view.problem and not view.notes
        yield Check(view.name, "ok" if fine else "note", told, AGAIN if view.problem and not missing else "")


def mount_checks(workspace: Workspace) -> Iterator[Check]:
    """Says where the parts of the project lie; several file systems cost time, and nothing else."""
    found = mounts(workspace)
    told = [f"{'the project' if name == '.' else name} on {one.kind} at {one.point}" for name, one in found.items()]
    apart = len({one.point for name, one in found.items() if name != PREPDATA}) > 1
    hint = "what is moved between them is copied: large checkpoints take their time" if apart else ""
    if told:
        yield Check("mounts", "note" if apart else "ok", "; ".join(told), hint)


def _disk(project: Project) -> Check:
    free = shutil.disk_usage(project.root).free
    enough = free >= _LOW_DISK_BYTES
    hint = "" if enough else "free some space: checkpoints of each version are kept"
    return Check("disk", "ok" if enough else "missing", f"{free / (1 << 30):.1f} GiB free", hint)
