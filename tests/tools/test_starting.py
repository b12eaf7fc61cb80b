"""Step 0: the rules are read, the data set is frozen, the baseline is audited, v001 is made."""

import json
from typing import Any

import pytest

from support.projects import SCHEDULE, TRAINER, At, Folder, add_dataset, connected, edited, make_project

pytestmark = pytest.mark.anyio
RULES_FILE = "user_defined_rules.json"
PATCH_REPORT = "Models/Artifacts/baseline/_tests/baseline_patch_report.md"


@pytest.mark.requirement("C1")
async def test_read_rules_shows_what_the_user_fixed_what_is_default_and_what_is_not_understood(folder: Folder) -> None:
    folder.set_rules(loop_config={"max_version": 3})
    folder.write("user_instruction.md", "모든 실험에서 배치를 유지하세요.")
    async with connected(folder) as agent:
        rules = await agent.call("read_rules")
    assert rules["fixed"] == {"training_config.epochs": 3, "training_config.batch_size": 16, "seed": 42}
    assert "loop_config.max_attempts = 5" in rules["defaults"]
    assert rules["unknown_keys"] == ["loop_config.max_version"]
    assert rules["instruction"] == "모든 실험에서 배치를 유지하세요."


@pytest.mark.requirement("C1", "C4", "E4")
async def test_without_rules_the_defaults_hold_and_are_named(folder: Folder) -> None:
    folder.path(RULES_FILE).unlink()
    async with connected(folder) as agent:
        rules = await agent.call("read_rules")
        assert rules["fixed"] == {}
        assert "no user constraints" in rules["message"]
        expected = {"loop_config.max_versions = 10", 'eval_config.primary_metric = "loss"', "seed = 42"}
        assert expected | {"eval_config.infer_samples = 10"} <= set(rules["defaults"])
        assert (await agent.call("start_loop"))["dataset_id"] == "v1"
        assert (await agent.call("next_step"))["max_versions"] == 10


@pytest.mark.requirement("C1")
async def test_rules_beside_the_skill_hold_where_the_project_has_none(folder: Folder) -> None:
    skill = folder.root.parent / "skill"
    skill.mkdir()
    folder.path(RULES_FILE).rename(skill / RULES_FILE)
    async with connected(folder, skill_folders=(skill,)) as agent:
        assert (await agent.call("read_rules"))["fixed"]["training_config.epochs"] == 3
    folder.set_rules(training_config={"epochs": 7})
    async with connected(folder, skill_folders=(skill,)) as agent:
        assert (await agent.call("read_rules"))["fixed"]["training_config.epochs"] == 7


@pytest.mark.requirement("C1")
@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b'{\n  "seed": 42,\n  "loop_config": {"max_versions": 3,}\n}', [f"{RULES_FILE}:3:", "not valid JSON"]),
        (b'{"seed": 1}{', [f"{RULES_FILE}:1:12", "not valid JSON"]),
        (b'{"seed": 1,\n "seed": 2}', [f"{RULES_FILE}:2:2", '"seed"', "twice"]),
        (b'{"training_config": {\n  "lr": NaN}}', [f"{RULES_FILE}:2:9", "NaN"]),
        (b'{"training_config": {"lr": -Infinity}}', [f"{RULES_FILE}:1:28", "-Infinity"]),
        (b'{"loop_config": {\n"max_versions": "three"}}', [f"{RULES_FILE}:2:17", "loop_config.max_versions", "three"]),
        (b'{"loop_config": {"max_versions": true}}', ["loop_config.max_versions", "true"]),
        (b'{"loop_config": {"max_versions": 0}}', ["loop_config.max_versions", "greater than or equal to 1"]),
        (b'{"seed": 4.5}', ["seed", "4.5"]),
        (b'{"eval_config": []}', ["eval_config"]),
        (b"[1, 2]", [RULES_FILE]),
        ('{"seed": 1}'.encode("utf-16"), ["UTF-16", "UTF-8"]),
        (b'{"dataset_config": {"dataset_id": "\xff"}}', ["not UTF-8", "byte"]),
        (b"[" * 100_000, ["nested too deeply"]),
        (b"", [f"{RULES_FILE}:1:1"]),
    ],
)
async def test_malformed_rules_are_an_error_that_names_file_and_place_and_never_taken_as_absent(
    folder: Folder, data: bytes, words: list[str]
) -> None:
    folder.path(RULES_FILE).write_bytes(data)
    async with connected(folder) as agent:
        for tool in ("read_rules", "start_loop"):
            text = await agent.refused(tool)
            assert all(word in text for word in words), text
            assert RULES_FILE in text
        folder.set_rules()
        await agent.call("start_loop")


