"""The user's values in the settings files that a script reads: v001 has copies of its own, and keeps them."""

import json

import pytest

from support.projects import ACTION, EVALUATOR, TRAINER, Folder, connected, edited

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("C2", "T1")]
REPORT = "Models/Artifacts/baseline/_tests/baseline_patch_report.md"
BASELINE = "02_train_baseline.py"
JSON = """{
  "seed": 7,
  "training": {"n_epochs": 9, "batch-size": 16, "val": {"batch_size": 64}}
}
"""
YAML = """\
# 설정
seed: 7   # 씨앗
training: {n_epochs: 9, batch-size: 16}
val:
  batch_size: 64
"""
TOML = """\
# 설정
seed = 7   # n_epochs = 3
[training]
n_epochs = 9
batch-size = 16
[val]
batch_size = 64
"""
COPIES = {
    "json": JSON.replace("7", "42").replace("9", "3"),
    "yaml": YAML.replace("7", "42").replace("9", "3"),
    "toml": TOML.replace("= 7", "= 42").replace("9", "3"),
}


def reading(folder: Folder, name: str, reader: str, text: str) -> None:
    """A baseline that takes its seed, epochs and batch size from a file."""
    folder.write(name, text)
    edits = [
        ("SEED = 42", f'CFG = {reader}\nSEED = CFG["seed"]'),
        ("EPOCHS = 3", 'EPOCHS = CFG["training"]["n_epochs"]'),
        ("BATCH_SIZE = 16", 'BATCH_SIZE = CFG["training"]["batch-size"]'),
    ]
    folder.write(BASELINE, edited(TRAINER, *edits))


@pytest.mark.parametrize(
    ("name", "reader", "named"),
    [
        ("config.json", 'json.load(open("config.json"))', 'open("config_v001.json")'),
        ("my conf/설정.json", 'json.load(open(Path("my conf") / "설정.json"))', 'Path("my conf") / "설정_v001.json"'),
        ("c.json", "json.loads(Path(__file__).with_name('c.json').read_text())", "with_name('c_v001.json')"),
        ("config.yaml", 'yaml.safe_load(open("./config.yaml"))', 'open("./config_v001.yaml")'),
        ("c.yml", 'main(args=["fit", "--config=c.yml"])', '"--config=c_v001.yml"'),
        ("conf/exp.yaml", 'hydra(config_path="conf", config_name="exp")', 'config_name="exp_v001"'),
        ("config.toml", 'tomllib.loads(Path("config.toml").read_text())', 'Path("config_v001.toml")'),
    ],
)
async def test_values_are_set_in_a_copy_of_the_file_that_v001_reads(
    folder: Folder, name: str, reader: str, named: str
) -> None:
    kind = name.rpartition(".")[2].replace("yml", "yaml")
    text = {"json": JSON, "yaml": YAML, "toml": TOML}[kind]
    reading(folder, name, reader, text)
    before = folder.read(BASELINE)
    async with connected(folder) as agent:
        findings = (await agent.call("start_loop"))["findings"]
    stem, _, ending = name.rpartition(".")
    copy = f"{stem}_v001.{ending}"
    assert folder.read(copy) == COPIES[kind]
    assert named in folder.read("02_train_v001.py")
    assert (folder.read(name), folder.read(BASELINE)) == (text, before)
    said = f"{name} states other values than you fixed; v001 reads {copy}"
    done = ["training.n_epochs: 9 -> 3 (training_config.epochs)", "seed: 7 -> 42 (seed)"]
    assert any(said in one and all(words in one for words in done) for one in findings)
    assert not any("stated nowhere" in one for one in findings)
    assert all(f"- v001: {copy}, {words}" in folder.read(REPORT) for words in done)


async def test_a_file_that_has_the_values_already_or_is_written_by_the_script_is_left_alone(folder: Folder) -> None:
    reading(folder, "config.json", 'json.load(open("config.json"))', COPIES["json"])
    folder.write("last.json", '{"epochs": 9}')
    folder.edit(BASELINE, ("START = 1.0", 'START = 1.0\nif 0: open("last.json", "w")\nOLD = "last.json"'))
    async with connected(folder) as agent:
        findings = str((await agent.call("start_loop"))["findings"])
    assert "json" not in findings and "stated nowhere" not in findings
    assert 'open("config.json")' in folder.read("02_train_v001.py")
    assert sorted(path.name for path in folder.root.glob("*.json")) == [
        "config.json", "last.json", "user_defined_rules.json",
    ]  # fmt: skip


