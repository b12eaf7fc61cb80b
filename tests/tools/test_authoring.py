"""Step 6: the next version is the current one and the selected action's diff, and nothing else."""

import json

import pytest

from support.projects import ACTION, EVALUATOR, At, Folder, connected, diff, edited

pytestmark = pytest.mark.anyio
V001, V002 = "02_train_v001.py", "02_train_v002.py"
CHANGE = ("LEARNING_RATE = 0.2", "LEARNING_RATE = 0.5")


def body(text: str) -> str:
    """The script below the server's header."""
    return text.split("# <<< progressive-training\n")[1]


@pytest.mark.requirement("N1", "C5", "S1")
async def test_the_next_version_is_its_parent_and_the_change_under_a_header_that_says_so(at: At) -> None:
    folder = at("acted")
    parent = folder.read(V001)
    async with connected(folder) as agent:
        assert "LEARNING_RATE from 0.2 to 0.5" in await agent.brief()
        authored = await agent.author()
        assert (authored["version"], authored["next"]["tool"]) == (2, "run_train")
    text = folder.read(V002)
    header = text.split("# <<<")[0]
    assert header.startswith("# >>> progressive-training: v002, one action away from v001")
    assert ACTION["goal"] in header and ACTION["change"] in header and "Changed: LEARNING_RATE" in header
    assert text.count(">>> progressive-training") == 1
    assert body(text) == edited(body(parent), CHANGE, ('"v001"', '"v002"'))
    assert folder.read(V001) == parent


async def test_search_and_replace_blocks_and_the_new_scripts_name_do_as_well(at: At) -> None:
    folder = at("acted")
    blocks = f"<<<<<<< SEARCH\n{CHANGE[0]}\n=======\n{CHANGE[1]}\n>>>>>>> REPLACE\n"
    async with connected(folder) as agent:
        authored = await agent.call("author_next_version", version=1, diff=blocks)
    assert authored["symbols"] == ["LEARNING_RATE"]
    assert CHANGE[1] in folder.read(V002)


async def test_authoring_twice_gives_the_same_result_and_keeps_the_first_text(at: At) -> None:
    folder = at("acted")
    async with connected(folder) as agent:
        first = await agent.author()
        text = folder.read(V002)
        again = await agent.author(1, ("LEARNING_RATE = 0.2", "LEARNING_RATE = 0.9"))
        assert again.pop("already_done") and not first.pop("already_done")
        assert again == first
    assert folder.read(V002) == text


@pytest.mark.requirement("N1", "C2", "T1", "T3", "X2")
@pytest.mark.parametrize(
    ("edits", "words"),
    [
        ([CHANGE, ("START = 1.0", "START = 0.7")], ["also changes START", "LEARNING_RATE", "exactly one action"]),
        ([CHANGE, ("    save_logs(rows)\n", "")], ["also changes main"]),
        ([CHANGE, ("EPOCHS = 3", "EPOCHS = 30")], ["training_config.epochs fixes 3"]),
        ([CHANGE, ("BATCH_SIZE = 16\n", "")], ["also changes BATCH_SIZE"]),
        ([CHANGE, ("SEED = 42", "SEED = 1")], ["seed fixes 42"]),
        ([("START = 1.0", "START = 1.0\nOUT = 'eval_score.json'")], ["eval_score", "evaluation outputs"]),
        ([("Learns where", "Finds where")], ["only comments, formatting or VERSION"]),
        ([('VERSION = "v001"', 'VERSION = "v002"')], ["only comments, formatting or VERSION"]),
        ([("def fit():", "def fit(:")], [V001]),
    ],
)  # fmt: skip
async def test_a_diff_that_goes_beyond_the_action_or_the_rules_or_does_nothing_is_refused(
    at: At, edits: list[tuple[str, str]], words: list[str]
) -> None:
    folder = at("acted")
    async with connected(folder) as agent:
        text = await agent.refused("author_next_version", version=1, diff=folder.diff(V001, *edits))
        assert all(word in text for word in words), text
        assert not folder.path(V002).exists()
        await agent.author()


