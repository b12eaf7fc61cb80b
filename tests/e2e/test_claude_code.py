"""The real Claude Code: it installs the plugin, and a whole loop on real data runs through its tool calls.

Opt-in, as it needs `claude` (`npm install @anthropic-ai/claude-code`): `pytest -m claude_code`. No key, no traffic: its
model is the offline agent behind a scripted Messages API on loopback.
"""

import json
import re
import shutil
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.claude_code import PREFIX, ROOT, ClaudeCode, Hesitant, NoWayOut, OfflineModel, checkout
from support.e2e import cli
from support.messages_api import MessagesApi, Reply, Request, call, text
from support.projects import FOLDER_NAME

pytestmark = pytest.mark.claude_code
PLUGIN = "progressive-training@progressive-training"
LOOP = PREFIX.removesuffix("__")
SMOKE_REPORT = "Models/Artifacts/baseline/_tests/baseline_smoke_test_report.md"
HOOK = {"type": "command", "command": 'sh "$CLAUDE_PROJECT_DIR/.claude/hooks/after-build-baseline.sh"'}


@pytest.fixture
def proxy() -> Iterator[NoWayOut]:
    with NoWayOut() as made:
        yield made
        assert made.tried == [], "it wanted to reach something that is not on loopback"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """The digits, with two versions to go."""
    made = tmp_path / FOLDER_NAME
    shutil.copytree(ROOT / "examples" / "digits", made)
    rules = json.loads((made / "user_defined_rules.json").read_text(encoding="utf-8"))
    rules["loop_config"]["max_versions"] = 2
    rules["rehearse"] = False  # the scripted model does not wait
    (made / "user_defined_rules.json").write_text(json.dumps(rules), encoding="utf-8")
    return made


def installed(api: MessagesApi, proxy: NoWayOut, project: Path, tmp_path: Path) -> ClaudeCode:
    claude = ClaudeCode(tmp_path / "home", project, api.url, proxy.url)
    for arguments in (("marketplace", "add", str(checkout(tmp_path / "checkout"))), ("install", PLUGIN)):
        done = claude("plugin", *arguments)
        assert done.code == 0, done.err
    return claude


def nothing(request: Request) -> Reply:
    raise AssertionError("no model is asked")


def test_the_checkout_is_a_valid_marketplace_and_a_valid_plugin(proxy: NoWayOut, project: Path, tmp_path: Path) -> None:
    with MessagesApi(nothing) as api:
        claude = ClaudeCode(tmp_path / "home", project, api.url, proxy.url)
        for manifest in (ROOT, ROOT / ".claude-plugin" / "plugin.json"):
            done = claude("plugin", "validate", str(manifest), "--strict")
            assert done.code == 0 and "Validation passed" in done.out, done.out + done.err


def test_one_install_gives_the_skill_and_a_server_that_connects(proxy: NoWayOut, project: Path, tmp_path: Path) -> None:
    with MessagesApi(nothing) as api:
        claude = installed(api, proxy, project, tmp_path)
        assert re.search(r"plugin:progressive-training:loop: .*Connected", claude("mcp", "list").out)
        inventory = claude("plugin", "details", "progressive-training").out
        assert "Skills (1)  progressive-training" in inventory and "MCP servers (1)  loop" in inventory


@pytest.mark.requirement("C6", "C8", "S1", "R1")
def test_the_skill_starts_and_a_loop_of_two_versions_runs_to_its_report(
    proxy: NoWayOut, project: Path, tmp_path: Path
) -> None:
    model = OfflineModel(first=[call(f"{PREFIX}read_rules"), call(f"{PREFIX}start_loop", dataset_id="v1")])
    with MessagesApi(model) as api:
        claude = installed(api, proxy, project, tmp_path)
        told = claude.ask("/progressive-training dataset_id=v1", LOOP, "ReadMcpResourceTool")
    assert told.code == 0, told.err
    assert model.stopped is None
    begun = json.dumps(model.requests[0].messages, ensure_ascii=False)
    assert "Base directory for this skill" in begun and "ARGUMENTS: dataset_id=v1" in begun
    assert told.result["permission_denials"] == []
    assert re.fullmatch(r"The loop is over; the best of 2 versions is v00[12]\.", told.result["result"])
    assert [result.text for result in model.results if result.is_error] == []
    loop = json.loads((project / ".progressive-training/loop.json").read_text(encoding="utf-8"))["record"]
    assert (loop["dataset_id"], loop["dataset_source"]) == ("v1", "argument")
    leaderboard = next(project.glob("Models/Report/*/leaderboard.csv")).read_text(encoding="utf-8")
    assert sorted(line[:4] for line in leaderboard.splitlines()[1:]) == ["v001", "v002"]
    status = cli(project, "status", "--json").json
    assert status["phase"] == "done" and [one["status"] for one in status["versions"]] == ["analysed", "analysed"]


