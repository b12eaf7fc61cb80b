"""External models in the report (R4, R5): rows like any other, scored once, and never a reason to have no report."""

import csv
import io
import json
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest

from progressive_training.loop.evaluate.external_model import MINUTES
from progressive_training.loop.jobs.job import Job, JobStatus, Outcome
from progressive_training.loop.project.integrity import accept_rules
from progressive_training.loop.project.project import Project
from progressive_training.loop.report.external_models import unready
from progressive_training.server.app import build_server
from support.instant import Instant
from support.projects import Agent, At, Folder, connected
from support.tasks import tasks_of

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R4")]
ENDED = Outcome(0, None, None, "exited", 0.1, 0.1, 1, (), None, None, log_truncated=False)
SAMPLE = "def load(folder): ...\n\ndef predict(model, inputs): ...\n"
Behaviour = Callable[[Path, Path], Outcome]
"""What an external model's evaluation leaves in `--out` and in its log, and how it ends."""


def scores(hits: int, *, count: int = 20, name: str = "accuracy", hidden: bool = True) -> Behaviour:
    def leave(out: Path, log: Path) -> Outcome:
        rows = [{"id": f"val-{i}", "scores": {name: float(i < hits)}} for i in range(count)]
        (out / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
        shown = out / "infer_samples" / "0001"
        shown.mkdir(parents=True)
        for file in ("input.json", "output.json", "meta.json"):
            (shown / file).write_text("{}")
        metric = {"name": name, "value": hits / count, "higher_is_better": True}
        score = {"dataset_id": "v1", "created_at": "", "num_samples": count, "metrics": [metric], "latency_ms": 7.5}
        (out / "eval_score.json").write_text(json.dumps(score))
        (out / "external.json").write_text(json.dumps({"script": "a", "not_hidden": None if hidden else "no Landlock"}))
        return ENDED

    return leave


def fails(told: str) -> Behaviour:
    def leave(out: Path, log: Path) -> Outcome:
        log.write_text(f"03_eval.py: error: {told}\n")
        return replace(ENDED, rc=1)

    return leave


def ends(reason: Literal["timeout", "lost", "cancelled"], rc: int | None = None) -> Behaviour:
    return lambda out, log: replace(ENDED, rc=rc, reason=reason)


def edits(file: str, old: str, new: str) -> Behaviour:
    def leave(out: Path, log: Path) -> Outcome:
        outcome = scores(20)(out, log)
        text = (out / file).read_text()
        assert old in text
        (out / file).write_text(text.replace(old, new))
        return outcome

    return leave


class Stub(Instant):
    """Runs nothing: external models behave as told; `jobs` remembers who was asked to be scored."""

    def __init__(self, **models: Behaviour) -> None:
        self.models = {name.replace("_", "-"): model for name, model in models.items()}
        self.jobs: list[tuple[str, Job]] = []
        self.running = 0

    @property
    def asked(self) -> list[str]:
        return [name for name, _ in self.jobs]

    def submit(self, attempt: Path, job: Job) -> None:
        options = dict(word[2:].split("=", 1) for word in job.argv if word.startswith("--"))
        if "external" not in options:
            return super().submit(attempt, job)
        name = Path(options["external"]).name
        self.jobs.append((name, job))
        (attempt / "job.json").write_text(job.to_json())
        outcome = self.models[name](Path(options["out"]), attempt / "log.txt")
        (attempt / "outcome.json").write_text(outcome.to_json())
        return None

    def poll(self, attempt: Path) -> JobStatus:
        if not (attempt / "outcome.json").exists():
            return super().poll(attempt)
        if self.running:
            self.running -= 1
            return JobStatus("running", None, 3.0)
        outcome = Outcome.from_json((attempt / "outcome.json").read_text())
        return JobStatus("lost" if outcome.reason == "lost" else "finished", outcome, 0.1)


def add(folder: Folder, *names: str) -> None:
    for name in names:
        folder.write(f"Models/external/{name}/inference_sample.py", SAMPLE)


def table(folder: Folder, report: dict[str, Any]) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(folder.read(f"{report['folder']}/leaderboard.csv"))))


def analysis(folder: Folder, report: dict[str, Any]) -> str:
    return folder.read(f"{report['folder']}/final-analysis.md")


