"""start_loop tries the first version for half a minute and says on one page what a night would be worth."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.jobs import wait_for
from support.projects import EVALUATOR, FOLDER_NAME, TRAINER, Agent, Folder, connected, edited, make_project
from support.rehearsals import SCRIPT

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("T1", "T2", "E1"), pytest.mark.usefixtures("no_device")]
PAGE = "Models/Artifacts/v001/_tests/rehearsal.md"
ATTEMPTS = ".progressive-training/attempts/v001"


@pytest.fixture
def made(tmp_path: Path) -> Iterator[Folder]:
    """A project whose rules leave the rehearsal on."""
    folder = make_project(tmp_path / FOLDER_NAME)
    folder.set_rules(rehearse=True)
    yield folder
    folder.end_jobs()


def lightning(folder: Folder, *edits: tuple[str, str], task: str = "classification", **rules: Any) -> None:
    folder.write("02_train_baseline.py", edited(SCRIPT, *edits))
    folder.write("dataset/prepdata/v1/stats.json", json.dumps({"task_type": task, "num_val": 60}))
    folder.set_rules(rehearse=True, training_config={"epochs": 4, "batch_size": 16}, **rules)


async def start(agent: Agent) -> dict[str, Any]:
    """start_loop, called again until it no longer runs."""
    result = await agent.call("start_loop", wait_seconds=50)
    while result["state"] == "running":
        assert result["phase"] == "rehearsing" and result["next"]["tool"] == "start_loop"
        result = await agent.call("start_loop", wait_seconds=50)
    return result


def attempts(folder: Folder) -> list[str]:
    return sorted(path.name for path in folder.path(ATTEMPTS).iterdir())


def levels(result: dict[str, Any]) -> dict[str, str]:
    """code -> its worst level."""
    order = ["ok", "note", "warning", "problem"]
    found: dict[str, str] = {}
    for one in result["rehearsal"]:
        found[one["code"]] = max(one["level"], found.get(one["code"], "ok"), key=order.index)
    return found


def text_of(result: dict[str, Any], code: str) -> str:
    return "\n".join(one["text"] for one in result["rehearsal"] if one["code"] == code)


async def test_a_start_says_on_one_page_what_a_training_will_be(made: Folder) -> None:
    lightning(made, execution_config={"sandbox": "auto"})
    async with connected(made) as agent:
        result = await start(agent)
        found = levels(result)
        assert result["state"] == "done" and set(found.values()) <= {"ok", "note"}, result["rehearsal"]
        assert {"ran", "left", "rule", "took", "sample", "validation_same"} <= set(found)
        assert {"disjoint", "same_score", "night", "disk", "monitors_other"} <= set(found)
        assert "4 epochs" in text_of(result, "rule") and "(float32[16, 4], int64[16])" in text_of(result, "took")
        assert "340 training inputs" in text_of(result, "disjoint")
        assert "60 samples" in text_of(result, "validation_same")
        assert "(4 epochs)" in text_of(result, "night") and "2 versions" in text_of(result, "night")
        page = made.read(PAGE)
        assert all(one["text"].split("|")[0] in page for one in result["rehearsal"])
        assert page.splitlines()[4] in await agent.brief(), "the first brief holds the page"
        again = await agent.call("start_loop")
        assert again["already_done"] and again["rehearsal"] == result["rehearsal"]
        assert attempts(made) == ["rehearse-001"]
        assert not made.path(f"{ATTEMPTS}/rehearse-001/stage").exists() and not made.path("03_eval.py").exists()
        (night,) = [one["estimate"] for one in [await agent.call("next_step", brief=False)]]
        assert night["basis"] == "rehearsal" and night["trainings_left"] == 2 and night["evaluate_seconds"] > 0
        each = night["train_seconds"] + night["evaluate_seconds"]
        assert night["seconds_left"] == pytest.approx(2 * each, abs=0.3)
        assert night["bytes_left"] == 2 * night["version_bytes"] > 1000
        trained = await agent.train()
        assert trained["state"] == "done" and trained["epochs"] == 4, trained
        after = (await agent.call("next_step", brief=False))["estimate"]
        assert after["basis"] == "versions" and after["trainings_left"] == 1
        assert after["train_seconds"] == pytest.approx(trained["wall_seconds"], abs=0.1)
        assert after["evaluate_seconds"] == night["evaluate_seconds"], "none is scored yet"
    assert made.read(PAGE) == page


SPLIT = ("TensorDataset(inputs[:340], labels[:340]), TensorDataset(inputs[340:], labels[340:])", "parts")
CASES: dict[str, tuple[tuple[tuple[str, str], ...], dict[str, str], str]] = {
    "a split that nobody seeds": (
        (
            ("L.seed_everything(42)\n", ""),
            (
                "train_set, val_set = ",
                "parts = random_split(TensorDataset(inputs, labels), [340, 60])\ntrain_set, val_set = ",
            ),
            SPLIT,
        ),
        {"validation_differs": "problem", "score_uncompared": "note", "disjoint": "ok"},
        "seed the split",
    ),
    "a split by hashes, which are others in each process": (
        (
            ("generator = ", "order = sorted(range(400), key=lambda n: hash(str(n)))\ngenerator = "),
            (
                "labels = (inputs.sum(1) > 0).long()",
                "labels = (inputs.sum(1) > 0).long()\ninputs, labels = inputs[order], labels[order]",
            ),
        ),
        {"validation_differs": "problem"},
        "seed the split",
    ),
    "folds of which another one than the first is kept": (
        (
            (
                "keeps = ",
                "whole = TensorDataset(inputs, labels)\nfor fold in range(3):\n"
                "  held = range(fold * 100, fold * 100 + 100)\n"
                "  train_set = Subset(whole, [n for n in range(400) if n not in held])\n"
                "  val_set = Subset(whole, held)\n  keeps = ",
            ),
            ("dirpath=OUT, filename", 'dirpath=f"{OUT}/{fold}", filename'),
            ("\ntrainer = ", "\n  trainer = "),
            ("\ntrain = ", "\n  train = "),
            ("\ntrainer.fit", "\n  trainer.fit"),
            ("\nPath(OUT", "\nimport shutil\nshutil.copy(f'{OUT}/1/best.ckpt', f'{OUT}/best.ckpt')\nPath(OUT"),
            ("TensorDataset, random_split", "Subset, TensorDataset, random_split"),
        ),
        {"folds_apart": "warning", "score_uncompared": "note", "validation_same": "ok"},
        "best.ckpt is here of fit 2",
    ),
    "a batch that ends with a group, and samples in both sets": (
        (
            ("TensorDataset(inputs[340:], labels[340:])", "TensorDataset(inputs[:60], labels[:60], labels[60:120])"),
            ("labels = self(batch[0]), batch[1]\n", "labels = self(batch[0]), batch[1]\n        groups = batch[2]\n"),
        ),
        {"shared": "warning", "same_score": "ok", "validation_same": "ok"},
        "60 of 60 validation inputs are in the training data",
    ),
    "a batch size from a file": (
        (
            ("BATCH_SIZE = 16", "SIZE = int(Path('batch.txt').read_text())"),
            ("batch_size=BATCH_SIZE", "batch_size=SIZE"),
        ),
        {"rule": "problem", "same_score": "ok"},
        "training_config.batch_size = 16 is broken: 8 samples a batch",
    ),
}


@pytest.mark.parametrize("name", CASES)
async def test_what_would_spoil_a_night_is_said_before_it(made: Folder, name: str) -> None:
    edits, expected, words = CASES[name]
    lightning(made, *edits, loop_config={"max_versions": 1000, "max_hours": 0.5})
    made.write("batch.txt", "8")
    async with connected(made) as agent:
        result = await start(agent)
        assert {code: levels(result).get(code) for code in expected} == expected, result["rehearsal"]
        assert words in result["message"] and words in made.read(PAGE)
        assert result["next"]["tool"] == "run_train", "a problem blocks nothing"
        assert "max_hours ends the loop after 30 min: time for about" in text_of(result, "hours")


async def test_a_task_without_a_template_and_a_loop_of_its_own_are_said_at_the_start(made: Folder) -> None:
    begin = SCRIPT.index("keeps = ")
    loop = (
        "net = Net()\noptimizer = net.configure_optimizers()\n"
        "for _ in range(1_000_000):\n"
        "    for batch, target in DataLoader(train_set, batch_size=BATCH_SIZE, shuffle=True):\n"
        "        optimizer.zero_grad()\n"
        "        nn.functional.cross_entropy(net(batch), target).backward()\n"
        "        optimizer.step()\n"
    )
    lightning(made, task="speech_synthesis", report_language="ko")
    made.write("02_train_baseline.py", SCRIPT[:begin] + loop)
    async with connected(made) as agent:
        result = await start(agent)
        found = levels(result)
        assert found["ended"] == "ok" and found["not_lightning"] == found["no_evaluator"] == "warning", result
        assert "200 steps" in text_of(result, "ended") and "regression, forecasting" in text_of(result, "no_evaluator")
        assert "batch_size = 16 is in force" in text_of(result, "rule"), "whoever calls is answered in English"
    assert "training_config.batch_size = 16: 지켜짐: " in made.read(PAGE)


LACKING = {
    "needs_arguments": "import argparse; p = argparse.ArgumentParser(); p.add_argument('data'); p.parse_args()",
    "needs_gpu": "import torch; torch.zeros(1, device='cuda')",
    "needs_network": "import urllib.request; urllib.request.urlopen('http://weights.invalid/best.pt', timeout=5)",
    "needs_package": "import a_package_that_nobody_has",
    "out_of_memory": "raise MemoryError('64 GB')",
    "crashed": "raise KeyError('label_map')",
}


@pytest.mark.parametrize("code", LACKING)
async def test_a_script_that_cannot_run_here_says_why(made: Folder, code: str) -> None:
    made.edit(
        "02_train_baseline.py", ("    threshold, rows = fit()", f"    {LACKING[code]}\n    threshold, rows = fit()")
    )
    async with connected(made) as agent:
        result = await start(agent)
        assert levels(result)[code] == "problem", result["rehearsal"]
        assert result["state"] == "done" and result["next"]["tool"] == "run_train"


async def test_a_crash_may_be_repaired_before_any_training_and_is_rehearsed_again(made: Folder) -> None:
    made.write("03_eval.py", EVALUATOR)
    made.edit("02_train_baseline.py", ("    threshold, rows = fit()", "    threshold, rows = fitt()"))
    async with connected(made) as agent:
        result = await start(agent)
        assert "name 'fitt' is not defined" in text_of(result, "crashed")
        assert "`repair_version` may mend it first" in await agent.brief()
        repaired = await agent.repair(("fitt()", "fit()"))
        assert repaired["next"]["tool"] == "start_loop" and "rehearses it again" in repaired["message"]
        again = await start(agent)
        assert "problem" not in levels(again).values() and levels(again)["score_alone"] == "note", again["rehearsal"]
        assert attempts(made) == ["rehearse-001", "rehearse-002"]
        await agent.refused("repair_version", version=1, diff="x", root_cause="x", change_summary="x")
        assert (await agent.train())["state"] == "done"


async def test_a_script_that_hangs_is_ended_with_all_it_started_and_the_loop_may_go_on(
    made: Folder, tmp_path: Path
) -> None:
    made.set_rules(rehearse=True, loop_config={"max_train_minutes": 0.03})
    wait = (
        "    import signal, subprocess, threading\n"
        "    signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "    apart = subprocess.Popen(['sleep', '1000'], start_new_session=True)\n"
        f"    open({str(tmp_path / 'apart')!r}, 'w').write(str(apart.pid))\n"
        "    print('waiting for a lock', flush=True)\n"
        "    threading.Event().wait()\n"
    )
    made.edit("02_train_baseline.py", ("    threshold, rows = fit()\n", f"{wait}    threshold, rows = fit()\n"))
    async with connected(made) as agent:
        result = await start(agent)
        assert levels(result)["hangs"] == "problem" and "waiting for a lock" in text_of(result, "hangs")
        assert not Path("/proc", (tmp_path / "apart").read_text()).exists()
        assert result["next"]["tool"] == "run_train"
        assert (await agent.train())["state"] == "failed"
    assert "waiting for a lock" in made.read(PAGE), "the wipe of a failed training leaves it"


async def test_a_server_that_dies_in_the_middle_loses_nothing(made: Folder, tmp_path: Path) -> None:
    gate = gated(made, tmp_path)
    command = [sys.executable, "-m", "progressive_training.server", "start", "--project", str(made.root)]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as first:
        wait_for((tmp_path / "begun").exists, "the rehearsal to begin")
        first.send_signal(signal.SIGKILL)
    async with connected(made) as agent:
        now = await agent.call("next_step")
        assert now["phase"] == "rehearsing" and now["job"]["kind"] == "rehearse" and "start_loop" in now["brief"]
        assert "rehears" in (await agent.refused("run_train", version=1))
        gate.touch()
        result = await start(agent)
        assert result["state"] == "done" and not result["already_done"] and "untrained" in levels(result)
    assert attempts(made) == ["rehearse-001"]


async def test_a_rehearsal_whose_runner_dies_is_started_again(made: Folder, tmp_path: Path) -> None:
    gate = gated(made, tmp_path)
    async with connected(made) as agent:
        assert (await agent.call("start_loop"))["state"] == "running"
        wait_for((tmp_path / "begun").exists, "the rehearsal to begin")
        os.kill(made.json(f"{ATTEMPTS}/rehearse-001/runner.json")["pid"], signal.SIGKILL)
        gate.touch()
        lost = await start(agent)
        assert lost["state"] == "failed" and lost["failure"]["kind"] == "lost" and lost["next"]["tool"] == "run_train"
        assert (await start(agent))["state"] == "done"


async def test_a_rehearsal_that_is_cancelled_may_be_left_out_or_started_again(made: Folder, tmp_path: Path) -> None:
    gate = gated(made, tmp_path)
    async with connected(made) as agent:
        assert (await agent.call("start_loop"))["state"] == "running"
        assert "rehearse run of v001 is ended" in (await agent.call("cancel_run", version=1))["message"]
        assert (await agent.call("next_step"))["next"]["tool"] == "run_train"
        gate.touch()
        assert (await start(agent))["state"] == "done"
        assert attempts(made) == ["rehearse-001", "rehearse-002"]


def gated(folder: Folder, outside: Path) -> Path:
    """Makes the script say that it has begun, and wait for the file that is returned."""
    begun, gate = outside / "begun", outside / "gate"
    wait = (
        "    import os, time\n"
        f"    open({str(begun)!r}, 'w').close()\n"
        f"    while not os.path.exists({str(gate)!r}):\n"
        "        time.sleep(0.02)\n"
    )
    folder.edit("02_train_baseline.py", ("    threshold, rows = fit()\n", f"{wait}    threshold, rows = fit()\n"))
    return gate


async def test_rules_may_leave_it_out(folder: Folder) -> None:
    async with connected(folder) as agent:
        result = await agent.call("start_loop")
        assert result["state"] == "done" and result["next"]["tool"] == "run_train"
        assert result.get("rehearsal", []) == [] and not folder.path(ATTEMPTS).exists()


async def test_of_a_project_that_has_versions_the_present_one_is_rehearsed(made: Folder) -> None:
    for name in ("v001", "v002"):
        made.write(f"02_train_{name}.py", edited(TRAINER, ('VERSION = "baseline"', f'VERSION = "{name}"')))
    async with connected(made) as agent:
        result = await start(agent)
        assert result["version"] == 2 and levels(result)["left"] == "ok", result["rehearsal"]
    assert made.path("Models/Artifacts/v002/_tests/rehearsal.md").is_file()
