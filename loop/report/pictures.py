"""What the pictures of a report show: every version as a point, a few learning curves, and the best one's samples."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from ..evaluate.infer_samples import Sample, is_moderate, picture, samples
from ..judge.best import best_of, best_so_far, primary_metrics
from ..judge.lineage import Point, points
from ..project.project import Project
from ..project.receipts import Metric
from ..project.version import Version
from ..train.curves import Curves, shown_curves

_MOST_CURVES = 6
_MOST_SAMPLES = 12
# More points than a picture has room for say nothing; the newest are shown, with the first.
_MOST_POINTS = 60


@dataclass(frozen=True)
class VersionCurves:
    version_id: str
    curves: Curves
    best: bool


@dataclass(frozen=True)
class ShownSample:
    """A sample with a PNG that is safe to decode: its header states a moderate size."""

    sample: Sample
    png: bytes


@dataclass(frozen=True)
class Shown:
    """`best` is a version's number; `best_so_far` knows every scored version, `points` the newest and the first."""

    primary: str
    best: int | None
    points: tuple[Point, ...]
    best_so_far: Mapping[int, float]
    higher_is_better: bool
    curves: tuple[VersionCurves, ...]
    samples: tuple[ShownSample, ...]


def shown(project: Project) -> Shown:
    """Raises `LoopError` for a damaged receipt; what is missing is left out."""
    primary = project.rules().file.eval_config.primary_metric
    metrics = primary_metrics(project, primary)
    best = best_of(metrics)
    versions = project.versions()
    chosen = versions if len(versions) <= _MOST_POINTS else [versions[0], *versions[1 - _MOST_POINTS :]]
    return Shown(
        primary=primary,
        best=best,
        points=points(project, primary, metrics, chosen),
        best_so_far=best_so_far(metrics),
        higher_is_better=any(metric.higher_is_better for metric in metrics.values()),
        curves=tuple(_curves(project, metrics, best)),
        samples=tuple(_samples(Version(project, best))) if best is not None else (),
    )


def _curves(project: Project, metrics: Mapping[int, Metric], best: int | None) -> Iterator[VersionCurves]:
    """Of the first scored version, the best, and the newest, as many as fit."""
    scored = list(metrics)
    wanted = dict.fromkeys((*scored[:1], best, *reversed(scored)))
    chosen = [number for number in wanted if number is not None][:_MOST_CURVES]
    for version in (Version(project, number) for number in sorted(chosen)):
        curves = shown_curves(project.workspace.tree, version.artifacts)
        if curves is not None and any(value is not None for value in curves.val_loss):
            yield VersionCurves(version.id, curves, best=version.number == best)


def _samples(version: Version) -> Iterator[ShownSample]:
    for sample in samples(version, _MOST_SAMPLES):
        for file in sample.pictures:
            shown_as = picture(version, sample.number, file.number)
            if shown_as is not None and is_moderate(shown_as.data):
                yield ShownSample(sample, shown_as.data)
                break
