"""tracking_config: every version is mirrored as one run, from our files, and the loop never notices how that goes."""

import json
import os
import signal
import subprocess
import sys
import uuid
from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from progressive_training.loop.errors import RulesError
from progressive_training.loop.project.integrity import accept_protocol, accept_rules
from progressive_training.loop.report.tracker_state import TrackerView, configured, tracker_views
from progressive_training.loop.report.trackers.mirror_process import mirror as mirror_to
from progressive_training.loop.report.trackers.start_mirror import start
from progressive_training.loop.rules.reading import parse_rules
from support.event_files import events, pictures, scalars, texts
from support.mlflow_server import FakeMlflow, Mlflow, fake_mlflow
from support.projects import ANALYSIS, EVALUATOR, At, Folder, connected

pytestmark = pytest.mark.anyio
EXPERIMENT = "나의 실험"
SECONDS = 120
TRACKING = ".progressive-training/tracking"
PIXEL = bytes.fromhex(
    "89504e470d0a1a0a0000000d49484452000000010000000108060000001f15c4890000000d49444154789c636060606000"
    "00000500010d0a2db40000000049454e44ae426082"
)


@pytest.fixture(params=["fake", pytest.param("real", marks=pytest.mark.trackers)])
def server(request: pytest.FixtureRequest) -> Iterator[Mlflow]:
    """The contract's fake and, asked for, a real `mlflow server`."""
    experiment = f"{EXPERIMENT} {uuid.uuid4().hex[:8]}"
    if request.param == "real":
        yield Mlflow(os.environ["MLFLOW_TEST_SERVER"], experiment)
        return
    with fake_mlflow(experiment) as made:
        yield made


@pytest.fixture
def fake() -> Iterator[tuple[Mlflow, FakeMlflow]]:
    with fake_mlflow(EXPERIMENT) as made:
        assert made.fake is not None
        yield made, made.fake


def track(folder: Folder, **trackers: Any) -> None:
    """Puts these trackers into the rules, which the user then accepts."""
    folder.set_rules(tracking_config=trackers)
    if folder.project().loop() is not None:
        accept_rules(folder.project())


def at_server(server: Mlflow) -> dict[str, str]:
    return {"tracking_uri": server.address, "experiment": server.experiment}


def mirror(folder: Folder) -> dict[str, TrackerView]:
    """What the mirror's children do, and how each tracker is then; without processes of their own, to be quick."""
    for name in configured(folder.project().rules()):
        assert mirror_to(folder.project(), name) == 0
    return views(folder)


def views(folder: Folder) -> dict[str, TrackerView]:
    project = folder.project()
    return {view.name: view for view in tracker_views(project, project.rules())}


def fine(folder: Folder) -> None:
    """Mirrors, which must succeed."""
    for view in mirror(folder).values():
        assert (view.problem, view.notes) == (None, ()), view


def settled(folder: Folder) -> None:
    """Waits for the mirror that runs and the one that waits, and mirrors once more, as `track` does."""
    assert start(folder.project(), wait=True).wait(SECONDS) == 0, folder.read(f"{TRACKING}/log.txt")
    for view in views(folder).values():
        assert (view.problem, view.notes) == (None, ()), view


def command(folder: Folder, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "progressive_training.server", *words, "--project", str(folder.root)],
        capture_output=True,
        text=True,
        timeout=SECONDS,
        env={**os.environ, **environment},
        check=False,
    )


# What a run says


