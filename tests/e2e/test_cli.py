"""The command line as a person and a script use it: what it says, where, and with which exit code."""

import os
import pty
import re
import select
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.e2e import (
    GATED_TRAINER,
    PATIENCE_SECONDS,
    PROGRAM,
    attempts,
    cli,
    ended,
    environment,
    in_mid_training,
    job_processes,
    pasted,
    started,
    until,
    without_the_program,
)
from support.projects import EVALUATOR, FOLDER_NAME, TRAINER, At, Folder, connected, make_project

COMMANDS = {
    "demo",
    "run",
    "serve",
    "setup",
    "doctor",
    "status",
    "start",
    "train",
    "explore",
    "keep-going",
    "eval",
    "cancel",
    "report",
    "rules",
    "protocol",
    "dashboard",
    "track",
    "adopt",
    "token",
    "notify",
}


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[Folder]:
    """A started project whose training waits at its end until the test opens the gate."""
    made = make_project(tmp_path / FOLDER_NAME, trainer=GATED_TRAINER)
    assert cli(made.root, "start").code == 0
    yield made
    made.write("gate", "")
    made.end_jobs()


def on_a_terminal(folder: Path, *arguments: str) -> str:
    """What a command prints on a terminal of 80 columns."""
    ours, theirs = pty.openpty()
    with os.fdopen(ours, "rb", buffering=0) as screen:
        done = subprocess.run(
            [*PROGRAM, *arguments],
            cwd=folder,
            env=environment(TERM="dumb"),
            stdin=theirs,
            stdout=theirs,
            stderr=theirs,
            timeout=PATIENCE_SECONDS,
        )
        os.set_blocking(ours, False)
        text = screen.read()
        os.close(theirs)
    told = (text or b"").decode().replace("\r", "")
    assert done.returncode == 0, told
    return told


# Steps


@pytest.mark.requirement("C5", "C8", "R1")
def test_the_steps_of_a_version_run_one_by_one(folder: Folder) -> None:
    folder.write("03_eval.py", EVALUATOR)
    start = cli(folder.root, "start")
    assert (start.code, start.err) == (0, "")
    assert "The loop is started on data set v1" in start.out and "Next: progressive-training train" in start.out
    train = cli(folder.root.parent, "train", "--project", folder.root.name)
    assert (train.code, train.err) == (0, "")
    assert "v001 is trained (attempt 1)" in train.out and "Next: progressive-training eval" in train.out
    scored = cli(folder.root, "eval")
    assert (scored.code, scored.err) == (0, "")
    assert "v001 is scored on 20 samples" in scored.out and "accuracy 0.75" in scored.out
    assert "Next, by an agent: write_analysis" in scored.out
    again = cli(folder.root, "train", "1")
    assert (again.code, again.out.splitlines()[0]) == (0, train.out.splitlines()[0])
    report = cli(folder.root, "report", "--stop-reason", "enough for today")
    assert (report.code, report.err) == (0, "")
    assert "best: v001" in report.out
    assert "phase done" in cli(folder.root, "status").out
    assert attempts(folder) == ["v001/eval-001", "v001/train-001"]


def test_json_output_is_one_object_and_nothing_else(folder: Folder) -> None:
    folder.write("03_eval.py", EVALUATOR)
    results = {
        name: cli(folder.root, name, "--json") for name in ("start", "train", "eval", "cancel", "rules", "status")
    }
    results["report"] = cli(folder.root, "report", "--stop-reason", "enough", "--json")
    assert {name: (run.code, run.err) for name, run in results.items()} == dict.fromkeys(results, (0, ""))
    assert results["start"].json["dataset_id"] == "v1"
    assert results["train"].json["state"] == "done"
    assert results["eval"].json["metrics"]["accuracy"] == pytest.approx(0.75)
    assert results["cancel"].json["already_done"] is True
    assert results["rules"].json["fixed"]["training_config.epochs"] == 3
    assert results["status"].json["versions"][0]["status"] == "scored"
    assert results["report"].json["best"] == "v001"
    assert results["report"].json["leaderboard"].startswith("version_id,dataset_id,created_at,latency_ms,")


