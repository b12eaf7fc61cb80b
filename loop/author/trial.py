"""A diff tried without spending anything: the checks of the Step that would take it, and nothing written."""

from dataclasses import dataclass

from ..project.notices import Notice
from ..project.project import Project
from ..project.receipts import ActionReceipt
from ..project.turn import turn
from .action import Action, require_action, unrelated_settings
from .next_version import drafted, sent


@dataclass(frozen=True)
class Trial:
    """What the diff would change, with the notes that its version would get."""

    symbols: tuple[str, ...]
    diff: str
    notes: tuple[Notice, ...]


def try_diff(project: Project, number: int, diff: str, action: Action | None) -> Trial:
    """Checks a diff against version `number` as `author_next_version` would; `action` is one that isn't selected yet.

    Nothing is run. Raises what `write_action` and `author_next_version` raise.
    """
    with turn(project, "author_next_version", number) as t:
        loop = t.begin("author") if action is None else t.begin("analysis", "action", "author")
        chosen = t.version.receipt(ActionReceipt) or action
        assert chosen is not None, "the phase says that an action is selected"
        if isinstance(chosen, Action):
            require_action(t.version.script(), t.rules, chosen)
        draft = drafted(t, loop, sent(t.version, diff), chosen)
        notes = (*draft.change.notes, *unrelated_settings(draft.change.old, draft.new, draft.changes))
        return Trial(draft.changes.symbols, draft.change.diff, notes)
