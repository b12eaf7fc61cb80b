"""Scoring again for the report (R2): several versions side by side, each result kept as it comes, from any process."""

import csv
import io
import json
import os
import re
import signal
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import anyio
import pytest
from starlette.applications import Starlette
from starlette.testclient import TestClient

from progressive_training.loop.jobs.job import Job, JobStatus, Outcome
from progressive_training.loop.project.integrity import accept_protocol, accept_rules
from progressive_training.loop.store import journal
from progressive_training.server.app import build_server
from progressive_training.server.dashboard.routes import routes
from support.e2e import job_processes, started, until
from support.instant import Instant
from support.many_versions import grow
from support.projects import EVALUATOR, STATE, At, Folder, connected
from support.tasks import tasks_of
from support.warmed import Warmed

pytestmark = [pytest.mark.anyio, pytest.mark.requirement("R2")]
ENDED = Outcome(0, None, None, "exited", 0.1, 0.1, 1, (), None, None, log_truncated=False)
Grown = Callable[..., Folder]


class Gated(Instant):
    """An evaluation runs until a test lets it end, or for so many looks at it; an external model leaves nothing."""

    def __init__(self) -> None:
        self.begun: list[str] = []
        self.ended: set[str] = set()
        self.looks: dict[str, int] = {}
        self.failing: set[str] = set()
        self.most = 0

    def submit(self, attempt: Path, job: Job) -> None:
        name = attempt.parent.name
        if name.startswith("external-"):
            (attempt / "job.json").write_text(job.to_json())
        else:
            super().submit(attempt, job)
        self.begun.append(name)
        self.ended.discard(name)
        self.most = max(self.most, len(set(self.begun) - self.ended))

    def poll(self, attempt: Path) -> JobStatus:
        name = attempt.parent.name
        if (attempt / "stopped").exists():
            return JobStatus("finished", Outcome(**{**vars(ENDED), "rc": None, "reason": "cancelled"}), 0.1)
        if name in self.looks:
            self.looks[name] -= 1
            self.ended |= {name} if self.looks[name] <= 0 else set()
        if name in self.begun and name not in self.ended:
            return JobStatus("running", None, 3.0)
        if name in self.failing:
            return JobStatus("finished", Outcome(**{**vars(ENDED), "rc": 1}), 0.1)
        return super().poll(attempt)

    def cancel(self, attempt: Path) -> JobStatus:
        (attempt / "stopped").touch()
        self.ended.add(attempt.parent.name)
        return self.poll(attempt)

    def end(self, *versions: int) -> None:
        self.ended |= {f"v{version:03d}" for version in versions}

    def running(self) -> list[str]:
        return sorted(set(self.begun) - self.ended)


@pytest.fixture
def grown(at: At, tmp_path: Path) -> Any:
    """A finished loop of so many versions, none of which is scored under the present protocol."""
    made: list[Folder] = []

    def make(versions: int, *, parallel: int | None, evaluator: str | None = None) -> Folder:
        folder = Folder(tmp_path / "여러 versions")
        grow(at("finished").root, folder.root, versions)
        rules = folder.json("user_defined_rules.json")
        rules["eval_config"]["infer_samples"] = 2
        rules["execution_config"] |= {} if parallel is None else {"max_parallel": parallel}
        folder.write("user_defined_rules.json", json.dumps(rules))
        if evaluator is not None:
            folder.write("03_eval.py", evaluator)
            assert accept_protocol(folder.project())
        assert accept_rules(folder.project())
        made.append(folder)
        return folder

    yield make
    for folder in made:
        folder.end_jobs()


def scored_anew(folder: Folder) -> list[str]:
    """The versions in the order in which their new scores were published."""
    events = [event for event in journal.events(folder.project().workspace) if event.event == "scored"]
    return [str(event.version) for event in events][2:]  # the two of the loop itself


def started_anew(folder: Folder) -> Counter[str]:
    events = [event for event in journal.events(folder.project().workspace) if event.event == "eval_started"]
    return Counter(str(event.version) for event in events[2:])


