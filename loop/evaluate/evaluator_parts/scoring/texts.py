"""Texts that are read: how they are spelled is decided on the first version, and each version's are held against it."""

from __future__ import annotations

import json
import math
import statistics
from typing import Any, NamedTuple

from ..errors import EvalError, ScriptFault
from ..formulas import Family, Formula, ctc_loss, variants
from ..trees import digest, leaves
from .acceptance import own_words, some_batches
from .disorder import ENOUGH_TEXTS, Asked
from .frozen import Frozen
from .measure import Settings, metrics_of
from .reader import Read, read_all, read_one, spelled
from .reading import Comparison, Judged, Own, blanked, compared
from .session import Session
from .spelling import Vocabulary, size_of, spellings
from .versions import comparison_notes, require_formula
from .walk import Scored, single_batches

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.

_CTC = [(f"ctc{'' if by_length else ' summed'}", by_length) for by_length in (True, False)]


class Spelled(NamedTuple):
    """The wanted metrics under one way to spell."""

    spelling: Vocabulary | None
    comparisons: list[Comparison]

    @property
    def rank(self) -> int:
        standings = [one.standing for one in self.comparisons]
        return standings.count("same") - standings.count("other")


def first_texts(
    session: Session, family: Family, wanted: list[str], settings: Settings, vocabulary: Vocabulary | None
) -> tuple[Frozen, Scored, list[dict[str, Any]]]:
    """Decides how texts are spelled and read, and scores the first version so."""
    trees = some_batches(session)
    session.model(op="load")
    own = own_words(session, trees, [size_of(tree) for tree in trees])
    read = read_all(session, vocabulary, settings.output, judged=True)
    formulas: dict[str, list[Formula]] = {
        name: [] if settings.formula == "script" else variants(family, name) for name in wanted
    }
    tried = [
        Spelled(one, _compared(family, formulas, read, one, own)) for one in spellings(vocabulary, settings.delimiter)
    ]
    best = max(tried, key=lambda one: one.rank)
    is_random = _is_drawn_anew(session, trees)
    if not is_random:
        _require_own_word(best, read, own)
    targets = read.right(best.spelling)
    frozen = Frozen(
        family=family.name,
        output=read.how.output,
        via="",
        target=tuple(read.how.target),
        loss=_loss(read, vocabulary),
        metrics=metrics_of(best.comparisons, session.monitors, settings),
        delimiter=json.dumps(best.spelling[2:]) if best.spelling else None,
        targets=targets,
        inputs=read.inputs,
        random_inputs=is_random,
        ids=session.ids(len(targets)),
        formula="",
    )
    scored = _scored(session, frozen, read, vocabulary)
    if scored.script or (frozen.loss or {}).get("kind") == "script":
        frozen = frozen._replace(formula=session.model(op="formula")["digest"])
    drawn = [{"key": "random_inputs"}] if is_random else []
    return frozen, scored, [*comparison_notes(best.comparisons), *drawn]


def _is_drawn_anew(session: Session, trees: list[Any]) -> bool:
    """Whether other random numbers make other batches."""
    paths = [path for path, _ in leaves(trees[0])] if trees else []
    again = some_batches(session, draw=1)
    return any(digest(one, paths, 0, 0) != digest(other, paths, 0, 0) for one, other in zip(trees, again))


def later_texts(session: Session, frozen: Frozen, vocabulary: Vocabulary | None) -> tuple[Scored, list[dict[str, Any]]]:
    """Reads a version's samples as the first one's were. Raises `EvalError` where it answers for other texts."""
    session.model(op="load")
    read = read_all(session, vocabulary, None, judged=False)
    targets = read.right(_spelling(vocabulary, frozen))
    other = [n for n, pair in enumerate(zip(targets, frozen.targets)) if pair[0] != pair[1]]
    if len(targets) != len(frozen.targets) or other:
        raise ScriptFault(
            f"{len(other) or abs(len(targets) - len(frozen.targets))} of {len(frozen.targets)} validation samples are "
            "not there, or have other targets than in the first version: such scores don't compare. Next: keep the "
            "validation set, its order and its targets as they were (repair_version)"
        )
    changed = sum(one != before for one, before in zip(read.inputs, frozen.inputs))
    notes = [{"key": "other_inputs", "differing": changed, "count": len(frozen.inputs)}]
    notes = notes if changed and not frozen.random_inputs else []
    scored = _scored(session, frozen, read, vocabulary)
    require_formula(session, frozen)
    return scored, notes


def read_again(session: Session, frozen: Frozen, scored: Scored, vocabulary: Vocabulary | None) -> Scored:
    """The same set with the weights as they are now."""
    read = read_all(session, vocabulary, None, judged=False)
    return _scored(session, frozen, read, vocabulary)._replace(ids=scored.ids)


