"""What a version's page shows: its score, the one change that made it, its curves, samples, documents and attempts."""

from collections.abc import Iterator
from dataclasses import dataclass

from ...loop.errors import LoopError
from ...loop.evaluate.infer_samples import Sample, count, samples
from ...loop.judge.labels import recorded
from ...loop.judge.noise.verdict import NoiseVerdict
from ...loop.project.attempts import failure_of
from ...loop.project.receipts import ActionReceipt, EvalReceipt, Metric, NextReceipt
from ...loop.project.state import derive
from ...loop.project.version import Version
from ...loop.report.status import VersionView, version_view
from ...loop.store.paths import ACTION_FILE, ANALYSIS_FILE
from ...loop.text import clean
from ...pages.diffs import DiffLine, diff_lines
from .curves import CurveTable, curve_table, curves_of, plots
from .overview_page import Head, Running, Trouble, head_of, running, troubles
from .scorings import Scorings, scorings

_MOST_SAMPLES = 12


@dataclass(frozen=True)
class Score:
    """One metric beside the parent's."""

    metric: Metric
    before: float | None
    noise: NoiseVerdict | None
    primary: bool
    by_script: bool


@dataclass(frozen=True)
class Document:
    """A Markdown file of the version; `text` is cleaned, not escaped."""

    name: str
    title: str
    text: str


@dataclass(frozen=True)
class Trace:
    attempt: int
    kind: str
    text: str


@dataclass(frozen=True)
class VersionPage:
    head: Head
    view: VersionView
    parent: str | None
    previous: int | None
    following: int | None
    running: Running | None
    scorings: Scorings
    action: ActionReceipt | None
    symbols: tuple[str, ...]
    diff: tuple[DiffLine, ...]
    scores: tuple[Score, ...]
    num_samples: int | None
    curves: CurveTable | None
    losses: str
    others: str
    samples: tuple[Sample, ...]
    sample_count: int
    documents: tuple[Document, ...]
    troubles: tuple[Trouble, ...]
    traces: tuple[Trace, ...]


def version_page(version: Version) -> VersionPage | None:
    """None for a version that is not there. Raises `LoopError`."""
    project, number = version.project, version.number
    versions = project.versions()
    if number not in versions:
        return None
    rules = project.rules()
    state = derive(project, rules)
    primary = rules.file.eval_config.primary_metric
    authored = version.parent.receipt(NextReceipt) if version.parent else None
    scored = version.receipt(EvalReceipt)
    job = running(project, state)
    curves = curves_of(version)
    losses, others = plots(curves)
    return VersionPage(
        head=head_of(project, rules, state),
        view=version_view(version, primary),
        parent=version.parent.id if version.parent and authored else None,
        previous=max((one for one in versions if one < number), default=None),
        following=min((one for one in versions if one > number), default=None),
        running=job if job and job.version == number else None,
        scorings=scorings(project).of(number),
        action=version.parent.receipt(ActionReceipt) if version.parent and authored else None,
        symbols=authored.symbols if authored else (),
        diff=diff_lines(clean(authored.diff, 400_000)) if authored else (),
        scores=tuple(_scores(version, scored, primary)) if scored else (),
        num_samples=scored.num_samples if scored else None,
        curves=curve_table(curves),
        losses=losses,
        others=others,
        samples=samples(version, _MOST_SAMPLES),
        sample_count=count(version),
        documents=tuple(_documents(version)),
        troubles=tuple(troubles(version)),
        traces=tuple(_traces(version)),
    )


def _scores(version: Version, scored: EvalReceipt, primary: str) -> Iterator[Score]:
    parent = version.parent.receipt(EvalReceipt) if version.parent else None
    before = {metric.name: metric.value for metric in parent.metrics} if parent else {}
    against = version.parent.id if version.parent and parent else None
    noise = {one.metric: one for one in recorded(version) if one.against == against}
    for metric in sorted(scored.metrics, key=lambda one: one.name != primary):
        own = metric.name in scored.by_script
        yield Score(metric, before.get(metric.name), noise.get(metric.name), metric.name == primary, own)


def _documents(version: Version) -> Iterator[Document]:
    workspace = version.project.workspace
    for where, title in (
        (f"{version.artifacts}/{ANALYSIS_FILE}", "Result analysis"),
        (f"{version.artifacts}/{ACTION_FILE}", "The action chosen for the next version"),
        (workspace.retry_report(version.number), "Training attempts"),
    ):
        try:
            text = workspace.tree.read(where).decode(errors="replace")
        except FileNotFoundError:
            continue
        except LoopError as error:
            text = str(error)
        yield Document(where.rpartition("/")[2], title, clean(text, 100_000))


def _traces(version: Version) -> Iterator[Trace]:
    for attempt in (*version.attempts("train")[-5:], *version.attempts("eval")[-5:]):
        if (verdict := failure_of(attempt)) and verdict.trace:
            yield Trace(attempt.number, attempt.kind, clean(verdict.trace, 6_000))
