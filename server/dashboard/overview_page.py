"""What the first page shows: where the loop stands, its versions as a line, and what went wrong on the way."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from ...loop.judge.best import best_of, best_so_far, cost, named, primary_metrics
from ...loop.judge.lineage import Point, points
from ...loop.project.attempts import Attempt, failure_of
from ...loop.project.confinement import unconfined
from ...loop.project.project import Project
from ...loop.project.receipts import Metric, Verdict
from ...loop.project.state import LoopState, derive, report_receipt
from ...loop.project.version import Version
from ...loop.report import external_models
from ...loop.report.estimate import estimate
from ...loop.report.status import VersionView, version_view
from ...loop.rules.reading import Rules
from ...loop.store import journal
from ...loop.text import Told, clean
from ...loop.train.progress import Progress, progress_of
from ...pages.charts.lineage import LineageInput, lineage_chart
from ...pages.charts.shapes import Chart
from ...pages.charts.strip import strip_chart
from .curves import curves_of, plots
from .scorings import Scorings, scorings

VERSIONS_A_PAGE = 40
_NARROW = 8  # as many as a phone's width has room for
EVENTS = 12


@dataclass(frozen=True)
class Head:
    """What stands on top of every page."""

    name: str
    folder: str
    phase: str
    version: int
    max_versions: int
    dataset_id: str | None
    primary: str
    rules_changed: str | None
    unconfined: Told | None
    following: str | None
    ended_by: str | None
    report: str | None


@dataclass(frozen=True)
class Running:
    """The job that runs now, or has ended and waits to be collected."""

    kind: str
    version: int
    attempt: int
    state: str
    progress: Progress

    @property
    def share(self) -> float | None:
        """From 0 to 1; None where the number of epochs is not known."""
        done, total = self.progress.epoch, self.progress.epochs
        return min(1.0, done / total) if done is not None and total else None


@dataclass(frozen=True)
class Row:
    """`change` is the one action that led to the version."""

    view: VersionView
    change: str
    best: bool

    def value(self, name: str) -> float | None:
        return _value(self.view.metrics, name)


@dataclass(frozen=True)
class External:
    """An external model as it was scored for the report."""

    name: str
    metrics: tuple[Metric, ...]
    latency_ms: float

    def value(self, name: str) -> float | None:
        return _value(self.metrics, name)


@dataclass(frozen=True)
class Trouble:
    version: int
    kind: str
    attempt: int
    failure: str
    summary: str
    cause: str
    repair: str


@dataclass(frozen=True)
class Setting:
    name: str
    value: JsonValue


@dataclass(frozen=True)
class Standing:
    """The best version and how far it is from the first."""

    version: int
    value: float
    first: float | None
    higher_is_better: bool


@dataclass(frozen=True)
class Overview:
    head: Head
    left: str | None
    running: Running | None
    losses: str
    scorings: Scorings
    best: Standing | None
    wide: Chart
    narrow: Chart
    all: Chart | None
    rows: tuple[Row, ...]
    metrics: tuple[str, ...]
    page: int
    pages: int
    externals: tuple[External, ...]
    external_metrics: tuple[str, ...]
    troubles: tuple[Trouble, ...]
    fixed: tuple[Setting, ...]
    defaults: tuple[str, ...]
    instruction: str | None
    events: tuple[journal.Event, ...]


def head_of(project: Project, rules: Rules, state: LoopState) -> Head:
    report = report_receipt(project)
    following = state.next
    return Head(
        name=project.workspace.root.name,
        folder=_short(project.workspace.root),
        phase=state.phase,
        version=state.cur,
        max_versions=rules.file.loop_config.max_versions,
        dataset_id=state.loop.dataset_id if state.loop else None,
        primary=rules.file.eval_config.primary_metric,
        rules_changed=project.rules_change(rules, state.loop) if state.loop else None,
        unconfined=unconfined(rules.file.execution_config),
        following=f"{following.tool}: {following.why}" if following else None,
        ended_by=state.ended_by,
        report=report.folder if report else None,
    )


def _short(folder: Path) -> str:
    """With ~ for the home folder."""
    try:
        home = Path.home().resolve()
    except RuntimeError:  # an account without a home, as a container may have
        return str(folder)
    return f"~/{folder.relative_to(home)}" if folder.is_relative_to(home) else str(folder)


def overview(project: Project, page: int | None) -> Overview:
    """The versions of one page, oldest first; `page` counts from 1, the last one by default. Raises `LoopError`."""
    rules = project.rules()
    state = derive(project, rules)
    primary = rules.file.eval_config.primary_metric
    versions = project.versions()
    metrics = primary_metrics(project, primary)
    best = best_of(metrics)
    pages = max(1, -(-len(versions) // VERSIONS_A_PAGE))
    page = min(max(1, page or pages), pages)
    chosen = versions[(page - 1) * VERSIONS_A_PAGE : page * VERSIONS_A_PAGE]
    shown = points(project, primary, metrics, chosen)
    rows = tuple(_row(project, primary, point, best) for point in shown)
    wide, narrow = charts(shown, metrics, best, primary)
    job = running(project, state)
    models = tuple(_externals(project, primary))
    left = estimate(project, rules, state)
    losses, _ = plots(curves_of(Version(project, job.version))) if job and job.kind == "train" else ("", "")
    return Overview(
        head=head_of(project, rules, state),
        left=left.told if left is not None and not state.ended_by else None,
        running=job,
        losses=losses,
        scorings=scorings(project),
        best=_standing(metrics, best),
        wide=wide,
        narrow=narrow,
        all=strip_chart(metrics, chosen, primary, 1000, 64) if pages > 1 and metrics else None,
        rows=rows,
        metrics=_metric_names((row.view.metrics for row in rows), primary),
        page=page,
        pages=pages,
        externals=models,
        external_metrics=_metric_names((model.metrics for model in models), primary),
        troubles=tuple(trouble for number in reversed(chosen) for trouble in troubles(Version(project, number))),
        fixed=tuple(Setting(one.rule, one.value) for one in rules.fixed),
        defaults=rules.defaults,
        instruction=rules.instruction,
        events=tuple(reversed(journal.events(project.workspace, most=EVENTS))),
    )


def charts(
    shown: Sequence[Point], metrics: Mapping[int, Metric], best: int | None, primary: str
) -> tuple[Chart, Chart]:
    """The lineage for a wide window, and for a phone: there only the newest of these versions fit."""
    reached = best_so_far(metrics)
    height = 400 if 0 < len(shown) <= 6 else 320
    wide = lineage_chart(LineageInput(shown, reached, best, primary, linked=True), 1000, height)
    narrow = lineage_chart(LineageInput(shown[-_NARROW:], reached, best, primary, linked=True), 380, 300)
    return wide, narrow


def _row(project: Project, primary: str, point: Point, best: int | None) -> Row:
    view = version_view(Version(project, point.version), primary)
    return Row(view, point.change, point.version == best)


def _value(metrics: Sequence[Metric], name: str) -> float | None:
    metric = named(metrics, name)
    return None if metric is None else metric.value


def _metric_names(scored: Iterable[Sequence[Metric]], primary: str) -> tuple[str, ...]:
    """The primary one first, and two more."""
    names = list(dict.fromkeys(metric.name for metrics in scored for metric in metrics))
    return tuple(sorted(names, key=lambda name: name != primary))[:3]


def _externals(project: Project, primary: str) -> list[External]:
    """In the leaderboard's order: best first, those without the primary metric last."""
    found = [External(clean(name, 200), one.metrics, one.latency_ms) for name, one in external_models.scored(project)]

    def place(model: External) -> tuple[bool, float]:
        metric = named(model.metrics, primary)
        return metric is None, 0.0 if metric is None else cost(metric)

    return sorted(found, key=place)


