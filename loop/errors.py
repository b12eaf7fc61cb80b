"""Every error that the loop raises on purpose.

    LoopError                 what is wrong, where, and what to do next
    ├── RulesError            user_defined_rules.json or user_instruction.md can't be used
    ├── RuleViolation         a change or a run conflicts with what the user fixed
    ├── ProjectError          the project lacks something, or holds something unusable
    │   ├── UnsafePath        a symlink, FIFO or escape where a plain file is expected
    │   ├── Unreadable        a file that a run left can't be read within bounds
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
from typing import ClassVar, Literal

ErrorCode = Literal[
    "refused",
    "rules_unusable",
    "rule_violated",
    "project_unusable",
    "unsafe_path",
    "unreadable",
    "newer_release",
    "user_decision",
    "still_reading",
    "out_of_order",
    "busy",
    "script_unreadable",
    "diff_unfit",
    "change_refused",
    "document_incomplete",
    "run_failed",
    "run_unanswered",
    "run_unknown",
    "evaluation_untrusted",
    "samples_differ",
    "agent_stopped",
    "tracker_unreachable",
]
"""What went wrong, for programs: nothing is ever decided by an error's words."""


class LoopError(Exception):
    """An anticipated failure, written for the person or model that reads it.

    `what` says what is wrong, `where` names the file, symbol or field, `hint` says what to do next. `code` says which
    case it is: the class's own, or a finer one where a caller has to tell cases apart. Of a call of several parts,
    `part` is the one that was refused, and `finished` those before it, which stand.
    """

    default_code: ClassVar[ErrorCode] = "refused"

    def __init__(
        self, what: str, *, where: str | None = None, hint: str | None = None, code: ErrorCode | None = None
    ) -> None:
        self.code: ErrorCode = code or self.default_code
        self.what = what
        self.where = where
        self.hint = hint
        self.part: str | None = None
        self.finished: tuple[str, ...] = ()
        super().__init__(what)

    def __str__(self) -> str:
        head = f"{self.where}: {self.what}" if self.where else self.what
        return f"{head}\nNext: {self.hint}" if self.hint else head


class RulesError(LoopError):
    """The user's rules can't be used as they are."""

    default_code = "rules_unusable"


class RuleViolation(LoopError):
    """A change or a run conflicts with what the user fixed."""

    default_code = "rule_violated"


class ProjectError(LoopError):
    """The project folder lacks something, or holds something unusable."""

    default_code = "project_unusable"


class UnsafePath(ProjectError):
    """A path is not the plain file or folder that it must be."""

    default_code = "unsafe_path"


class Unreadable(ProjectError):
    """A file that a run left can't be read: it is no such file, or reading it takes too much of anything."""

    default_code = "unreadable"


class NewerRecord(ProjectError):
    """A record was made by a later release, which alone knows what it means; it stays as it is."""

    default_code = "newer_release"


class UserDecision(LoopError):
    """The user's rules, the evaluator or the data changed in mid-loop; only the user may decide to go on.

    `changed` names what, `since` says since when. `subject` is what `progressive-training SUBJECT accept` accepts.
    `versions` is JSON of what was there and what is there now: by `digest`, a yes to one change is no yes to another.
    """

    default_code = "user_decision"

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

    default_code = "still_reading"


class OutOfOrder(LoopError):
    """The call is not legal in the present state."""

    default_code = "out_of_order"


class Busy(OutOfOrder):
    """Another process holds the project's lock; the same call may succeed in a moment."""

    default_code = "busy"


class ScriptError(LoopError):
    """A training script can't be read or understood."""

    default_code = "script_unreadable"


class DiffError(LoopError):
    """A diff doesn't apply; nothing was changed."""

    default_code = "diff_unfit"


class GuardError(LoopError):
    """A diff applies, but changes what it may not; nothing was changed."""

    default_code = "change_refused"


class DocumentError(LoopError):
    """An analysis or action document lacks a part."""

    default_code = "document_incomplete"


class RunError(LoopError):
    """A training or evaluation can't be started, or failed."""

    default_code = "run_failed"


class EvaluationError(LoopError):
    """An evaluation's output can't be trusted; nothing was published."""

    default_code = "evaluation_untrusted"
