"""The agent that asks a Claude model, against a scripted Messages API: what is its wire's alone."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, get_args

import anyio
import pytest
from anthropic import AsyncAnthropic, CredentialsError
from anthropic.lib.credentials import AccessToken
from anthropic.types import ModelParam

from progressive_training.agents.anthropic import MessagesApi as Wire
from progressive_training.agents.anthropic import Options, agent
from progressive_training.agents.anthropic.prices import DEFAULT_MODEL, PRICES
from progressive_training.agents.base import AgentStopped
from progressive_training.agents.model import Price, Spent, Transcript, drive
from progressive_training.agents.model.budget import Effort
from progressive_training.loop.errors import LoopError
from progressive_training.tools import cancel_run
from support.e2e import (
    GATED_TRAINER,
    PATIENCE_SECONDS,
    PROGRAM,
    cli,
    ended,
    environment,
    in_mid_training,
    job_processes,
    until,
)
from support.instant import Instant
from support.messages_api import (
    Dropped,
    HttpError,
    MessagesApi,
    Reply,
    Request,
    Thinking,
    ToolUse,
    Usage,
    call,
)
from support.model_runs import KEY, phase, prefix, run
from support.projects import EVALUATOR, FOLDER_NAME, Folder, connected, make_project
from support.scripted_model import Follower, Turn


@pytest.fixture
def project(folder: Folder) -> Folder:
    """Nothing started yet; the evaluator is there, since none of our templates serves this task."""
    folder.write("03_eval.py", EVALUATOR)
    return folder


# A whole loop


@pytest.mark.anyio
async def test_model_and_effort_are_the_users_and_thinking_goes_back_as_it_came(project: Folder) -> None:
    thought = Reply((Thinking("v001 first"), ToolUse("next_step")))
    options = Options(model="claude-sonnet-5-5", effort="low", max_usd=5)
    done = await run(project, Follower(project, {1: thought}), options, last_version=1)
    for request in done.api.requests:
        assert (request.model, request.body["output_config"]) == ("claude-sonnet-5-5", {"effort": "low"})
        assert not {"thinking", "tool_choice", "temperature", "thread"} & set(request.body), "newer models refuse these"
    back = done.api.requests[1].messages[1]["content"][0]
    assert back == {"type": "thinking", "thinking": "v001 first", "signature": "c2lnbmVk"}
    assert "output_config" not in (await run(make_anew(project), Follower(project))).api.requests[0].body


def make_anew(folder: Folder) -> Folder:
    made = make_project(folder.root.with_name("another"))
    made.write("03_eval.py", EVALUATOR)
    folder.root.rename(folder.root.with_name("before"))
    made.root.rename(folder.root)
    return folder


# What the model is sent


@pytest.mark.anyio
async def test_the_system_prompt_holds_the_servers_instructions_and_the_users_words(project: Folder) -> None:
    project.write("user_instruction.md", "정확도가 먼저다. 모델을 키우지 마라.")
    done = await run(project, Follower(project), last_version=1)
    system = done.api.requests[0].system
    assert "user_defined_rules.json and user_instruction.md outrank everyone" in system
    assert "모델을 키우지 마라" in system and '"epochs":3' in system.replace(" ", "")
    assert '"next"' not in system and "not been started" not in system, "where the loop stood then is soon wrong"
    assert "cancel_run" not in done.api.requests[0].tools, "ending a job is not the model's business"
    assert all("wait_seconds" not in tool["input_schema"]["properties"] for tool in done.api.requests[0].body["tools"])


@pytest.mark.anyio
async def test_each_request_of_a_version_repeats_the_one_before_it_byte_for_byte_and_reads_it_from_the_cache(
    project: Folder,
) -> None:
    done = await run(project, Follower(project))
    requests = done.api.requests
    first = requests[0].body
    assert first["cache_control"] == {"type": "ephemeral"}, "the mark that moves on with the last message"
    marked = [block for block in (*first["tools"], *first["system"]) if "cache_control" in block]
    assert marked == [first["tools"][-1], first["system"][-1]]
    for request in requests:
        assert (request.body["tools"], request.body["system"]) == (first["tools"], first["system"])
    for conversation in done.conversations():
        for before, after in pairwise(conversation):
            assert prefix(after).startswith(prefix(before))
    usages = [reply["usage"] for reply in done.api.replies]
    assert all(usage["cache_read_input_tokens"] > 0 for usage in usages[1:])
    assert all(usage["input_tokens"] == 0 for usage in usages), "what isn't cached yet is written to the cache"


@pytest.mark.anyio
async def test_each_version_is_a_conversation_of_its_own_that_the_number_of_versions_does_not_lengthen(
    project: Folder,
) -> None:
    project.set_rules(loop_config={"max_versions": 6})
    done = await run(project, Follower(project))
    start, *versions, report = done.conversations()
    assert len(versions) == 6 and len(start) == len(report) == 1
    longest = [max(len(request.raw) for request in conversation) for conversation in versions]
    # From v003 on there is a best version beside the parent; then each version adds its line of what was tried.
    assert all(after - before < 200 for before, after in pairwise(longest[2:])), longest
    assert max(longest) < 1.1 * longest[0], longest
    actions = [request for request in versions[4] if "Choose exactly one action for v005" in str(request.messages[-1])]
    assert "- v002: LEARNING_RATE from" in str(actions[0].messages[-1]), "what was tried is in the brief"


# What a model does wrong


# What the API does wrong


@pytest.mark.parametrize(
    ("status", "what", "hint"),
    [
        (401, "the API refuses the key (", "check ANTHROPIC_API_KEY"),
        (404, "the API does not know the model claude-opus-5-5", "--model"),
        (400, "the API refuses the request (", "see what it says"),
        (429, "rate limit is reached", "the loop goes on where it stands"),
        (529, "overloaded or broken", "the loop goes on where it stands"),
    ],
)
@pytest.mark.anyio
async def test_an_error_that_stays_is_explained_and_leaves_a_loop_that_goes_on(
    project: Folder, status: int, what: str, hint: str
) -> None:
    done = await run(project, Follower(project, {3: HttpError(status, "the API's words")}), retries=0)
    assert what in done.why and hint in done.why and "the API's words" in done.why and KEY not in done.why
    assert await phase(project) == ("evaluate", 1)


@pytest.mark.anyio
async def test_an_api_that_is_not_there_is_explained(project: Folder) -> None:
    done = await run(project, [Dropped()], retries=0)
    assert "Anthropic API: the API can't be reached" in done.why


# Budgets


@pytest.mark.anyio
async def test_a_budget_in_dollars_counts_the_cache_at_its_own_price(project: Folder) -> None:
    usage = Usage(
        input_tokens=1000, output_tokens=2000, cache_creation_input_tokens=4000, cache_read_input_tokens=50_000
    )
    used = Reply((ToolUse("start_loop"),), usage=usage)
    done = await run(project, [used], Options(max_usd=0.07))
    # 1000 * 4 + 2000 * 20 + 4000 * 5 + 50000 * 0.2 = 74,000 millionths
    assert "the budget is used up: $0.0740 of $0.07 is spent" in done.why
    assert done.steps == ["start_loop"], "what was paid for is carried out"
    assert await phase(project) == ("train", 1)


@pytest.mark.anyio
async def test_a_training_that_the_last_of_the_budget_started_runs_on_without_the_agent(tmp_path: Path) -> None:
    project = make_project(tmp_path / FOLDER_NAME, trainer=GATED_TRAINER)
    project.write("03_eval.py", EVALUATOR)
    used: dict[int, Turn] = {2: Reply((ToolUse("run_train", {"version": 1}),), usage=Usage(output_tokens=1_000_000))}
    try:
        executor = project.project().executor
        with anyio.fail_after(PATIENCE_SECONDS):
            done = await run(project, Follower(project, used), Options(max_tokens_total=500_000), executor=executor)
        assert "A running job goes on." in done.why and "v001 training" in done.why
        assert job_processes(project)
        project.write("gate", "")
        again = await run(project, Follower(project), executor=executor, last_version=1)
        assert again.stopped is None and again.steps[0] == "run_train"
        assert sorted(path.name for path in project.path(".progressive-training/attempts/v001").iterdir()) == [
            "eval-001",
            "train-001",
        ]
    finally:
        project.write("gate", "")
        project.end_jobs()


def test_a_price_that_is_not_known_leaves_the_budget_in_tokens() -> None:
    with pytest.raises(LoopError, match="the price of claude-next is not known") as error:
        Options(model="claude-next", max_usd=1)
    assert "--price INPUT/OUTPUT" in str(error.value) and "--max-tokens-total" in str(error.value)
    unknown = Spent().plus(Usage(1000, 100), Options(model="claude-next", max_tokens_total=10))
    assert (
        unknown.usd is None
        and str(unknown) == "1 requests, 1,100 tokens (0 % of the input from the cache), price unknown"
    )
    named = Options(model="claude-next", max_usd=1, price=(1.0, 10.0))
    assert named.price_of(0) == Price(1.0, 10.0, 1.25, 0.1)
    assert Spent().plus(Usage(1_000_000, 100_000), named).usd == pytest.approx(2.0)


def test_every_priced_model_is_one_that_the_sdk_knows_and_the_default_is_priced() -> None:
    known = {name for union in get_args(ModelParam) for name in get_args(union)}
    assert set(PRICES) <= known and DEFAULT_MODEL in PRICES
    for price in PRICES.values():
        assert price.cache_read < price.input < price.cache_write < price.output


def test_a_long_prompt_costs_what_the_list_says_for_long_ones() -> None:
    haiku = Options(model="claude-haiku-5-5")
    assert Spent().plus(Usage(100_000), haiku).usd == pytest.approx(0.01)
    assert Spent().plus(Usage(50_000, cache_read_input_tokens=50_001), haiku).usd == pytest.approx(0.0275, rel=1e-3)


# What only the user may decide


@pytest.mark.requirement("C2")
@pytest.mark.anyio
async def test_rules_that_change_in_mid_loop_stop_the_run_and_are_not_accepted(project: Folder) -> None:
    def change(request: Request) -> Reply:
        project.set_rules(training_config={"epochs": 3, "batch_size": 32})
        return call("run_eval", version=1)

    done = await run(project, Follower(project, {3: change}))
    assert "user_defined_rules.json changed since this loop started" in done.why
    assert "progressive-training rules accept" in done.why and len(done.api.requests) == 3
    again = await run(project, Follower(project))
    assert "progressive-training rules accept" in again.why, "a second run asks the user again"


@pytest.mark.anyio
async def test_a_training_that_the_user_cancels_stops_the_run(tmp_path: Path) -> None:
    project = make_project(tmp_path / FOLDER_NAME, trainer=GATED_TRAINER)

    def train(request: Request) -> Reply:
        threading.Thread(target=cancel, daemon=True).start()
        return call("run_train", version=1)

    def cancel() -> None:
        until(in_mid_training(project), "the training at its gate")
        cancel_run(project.project(), 1)

    try:
        done = await run(project, Follower(project, {2: train}), executor=project.project().executor)
        assert "run_train v001: was cancelled" in done.why
    finally:
        project.write("gate", "")
        project.end_jobs()


# The transcript


# From the command line


def served(api: MessagesApi) -> Mapping[str, str]:
    return {"ANTHROPIC_BASE_URL": api.url, "ANTHROPIC_API_KEY": KEY}


@pytest.fixture
def no_credentials(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("ANTHROPIC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))


@pytest.mark.usefixtures("no_credentials")
@pytest.mark.parametrize("setting", [{}, {"ANTHROPIC_API_KEY": ""}, {"ANTHROPIC_PROFILE": "nobody"}], ids=str)
def test_without_a_key_the_command_says_what_to_do_and_touches_nothing(
    project: Folder, setting: Mapping[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in setting.items():
        monkeypatch.setenv(name, value)
    before = project.contents()
    done = cli(project.root, "run", "--agent", "anthropic")
    assert (done.code, done.out) == (1, "")
    assert "Anthropic API" in done.err and "Next: export ANTHROPIC_API_KEY=" in done.err
    assert "Traceback" not in done.err and project.contents() == before


@pytest.mark.anyio
async def test_credentials_that_are_missing_when_they_are_needed_stop_the_run_with_what_to_do(project: Folder) -> None:
    def provide(*, force_refresh: bool = False) -> AccessToken:
        raise CredentialsError("Credentials file not found")

    transcript = Transcript(project.project().workspace.tree, "anthropic")
    async with (
        connected(project, executor=Instant()) as connection,
        AsyncAnthropic(credentials=provide, base_url="http://127.0.0.1:1", max_retries=0) as client,
    ):
        with pytest.raises(AgentStopped, match="can't be read: Credentials file not found") as stopped:
            await drive(connection.client, Wire(client, Options()), Options(), transcript)
    assert "export ANTHROPIC_API_KEY=" in str(stopped.value)


@pytest.mark.usefixtures("no_credentials")
def test_an_agent_is_made_from_the_environments_key(project: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_API_KEY", KEY)
    assert callable(agent(project.project(), Options()))


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (["--model", "claude-opus-5-5", "--max-usd", "1"], 1, "--model, --max-usd: the offline agent has no model"),
        (["--agent", "anthropic", "--price", "4"], 2, "'4' is not INPUT/OUTPUT, as in 4/20"),
        (["--agent", "anthropic", "--max-usd", "nan"], 2, "'nan' is not an amount above 0"),
        (["--agent", "anthropic", "--effort", "huge"], 2, "invalid choice"),
        (
            ["--agent", "anthropic", "--model", "claude-next", "--max-usd", "1"],
            1,
            "the price of claude-next is not kno",
        ),
    ],
)
def test_options_that_make_no_sense_are_refused(project: Folder, arguments: list[str], code: int, told: str) -> None:
    done = cli(project.root, "run", *arguments)
    assert done.code == code and told in done.err and "Traceback" not in done.err


def test_the_command_line_names_the_default_model_and_every_effort() -> None:
    shown = cli(Path(), "run", "--help").out
    assert f"(default: {DEFAULT_MODEL})" in " ".join(shown.split())
    assert "{" + ",".join(get_args(Effort)) + "}" in shown


def test_ctrl_c_leaves_the_training_running_and_the_same_command_goes_on_to_the_report(tmp_path: Path) -> None:
    project = make_project(tmp_path / FOLDER_NAME, trainer=GATED_TRAINER)
    project.write("03_eval.py", EVALUATOR)
    command = [*PROGRAM, "run", "--agent", "anthropic", "--versions", "1", "--max-usd", "2"]
    streams: dict[str, Any] = {"stdin": subprocess.DEVNULL, "stdout": subprocess.PIPE, "stderr": subprocess.PIPE}
    try:
        with MessagesApi(Follower(project)) as api:
            settings = {"cwd": project.root, "env": environment(**served(api)), "encoding": "utf-8"}
            with subprocess.Popen(command, **settings, **streams, start_new_session=True) as waiting:
                until(in_mid_training(project), "the training at its gate")
                training = job_processes(project)
                os.killpg(waiting.pid, signal.SIGINT)
                run = ended(waiting)
            assert (run.code, run.out) == (130, "")
            assert "A running job goes on" in run.err and "the same command attaches to it again" in run.err
            assert "start_loop" in run.err and "spent so far" in run.err and "Traceback" not in run.err
            assert job_processes(project) == training != []
            (first,) = project.path(".progressive-training/transcripts").iterdir()
            assert '"reason": "interrupted"' in first.read_text(encoding="utf-8").splitlines()[-1]
            project.write("gate", "")
            done = subprocess.run(command, **settings, capture_output=True, timeout=60)
        assert done.returncode == 0, done.stderr
        assert "Best: v001" in done.stdout and "Traceback" not in done.stderr
        assert KEY not in run.err + done.stdout + done.stderr
        assert len(list(project.path(".progressive-training/attempts/v001").glob("train-*"))) == 1
    finally:
        project.write("gate", "")
        project.end_jobs()


def test_no_server_and_no_command_imports_the_sdk_before_it_is_asked_for() -> None:
    modules = ("app", "serving", *(f"cli.{name}" for name in ("main", "options", "run", "serve", "steps")))
    program = "".join(f"import progressive_training.server.{name}\n" for name in modules)
    program += "import sys; print([name for name in sys.modules if name.split('.')[0] == 'anthropic'])"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


# The real one


@pytest.mark.anthropic_key
@pytest.mark.anyio
async def test_a_real_model_makes_a_second_version(project: Folder) -> None:
    transcript = Transcript(project.project().workspace.tree, "anthropic")
    options = Options(model="claude-haiku-5-5", max_usd=0.25)
    async with connected(project, executor=Instant()) as connection, AsyncAnthropic() as client:
        await drive(connection.client, Wire(client, options), options, transcript)
    assert await phase(project) == ("done", 2)
