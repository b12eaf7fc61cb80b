"""Step 1: a training is judged by what it leaves, under the user's values, and anyone may collect it."""

import fcntl
import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import anyio
import pytest

from support.projects import STAGES, STATE, TRAINER, At, Folder, connected, edited

pytestmark = pytest.mark.anyio
V001 = "Models/Artifacts/v001"
BASELINE = "02_train_baseline.py"
MAIN = "    threshold, rows = fit()\n"
END = '\n\nif __name__ == "__main__":'
# The training waits at the gate, so that a test decides when it ends.
GATED = (MAIN, MAIN + '    while not Path("gate").exists():\n        __import__("time").sleep(0.01)\n')


@pytest.mark.requirement("T1", "T2", "C5")
async def test_a_finished_training_leaves_its_artifacts_under_the_versions_name(at: At) -> None:
    folder = at("started")
    async with connected(folder) as agent:
        trained = await agent.train()
        assert (trained["state"], trained["artifacts"], trained["epochs"]) == ("done", V001, 3)
        assert await agent.where() == ("evaluate", 1)
        again = await agent.train()
        assert again.pop("already_done") and not trained.pop("already_done")
        assert again == trained
    found = {path.relative_to(folder.path(V001)).as_posix() for path in folder.path(V001).rglob("*") if path.is_file()}
    assert found == {
        *("best.ckpt", "last.ckpt", "spec.json", "additional_assets/label_map.json"),
        *("logs/version_0/metrics.csv", "logs/version_0/hparams.yaml", "_tests/train_retry_report.md"),
    }
    assert "| 1 |  |  |  | PASS |" in folder.read(f"{V001}/_tests/train_retry_report.md")


@pytest.mark.requirement("T2")
@pytest.mark.parametrize(
    ("edit", "named"),
    [
        (('(ARTIFACTS / "best.ckpt").write_text', "str"), "no best.ckpt"),
        (('(ARTIFACTS / "last.ckpt").write_text', "str"), "no last.ckpt"),
        (('(ARTIFACTS / "last.ckpt").write_text(json.dumps({"threshold": threshold + 0.2}))',
          '(ARTIFACTS / "last.ckpt").touch()'), "no last.ckpt"),
        (('json.dumps({"version": VERSION, "dataset_id": DATASET_ID})', '"[]"'), "spec.json as a JSON object"),
        (('(LOGS / "metrics.csv").write_text', "str"), "logs/version_#/metrics.csv"),
        (("    save_logs(rows)\n    save(threshold)\n", ""), "no best.ckpt, no last.ckpt, no logs"),
    ],
)  # fmt: skip
@pytest.mark.whole(but=2)
async def test_a_run_that_exits_with_0_and_lacks_an_artifact_has_failed_and_names_it(
    folder: Folder, edit: tuple[str, str], named: str
) -> None:
    folder.edit(BASELINE, edit)
    async with connected(folder) as agent:
        await agent.call("start_loop")
        failure = await agent.failed_training("missing artifacts")
        assert named in failure["summary"]
        assert await agent.where() == ("repair", 1)


@pytest.mark.requirement("T2")
@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (('(ARTIFACTS / "spec.json").write_text', "str"), "spec.json holds what was measured"),
        (("    assets.mkdir(exist_ok=True)\n", "    return\n"), "additional_assets/ is empty"),
        (('(LOGS / "hparams.yaml").write_text', "str"), "logs/version_0/hparams.yaml holds what was measured"),
    ],
)
async def test_what_is_missing_for_want_of_form_is_written_and_said(
    folder: Folder, edit: tuple[str, str], said: str
) -> None:
    folder.edit(BASELINE, edit)
    async with connected(folder) as agent:
        await agent.call("start_loop")
        trained = await agent.train()
        assert trained["state"] == "done" and [line for line in trained["completed"] if said in line]


@pytest.mark.requirement("T2")
async def test_a_spec_may_say_that_no_additional_assets_are_required(folder: Folder) -> None:
    folder.edit(
        BASELINE,
        ('"dataset_id": DATASET_ID}', '"dataset_id": DATASET_ID, "additional_assets": "not_required"}'),
        ("    assets.mkdir(exist_ok=True)\n", ""),
        ("""    (assets / "label_map.json").write_text('{"0": "아니오", "1": "예"}', encoding="utf-8")\n""", ""),
    )
    async with connected(folder) as agent:
        await agent.call("start_loop")
        assert (await agent.train())["state"] == "done"


