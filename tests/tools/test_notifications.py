"""notify: the user is told of what they would want to be woken for, once, by a process that nothing waits for."""

import json
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any

import pytest

from progressive_training.loop.errors import RulesError, UserDecision
from progressive_training.loop.project.integrity import accept_rules
from progressive_training.loop.report.trackers.notifications.sending import send
from progressive_training.loop.report.trackers.notifications.telling import Told, tell
from progressive_training.loop.rules.reading import parse_rules
from progressive_training.loop.rules.schema import NotifyConfig
from progressive_training.loop.store.records import load
from progressive_training.tools import write_action, write_analysis
from support.e2e import cli, until
from support.projects import ACTION, ANALYSIS, At, Folder

SECRET = "T00/B00/a-secret-that-stays-in-the-environment"
MEMORY = ".progressive-training/notifications/memory.json"


def writing(into: Path, *, failing: int = 0) -> tuple[str, ...]:
    """A program of the user's that keeps each message in a file, but for the first ones."""
    code = (
        "import sys, pathlib\n"
        f"tries = pathlib.Path({str(into)!r} + '.tries')\n"
        "done = len(tries.read_text()) if tries.exists() else 0\n"
        "tries.write_text('x' * (done + 1))\n"
        f"if done < {failing}: sys.exit(7)\n"
        f"with open({str(into)!r}, 'a', encoding='utf-8') as file: file.write(sys.stdin.read() + '\\n')\n"
    )
    return (sys.executable, "-c", code)


def read(into: Path) -> list[Any]:
    return [json.loads(line) for line in into.read_text(encoding="utf-8").splitlines()] if into.exists() else []


@pytest.fixture
def heard(tmp_path: Path) -> Path:
    """Outside the project, where the user's program writes."""
    return tmp_path / "heard.jsonl"


def accepted(folder: Folder, heard: Path) -> Folder:
    folder.set_rules(notify={"command": list(writing(heard))})
    accept_rules(folder.project())
    return folder


def events(heard: Path) -> list[tuple[str, str | None]]:
    return [(one["event"], one.get("version")) for one in read(heard)]


def test_a_report_and_a_best_beyond_noise_are_told_once_whatever_happens_twice(at: At, heard: Path) -> None:
    folder = accepted(at("reported"), heard)
    for _ in range(2):
        tell(folder.project())
    assert [event for event, _ in events(heard)][-1] == "done" and len(events(heard)) == len(set(events(heard)))
    done = read(heard)[-1]
    assert set(done) == {"event", "text", "version", "project", "folder", "at"} and done["project"] == folder.root.name
    assert "The loop is over after v002. Best: v002. Report: Models/Report/" in done["text"]


def test_a_new_best_carries_its_score_and_gain(at: At, heard: Path) -> None:
    folder = accepted(at("finished"), heard)
    tell(folder.project())
    assert read(heard) == [], "the accuracy of twenty samples is better by no more than noise"
    scored = {"primary_metric": "loss", "metrics": ["accuracy"]}
    folder.set_rules(notify={"command": list(writing(heard))}, eval_config=scored)
    accept_rules(folder.project())
    tell(folder.project())
    (best,) = read(heard)
    assert (best["event"], best["version"]) == ("new_best", "v002")
    assert best["delta"] > 0 and best["metric"] in best["text"] and "better than v001" in best["text"]


def test_a_decision_is_told_by_the_program_of_the_rules_that_were_accepted(at: At, heard: Path) -> None:
    folder = accepted(at("scored"), heard)
    tell(folder.project())
    planted = heard.with_name("planted.jsonl")
    folder.set_rules(notify={"command": list(writing(planted))})
    for _ in range(2):
        tell(folder.project())
    assert events(heard) == [("needs_decision", None)] and not planted.exists()
    assert "user_defined_rules.json changed" in read(heard)[0]["text"]
    assert "progressive-training rules accept" in read(heard)[0]["text"]
    accept_rules(folder.project())
    tell(folder.project(), "the budget is used up")
    assert events(heard) == [("needs_decision", None)] and events(planted) == [("stopped", None)]


def test_rules_that_nobody_accepted_start_no_program(at: At, heard: Path) -> None:
    folder = at("scored")
    folder.set_rules(notify={"command": list(writing(heard))})
    tell(folder.project(), "whatever")
    assert not heard.exists()


def test_a_version_that_is_stuck_is_told(at: At, heard: Path) -> None:
    folder = at("started")
    folder.set_rules(notify={"command": list(writing(heard))}, loop_config={"max_attempts": 1})
    accept_rules(folder.project())
    folder.write("schedule.py", "raise SystemExit(3)\n")
    assert cli(folder.root, "train", "1", "--quiet").code == 3
    until(lambda: bool(read(heard)), "the message")
    (told,) = read(heard)
    assert (told["event"], told["version"]) == ("stuck", "v001") and "max_attempts is 1" in told["text"]