@pytest.mark.anyio
async def test_status_fits_a_terminal_of_80_columns(tmp_path: Path) -> None:
    long = "LEARNING_RATE_OF_THE_THRESHOLD_WHILE_IT_IS_STILL_FAR_FROM_WHERE_THE_POSITIVES_BEGIN"
    folder = make_project(tmp_path / FOLDER_NAME, trainer=TRAINER.replace("LEARNING_RATE", long))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.train()
        await agent.call("write_eval", source=EVALUATOR)
        await agent.score()
        await agent.analyse()
        await agent.act(where=[long])
        await agent.author(1, (f"{long} = 0.2", f"{long} = 0.5"))
    lines = on_a_terminal(folder.root, "status").splitlines()
    assert max(len(line) for line in lines) <= 80, lines
    first, second = (line for line in lines if line.startswith("v00"))
    assert first.split() == ["v001", "analysed", "0.7500", "0.4826"]
    assert second.startswith("v002") and long[:20] in second and second.rstrip().endswith("…")


def test_status_before_the_start_says_how_to_start(folder: Folder) -> None:
    run = cli(folder.root, "status")
    assert (run.code, run.err) == (0, "")
    assert "phase start" in run.out and "Next: progressive-training start" in run.out


@pytest.mark.requirement("T4")
def test_a_failed_training_has_an_exit_code_of_its_own(folder: Folder) -> None:
    folder.edit("02_train_baseline.py", ("    save(threshold)\n\n\nif", "    raise SystemExit('no luck')\n\n\nif"))
    assert cli(folder.root, "start").code == 0
    told = cli(folder.root, "train")
    assert told.code == 3
    assert "no luck" in told.out and "Advice: " in told.out and "Next, by an agent: repair_version" in told.out
    assert cli(folder.root, "status").out.count("failed") >= 1
    counted = cli(folder.root, "train", "--json")
    assert counted.code == 1, "a failed version is repaired before it is trained again"
    assert "Next: call repair_version" in counted.err


# Refusals


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["train"], "no loop has been started"),
        (["eval"], "no loop has been started"),
        (["cancel"], "no loop has been started"),
        (["report"], "the loop is not over"),
        (["rules", "accept"], "no loop has been started"),
        (["start", "--dataset-id", "v7"], "there is no data set 'v7'"),
        (["start", "--patch", "없는 파일.diff"], "없는 파일.diff: No such file"),
        (["start", "--patch", "latin.diff"], "latin.diff: is not UTF-8 text"),
        (["run", "--versions", "9"], "the rules allow 2 versions"),
        (["status", "--project", "nowhere"], "there is no such project folder"),
    ],
)
@pytest.mark.whole(but=3)
def test_a_refusal_goes_to_stderr_with_the_way_on(folder: Folder, arguments: list[str], said: str) -> None:
    folder.path("latin.diff").write_bytes("é".encode("latin-1"))
    before = folder.contents()
    run = cli(folder.root, *arguments)
    assert (run.code, run.out) == (1, "")
    assert said in run.err and "\nNext: " in run.err
    assert "Traceback" not in run.err
    assert folder.contents() == before


def test_malformed_rules_are_told_with_their_place(folder: Folder) -> None:
    folder.write("user_defined_rules.json", '{\n  "seed": 42,\n  "loop_config": {,}\n}')
    run = cli(folder.root, "start")
    assert (run.code, run.out) == (1, "")
    assert "user_defined_rules.json" in run.err and ":3:19: not valid JSON" in run.err and "\nNext: " in run.err


@pytest.mark.parametrize("arguments", [[], ["improve"], ["train", "0"], ["train", "v001"], ["status", "--verbose"]])
def test_wrong_usage_exits_with_2_and_shows_the_usage(tmp_path: Path, arguments: list[str]) -> None:
    run = cli(tmp_path, *arguments)
    assert (run.code, run.out) == (2, "")
    assert run.err.startswith("usage: progressive-training")


def test_every_command_has_help_that_fits_80_columns(tmp_path: Path) -> None:
    listed = cli(tmp_path, "--help")
    assert {
        line.split()[0] for line in listed.out.splitlines() if line.startswith("    ") and line[4] != " "
    } == COMMANDS
    for arguments in ([], *([command] for command in sorted(COMMANDS))):
        run = cli(tmp_path, *arguments, "--help")
        assert (run.code, run.err) == (0, "")
        assert run.out.startswith("usage: ") and max(len(line) for line in run.out.splitlines()) <= 80


def test_what_is_to_be_typed_next_works_where_the_program_is_not_on_the_path(folder: Folder) -> None:
    path, outside = without_the_program(), folder.root.parent
    refused = cli(outside, "train", "--project", str(folder.root), PATH=path)
    assert pasted(f"{refused.err.partition('Next: run: ')[2].strip()} --help", outside, PATH=path).code == 0
    line = cli(outside, "status", "--project", str(folder.root), PATH=path).out.rpartition("Next: ")[2]
    pasted_line = pasted(line.rpartition(" (")[0], outside, PATH=path)
    assert pasted_line.code == 0 and "The loop is started" in pasted_line.out, pasted_line.err
    started_loop = pasted_line.out.rpartition("Next: ")[2].rpartition(" (")[0]
    assert pasted(started_loop, outside, PATH=path).code == 0
    assert attempts(folder) == ["v001/train-001"]


