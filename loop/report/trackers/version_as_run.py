"""A version as a tracker's run, read from receipts and files; the same files always give the same run."""

import hashlib
import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from math import isfinite
from typing import Literal

from ...errors import LoopError, UnsafePath
from ...evaluate.infer_samples import MAX_PICTURE_BYTES, kind_of
from ...project.project import Project
from ...project.receipts import (
    ActionReceipt,
    AnalysisReceipt,
    EvalReceipt,
    LoopFile,
    NextReceipt,
    ReportReceipt,
    StartReceipt,
    TrainReceipt,
)
from ...project.state import REPORT_RECEIPT, report_receipt
from ...project.version import Version
from ...rules.reading import Rules
from ...store.digest import sha256
from ...store.paths import STATE, version_id
from ...text import clean
from ...train.curves import shown_curves
from ..status import VersionView, version_view
from .run_note import note
from .run_params import Param, params

MOST_PICTURES = 20
_DOCUMENTS = ("result-analysis.md", "action-extract.md", "_tests/train_retry_report.md")
_STATUS: Mapping[str, Literal["running", "finished", "failed"]] = {
    "failed": "failed",
    "scored": "finished",
    "analysed": "finished",
}


@dataclass(frozen=True)
class File:
    """`name` is its path in the tracker's run, `source` in the project; `size` is in bytes."""

    name: str
    source: str
    sha256: str
    size: int


@dataclass(frozen=True)
class Curve:
    """`points` are (epoch, value); times of epochs are not known."""

    name: str
    points: tuple[tuple[int, float], ...]


@dataclass(frozen=True)
class RunView:
    """What a tracker shows of a version. Times are milliseconds since 1970.

    `score_step` counts the version's evaluations, so that a later score stands behind an earlier one.
    """

    loop: str
    project: str
    version: int
    status: Literal["running", "finished", "failed"]
    started_ms: int
    trained_ms: int
    wall_ms: int
    ended_ms: int
    note: str
    params: Mapping[str, Param]
    tags: Mapping[str, str]
    curves: tuple[Curve, ...]
    score: Mapping[str, float]
    score_step: int
    files: tuple[File, ...]

    @property
    def version_id(self) -> str:
        return version_id(self.version)

    @property
    def name(self) -> str:
        """A name that is unique beyond this loop."""
        return f"{self.version_id}-{self.loop[:8]}"

    @property
    def digest(self) -> str:
        return hashlib.sha256(json.dumps(asdict(self), sort_keys=True).encode()).hexdigest()

    def epoch_ms(self, place: int, count: int) -> int:
        """When the epoch at `place` of `count` ended, as if all took equally long."""
        return self.trained_ms - self.wall_ms + self.wall_ms * (place + 1) // count


def stamp(version: Version) -> str:
    """Changes whenever something that the version's run is made from may have changed; costs a look at each file."""
    project, tried = version.project, version.project.workspace.attempts(version.number)
    tree = project.workspace.tree
    looked_at = [
        *map(version.receipt_file, (StartReceipt, TrainReceipt, EvalReceipt, AnalysisReceipt, ActionReceipt)),
        *(map(version.parent.receipt_file, (ActionReceipt, NextReceipt)) if version.parent else ()),
        *(f"{tried}/{name}/{file}" for name in tree.names(tried) for file in ("verdict.json", "repair.json")),
        f"{STATE}/scores/{version.id}/noise.json",
        *(f"{version.artifacts}/{name}" for name in ("best.ckpt", "spec.json", "eval_score.json", *_DOCUMENTS)),
        version.script_name,
        REPORT_RECEIPT,
    ]
    if (report := report_receipt(project)) is not None and report.best == version.id:
        looked_at += [source for source, _ in _report_files(project, report.folder)]
    found = [(name, tree.known.stamp(name)) for name in looked_at]
    return hashlib.sha256(repr(found).encode()).hexdigest()


@dataclass(frozen=True)
class _Records:
    """What is on record of a version, read once."""

    version: Version
    shown: VersionView
    trained: TrainReceipt | None
    scored: EvalReceipt | None
    report: ReportReceipt | None

    @property
    def is_best(self) -> bool:
        return self.report is not None and self.report.best == self.version.id


def run_view(version: Version, rules: Rules, loop: LoopFile, loop_id: str) -> RunView:
    """Raises `ProjectError` for a receipt that is damaged."""
    primary = rules.file.eval_config.primary_metric
    found = _Records(
        version,
        shown=version_view(version, primary),
        trained=version.receipt(TrainReceipt),
        scored=version.receipt(EvalReceipt),
        report=report_receipt(version.project),
    )
    trained = found.trained
    started = _ms(_authored_at(version, loop))
    trained_ms = _ms(trained.at) if trained else started
    return RunView(
        loop=loop_id,
        project=version.project.workspace.root.name,
        version=version.number,
        status=_STATUS.get(found.shown.status, "running"),
        started_ms=started,
        trained_ms=trained_ms,
        wall_ms=round(trained.wall_seconds * 1000) if trained else 0,
        ended_ms=max(started, trained_ms, *_verdict_times(version)),
        note=note(version, found.shown, primary),
        # Until it is trained, a repair may change them, and some trackers never forget a parameter.
        params=params(version, rules) if trained else {},
        tags=_tags(found, loop, loop_id),
        curves=tuple(_curves(version)) if trained else (),
        score=_score(found),
        score_step=found.scored.attempt if found.scored else 0,
        files=tuple(_files(found)),
    )