async def test_a_version_is_one_mlflow_run_with_settings_curves_scores_files_and_its_action_as_the_note(
    at: At, server: Mlflow
) -> None:
    folder = at("reported")
    folder.path("Models/Artifacts/v002/infer_samples/0001/viz.png").write_bytes(PIXEL)
    track(folder, mlflow=at_server(server))
    fine(folder)
    runs = server.runs()
    assert [(name, run.status) for name, run in runs.items()] == [("v001", "FINISHED"), ("v002", "FINISHED")]
    first, second = runs.values()
    assert (first.params["LEARNING_RATE"], second.params["LEARNING_RATE"]) == ("0.2", "0.5")
    assert first.params["fixed.training_config.epochs"] == "3"
    assert [step for step, _ in server.history(first, "curve/val_loss")] == [0, 1, 2]
    score = {
        metric["name"]: metric["value"] for metric in folder.json("Models/Artifacts/v002/eval_score.json")["metrics"]
    }
    assert second.metrics["eval/accuracy"] == pytest.approx(score["accuracy"])
    assert second.metrics["eval/latency_ms"] > 0
    assert second.tags["progressive_training.parent"] == "v001"
    assert second.tags["progressive_training.gain_is"] == "noise"
    assert (first.tags["progressive_training.best"], second.tags["progressive_training.best"]) == ("false", "true")
    assert "LEARNING_RATE from 0.2 to 0.5" in second.note and "from v001" in second.note
    assert ANALYSIS["summary"] in first.note
    for name in ("best.ckpt", "spec.json", "eval_score.json"):
        assert server.artifact(second, name) == folder.path(f"Models/Artifacts/v002/{name}").read_bytes()
    assert b"Selected Action" in server.artifact(first, "documents/action-extract.md")
    assert server.artifact(second, "pictures/0001-viz.png") == PIXEL
    report = folder.json(".progressive-training/receipts/report.json")["record"]["folder"]
    leaderboard = server.artifact(second, f"report/{report.split('/')[-1]}/leaderboard.csv")
    assert leaderboard == folder.path(f"{report}/leaderboard.csv").read_bytes()


async def test_what_was_sent_is_not_sent_again(at: At, fake: tuple[Mlflow, FakeMlflow]) -> None:
    folder, (server, gate) = at("finished"), fake
    track(folder, mlflow=at_server(server))
    fine(folder)
    gate.seen.clear()
    fine(folder)
    assert gate.seen == []


async def test_more_of_a_version_is_added_to_its_run_and_its_checkpoint_is_not_uploaded_again(
    at: At, fake: tuple[Mlflow, FakeMlflow]
) -> None:
    folder, (server, gate) = at("scored"), fake
    track(folder, mlflow=at_server(server))
    fine(folder)
    before, uploads = server.runs()["v001"], gate.seen.count("PUT artifact")
    async with connected(folder) as agent:
        await agent.analyse(summary="검증 손실이 아직 내려간다.")
    settled(folder)
    after = server.runs()["v001"]
    assert (after.run_id, "검증 손실이" in after.note, "검증 손실이" in before.note) == (before.run_id, True, False)
    assert gate.seen.count("PUT artifact") == uploads + 1, "the document only"


async def test_a_failed_attempt_is_told_and_the_repaired_version_keeps_its_run(folder: Folder, server: Mlflow) -> None:
    folder.edit("02_train_baseline.py", ("return threshold, rows", "return threshold, rosw"))
    track(folder, mlflow=at_server(server))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.failed_training("code error")
        settled(folder)
        failed = server.runs()["v001"]
        assert (failed.status, failed.params) == ("FAILED", {})
        assert "train 1: code error" in failed.note and "NameError" in failed.note
        await agent.repair(("return threshold, rosw", "return threshold, rows"))
        await agent.train()
    settled(folder)
    repaired = server.runs()["v001"]
    assert (repaired.run_id, repaired.status) == (failed.run_id, "RUNNING")
    assert repaired.params["EPOCHS"] == "3" and "NameError" in repaired.note


async def test_a_version_that_is_scored_again_shows_its_new_score(at: At, server: Mlflow) -> None:
    folder = at("finished")
    track(folder, mlflow=at_server(server), tensorboard={})
    fine(folder)
    assert server.runs()["v002"].metrics["eval/accuracy"] == pytest.approx(0.95)
    async with connected(folder) as agent:
        folder.edit("03_eval.py", ("(p > 0.5) ==", "(p > 0.05) =="))
        accept_protocol(folder.project())
        await agent.report()
    settled(folder)
    again = server.runs()["v002"]
    assert again.metrics["eval/accuracy"] == pytest.approx(0.75)
    assert [value for _, value in server.history(again, "eval/accuracy")] == pytest.approx([0.95, 0.75])
    assert [value for _, value in scalars(folder.path("Models/tensorboard/v002"))["eval/accuracy"]] == [0.75]


