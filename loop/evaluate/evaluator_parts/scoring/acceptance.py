"""The first version's evaluation decides how all are scored, and proves it by the script's own numbers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from ..errors import EvalError
from ..formulas import FAMILIES, Family, Formula, variants
from ..tasks import ALSO, SERVED
from ..trees import bytes_of, count, cut, digest, leaves, shape, spelled, value_at
from .measure import Settings
from .reading import (
    Comparison,
    Judged,
    KnownLoss,
    Own,
    Reading,
    as_list,
    blanked,
    compared,
    entering,
    groups,
    hidden_from,
    loss_formula,
    matches,
    own_name,
    readings,
    same_answer,
    target_paths,
)
from .session import Session

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.

MOST_BATCHES, ENOUGH_SAMPLES = 64, 1024
# Where validation is random: how often it is drawn, and how many of their ranges two such numbers may lie apart. These
# draws lie about 3.5 deviations apart, and two of them hardly ever twice as much.
DRAWS, RANGES = 16, 2
# They stay in memory, with their outputs, until a reading is found.
MOST_BYTES = 64 << 20
_MOST_READINGS, _MOST_TARGETS = 8, 4
_CHOICES = (
    'Next: name the right one by write_eval(settings={"output": …, "target": …}), or take the script\'s own formula by '
    'write_eval(settings={"formula": "script"}), or correct validation_step with repair_version, or write a 03_eval.py '
    "with write_eval(source=…)"
)


class Asked(NamedTuple):
    """What is wanted of which batches, and what the script says of them."""

    wanted: list[str]
    settings: Settings
    trees: list[Any]
    found: dict[str, Any]
    own: Own


class Decided(NamedTuple):
    """How the script's validation is read: which output, which leaf is its target, and what each number is."""

    family: Family
    reading: Reading
    target: Any
    group: Any
    inputs: list[Any]
    hidden: list[Any]
    loss: KnownLoss | None
    comparisons: list[Comparison]
    own: Own
    apart: dict[str, float] | None = None  # by metric: what two draws of it may differ by; None: nothing is random


def accept(session: Session, family: Family, wanted: list[str], settings: Settings) -> Decided:
    """Tries the readings on some batches. Raises `EvalError` where none gives the script's own numbers."""
    trees = some_batches(session)
    sizes = [count(tree) or 0 for tree in trees]
    if not trees or not all(sizes):
        made = shape(trees[0]) if trees else "nothing"
        raise EvalError(
            f"no samples can be told apart in a validation batch ({made}). Next: write a 03_eval.py with write_eval"
        )
    session.model(op="load")
    own = own_words(session, trees, sizes)
    found = session.model(op="discover", batch=trees[0], tell=False)
    asked = Asked(wanted, settings, trees, found, own)
    problems: list[str] = []
    for one in _families(family):
        best = _best(session, one, asked, problems)
        if best is not None and (one in _families(family, stated=True) or _is_proven(best)):
            if is_drawn_anew(session, best, trees):
                best = best._replace(apart=apart_by_draw(session, best))
            _require_own_word(session, best, trees)
            return best
    raise EvalError(_nothing_fits(trees[0], found, problems, settings, family))


def _families(family: Family, *, stated: bool = False) -> list[Family]:
    """What the task may be: what was stated, what that word is used for as well, and then any other."""
    names = [family.name, *ALSO.get(family.name, ())]
    others = [] if stated else [name for name in SERVED if name not in ("sequence", "generation")]
    return [FAMILIES[name] for name in dict.fromkeys([*names, *others])]


def _is_proven(decided: Decided) -> bool:
    """Whether the script's own numbers come out, and so what it judges is of another family than was stated."""
    standings = [one.standing for one in decided.comparisons]
    return "same" in standings and "other" not in standings


def _best(session: Session, family: Family, asked: Asked, problems: list[str]) -> Decided | None:
    """The reading that says most of what the script says; None where no output and target are of this family."""
    best = None
    for reading, path, group in _pairs(
        asked, grouped=family.name == "retrieval" and session.about["samples"] is not None
    ):
        try:
            family.shaped(reading.first, value_at(asked.trees[0], path, group))
        except (ValueError, RuntimeError, IndexError, TypeError) as error:
            problems.append(str(error))
            continue
        decided = _tried(session, family, asked, reading, path, group)
        if best is None or _rank(decided) > _rank(best):
            best = decided
        if _rank(decided)[0] == 0 and (decided.loss or not asked.own.losses):
            break
    return best