def _authored_at(version: Version, loop: LoopFile) -> str:
    authored = version.parent.receipt(NextReceipt) if version.parent else None
    made = authored or version.receipt(StartReceipt)
    return made.at if made else loop.started_at


def _ms(at: str) -> int:
    return round(datetime.fromisoformat(at).timestamp() * 1000)


def _verdict_times(version: Version) -> Iterator[int]:
    for attempt in (*version.attempts("train"), *version.attempts("eval")):
        if verdict := attempt.verdict:
            yield _ms(verdict.at)


def _score(found: _Records) -> dict[str, float]:
    score = {f"eval/{metric.name}": metric.value for metric in found.shown.metrics}
    if found.scored is not None:
        score["eval/latency_ms"] = found.scored.latency_ms
    if found.trained is not None:
        score["train/seconds"] = found.trained.wall_seconds
        if found.trained.peak_memory_bytes is not None:
            score["train/peak_memory_bytes"] = float(found.trained.peak_memory_bytes)
    return score


def _tags(found: _Records, loop: LoopFile, loop_id: str) -> dict[str, str]:
    shown, trained, scored = found.shown, found.trained, found.scored
    own = {
        "version": shown.version_id,
        "loop": loop_id,
        "state": shown.status,
        "dataset_id": loop.dataset_id,
        "attempts": str(shown.attempts),
        "symbols": ", ".join(shown.symbols),
    }
    if found.version.parent:
        own["parent"] = found.version.parent.id
    if gain := shown.gain:
        own["gain"] = f"{gain.delta:+.6g}"
        own["gain_is"] = gain.called or "not known"
        if gain.low is not None and gain.high is not None:
            own["gain_interval"] = f"{gain.low:+.6g} … {gain.high:+.6g}"
    if trained is not None:
        own["checkpoint_sha256"] = trained.artifacts["best.ckpt"]
        own["sandbox"] = trained.sandbox
    if scored is not None:
        own["protocol"] = scored.fingerprint
    if warnings := (*(trained.warnings if trained else ()), *(scored.warnings if scored else ())):
        own["warnings"] = "; ".join(str(warning) for warning in warnings)
    if found.report is not None:
        own["best"] = str(found.is_best).lower()
    return {f"progressive_training.{name}": clean(value, 1000) for name, value in own.items() if value}


def _curves(version: Version) -> Iterator[Curve]:
    curves = shown_curves(version.project.workspace.tree, version.artifacts)
    if curves is None:
        return
    for name, values in curves.series.items():
        pairs = zip(curves.epochs, values, strict=True)
        points = tuple((epoch, value) for epoch, value in pairs if value is not None and isfinite(value))
        if points:
            yield Curve(f"curve/{clean(name, 200)}", points)


def _files(found: _Records) -> Iterator[File]:
    project, version, artifacts = found.version.project, found.version, found.version.artifacts
    places = [(version.script_name, version.script_name)]
    if found.trained is not None:
        places += [(f"{artifacts}/{name}", name) for name in ("spec.json", "eval_score.json")]
    places += [(f"{artifacts}/{name}", f"documents/{name.split('/')[-1]}") for name in _DOCUMENTS]
    if found.scored is not None:
        places += list(_pictures(project, f"{artifacts}/infer_samples"))
    if found.report is not None and found.is_best:
        places += list(_report_files(project, found.report.folder))
    for source, name in places:
        if (size := _size(project, source)) is not None:
            yield File(name, source, sha256(project.workspace.tree, source), size)
    # The last and largest; its hash is known, so that gigabytes need not be read to see that nothing changed.
    if found.trained is not None and (size := _size(project, f"{artifacts}/best.ckpt")) is not None:
        yield File("best.ckpt", f"{artifacts}/best.ckpt", found.trained.artifacts["best.ckpt"], size)


def _size(project: Project, source: str) -> int | None:
    """In bytes; None for what is no plain file: nothing outside the project is ever sent."""
    try:
        with project.workspace.tree.opened(source) as handle:
            return os.fstat(handle).st_size
    except (FileNotFoundError, UnsafePath):
        return None


def _pictures(project: Project, folder: str) -> Iterator[tuple[str, str]]:
    """The first pictures among the infer samples, each with its name in the run."""
    tree, count = project.workspace.tree, 0
    for sample in tree.names(folder):
        for name in tree.names(f"{folder}/{sample}") if tree.is_folder(f"{folder}/{sample}") else ():
            source = f"{folder}/{sample}/{name}"
            if count < MOST_PICTURES and _is_picture(project, source):
                count += 1
                yield source, f"pictures/{sample}-{name}"


def _is_picture(project: Project, source: str) -> bool:
    try:
        return kind_of(project.workspace.tree.read(source, limit=MAX_PICTURE_BYTES)) is not None
    except (LoopError, FileNotFoundError):
        return False


def _report_files(project: Project, folder: str) -> Iterator[tuple[str, str]]:
    """The report goes with the version that it calls best."""
    tree, name = project.workspace.tree, folder.split("/")[-1]
    for file in ("final-analysis.md", "leaderboard.csv", "report.html"):
        yield f"{folder}/{file}", f"report/{name}/{file}"
    for file in tree.names(f"{folder}/pictures"):
        yield f"{folder}/pictures/{file}", f"report/{name}/pictures/{file}"