async def test_a_byte_order_mark_in_the_rules_is_fine(folder: Folder) -> None:
    folder.path(RULES_FILE).write_bytes(b"\xef\xbb\xbf" + folder.path(RULES_FILE).read_bytes())
    async with connected(folder) as agent:
        assert (await agent.call("read_rules"))["fixed"]["seed"] == 42


async def test_rules_that_are_a_link_or_a_pipe_are_refused(folder: Folder) -> None:
    import os

    folder.path(RULES_FILE).rename(folder.root.parent / "elsewhere.json")
    folder.path(RULES_FILE).symlink_to(folder.root.parent / "elsewhere.json")
    async with connected(folder) as agent:
        assert "plain file" in await agent.refused("start_loop")
        folder.path(RULES_FILE).unlink()
        os.mkfifo(folder.path(RULES_FILE))
        assert "regular file" in await agent.refused("start_loop")


@pytest.mark.requirement("C8")
async def test_nothing_but_start_loop_starts_a_loop(folder: Folder) -> None:
    before = folder.contents()
    async with connected(folder) as agent:
        assert "only when the" in (agent.client.instructions or "")
        for tool in ("read_rules", "next_step"):
            await agent.call(tool)
        for tool, arguments in {
            "run_train": {"version": 1},
            "run_eval": {"version": 1},
            "cancel_run": {"version": 1},
            "write_eval": {"source": "x = 1"},
            "final_report": {"stop_reason": "enough"},
        }.items():
            assert "start_loop" in await agent.refused(tool, **arguments)
        await agent.client.read_resource("loop://status")
        await agent.client.get_prompt("next")
    state = (".progressive-training/lock", ".progressive-training/.gitignore")
    assert {name: data for name, data in folder.contents().items() if name not in state} == before


@pytest.mark.requirement("C6")
@pytest.mark.parametrize(
    ("argument", "in_rules", "chosen", "source"),
    [("v2", "v1", "v2", "argument"), (None, "v2", "v2", "rules"), (None, None, "v1", "only folder")],
)
async def test_the_data_set_is_the_callers_else_the_rules_else_the_only_folder(
    folder: Folder, argument: str | None, in_rules: str | None, chosen: str, source: str
) -> None:
    folder.set_rules(dataset_config={"dataset_id": in_rules})
    if source != "only folder":
        add_dataset(folder, "v2")
    async with connected(folder) as agent:
        started = await agent.call("start_loop", **({"dataset_id": argument} if argument else {}))
    assert started["dataset_id"] == chosen
    assert f"from: {source}" in started["message"]
    assert f'DATASET_ID = "{chosen}"' in folder.read("02_train_v001.py")


@pytest.mark.requirement("C6")
async def test_several_data_sets_and_no_choice_are_an_error_that_lists_them(folder: Folder) -> None:
    add_dataset(folder, "v2")
    folder.set_rules(dataset_config={"dataset_id": None})
    async with connected(folder) as agent:
        text = await agent.refused("start_loop")
        assert "v1, v2" in text and "dataset_config.dataset_id" in text
        await agent.call("start_loop", dataset_id="v2")