def asked_again(session: Session, frozen: Frozen, scored: Scored, vocabulary: Vocabulary | None) -> Asked:
    """Some samples, one at a time, as the whole set was asked."""
    size, how = min(ENOUGH_TEXTS, len(scored.ids)), scored.how
    trees = [blanked(tree, how.hidden) for tree, _ in single_batches(session, [[row] for row in range(size)])]

    def outputs() -> list[Any]:
        return [read_one(session.model(op="answer", batch=tree, reading=how.output), how) for tree in trees]

    def judged(found: list[Any]) -> tuple[Any, Any]:
        return [spelled(one, _spelling(vocabulary, frozen)) for one in found], list(frozen.targets[:size])

    return Asked(size, outputs, judged)


def _spelling(vocabulary: Vocabulary | None, frozen: Frozen) -> Vocabulary | None:
    """A version's own vocabulary, spelled as the first one's was."""
    if vocabulary is None or frozen.delimiter is None:
        return vocabulary
    delimiter, joint, silent = json.loads(frozen.delimiter)
    return vocabulary._replace(delimiter=delimiter, joint=joint, silent=silent)


def _compared(
    family: Family, formulas: dict[str, list[Formula]], read: Read, spelling: Vocabulary | None, own: Own
) -> list[Comparison]:
    """The wanted metrics under one spelling, over the batches that the script was asked about."""
    said, right = read.said(spelling), read.right(spelling)
    outputs, targets, first = [], [], 0
    for size in own.sizes:
        outputs.append(said[first : first + size])
        targets.append(right[first : first + size])
        first += size
    judged = Judged.of(outputs, targets, family, None)
    return [compared(name, tried, judged, family, own) for name, tried in formulas.items()]


def _require_own_word(best: Spelled, read: Read, own: Own) -> None:
    """Raises `EvalError` with both numbers where they differ by more than the adding up of batches."""
    wrong = [one for one in best.comparisons if one.standing == "other"]
    if not wrong:
        return
    told = "; ".join(
        f"{one.metric}: {one.ours:.6g} by us, and validation_step logs {one.said} = {one.own:.6g}" for one in wrong
    )
    pairs = zip(read.said(best.spelling)[:2], read.right(best.spelling)[:2])
    shown = "; ".join(f"read {one[:40]!r}, written {other[:40]!r}" for one, other in pairs)
    raise EvalError(
        f"not the script's own score on the same {sum(own.sizes)} samples: {told}. For example {shown}. Next: name "
        'what stands between words by write_eval(settings={"delimiter": …}), or take the script\'s own formula by '
        'write_eval(settings={"formula": "script"}), or correct validation_step with repair_version, or write a '
        "03_eval.py with write_eval(source=…)"
    )


def _loss(read: Read, vocabulary: Vocabulary | None) -> dict[str, Any] | None:
    """CTC's formula where it gives the script's losses of single samples, else the script's own."""
    if read.losses is None:
        return None
    if vocabulary is not None and not any(isinstance(one, str) for one in read.answers) and None not in read.classes:
        for name, by_length in _CTC:
            found = ctc_loss(vocabulary.blank, by_length)(read.answers, read.classes).tolist()
            if all(math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-6) for one, other in zip(found, read.losses)):
                return {"kind": "server", "name": name, "by_length": by_length}
    return {"kind": "script", "name": ""}


def _scored(session: Session, frozen: Frozen, read: Read, vocabulary: Vocabulary | None) -> Scored:
    said, losses = read.said(_spelling(vocabulary, frozen)), read.losses
    kind = frozen.loss["kind"] if frozen.loss else None
    if frozen.loss and kind == "server" and vocabulary is not None:
        losses = ctc_loss(vocabulary.blank, frozen.loss["by_length"])(read.answers, read.classes).tolist()
    script: dict[str, float] = {}
    wanted = {name: one["name"] for name, one in frozen.metrics.items() if one["kind"] == "script"}
    if wanted or (kind == "script" and losses is None):
        own_losses, script = _by_the_script(session, len(said), wanted)
        losses = own_losses if kind == "script" else losses
    loss = statistics.fmean(losses) if losses else None
    return Scored(frozen.targets, said, loss, losses, script, frozen.ids, read.how)


def _by_the_script(
    session: Session, samples: int, wanted: dict[str, str]
) -> tuple[list[float] | None, dict[str, float]]:
    """What the script's own validation logs, asked about one sample at a time: means, and the epoch's end."""
    session.model(op="begin")
    steps = [
        session.model(op="judge", batch=tree, index=index)
        for index, (tree, _) in enumerate(single_batches(session, [[row] for row in range(samples)]))
    ]
    own = Own(steps, session.model(op="end"), [1] * len(steps))
    values = {name: own.mean(said) for name, said in wanted.items()}
    return own.losses, {name: value for name, value in values.items() if value is not None}
