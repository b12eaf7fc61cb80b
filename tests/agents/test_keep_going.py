"""What an agent's hooks are answered: a turn at the loop goes on, any other ends."""

import json
import subprocess
from pathlib import Path
from typing import Any

import pytest

from progressive_training.agents.keep_going import MOST_IDLE_TURNS, Answer, Hook, answered
from progressive_training.tools import final_report, write_analysis
from support.e2e import PROGRAM, cli, environment
from support.projects import ANALYSIS, At, Folder

ROOT = Path(__file__).resolve().parents[2]
TOOL = "mcp__plugin_progressive-training_loop__"


def told(folder: Folder, event: str, session: str = "one", **more: str) -> Answer:
    hook = Hook(hook_event_name=event, session_id=session, **more)
    return answered(folder.project(), hook, wait_seconds=0)


def called(folder: Folder, tool: str = "run_train", session: str = "one") -> None:
    assert told(folder, "PostToolUse", session, tool_name=f"{TOOL}{tool}") == {}


@pytest.fixture
def project(at: At) -> Folder:
    """v001 is scored, and waits for its analysis."""
    return at("scored")


def test_a_turn_that_worked_on_the_loop_goes_on_with_the_legal_call(project: Folder) -> None:
    called(project)
    said = told(project, "Stop")
    assert said["decision"] == "block"
    assert "call write_analysis(version=1)" in said["reason"] and "Don't ask whether to go on" in said["reason"]


def test_other_conversations_and_turns_that_only_looked_end(project: Folder) -> None:
    called(project)
    assert told(project, "Stop", "another") == {}
    for tool in ("read_rules", "next_step"):
        called(project, tool, "looking")
    assert told(project, "Stop", "looking") == {}
    told(project, "UserPromptSubmit", prompt="What did v001 reach?")
    assert told(project, "Stop") == {}, "the user asked for something else"


def test_a_job_that_was_ended_for_the_user_ends_the_turn(project: Folder) -> None:
    called(project)
    called(project, "cancel_run")
    assert told(project, "Stop") == {}


def test_turns_that_change_nothing_end_after_a_few_and_a_step_begins_the_count_anew(project: Folder) -> None:
    called(project)
    for _ in range(MOST_IDLE_TURNS):
        assert told(project, "Stop")["decision"] == "block"
    write_analysis(project.project(), 1, **ANALYSIS)
    for _ in range(MOST_IDLE_TURNS):
        assert "call write_action(version=1)" in told(project, "Stop")["reason"]
    ended = told(project, "Stop")
    assert "decision" not in ended and "3 turns changed nothing" in ended["systemMessage"]
    assert told(project, "Stop") == {}


def test_what_only_the_user_may_decide_ends_the_turn(project: Folder) -> None:
    called(project)
    script = project.read("03_eval.py")
    project.write("03_eval.py", f"{script}\n# changed\n")
    assert told(project, "Stop") == {}
    project.write("03_eval.py", script)
    called(project)
    project.set_rules(training_config={"epochs": 3, "batch_size": 32})
    assert told(project, "Stop") == {}


def test_one_rule_turns_it_off_and_a_loop_that_cant_be_read_ends_the_turn(project: Folder) -> None:
    called(project)
    project.set_rules(keep_going=False)
    assert told(project, "Stop") == {}
    called(project)
    project.write("user_defined_rules.json", "{")
    assert "can't be read" in told(project, "Stop")["systemMessage"]


def test_a_report_without_its_analysis_is_not_the_end_and_with_it_it_is(project: Folder) -> None:
    write_analysis(project.project(), 1, **ANALYSIS)
    final_report(project.project(), stop_reason="Enough.")
    called(project, "final_report")
    assert "call final_report(analysis=" in told(project, "Stop")["reason"]
    final_report(project.project(), analysis="It went well.")
    assert told(project, "Stop") == {}


def test_gemini_hands_on_what_was_said_as_if_the_user_had(project: Folder) -> None:
    told(project, "AfterTool", tool_name="mcp_loop_run_train")
    said = told(project, "AfterAgent")
    told(project, "BeforeAgent", prompt=said["reason"])
    assert told(project, "AfterAgent")["decision"] == "block"
    told(project, "BeforeAgent", prompt="Something else.")
    assert told(project, "AfterAgent") == {}


def hook(folder: Folder, said: str, *command: str) -> "subprocess.CompletedProcess[str]":
    project = {"CLAUDE_PROJECT_DIR": str(folder.root), "CLAUDE_PLUGIN_ROOT": str(ROOT)}
    settings: dict[str, Any] = {"env": environment(**project), "capture_output": True, "encoding": "utf-8"}
    return subprocess.run([*(command or (*PROGRAM, "keep-going"))], input=said, **settings, timeout=60)


def test_the_hooks_of_the_plugin_call_the_command_and_it_answers_in_json(project: Folder) -> None:
    called(project)
    hooks = json.loads((ROOT / ".claude-plugin" / "hooks.json").read_text(encoding="utf-8"))["hooks"]
    assert set(hooks) == {"UserPromptSubmit", "PostToolUse", "Stop"}
    stop = json.dumps({"hook_event_name": "Stop", "session_id": "one", "stop_hook_active": False, "cwd": "/"})
    for one in hooks["Stop"][0]["hooks"]:
        done = hook(project, stop, "sh", "-c", one["command"])
        assert json.loads(done.stdout)["decision"] == "block", done.stderr
    refused = hook(project, "[]")
    assert refused.returncode == 1 and "docs/clients.md" in refused.stderr


def test_without_a_loop_the_plugins_hook_starts_no_program(folder: Folder) -> None:
    script = str(ROOT / ".claude-plugin" / "keep-going.sh")
    done = subprocess.run(["sh", script], env={"CLAUDE_PROJECT_DIR": str(folder.root)}, capture_output=True)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")
    assert cli(folder.root, "keep-going", "--help").code == 0