def test_a_model_that_asks_whether_to_go_on_gets_to_the_report_all_the_same(
    proxy: NoWayOut, project: Path, tmp_path: Path
) -> None:
    model = Hesitant(first=[call(f"{PREFIX}read_rules"), call(f"{PREFIX}start_loop", dataset_id="v1")])
    with MessagesApi(model) as api:
        claude = installed(api, proxy, project, tmp_path)
        told = claude.ask("/progressive-training dataset_id=v1", LOOP, "ReadMcpResourceTool")
    assert told.code == 0, told.err
    assert model.stopped is None and model.asked > 8, (
        "more often in a row than Claude Code lets a hook hold up one turn"
    )
    assert re.fullmatch(r"The loop is over; the best of 2 versions is v00[12]\.", told.result["result"])
    assert cli(project, "status", "--json").json["phase"] == "done"


def test_a_turn_that_has_nothing_to_do_with_the_loop_ends_though_a_call_is_legal(
    proxy: NoWayOut, project: Path, tmp_path: Path
) -> None:
    assert cli(project, "start", "--dataset-id", "v1").code == 0
    with MessagesApi([text("A loop is started here.")]) as api:
        told = installed(api, proxy, project, tmp_path).ask("What is this folder?", LOOP)
    assert told.code == 0 and told.result["result"] == "A loop is started here."


@pytest.mark.requirement("C6", "C8")
def test_the_query_form_reaches_the_model_which_starts_the_skill_with_it(
    proxy: NoWayOut, project: Path, tmp_path: Path
) -> None:
    asked = "/progressive-training?dataset_id=v1"
    skill = call("Skill", skill="progressive-training:progressive-training", args="dataset_id=v1")
    with MessagesApi([skill, text("Done.")]) as api:
        told = installed(api, proxy, project, tmp_path).ask(asked, "Skill")
        first, second = (json.dumps(request.messages, ensure_ascii=False) for request in api.requests)
    assert told.code == 0 and asked in first and "Base directory for this skill" not in first
    assert "Base directory for this skill" in second and "ARGUMENTS: dataset_id=v1" in second


@pytest.mark.requirement("C8")
def test_the_hook_of_the_docs_hands_over_when_build_baseline_ends_and_claude_goes_on(
    proxy: NoWayOut, project: Path, tmp_path: Path
) -> None:
    report = project / SMOKE_REPORT
    passed = report.read_text(encoding="utf-8")
    report.unlink()
    contract = (ROOT / "docs" / "contract.md").read_text(encoding="utf-8")
    hook = re.search(r"^```sh\n(.*?)^```", contract, re.MULTILINE | re.DOTALL)
    assert hook and json.dumps(HOOK) in contract
    (project / ".claude" / "hooks").mkdir(parents=True)
    (project / ".claude" / "hooks" / "after-build-baseline.sh").write_text(hook[1], encoding="utf-8")
    settings = {"hooks": {"Stop": [{"hooks": [HOOK]}]}}
    (project / ".claude" / "settings.json").write_text(json.dumps(settings), encoding="utf-8")

    first = [
        call("Write", file_path=str(report), content=passed),
        text("The baseline is built and tested."),
        call(f"{PREFIX}next_step"),
        text("v001 is next to be trained."),
    ]
    model = OfflineModel(first=first)
    with MessagesApi(model) as api:
        told = installed(api, proxy, project, tmp_path).ask("Build the baseline.", LOOP, "Write")
    assert told.code == 0, told.err
    after_stop = json.dumps(model.requests[-2].messages)
    assert "The loop is started on data set v1 (from: build-baseline)" in after_stop and "call next_step" in after_stop
    assert model.results[-1].json()["next"]["tool"] == "run_train"
    assert told.result["result"] == "v001 is next to be trained.", "the hook lets it stop the second time"


def test_what_setup_writes_is_a_server_that_connects(proxy: NoWayOut, project: Path, tmp_path: Path) -> None:
    assert cli(project, "setup", "claude-code").code == 0
    with MessagesApi(nothing) as api:
        claude = ClaudeCode(tmp_path / "home", project, api.url, proxy.url)
        assert "Pending approval" in claude("mcp", "list").out
        approved = {"hasTrustDialogAccepted": True, "enabledMcpjsonServers": ["loop"]}
        known = json.loads((claude.home / ".claude.json").read_text(encoding="utf-8"))
        known.setdefault("projects", {})[str(project)] = approved
        (claude.home / ".claude.json").write_text(json.dumps(known), encoding="utf-8")
        assert re.search(rf"loop: {re.escape(str(Path(sys.executable).parent))}.*Connected", claude("mcp", "list").out)