@pytest.mark.requirement("C6")
@pytest.mark.parametrize("name", ["v9", "", " ", "../v1", "/etc", "a/b", "v1 ", ".", "..", "v1\0", "-x", "v" * 300])
async def test_an_unknown_or_impossible_data_set_is_refused(folder: Folder, name: str) -> None:
    async with connected(folder) as agent:
        text = await agent.refused("start_loop", dataset_id=name)
        assert "v1" in text and "Next:" in text
        await agent.call("start_loop", dataset_id="v1")


@pytest.mark.requirement("C6")
async def test_no_data_set_at_all_is_an_error_that_says_so(folder: Folder) -> None:
    import shutil

    shutil.rmtree(folder.path("dataset"))
    async with connected(folder) as agent:
        assert "holds no folder" in await agent.refused("start_loop")


@pytest.mark.requirement("C6")
async def test_the_data_set_is_frozen_to_the_end_of_the_loop(at: At) -> None:
    folder = at("started")
    add_dataset(folder, "v2")
    async with connected(folder) as agent:
        text = await agent.refused("start_loop", dataset_id="v2")
        assert "'v1' to its end" in text
        assert (await agent.call("start_loop", dataset_id="v1"))["already_done"]
        assert (await agent.call("start_loop"))["dataset_id"] == "v1"


@pytest.mark.requirement("I1")
@pytest.mark.parametrize(
    ("stats", "words"),
    [
        (None, ["stats.json", "is missing"]),
        ("{", ["stats.json", "not valid JSON"]),
        ("[]", ["stats.json", "JSON object"]),
        ('{"task_type": "x", "num_val": 20', ["stats.json", "not valid JSON"]),
    ],
)
async def test_stats_that_cannot_be_read_are_named(folder: Folder, stats: str | None, words: list[str]) -> None:
    where = "dataset/prepdata/v1/stats.json"
    folder.path(where).unlink()
    if stats is not None:
        folder.write(where, stats)
    async with connected(folder) as agent:
        text = await agent.refused("start_loop")
        assert all(word in text for word in words), text


@pytest.mark.requirement("I1")
async def test_the_start_says_task_type_and_sample_count_and_what_stats_do_not_say(folder: Folder) -> None:
    folder.write("dataset/prepdata/v1/stats.json", '{"task_type": "Classification", "splits": {"val": 20}}')
    async with connected(folder) as agent:
        started = await agent.call("start_loop")
    assert (started["task_type"], started["val_samples"]) == ("classification", 20)
    assert "stats.json doesn't say: train samples" in started["findings"]


@pytest.mark.requirement("I5")
async def test_without_a_baseline_and_without_versions_there_is_no_loop(tmp_path: Any) -> None:
    folder = make_project(tmp_path / "빈 폴더", trainer=None)
    async with connected(folder) as agent:
        for tool in ("read_rules", "start_loop", "next_step"):
            assert "02_train_baseline.py" in await agent.refused(tool)
        folder.write("02_train_baseline.py", TRAINER)
        await agent.call("start_loop")


@pytest.mark.requirement("I5", "T1", "C2", "C5")
async def test_v001_is_the_baseline_with_version_paths_and_the_users_values_set(folder: Folder) -> None:
    folder.edit("02_train_baseline.py", ("EPOCHS = 3", "EPOCHS = 30"), ("SEED = 42", "SEED = 7"))
    rules = folder.read(RULES_FILE)
    async with connected(folder) as agent:
        await agent.call("start_loop")
    made = folder.read("02_train_v001.py")
    assert made.startswith("# >>> progressive-training: v001")
    assert made.endswith(edited(TRAINER, ('VERSION = "baseline"', 'VERSION = "v001"')))
    assert "30 -> 3 (training_config.epochs)" in " ".join(made.split("# <<<")[0].replace("#", " ").split())
    assert folder.read("02_train_baseline.py") == edited(
        TRAINER, ("EPOCHS = 3", "EPOCHS = 30"), ("SEED = 42", "SEED = 7")
    )
    assert folder.read(RULES_FILE) == rules


