"""Several Steps as the parts of one call: each with its own checks, in the order of the single Steps."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

from pydantic import TypeAdapter, ValidationError

from ..loop.errors import DocumentError, LoopError
from ..loop.text import describe

_T = TypeVar("_T")


class Parts:
    """Does the parts of one call one after another; `finished` are the names of those that stand."""

    def __init__(self, *, named: bool = True) -> None:
        """`named=False`: the call has one part, which needs no name."""
        self.finished: list[str] = []
        self._named = named

    def do(self, name: str, part: Callable[[], _T], *, finished: bool = True) -> _T:
        """What the part returns, `finished` with it or not yet.

        Raises its `LoopError`, which then says which part it was and what stands of those before it.
        """
        try:
            made = part()
        except LoopError as error:
            if self._named:
                error.part = error.part or name
                error.finished = (*self.finished, *error.finished)
            raise
        if finished:
            self.finished.append(name)
        return made


def parsed(given: Mapping[str, Any], kind: type[_T], tool: str) -> _T:
    """A document's parts as `kind`, a dataclass. Raises `DocumentError` for one that is missing, unknown or no text."""
    known = TypeAdapter(kind)
    unknown = sorted(given.keys() - {*getattr(kind, "__dataclass_fields__", {})})
    hint = f"send what {tool} takes, without version"
    if unknown:
        raise DocumentError(f"has unknown parts: {', '.join(unknown)}", where=tool, hint=hint)
    try:
        return known.validate_python(dict(given))
    except ValidationError as error:
        raise DocumentError(describe(error), where=tool, hint=hint) from error