def test_output_that_nobody_reads_to_the_end_is_no_error(at: At) -> None:
    folder = at("scored")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing) as closed:
        done = subprocess.run([*PROGRAM, "status"], cwd=folder.root, stdout=closed, stderr=subprocess.PIPE, text=True)
    assert (done.returncode, done.stderr) == (1, "")


# Jobs


@pytest.mark.requirement("T2")
@pytest.mark.whole
def test_a_detached_training_goes_on_and_is_attached_to_again(gated: Folder) -> None:
    detached = cli(gated.root, "train", "--detach", "--json")
    assert (detached.code, detached.json["state"]) == (0, "running")
    until(in_mid_training(gated), "the training at its gate")
    training = job_processes(gated)
    assert cli(gated.root, "status", "--json").json["versions"][0]["status"] == "training"
    gated.write("gate", "")
    attached = cli(gated.root, "train")
    assert attached.code == 0 and "v001 is trained (attempt 1)" in attached.out
    assert training and not job_processes(gated)
    assert attempts(gated) == ["v001/train-001"]


@pytest.mark.parametrize("command", [["train"], ["train", "--json"], ["run", "--agent", "offline"]])
def test_ctrl_c_ends_the_waiting_and_leaves_the_training(gated: Folder, command: list[str]) -> None:
    with started(gated.root, *command) as waiting:
        until(in_mid_training(gated), "the training at its gate")
        training = job_processes(gated)
        os.killpg(waiting.pid, signal.SIGINT)
        run = ended(waiting)
    assert (run.code, run.out) == (130, "")
    assert "A running job goes on" in run.err and "the same command attaches to it again" in run.err
    assert "Traceback" not in run.err
    assert job_processes(gated) == training != []
    gated.write("gate", "")
    assert cli(gated.root, "train", "--json").json["state"] == "done"
    assert attempts(gated) == ["v001/train-001"]


def test_what_ctrl_c_says_ends_the_training_where_it_is_pasted_from_another_folder(gated: Folder) -> None:
    outside = gated.root.parent
    with started(outside, "train", "--project", str(gated.root)) as waiting:
        until(in_mid_training(gated), "the training at its gate")
        os.killpg(waiting.pid, signal.SIGINT)
        _, line, _ = ended(waiting).err.split("`")
    ended_by_it = pasted(line, outside)
    assert ended_by_it.code == 0 and "is ended, with every process that it had" in ended_by_it.out
    assert job_processes(gated) == []


def test_cancel_ends_the_whole_training_and_the_version_may_be_run_again(gated: Folder) -> None:
    with started(gated.root, "train") as waiting:
        until(in_mid_training(gated), "the training at its gate")
        cancelled = cli(gated.root, "cancel")
        assert cancelled.code == 0 and "is ended, with every process that it had" in cancelled.out
        assert job_processes(gated) == []
        run = ended(waiting)
    assert run.code == 3 and "cancelled on request" in run.out, "whoever waited for it hears of it"
    gated.write("gate", "")
    assert cli(gated.root, "train").code == 0
    assert attempts(gated) == ["v001/train-001", "v001/train-002"]


def test_an_agent_whose_training_the_user_cancels_stops_and_starts_no_other(gated: Folder) -> None:
    with started(gated.root, "run") as agent:
        until(in_mid_training(gated), "the training at its gate")
        assert cli(gated.root, "cancel").code == 0
        run = ended(agent)
    assert (run.code, run.out) == (1, "")
    assert "run_train v001: was cancelled\nNext: start the agent again" in run.err
    assert attempts(gated) == ["v001/train-001"]


# The user's files


@pytest.mark.requirement("C2")
def test_changed_rules_stop_the_loop_until_the_user_accepts_them(at: At) -> None:
    folder = at("started")
    assert cli(folder.root, "rules", "accept").out == "Nothing changed.\n"
    folder.set_rules(loop_config={"max_versions": 3})
    status = cli(folder.root, "status")
    assert (
        "user_defined_rules.json changed since the start; go on with: progressive-training rules accept" in status.out
    )
    refused = cli(folder.root, "train")
    assert refused.code == 1 and "progressive-training rules accept" in refused.err
    accepted = cli(folder.root, "rules", "accept")
    assert accepted.code == 0 and "user_defined_rules.json: accepted" in accepted.out
    assert cli(folder.root, "train").code == 0