async def again(agent: Agent) -> dict[str, Any]:
    """The loop goes on for one more version, and ends with another report."""
    folder = agent.folder
    cur = len(list(folder.root.glob("02_train_v*.py")))
    folder.set_rules(loop_config={"max_versions": cur + 1})
    accept_rules(folder.project())
    start = {2: ("START = 1.0", "START = 0.6"), 3: ("START = 0.6", "START = 0.7")}[cur]
    await agent.author(cur, start)
    await agent.train(cur + 1)
    await agent.score(cur + 1)
    await agent.analyse(cur + 1)
    await agent.act(cur + 1, change=f"START to {cur}", where=["START"])
    return await agent.report()


@pytest.mark.requirement("R3", "R5")
async def test_each_folder_is_a_row_ranked_among_the_versions_and_the_bundle_stays_a_version(at: At) -> None:
    folder = at("finished")
    add(folder, "glm-ocr", "old model's 모델")
    folder.write("Models/external/README.md", "not a model")
    folder.write("Models/external/.cache/x", "nor this")
    stub = Stub(glm_ocr=scores(20))
    stub.models["old model's 모델"] = scores(17)
    async with connected(folder, executor=stub) as agent:
        report = await agent.report()
    rows = table(folder, report)
    assert list(rows[0])[5:] == ["metric__accuracy", "metric__loss"]
    ranked = [(row["version_id"], float(row["metric__accuracy"])) for row in rows]
    assert ranked == [("glm-ocr", 1.0), ("v002", 0.95), ("old model's 모델", 0.85), ("v001", 0.75)]
    assert report["best"] == "v002"
    assert (rows[0]["metric__loss"], rows[0]["latency_ms"], rows[0]["dataset_id"]) == ("", "7.5", "v1")
    for row in rows:
        assert (folder.path(report["folder"]) / row["artifact_relpath"]).exists()
    assert rows[0]["artifact_relpath"] == "../../external/glm-ocr"
    assert [path.name for path in folder.path(f"{report['folder']}/Artifacts").iterdir()] == ["v002"]
    text = analysis(folder, report)
    assert "Best version: **v002**" in text and "Above it ranks, as an external model: **glm-ocr**." in text
    assert "### 1. glm-ocr" in text and "An external model of Models/external/" in text
    assert "## Warnings" not in text
    assert folder.path("Models/Artifacts/external/glm-ocr/infer_samples/0001/output.json").is_file()
    before = folder.read(f"{report['folder']}/leaderboard.csv")
    subprocess.run(
        [sys.executable, "-I", str(folder.path("04_final_report.py"))], check=True, stdout=subprocess.DEVNULL
    )
    assert folder.read(f"{report['folder']}/leaderboard.csv") == before


@pytest.mark.requirement("R2")
async def test_it_is_scored_by_the_locked_evaluator_on_the_first_versions_samples_in_a_job_of_its_own(at: At) -> None:
    folder = at("finished")
    add(folder, "glm-ocr")
    stub = Stub(glm_ocr=scores(20))
    async with connected(folder, executor=stub) as agent:
        await agent.report()
    ((_, job),) = stub.jobs
    options = dict(word[2:].split("=", 1) for word in job.argv if word.startswith("--"))
    assert job.argv[1:4] == ("-I", "-B", str(folder.path("03_eval.py")))
    assert options["external"] == str(folder.path("Models/external/glm-ocr"))
    assert (options["version"], options["dataset-id"], options["seed"]) == ("v001", "v1", "42")
    assert Path(options["source"]) == Path(job.cwd)
    assert job.timeout_seconds == 60 * MINUTES, "a report doesn't wait for ever"
    receipt = folder.json(".progressive-training/receipts/external/glm-ocr.json")["record"]
    version = folder.json(".progressive-training/receipts/v001/eval.json")["record"]
    assert receipt["fingerprint"] == version["fingerprint"]


BROKEN: dict[str, tuple[Behaviour, str]] = {
    "raises": (fails("external model x: predict raised ValueError: no"), "predict raised ValueError: no"),
    "too few samples": (scores(3, count=19), "num_samples is 19"),
    "not a number": (edits("eval_score.json", '"value": 1.0', '"value": NaN'), "NaN is not a JSON number"),
    "not its mean": (edits("eval_score.json", '"value": 1.0', '"value": 0.5'), "the mean of its 'accuracy' is 1"),
    "another data set": (edits("eval_score.json", '"v1"', '"v2"'), "dataset_id is 'v2'"),
    "no output": (lambda out, log: ENDED, "was not written"),
    "too slow": (ends("timeout"), "still running after 30 minutes"),
    "a pipe in the table": (fails("it | said\x1b[31m | so"), "it \\| said \\| so"),
}