def some_batches(session: Session, draw: int = 0) -> list[Any]:
    """The first batches, as many as tell formulas apart."""
    trees, samples, size = [], 0, 0
    walk = session.batches(draw)
    for tree, _ in walk:
        trees.append(tree)
        samples, size = samples + (count(tree) or 0), size + bytes_of(tree)
        if len(trees) >= MOST_BATCHES or samples >= ENOUGH_SAMPLES or size >= MOST_BYTES:
            break
    walk.close()
    return trees


def own_words(session: Session, trees: list[Any], sizes: list[int], draw: int = 0) -> Own:
    """What the script's own validation says of these batches, with the trained weights."""
    session.model(op="begin")
    steps = [session.model(op="judge", batch=tree, index=index, draw=draw) for index, tree in enumerate(trees)]
    return Own(steps, session.model(op="end"), sizes)


def _pairs(asked: Asked, *, grouped: bool) -> Iterator[tuple[Reading, Any, Any]]:
    """An output, a target, and where candidates are ranked what may say which of them belong together."""
    tree, size, found, settings = asked.trees[0], asked.own.sizes[0], asked.found, asked.settings
    made = [one for one in readings(found, size) if matches(one.output, settings.output)][:_MOST_READINGS]
    for place in range(_MOST_TARGETS):
        for reading in made:
            paths = [
                path for path in target_paths(tree, size, found, reading) if settings.target in (None, spelled(path))
            ]
            if place < len(paths):
                yield reading, paths[place], None
                for group in groups(tree, size, paths[place]) if grouped else ():
                    yield reading, paths[place], group


def _tried(session: Session, family: Family, asked: Asked, reading: Reading, path: Any, group: Any) -> Decided:
    trees, found, own = asked.trees, asked.found, asked.own
    hidden = hidden_from(trees[0], own.sizes[0], found, reading, path)
    outputs = [session.model(op="answer", batch=blanked(tree, hidden), reading=reading.output) for tree in trees]
    targets = [value_at(tree, path, group) for tree in trees]
    loss = loss_formula(outputs, targets, family, own)
    judged = Judged.of(outputs, targets, family, loss.name if loss else None)
    comparisons = [
        compared(name, _formulas(family, name, asked.settings), judged, family, own) for name in asked.wanted
    ]
    return Decided(family, reading, path, group, entering(found), hidden, loss, comparisons, own)


def _formulas(family: Family, name: str, settings: Settings) -> list[Formula]:
    return [] if settings.formula == "script" else variants(family, name)


def _rank(decided: Decided) -> tuple[int, int, int]:
    """Fewer contradictions first, then a loss that is known, then more agreement."""
    standings = [one.standing for one in decided.comparisons]
    return -standings.count("other"), int(decided.loss is not None), standings.count("same")


def _require_own_word(session: Session, decided: Decided, trees: list[Any]) -> None:
    """Raises `EvalError` with both numbers where they differ by more than the adding up of batches."""
    wrong = [one for one in decided.comparisons if one.standing == "other" and not _drawn(one, decided.apart or {})]
    if not wrong:
        return
    parts = [
        f"{one.metric}: {one.ours:.6g} by {one.formula.name if one.formula else 'us'} of {decided.reading.output} "
        f"against {spelled(decided.target)}, and validation_step logs {one.said} = {one.own:.6g}"
        for one in wrong
    ]
    samples = parting(session, decided.family, decided, trees, wrong[0])
    raise EvalError(
        f"not the script's own score on the same {sum(decided.own.sizes)} samples: {'; '.join(parts)}.{samples} "
        f"Other outputs: {_others(decided)}. {_CHOICES}"
    )


def _others(decided: Decided) -> str:
    inputs = ", ".join(map(spelled, decided.inputs)) or "–"
    return f"the batch is taken as inputs {inputs}, target {spelled(decided.target)}"