async def test_a_file_that_a_module_reads_is_told_with_its_key(folder: Folder) -> None:
    folder.write("settings.json", JSON)
    folder.edit("schedule.py", ('moves."""\n', 'moves."""\n\nimport json\nCFG = json.load(open("settings.json"))\n'))
    async with connected(folder) as agent:
        findings = str((await agent.call("start_loop"))["findings"])
    assert "settings.json states training.n_epochs = 9, but training_config.epochs = 3" in findings
    assert "schedule.py reads it" in findings
    assert not folder.path("settings_v001.json").exists()


async def test_a_file_that_holds_several_documents_is_left_alone_and_told(folder: Folder) -> None:
    reading(folder, "config.yaml", 'yaml.safe_load(open("config.yaml"))', "a: 1\n---\nepochs: 9\n")
    async with connected(folder) as agent:
        findings = str((await agent.call("start_loop"))["findings"])
    assert "config.yaml can't be read, so nothing is set in it" in findings
    assert not folder.path("config_v001.yaml").exists()


async def test_a_copys_name_that_is_taken_is_refused(folder: Folder) -> None:
    reading(folder, "config.json", 'json.load(open("config.json"))', JSON)
    folder.write("config_v001.json", "{}")
    async with connected(folder) as agent:
        assert "config_v001.json" in await agent.refused("start_loop")
    assert folder.read("config_v001.json") == "{}"


async def test_which_of_several_keys_is_meant_is_asked_and_the_way_named_works(folder: Folder) -> None:
    text = '{"seed": 7, "pretrain": {"epochs": 2}, "training": {"n_epochs": 9, "batch-size": 16}, "data": {"seed": 0}}'
    reading(folder, "config.json", 'json.load(open("config.json"))', text)
    async with connected(folder) as agent:
        findings = str((await agent.call("start_loop"))["findings"])
    made = folder.json("config_v001.json")
    assert (made["seed"], made["data"]["seed"]) == (42, 0)
    assert (made["training"]["n_epochs"], made["pretrain"]["epochs"]) == (3, 2)
    assert '"pretrain.epochs": 2' in findings and '"data.seed": 0' in findings
    again = Folder(folder.root.parent / "again")
    again.write("schedule.py", folder.read("schedule.py"))
    folder.path("dataset").rename(again.path("dataset"))
    reading(again, "config.json", 'json.load(open("config.json"))', text)
    again.set_rules(training_config={"pretrain.epochs": 4, "data.seed": 0})
    async with connected(again) as agent:
        findings = str((await agent.call("start_loop"))["findings"])
    made = again.json("config_v001.json")
    assert (made["training"]["n_epochs"], made["pretrain"]["epochs"]) == (3, 4)
    assert "only you know" not in findings


async def test_the_copy_is_part_of_the_version_and_an_edit_of_it_is_noticed(folder: Folder) -> None:
    reading(folder, "config.json", 'json.load(open("config.json"))', JSON)
    async with connected(folder) as agent:
        await agent.call("start_loop")
        assert (await agent.train())["state"] == "done"
        assert folder.read(".progressive-training/snapshots/v001/config_v001.json") == COPIES["json"]
        await agent.call("write_eval", source=EVALUATOR)
        assert (await agent.score())["state"] == "done"
        await agent.analyse()
        await agent.act(**ACTION)
        await agent.author()
        assert 'open("config_v001.json")' in folder.read("02_train_v002.py")
        folder.write("config_v001.json", json.dumps({**folder.json("config_v001.json"), "dropout": 0.5}))
        said = await agent.refused("run_train", version=2)
        assert "config_v001.json: was edited since 02_train_v001.py was trained" in said
        folder.write("config_v001.json", folder.read(".progressive-training/snapshots/v001/config_v001.json"))
        assert (await agent.train(2))["state"] == "done"