@pytest.mark.parametrize("kind", BROKEN)
@pytest.mark.whole(but=3)
async def test_a_broken_one_is_a_warning_and_an_empty_row_at_the_end(at: At, kind: str) -> None:
    behaviour, told = BROKEN[kind]
    folder = at("finished")
    add(folder, "broken", "sound")
    async with connected(folder, executor=(stub := Stub(broken=behaviour, sound=scores(18)))) as agent:
        report = await agent.report()
    assert stub.asked == ["broken", "sound"], "once each"
    assert (report["state"], report["best"]) == ("done", "v002")
    rows = table(folder, report)
    assert [row["version_id"] for row in rows] == ["v002", "sound", "v001", "broken"]
    assert [rows[3][name] for name in ("created_at", "latency_ms", "metric__accuracy")] == ["", "", ""]
    (warning,) = [line for line in analysis(folder, report).splitlines() if line.startswith("- external model")]
    assert warning.startswith("- external model broken ranks last: it is not scored: ") and told in warning
    assert not folder.path("Models/Artifacts/external/broken").exists()


async def test_a_lost_run_is_tried_once_more(at: At) -> None:
    folder = at("finished")
    add(folder, "gone")
    async with connected(folder, executor=(stub := Stub(gone=ends("lost")))) as agent:
        report = await agent.report()
    assert stub.asked == ["gone", "gone"]
    assert "external model gone ranks last" in analysis(folder, report)


async def test_a_report_waits_for_a_running_one_and_any_server_attaches_to_it(at: At) -> None:
    folder = at("finished")
    add(folder, "slow")
    stub = Stub(slow=scores(19))
    stub.running = 2
    async with connected(folder, executor=stub) as agent:
        first = await agent.call("final_report")
        assert (first["state"], first["phase"]) == ("running", "reporting")
        assert "external model slow is scored; 1 left" in first["message"]
        assert folder.path(first["job"]["folder"]).is_dir()
    async with connected(folder, executor=stub) as agent:
        report = await agent.report()
    assert stub.asked == ["slow"]
    assert "slow" in [row["version_id"] for row in table(folder, report)]


async def test_a_running_one_can_be_cancelled_and_is_not_started_again_for_this_report(at: At) -> None:
    folder = at("finished")
    add(folder, "endless")
    async with connected(folder, executor=(stub := Stub(endless=ends("cancelled")))) as agent:
        stub.running = 1
        assert (await agent.call("final_report"))["state"] == "running"
        cancelled = await agent.call("cancel_run", version=2)
        assert not cancelled["already_done"]
        report = await agent.report()
    assert stub.asked == ["endless"]
    assert "endless ranks last: it is not scored: cancelled on request" in analysis(folder, report)


async def test_an_unchanged_one_is_scored_once_a_changed_or_failed_one_again_for_the_next_report(at: At) -> None:
    folder = at("finished")
    add(folder, "same", "changed", "failed")
    stub = Stub(same=scores(17), changed=scores(16), failed=fails("out of order"))
    async with connected(folder, executor=stub) as agent:
        await agent.report()
        assert stub.asked == ["changed", "failed", "same"]
        folder.write("Models/external/changed/weights/w.bin", "new weights")
        folder.write("Models/external/same/__pycache__/x.pyc", "what running it leaves is no change")
        stub.models |= {"changed": fails("the new weights don't fit"), "failed": scores(15)}
        second = await again(agent)
    assert stub.asked[3:] == ["changed", "failed"]
    found = {row["version_id"]: row["metric__accuracy"] for row in table(folder, second)}
    assert (found["same"], found["failed"], found["changed"]) == ("0.85", "0.75", ""), (
        "an old score is not the new one's"
    )