def test_a_step_starts_it_and_a_refused_one_that_waits_for_the_user_too(at: At, heard: Path) -> None:
    folder = accepted(at("scored"), heard)
    write_analysis(folder.project(), 1, **ANALYSIS)
    until(lambda: folder.path(MEMORY).exists(), "the process that looked")
    folder.write("user_instruction.md", "Something new.")
    with pytest.raises(UserDecision):
        write_action(folder.project(), 1, **ACTION)
    until(lambda: bool(read(heard)), "the message")
    assert events(heard) == [("needs_decision", None)]


def test_without_a_rule_nothing_is_started(at: At) -> None:
    folder = at("scored")
    write_analysis(folder.project(), 1, **ANALYSIS)
    assert not folder.path(".progressive-training/notifications").exists()


# How it is sent


@contextmanager
def listening(*codes: int) -> Iterator[tuple[str, list[Any]]]:
    """An address that answers with these codes, then with 200, and what it got."""
    got: list[Any] = []
    left = list(codes)

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = self.rfile.read(int(self.headers["content-length"]))
            got.append((self.path, self.headers["content-type"], json.loads(said)))
            self.send_response(left.pop(0) if left else 200)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            return

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{server.server_address[1]}", got
    server.shutdown()
    server.server_close()


def test_an_address_from_a_variable_is_tried_again_and_its_secret_is_written_nowhere(
    at: At, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = at("reported")
    folder.set_rules(notify={"url": "$MY_WEBHOOK"})
    accept_rules(folder.project())
    with listening(503, 429) as (address, got):
        monkeypatch.setenv("MY_WEBHOOK", f"{address}/{SECRET}")
        assert send(NotifyConfig(url="$MY_WEBHOOK"), {"text": "안녕"}, waits=(0, 0)) is None
        assert [(path, kind) for path, kind, _ in got] == [(f"/{SECRET}", "application/json")] * 3
        assert got[-1][2] == {"text": "안녕"}
        tell(folder.project())
    assert got[-1][2]["event"] == "done"
    monkeypatch.setenv("MY_WEBHOOK", f"http://127.0.0.1:1/{SECRET}")
    problem = send(NotifyConfig(url="$MY_WEBHOOK"), {}, waits=())
    assert problem is not None and "can't be reached" in problem and SECRET not in problem
    assert not [name for name, data in folder.contents().items() if SECRET.encode() in data]


@pytest.mark.parametrize(
    ("code", "asked", "problem"), [(404, 1, "HTTP 404"), (302, 1, "HTTP 302"), (500, 3, "HTTP 500")]
)
def test_what_won_t_pass_is_not_tried_again(code: int, asked: int, problem: str) -> None:
    with listening(*[code] * 9) as (address, got):
        found = send(NotifyConfig(url=address), {}, waits=(0, 0))
    assert found is not None and problem in found and len(got) == asked


def test_a_program_that_fails_is_tried_again_and_one_that_is_not_there_is_said(tmp_path: Path) -> None:
    into = tmp_path / "out"
    assert send(NotifyConfig(command=writing(into, failing=2)), {"text": "한"}, waits=(0, 0)) is None
    assert read(into) == [{"text": "한"}]
    assert "code 7" in (send(NotifyConfig(command=writing(into, failing=9)), {}, waits=()) or "")
    assert "can't be started" in (send(NotifyConfig(command=(str(tmp_path / "none"),)), {}, waits=()) or "")
    assert "is not set" in (send(NotifyConfig(url="$NOBODY_SET_IT"), {}, waits=()) or "")


def test_what_was_in_the_way_is_remembered_and_does_not_stop_the_loop(at: At, tmp_path: Path) -> None:
    folder = at("reported")
    folder.set_rules(notify={"command": [str(tmp_path / "none")]})
    accept_rules(folder.project())
    tell(folder.project())
    known = load(folder.project().workspace.tree, MEMORY, Told)
    assert known is not None and known.problem is not None and "can't be started" in known.problem


@pytest.mark.parametrize(
    "rule",
    [{}, {"url": "http://me:secret@x/"}, {"url": "ftp://x"}, {"command": []}, {"command": "mail me"}, {"uri": "x"}],
    ids=str,
)
def test_a_rule_that_names_nobody_is_refused(rule: dict[str, Any]) -> None:
    with pytest.raises(RulesError, match="notify"):
        parse_rules(json.dumps({"notify": rule}).encode(), "rules.json")


def test_a_test_message_is_sent_before_there_is_a_loop(folder: Folder, heard: Path) -> None:
    refused = cli(folder.root, "notify")
    assert refused.code == 1 and "names nobody to tell" in refused.err and "docs/notifications.md" in refused.err
    folder.set_rules(notify={"command": list(writing(heard))})
    sent = cli(folder.root, "notify")
    assert sent.code == 0 and events(heard) == [("test", None)], sent.err
