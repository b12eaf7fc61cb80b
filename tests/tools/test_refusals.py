"""A refused call says which case it is by a code, so that nobody has to read its words to decide."""

from typing import Any, get_args

import pytest

from progressive_training.loop import errors
from progressive_training.loop.errors import ErrorCode, LoopError
from support.projects import At, connected

pytestmark = pytest.mark.anyio


async def refusal(folder: Any, tool: str, **arguments: Any) -> tuple[dict[str, Any], str]:
    async with connected(folder) as agent:
        result = await agent.client.call_tool(tool, arguments)
    assert result.is_error and result.structured_content is not None
    assert set(result.structured_content) == {"error"}
    return result.structured_content["error"], getattr(result.content[0], "text", "")


@pytest.mark.parametrize(
    ("stage", "tool", "arguments", "code"),
    [
        ("started", "run_eval", {"version": 1}, "out_of_order"),
        ("started", "run_train", {"version": "1"}, "wrong_arguments"),
        ("started", "run_train", {"version": 1, "note": "\ud800"}, "wrong_arguments"),
        ("acted", "author_next_version", {"version": 1, "diff": "no diff"}, "diff_unfit"),
    ],
)
async def test_a_refusal_carries_its_code_and_its_parts_beside_the_words(
    at: At, stage: str, tool: str, arguments: dict[str, Any], code: str
) -> None:
    error, text = await refusal(at(stage), tool, **arguments)
    assert error["code"] == code
    head = f"{error['where']}: {error['what']}" if "where" in error else error["what"]
    assert text == f"{head}\nNext: {error['next']}"


async def test_what_the_rules_forbid_and_what_only_the_user_may_decide_are_told_apart_by_code(at: At) -> None:
    folder = at("started")
    folder.set_rules(training_config={"epochs": 3, "batch_size": 32})
    error, text = await refusal(folder, "run_train", version=1)
    assert error["code"] == "user_decision" and "progressive-training rules accept" in error["next"]
    folder.write("user_defined_rules.json", "{")
    error, text = await refusal(folder, "run_train", version=1)
    assert error["code"] == "rules_unusable" and "user_defined_rules.json:1:" in error["where"]
    assert text.startswith(error["where"])


async def test_what_a_refusal_quotes_is_escaped_in_its_parts_as_well(at: At) -> None:
    error, _ = await refusal(at("started"), "run_train", version=1, **{"x\u202e\u200b": 1})
    assert "\\u202e\\u200b" in error["what"] and not set(error["what"]) & set("\u202e\u200b")


def test_every_error_of_the_loop_has_a_code_of_its_own() -> None:
    kinds = [one for one in vars(errors).values() if isinstance(one, type) and issubclass(one, LoopError)]
    codes = [kind.default_code for kind in kinds]
    assert len(set(codes)) == len(codes) and set(codes) <= set(get_args(ErrorCode))
