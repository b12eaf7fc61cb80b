"""The agent that asks a model, over each wire, against a scripted API; the trainings are instant stubs."""

import json
import stat
from typing import Any

import pytest

from support.messages_api import Dropped, HttpError, Reply, Request, Text, ToolUse, call, text
from support.model_runs import KEY, MODELS, VERSION_STEPS, WireName, lines, options_of, phase, prefix, run
from support.projects import ANALYSIS, EVALUATOR, Folder
from support.scripted_model import Follower, Turn

REFUSAL = {"type": "refusal", "category": "frontier_llm", "explanation": "it looks like a rival's model"}


@pytest.fixture
def project(folder: Folder) -> Folder:
    """Nothing started yet; the evaluator is there, since none of our templates serves this task."""
    folder.write("03_eval.py", EVALUATOR)
    return folder


@pytest.fixture(params=list(MODELS))
def wire(request: pytest.FixtureRequest) -> WireName:
    return request.param


@pytest.mark.anyio
async def test_a_model_that_follows_next_takes_the_loop_from_its_start_to_its_analysed_report(
    project: Folder, wire: WireName
) -> None:
    done = await run(project, Follower(project), wire=wire)
    whole = [*VERSION_STEPS, "author_next_version", *VERSION_STEPS, "final_report", "final_report"]
    assert done.steps == ["start_loop", *whole]
    assert await phase(project) == ("done", 2)
    (report,) = project.path("Models/Report").iterdir()
    assert "The higher rates came closer." in (report / "final-analysis.md").read_text(encoding="utf-8")
    texts = {event.step: event.text for event in done.events if event.version == 1}
    assert texts["write_analysis"] == ANALYSIS["summary"]
    assert texts["write_action"] == "LEARNING_RATE from 0.2 to 0.21"
    assert "v001 is scored on 20 samples" in texts["run_eval"]
    assert done.spent is not None and done.spent.requests == len(done.api.requests) == 12


@pytest.mark.anyio
async def test_a_finished_loop_asks_the_model_nothing(project: Folder) -> None:
    await run(project, Follower(project))
    again = await run(project, [])
    assert (again.stopped, again.api.requests, again.events) == (None, [], [])


@pytest.mark.anyio
async def test_the_loop_ends_after_the_version_that_was_asked_for(project: Folder) -> None:
    done = await run(project, Follower(project), last_version=1)
    assert await phase(project) == ("done", 1)
    assert done.steps[-2:] == ["final_report", "final_report"]
    (report,) = project.path("Models/Report").iterdir()
    assert "It was asked to stop after v001." in (report / "final-analysis.md").read_text(encoding="utf-8")


@pytest.mark.anyio
async def test_the_model_reads_documents_of_other_versions_as_resources(project: Folder, wire: WireName) -> None:
    read: list[Any] = []

    def ask(request: Request) -> Reply:
        return Reply(
            (
                ToolUse("read_resource", {"uri": "loop://versions/1/script"}),
                ToolUse("read_resource", {"uri": "loop://versions/9/script"}),
                ToolUse("read_resource", {"path": "x"}),
            )
        )

    def look(request: Request) -> Reply:
        read.extend(request.results)
        return Follower(project).follow(request)

    await run(project, Follower(project, {2: ask, 3: look}), last_version=1, wire=wire)
    assert [result.is_error for result in read] == [False, True, True]
    assert read[0].text == project.read("02_train_v001.py")
    assert "02_train_v009.py does not exist" in read[1].text


@pytest.mark.anyio
async def test_a_refusal_stops_the_run_with_the_models_reason_and_a_second_run_goes_on(
    project: Folder, wire: WireName
) -> None:
    stopped = await run(project, Follower(project, {4: Reply((), "refusal", REFUSAL)}), wire=wire)
    assert "v001: the model refused to go on (" in stopped.why and "it looks like a rival's model)" in stopped.why
    assert "--model" in stopped.why
    assert await phase(project) == ("analysis", 1)
    assert (await run(project, Follower(project), wire=wire)).steps[0] == "write_analysis"
    assert await phase(project) == ("done", 2)


