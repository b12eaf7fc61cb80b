"""What must hold in a project at every moment after a recovery: each function says what is wrong, and nothing else."""

import csv
import hashlib
import json
import re
import zlib
from collections.abc import Iterator
from pathlib import Path

from progressive_training.loop.errors import LoopError
from progressive_training.loop.project.project import Project
from progressive_training.loop.project.receipts import (
    ActionReceipt,
    AnalysisReceipt,
    EvalReceipt,
    NextReceipt,
    TrainReceipt,
)
from progressive_training.loop.project.state import report_receipt
from progressive_training.loop.project.version import Version

STATE = ".progressive-training"
_VERSION = re.compile(r"02_train_v(\d+)\.py")
_REPORT = re.compile(r"Models/Report/[^/]+")
# Not named in a comparison: they hold what was tried, and a fault may need one attempt more.
# Painted by a process that has its time: on a loaded machine a report may be without, until it is asked for again.
_PAINTED = "Models/Report/…/pictures/"
_UNCOUNTED = (
    *(f"{STATE}/attempts/", f"{STATE}/trash/", f"{STATE}/lock", f"{STATE}/reserve", "second-try"),
    f"{STATE}/cache/bundle/",  # what was copied for the report, where the next call goes on
)


def faults(root: Path) -> list[str]:
    """Everything that must never be found, whatever happened before."""
    project = Project(root)
    return [*journal_faults(root), *version_faults(project), *receipt_faults(project)]


def staging_files(root: Path) -> Iterator[str]:
    """What a write leaves beside its target when it is cut off, once nobody writes any more."""
    for path in sorted(root.rglob("*")):
        name, relative = path.name, path.relative_to(root).as_posix()
        if name.startswith(".staging-") or (
            path.is_file() and relative.startswith((f"{STATE}/staging/", f"{STATE}/report/"))
        ):
            yield f"left behind: {relative}"


def journal_faults(root: Path) -> Iterator[str]:
    """Sequence numbers only grow, and no whole event stands on a torn line."""
    last = 0
    path = root / STATE / "journal.jsonl"
    for number, line in enumerate(path.read_bytes().split(b"\n") if path.exists() else [], 1):
        body, separator, crc = line.rpartition(b', "crc": ')
        if not separator:
            continue  # empty, or torn
        text = body + b"}"
        if crc != str(zlib.crc32(text)).encode() + b"}":
            yield f"journal line {number} is damaged: {line[:80]!r}"
            continue
        seq = json.loads(text)["seq"]
        if seq <= last:
            yield f"journal line {number} has sequence number {seq} after {last}"
        last = seq


def events(root: Path) -> list[str]:
    """The journal's events in order, without those on torn lines."""
    found: list[str] = []
    for line in (root / STATE / "journal.jsonl").read_bytes().split(b"\n"):
        try:
            content = json.loads(line)
        except ValueError:
            continue
        found.append(f"{content['event']} {content['version']}")
    return found


def version_faults(project: Project) -> Iterator[str]:
    """Versions count from 1 without a gap, and each but the first follows from a receipt."""
    versions = project.workspace.numbered_scripts()
    if versions != list(range(1, len(versions) + 1)):
        yield f"versions are {versions}"
    scripts = {_digest(project, project.workspace.script(cur)) for cur in versions}
    if len(scripts) != len(versions):
        yield "two versions have the same script"
    for cur in versions[1:]:
        if Version(project, cur - 1).receipt(NextReceipt) is None:
            yield f"v{cur:03d} is there without a receipt"


def receipt_faults(project: Project) -> Iterator[str]:
    """Every receipt can be read, and says of its files what is true."""
    try:
        for cur in project.workspace.numbered_scripts():
            yield from _version_receipts(project, cur)
        report = report_receipt(project)
    except LoopError as error:
        yield str(error)
        return
    if report is not None:
        for name in ("leaderboard.csv", "final-analysis.md"):
            if not project.workspace.tree.is_file(f"{report.folder}/{name}"):
                yield f"the report lacks {name}"


def _version_receipts(project: Project, cur: int) -> Iterator[str]:
    artifacts = project.workspace.artifacts(cur)
    expected: dict[str, str] = {}
    if script := Version(project, cur).authored_sha256():
        expected[project.workspace.script(cur)] = script
    if trained := Version(project, cur).receipt(TrainReceipt):
        expected |= {f"{artifacts}/{name}": digest for name, digest in trained.artifacts.items()}
        expected |= {f"{STATE}/snapshots/v{cur:03d}/{name}": digest for name, digest in trained.snapshot.items()}
        expected[project.workspace.script(cur)] = trained.script_sha256
    if analysed := Version(project, cur).receipt(AnalysisReceipt):
        expected[f"{artifacts}/result-analysis.md"] = analysed.document_sha256
    if acted := Version(project, cur).receipt(ActionReceipt):
        expected[f"{artifacts}/action-extract.md"] = acted.document_sha256
    if (authored := Version(project, cur).receipt(NextReceipt)) and not project.workspace.tree.is_file(
        project.workspace.script(cur + 1)
    ):
        yield f"v{cur + 1:03d} has a receipt and no script ({authored.at})"
    if scored := Version(project, cur).receipt(EvalReceipt):
        score = json.loads((project.root / artifacts / "eval_score.json").read_bytes())
        if [metric["value"] for metric in score["metrics"]] != [metric.value for metric in scored.metrics]:
            yield f"eval_score.json of v{cur:03d} is not what its receipt says"
        if not project.workspace.tree.is_file(project.workspace.sample_scores(cur)):
            yield f"v{cur:03d} is scored and has no per-sample scores"
    for name, digest in expected.items():
        if not project.workspace.tree.is_file(name):
            yield f"{name} is gone, and a receipt names it"
        elif _digest(project, name) != digest:
            yield f"{name} is not what its receipt says"


def shape(root: Path) -> dict[str, str]:
    """Every file that a finished loop leaves; for scripts and the agent's documents also what they hold."""
    found: dict[str, str] = {}
    for path in root.rglob("*"):
        relative = path.relative_to(root).as_posix()
        if not path.is_file() or relative.startswith(_UNCOUNTED) or "__pycache__" in relative:
            continue
        content = ""
        if path.name == "leaderboard.csv":
            content = _without_times(path)
        elif path.suffix == ".py" or path.name == "action-extract.md":
            content = re.sub(r"\d{4}-\d\d-\d\d[^,]*|\d+\.\d{3,}", "…", path.read_text(encoding="utf-8"))
        name = _REPORT.sub("Models/Report/…", relative)
        if name.startswith(_PAINTED):
            continue
        found[f"{name} (again)" if name in found else name] = content
    return found


def _without_times(leaderboard: Path) -> str:
    with leaderboard.open(encoding="utf-8", newline="") as file:
        rows = [{**row, "created_at": "", "latency_ms": ""} for row in csv.DictReader(file)]
    return json.dumps(rows)


def differences(expected: dict[str, str], found: dict[str, str]) -> list[str]:
    """In words: what one finished loop left and the other did not."""
    names = [f"missing: {name}" for name in sorted(expected.keys() - found.keys())]
    names += [f"too much: {name}" for name in sorted(found.keys() - expected.keys())]
    shared = expected.keys() & found.keys()
    return [*names, *(f"differs: {name}" for name in sorted(shared) if expected[name] != found[name])]


def _digest(project: Project, relative: str) -> str:
    return hashlib.sha256(project.workspace.tree.read(relative)).hexdigest()