async def test_a_run_whose_parameters_are_no_longer_true_is_made_anew(at: At, server: Mlflow) -> None:
    folder = at("trained")
    track(folder, mlflow=at_server(server))
    fine(folder)
    old = server.runs()["v001"]
    folder.set_rules(tracking_config={"mlflow": at_server(server)}, training_config={"epochs": 3, "batch_size": 32})
    accept_rules(folder.project())
    folder.edit("02_train_v001.py", ("BATCH_SIZE = 16", "BATCH_SIZE = 16  # as it was"))
    fine(folder)
    new = server.runs()["v001"]
    assert new.run_id != old.run_id
    assert new.params["fixed.training_config.batch_size"] == "32"


async def test_two_loops_in_one_experiment_keep_their_runs_apart(
    at: At, tmp_path: Path, fake: tuple[Mlflow, FakeMlflow]
) -> None:
    folder, (server, gate) = at("trained"), fake
    other = Folder(tmp_path / "복사")
    subprocess.run(["cp", "-r", str(folder.root), str(other.root)], check=True)
    for one in (folder, other):
        track(one, mlflow=at_server(server))
        fine(one)
    assert len({run["tags"]["progressive_training.loop"] for run in gate.store.runs.values()}) == 2


# TensorBoard


async def test_a_version_is_one_folder_of_tensorboard_events(at: At) -> None:
    folder = at("finished")
    folder.path("Models/Artifacts/v002/infer_samples/0001/viz.png").write_bytes(PIXEL)
    track(folder, tensorboard={"log_dir": "로그"})
    fine(folder)
    found = scalars(folder.path("로그/v002"))
    assert [step for step, _ in found["curve/train_loss"]] == [0, 1, 2]
    assert found["eval/accuracy"][0][1] == pytest.approx(0.95)
    said = texts(folder.path("로그/v002"))
    assert "LEARNING_RATE from 0.2 to 0.5" in said["action"]
    assert "The higher rate came closer." in said["documents/result-analysis.md"]
    assert pictures(folder.path("로그/v002")) == {"pictures/0001-viz.png": PIXEL}
    tags = {value.tag for event in events(folder.path("로그/v001")) for value in event.summary.value}
    assert "_hparams_/session_start_info" in tags


async def test_event_files_are_replaced_and_others_beside_them_are_left_alone(at: At) -> None:
    folder = at("scored")
    folder.write("elsewhere/v001/notes.txt", "mine")
    track(folder, tensorboard={"log_dir": "elsewhere"})
    fine(folder)
    async with connected(folder) as agent:
        await agent.analyse()
    settled(folder)
    names = sorted(path.name for path in folder.path("elsewhere/v001").iterdir())
    assert len(names) == 2 and names[0].startswith("events.out.tfevents.") and names[1] == "notes.txt"


@pytest.mark.parametrize("log_dir", ["dataset/prepdata/v1", "Models/Artifacts/v001", ".progressive-training/x/../y"])
async def test_tensorboard_files_never_go_where_the_loop_keeps_its_own(at: At, log_dir: str) -> None:
    folder = at("trained")
    track(folder, tensorboard={"log_dir": log_dir})
    before = sorted(path for path in folder.root.rglob("*") if "tracking" not in path.parts)
    assert "a folder of the loop's own" in (mirror(folder)["tensorboard"].problem or "")
    assert sorted(path for path in folder.root.rglob("*") if "tracking" not in path.parts) == before


# What can go wrong


def _children(pid: int) -> list[int]:
    stats = [path.read_text(errors="replace") for path in Path("/proc").glob("[0-9]*/stat")]
    fields = [(int(stat.split(" ", 1)[0]), int(stat.rpartition(")")[2].split()[1])) for stat in stats]
    return [child for child, parent in fields if parent == pid]


