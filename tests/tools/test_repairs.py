"""After a failed training: the same version is repaired under the rules, as often as the user allows."""

import pytest

from support.projects import At, Folder, connected, diff

pytestmark = pytest.mark.anyio
SCRIPT = "02_train_v001.py"
REPORT = "Models/Artifacts/v001/_tests/train_retry_report.md"
TYPO = ("return threshold, rows", "return threshold, rosw")
REPAIR = ("return threshold, rosw", "return threshold, rows")


async def failed(folder: Folder, *edits: tuple[str, str], file: str = "02_train_baseline.py") -> None:
    """Brings the loop to the repair of v001."""
    folder.edit(file, *(edits or (TYPO,)))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.failed_training("code error")


@pytest.mark.requirement("T4")
async def test_a_repaired_version_is_trained_again_and_every_attempt_keeps_its_row(folder: Folder) -> None:
    await failed(folder)
    async with connected(folder) as agent:
        brief = await agent.brief()
        assert "NameError" in brief and "rosw" in brief and "attempt 1 of at most 5" in brief
        repaired = await agent.repair(REPAIR)
        assert (repaired["files"], repaired["next"]["tool"]) == ([SCRIPT], "run_train")
        assert (await agent.train())["state"] == "done"
    rows = [line for line in folder.read(REPORT).splitlines() if line.startswith("| ")]
    assert rows[0] == "| attempt | error_summary | root_cause_hypothesis | code_change_summary | status (PASS/FAIL) |"
    assert rows[1].startswith("| 1 | code error: ") and "NameError" in rows[1]
    assert rows[1].endswith("| a typing error | typed again | FAIL |")
    assert rows[2] == "| 2 |  |  |  | PASS |"
    assert not folder.path("02_train_v002.py").exists()


@pytest.mark.requirement("T4")
async def test_the_rows_survive_the_wipe_of_the_next_failure(folder: Folder) -> None:
    await failed(folder)
    async with connected(folder) as agent:
        folder.write("Models/Artifacts/v001/leftover.bin", "x")
        await agent.repair((TYPO[1], "return threshold, rwos"))
        await agent.failed_training("code error")
    report = folder.read(REPORT)
    assert "rosw" in report and "rwos" in report


@pytest.mark.requirement("T4")
async def test_a_local_module_that_the_script_imports_may_be_repaired(folder: Folder) -> None:
    await failed(folder, ("return threshold + rate", "return treshold + rate"), file="schedule.py")
    async with connected(folder) as agent:
        repaired = await agent.repair(("return treshold", "return threshold"), file="schedule.py")
        assert repaired["files"] == ["schedule.py"]
        assert (await agent.train())["state"] == "done"


@pytest.mark.requirement("T4")
async def test_script_and_module_may_be_repaired_in_one_diff(folder: Folder) -> None:
    folder.edit("schedule.py", ("return threshold + rate", "return treshold + rate"))
    await failed(folder)
    async with connected(folder) as agent:
        both = folder.diff(SCRIPT, REPAIR) + folder.diff("schedule.py", ("return treshold", "return threshold"))
        repaired = await agent.call("repair_version", version=1, diff=both, root_cause="typos", change_summary="typed")
        assert sorted(repaired["files"]) == [SCRIPT, "schedule.py"]
        assert (await agent.train())["state"] == "done"


async def test_a_repair_sent_twice_gives_the_same_result(folder: Folder) -> None:
    await failed(folder)
    async with connected(folder) as agent:
        patch = folder.diff(SCRIPT, REPAIR)
        first = await agent.repair(REPAIR)
        again = await agent.call("repair_version", version=1, diff=patch, root_cause="x", change_summary="y")
        assert again.pop("already_done") and not first.pop("already_done")
        assert again == first


@pytest.mark.requirement("T4", "C2", "T1", "T3")
@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ("EPOCHS = 3", "EPOCHS = 1", "training_config.epochs fixes 3"),
        ("BATCH_SIZE = 16", "BATCH_SIZE = 1", "training_config.batch_size fixes 16"),
        ("SEED = 42", "SEED = 43", "seed fixes 42"),
        ("    save(threshold)\n", '    save(threshold)\n    Path("eval_score.json").write_text("{}")\n', "eval_score"),
        ("# Learns", "# Learnt", "only comments"),
        ("def main():", "def main(:", SCRIPT),
    ],
)
async def test_a_repair_that_breaks_the_rules_or_repairs_nothing_is_refused(
    folder: Folder, old: str, new: str, words: str
) -> None:
    await failed(folder, TYPO, ('"""Learns where', '# Learns\n"""Learns where'))
    async with connected(folder) as agent:
        patch = folder.diff(SCRIPT, (old, new))
        text = await agent.refused("repair_version", version=1, diff=patch, root_cause="x", change_summary="x")
        assert words in text, text
        await agent.repair(REPAIR)
        assert (await agent.train())["state"] == "done"


