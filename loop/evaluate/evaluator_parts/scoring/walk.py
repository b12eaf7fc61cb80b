"""The whole validation set: each batch read by one process, and answered by the other."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from ..errors import EvalError, ScriptFault
from ..formulas import Family, Formula
from ..trees import Opaque, count, cut, digest, leaves, own, rows, value_at
from .reading import as_list, blanked
from .session import Session

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.


class How(NamedTuple):
    """How a version is asked: the reading, and the leaves that are blanked before."""

    output: str
    hidden: tuple[Any, ...]
    inputs: tuple[Any, ...]
    target: Any
    group: Any = None


class Queries(NamedTuple):
    """Candidates that are samples of their own, by the query that they belong to."""

    ids: list[str]
    members: list[list[int]]


def queries(targets: list[Any]) -> Queries:
    """In ascending order; a target is (relevance, query)."""
    found: dict[float, list[int]] = {}
    for number, one in enumerate(targets):
        found.setdefault(float(one[1]), []).append(number)
    return Queries([f"{one:g}" for one in sorted(found)], [found[one] for one in sorted(found)])


class Scored(NamedTuple):
    """The whole set: targets and predictions in the family's form, a loss for each sample where there is one.

    `script` holds values by the script's own formula. `how` is how single requests are answered.
    """

    targets: Any
    predicted: Any
    loss: float | None
    losses: list[float] | None
    script: dict[str, float]
    ids: list[str]
    how: How
    means: dict[str, list[float]] = {}  # noqa: RUF012 - by metric: means of batches' values, by their sizes and plain
    loss_terms: dict[str, list[float]] = {}  # noqa: RUF012 - where the loss is no mean of samples
    members: list[list[int]] = []  # noqa: RUF012 - the samples of each query, where a row is one

    def requests(self, rows: list[int]) -> list[list[int]]:
        """The samples that are asked about together for each of these rows."""
        return [self.members[row] for row in rows] if self.members else [[row] for row in rows]


class Loss(NamedTuple):
    """A loss of the whole set: each sample's where it is their mean, else what of each it is a ratio of."""

    value: float | None
    each: list[float] | None
    terms: dict[str, list[float]]

    def times(self, scale: float) -> Loss:
        """The same loss in other units; what it is a ratio of stays as it is."""
        if scale == 1.0 or self.value is None or self.terms:
            return self
        return Loss(self.value * scale, None if self.each is None else [one * scale for one in self.each], {})


def loss_by(formula: Formula, outputs: Any, targets: Any) -> Loss:
    """Raises `ValueError` where the formula takes no such outputs."""
    if formula.each is not None:
        each = [float(one) for one in formula.each(outputs, targets)]
        return Loss(statistics.fmean(each) if each else None, each, {})
    terms = formula.terms(outputs, targets) if formula.terms is not None else {}
    return Loss(float(formula.compute(outputs, targets)), None, terms)


class Seen(NamedTuple):
    """What is kept of a batch whose outputs aren't needed any more: predictions, targets, and its share of the loss."""

    predicted: list[Any]
    targets: list[Any]
    loss: Loss


class Collected(NamedTuple):
    """One walk over the set: `inputs` are digests, `opaque` is the class of an object that nobody could look into.

    `outputs` has one entry a batch: what the model gave, or `Seen` for all of them.
    """

    outputs: list[Any]
    targets: list[Any]
    inputs: list[str]
    opaque: str


def seen(family: Family, loss: str | None, output: Any, target: Any) -> Any:
    """What has to be kept of a batch: the output itself where a formula needs those of all samples together."""
    formula = family.losses[loss] if loss else None
    if formula is not None and formula.each is None and formula.terms is None:
        return output
    shaped, right = family.shaped(output, target)
    if not family.apart(shaped):
        return output
    return Seen(list(family.predicted(shaped, loss)), list(right), _share(formula, shaped, right))


def _share(formula: Formula | None, outputs: Any, targets: Any) -> Loss:
    """What a batch adds to the loss; nothing where the formula takes no such outputs."""
    try:
        if formula is not None and formula.each is not None:
            return Loss(None, [float(one) for one in formula.each(outputs, targets)], {})
        return Loss(None, None, formula.terms(outputs, targets) if formula and formula.terms else {})
    except ValueError:
        return Loss(None, None, {})