@pytest.mark.requirement("T1", "C2")
async def test_a_script_that_states_another_value_than_the_rules_is_not_started(folder: Folder) -> None:
    folder.write("02_train_v001.py", edited(TRAINER, ('"baseline"', '"v001"'), ("EPOCHS = 3", "EPOCHS = 30")))
    async with connected(folder) as agent:
        text = await agent.refused("start_loop")
        assert "EPOCHS: 30" in text and "training_config.epochs fixes 3" in text
        folder.edit("02_train_v001.py", ("EPOCHS = 30", "EPOCHS = 3"))
        await agent.call("start_loop")
        assert (await agent.train())["state"] == "done"


@pytest.mark.requirement("T1")
@pytest.mark.parametrize(
    ("edit", "said"),
    [
        (('"max_epochs": EPOCHS', '"max_epochs": 2 + len(rows)'), "hparams.yaml, max_epochs says 5"),
        (('{"version": VERSION,', '{"t": dict([("batch_" + "size", 64)]), "version": VERSION,'), "batch_size says 64"),
        (("epoch},{epoch},{train}", "epoch * 2},{epoch},{train}"), "metrics.csv, epochs says 5, but"),
    ],
)  # fmt: skip
async def test_a_run_that_used_another_value_than_the_rules_is_rejected(
    folder: Folder, edit: tuple[str, str], said: str
) -> None:
    folder.edit(BASELINE, edit)
    async with connected(folder) as agent:
        await agent.call("start_loop")
        failure = await agent.failed_training("rule violation")
        assert said in failure["summary"] and "training_config" in failure["summary"] + " training_config"


@pytest.mark.requirement("T3")
@pytest.mark.parametrize(
    "name", ["v001/eval_score.json", "v001/infer_samples/0001/output.json", "v009/eval_score.json"]
)
async def test_a_training_that_leaves_an_evaluation_output_is_rejected(folder: Folder, name: str) -> None:
    write = f'''
    score = Path("Models") / "Artifacts" / "{name}"
    score.parent.mkdir(parents=True, exist_ok=True)
    score.write_text("{{}}")
'''
    folder.edit(BASELINE, ("    save_logs(rows)\n", write + "    save_logs(rows)\n"))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        failure = await agent.failed_training("evaluation output")
        assert f"Models/Artifacts/{name}" in failure["summary"]


@pytest.mark.requirement("T3", "R2")
async def test_a_training_that_changes_an_earlier_versions_score_is_rejected_and_that_score_put_back(
    folder: Folder,
) -> None:
    forge = """    if VERSION.endswith("2"):
        for path in Path("Models").rglob("eval*"):
            path.write_text("{}")
"""
    folder.edit(BASELINE, ("    save_logs(rows)\n", forge + "    save_logs(rows)\n"))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        for stage in ("trained", "scored", "analysed", "acted", "authored"):
            await STAGES[stage](agent)
        score = folder.read(f"{V001}/eval_score.json")
        failure = await agent.failed_training("evaluation output", 2)
        assert f"{V001}/eval_score.json" in failure["summary"]
        await agent.report(stop_reason="enough")
    assert folder.read(f"{V001}/eval_score.json") == score


@pytest.mark.requirement("T4")
@pytest.mark.parametrize(
    ("line", "kind", "words", "phase"),
    [
        ('raise ValueError("모양이 다릅니다")', "code error", "ValueError: 모양이 다릅니다", "repair"),
        ("raise SystemExit(3)", "code error", "exit code 3", "repair"),
        ("__import__('os').abort()", "code error", "SIGABRT", "repair"),
        (
            'raise RuntimeError("CUDA out of memory. Tried to allocate")',
            "out of memory",
            "CUDA out of memory",
            "repair",
        ),
        ("__import__('os').kill(__import__('os').getpid(), 9)", "killed", "SIGKILL", "train"),
        ('raise OSError(28, "No space left on device")', "disk full", "No space left", "train"),
        ('raise RuntimeError("loss became nan in epoch 1")', "diverged", "nan", "repair"),
    ],
)
async def test_a_failed_run_is_explained_by_kind_and_only_the_codes_own_faults_ask_for_a_repair(
    folder: Folder, line: str, kind: str, words: str, phase: str
) -> None:
    folder.edit(BASELINE, (MAIN, MAIN + f"    {line}\n"))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        failure = await agent.failed_training(kind)
        assert words in failure["summary"] + failure.get("trace", ""), failure
        assert await agent.where() == (phase, 1)
        assert kind in await agent.brief()
    assert kind in folder.read(f"{V001}/_tests/train_retry_report.md")


