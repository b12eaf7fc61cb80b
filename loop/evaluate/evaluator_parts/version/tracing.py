"""What `validation_step` feeds to its loss and its metrics, found by following tensors instead of reading code.

Leaves of the batch and outputs of the outermost modules carry marks through whatever is computed from them. Where a
call takes something that comes of a module and something that comes of the batch alone, the two *meet*: that is what
is judged, and by which function.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import torch
from torchmetrics import Metric

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.

MOST_MEETINGS = 24
MOST_CALLS = 12


class Call(NamedTuple):
    """A module that `validation_step` calls itself: its name, what it was given, and the tensors that it gave.

    A list of dicts with boxes, as detection has them, is one output.
    """

    name: str
    module: Any
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: dict[str, Any]  # by where they lie in what it returned: "", "[1]", ".logits"


class Meeting(NamedTuple):
    """A call of torch that takes an output and a target: `key` is its name and how many of that name came before.

    `update` is that of a torchmetrics object which takes lists of dicts.
    """

    key: str
    output: Any
    target: Any
    paths: frozenset[Any]


class Marked(torch.Tensor):
    """A tensor that remembers what it comes of: "out", and paths of leaves."""

    marks: frozenset[Any] = frozenset()

    @classmethod
    def __torch_function__(cls, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        found = super().__torch_function__(function, types, args, kwargs)
        marks = frozenset().union(*(one.marks for one in _marked((args, tuple(kwargs.values())))))
        for one in _marked(found):
            one.marks = marks
        if Trace.current is not None:
            Trace.current.note(function, (*args, *kwargs.values()))
        return found


def mark(value: torch.Tensor, marks: frozenset[Any]) -> Marked:
    marked = value.as_subclass(Marked)
    marked.marks = marks
    return marked


def plain(value: Any) -> Any:
    """The same without marks."""
    if isinstance(value, Marked):
        return value.as_subclass(torch.Tensor)
    if type(value) in (list, tuple):
        return type(value)(map(plain, value))
    if type(value) is dict:
        return {key: plain(one) for key, one in value.items()}
    return value


class Trace:
    """Follows one `validation_step`. `with Trace(model, rows): …`; then `calls` and `meetings` say what happened."""

    current: Trace | None = None

    def __init__(self, model: Any, marked: bool) -> None:
        self.marked = marked
        self.calls: list[Call] = []
        self.meetings: list[Meeting] = []
        self._names = {id(module): name for name, module in model.named_modules()}
        self._depth = 0
        self._seen: dict[str, int] = {}
        self._original: Callable[..., Any] = torch.nn.Module.__call__
        self._updates = [(one, one.update) for one in model.modules() if isinstance(one, Metric)] if marked else []

    def __enter__(self) -> Trace:
        Trace.current = self
        original, trace = self._original, self

        def call(module: Any, *args: Any, **kwargs: Any) -> Any:
            return trace._called(original, module, args, kwargs)

        torch.nn.Module.__call__ = call  # type: ignore[method-assign]
        for metric, update in self._updates:
            metric.update = self._noted(update)  # type: ignore[method-assign]
        return self

    def __exit__(self, *_: Any) -> None:
        torch.nn.Module.__call__ = self._original  # type: ignore[method-assign]
        for metric, update in self._updates:
            metric.update = update  # type: ignore[method-assign]
        Trace.current = None

    def _noted(self, update: Callable[..., Any]) -> Callable[..., Any]:
        """A metric's update that notes the lists of dicts which it is given; torch never sees them meet."""

        def noted(*args: Any, **kwargs: Any) -> Any:
            given = [one for one in (*args, *kwargs.values()) if are_records(one)]
            if len(given) == 2:
                marks = frozenset().union(*(one.marks for one in _marked(given[1]))) - {"out"}
                self._meet("update", given[0], given[1], marks)
            return update(*plain(args), **plain(kwargs))

        return noted

    def _called(self, original: Any, module: Any, args: Any, kwargs: Any) -> Any:
        if self._depth or isinstance(module, Metric) or self._judges(module, args, kwargs):
            return original(module, *args, **kwargs)
        if self.marked:
            args, kwargs = plain(args), plain(kwargs)
        self._depth += 1
        try:
            found = original(module, *args, **kwargs)
        finally:
            self._depth -= 1
        tensors = dict(outputs_of(found))
        if tensors and len(self.calls) < MOST_CALLS:
            self.calls.append(Call(self._names.get(id(module), "?"), module, args, kwargs, tensors))
        return _remarked(found) if self.marked else found

    def _judges(self, module: Any, args: Any, kwargs: Any) -> bool:
        """A loss or a metric: it has no weights, or takes what comes of a module beside what doesn't."""
        given = list(_marked((args, tuple(kwargs.values()))))
        mixed = any("out" in one.marks for one in given) and any(one.marks - {"out"} for one in given)
        return mixed or ("loss" in type(module).__name__.lower() and len(args) + len(kwargs) > 1)

    def note(self, function: Any, args: tuple[Any, ...]) -> None:
        if self._depth or len(self.meetings) >= MOST_MEETINGS:
            return
        given = [one for one in args if isinstance(one, Marked)]
        outputs = [one for one in given if "out" in one.marks]
        targets = [one for one in given if "out" not in one.marks and (not outputs or one.marks - outputs[0].marks)]
        if not outputs or not targets:
            return
        name = getattr(function, "__name__", "call").strip("_")
        self._meet(name, outputs[0], targets[0], targets[0].marks)

    def _meet(self, name: str, output: Any, target: Any, marks: frozenset[Any]) -> None:
        number = self._seen[name] = self._seen.get(name, -1) + 1
        self.meetings.append(Meeting(f"{name}#{number}", plain(output), plain(target), marks))


def _marked(value: Any) -> Iterator[Marked]:
    if isinstance(value, Marked):
        yield value
    elif isinstance(value, (list, tuple)):
        for one in value:
            yield from _marked(one)
    elif isinstance(value, dict):
        for one in value.values():
            yield from _marked(one)


def are_records(value: Any) -> bool:
    """Whether it is a list of dicts of tensors."""
    return (
        type(value) in (list, tuple)
        and bool(value)
        and all(isinstance(one, dict) and any(isinstance(part, torch.Tensor) for part in one.values()) for one in value)
    )


def outputs_of(value: Any, place: str = "", depth: int = 0) -> Iterator[tuple[str, Any]]:
    """The tensors in what a module returned, by where they lie in it; a list of dicts of tensors is one output."""
    if isinstance(value, torch.Tensor) or are_records(value):
        yield place, value
    elif depth < 3 and isinstance(value, dict):  # a ModelOutput is one as well
        for key, one in value.items():
            yield from outputs_of(one, f"{place}.{key}", depth + 1)
    elif depth < 3 and isinstance(value, (list, tuple)):
        for index, one in enumerate(value[:8]):
            yield from outputs_of(one, f"{place}[{index}]", depth + 1)


def _remarked(value: Any, depth: int = 0) -> Any:
    """What a module returned, with its floating tensors marked as outputs; containers stay what they are."""
    if isinstance(value, torch.Tensor):
        return mark(value, frozenset({"out"}))
    if depth < 3 and type(value) in (list, tuple):
        return type(value)(_remarked(one, depth + 1) for one in value)
    if depth < 3 and isinstance(value, dict):
        try:
            for key in list(value):
                value[key] = _remarked(value[key], depth + 1)
        except TypeError:
            return value
    return value