def put_together_again(batches: list[Seen]) -> tuple[list[Any], list[Any], Loss]:
    """The whole set's predictions, targets and loss, to the last bit as of all outputs together."""
    predicted = [one for batch in batches for one in batch.predicted]
    targets = [one for batch in batches for one in batch.targets]
    losses = [batch.loss for batch in batches]
    if all(one.each is not None for one in losses):
        each = [value for one in losses for value in one.each or ()]
        return predicted, targets, Loss(statistics.fmean(each), each, {})
    if not all(one.terms for one in losses):
        return predicted, targets, Loss(None, None, {})
    terms = {name: [value for one in losses for value in one.terms[name]] for name in losses[0].terms}
    length = sum(terms["length"])
    return predicted, targets, Loss(sum(terms["errors"]) / length if length else None, None, terms if length else {})


def collect(session: Session, how: How, keep: Callable[[Any, Any], Any] = lambda output, _: output) -> Collected:
    """Every batch once: its targets stay here, its inputs are digested, and the rest is answered.

    `keep(output, target)` is what is kept of a batch.
    """
    found, before = Collected([], [], [], ""), session.model(op="weights")
    for tree, _ in session.batches():
        size = count(tree) or 0
        answer = session.asking(op="answer", batch=blanked(tree, how.hidden), reading=how.output)
        # Meanwhile. A tensor of its own, since the message's memory holds the inputs as well.
        leaf = own(value_at(tree, how.target, how.group))
        found.targets.extend(as_list(leaf))
        paths = [path for path, one in leaves(tree) if path != how.target and rows(one) == size]
        # What isn't of one sample is of them all.
        rest = [path for path, one in leaves(tree) if path != how.target and rows(one) != size]
        common = digest(tree, rest, 0, 0) if rest else ""
        found.inputs.extend(digest(tree, paths, row, size) + common for row in range(size))
        if not found.opaque:
            found = found._replace(opaque=next((one.name for _, one in leaves(tree) if isinstance(one, Opaque)), ""))
        found.outputs.append(keep(answer(), leaf))
    if session.model(op="weights") != before:
        raise ScriptFault(
            "its weights changed while it answered: a model that learns as it is asked has no score. Next: let "
            "validation_step and forward leave the parameters as they are (repair_version)"
        )
    samples = session.about["samples"]
    if not found.targets or (samples is not None and len(found.targets) != samples):
        expected = "at least one" if samples is None else samples
        raise EvalError(
            f"the validation loader gave {len(found.targets)} samples, expected {expected}. Next: check its collate_fn"
        )
    return found


def by_the_script(session: Session) -> dict[str, float]:
    """Every value that the script's own validation logs over the whole set. It sees the targets for this."""
    session.model(op="begin")
    logged: dict[str, list[tuple[float, int]]] = {}
    for index, (tree, _) in enumerate(session.batches()):
        step = session.model(op="judge", batch=tree, index=index)
        values = dict(step["logged"])
        if step["loss"]:
            values.setdefault(step["loss"]["name"] or "loss", step["loss"]["value"])
        for name, value in values.items():
            logged.setdefault(name, []).append((value, count(tree) or 1))
    values = {name: sum(v * n for v, n in pairs) / sum(n for _, n in pairs) for name, pairs in logged.items()}
    return {**values, **session.model(op="end")}


def one_at_a_time(session: Session, members: list[list[int]]) -> list[float] | None:
    """Each row's loss as `validation_step` gives it for a batch of that one alone; None where it gives none."""
    losses = []
    for index, (tree, _) in enumerate(single_batches(session, members)):
        step, error = session.tried(op="judge", batch=tree, index=index)
        if error is not None:
            raise EvalError(
                f"validation_step fails on a batch of one sample (number {index}): {error}. "
                "Next: let it take any batch size, as squeeze(-1) rather than squeeze() does (repair_version)"
            )
        if not step["loss"]:
            return None
        losses.append(step["loss"]["value"])
    return losses


def single_batches(session: Session, members: list[list[int]]) -> Iterator[tuple[Any, float]]:
    """A batch of each of these few samples alone, and the seconds that preparing it took.

    Of a stream they are single ones in ascending order.
    """
    if session.about["samples"] is not None:
        yield from session.singles(members)
        return
    wanted, first = {index for some in members for index in some}, 0
    walk = session.batches()
    for tree, _ in walk:
        size = count(tree) or 0
        yield from ((cut(tree, row, size), 0.0) for row in range(size) if first + row in wanted)
        first += size
        if not wanted or first > max(wanted):
            break
    walk.close()