async def test_the_evaluator_is_tried_alone_then_so_many_run_as_the_rules_allow_and_each_score_is_kept_at_once(
    grown: Grown,
) -> None:
    folder = grown(6, parallel=3, evaluator=EVALUATOR + "# another one\n")
    gated = Gated()
    async with connected(folder, executor=gated) as agent:
        first = await agent.call("final_report")
        assert gated.running() == ["v001"], "an evaluator that may be refused is tried on one version"
        assert "1 of 6 versions is scored again under the present protocol; 6 left" in first["message"]
        gated.end(1)
        then = await agent.call("final_report")
        assert gated.running() == ["v002", "v003", "v004"]
        assert "3 of 6 versions are scored again under the present protocol; 5 left" in then["message"]
        gated.end(3)
        await agent.call("final_report")
        assert scored_anew(folder) == ["v001", "v003"], "a score doesn't wait for those of the others"
        assert gated.running() == ["v002", "v004", "v005"]
        gated.end(2, 4, 5, 6)
        await agent.call("final_report")
        gated.end(6)
        report = await agent.report()
    assert gated.most == 3 and sorted(gated.begun) == [f"v{cur:03d}" for cur in range(1, 7)]
    rows = list(csv.DictReader(io.StringIO(folder.read(f"{report['folder']}/leaderboard.csv"))))
    assert {row["metric__accuracy"] for row in rows} == {"0.95"}, "what the loop found is replaced"
    analysis = folder.read(f"{report['folder']}/final-analysis.md")
    assert "latency_ms of v002, v003, v004, v005 was measured with up to 3 evaluations side by side" in analysis


async def test_one_at_a_time_is_the_default_here_and_its_latencies_compare(grown: Grown) -> None:
    folder = grown(3, parallel=None)
    gated = Gated()
    gated.looks = {"v001": 2, "v002": 2, "v003": 2}
    async with connected(folder, executor=gated) as agent:
        report = await agent.report()
    assert (gated.begun, gated.most) == (["v001", "v002", "v003"], 1)
    assert "side by side" not in folder.read(f"{report['folder']}/final-analysis.md")


async def test_who_waits_hears_of_the_first_that_ends_and_how_far_it_is(grown: Grown) -> None:
    folder = grown(4, parallel=3)
    gated = Gated()
    gated.looks = {"v001": 1000, "v002": 1000, "v003": 2, "v004": 4}
    told: list[tuple[float, float | None, str | None]] = []

    async def on_progress(progress: float, total: float | None, message: str | None) -> None:
        told.append((progress, total, message))
        if progress == 2:
            gated.looks = {}
            gated.end(1, 2)

    async with connected(folder, executor=gated) as agent:
        waited = {"wait_seconds": 45}
        result = await agent.client.call_tool("final_report", waited, progress_callback=on_progress)
    assert result.structured_content is not None and result.structured_content["state"] == "done"
    assert scored_anew(folder) == ["v003", "v004", "v001", "v002"]
    assert (2, 4, "re-scoring 2 of 4 versions, 2 left") in told


async def test_another_server_attaches_to_what_runs_and_starts_nothing_twice(grown: Grown) -> None:
    folder = grown(4, parallel=2)
    gated = Gated()
    async with connected(folder, executor=gated) as one, connected(folder, executor=gated) as other:
        await one.call("final_report")
        assert (await other.call("final_report"))["state"] == "running"
        assert gated.begun == ["v001", "v002"]
        gated.end(1, 2)
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(one.call, "final_report")
            tasks.start_soon(other.call, "final_report")
        assert gated.begun == ["v001", "v002", "v003", "v004"]
        gated.end(3, 4)
        assert (await other.report())["state"] == "done"
        assert (await one.report())["already_done"]
    assert scored_anew(folder) == gated.begun


async def test_one_that_fails_stops_the_report_and_the_others_go_on_to_be_collected(grown: Grown) -> None:
    folder = grown(4, parallel=3)
    gated = Gated()
    gated.failing = {"v002"}
    async with connected(folder, executor=gated) as agent:
        await agent.call("final_report")
        gated.end(2, 3)
        refused = await agent.client.call_tool("final_report", {})
        text = getattr(refused.content[0], "text", "")
        assert refused.is_error and "v002 can't be scored under the present protocol" in text
        assert "call final_report again (1 more scorings go on; it collects them)" in text
        assert (gated.running(), scored_anew(folder)) == (["v001"], ["v003"]), "none was started in its place"
        gated.failing.clear()
        gated.looks = {"v001": 2, "v002": 2, "v004": 2}
        report = await agent.report()
    assert report["state"] == "done"
    assert started_anew(folder) == {"v001": 1, "v002": 2, "v003": 1, "v004": 1}


