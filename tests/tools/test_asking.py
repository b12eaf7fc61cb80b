"""What only the user may decide is asked of the user, where the client can, and told to the model where it can't."""

from collections.abc import AsyncGenerator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from types import TracebackType
from typing import Any

import pytest
from mcp import Client
from mcp.client import ClientRequestContext
from mcp.client._memory import InMemoryTransport
from mcp.client._transport import TransportStreams, WriteStream
from mcp.shared.message import SessionMessage
from mcp_types import (
    CLIENT_CAPABILITIES_META_KEY,
    INVALID_REQUEST,
    CallToolResult,
    ElicitRequestParams,
    ElicitResult,
    ErrorData,
    InputRequiredResult,
    JSONRPCRequest,
)

from progressive_training.loop.project.integrity import accept_rules
from progressive_training.server.app import build_server
from support.e2e import plain_failures
from support.projects import At, Folder

pytestmark = pytest.mark.anyio
ERAS = ("auto", "legacy")
YES = ElicitResult(action="accept", content={"accept": True})
NO = ElicitResult(action="decline")
ADVICE = "Next: ask the user to undo the change or to run: progressive-training rules accept"


def changed_rules(at: At) -> Folder:
    folder = at("started")
    folder.set_rules(loop_config={"max_versions": 3})
    return folder


async def trained(folder: Folder, era: str, answer: ElicitResult | None) -> tuple[Any, list[str]]:
    """run_train's result, and what the user was asked; `answer=None` is a client that can't ask."""
    asked: list[str] = []

    async def ask(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:
        asked.append(params.message)
        assert answer is not None
        return answer

    with plain_failures():
        async with Client(
            build_server(folder.project()), mode=era, elicitation_callback=ask if answer else None
        ) as client:
            return await client.call_tool("run_train", {"version": 1, "wait_seconds": 45}), asked


@pytest.mark.requirement("C2")
@pytest.mark.parametrize("era", ERAS)
async def test_the_user_who_accepts_a_change_lets_the_loop_go_on(at: At, era: str) -> None:
    folder = changed_rules(at)
    result, asked = await trained(folder, era, YES)
    assert not result.is_error and result.structured_content["state"] == "done"
    (question,) = asked
    assert "user_defined_rules.json changed" in question and question.endswith("Go on under the changed text?")


@pytest.mark.requirement("C2")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "answer",
    [
        ElicitResult(action="accept", content={"accept": False}),
        ElicitResult(action="accept", content={"accept": "yes"}),
        ElicitResult(action="accept", content={}),
        ElicitResult(action="accept"),
        NO,
        ElicitResult(action="cancel"),
        None,
    ],
)
async def test_without_a_yes_nothing_goes_on_and_the_model_hears_what_the_user_can_do(
    at: At, era: str, answer: ElicitResult | None
) -> None:
    folder = changed_rules(at)
    before = folder.contents()
    result, asked = await trained(folder, era, answer)
    assert result.is_error and len(asked) == (answer is not None)
    text = result.content[0].text
    assert "only the user may decide to go on" in text
    assert ADVICE in text
    assert folder.contents() == before


@dataclass
class Answering:
    """A user who answers one question after another, and what happens to the project while each is open."""

    answers: list[tuple[Callable[[], object], ElicitResult | ErrorData]]
    asked: list[str]

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult | ErrorData:
        self.asked.append(params.message)
        meanwhile, answer = self.answers.pop(0)
        meanwhile()
        return answer


def nothing() -> None:
    """Happens while a question is open."""


async def trained_second(
    folder: Folder, era: str, *answers: tuple[Callable[[], object], ElicitResult | ErrorData]
) -> tuple[Any, list[str]]:
    """The result of v002's training, and what the user was asked; every answer must have been wanted."""
    user = Answering(list(answers), [])
    with plain_failures():
        async with Client(build_server(folder.project()), mode=era, elicitation_callback=user) as client:
            result = await client.call_tool("run_train", {"version": 2, "wait_seconds": 45})
    assert not user.answers, "the user was asked less often"
    return result, user.asked


def rules_and_evaluator_changed(at: At) -> Folder:
    folder = at("authored")
    folder.set_rules(loop_config={"max_versions": 3})
    folder.edit("03_eval.py", ("(p > 0.5) ==", "(p > 0.05) =="))
    return folder


@pytest.mark.requirement("C2", "R2")
@pytest.mark.parametrize("era", ERAS)
async def test_a_yes_to_the_rules_is_none_to_the_evaluator(at: At, era: str) -> None:
    folder = rules_and_evaluator_changed(at)
    receipt = folder.read(".progressive-training/receipts/evaluator.json")

    def accepted_in_a_terminal() -> None:
        assert accept_rules(folder.project())

    result, (first, second) = await trained_second(folder, era, (accepted_in_a_terminal, YES), (nothing, NO))
    assert "user_defined_rules.json changed" in first and "03_eval.py changed" in second
    assert result.is_error and "progressive-training protocol accept" in result.content[0].text
    assert folder.read(".progressive-training/receipts/evaluator.json") == receipt


@pytest.mark.requirement("C2", "R2")
@pytest.mark.parametrize("era", ERAS)
async def test_of_two_changes_each_is_asked_about(at: At, era: str) -> None:
    folder = rules_and_evaluator_changed(at)
    result, (first, second) = await trained_second(folder, era, (nothing, YES), (nothing, YES))
    assert "user_defined_rules.json changed" in first and "03_eval.py changed" in second
    assert not result.is_error and result.structured_content["state"] == "done"