@pytest.mark.requirement("T4")
@pytest.mark.parametrize("value", ["nan", "inf"])
async def test_a_loss_that_is_not_a_number_is_a_divergence(folder: Folder, value: str) -> None:
    folder.edit(BASELINE, ("{epoch},{epoch},{train},{val}", f"{{epoch}},{{epoch}},{{train}},{value}"))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        failure = await agent.failed_training("diverged")
        assert "val_loss" in failure["summary"]


@pytest.mark.requirement("T4")
async def test_a_run_that_hangs_is_ended_at_the_limit(folder: Folder) -> None:
    folder.set_rules(loop_config={"max_train_minutes": 0.005})
    folder.edit(BASELINE, (MAIN, MAIN + "    __import__('time').sleep(600)\n"))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        failure = await agent.failed_training("timeout")
        assert "0.005 minutes" in failure["summary"]
        assert await agent.where() == ("repair", 1)
        await agent.repair(("    __import__('time').sleep(600)\n", ""))
        assert (await agent.train())["state"] == "done"


async def test_a_stale_artifact_is_never_taken_for_a_new_one(at: At) -> None:
    folder = at("started")
    folder.write(f"{V001}/best.ckpt", '{"threshold": 0.5}')
    folder.write(f"{V001}/eval_score.json", "{}")
    async with connected(folder) as agent:
        assert (await agent.train())["state"] == "done"
    assert folder.json(f"{V001}/best.ckpt")["threshold"] == pytest.approx(0.756)
    assert not folder.path(f"{V001}/eval_score.json").exists()


async def test_a_linked_artifact_folder_is_refused_and_nothing_behind_it_is_touched(at: At) -> None:
    folder = at("started")
    elsewhere = folder.root.parent / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "precious.txt").write_text("mine")
    folder.path(V001).symlink_to(elsewhere)
    async with connected(folder) as agent:
        text = await agent.refused("run_train", version=1)
        assert "Models/Artifacts/v001" in text and "not a link" in text
        assert (elsewhere / "precious.txt").read_text() == "mine"
        folder.path(V001).unlink()
        assert (await agent.train())["state"] == "done"


async def test_an_interpreter_that_cannot_be_run_is_named_and_nothing_is_started(at: At) -> None:
    folder = at("started")
    folder.write(".venv/bin/python", "#!/nowhere/python\n")
    folder.path(".venv/bin/python").chmod(0o755)
    async with connected(folder) as agent:
        assert "python" in await agent.refused("run_train", version=1)
        folder.path(".venv/bin/python").unlink()
        assert (await agent.train())["state"] == "done"


async def test_a_data_set_may_be_a_link_to_another_disk(folder: Folder) -> None:
    folder.path("dataset").rename(folder.root.parent / "another disk")
    folder.path("dataset").symlink_to(folder.root.parent / "another disk")
    async with connected(folder) as agent:
        await agent.call("start_loop")
        assert (await agent.train())["state"] == "done"


async def test_user_code_gets_no_key_of_ours_in_its_environment(folder: Folder) -> None:
    folder.edit(
        BASELINE, ('{"version": VERSION,', '{"environment": sorted(__import__("os").environ), "version": VERSION,')
    )
    os.environ["SOME_API_KEY"] = "secret"
    try:
        async with connected(folder) as agent:
            await agent.call("start_loop")
            await agent.train()
    finally:
        del os.environ["SOME_API_KEY"]
    environment = folder.json(f"{V001}/spec.json")["environment"]
    assert "PATH" in environment and "SOME_API_KEY" not in environment