@pytest.mark.parametrize(
    "call", ["POST experiments/create", "POST runs/create", "POST runs/log-batch", "PUT artifact", "POST runs/update"]
)
@pytest.mark.whole(but=1)
async def test_a_mirror_killed_in_the_middle_leaves_one_run_which_the_next_one_completes(
    at: At, fake: tuple[Mlflow, FakeMlflow], call: str
) -> None:
    folder, (server, gate) = at("scored"), fake
    track(folder, mlflow=at_server(server))
    gate.hold.add(call)
    process = start(folder.project(), wait=False)
    assert gate.held.wait(SECONDS)
    for pid in (process.pid, *_children(process.pid)):
        os.kill(pid, signal.SIGKILL)
    process.wait()
    assert views(folder)["mlflow"].sent == 0
    gate.release()
    settled(folder)
    run = server.runs()["v001"]
    assert (run.status, "eval/accuracy" in run.metrics) == ("FINISHED", True)
    assert server.artifact(run, "best.ckpt") == folder.path("Models/Artifacts/v001/best.ckpt").read_bytes()
    assert [step for step, _ in server.history(run, "curve/val_loss")] == [0, 1, 2]


async def test_runs_are_found_again_when_all_that_was_remembered_of_them_is_damaged(at: At, server: Mlflow) -> None:
    folder = at("finished")
    track(folder, mlflow=at_server(server))
    fine(folder)
    before = [run.run_id for run in server.runs().values()]
    folder.write(f"{TRACKING}/mlflow.json", "{broken")
    fine(folder)
    assert [run.run_id for run in server.runs().values()] == before


async def test_what_a_later_release_remembered_of_its_runs_stays_and_is_pointed_out(at: At) -> None:
    folder = at("trained")
    track(folder, tensorboard={})
    fine(folder)
    state = folder.json(f"{TRACKING}/tensorboard.json")
    newer = json.dumps(state | {"schema": state["schema"] + 1, "release": "9.1.0"})
    folder.write(f"{TRACKING}/tensorboard.json", newer)
    shown = command(folder, "track")
    assert shown.returncode == 1 and "made by a newer progressive-training (9.1.0)" in shown.stdout
    assert folder.read(f"{TRACKING}/tensorboard.json") == newer
    async with connected(folder) as agent:
        assert await agent.where() == ("evaluate", 1), "the loop itself never needs it"


async def test_the_loop_goes_on_without_its_server_says_so_and_sends_everything_later(
    folder: Folder, fake: tuple[Mlflow, FakeMlflow]
) -> None:
    server, gate = fake
    gate.status = 503
    track(folder, mlflow=at_server(server))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        assert (await agent.train())["state"] == "done"
    assert start(folder.project(), wait=True).wait(SECONDS) == 0
    shown = command(folder, "status")
    assert shown.returncode == 0 and "mlflow: " in shown.stdout and "answered with 503" in shown.stdout
    assert "progressive-training track" in shown.stdout
    gate.status = None
    sent = command(folder, "track", "--json")
    assert (sent.returncode, json.loads(sent.stdout)[0]["sent"]) == (0, 1)
    assert "mlflow" not in command(folder, "status").stdout
    assert list(server.runs()) == ["v001"]


async def test_an_address_where_nobody_listens_is_a_line_in_status_and_doctor(at: At) -> None:
    folder = at("trained")
    track(folder, mlflow={"tracking_uri": "http://127.0.0.1:9"}, tensorboard={})
    found = command(folder, "track")
    assert found.returncode == 1 and "can't be reached" in found.stdout
    assert scalars(folder.path("Models/tensorboard/v001")), "one tracker's trouble is not the other's"
    checks = {check["name"]: check for check in json.loads(command(folder, "doctor", "--json").stdout)}
    assert checks["mlflow"]["status"] == "note" and "http://127.0.0.1:9" in checks["mlflow"]["detail"]
    assert checks["tensorboard"]["status"] == "ok"


async def test_a_server_that_is_no_mlflow_server_is_named_as_such(at: At, fake: tuple[Mlflow, FakeMlflow]) -> None:
    folder, (server, _) = at("trained"), fake
    track(folder, mlflow={**at_server(server), "tracking_uri": f"{server.address}/elsewhere"})
    assert "ENDPOINT_NOT_FOUND" in (mirror(folder)["mlflow"].problem or "")