@pytest.mark.requirement("I3", "I4")
async def test_the_audit_corrects_constants_that_disagree_and_reports_it(folder: Folder) -> None:
    folder.edit("02_train_baseline.py", ('DATASET_ID = "v1"', 'DATASET_ID = "old"'), ('"baseline"', '"base"'))
    async with connected(folder) as agent:
        findings = (await agent.call("start_loop"))["findings"]
    assert any("DATASET_ID is 'old'" in finding for finding in findings)
    assert any("VERSION is 'base'" in finding for finding in findings)
    assert folder.read("02_train_baseline.py") == TRAINER
    report = folder.read(PATCH_REPORT)
    parts = ["## issues_found", "## patch_summary", "## files_changed", "## compatibility_notes"]
    assert [line for line in report.splitlines() if line.startswith("## ")] == parts
    assert '-DATASET_ID = "old"\n' in report and '+DATASET_ID = "v1"\n' in report
    assert "- 02_train_baseline.py" in report


@pytest.mark.requirement("I4")
async def test_the_patch_report_is_there_also_when_nothing_was_found(at: At) -> None:
    report = at("started").read(PATCH_REPORT)
    assert "## issues_found\n\n- none\n" in report
    assert "No patch was needed." in report


@pytest.mark.requirement("I3")
async def test_the_audit_tells_what_a_baseline_lacks(folder: Folder) -> None:
    text = 'VERSION = "baseline"\nEPOCHS = 3\nBATCH_SIZE = 16\nSEED = 42\n'
    folder.write("02_train_baseline.py", text)
    async with connected(folder) as agent:
        findings = " ".join((await agent.call("start_loop"))["findings"])
    for words in (
        "DATASET_ID constant",
        "dataset/prepdata/v1/",
        "Models/Artifacts/baseline/",
        "logs/version_#",
        "best.ckpt",
    ):
        assert words in findings


@pytest.mark.requirement("I1", "I3")
@pytest.mark.parametrize(("fixed", "expected"), [(None, "BATCH_SIZE = 8"), (16, "BATCH_SIZE = 16")])
async def test_the_batch_size_of_the_smoke_test_is_used_unless_the_rules_fix_it(
    folder: Folder, fixed: int | None, expected: str
) -> None:
    folder.set_rules()
    if fixed is None:
        rules = folder.json(RULES_FILE)
        del rules["training_config"]["batch_size"]
        folder.write(RULES_FILE, json.dumps(rules))
    folder.write("Models/Artifacts/baseline/_tests/baseline_smoke_test_report.md", "| optimal_batch_size | 8 |\n")
    folder.write("Models/Artifacts/baseline/spec.json", "{}")
    async with connected(folder) as agent:
        findings = " ".join((await agent.call("start_loop"))["findings"])
    assert expected in folder.read("02_train_v001.py")
    assert "optimal_batch_size 8" in findings


@pytest.mark.requirement("I3", "I4")
async def test_a_patch_may_make_the_baseline_or_its_local_module_consistent(folder: Folder) -> None:
    baseline = edited(TRAINER, ('Path("Models/Artifacts") / VERSION', 'Path("out")'))
    folder.write("02_train_baseline.py", baseline)
    patch = folder.diff("02_train_baseline.py", ('Path("out")', 'Path("Models/Artifacts") / VERSION'))
    patch += folder.diff(
        "schedule.py", ('"""How far one epoch moves."""\n', '"""How far one epoch moves."""\n\nLOG_DIR = "logs"\n')
    )
    async with connected(folder) as agent:
        await agent.call("start_loop", patch=patch)
    assert folder.read("02_train_baseline.py") == TRAINER
    report = folder.read(PATCH_REPORT)
    assert "- 02_train_baseline.py\n- schedule.py" in report
    assert folder.read("schedule.py") == SCHEDULE.replace('moves."""\n', 'moves."""\n\nLOG_DIR = "logs"\n', 1)


