"""What a brief shows of a version: curves, samples, script; bounded, cleaned, and marked as data."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

from ..loop.errors import ProjectError
from ..loop.evaluate import hardest
from ..loop.judge.best import cost, primary_metric
from ..loop.judge.errors import MOST_ROWS, Errors, errors
from ..loop.judge.labels import recorded
from ..loop.judge.noise.samples import SampleScores, load_samples
from ..loop.project.receipts import ActionReceipt, EvalReceipt, Metric, NextReceipt
from ..loop.project.version import Version
from ..loop.rules.reading import Rules
from ..loop.script.folding import UNRESOLVED
from ..loop.script.settings import settings
from ..loop.script.source import Script
from ..loop.text import cell, clean
from ..loop.train.curves import Curves, shown_curves

MOST_NEWEST, MOST_BEST = 30, 20  # actions of the past in a brief


@dataclass(frozen=True)
class Tried:
    """An action that was carried out, and what became of the primary metric; `label` says how sure that is."""

    version_id: str
    change: str
    symbols: tuple[str, ...]
    before: str
    after: str
    label: str


def curve_table(curves: Curves | None, most: int = 12) -> str:
    """The losses by epoch as a Markdown table of at most `most` rows, first and last among them."""
    if curves is None or not curves.epochs:
        return "(no metrics.csv)"
    names = [name for name in curves.series if not name.startswith(("lr", "step"))][:6]
    step = max(1, -(-(len(curves.epochs) - 1) // (most - 1)))
    chosen = sorted({*range(0, len(curves.epochs), step), len(curves.epochs) - 1})
    lines = [f"| epoch | {' | '.join(cell(name, 60) for name in names)} |", "|---" * (len(names) + 1) + "|"]
    for index in chosen:
        values = (curves.series[name][index] for name in names)
        cells = " | ".join("" if value is None else f"{value:.5g}" for value in values)
        lines.append(f"| {curves.epochs[index]} | {cells} |")
    return "\n".join(lines)


def overfitting_note(curves: Curves | None) -> str:
    """Where the validation loss was lowest and how train and validation loss ended, in one sentence."""
    if curves is None:
        return ""
    losses = [(epoch, v) for epoch, v in zip(curves.epochs, curves.val_loss, strict=False) if v is not None]
    if not losses:
        return ""
    epoch, lowest = min(losses, key=lambda pair: pair[1])
    train = [value for value in curves.train_loss if value is not None]
    falling = sum(after < before for (_, before), (_, after) in pairwise(losses))
    ended = f"train loss ended at {train[-1]:.4g}, " if train else ""
    return (
        f"{ended}validation loss at {losses[-1][1]:.4g}; it was lowest ({lowest:.4g}) in epoch {epoch} of "
        f"{losses[-1][0]}, and fell in {falling} of {max(1, len(losses) - 1)} steps."
    )


def curves_of(version: Version) -> Curves | None:
    return shown_curves(version.project.workspace.tree, version.artifacts)


def errors_of(version: Version, rules: Rules) -> Errors | None:
    """Where the version errs, beside its parent where that is scored; None where the samples don't say."""
    receipt = version.receipt(EvalReceipt)
    primary = primary_metric(receipt, rules) if receipt else None
    parent = version.parent
    new, old = _samples(version), _samples(parent) if parent and parent.receipt(EvalReceipt) else None
    return errors(new, old, primary) if new is not None and primary is not None else None


def _samples(version: Version) -> SampleScores | None:
    workspace = version.project.workspace
    try:
        return load_samples(workspace.tree, workspace.sample_scores(version.number))
    except ProjectError:  # the label beside the metric says so
        return None


def error_tables(found: Errors | None) -> str:
    """The errors by class, range or group, and what the last change fixed and broke, as Markdown."""
    if found is None:
        return ""
    lines: list[str] = []
    if found.rows:
        told = {"class": "taken for", "range": "mean of prediction - target", "group": "", "": ""}[found.by]
        lines += [f"| {found.by} | samples | {found.measure} | {told} |", "|---|---|---|---|"]
        lines += [
            f"| {cell(row.name, 60)} | {row.samples} | {row.mean:.4g} | {cell(row.told, 80)} |" for row in found.rows
        ]
        lines.append("")
    if found.change is not None and (found.change.better or found.change.worse):
        change, verbs = found.change, ("fixed", "broke") if found.kind == "wrong" else ("improved", "worsened")
        lines.append(f"The last action {verbs[0]} {change.better} samples{_ids(change.fixed)}")
        lines.append(f"and {verbs[1]} {change.worse}{_ids(change.broke)}.")
    return "\n".join(lines)


def _ids(ids: Sequence[str]) -> str:
    return f" ({', '.join(clean(one, 40) for one in ids)}{', …' if len(ids) == MOST_ROWS else ''})" if ids else ""


