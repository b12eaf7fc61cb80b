"""A person's own agent, kept at the loop that its user asked for: what its hooks are answered.

Claude Code, Codex and Gemini CLI tell a hook of the same three moments, under two names each. A conversation is the
loop's from a call that works on it to the end of that turn: a later turn in which the user asks for something else, and
any other conversation, is never held up.
"""

import hashlib
import time
from collections.abc import Callable

from pydantic import BaseModel, ConfigDict

from ..loop.errors import LoopError
from ..loop.project.evaluation_protocol import decisions
from ..loop.project.project import Project
from ..loop.project.state import LoopState, derive, next_call, report_receipt
from ..loop.store.paths import STATE
from ..loop.store.records import Record, load, save

FOLDER = f"{STATE}/conversations"
MOST_IDLE_TURNS = 3
"""How often a turn goes on while nothing in the loop has changed."""
WAIT_SECONDS = 540.0
"""How long a turn's end waits for a running job; hooks are given ten minutes."""
_POLL_SECONDS = 1.0
_PROMPTED = ("UserPromptSubmit", "BeforeAgent")
_CALLED = ("PostToolUse", "AfterTool")
_ENDING = ("Stop", "AfterAgent")
_LOOKING = ("read_rules", "next_step")
_ENDING_A_JOB = "cancel_run"
_OPENING = "The user asked for this loop, and it is not finished."

Answer = dict[str, str]


class Hook(BaseModel):
    """What a client tells a hook, as far as it is needed here."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    hook_event_name: str
    session_id: str
    tool_name: str = ""
    prompt: str = ""


class Conversation(Record):
    """A turn that works on the loop. `idle` ends of it found the loop as `seen` says, unchanged."""

    seen: str = ""
    idle: int = 0


def answered(project: Project, hook: Hook, *, wait_seconds: float = WAIT_SECONDS) -> Answer:
    """What the client is to be told: nothing, or that the turn goes on with the legal call, or why it doesn't.

    Never raises `LoopError`: a turn may always end where the loop can't be read.
    """
    tree, where = project.workspace.tree, _file(hook.session_id)
    if hook.hook_event_name in _PROMPTED:
        # Gemini CLI hands on what we said at the end of the last turn as if the user had.
        if not hook.prompt.startswith(_OPENING):
            tree.remove(where)
    elif hook.hook_event_name in _CALLED:
        if hook.tool_name.endswith(_ENDING_A_JOB):
            tree.remove(where)
        elif not hook.tool_name.endswith(_LOOKING) and load(tree, where, Conversation) is None:
            save(tree, where, Conversation())
    elif hook.hook_event_name in _ENDING:
        try:
            known = load(tree, where, Conversation)
            kept, said = (None, {}) if known is None else _at_the_end(project, known, wait_seconds)
        except LoopError as error:
            kept, said = None, {"systemMessage": f"The loop can't be read, so this turn ends: {error.what}"}
        if kept is None:
            tree.remove(where)
        else:
            save(tree, where, kept)
        return said
    return {}


def _file(session_id: str) -> str:
    return f"{FOLDER}/{hashlib.sha256(session_id.encode()).hexdigest()[:32]}.json"


def _at_the_end(project: Project, known: Conversation, wait_seconds: float) -> tuple[Conversation | None, Answer]:
    """What is remembered of a turn that wants to end, None where it may, and what is said."""
    rules = project.rules()
    state = derive(project, rules)
    if not rules.file.keep_going or state.loop is None or state.phase == "stuck":
        return None, {}
    if any(decisions(project, rules, state.loop)):  # the user comes first
        return None, {}
    call = _call(project, state)
    if call is None:
        return None, {}
    if _waited(lambda: _is_running(derive(project, rules)), wait_seconds):
        return known, _going_on(f"Its job is still running: {call}")
    seen = _seen(project)
    idle = known.idle + 1 if seen == known.seen else 1
    if idle > MOST_IDLE_TURNS:
        return None, {"systemMessage": f"{MOST_IDLE_TURNS} turns changed nothing in the loop. It waits for: {call}"}
    return Conversation(seen=seen, idle=idle), _going_on(f"Now {_call(project, derive(project, rules)) or call}")


def _call(project: Project, state: LoopState) -> str | None:
    """The legal call in words; None where nothing is left to do."""
    if state.next is not None:
        return next_call(state)
    report = report_receipt(project)
    if report is None or report.with_analysis:
        return None
    return "call final_report(analysis=…): the report lacks it"


def _is_running(state: LoopState) -> bool:
    return state.running is not None and state.running.status().state == "running"


def _waited(running: Callable[[], bool], seconds: float) -> bool:
    """Whether it still runs when the time is over."""
    until = time.monotonic() + seconds
    while (still := running()) and time.monotonic() < until:
        time.sleep(_POLL_SECONDS)
    return still


def _seen(project: Project) -> str:
    """What is another text as soon as a Step has changed something."""
    return str(project.workspace.tree.known.stamp(project.workspace.journal))


def _going_on(what: str) -> Answer:
    reason = (
        f"{_OPENING} {what}. Don't ask whether to go on. Where only the user can say how, tell what is to be decided, "
        "and end the turn again."
    )
    return {"decision": "block", "reason": reason}