@pytest.mark.requirement("I3")
@pytest.mark.parametrize(
    ("file", "old", "new", "words"),
    [
        ("02_train_baseline.py", "LEARNING_RATE = 0.2", "LEARNING_RATE = 0.4", "LEARNING_RATE"),
        ("02_train_baseline.py", "nn.Linear(4, 2)", "nn.Linear(8, 2)", "model"),
        ("02_train_baseline.py", "return self.layer(x)", "return self.layer(x) * 2", "Net.forward"),
        ("schedule.py", "rate * (0.5 - threshold)", "2 * rate * (0.5 - threshold)", "what is computed"),
    ],
)
async def test_a_baseline_patch_that_changes_the_training_is_refused(
    folder: Folder, file: str, old: str, new: str, words: str
) -> None:
    net = """

class Net(nn.Module):
    def __init__(self):
        self.layer = nn.Linear(4, 2)

    def forward(self, x):
        return self.layer(x)


def load(split):"""
    folder.edit("02_train_baseline.py", ("\n\ndef load(split):", net))
    async with connected(folder) as agent:
        text = await agent.refused("start_loop", patch=folder.diff(file, (old, new)))
        assert words in text and "consistent" in text
        await agent.call("start_loop")


@pytest.mark.requirement("I3")
async def test_a_baseline_patch_of_another_file_is_refused(folder: Folder) -> None:
    folder.write("other.py", "x = 1\n")
    async with connected(folder) as agent:
        text = await agent.refused("start_loop", patch=folder.diff("other.py", ("1", "2")))
    assert "other.py" in text and "02_train_baseline.py, schedule.py" in text


async def test_a_baseline_that_does_not_parse_is_named_with_its_line(folder: Folder) -> None:
    folder.edit("02_train_baseline.py", ("def fit():", "def fit(:"))
    async with connected(folder) as agent:
        assert "02_train_baseline.py" in await agent.refused("start_loop")


async def test_a_baseline_without_version_says_how_to_add_one(folder: Folder) -> None:
    folder.edit(
        "02_train_baseline.py",
        ('VERSION = "baseline"\n', ""),
        ("/ VERSION", '/ "baseline"'),
        ('"version": VERSION, ', ""),
    )
    async with connected(folder) as agent:
        assert 'VERSION = "baseline"' in await agent.refused("start_loop")
        patch = folder.diff("02_train_baseline.py", ("DATASET_ID = ", 'VERSION = "baseline"\nDATASET_ID = '))
        await agent.call("start_loop", patch=patch)
    assert 'Path("Models/Artifacts") / "v001"' in folder.read("02_train_v001.py")


@pytest.mark.requirement("I2")
async def test_existing_versions_are_adopted_and_the_loop_goes_on_at_the_highest(folder: Folder) -> None:
    for number in (1, 3):
        version = edited(TRAINER, ('"baseline"', f'"v00{number}"'))
        folder.write(f"02_train_v00{number}.py", version)
    folder.set_rules(loop_config={"max_versions": 4})
    before = folder.contents()
    async with connected(folder) as agent:
        started = await agent.call("start_loop")
        assert (started["version"], started["next"]["tool"]) == (3, "run_train")
        assert {name: folder.contents()[name] for name in before} == before
        assert (await agent.train(3))["state"] == "done"
        assert await agent.where() == ("evaluate", 3)


@pytest.mark.requirement("I2")
async def test_a_patch_for_a_baseline_that_is_no_longer_used_is_refused(folder: Folder) -> None:
    folder.write("02_train_v001.py", edited(TRAINER, ('"baseline"', '"v001"')))
    async with connected(folder) as agent:
        patch = folder.diff("02_train_baseline.py", ('"logs"', '"log"'))
        assert "without patch" in await agent.refused("start_loop", patch=patch)


