"""Drives the loop with a model: one conversation a version, each Step a tool call, until nothing is left to do."""

import json
from collections import Counter, deque
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from importlib.metadata import version as installed_version
from typing import TYPE_CHECKING, cast

from anthropic import APIError, AsyncAnthropic, CredentialsError, omit
from anthropic.lib.credentials import WorkloadIdentityError
from anthropic.types.beta import (
    BetaMessage,
    BetaMessageParam,
    BetaTextBlockParam,
    BetaToolUseBlock,
)
from pydantic import JsonValue

from ...loop.errors import LoopError
from ..base import AgentStopped, Event
from . import model_messages
from .api import Answered, explained, refused, unreadable, user
from .budget import Options, Spent
from .tools import Answer, Steps, Where, stopped
from .transcript import Transcript, encodable, plain

if TYPE_CHECKING:
    from mcp import Client

MAX_REPLY_TOKENS = 20_000  # thinking included; the SDK wants more to be streamed, and retries no stream that breaks off
MAX_SILENT = 3  # replies in a row that call nothing
MAX_SAME_FAILURE = 2  # times that one call may fail in the same way while nothing else changes
MAX_REPLIES_A_PHASE = 25  # replies without the loop getting on
_RUNNING = ("rehearsing", "training", "evaluating", "reporting")
_GO_ON = "start the same command again to go on where the loop stands"