@pytest.mark.skipif(find_spec("wandb") is not None, reason="it is about a package that is not installed")
async def test_a_package_that_is_not_installed_is_one_line_and_how_to_get_it(folder: Folder) -> None:
    track(folder, wandb={})
    async with connected(folder) as agent:
        await agent.call("start_loop")
        assert (await agent.train())["state"] == "done"
    assert start(folder.project(), wait=True).wait(SECONDS) == 0
    lines = [line for line in command(folder, "status").stdout.splitlines() if "wandb" in line]
    assert len(lines) == 1 and 'pip install "progressive-training[wandb]"' in lines[0]


async def test_a_server_that_takes_no_files_gets_their_place_as_a_tag(at: At, fake: tuple[Mlflow, FakeMlflow]) -> None:
    folder, (server, gate) = at("trained"), fake
    gate.artifact_root = "s3://bucket"
    track(folder, mlflow=at_server(server))
    assert "takes no files" in mirror(folder)["mlflow"].notes[0]
    place = server.runs()["v001"].tags["progressive_training.artifacts"]
    assert place == str(folder.path("Models/Artifacts/v001").resolve())


async def test_a_file_that_is_too_large_for_the_server_is_noted_and_the_others_are_sent(
    at: At, fake: tuple[Mlflow, FakeMlflow]
) -> None:
    folder, (server, gate) = at("scored"), fake
    gate.too_large = folder.path("02_train_v001.py").stat().st_size - 1
    track(folder, mlflow=at_server(server))
    assert "02_train_v001.py" in mirror(folder)["mlflow"].notes[0]
    assert server.artifact(server.runs()["v001"], "best.ckpt")


# What stays as it is


async def test_without_tracking_config_nothing_is_started_and_nothing_written(folder: Folder) -> None:
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.train()
    assert not folder.path(TRACKING).exists()


async def test_each_step_that_changes_something_starts_a_mirror_and_no_other(
    folder: Folder, fake: tuple[Mlflow, FakeMlflow]
) -> None:
    server, gate = fake
    track(folder, mlflow=at_server(server))
    async with connected(folder) as agent:
        await agent.call("next_step")
        await agent.call("read_rules")
        await agent.refused("run_eval", version=1)
        assert not folder.path(TRACKING).exists()
        await agent.call("start_loop")
        gate.await_call("POST runs/update")
        assert list(server.runs()) == ["v001"]
        settled(folder)
        gate.seen.clear()
        await agent.train()
        gate.await_call("PUT artifact")


async def test_a_mirror_changes_no_file_that_a_training_must_not_change(at: At) -> None:
    folder = at("finished")

    def stamps() -> dict[str, tuple[int, int, int]]:
        guarded = [path for place in ("Models/Artifacts", "dataset") for path in folder.path(place).rglob("*")]
        seen = [*guarded, *folder.path(".progressive-training/receipts").rglob("*"), *folder.root.glob("*.py")]
        return {str(path): (path.stat().st_size, path.stat().st_mtime_ns, path.stat().st_ctime_ns) for path in seen}

    track(folder, tensorboard={})
    before = stamps()
    fine(folder)
    assert stamps() == before


async def test_what_lies_outside_the_project_is_not_sent_through_a_link(
    at: At, tmp_path: Path, fake: tuple[Mlflow, FakeMlflow]
) -> None:
    folder, (server, gate) = at("analysed"), fake
    secret = tmp_path / "id_rsa"
    secret.write_text("a secret")
    for name in ("result-analysis.md", "infer_samples/0001/viz.png"):
        path = folder.path(f"Models/Artifacts/v001/{name}")
        path.unlink(missing_ok=True)
        path.symlink_to(secret)
    track(folder, mlflow=at_server(server))
    fine(folder)
    assert gate.store.artifacts and b"a secret" not in gate.store.artifacts.values()


async def test_nothing_is_sent_under_rules_that_the_user_has_not_accepted(
    at: At, fake: tuple[Mlflow, FakeMlflow]
) -> None:
    folder, (server, gate) = at("trained"), fake
    folder.set_rules(tracking_config={"mlflow": at_server(server)})
    assert "rules accept" in (mirror(folder)["mlflow"].problem or "") and gate.seen == []
    accept_rules(folder.project())
    fine(folder)
    assert list(server.runs()) == ["v001"]