async def test_a_folder_named_like_a_version_is_left_out_with_a_warning(at: At) -> None:
    folder = at("finished")
    add(folder, "v002", "v0002")
    async with connected(folder, executor=(stub := Stub())) as agent:
        report = await agent.report()
    assert stub.asked == []
    assert [row["version_id"] for row in table(folder, report)] == ["v002", "v001"]
    text = analysis(folder, report)
    assert "external model v0002 is left out" in text and "named like a version" in text
    (row,) = [line for line in text.splitlines() if line.startswith("| 1 | v002 |")]
    assert "| 0.95 |" in row, "the version of that name is still the version"


async def test_a_folder_whose_name_no_file_can_hold_costs_no_report(at: At) -> None:
    folder = at("finished")
    long = "모델" * 40
    add(folder, "caf\udce9", long)
    async with connected(folder, executor=(stub := Stub())) as agent:
        report = await agent.report()
        assert (await agent.call("cancel_run", version=2))["already_done"]
    assert stub.asked == [] and unready(folder.project()) == ()
    assert [row["version_id"] for row in table(folder, report)] == ["v002", "v001", long]
    text = analysis(folder, report)
    assert "external model caf\\udce9 is left out: it is not scored: its folder's name is no UTF-8" in text
    assert "its folder's name is longer than 200 bytes" in text


async def test_a_report_that_is_cancelled_as_a_task_leaves_no_external_model_being_scored(at: At) -> None:
    folder = at("finished")
    add(folder, "endless")
    (stub := Stub(endless=ends("cancelled"))).running = 1
    async with tasks_of(build_server(replace(folder.project(), executor=stub))) as tasks:
        task_id = await tasks.begun("final_report")
        await tasks.ask("cancel", task_id)
        assert (await tasks.get(task_id))["status"] == "cancelled"
    assert folder.path(".progressive-training/attempts/external-endless/eval-001/cancel.json").exists()


async def test_one_whose_server_ended_before_its_verdict_is_collected_again(at: At) -> None:
    folder = at("finished")
    add(folder, "late")
    behaviour = scores(18)
    async with connected(folder, executor=(stub := Stub(late=behaviour))) as agent:
        await agent.report()
        attempt = folder.path(".progressive-training/attempts/external-late/eval-001")
        (attempt / "verdict.json").unlink()
        (attempt / "out").mkdir()
        behaviour(attempt / "out", attempt / "log.txt")
        report = await again(agent)
    assert stub.asked == ["late"] and (attempt / "verdict.json").is_file() and not (attempt / "out").exists()
    assert {row["version_id"]: row["metric__accuracy"] for row in table(folder, report)}["late"] == "0.9"


@pytest.mark.requirement("R5")
async def test_every_path_of_a_regenerated_leaderboard_leads_somewhere(at: At, tmp_path: Path) -> None:
    folder = at("finished")
    add(folder, "glm-ocr")
    async with connected(folder, executor=Stub(glm_ocr=scores(20))) as agent:
        report = folder.path((await agent.report())["folder"])
    linked = tmp_path / "a link"
    linked.symlink_to(folder.root)

    def leads(*options: str, out: Path) -> list[str]:
        script = [sys.executable, "-I", str(folder.path("04_final_report.py")), "--project", str(linked), *options]
        subprocess.run(script, check=True, stdout=subprocess.DEVNULL)
        paths = [row["artifact_relpath"] for row in csv.DictReader(io.StringIO(out.read_text(encoding="utf-8")))]
        assert all((out.parent / path).exists() for path in paths), paths
        return paths

    assert "Artifacts/v002/best.ckpt" in leads(out=report / "leaderboard.csv")
    leads("--out", str(tmp_path / "elsewhere.csv"), out=tmp_path / "elsewhere.csv")
    score = folder.json("Models/Artifacts/v001/eval_score.json")
    for metric in score["metrics"]:
        metric["value"] = 1.0 if metric["higher_is_better"] else 0.0
    folder.write("Models/Artifacts/v001/eval_score.json", json.dumps(score))
    assert "../../Artifacts/v001/best.ckpt" in leads(out=report / "leaderboard.csv"), "the report holds no copy of it"


async def test_a_score_of_an_external_model_that_nobody_gave_it_does_not_count(at: At) -> None:
    folder = at("finished")
    add(folder, "forged")
    forged = folder.read("Models/Artifacts/v002/eval_score.json")
    for place in ("Models/external/forged", "Models/Artifacts/external/forged", "Models/Artifacts/external/gone"):
        folder.write(f"{place}/eval_score.json", forged)
    async with connected(folder, executor=Stub(forged=fails("no"))) as agent:
        report = await agent.report()
    assert [row["version_id"] for row in table(folder, report)] == ["v002", "v001", "forged"]
    assert table(folder, report)[2]["metric__accuracy"] == ""