async def test_to_cancel_the_run_of_any_version_ends_all_that_is_scored_for_the_report(grown: Grown) -> None:
    folder = grown(4, parallel=3)
    gated = Gated()
    answers: list[Any] = []
    cancelled: dict[str, Any] = {}
    async with connected(folder, executor=gated) as waiting, connected(folder, executor=gated) as other:

        async def wait() -> None:
            answers.append(await waiting.client.call_tool("final_report", {"wait_seconds": 45}))

        async with anyio.create_task_group() as tasks:
            tasks.start_soon(wait)
            while len(gated.begun) < 3:
                await anyio.sleep(0.01)
            cancelled = await other.call("cancel_run", version=4)
        assert "What was scored for the report (v001, v002, v003) is ended" in cancelled["message"]
        assert not cancelled["already_done"] and not gated.running()
        text = getattr(answers[0].content[0], "text", "")
        assert answers[0].is_error and "cancelled on request" in text and "call final_report again" in text
        assert gated.begun == ["v001", "v002", "v003"], "who waits for it doesn't start it again"
        assert (await other.call("cancel_run", version=4))["already_done"]
        gated.looks = {f"v00{cur}": 2 for cur in range(1, 5)}
        assert (await other.report())["state"] == "done"
    assert not list(folder.root.glob(f"{STATE}/attempts/*/*/stage")), "nothing large is left of the ended ones"


async def test_a_report_that_is_cancelled_as_a_task_leaves_nothing_running(grown: Grown) -> None:
    folder = grown(3, parallel=2)
    gated = Gated()
    async with tasks_of(build_server(folder.project(executor=gated))) as tasks:
        task_id = await tasks.begun("final_report")
        got = await tasks.get(task_id)
        assert got["statusMessage"] == "re-scoring 2 of 3 versions, 3 left"
        await tasks.ask("cancel", task_id)
        assert (await tasks.get(task_id))["status"] == "cancelled"
    assert (gated.begun, gated.running()) == (["v001", "v002"], [])


async def test_a_task_says_that_somebody_else_cancelled_and_starts_nothing_again(grown: Grown) -> None:
    folder = grown(3, parallel=2)
    gated = Gated()
    async with tasks_of(build_server(folder.project(executor=gated))) as tasks:
        task_id = await tasks.begun("final_report")
        await tasks.get(task_id)
        await tasks.begin("cancel_run", version=3)
        got = await tasks.get(task_id)
    assert got["result"]["isError"] and "cancelled on request" in got["result"]["content"][0]["text"]
    assert gated.begun == ["v001", "v002"]


async def test_external_models_share_the_bound_with_the_versions(grown: Grown) -> None:
    folder = grown(2, parallel=3)
    for name in ("alpha", "beta", "gamma"):
        folder.write(f"Models/external/{name}/inference_sample.py", "def load(f): ...\ndef predict(m, i): ...\n")
    gated = Gated()
    async with connected(folder, executor=gated) as agent:
        told = (await agent.call("final_report"))["message"]
        assert gated.running() == ["external-alpha", "v001", "v002"]
        assert "2 of 2 versions are scored again under the present protocol; 2 left." in told
        assert "The external model alpha is scored; 3 left." in told
        gated.end(1)
        await agent.call("final_report")
        gated.end(2)
        told = (await agent.call("final_report"))["message"]
        assert told == "The external models alpha, beta, gamma are scored; 3 left."
        gated.ended |= {"external-alpha", "external-beta", "external-gamma"}
        assert (await agent.report())["state"] == "done"
    assert gated.most == 3


class Queued(Gated):
    """As on a cluster where nothing has begun yet."""

    def poll(self, attempt: Path) -> JobStatus:
        return replace(super().poll(attempt), waiting="waits for its turn: priority")