@pytest.mark.parametrize(
    ("environment", "header"),
    [
        ({"MLFLOW_TRACKING_TOKEN": "s3cret"}, "Bearer s3cret"),
        ({"MLFLOW_TRACKING_USERNAME": "kim", "MLFLOW_TRACKING_PASSWORD": "s3cret"}, "Basic a2ltOnMzY3JldA=="),
    ],
)
async def test_credentials_come_from_the_environment_and_are_written_nowhere(
    at: At, fake: tuple[Mlflow, FakeMlflow], environment: dict[str, str], header: str
) -> None:
    folder, (server, gate) = at("trained"), fake
    track(folder, mlflow=at_server(server))
    assert command(folder, "track", **environment).returncode == 0
    assert gate.headers["authorization"] == header
    gate.status = 401
    folder.edit("02_train_v001.py", ("EPOCHS = 3", "EPOCHS = 3  # three"))
    refused = command(folder, "track", **environment)
    assert refused.returncode == 1 and "MLFLOW_TRACKING_TOKEN" in refused.stdout
    written = [path.read_bytes() for path in folder.path(TRACKING).rglob("*") if path.is_file()]
    assert not any(b"s3cret" in data or b"a2ltOnMzY3JldA" in data for data in written)
    assert "s3cret" not in refused.stdout + refused.stderr
    assert not [name for name in folder.project().environment(folder.project().rules()) if "MLFLOW" in name]


@pytest.mark.parametrize(
    ("config", "told"),
    [
        ({"mlflow": {"tracking_uri": "sqlite:///mlflow.db"}}, "http://HOST:PORT"),
        ({"mlflow": {"tracking_uri": "https://kim:pw@host"}}, "belong in the environment"),
        ({"mlflow": True}, "tracking_config.mlflow"),
        ({"wandb": {"mode": "always"}}, "tracking_config.wandb.mode"),
        ({"wandb": {"project": "a/b"}}, "tracking_config.wandb.project"),
        ({"trackio": {"project": "a\nb"}}, "one plain line"),
        ({"tensorboard": {"log_dir": ""}}, "tracking_config.tensorboard.log_dir"),
    ],
)
async def test_a_wrong_tracking_config_is_refused_with_its_place(config: Any, told: str) -> None:
    with pytest.raises(RulesError) as raised:
        parse_rules(json.dumps({"tracking_config": config}).encode(), "rules.json")
    assert told in str(raised.value) and (raised.value.where or "").startswith("rules.json:1:")


async def test_keys_of_tracking_config_that_are_not_known_are_kept_and_shown(folder: Folder) -> None:
    track(folder, neptune={"project": "x"}, wandb={"entity": "us"})
    async with connected(folder) as agent:
        found = await agent.call("read_rules")
    assert {"tracking_config.neptune", "tracking_config.wandb.entity"} <= set(found["unknown_keys"])
    assert 'tracking_config.wandb.mode = "offline"' in found["defaults"]


async def test_track_without_a_tracker_or_a_loop_says_what_lacks(folder: Folder) -> None:
    none = command(folder, "track")
    assert none.returncode == 1 and "names no tracker" in none.stderr
    track(folder, tensorboard={})
    early = command(folder, "track")
    assert early.returncode == 1 and "no loop has been started" in early.stderr


# The trackers that come as packages of their own


