"""What a report warns of: rows that rank last or are left out, values that don't compare, leaks of the data."""

from collections.abc import Iterator, Sequence

from ..judge.best import primary_metric
from ..project.confinement import unconfined
from ..project.project import Project
from ..project.receipts import EvalReceipt, RehearsalReceipt, TrainReceipt
from ..project.strays import BEFORE, LEFT_OUT, STRAY, scripts_apart, told_of, without_weights
from ..project.version import Version
from ..rehearse.leaks import CODES
from ..rehearse.words import told
from ..rules.reading import Rules
from ..text import Told, cell
from . import leaderboard
from .external_models import External

_NAMED = 5  # of what may be a thousand


def warnings(project: Project, rules: Rules, models: Sequence[External]) -> Iterator[Told]:
    """All of them, as fixed texts that the rendering tells in the report's language."""
    for about, names in (
        (STRAY, scripts_apart(project)),
        (BEFORE, scripts_apart(project, before=True)),
        (LEFT_OUT, [one.id for one in without_weights(project)]),
    ):
        if names:
            yield told_of(about, names)
    yield from _of_versions(project, rules)
    yield from _of_externals(models, rules.file.eval_config.primary_metric)
    yield from _of_latencies(project, models)
    if (said := unconfined(rules.file.execution_config)) is not None:
        yield said


def _of_versions(project: Project, rules: Rules) -> Iterator[Told]:
    primary = rules.file.eval_config.primary_metric
    for version in (Version(project, number) for number in project.versions()):
        scored = version.receipt(EvalReceipt)
        if scored is None:
            failed = len([attempt for attempt in version.attempts("train") if attempt.verdict])
            values = {"version": version.id, "failed": failed}
            if version.receipt(TrainReceipt):
                yield Told("{version} ranks last: it is trained, but has no score ({failed} training attempts)", values)
            else:
                yield Told("{version} ranks last: it is not trained ({failed} training attempts)", values)
        elif primary_metric(scored, rules) is None:
            values = {"version": version.id, "primary": primary}
            yield Told("{version} ranks last: its eval_score.json lacks the primary metric {primary!r}", values)


def _of_externals(models: Sequence[External], primary: str) -> Iterator[Told]:
    """Warnings; what a model's script says of itself is shown as one plain line."""
    for model in models:
        values: dict[str, object] = {"name": cell(model.name, 100), "primary": primary}
        if model.problem is not None:
            values["problem"] = cell(model.problem, 700) if isinstance(model.problem, str) else model.problem
            if leaderboard.NO_NAME.fullmatch(model.name):
                yield Told("external model {name} is left out: it is not scored: {problem}", values)
            else:
                yield Told("external model {name} ranks last: it is not scored: {problem}", values)
        elif model.receipt is not None:
            if all(metric.name != primary for metric in model.receipt.metrics):
                yield Told(
                    "external model {name} ranks last: {primary!r} can't be computed from what it answers", values
                )
            for warning in model.receipt.warnings:
                yield Told("external model {name}: {warning}", {**values, "warning": warning.words(longest=300)})
        else:
            yield Told("external model {name} ranks last: its folder was changed while the report was made", values)


def _of_latencies(project: Project, models: Sequence[External]) -> Iterator[Told]:
    """Which latencies don't compare with those of an evaluation that had the machine to itself."""
    versions = (Version(project, number) for number in project.versions())
    receipts = {version.id: version.receipt(EvalReceipt) for version in versions}
    receipts |= {cell(model.name, 100): model.receipt for model in models}
    among = {name: receipt.side_by_side for name, receipt in receipts.items() if receipt and receipt.side_by_side > 1}
    if among:
        first, more = ", ".join(list(among)[:_NAMED]), len(among) - _NAMED
        names = Told("{names} and {more} more", {"names": first, "more": more}) if more > 0 else first
        yield Told(
            "latency_ms of {names} was measured with up to {most} evaluations side by side on one machine"
            " (execution_config.max_parallel): it doesn't compare with that of an evaluation alone",
            {"names": names, "most": max(among.values())},
        )


def leaks_told(project: Project, first_version: int) -> tuple[Told, ...]:
    """One line, in its parts: that it was looked for, and all that was found; or that it wasn't."""
    version = Version(project, first_version)
    receipt = version.receipt(RehearsalReceipt)
    found = [one for one in receipt.findings if one.code in CODES] if receipt is not None else []
    if not found:
        return (Told("No leak between training and validation was looked for: there was no rehearsal that saw both."),)
    looked = Told("Looked for leaks between training and validation (rehearsal of {version}):", {"version": version.id})
    return (looked, *map(told, found))
