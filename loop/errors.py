"""Every error that the loop raises on purpose.

    LoopError                 what is wrong, where, and what to do next
    ├── RulesError            user_defined_rules.json or user_instruction.md can't be used
    ├── RuleViolation         a change or a run conflicts with what the user fixed
    ├── ProjectError          the project lacks something, or holds something unusable
    │   ├── UnsafePath        a symlink, FIFO or escape where a plain file is expected
    │   └── NewerRecord       a record was made by a later release than this one
    ├── UserDecision          only the user may decide to go on: rules, evaluator or data changed in mid-loop
    ├── StillReading          large data is read by turns; the same call goes on with it
    ├── OutOfOrder            the call is not legal in the present state
    │   └── Busy              another process holds the project's lock
    ├── ScriptError           a training script can't be read or understood
    ├── DiffError             a diff doesn't apply
    ├── GuardError            a diff applies, and changes what it may not change
    ├── DocumentError         an analysis or action lacks a part
    ├── RunError              a training or evaluation can't be started, or failed
    └── EvaluationError       an evaluation's output can't be trusted

Anything else that escapes is a bug, and is shown as one.
"""

import hashlib
import json
from typing import Literal


class LoopError(Exception):
    """An anticipated failure, written for the person or model that reads it.

    `what` says what is wrong, `where` names the file, symbol or field, `hint` says what to do next.
    """

    def __init__(self, what: str, *, where: str | None = None, hint: str | None = None) -> None:
        self.what = what
        self.where = where
        self.hint = hint
        super().__init__(what)

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\nNext: {self.hint}" if self.hint else head


class RulesError(LoopError):
    """The user's rules can't be used as they are."""


class RuleViolation(LoopError):
    """A change or a run conflicts with what the user fixed."""


class ProjectError(LoopError):
    """The project folder lacks something, or holds something unusable."""


class UnsafePath(ProjectError):
    """A path is not the plain file or folder that it must be."""


class NewerRecord(ProjectError):
    """A record was made by a later release, which alone knows what it means; it stays as it is."""


class UserDecision(LoopError):
    """The user's rules, the evaluator or the data changed in mid-loop; only the user may decide to go on.

    `changed` names what, `since` says since when. `subject` is what `progressive-training SUBJECT accept` accepts.
    `versions` is JSON of what was there and what is there now: by `digest`, a yes to one change is no yes to another.
    """

    def __init__(
        self, changed: str, since: str, *, subject: Literal["rules", "protocol"], versions: object, after: str = ""
    ) -> None:
        self.changed = changed
        self.subject: Literal["rules", "protocol"] = subject
        self.digest = hashlib.sha256(json.dumps([subject, versions], sort_keys=True).encode()).hexdigest()
        hint = f"ask the user to undo the change or to run: progressive-training {subject} accept{after}"
        super().__init__(f"{changed} changed since {since}", hint=hint)


class StillReading(LoopError):
    """Nothing is wrong: large data is being read by turns, and the same call goes on with it."""


class OutOfOrder(LoopError):
    """The call is not legal in the present state."""


class Busy(OutOfOrder):
    """Another process holds the project's lock; the same call may succeed in a moment."""


class ScriptError(LoopError):
    """A training script can't be read or understood."""


class DiffError(LoopError):
    """A diff doesn't apply; nothing was changed."""


class GuardError(LoopError):
    """A diff applies, but changes what it may not; nothing was changed."""


class DocumentError(LoopError):
    """An analysis or action document lacks a part."""


class RunError(LoopError):
    """A training or evaluation can't be started, or failed."""


class EvaluationError(LoopError):
    """An evaluation's output can't be trusted; nothing was published."""