@pytest.mark.trackers
async def test_trackio_has_one_run_a_version_also_when_it_is_sent_again(
    at: At, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TRACKIO_DIR", str(tmp_path / "trackio"))
    folder = at("finished")
    track(folder, trackio={"project": "실험"})
    fine(folder)
    folder.path(f"{TRACKING}/trackio.json").unlink()
    fine(folder)
    asked = """
import json, trackio
from trackio.sqlite_storage import SQLiteStorage
runs = list(trackio.Api().runs("실험"))
print(json.dumps([[run.config, SQLiteStorage.get_logs("실험", run.name)] for run in runs]))
"""
    said = subprocess.run([sys.executable, "-c", asked], capture_output=True, text=True, check=True).stdout
    runs = {config["progressive_training.version"]: (config, logs) for config, logs in json.loads(said)}
    assert sorted(runs) == ["v001", "v002"] and len(json.loads(said)) == 2
    config, logs = runs["v002"]
    assert config["LEARNING_RATE"] == 0.5 and "LEARNING_RATE from 0.2 to 0.5" in config["note"]
    assert [log["step"] for log in logs] == [0, 1, 2]
    assert logs[-1]["eval/accuracy"] == pytest.approx(0.95)


@pytest.mark.trackers
async def test_wandb_has_one_offline_run_a_version_also_when_it_is_sent_again(at: At) -> None:
    folder = at("finished")
    track(folder, wandb={})
    fine(folder)
    folder.path(f"{TRACKING}/wandb.json").unlink()
    fine(folder)
    runs = list(folder.path(f"{TRACKING}/wandb/wandb").glob("offline-run-*"))
    said = {next(run.glob("run-*.wandb")).read_bytes(): run for run in runs}
    # Their folders are named by the second, so that their order says nothing.
    first, second = sorted(said, key=lambda data: b"LEARNING_RATE from 0.2 to 0.5" in data)
    for data, version in ((first, "v001"), (second, "v002")):
        for text in (f"{version}-", "curve/val_loss", "eval/accuracy", folder.root.name):
            assert text.encode() in data
        sent = said[data] / "files/best.ckpt"
        assert sent.read_bytes() == folder.path(f"Models/Artifacts/{version}/best.ckpt").read_bytes()
    assert b"LEARNING_RATE from 0.2 to 0.5" in second


# Weights & Biases online, where what was logged stays: a stand-in that keeps runs as W&B does

WANDB = '''
"""Each run is a file of its name; a step that is there is never logged again, as W&B's own client has it."""

import json, os
from pathlib import Path


class Run:
    def __init__(self, path):
        self._path = path
        self._kept = json.loads(path.read_text()) if path.exists() else {"history": [], "sent": 0, "summary": {}}
        self.summary = self._kept["summary"]
        history = self._kept["history"]
        self.starting_step = history[-1]["_step"] + 1 if history else 0

    def define_metric(self, name, *, step_metric):
        pass

    def log(self, data, step=None):
        history = self._kept["history"]
        following = history[-1]["_step"] + 1 if history else 0
        self._kept["sent"] += 1
        if step is None or step >= following:
            history.append({"_step": following if step is None else step, **data})

    def save(self, glob_str, *, base_path, policy):
        assert Path(glob_str).is_file()

    def finish(self, exit_code):
        self._path.write_text(json.dumps(self._kept))


def init(*, id, name, mode, resume, **more):
    assert (mode, resume) == ("online", "allow")
    return Run(Path(os.environ["WANDB_STAND_IN"]) / f"{name.split('-')[0]}.json")
'''


async def test_wandb_online_gets_each_epoch_once_however_often_the_version_changes(at: At, tmp_path: Path) -> None:
    folder, runs, package = at("trained"), tmp_path / "runs", tmp_path / "package"
    for made in (runs, package):
        made.mkdir()
    (package / "wandb.py").write_text(WANDB)
    track(folder, wandb={"mode": "online"})

    def sent() -> Any:
        environment = {"PYTHONPATH": str(package), "WANDB_STAND_IN": str(runs)}
        tracked = command(folder, "track", **environment)
        assert tracked.returncode == 0, tracked.stdout + tracked.stderr
        return json.loads((runs / "v001.json").read_text())

    first = sent()
    assert [(one["_step"], one["epoch"]) for one in first["history"]] == [(0, 0), (1, 1), (2, 2)]
    assert first["sent"] == 3 and "eval/accuracy" not in first["summary"]
    folder.write("03_eval.py", EVALUATOR)
    async with connected(folder) as agent:
        await agent.score()
    scored = sent()
    assert (scored["history"], scored["sent"]) == (first["history"], 3)
    assert scored["summary"]["eval/accuracy"] == pytest.approx(0.75)
