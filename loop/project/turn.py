"""A turn: what one call of a Step holds while it changes a project."""

from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass

from ..rules.reading import Rules
from ..store.records import R
from .integrity import require_intact
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
        """What the Step left when it was called before. None also for a number that is no version of the loop."""
        return self.version.receipt(kind) if 1 <= self.version.number <= self.state.cur else None

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

    Without a number it is the loop's current version, and before there is one, the first. Raises `RulesError`, what
    `derive` raises, and as `Project.mutation`.
    """
    rules = project.rules()
    with project.mutation():
        state = derive(project, rules)
        version = Version(project, number if number is not None else max(state.cur, 1))
        yield Turn(call, version, rules, state)
