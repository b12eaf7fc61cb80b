"""Calls out of order, with wrong arguments or twice: each answer says what is possible, and nothing is lost."""

from typing import Any

import pytest

from support.projects import ACTION, ANALYSIS, At, connected

pytestmark = pytest.mark.anyio

STEPS: dict[str, dict[str, Any]] = {
    "run_train": {},
    "run_eval": {},
    "repair_version": {"diff": "x", "root_cause": "x", "change_summary": "x"},
    "write_analysis": ANALYSIS,
    "write_action": ACTION,
    "author_next_version": {"diff": "x"},
}


LATER = ["write_analysis", "write_action", "author_next_version"]


@pytest.mark.requirement("T4", "S1")
@pytest.mark.parametrize(
    ("stage", "legal", "illegal"),
    [
        ("started", "run_train", ["run_eval", "repair_version", *LATER]),
        ("trained", "run_eval", ["repair_version", *LATER]),
        ("scored", "write_analysis", ["repair_version", *LATER[1:]]),
        ("analysed", "write_action", ["repair_version", *LATER[2:]]),
        ("acted", "author_next_version", ["repair_version"]),
        ("authored", "run_train", ["run_eval", "repair_version", *LATER]),
        ("finished", "final_report", ["repair_version", "author_next_version"]),
        ("reported", "final_report", ["repair_version", "author_next_version"]),
    ],
)
async def test_a_step_out_of_order_is_refused_and_says_which_one_is_next(
    at: At, stage: str, legal: str, illegal: list[str]
) -> None:
    version = 2 if stage in ("authored", "finished", "reported") else 1
    async with connected(at(stage)) as agent:
        for tool in illegal:
            text = await agent.refused(tool, version=version, **STEPS[tool])
            assert f"{tool}({version}) is not possible now" in text and legal in text
        for tool in STEPS:
            text = await agent.refused(tool, version=version + 1, **STEPS[tool])
            assert f"the loop is at version {version}" in text and legal in text
        if legal != "final_report":
            text = await agent.refused("final_report")
            assert legal in text and "pass stop_reason" in text


@pytest.mark.parametrize("version", ["2", "1", True, 1.0, 2.0, 0, -1, 3, 10**9, 10**30, "../x", None, [1], "v001"])
@pytest.mark.parametrize("tool", ["run_train", "run_eval", "write_analysis", "author_next_version", "cancel_run"])
async def test_a_version_that_is_no_whole_number_or_not_there_is_refused(at: At, tool: str, version: Any) -> None:
    async with connected(at("scored")) as agent:
        text = await agent.refused(tool, version=version, **STEPS.get(tool, {}))
        assert "call write_analysis(version=1)" in text


@pytest.mark.parametrize(
    ("tool", "arguments", "words"),
    [
        ("run_train", {}, "version: is missing"),
        ("run_train", {"version": 1, "force": True}, "force: there is no such argument"),
        ("run_train", {"version": 1, "wait_seconds": 51}, "wait_seconds"),
        ("run_train", {"version": 1, "wait_seconds": "45"}, "wait_seconds"),
        ("run_train", {"version": 1, "wait_seconds": -1}, "wait_seconds"),
        ("next_step", {"version": 1}, "version: there is no such argument"),
        ("write_action", {"version": 1, **ACTION, "where": "LEARNING_RATE"}, "where"),
        ("write_analysis", {"version": 1, **ANALYSIS, "hypotheses": "one"}, "hypotheses"),
        ("author_next_version", {"version": 1, "diff": ["x"]}, "diff"),
        ("start_loop", {"dataset_id": 1}, "dataset_id"),
        ("write_eval", {"source": b"x".hex(), "path": "/etc/passwd"}, "path: there is no such argument"),
        ("final_report", {"stop_reason": 3}, "stop_reason"),
    ],
)
async def test_wrong_arguments_are_named(at: At, tool: str, arguments: dict[str, Any], words: str) -> None:
    async with connected(at("scored")) as agent:
        text = await agent.refused(tool, **arguments)
        assert words in text and f"{tool} got wrong arguments" in text


async def test_a_damaged_receipt_is_named_and_the_loop_does_not_move(at: At) -> None:
    folder = at("scored")
    where = ".progressive-training/receipts/v001/eval.json"
    whole = folder.read(where)
    async with connected(folder) as agent:
        for damaged in (whole[:50], whole.replace('"attempt": 1', '"attempt": "one"'), "[]"):
            folder.write(where, damaged)
            for tool in ("next_step", "read_rules", "run_eval"):
                text = await agent.refused(tool, **({"version": 1} if tool == "run_eval" else {}))
                assert where in text and "delete it" in text
        folder.write(where, whole)
        assert await agent.where() == ("analysis", 1)


async def test_what_a_crash_left_half_written_is_finished_by_the_next_call(at: At) -> None:
    folder = at("acted")
    async with connected(folder) as agent:
        await agent.author()
    after = folder.contents()
    # As a crash right after the intent was written leaves it: nothing of the change, and the intent.
    from progressive_training.loop.store.transaction import Intent

    script, receipt = "02_train_v002.py", ".progressive-training/receipts/v001/next.json"
    authored = f".progressive-training/authored/{script}"
    intent = Intent(
        new={script: folder.read(script)},
        changed={authored: folder.read(authored)},
        records={receipt: folder.read(receipt)},
    )
    for name in (script, receipt, authored):
        folder.path(name).unlink()
    folder.write(".progressive-training/staging/1.json", intent.model_dump_json())
    async with connected(folder) as agent:
        assert (await agent.author())["already_done"]
        assert await agent.where() == ("train", 2)
    assert folder.contents() == after


async def test_a_torn_last_line_of_the_journal_is_passed_over(at: At) -> None:
    folder = at("scored")
    with folder.path(".progressive-training/journal.jsonl").open("a") as journal:
        journal.write('{"seq": 99, "at": "20')
    async with connected(folder) as agent:
        await agent.analyse()
    from progressive_training.loop.store.journal import events

    found = events(folder.project().workspace)
    assert [event.seq for event in found] == list(range(1, len(found) + 1))
    assert found[-1].event == "analysed"
