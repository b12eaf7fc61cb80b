"""The tables of an analysis: each metric's move, its interval and its label, as Markdown."""

from ..text import Say, english
from .comparison import Comparison, Delta
from .noise.verdict import NoiseVerdict


def previous_table(comparison: Comparison, say: Say = english) -> str:
    return delta_table(comparison.to_previous, comparison.previous, comparison, say)


def best_table(comparison: Comparison, say: Say = english) -> str:
    return delta_table(comparison.to_best, comparison.best_before, comparison, say)


def since_first(comparison: Comparison, say: Say = english) -> str:
    """The primary metric beside the loop's first scored version, in a sentence.

    Where another table says that, beside the last version that gained beyond noise; else "".
    """
    shown = (comparison.previous, comparison.best_before)
    primary = next((delta.name for delta in comparison.to_previous if delta.primary), None)
    found = next((one for one in comparison.noise if one.metric == primary and one.against not in shown), None)
    if found is None or found.delta is None:
        return ""
    told = say("Against {against}: {metric} gained {delta:+.4g} ({interval}), {label}.")
    return told.format(
        against=found.against, metric=found.metric, delta=found.delta, interval=interval(found), label=label(found)
    )


def delta_table(rows: tuple[Delta, ...], reference: str | None, comparison: Comparison, say: Say = english) -> str:
    """A Markdown table of the deltas, each with its 95 % interval and label where they could be computed."""
    names = (say("metric"), reference or say("(none)"), comparison.version, say("change"))
    lines = [
        f"| {' | '.join(names)} | | {say('95 % interval of the gain')} | {say('label')} |",
        "|---|---|---|---|---|---|---|",
    ]
    for row in rows:
        noise = comparison.verdict(row.name, reference)
        before = "" if row.reference is None else f"{row.reference:.6g}"
        change = "" if row.change is None else f"{row.change:+.6g}"
        name = f"**{row.name}**" if row.primary else row.name
        lines.append(
            f"| {name} | {before} | {row.value:.6g} | {change} | {say(row.direction)} | {interval(noise)} "
            f"| {label(noise)} |"
        )
    return "\n".join(lines)


def interval(noise: NoiseVerdict | None) -> str:
    if noise is None or noise.low is None or noise.high is None:
        return ""
    return f"{noise.low:+.4g} … {noise.high:+.4g}"


def label(noise: NoiseVerdict | None) -> str:
    """The label, or why there is none."""
    if noise is None:
        return ""
    return noise.called or noise.note