async def test_a_client_that_goes_away_loses_nothing_and_the_next_one_collects_the_training(folder: Folder) -> None:
    folder.edit(BASELINE, GATED)
    async with connected(folder) as first:
        await first.call("start_loop")
        began = await first.call("run_train", version=1)
        assert (began["state"], began["job"]["attempt"]) == ("running", 1)
    async with connected(folder) as second:
        assert await second.where() == ("training", 1)
        assert (await second.call("next_step"))["state"] == "running"
        folder.write("gate", "")
        assert (await second.train())["state"] == "done"
    assert [path.name for path in folder.path(".progressive-training/attempts/v001").iterdir()] == ["train-001"]


async def test_many_calls_at_once_start_one_training(folder: Folder) -> None:
    folder.edit(BASELINE, GATED)
    attempts: list[int] = []
    async with connected(folder) as one, connected(folder) as other:
        await one.call("start_loop")

        async def call(agent: Any) -> None:
            attempts.append((await agent.call("run_train", version=1))["job"]["attempt"])

        async with anyio.create_task_group() as calls:
            for agent in (one, other) * 8:
                calls.start_soon(call, agent)
        assert attempts == [1] * 16
        folder.write("gate", "")
        assert (await other.train())["state"] == "done"


async def test_a_waiting_call_reports_progress_and_comes_back_while_it_runs(folder: Folder) -> None:
    folder.edit(
        BASELINE,
        ("    save_logs(rows)\n", ""),
        (MAIN, MAIN + "    save_logs(rows[:1])\n" + GATED[1].removeprefix(MAIN) + "    save_logs(rows)\n"),
    )
    told: list[tuple[float, float | None, str | None]] = []

    async def hear(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))
        if progress == 1:
            folder.write("gate", "")

    async with connected(folder) as agent:
        await agent.call("start_loop")
        result = await agent.client.call_tool("run_train", {"version": 1, "wait_seconds": 45}, progress_callback=hear)
        assert (result.structured_content or {})["state"] == "done"
    assert told[-1][:2] == (1, 3) and "epoch 1/3" in (told[-1][2] or "")


def alive(pid: int) -> bool:
    """Whether the process runs; one that nobody has waited for yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except FileNotFoundError:
        return False


# A child in a session of its own; both stay until they are ended.
FAMILY = """
    import subprocess, sys, time
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(600)"], start_new_session=True)
    Path("pids.part").write_text(f"{__import__('os').getpid()} {child.pid}")
    Path("pids.part").rename("pids")
    time.sleep(600)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.requirement("T4")
async def test_cancelling_ends_the_whole_process_tree_and_the_version_may_be_run_again(folder: Folder) -> None:
    folder.edit(BASELINE, (MAIN, MAIN + FAMILY))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        assert (await agent.call("run_train", version=1))["state"] == "running"
        with anyio.fail_after(30):
            while not folder.path("pids").exists():
                await agent.call("next_step", brief=False)
        cancelled = await agent.call("cancel_run", version=1)
        assert not cancelled["already_done"]
        assert not any(alive(int(pid)) for pid in folder.read("pids").split())
        assert await agent.where() == ("train", 1)
        again = await agent.call("cancel_run", version=1)
        assert again["already_done"] and "no running job" in again["message"]
        assert (await agent.call("run_train", version=1))["job"]["attempt"] == 2
        await agent.call("cancel_run", version=1)
        await agent.refused("repair_version", version=1, diff="x", root_cause="x", change_summary="x")
    assert "cancelled on request" in folder.read(f"{V001}/_tests/train_retry_report.md")


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.requirement("T4")
async def test_what_a_dead_runner_has_left_is_ended_and_named_before_the_next_attempt(folder: Folder) -> None:
    folder.set_rules(execution_config={"sandbox": "off"})
    folder.edit(BASELINE, (MAIN, MAIN + FAMILY))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.call("run_train", version=1)
        with anyio.fail_after(30):
            while not folder.path("pids").exists():
                await agent.call("next_step", brief=False)
        os.kill(folder.json(f"{STATE}/attempts/v001/train-001/runner.json")["pid"], signal.SIGKILL)
        failure = await agent.failed_training("lost")
    _, child = folder.read("pids").split()
    assert f"had to be killed: pid {child} " in failure["summary"]
    assert not alive(int(child))


