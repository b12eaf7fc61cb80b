"""A turn: what one call of a Step holds while it changes a project."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from ..rules.reading import Rules
from ..store.records import R
from .integrity import put_back, require_intact
from .project import Project
from .receipts import LoopFile
from .state import LoopState, Phase, derive, require
from .version import Version


@dataclass(frozen=True)
class Turn:
    """The lock is held; `rules` and `state` are as they are now; `version` is the one that the call names.

    `call` is the Step's name.
    """

    call: str
    version: Version
    rules: Rules
    state: LoopState

    def done(self, kind: type[R]) -> R | None:
        """The receipt of an earlier call of this Step; None without one, and for a number that is no version.

        What the Step made and is gone is made again, as far as the loop keeps it.
        """
        receipt = self.version.receipt(kind) if 1 <= self.version.number <= self.state.cur else None
        if receipt is not None and self.state.loop is not None:
            put_back(self.version.project, self.state.loop)
        return receipt

    def legal(self, *phases: Phase) -> LoopFile:
        """The loop. Raises `OutOfOrder` with the legal next call, unless the current version is in one of `phases`."""
        return require(self.state, self.call, self.version.number, *phases)

    def begin(self, *phases: Phase) -> LoopFile:
        """The loop, where the call is legal and everything is as the loop left it.

        Raises `OutOfOrder`, and `UserDecision` if the user's files, the evaluator or the data set changed.
        """
        loop = self.legal(*phases)
        require_intact(self.version.project, self.rules, loop)
        return loop


@contextmanager
def turn(project: Project, call: str, number: int | None = None) -> Generator[Turn]:
    """Holds the project for one call that changes version `number`.

    Without a number, that is the loop's current version, or the first before there is one. Raises `RulesError`, and
    what `derive` and `Project.mutation` raise.
    """
    rules = project.rules()
    with project.mutation():
        state = derive(project, rules)
        version = Version(project, number if number is not None else max(state.cur, 1))
        yield Turn(call, version, rules, state)
