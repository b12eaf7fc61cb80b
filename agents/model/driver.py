"""Drives the loop with a model: one conversation a version, each Step a tool call, until nothing is left to do."""

import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, cast

from pydantic import JsonValue

from ...loop.errors import LoopError
from ..base import AgentStopped, Event
from . import model_messages
from .budget import Options, Spent
from .tools import Answer, Steps, Where, stopped
from .transcript import Transcript, encodable
from .wire import Call, Message, Reply, Unanswerable, Wire

if TYPE_CHECKING:
    from mcp import Client

MAX_SILENT = 3  # replies in a row that call nothing
MAX_SAME_FAILURE = 2  # times that one call may fail in the same way while nothing else changes
MAX_REPLIES_A_PHASE = 25  # replies without the loop getting on
_RUNNING = ("rehearsing", "training", "evaluating", "reporting")
_GO_ON = "start the same command again to go on where the loop stands"


async def drive(
    client: "Client",
    wire: Wire,
    options: Options,
    transcript: Transcript,
    *,
    on_event: Callable[[Event], None] | None = None,
    last_version: int | None = None,
) -> Spent:
    """Runs the loop to its report, going on wherever it stands, and says what that cost.

    `last_version` ends the loop after that version, where the rules would let it go on. A budget is looked at before
    each request, so that one reply may go beyond it.

    Raises: AgentStopped when the budget is used up, the model or the API doesn't get on, or a person has to decide.
    Whenever it ends, the loop is at a Step boundary or waits for a detached job, and can go on from there.
    """
    steps = await Steps.of(client)
    rules = await steps.call("read_rules", {}, lambda: False)
    if rules.is_error:
        raise stopped(rules)
    driver = _Driver(wire, options, steps, transcript, on_event, last_version)
    return await driver.run(model_messages.system(client.instructions or "", rules.content))