@pytest.mark.parametrize(
    ("turn", "told"),
    [
        (Reply((ToolUse("write_analysis", '{"version": 1, "summ'),)), "arguments of write_analysis were not one JSON"),
        (
            Reply((ToolUse("run_training", {"version": 1}),)),
            "there is no tool 'run_training'. The tools are read_rules",
        ),
        (Reply((Text("Let me think"), ToolUse("run_train", {})), "max_tokens"), "Your last reply was cut off at "),
        (text("Half a pair: \ud800"), "half of a surrogate pair"),
        (text("I would train now."), "called no tool, so nothing happened"),
        (Reply(()), "called no tool, so nothing happened"),
    ],
    ids=["malformed arguments", "an unknown tool", "cut off", "no Unicode", "only text", "nothing"],
)
@pytest.mark.filterwarnings("ignore:Pydantic serializer warnings")  # of the SDK, for the malformed arguments
@pytest.mark.whole(but=2)
@pytest.mark.anyio
async def test_a_reply_that_calls_nothing_usable_is_answered_and_the_loop_goes_on(
    project: Folder, wire: WireName, turn: Turn, told: str
) -> None:
    done = await run(project, Follower(project, {3: turn}), last_version=1, wire=wire)
    assert done.stopped is None and await phase(project) == ("done", 1)
    assert told in done.api.requests[3].said
    if wire == "anthropic":  # strict templates behind the other wire want turns to alternate
        before, after = (prefix(request) for request in done.api.requests[2:4])
        assert after.startswith(before), "thinking is bound to what came before"


@pytest.mark.anyio
async def test_a_model_that_keeps_talking_is_stopped_after_three_replies(project: Folder, wire: WireName) -> None:
    done = await run(project, [text("Hm."), text("Well."), text("So.")], wire=wire)
    assert "the model made no usable call in 3 replies" in done.why and len(done.api.requests) == 3
    assert "Make the next call now (start_loop" in done.api.requests[2].said
    assert await phase(project) == ("start", None)


@pytest.mark.anyio
async def test_a_finished_loop_whose_model_writes_no_analysis_is_finished_all_the_same(project: Folder) -> None:
    words: dict[int, Turn] = dict.fromkeys((6, 7, 8), text("It went well."))
    done = await run(project, Follower(project, words), last_version=1)
    assert done.stopped is None and len(done.api.requests) == 8
    assert await phase(project) == ("done", 1)


@pytest.mark.anyio
async def test_a_refused_call_goes_back_as_an_error_and_may_be_sent_again_changed(
    project: Folder, wire: WireName
) -> None:
    wrong = call("write_analysis", version=1, summary="Only this")
    done = await run(project, Follower(project, {4: wrong}), last_version=1, wire=wire)
    assert done.stopped is None
    (result,) = done.api.requests[4].results
    assert result.is_error and "write_analysis got wrong arguments: evidence" in result.text
    assert done.steps.count("write_analysis") == 2
    assert next(event.text for event in done.events if event.step == "write_analysis").startswith("refused: write_ana")


@pytest.mark.anyio
async def test_the_same_refused_call_twice_stops_the_run(project: Folder) -> None:
    wrong: dict[int, Turn] = dict.fromkeys((2, 3), call("run_eval", version=1))
    done = await run(project, Follower(project, wrong))
    assert "run_eval v001: the model made the same failing call 2 times: run_eval(1) is not possible now" in done.why
    assert len(done.api.requests) == 3


@pytest.mark.anyio
async def test_an_evaluation_that_fails_the_same_way_twice_stops_the_run(project: Folder) -> None:
    project.write("03_eval.py", "raise SystemExit(3)\n")
    done = await run(project, Follower(project), executor=project.project().executor)
    assert "run_eval v001: the model made the same failing call 2 times" in done.why
    assert done.steps == ["start_loop", "run_train", "run_eval", "run_eval"]