async def test_starting_twice_gives_the_same_result_and_a_late_patch_is_refused(folder: Folder) -> None:
    folder.edit("02_train_baseline.py", ('DATASET_ID = "v1"', 'DATASET_ID = "old"'))
    async with connected(folder) as agent:
        first = await agent.call("start_loop")
        files = folder.contents()
        again = await agent.call("start_loop")
        assert again.pop("already_done") and not first.pop("already_done")
        assert {**again, "message": ""} == {**first, "message": ""}
        assert folder.contents() == files
        assert "patched when the loop started" in await agent.refused("start_loop", patch="--- a\n+++ b\n")


def _in_cp949(text: str) -> bytes:
    """As an editor on Windows in Korea saves it."""
    return f"X = 0\n# 설정\n{text}".encode("cp949", errors="replace")


@pytest.mark.requirement("I2")
@pytest.mark.parametrize(
    ("file", "before", "expected"),
    [
        ("02_train_v001.py", b"", ["02_train_v001.py:2:3", "not UTF-8", "CP949", "save it as UTF-8"]),
        ("schedule.py", b"", ["schedule.py:2:3", "not UTF-8", "save it as UTF-8"]),
        ("lib/rates.py", b"", ["lib/rates.py:2:3", "not UTF-8", "save it as UTF-8"]),
        ("02_train_v001.py", b"# -*- coding: cp949 -*-\n", ["02_train_v001.py:3:3", "coding: cp949", "as UTF-8"]),
    ],
)
async def test_a_version_in_another_encoding_is_refused_at_adoption_with_its_place_and_the_way_out(
    folder: Folder, file: str, before: bytes, expected: list[str]
) -> None:
    folder.write("02_train_v001.py", edited(TRAINER, ('"baseline"', '"v001"')))
    folder.write("lib/rates.py", "RATE = 1\n")
    folder.edit("schedule.py", ('"""How far', 'import lib.rates  # noqa\n"""How far'))
    text = folder.read(file)
    await _refused_at_the_start(folder, file, before + _in_cp949(text), expected)
    async with connected(folder) as agent:
        folder.write(file, f"X = 0\n# 설정\n{text}")
        assert (await agent.call("start_loop"))["next"]["tool"] == "run_train"
        assert (await agent.train(1))["state"] == "done"


@pytest.mark.requirement("I3")
@pytest.mark.parametrize("file", ["02_train_baseline.py", "schedule.py"])
async def test_a_baseline_or_module_in_another_encoding_is_refused_with_its_place_and_the_way_out(
    folder: Folder, file: str
) -> None:
    data = _in_cp949(folder.read(file))
    await _refused_at_the_start(folder, file, data, [f"{file}:2:3", "not UTF-8", "CP949", "save it as UTF-8"])


async def test_a_coding_line_that_is_not_utf8_is_refused_at_its_own_line(folder: Folder) -> None:
    text = folder.read("02_train_baseline.py")
    data = f"#!/usr/bin/env python\n# -*- coding: cp949 -*-\n{text}".encode()
    await _refused_at_the_start(folder, "02_train_baseline.py", data, [":2:1", "coding: cp949", "remove that line"])
    folder.write("02_train_baseline.py", f"# -*- coding: utf-8 -*-\n{text}")
    async with connected(folder) as agent:
        await agent.call("start_loop")


async def _refused_at_the_start(folder: Folder, file: str, data: bytes, expected: list[str]) -> None:
    folder.path(file).write_bytes(data)
    before = folder.contents()
    async with connected(folder) as agent:
        told = await agent.refused("start_loop")
        assert all(words in told for words in expected), told
    state = (".progressive-training/lock", ".progressive-training/.gitignore")
    assert {name: found for name, found in folder.contents().items() if name not in state} == before