def is_drawn_anew(session: Session, decided: Decided, trees: list[Any]) -> bool:
    """Whether other random numbers make other inputs, or other outputs of the same ones: random augmentation."""
    again = some_batches(session, draw=1)
    paths = [path for path, _ in leaves(trees[0])]
    if any(digest(one, paths, 0, 0) != digest(other, paths, 0, 0) for one, other in zip(trees, again)):
        return True
    asked = {"op": "answer", "batch": blanked(trees[0], decided.hidden), "reading": decided.reading.output}
    one, other = session.model(**asked), session.model(**asked, draw=1)
    return not same_answer(one, other)


def apart_by_draw(session: Session, decided: Decided) -> dict[str, float]:
    """What two of the script's own numbers may differ by that are drawn with other random numbers, by metric."""
    found: dict[str, list[float]] = {}
    names = {one.metric: one.said for one in decided.comparisons} | {"loss": decided.own.loss_name}
    for draw in range(DRAWS):
        trees = some_batches(session, draw)
        own = own_words(session, trees, [count(tree) or 0 for tree in trees], draw)
        for metric, said in names.items():
            value = own.mean(said) if said else None
            if value is not None:
                found.setdefault(metric, []).append(value)
    return {metric: RANGES * (max(values) - min(values)) for metric, values in found.items()}


def _drawn(one: Comparison, apart: dict[str, float]) -> bool:
    """Whether our number and the script's are as near as two draws of one."""
    if one.ours is None or one.own is None:
        return False
    return abs(one.ours - one.own) <= apart.get(one.metric, 0.0)


def parting(session: Session, family: Family, decided: Decided, trees: list[Any], wrong: Comparison) -> str:
    """Two samples for which our number and the script's differ, in words; "" where single samples don't tell."""
    if wrong.formula is None:
        return ""
    told: list[str] = []
    for number, (tree, row, of) in enumerate(_singles(trees)):
        one = cut(tree, row, of)
        said, _ = session.tried(op="judge", batch=one, index=0)
        output, _ = session.tried(op="answer", batch=blanked(one, decided.hidden), reading=decided.reading.output)
        if said is None or output is None or wrong.said not in said["logged"]:
            return ""
        try:
            shaped, target = family.shaped(output, value_at(one, decided.target, decided.group))
            predicted = family.predicted(shaped, decided.loss.name if decided.loss else None)
            ours = float(wrong.formula.compute(predicted, target))
        except (ValueError, RuntimeError, IndexError):
            return ""
        if abs(ours - said["logged"][wrong.said]) > 1e-4 * max(1.0, abs(ours)):
            answer, right = family.answer(predicted[0]), as_list(target)[0]
            told.append(
                f"sample {number}: predicted {str(answer)[:60]}, target {str(_plain(right))[:60]}, {ours:.4g} "
                f"and {said['logged'][wrong.said]:.4g}"
            )
        if len(told) == 2 or number >= 63:
            break
    return f" For example {'; '.join(told)}." if told else ""


def _singles(trees: list[Any]) -> Iterator[tuple[Any, int, int]]:
    for tree in trees:
        of = count(tree) or 0
        yield from ((tree, row, of) for row in range(of))


def _plain(value: Any) -> Any:
    return value.tolist() if hasattr(value, "tolist") else value


def _nothing_fits(tree: Any, found: dict[str, Any], problems: list[str], settings: Settings, family: Family) -> str:
    outputs = [key for call in found["calls"] for key in call["outputs"]] + [one["key"] for one in found["meetings"]]
    asked = [f"{name} {value!r}" for name, value in zip(("output", "target"), settings[:2]) if value]
    why = f"{problems[0]}" if problems else "no output of validation_step meets a target"
    return (
        f"nothing that validation_step judges is a {family.name}'s output and target"
        f"{' with ' + ', '.join(asked) if asked else ''}: {why}. "
        f"A batch holds {shape(tree)}; outputs: {', '.join(outputs[:8]) or 'none'}. Next: name the right output "
        "and target by write_eval(settings=…), let validation_step log the metric by its usual name (repair_version), "
        "or write a 03_eval.py with write_eval(source=…)"
    )


def loss_of(decided: Decided) -> dict[str, Any] | None:
    if decided.loss is not None:
        return {"kind": "server", "name": decided.loss.name, "scale": decided.loss.scale}
    own = decided.own
    name = own.loss_name or own_name(decided.family, "loss", own.names) or ""
    return {"kind": "script", "name": name} if own.losses is not None or name else None
