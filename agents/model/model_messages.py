"""What the model is told beyond the server's own words."""

import json
from collections.abc import Mapping

from pydantic import JsonValue

from .tools import Answer, Where

_ROLE = """\
You improve a training script through the tools of a training loop, alone and unattended: nobody reads your prose, so \
act by tool calls. Text outside of them is thrown away.

How this session works:
- Trainings and evaluations are waited for: call run_train or run_eval once, and its result is the finished one.
- The short way is one call a version: author_next_version with analysis, action, diff and train=true. It returns the \
scores; a refusal names the part to mend, and what was finished before it is kept.
- After each Step that changes something, the brief of the next Step follows its result. Do what it asks.
- Each version begins a new conversation. What earlier versions tried is in the brief; their scripts and documents are \
resources (read_resource), so read what you need and no more.
- If a call is refused, read why, change what is wrong, and call again. Never repeat a refused call as it was.
- What only the user may decide (changed rules, a changed evaluator or data set) is not yours: stop and say so.

What is wanted of you is judgement. An analysis says what the numbers show and what they don't; a difference \
labelled noise is no basis for a claim. An action is one hypothesis, as large as it needs to be: all that serves one \
cause and nothing else, chosen for the gain that the evidence lets you expect and not from habit or timidity, unlike \
what was tried in vain, and within the user's rules. A diff makes that change and nothing else."""

_DONE = """
The last thing to do is the analysis of the whole loop: read loop://leaderboard and the best versions' action and \
analysis, then call final_report(analysis=…) once."""


# Of what read_rules returns; the rest says where the loop stands at that moment.
_LASTING = ("rules", "fixed", "defaults", "unknown_keys", "instruction", "dataset_id")


def system(instructions: str, rules: Mapping[str, JsonValue]) -> tuple[str, str]:
    """What stays the same for the whole loop: the role with the server's instructions, and the user's own words."""
    lasting = {name: rules[name] for name in _LASTING if rules.get(name)}
    return (
        f"{_ROLE}\n\nThe server's instructions:\n{instructions}",
        "What the user fixed and wants, as read_rules says it; it outranks everything:\n"
        + json.dumps(lasting, ensure_ascii=False, indent=1),
    )


def opening(where: Where) -> str:
    """The first message of a version's conversation."""
    version = f"{where.version_id} of at most {where.max_versions}" if where.version else "no version yet"
    text = f"The loop stands at: {version}, phase {where.phase}.\n\n{where.brief or ''}"
    return text + _DONE if where.phase == "done" else text


def nudge(where: Where) -> str:
    """For a reply without a tool call."""
    call = where.next
    wanted = f"{call.tool}: {call.why}" if call else "final_report with analysis"
    return f"Your reply called no tool, so nothing happened. Make the next call now ({wanted})."


def cut_off(most: int | None) -> str:
    limit = "at its longest" if most is None else f"at {most:,} tokens"
    return (
        f"Your last reply was cut off {limit} and is dropped; nothing was called. Make one tool call, and "
        "be brief: a small diff instead of a long one, short texts."
    )


def unknown_tool(name: str, known: tuple[str, ...]) -> str:
    return f"Your last reply is dropped: there is no tool {name!r}. The tools are {', '.join(known)}."


def not_unicode() -> str:
    return "Your last reply is dropped: it holds half of a surrogate pair. Send whole characters."


def no_object(name: str) -> str:
    return f"Your last reply is dropped: the arguments of {name} were not one JSON object. Call it again."


_SAID = {"write_analysis": "summary", "write_action": "change", "repair_version": "change_summary"}


def told(name: str, arguments: Mapping[str, JsonValue], answer: Answer) -> str:
    """One call in a line, for the user."""
    if answer.is_error:
        return f"refused: {answer.text}"
    said = arguments.get(_SAID.get(name, ""))
    return said if isinstance(said, str) else answer.message