async def test_what_could_not_be_hidden_or_computed_is_told(at: At) -> None:
    folder = at("finished")
    add(folder, "sees", "other")
    models = Stub(sees=scores(12, hidden=False), other=scores(12, name="f1"))
    async with connected(folder, executor=models) as agent:
        report = await agent.report()
    text = analysis(folder, report)
    assert "external model sees: it could have read the data set while it was scored: no Landlock" in text
    assert "external model other ranks last: 'accuracy' can't be computed from what it answers" in text
    assert [row["version_id"] for row in table(folder, report)] == ["v002", "v001", "sees", "other"]


async def test_what_an_evaluation_warned_of_in_our_words_is_told_in_the_reports_language(at: At) -> None:
    folder = at("finished")
    folder.set_rules(report_language="ko")
    assert accept_rules(folder.project())
    add(folder, "sees", "other", "odd")
    models = Stub(
        sees=scores(12, hidden=False), other=scores(12, name="f1"), odd=edits("external.json", "null", '"it {said} so"')
    )
    async with connected(folder, executor=models) as agent:
        report = await agent.report()
    warnings = [line for line in analysis(folder, report).splitlines() if line.startswith("- ")]
    told = [line.removeprefix("- 외부 모델 ") for line in warnings if line.startswith("- 외부 모델 ")]
    assert sorted(told) == [
        "odd: 채점 중에 데이터셋을 읽을 수 있었습니다: it {said} so",
        "other: 기준 지표('accuracy')가 지표 목록에 없어 최하위입니다",
        "other: 모델의 출력으로는 기준 지표('accuracy')를 계산할 수 없어 최하위입니다",
        "other: 지표 'accuracy' 값이 계산되지 않았습니다",
        "sees: 채점 중에 데이터셋을 읽을 수 있었습니다: no Landlock",
    ]


async def test_without_a_scored_version_there_is_nothing_to_compare_with(at: At) -> None:
    folder = at("trained")
    add(folder, "early")
    async with connected(folder, executor=(stub := Stub())) as agent:
        report = await agent.report(stop_reason="enough")
    assert stub.asked == []
    assert "early ranks last: it is not scored: no version is scored" in analysis(folder, report)
    assert [row["version_id"] for row in table(folder, report)] == ["v001", "early"]


async def test_a_model_on_another_disk_is_followed_and_never_written_to(at: At, tmp_path: Path) -> None:
    folder = at("finished")
    elsewhere = tmp_path / "another disk" / "model"
    elsewhere.mkdir(parents=True)
    (elsewhere / "inference_sample.py").write_text(SAMPLE)
    folder.path("Models/external").mkdir()
    folder.path("Models/external/linked").symlink_to(elsewhere)
    async with connected(folder, executor=(stub := Stub(linked=scores(20)))) as agent:
        report = await agent.report()
    assert stub.asked == ["linked"]
    assert table(folder, report)[0]["version_id"] == "linked"
    assert [path.name for path in elsewhere.iterdir()] == ["inference_sample.py"]


async def test_the_brief_says_before_the_report_which_one_needs_an_adapter(at: At) -> None:
    folder = at("finished")
    add(folder, "ready")
    folder.write("Models/external/only shows/inference_sample.py", "print('so')\n")
    folder.write("Models/external/adapted/inference_sample.py", "print('so')\n")
    folder.write("Models/external/adapted/adapter.py", SAMPLE)
    assert unready(Project(folder.root)) == (("only shows", "inference_sample.py offers no load() and no predict()"),)
    async with connected(folder) as agent:
        brief = await agent.brief()
    assert "- only shows: inference_sample.py offers no load() and no predict()" in brief
    assert "adapter.py" in brief and "- adapted" not in brief and "- ready" not in brief


async def test_an_evaluator_of_the_agents_own_that_knows_no_externals_makes_a_warning(at: At) -> None:
    folder = at("finished")
    add(folder, "unknown")
    async with connected(folder) as agent:  # really run: the projects' evaluator takes no such option
        report = await agent.report()
    assert report["best"] == "v002"
    assert "unrecognized arguments: --external=" in analysis(folder, report)