class _Driver:
    def __init__(
        self,
        wire: Wire,
        options: Options,
        steps: Steps,
        transcript: Transcript,
        on_event: Callable[[Event], None] | None,
        last_version: int | None,
    ) -> None:
        self._wire = wire
        self._options = options
        self._steps = steps
        self._transcript = transcript
        self._on_event = on_event
        self._last_version = last_version
        self._spent = transcript.spent()
        self._tools = tuple(wire.tools(steps.definitions))
        self._system: tuple[str, ...] = ()
        self._noted: set[str] = set()
        self._silent = 0
        self._failures: Counter[str] = Counter()
        self._replies = 0  # since the loop last got on

    async def run(self, system: tuple[str, str]) -> Spent:
        self._system = system
        self._transcript.add(
            "start",
            model=self._options.model,
            effort=self._options.effort,
            **self._wire.about,
            system=[*system],
            tools=[dict(tool) for tool in self._tools],
        )
        if self._options.price_of(0) is None:
            self._tell("price", None, f"{self._options.model} is not in the price list: tokens are counted, USD aren't")
        ended = "interrupted"
        try:
            where = await self._look()
            while not where.finished:
                where = await self._converse(where)
            ended = "finished"
        except LoopError as error:
            ended = error.what
            raise
        finally:
            self._transcript.add("end", reason=ended, spent=vars(self._spent))
        return self._spent

    async def _look(self) -> Where:
        """Where the loop stands; a loop that was asked to stop here is ended first."""
        where = await self._steps.where()
        last = self._last_version
        if last is not None and where.phase == "author" and (where.version or 0) >= last:
            reason = f"It was asked to stop after {where.version_id}."
            answer = await self._call("final_report", {"stop_reason": reason}, where)
            if answer.failed:
                raise stopped(answer)
            where = await self._steps.where()
        return where

    async def _converse(self, where: Where) -> Where:
        """One version's conversation; where the loop stands when it is over.

        Where the API won't take it any more, as when it has got too long, it begins anew with the brief.
        """
        chapter, version = where.chapter, where.version
        messages = self._open(where)
        self._failures.clear()
        try:
            while where.chapter == chapter and not where.finished:
                try:
                    messages, where = await self._talk(messages, where)
                except Unanswerable as error:
                    if len(messages) == 1:
                        raise
                    self._tell("begins anew", version, error.what)
                    messages = self._open(where)
        finally:
            self._tell("spent so far", version, str(self._spent))
        return where

    def _open(self, where: Where) -> list[Message]:
        messages = self._wire.said((), model_messages.opening(where))
        self._transcript.add("conversation", version=where.version, messages=[dict(one) for one in messages])
        return messages

    async def _talk(self, messages: Sequence[Message], where: Where) -> tuple[list[Message], Where]:
        """One reply and what comes of it."""
        self._require_budget(where)
        reply = await self._wire.ask(self._system, self._tools, messages)
        self._account(reply, where)
        kept = [*messages, *([reply.message] if reply.message else [])]
        if reply.ended == "paused":
            return kept, where
        if told := self._unusable(reply):
            return self._say(messages, told, where)
        if not reply.calls:
            return self._say(kept, model_messages.nudge(where), where)
        answers, after = await self._carry_out(reply.calls, where)
        results = self._wire.results(answers)
        for message in results:
            self._transcript.add("results", message=dict(message))
        return [*kept, *results], after

    def _account(self, reply: Reply, where: Where) -> None:
        """Counts and keeps a reply. Raises `AgentStopped` for a refusal, or when the loop doesn't get on."""
        self._spent = self._spent.plus(reply.usage, self._options)
        self._transcript.add("reply", message=reply.raw, spent=vars(self._spent))
        if reply.note and reply.note not in self._noted:
            self._noted.add(reply.note)
            self._tell("note", where.version, reply.note)
        if reply.refusal is not None:  # asking the same thing again gets the same answer
            what = f"the model refused to go on ({reply.refusal})"
            hint = "read the user instruction and the script with its eyes, or try another --model"
            raise AgentStopped(what, where=where.version_id, hint=f"{hint}; the loop stays as it is")
        self._replies += 1
        if self._replies > MAX_REPLIES_A_PHASE:
            what = f"the model doesn't get on: {MAX_REPLIES_A_PHASE} replies, and the phase is still {where.phase}"
            raise AgentStopped(what, where=where.version_id, hint=f"read {self._transcript.path}; {_GO_ON}")

    def _unusable(self, reply: Reply) -> str | None:
        """What to tell the model of a reply that must not be carried out; None for any other."""
        if reply.ended == "at its limit":
            return model_messages.cut_off(self._wire.most_tokens)
        if not encodable(reply.raw):
            return model_messages.not_unicode()
        for call in reply.calls:
            if call.name not in self._steps.names:
                return model_messages.unknown_tool(call.name, self._steps.names)
            if not isinstance(call.arguments, dict):
                return model_messages.no_object(call.name)
        return None

    def _say(self, said: Sequence[Message], text: str, where: Where) -> tuple[list[Message], Where]:
        """Tells the model something after a reply that called nothing. Raises `AgentStopped` after several of them."""
        self._silent += 1
        if self._silent >= MAX_SILENT:
            if where.phase == "done":  # all that counts is done; the report only lacks the model's own words
                return list(said), where.model_copy(update={"unfinished": None})
            what = f"the model made no usable call in {MAX_SILENT} replies. The last one was answered with: {text}"
            raise AgentStopped(what, where=where.version_id, hint=f"{_GO_ON}, perhaps with another --model or --effort")
        messages = self._wire.said(said, text)
        self._transcript.add("told", message=dict(messages[-1]))
        return messages, where

    async def _carry_out(self, calls: Sequence[Call], before: Where) -> tuple[list[tuple[Call, Answer]], Where]:
        """Makes a reply's calls in order; each with its answer, and where the loop stands after them."""
        self._silent = 0
        answers = [await self._call(call.name, cast(Mapping[str, JsonValue], call.arguments), before) for call in calls]
        where = await self._look()
        if (where.phase, where.version) != (before.phase, before.version):
            self._replies = 0
            if not answers[-1].is_error and where.chapter == before.chapter:
                brief = f"{answers[-1].text}\n\nThe brief of the next Step:\n\n{where.brief}"
                answers[-1] = replace(answers[-1], text=brief)
        return list(zip(calls, answers, strict=True)), where

    async def _call(self, name: str, given: Mapping[str, JsonValue], where: Where) -> Answer:
        """One call. Raises `AgentStopped` if a person has to look."""
        answer = await self._steps.call(name, given, lambda: self._options.over(self._spent) is None)
        if name not in self._steps.silent or answer.is_error:
            self._tell(name, where.version, model_messages.told(name, given, answer))
        if answer.for_the_user:
            raise stopped(answer)
        if answer.was_cancelled:
            raise AgentStopped("was cancelled", where=f"{name} {where.version_id}", hint=_GO_ON)
        if answer.may_pass:
            return answer  # the same call may succeed
        if answer.failed:
            call = json.dumps([name, given, answer.kind], sort_keys=True)
            self._failures[call] += 1
            if self._failures[call] >= MAX_SAME_FAILURE:
                what = (
                    f"the model made the same failing call {MAX_SAME_FAILURE} times: {answer.message.splitlines()[0]}"
                )
                raise AgentStopped(what, where=f"{name} {where.version_id}", hint=f"do that step by hand, or {_GO_ON}")
        elif name not in self._steps.silent:
            self._failures.clear()  # something changed, so a call that failed may now succeed
        return answer

    def _require_budget(self, where: Where) -> None:
        """Raises `AgentStopped` once the budget is used up."""
        if over := self._options.over(self._spent):
            job = " A running job goes on." if where.phase in _RUNNING else ""
            raise AgentStopped(
                f"the budget is used up: {over}.{job}",
                where=f"{where.version_id} {where.phase}".strip(),
                hint=f"{_GO_ON}, with a new budget",
            )

    def _tell(self, step: str, version: int | None, text: str) -> None:
        if self._on_event is not None:
            self._on_event(Event(step, version, text))