def worst_table(version: Version, places: Sequence[int]) -> str:
    """The samples of these lines of samples.jsonl: what the version says of each, what is right, and what it scores."""
    rows = _lines_of(version, places)
    if not rows:
        return "(the evaluator left no errors by sample)"
    fed = hardest.inputs(version)
    lines = ["| sample | prediction | target | scores | input |", "|---|---|---|---|---|"]
    for row in rows:
        cells = (row.get("id"), row.get("prediction", ""), row.get("target", ""), row.get("scores"))
        cells = (*cells, fed.get(str(row.get("id")), ""))
        texts = [cell(json.dumps(value, ensure_ascii=False), 120) for value in cells]
        lines.append(f"| {' | '.join(texts)} |")
    return "\n".join(lines)


def _lines_of(version: Version, places: Sequence[int]) -> tuple[Mapping[str, object], ...]:
    workspace = version.project.workspace
    if not places:
        return ()
    lines = workspace.tree.read(workspace.sample_scores(version.number), limit=1 << 28).splitlines()
    return tuple(json.loads(lines[place]) for place in places)


def infer_digest(version: Version, most: int = 5) -> str:
    """The first infer samples: what the model put out beside the truth, each cut short."""
    tree, folder = version.project.workspace.tree, f"{version.artifacts}/infer_samples"
    lines: list[str] = []
    for name in tree.names(folder)[:most]:
        files = tree.names(f"{folder}/{name}")
        parts = [
            f"{file} = {clean(tree.read(f'{folder}/{name}/{file}').decode(errors='replace').strip(), 160)}"
            for file in files
            if file.startswith(("output.", "gt.")) and file.endswith((".json", ".txt"))
        ]
        lines.append(f"- {name}: {'; '.join(' '.join(part.split()) for part in parts) or ', '.join(files)}")
    return "\n".join(lines) or "(no infer samples)"


def symbol_list(script: Script) -> str:
    """Each symbol that an action's `where` can name, with its lines; constants with their value."""
    stated = {setting.symbol: setting for setting in settings(script) if setting.kind == "constant"}
    lines: list[str] = []
    for symbol in script.symbols:
        setting = stated.get(symbol.name)
        value = f" = {setting.value!r}" if setting is not None and setting.value is not UNRESOLVED else ""
        lines.append(f"- {symbol.name}{value} ({symbol.kind}, line {symbol.line})")
    return "\n".join(dict.fromkeys(lines))[:6_000]


def tried_actions(version: Version, rules: Rules, first: int) -> tuple[tuple[Tried, ...], int]:
    """The actions from version `first` on that led to this version, oldest first, and how many are left out.

    It shows the newest ones, and of the older ones those that led to the best primary metric: an agent reads the brief
    again for every version, so that it must not grow with the loop.
    """
    project = version.project
    earlier = [Version(project, each) for each in project.versions() if first <= each < version.number]
    newest, older = earlier[-MOST_NEWEST:], earlier[:-MOST_NEWEST]
    scored = [(one, metric) for one in older if (metric := _primary(one.child, rules)) is not None]
    best = sorted(scored, key=lambda pair: cost(pair[1]))[:MOST_BEST]
    shown = sorted([*newest, *(one for one, _ in best)], key=lambda one: one.number)
    return tuple(tried for one in shown if (tried := _tried(one, rules))), len(earlier) - len(shown)


def _tried(version: Version, rules: Rules) -> Tried | None:
    authored, action = version.receipt(NextReceipt), version.receipt(ActionReceipt)
    if authored is None or action is None:
        return None
    before, after = _primary(version, rules), _primary(version.child, rules)
    return Tried(
        version_id=version.child.id,
        change=action.change,
        symbols=authored.symbols,
        before=f"{before.value:.6g}" if before else "(no score)",
        after=f"{after.value:.6g}" if after else "(no score)",
        label=_label(version.child, rules),
    )


def _label(version: Version, rules: Rules) -> str:
    """How sure the primary metric's move is, as the version's judgement on record says: "better, noise"."""
    primary = rules.file.eval_config.primary_metric
    parent = version.parent.id if version.parent else None
    found = next((one for one in recorded(version) if (one.metric, one.against) == (primary, parent)), None)
    if found is None or not found.comparable:
        return "" if found is None else found.note
    if found.delta is None or found.label is None:
        return ""
    if found.delta == 0:
        return "level"
    return f"{'better' if found.delta > 0 else 'worse'}, noise" if found.label == "noise" else found.called


def _primary(version: Version, rules: Rules) -> Metric | None:
    receipt = version.receipt(EvalReceipt)
    return primary_metric(receipt, rules) if receipt else None