async def test_the_dashboard_says_of_each_one_that_is_scored_why_it_waits_or_for_how_long_it_runs(grown: Grown) -> None:
    folder = grown(3, parallel=2)
    for executor, told in (
        (Gated(), "is scored again for the report · 3 s"),
        (Queued(), "waits for its turn: priority"),
    ):
        project = folder.project(executor=executor)
        async with connected(folder, executor=executor) as agent:
            await agent.call("final_report")
            page = TestClient(Starlette(routes=routes(project))).get("/").text
            shown = " ".join(re.sub("<[^>]+>", " ", page.partition("Running now")[2].partition("<section")[0]).split())
            assert [shown.count(f"{name} {told}") for name in ("v001", "v002", "v003")] == [1, 1, 0], shown
            assert "3 of 3 versions are left" in shown
            await agent.call("cancel_run", version=3)


async def test_under_a_protocol_that_changed_meanwhile_what_runs_is_ended(grown: Grown) -> None:
    folder = grown(3, parallel=2)
    gated = Gated()
    async with connected(folder, executor=gated) as agent:
        await agent.call("final_report")
        folder.write("03_eval.py", EVALUATOR + "# another one\n")
        assert accept_protocol(folder.project())
        await agent.call("final_report")
        assert gated.begun == ["v001", "v002", "v001"] and gated.running() == ["v001"], "the trial, alone"
        gated.looks = {f"v00{cur}": 2 for cur in range(1, 4)}
        assert (await agent.report())["state"] == "done"
    assert scored_anew(folder) == ["v001", "v002", "v003"]


async def test_one_whose_server_ended_before_it_could_begin_is_simply_begun(grown: Grown) -> None:
    folder = grown(2, parallel=2)
    folder.path(f"{STATE}/attempts/v002/eval-002").mkdir()
    async with connected(folder, executor=Instant()) as agent:
        assert (await agent.report())["state"] == "done"
    assert started_anew(folder) == {"v001": 1, "v002": 1}


WAITS = """
import pathlib
while not (pathlib.Path(arguments.project) / f"gate-{arguments.version}").exists():
    time.sleep(0.01)
main()
"""


async def test_a_server_killed_in_the_middle_loses_nothing_and_repeats_nothing(grown: Grown) -> None:
    waits = EVALUATOR.removesuffix("\nmain()\n") + WAITS
    folder = grown(5, parallel=2, evaluator=waits)
    folder.write("gate-v001", "")
    with started(folder.root, "report") as process:
        until(lambda: started_anew(folder) == {"v001": 1, "v002": 1, "v003": 1}, "two that run side by side")
        os.kill(process.pid, signal.SIGKILL)
    assert len(job_processes(folder)) >= 2, "the jobs outlive who started them"
    for version in range(2, 6):
        folder.write(f"gate-v{version:03d}", "")
    async with connected(folder) as agent:
        assert (await agent.report())["state"] == "done"
    assert started_anew(folder) == {f"v00{cur}": 1 for cur in range(1, 6)}
    assert sorted(scored_anew(folder)) == [f"v00{cur}" for cur in range(1, 6)]
    assert not job_processes(folder)


async def test_a_real_report_side_by_side_ends_each_job_with_its_processes_when_it_is_cancelled(
    grown: Grown,
) -> None:
    waits = EVALUATOR.removesuffix("\nmain()\n") + WAITS
    folder = grown(3, parallel=2, evaluator=waits)
    folder.write("gate-v001", "")
    async with connected(folder) as agent:
        while len(started_anew(folder)) < 3:
            await agent.call("final_report", wait_seconds=1)
        assert not (await agent.call("cancel_run", version=3))["already_done"]
        assert not job_processes(folder)


async def test_those_that_start_warm_score_the_same(grown: Grown) -> None:
    folder = grown(3, parallel=2)
    warmed = Warmed()
    try:
        async with connected(folder, executor=warmed) as agent:
            report = await agent.report()
    finally:
        warmed.close()
    rows = list(csv.DictReader(io.StringIO(folder.read(f"{report['folder']}/leaderboard.csv"))))
    assert {(row["version_id"], row["metric__accuracy"]) for row in rows} == {
        ("v001", "0.75"),
        ("v002", "0.95"),
        ("v003", "0.75"),
    }