def change_rules_again(folder: Folder) -> None:
    folder.set_rules(loop_config={"max_versions": 9})


def change_evaluator_again(folder: Folder) -> None:
    folder.edit("03_eval.py", ("(p > 0.05) ==", "(p > 0.9) =="))


def change_the_data(folder: Folder) -> None:
    folder.write("dataset/prepdata/v1/extra.json", "[]")


@pytest.mark.requirement("C2", "R2")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize("again", [change_rules_again, change_evaluator_again, change_the_data])
async def test_a_yes_is_for_the_text_that_was_there_when_the_user_was_asked(
    at: At, era: str, again: Callable[[Folder], None]
) -> None:
    folder = at("authored")
    if again is change_rules_again:
        folder.set_rules(loop_config={"max_versions": 3})
    else:
        folder.edit("03_eval.py", ("(p > 0.5) ==", "(p > 0.05) =="))
    kept = (".progressive-training/loop.json", ".progressive-training/receipts/evaluator.json")
    before = [folder.read(name) for name in kept]
    result, asked = await trained_second(folder, era, (lambda: again(folder), YES), (nothing, NO))
    assert len(asked) == 2 and result.is_error
    assert [folder.read(name) for name in kept] == before, "what the user said yes to is no more, so nothing is pinned"
    result, asked = await trained_second(folder, era, (nothing, YES))
    assert not result.is_error and result.structured_content["state"] == "done"


@pytest.mark.requirement("C2")
@pytest.mark.parametrize("era", ERAS)
async def test_a_change_that_is_undone_before_the_yes_is_not_pinned(at: At, era: str) -> None:
    folder = at("authored")
    pinned = folder.read(".progressive-training/loop.json")
    folder.set_rules(loop_config={"max_versions": 3})
    result, _ = await trained_second(folder, era, (folder.set_rules, YES))
    assert not result.is_error and result.structured_content["state"] == "done"
    assert folder.read(".progressive-training/loop.json") == pinned


async def begun(client: Client, **more: Any) -> CallToolResult | InputRequiredResult:
    """One round of run_train, whose question is left to the test."""
    arguments = {"version": 1, "wait_seconds": 45}
    result = await client.session.call_tool("run_train", arguments, allow_input_required=True, **more)
    assert isinstance(result, CallToolResult | InputRequiredResult)
    return result


@pytest.mark.requirement("C2")
async def test_the_answer_may_come_to_another_server_and_still_is_for_its_question_alone(at: At) -> None:
    folder = changed_rules(at)

    def client() -> Client:
        user = Answering([], [])  # asked by hand
        return Client(build_server(folder.project()), elicitation_callback=user)

    with plain_failures():
        async with client() as one:
            first = await begun(one)
        assert isinstance(first, InputRequiredResult) and first.input_requests
        (key,) = first.input_requests
        change_rules_again(folder)
        async with client() as another:
            second = await begun(another, input_responses={key: YES}, request_state=first.request_state)
        assert isinstance(second, InputRequiredResult) and second.input_requests
        (other,) = second.input_requests
        assert other != key
        async with client() as a_third:
            done = await begun(a_third, input_responses={other: YES}, request_state=second.request_state)
    assert isinstance(done, CallToolResult) and done.structured_content
    assert done.structured_content["state"] == "done"


@pytest.mark.requirement("C2")
async def test_when_a_client_answers_with_an_error_the_model_hears_what_the_user_can_do(at: At) -> None:
    folder = rules_and_evaluator_changed(at)
    refusal = ErrorData(code=INVALID_REQUEST, message="no window to show it in")
    result, asked = await trained_second(folder, "legacy", (nothing, refusal))
    assert len(asked) == 1 and result.is_error
    assert ADVICE in result.content[0].text


@dataclass(frozen=True)
class Declaring:
    """The client's end of the wire, where what it declares to show is another thing than this SDK's client declares."""

    inner: WriteStream[SessionMessage]
    elicitation: dict[str, Any]

    async def send(self, item: SessionMessage) -> None:
        if isinstance(item.message, JSONRPCRequest):
            params = item.message.params or {}
            told = params.get("capabilities") or params.get("_meta", {}).get(CLIENT_CAPABILITIES_META_KEY)
            if told is not None:
                told["elicitation"] = self.elicitation
        await self.inner.send(item)

    async def aclose(self) -> None:
        await self.inner.aclose()

    async def __aenter__(self) -> "Declaring":
        return self

    async def __aexit__(
        self, exc_type: type[BaseException] | None, exc_val: BaseException | None, exc_tb: TracebackType | None
    ) -> None:
        await self.aclose()


@asynccontextmanager
async def declaring(folder: Folder, elicitation: dict[str, Any]) -> AsyncGenerator[TransportStreams]:
    async with InMemoryTransport(build_server(folder.project())) as (read, write):
        yield read, Declaring(write, elicitation)


@pytest.mark.requirement("C2")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    ("elicitation", "shows_forms"),
    [({"url": {}}, False), ({}, True), ({"form": {}}, True), ({"form": {}, "url": {}}, True)],
)
async def test_only_a_client_that_shows_forms_is_asked(
    at: At, era: str, elicitation: dict[str, Any], shows_forms: bool
) -> None:
    folder = changed_rules(at)
    user = Answering([(nothing, NO)], [])
    with plain_failures():
        async with Client(declaring(folder, elicitation), mode=era, elicitation_callback=user) as client:
            result = await client.call_tool("run_train", {"version": 1, "wait_seconds": 45})
    assert len(user.asked) == shows_forms
    assert result.is_error and ADVICE in getattr(result.content[0], "text", "")