async def test_a_cancelled_run_is_an_attempt_like_any_other(folder: Folder) -> None:
    folder.set_rules(loop_config={"max_attempts": 2})
    folder.edit(BASELINE, GATED)
    async with connected(folder) as agent:
        await agent.call("start_loop")
        for expected in ("train", "stuck"):
            await agent.call("run_train", version=1)
            await agent.call("cancel_run", version=1)
            assert await agent.where() == (expected, 1)
        assert "2 attempts" in await agent.brief()


async def test_a_run_is_cancelled_while_somebody_holds_the_lock_for_ever_and_the_rules_are_broken(
    folder: Folder,
) -> None:
    folder.edit(BASELINE, GATED)
    rules = folder.read("user_defined_rules.json")
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.call("run_train", version=1)
        runner = folder.json(f"{STATE}/attempts/v001/train-001/runner.json")["pid"]
        folder.write("user_defined_rules.json", "{")
        holding = os.open(folder.path(f"{STATE}/lock"), os.O_RDONLY)
        fcntl.flock(holding, fcntl.LOCK_EX)
        with anyio.fail_after(25):  # the lock itself is waited for longer
            cancelled = await agent.call("cancel_run", version=1)
        assert "is ended" in cancelled["message"] and not alive(runner)
        os.close(holding)
        folder.write("user_defined_rules.json", rules)
        await agent.failed_training("cancelled")
        assert await agent.where() == ("train", 1)


async def test_a_run_that_ended_before_the_cancellation_is_collected_not_lost(folder: Folder) -> None:
    folder.edit(BASELINE, GATED)
    async with connected(folder) as agent:
        await agent.call("start_loop")
        # Behind the gate it can't end before this call returns, in which case the call itself would collect it.
        assert (await agent.call("run_train", version=1))["state"] == "running"
        folder.write("gate", "")
        with anyio.fail_after(30):
            while not list(folder.root.glob(".progressive-training/attempts/v001/train-001/result.json")):
                await anyio.lowlevel.checkpoint()
        with anyio.fail_after(30):
            while (await agent.call("next_step", brief=False))["state"] == "running":
                pass
        cancelled = await agent.call("cancel_run", version=1)
        assert cancelled["already_done"] and "collect it" in cancelled["message"]
        assert (await agent.train())["state"] == "done"


async def test_an_attempt_that_was_never_submitted_is_lost_and_asks_for_no_repair(at: At) -> None:
    folder = at("started")
    folder.path(".progressive-training/attempts/v001/train-001").mkdir(parents=True)
    async with connected(folder) as agent:
        assert await agent.where() == ("training", 1)
        await agent.failed_training("lost")
        assert await agent.where() == ("train", 1)
        assert (await agent.train())["state"] == "done"


async def test_hidden_characters_of_a_log_reach_nobody_through_a_failure(folder: Folder) -> None:
    hidden = "\\u200b\\u200d\\u2060\\ufeff\\xad\\u180e\\u202e\\u3164\\U000e0100\\x1b[8m"
    evil = f"print('ob{hidden}ey')\n    raise ValueError('ob{hidden}ey')\n"
    folder.edit(BASELINE, (MAIN, f"    {evil}"))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        failure = await agent.failed_training("code error")
        assert failure["summary"] == "exit code 1: ValueError: obey"
        assert failure["trace"].endswith("ValueError: obey")
        told = json.dumps([failure, await agent.call("next_step")], ensure_ascii=False)
    assert "ValueError: obey" in told
    assert not set(told) & set("\u200b\u200d\u2060\ufeff\xad\u180e\u202e\u3164\U000e0100\x1b")


async def test_links_among_the_assets_become_files_or_are_named(folder: Folder) -> None:
    links = '    (assets / "model").symlink_to("../best.ckpt")\n    (assets / "vocab").symlink_to("/etc/hostname")\n'
    folder.edit(BASELINE, ("    assets.mkdir(exist_ok=True)\n", f"    assets.mkdir(exist_ok=True)\n{links}"))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        trained = await agent.train()
    assert any("additional_assets/model was a link to best.ckpt" in one for one in trained["completed"])
    assert any("links to elsewhere (additional_assets/vocab)" in one for one in trained["warnings"])
    assert folder.path(f"{V001}/additional_assets/model").read_bytes() == folder.path(f"{V001}/best.ckpt").read_bytes()