def _standing(metrics: Mapping[int, Metric], best: int | None) -> Standing | None:
    if best is None:
        return None
    first = next(iter(metrics))
    return Standing(
        best, metrics[best].value, metrics[first].value if first != best else None, metrics[best].higher_is_better
    )


def running(project: Project, state: LoopState) -> Running | None:
    """The running job with its progress. Raises `LoopError` for a script that can't be read."""
    attempt = state.running
    if attempt is None:
        return None
    status = attempt.status()
    return Running(attempt.kind, attempt.version.number, attempt.number, status.state, progress_of(attempt, status))


def troubles(version: Version) -> Iterator[Trouble]:
    """The failed attempts of a version, newest first, and what was done about each."""
    for attempt in (*reversed(version.attempts("eval")), *reversed(version.attempts("train"))):
        if verdict := failure_of(attempt):
            yield _trouble(attempt, verdict)


def _trouble(attempt: Attempt, verdict: Verdict) -> Trouble:
    repair = attempt.repair
    return Trouble(
        version=attempt.version.number,
        kind=attempt.kind,
        attempt=attempt.number,
        failure=verdict.kind or "failed",
        summary=clean(verdict.summary, 600),
        cause=clean(repair.root_cause_hypothesis, 600) if repair else "",
        repair=clean(repair.code_change_summary, 600) if repair else "",
    )