async def drive(
    client: "Client",
    api: AsyncAnthropic,
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
    driver = _Driver(api, options, steps, transcript, on_event, last_version)
    return await driver.run(model_messages.system(client.instructions or "", rules.content))


class _Driver:
    def __init__(
        self,
        api: AsyncAnthropic,
        options: Options,
        steps: Steps,
        transcript: Transcript,
        on_event: Callable[[Event], None] | None,
        last_version: int | None,
    ) -> None:
        self._api = api
        self._options = options
        self._steps = steps
        self._transcript = transcript
        self._on_event = on_event
        self._last_version = last_version
        self._spent = Spent()
        self._answers: deque[Answer] = deque()
        self._tools = tuple(
            Answered(one, self._answers, last=one is steps.definitions[-1]) for one in steps.definitions
        )
        self._system: tuple[BetaTextBlockParam, ...] = ()
        self._silent = 0
        self._failures: Counter[str] = Counter()
        self._replies = 0  # since the loop last got on

    async def run(self, system: tuple[str, str]) -> Spent:
        role, rules = system
        self._system = (
            {"type": "text", "text": role},
            {"type": "text", "text": rules, "cache_control": {"type": "ephemeral"}},
        )
        self._transcript.add(
            "start",
            model=self._options.model,
            effort=self._options.effort,
            sdk=installed_version("anthropic"),
            system=[role, rules],
            tools=[plain(tool.to_dict()) for tool in self._tools],
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
        """One version's conversation; where the loop stands when it is over."""
        chapter, version = where.chapter, where.version
        messages = [user(model_messages.opening(where))]
        self._transcript.add("conversation", version=version, messages=plain(messages))
        self._failures.clear()
        try:
            while where.chapter == chapter and not where.finished:
                messages, where = await self._talk(messages, where)
        except APIError as error:
            raise explained(error, self._options.model) from error
        except (CredentialsError, WorkloadIdentityError) as error:
            raise unreadable(error) from error
        finally:
            self._tell("spent so far", version, str(self._spent))
        return where

    async def _talk(self, messages: Sequence[BetaMessageParam], where: Where) -> tuple[list[BetaMessageParam], Where]:
        """The SDK's tool loop, until the version is over or the model must be told something."""
        chapter, said = where.chapter, list(messages)
        self._require_budget(where)
        runner = self._api.beta.messages.tool_runner(
            model=self._options.model,
            max_tokens=MAX_REPLY_TOKENS,
            system=self._system,
            tools=self._tools,
            messages=messages,
            # The mark moves on by itself to the last message.
            cache_control={"type": "ephemeral"},
            output_config={"effort": self._options.effort} if self._options.effort else omit,
            # The whole history goes out each time: no state of ours on a server, and any compatible endpoint will do.
            thread=False,
        )
        try:
            async for reply in runner:
                self._account(reply, where)
                if reply.stop_reason == "pause_turn":
                    said.append(reply.to_param())
                    continue
                if told := self._unusable(reply):
                    return self._say(said, told, where)
                calls = [block for block in reply.content if isinstance(block, BetaToolUseBlock)]
                if not calls:
                    kept = [reply.to_param()] if reply.content else []
                    return self._say([*said, *kept], model_messages.nudge(where), where)
                where = await self._carry_out(calls, where)
                results = await runner.generate_tool_call_response()
                assert results is not None, "the reply has calls"
                self._transcript.add("results", message=plain(results))
                said += [reply.to_param(), results]
                if where.chapter != chapter or where.finished:
                    break
                self._require_budget(where)
        finally:
            await runner.close()
        return said, where

    def _account(self, reply: BetaMessage, where: Where) -> None:
        """Counts and keeps a reply. Raises `AgentStopped` for a refusal, or when the loop doesn't get on."""
        self._spent = self._spent.plus(reply.usage, self._options)
        self._transcript.add("reply", message=plain(reply))
        if reply.stop_reason == "refusal":
            details = reply.stop_details
            category, explanation = (details.category, details.explanation) if details else (None, None)
            raise refused(category, explanation, where.version_id)
        self._replies += 1
        if self._replies > MAX_REPLIES_A_PHASE:
            what = f"the model doesn't get on: {MAX_REPLIES_A_PHASE} replies, and the phase is still {where.phase}"
            raise AgentStopped(what, where=where.version_id, hint=f"read {self._transcript.path}; {_GO_ON}")

    def _unusable(self, reply: BetaMessage) -> str | None:
        """What to tell the model of a reply that must not be carried out; None for any other."""
        if reply.stop_reason in ("max_tokens", "model_context_window_exceeded"):
            return model_messages.cut_off(MAX_REPLY_TOKENS)
        if not encodable(reply):
            return model_messages.not_unicode()
        for block in reply.content:
            if isinstance(block, BetaToolUseBlock):
                if block.name not in self._steps.names:
                    return model_messages.unknown_tool(block.name, self._steps.names)
                if not isinstance(block.input, dict):  # pyright: ignore[reportUnnecessaryIsInstance] - a model wrote it
                    return model_messages.no_object(block.name)
        return None

    def _say(self, said: Sequence[BetaMessageParam], text: str, where: Where) -> tuple[list[BetaMessageParam], Where]:
        """Tells the model something after a reply that called nothing. Raises `AgentStopped` after several of them."""
        self._silent += 1
        if self._silent >= MAX_SILENT:
            if where.phase == "done":  # all that counts is done; the report only lacks the model's own words
                return list(said), where.model_copy(update={"unfinished": None})
            what = f"the model made no usable call in {MAX_SILENT} replies. The last one was answered with: {text}"
            raise AgentStopped(what, where=where.version_id, hint=f"{_GO_ON}, perhaps with another --model or --effort")
        message = user(text)
        self._transcript.add("told", message=plain(message))
        return [*said, message], where

    async def _carry_out(self, calls: Sequence[BetaToolUseBlock], before: Where) -> Where:
        """Makes a reply's calls in order and keeps the answers for the runner; where the loop stands after them."""
        self._silent = 0
        answers = [await self._call(block.name, block.input, before) for block in calls]
        where = await self._look()
        if (where.phase, where.version) != (before.phase, before.version):
            self._replies = 0
            if not answers[-1].is_error and where.chapter == before.chapter:
                brief = f"{answers[-1].text}\n\nThe brief of the next Step:\n\n{where.brief}"
                answers[-1] = replace(answers[-1], text=brief)
        self._answers.extend(answers)
        return where

    async def _call(self, name: str, arguments: Mapping[str, object], where: Where) -> Answer:
        """One call. Raises `AgentStopped` if a person has to look."""
        given = cast(Mapping[str, JsonValue], arguments)
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