@pytest.mark.anyio
async def test_a_model_that_only_reads_is_stopped(project: Folder) -> None:
    done = await run(project, lambda _: call("read_resource", uri="loop://status"))
    assert "the model doesn't get on: 25 replies, and the phase is still start" in done.why
    assert len(done.api.requests) == 26


@pytest.mark.anyio
async def test_calls_of_one_reply_are_made_in_order_across_a_versions_end(project: Folder) -> None:
    follow = Follower(project)

    def both(request: Request) -> Reply:
        return Reply((*follow.follow(request).content, ToolUse("run_train", {"version": 2})))

    follow.instead = {6: both}
    done = await run(project, follow)
    assert done.steps[5:7] == ["author_next_version", "run_train"] and await phase(project) == ("done", 2)


@pytest.mark.anyio
async def test_limits_overload_and_dropped_connections_are_tried_again(project: Folder, wire: WireName) -> None:
    faults: dict[int, Turn] = {
        2: HttpError(429, retry_after=0.01),
        4: HttpError(529, retry_after=0.01),
        5: HttpError(500, retry_after=0.01),
        7: Dropped(),
    }
    done = await run(project, Follower(project, faults), last_version=1, wire=wire)
    assert done.stopped is None and await phase(project) == ("done", 1)
    assert done.spent is not None and done.spent.requests == len(done.api.requests) - 4


@pytest.mark.anyio
async def test_a_budget_that_runs_out_stops_at_a_step_boundary_and_a_second_run_goes_on(
    project: Folder, wire: WireName
) -> None:
    first = await run(project, Follower(project), options_of(wire, max_tokens_total=12_000), wire=wire)
    spent = [event.text for event in first.events if event.step == "spent so far"]
    assert "the budget is used up: 1" in first.why and "of 12,000 tokens are used" in first.why
    assert "start the same command again" in first.why and spent
    at = await phase(project)
    second = await run(project, Follower(project), wire=wire)
    assert second.stopped is None and await phase(project) == ("done", 2)
    whole = [*VERSION_STEPS, "author_next_version", *VERSION_STEPS, "final_report", "final_report"]
    assert [*first.steps, *second.steps] == ["start_loop", *whole], f"nothing is done twice; it stopped at {at}"
    assert "start_loop" in first.steps and second.steps[0] != "start_loop"


@pytest.mark.anyio
async def test_the_transcript_holds_what_was_said_and_only_its_owner_can_read_it(
    project: Folder, wire: WireName
) -> None:
    done = await run(project, Follower(project, {3: text("Hm, \ud800.")}), last_version=1, wire=wire)
    kept = lines(project, done)
    assert stat.S_IMODE(project.path(done.transcript).stat().st_mode) == 0o600
    assert done.transcript.startswith(f".progressive-training/transcripts/{wire}-")
    start, end = kept[0], kept[-1]
    assert start["model"] == MODELS[wire] and "The server's instructions" in start["system"][0]
    assert (end["event"], end["reason"], end["spent"]["requests"]) == ("end", "finished", 7)
    replies = [line["message"] for line in kept if line["event"] == "reply"]
    assert [reply["id"] for reply in replies] == [reply["id"] for reply in done.api.replies]
    sent = [line["message"] for line in kept if line["event"] in ("results", "told")]
    told = [message for request in done.api.requests for message in json.loads(request.raw)["messages"]]
    assert all(message in told for message in sent[1:5]), "as it went over the wire"
    assert [line["event"] for line in kept].count("conversation") == len(done.conversations())


@pytest.mark.anyio
async def test_no_key_is_written_anywhere_even_when_it_stands_in_the_users_own_text(
    project: Folder, wire: WireName
) -> None:
    project.write("user_instruction.md", f"Never print {KEY}")
    done = await run(project, Follower(project), last_version=1, wire=wire)
    assert KEY in done.api.requests[0].system, "the user's words are sent as they are"
    named = {name for name, data in project.contents().items() if KEY.encode() in data}
    assert named == {"user_instruction.md"}
    assert "Never print [secret]" in project.read(done.transcript)