@pytest.mark.requirement("N1")
@pytest.mark.parametrize(
    ("text", "words"),
    [
        (diff("x = 1\n", "x = 2\n", "schedule.py"), ["schedule.py", V001]),
        (diff("x = 1\n", "x = 2\n", "03_eval.py"), ["03_eval.py", V001]),
        (
            diff("x = 1\n", "x = 2\n", V001) + diff("x = 1\n", "x = 2\n", "schedule.py"),
            ["changes 02_train_v001.py alone"],
        ),
        (diff("x = 1\n", "x = 2\n", V001), ["not found"]),
        ("please raise the learning rate", ["Next:"]),
        ("", ["Next:"]),
        ("--- a/x\n+++ b/x\n", ["Next:"]),
    ],
)
async def test_a_diff_of_another_file_or_none_at_all_is_refused(at: At, text: str, words: list[str]) -> None:
    folder = at("acted")
    async with connected(folder) as agent:
        said = await agent.refused("author_next_version", version=1, diff=text)
        assert all(word in said for word in words), said


async def test_a_diff_above_a_megabyte_is_refused(at: At) -> None:
    folder = at("acted")
    huge = folder.diff(V001, (CHANGE[0], "\n".join(f"X{i} = {i}" for i in range(100_000))))
    async with connected(folder) as agent:
        assert "1" in await agent.refused("author_next_version", version=1, diff=huge)


@pytest.mark.requirement("N1")
async def test_a_new_symbol_and_the_imports_it_needs_are_part_of_an_action_that_says_so(at: At) -> None:
    folder = at("analysed")
    async with connected(folder) as agent:
        await agent.act(where=["fit", "+decayed"], change="LEARNING_RATE decays", goal="Decay")
        authored = await agent.author(
            1,
            ("from pathlib import Path\n", "import math\nfrom pathlib import Path\n"),
            ("def fit():", "def decayed(epoch):\n    return LEARNING_RATE * math.exp(-epoch)\n\n\ndef fit():"),
            ("advance(threshold, LEARNING_RATE)", "advance(threshold, decayed(epoch))"),
        )
        assert set(authored["symbols"]) == {"fit", "decayed"}


async def test_a_parent_that_was_edited_by_hand_is_refused(at: At) -> None:
    folder = at("acted")
    authored = folder.read(V001)
    folder.edit(V001, ("START = 1.0", "START = 0.9"))
    async with connected(folder) as agent:
        text = await agent.refused("author_next_version", version=1, diff=folder.diff(V001, CHANGE))
        assert "edited outside the loop" in text
        folder.write(V001, authored)
        await agent.author()


async def test_a_version_that_was_edited_by_hand_is_not_trained(at: At) -> None:
    folder = at("authored")
    authored = folder.read(V002)
    folder.edit(V002, ("START = 1.0", "START = 0.9"))
    async with connected(folder) as agent:
        assert "edited outside the loop" in await agent.refused("run_train", version=2)
        folder.write(V002, authored)
        assert (await agent.train(2))["state"] == "done"


async def test_a_script_with_windows_line_endings_and_a_byte_order_mark_keeps_its_lines(folder: Folder) -> None:
    baseline = folder.path("02_train_baseline.py")
    baseline.write_bytes(b"\xef\xbb\xbf" + baseline.read_bytes().replace(b"\n", b"\r\n"))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        made = folder.path(V001).read_bytes()
        assert made.count(b"\n") == made.count(b"\r\n")
        assert (await agent.train())["state"] == "done"


@pytest.mark.requirement("S1", "C4")
async def test_after_the_last_version_nothing_is_authored(at: At) -> None:
    folder = at("finished")
    async with connected(folder) as agent:
        patch = folder.diff(V002, ("START = 1.0", "START = 0.6"))
        text = await agent.refused("author_next_version", version=2, diff=patch)
        assert "call final_report()" in text and "max_versions = 2" in text


async def test_an_action_that_was_tried_before_is_pointed_out_with_its_result(folder: Folder) -> None:
    rules = json.loads(folder.read("user_defined_rules.json"))
    rules["loop_config"]["max_versions"] = 5
    folder.path("user_defined_rules.json").write_text(json.dumps(rules), encoding="utf-8")
    back = (CHANGE[1], CHANGE[0])
    async with connected(folder) as agent:
        await agent.call("start_loop")
        assert (await agent.train())["state"] == "done"
        await agent.call("write_eval", source=EVALUATOR)
        for version, change in ((1, CHANGE), (2, back)):
            if version > 1:
                assert (await agent.train(version))["state"] == "done"
            assert (await agent.score(version))["state"] == "done"
            await agent.analyse(version)
            await agent.act(version, change="The rate moves.")
            assert not (await agent.author(version, change))["notes"]
        assert (await agent.train(3))["state"] == "done"
        assert (await agent.score(3))["state"] == "done"
        await agent.analyse(3)
        await agent.act(3, change="The rate moves.")
        (note,) = (await agent.author(3, CHANGE))["notes"]
    assert note.startswith("v002 had tried the same (") and "accuracy" in note