@pytest.mark.requirement("T1", "T4")
async def test_a_repair_that_only_the_run_shows_to_break_a_rule_fails_after_it(folder: Folder) -> None:
    await failed(folder)
    async with connected(folder) as agent:
        await agent.repair(REPAIR, ("in range(EPOCHS)", "in list(range(EPOCHS))[:1]"))
        failure = await agent.failed_training("rule violation")
        assert "metrics.csv, epochs says 1, but training_config.epochs fixes 3" in failure["summary"]


@pytest.mark.requirement("T4")
@pytest.mark.parametrize("file", ["other.py", "03_eval.py", "user_defined_rules.json", "../outside.py", "/etc/passwd"])
async def test_a_repair_of_a_file_that_the_version_does_not_consist_of_is_refused(folder: Folder, file: str) -> None:
    await failed(folder)
    folder.write("other.py", "x = 1\n")
    async with connected(folder) as agent:
        patch = diff("x = 1\n", "x = 2\n", file)
        text = await agent.refused("repair_version", version=1, diff=patch, root_cause="x", change_summary="x")
        assert SCRIPT in text and "schedule.py" in text


@pytest.mark.parametrize("empty", ["root_cause", "change_summary"])
async def test_a_repair_without_its_reason_is_refused(folder: Folder, empty: str) -> None:
    await failed(folder)
    async with connected(folder) as agent:
        words = {"root_cause": "x", "change_summary": "x", empty: "  "}
        text = await agent.refused("repair_version", version=1, diff=folder.diff(SCRIPT, REPAIR), **words)
        assert empty in text


async def test_a_script_that_was_edited_by_hand_is_refused_until_it_is_put_back(folder: Folder) -> None:
    await failed(folder)
    authored = folder.read(SCRIPT)
    folder.edit(SCRIPT, REPAIR)
    async with connected(folder) as agent:
        patch = folder.diff(SCRIPT, ("START = 1.0", "START = 0.9"))
        text = await agent.refused("repair_version", version=1, diff=patch, root_cause="x", change_summary="x")
        assert "edited outside the loop" in text and f".progressive-training/authored/{SCRIPT}" in text
        assert folder.read(f".progressive-training/authored/{SCRIPT}") == authored
        folder.write(SCRIPT, authored)
        await agent.repair(REPAIR)
        assert (await agent.train())["state"] == "done"


@pytest.mark.requirement("T4")
async def test_after_max_attempts_the_loop_says_that_it_is_stuck_and_the_report_still_comes(folder: Folder) -> None:
    folder.set_rules(loop_config={"max_attempts": 2})
    await failed(folder)
    async with connected(folder) as agent:
        await agent.repair((TYPO[1], "return threshold, rwos"))
        await agent.failed_training("code error")
        assert await agent.where() == ("stuck", 1)
        assert "max_attempts" in await agent.brief()
        text = await agent.refused("run_train", version=1)
        assert "final_report" in text
        report = await agent.report()
        assert "best" not in report and report["phase"] == "done"
        analysis = folder.read(f"{report['folder']}/final-analysis.md")
        assert "2 attempts failed" in analysis and "v001 ranks last: it is not trained" in analysis
        assert report["leaderboard"].splitlines()[1].startswith("v001,,,")


async def test_more_attempts_that_the_user_allows_get_a_stuck_loop_going(folder: Folder) -> None:
    from progressive_training.loop.project.integrity import accept_rules

    folder.set_rules(loop_config={"max_attempts": 1})
    await failed(folder)
    async with connected(folder) as agent:
        assert await agent.where() == ("stuck", 1)
        folder.set_rules(loop_config={"max_attempts": 3})
        assert accept_rules(folder.project()) == "user_defined_rules.json"
        await agent.repair(REPAIR)
        assert (await agent.train())["state"] == "done"


async def test_a_repair_before_any_failure_is_out_of_order(at: At) -> None:
    async with connected(at("trained")) as agent:
        text = await agent.refused("repair_version", version=1, diff="x", root_cause="x", change_summary="x")
        assert "call run_eval(version=1)" in text
