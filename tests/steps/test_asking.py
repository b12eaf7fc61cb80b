"""What only the user may decide is asked of the user, where the client can, and told to the model where it can't."""

from typing import Any

import pytest
from mcp import Client
from mcp.client import ClientRequestContext
from mcp_types import ElicitRequestParams, ElicitResult

from progressive_training.server.app import build_server
from support.e2e import plain_failures
from support.projects import At, Folder

pytestmark = pytest.mark.anyio
ERAS = ("auto", "legacy")


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
    result, asked = await trained(folder, era, ElicitResult(action="accept", content={"accept": True}))
    assert not result.is_error and result.structured_content["state"] == "done"
    (question,) = asked
    assert "user_defined_rules.json changed" in question and question.endswith("Go on under the changed text?")


@pytest.mark.requirement("C2")
@pytest.mark.parametrize("era", ERAS)
@pytest.mark.parametrize(
    "answer",
    [
        ElicitResult(action="accept", content={"accept": False}),
        ElicitResult(action="decline"),
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
    assert "Next: ask the user to undo the change or to run: progressive-training rules accept" in text
    assert folder.contents() == before
