"""What a version's page shows: its score, the one change that made it, its curves, samples, documents and attempts."""

from collections.abc import Iterator
from dataclasses import dataclass

from ...loop.author.action import ACTION_FILE
from ...loop.errors import LoopError
from ...loop.evaluate.infer_samples import Sample, count, samples
from ...loop.judge.analysis import ANALYSIS_FILE
from ...loop.judge.labels import recorded
from ...loop.judge.noise.verdict import NoiseVerdict
from ...loop.project.project import Project
from ...loop.project.receipts import ActionReceipt, EvalReceipt, Metric, NextReceipt
from ...loop.project.state import derive
from ...loop.project.version import Version
from ...loop.report.status import VersionView, version_view
from ...loop.store.paths import version_id
from ...loop.text import clean
from ...pages.diffs import DiffLine, diff_lines
from .curves import CurveTable, curve_table, curves_of, plots
from .overview import Head, Running, Trouble, head_of, running, troubles
from .scorings import Scorings, scorings

_MOST_SAMPLES = 12


@dataclass(frozen=True)
class Score:
    """One metric beside the parent's."""

    metric: Metric
    before: float | None
    noise: NoiseVerdict | None
    primary: bool


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


def version_page(project: Project, cur: int) -> VersionPage | None:
    """None for a version that is not there. Raises `LoopError`."""
    versions = project.workspace.versions()
    if cur not in versions:
        return None
    rules = project.rules()
    state = derive(project, rules)
    primary = rules.file.eval_config.primary_metric
    authored = Version(project, cur - 1).receipt(NextReceipt) if cur > 1 else None
    scored = Version(project, cur).receipt(EvalReceipt)
    job = running(project, state)
    curves = curves_of(project, cur)
    losses, others = plots(curves)
    return VersionPage(
        head=head_of(project, rules, state),
        view=version_view(project, primary, cur),
        parent=version_id(cur - 1) if authored else None,
        previous=max((number for number in versions if number < cur), default=None),
        following=min((number for number in versions if number > cur), default=None),
        running=job if job and job.version == cur else None,
        scorings=scorings(project).of(cur),
        action=Version(project, cur - 1).receipt(ActionReceipt) if authored else None,
        symbols=authored.symbols if authored else (),
        diff=diff_lines(clean(authored.diff, 400_000)) if authored else (),
        scores=tuple(_scores(project, cur, primary)),
        num_samples=scored.num_samples if scored else None,
        curves=curve_table(curves),
        losses=losses,
        others=others,
        samples=samples(Version(project, cur), _MOST_SAMPLES),
        sample_count=count(Version(project, cur)),
        documents=tuple(_documents(project, cur)),
        troubles=tuple(troubles(project, cur)),
        traces=tuple(_traces(project, cur)),
    )


def _scores(project: Project, cur: int, primary: str) -> Iterator[Score]:
    scored, parent = (
        Version(project, cur).receipt(EvalReceipt),
        Version(project, cur - 1).receipt(EvalReceipt) if cur > 1 else None,
    )
    if scored is None:
        return
    before = {metric.name: metric.value for metric in parent.metrics} if parent else {}
    against = version_id(cur - 1) if parent else None
    noise = {one.metric: one for one in recorded(project, cur) if one.against == against}
    for metric in sorted(scored.metrics, key=lambda one: one.name != primary):
        yield Score(metric, before.get(metric.name), noise.get(metric.name), metric.name == primary)


def _documents(project: Project, cur: int) -> Iterator[Document]:
    artifacts = project.workspace.artifacts(cur)
    for where, title in (
        (f"{artifacts}/{ANALYSIS_FILE}", "Result analysis"),
        (f"{artifacts}/{ACTION_FILE}", "The action chosen for the next version"),
        (project.workspace.retry_report(cur), "Training attempts"),
    ):
        try:
            text = project.workspace.tree.read(where).decode(errors="replace")
        except FileNotFoundError:
            continue
        except LoopError as error:
            text = str(error)
        yield Document(where.rpartition("/")[2], title, clean(text, 100_000))


def _traces(project: Project, cur: int) -> Iterator[Trace]:
    for kind in ("train", "eval"):
        for attempt in Version(project, cur).attempts(kind)[-5:]:
            verdict = attempt.verdict
            if verdict is not None and verdict.status == "FAIL" and verdict.trace:
                yield Trace(attempt.number, kind, clean(verdict.trace, 6_000))