@pytest.mark.requirement("C1")
def test_rules_shows_what_the_user_fixed_and_the_instruction(folder: Folder) -> None:
    folder.set_rules(team={"owner": "누리"})
    folder.write("user_instruction.md", "증강은 쓰지 않는다.\n")
    run = cli(folder.root, "rules")
    assert (run.code, run.err) == (0, "")
    assert 'training_config: {"epochs": 3, "batch_size": 16}' in run.out
    assert "loop_config.max_attempts = 5 (default)" in run.out
    assert 'team: {"owner": "누리"}' in run.out and "team: not a rule that is known here" in run.out
    assert run.out.splitlines()[-1] == "증강은 쓰지 않는다."


# A built-in agent


@pytest.mark.requirement("S1", "R1", "R5")
def test_run_drives_the_loop_to_its_report_and_tells_each_step_in_one_line(folder: Folder) -> None:
    folder.write("03_eval.py", EVALUATOR)
    run = cli(folder.root, "run", "--agent", "offline", "--versions", "1")
    assert run.code == 0, run.err
    steps = [line[6:].split()[0] for line in run.err.splitlines()]
    assert steps[:4] == ["start_loop", "run_train", "run_eval", "write_analysis"]
    assert max(len(line) for line in run.err.splitlines()) > 80, "a file has no width to wrap at"
    assert run.out.startswith("Leaderboard\n") and "v001" in run.out and "accuracy" in run.out
    assert run.out.splitlines()[-1].startswith("Best: v001. Report: ")
    again = cli(folder.root, "run")
    assert (again.code, again.err) == (0, "")
    assert again.out == run.out
    assert attempts(folder) == ["v001/eval-001", "v001/train-001"]


def test_run_tells_a_file_how_far_a_long_training_is(gated: Folder) -> None:
    gated.write("03_eval.py", EVALUATOR)
    with started(gated.root, "run", "--versions", "1") as agent:
        assert agent.stderr is not None
        assert select.select([agent.stderr], [], [], PATIENCE_SECONDS)[0], "it says nothing while it waits"
        told = agent.stderr.readline()
        gated.write("gate", "")
        run = ended(agent)
    assert re.fullmatch(r"v001  train: \d+ s\n", told)
    assert run.code == 0 and "v001  run_train            done" in run.err


def test_run_says_what_it_cannot_do_and_leaves_it_to_a_person(folder: Folder) -> None:
    run = cli(folder.root, "run", "--agent", "offline")
    assert (run.code, run.out) == (1, "")
    assert "the loop's own doesn't serve task_type 'threshold search'" in run.err and "Next: " in run.err
    assert "Traceback" not in run.err
    folder.write("03_eval.py", EVALUATOR)
    assert cli(folder.root, "run").code == 0
    assert attempts(folder) == ["v001/eval-001", "v001/train-001"]


def test_run_stops_after_the_second_same_failure_and_says_by_its_code_that_nothing_is_scored(folder: Folder) -> None:
    folder.write("03_eval.py", "raise SystemExit('no such key')\n")
    run = cli(folder.root, "run")
    assert (run.code, run.out) == (1, "")
    assert "no version is scored. v001 failed twice in the same way" in run.err and "Next: " in run.err
    assert attempts(folder) == ["v001/eval-001", "v001/eval-002", "v001/train-001"]
    folder.write("03_eval.py", EVALUATOR)
    assert cli(folder.root, "run", "--versions", "1").code == 0


def test_run_of_a_loop_that_ended_without_a_score_fails(folder: Folder) -> None:
    folder.write("03_eval.py", "raise SystemExit(1)\n")
    cli(folder.root, "start")
    assert cli(folder.root, "report", "--stop-reason", "it can't be scored").code == 0
    assert cli(folder.root, "run").code == 3


# The machine


def test_doctor_says_what_is_there_and_what_lacks(folder: Folder, tmp_path: Path) -> None:
    found = cli(folder.root, "doctor", "--json")
    checks = {check["name"]: check for check in found.json}
    assert {"server", "project", "python for scripts", "torch", "lightning", "device", "disk"} <= checks.keys()
    lacking = [name for name, check in checks.items() if check["status"] == "missing"]
    assert found.code == (1 if lacking else 0)
    assert all(checks[name]["hint"] for name in lacking)
    assert checks["project"]["status"] == "ok" and str(folder.root) in checks["project"]["detail"]
    (tmp_path / "빈 폴더").mkdir()
    empty = cli(tmp_path / "빈 폴더", "doctor")
    assert empty.code == 1
    assert "MISSING project: " in empty.out and "02_train_baseline.py" in empty.out
