"""Real servers over stdio on a real project, killed at random; and many clients that want the same thing at once."""

import contextlib
import json
import os
import random
import signal
import subprocess
import threading
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from progressive_training.loop.jobs.runner import attempt_files as files
from progressive_training.loop.jobs.runner.processes import MARKER

from ..e2e import PROGRAM, job_processes
from ..projects import ACTION, ANALYSIS, EVALUATOR, TRAINER, Folder, edited, make_project
from .arguments import arguments_for, next_diff
from .cases import Call, do
from .checks import STATE, faults, staging_files
from .injection import Driver

Victim = Literal["server", "runner", "both", "client"]
VICTIMS: tuple[Victim, ...] = ("server", "runner", "both", "client")
_MOST_CALLS = 80
# A helper process like a DataLoader's worker, and epochs that take a moment: something to be cut off in.
SLOW_TRAINER = edited(
    TRAINER,
    ("def fit():\n", "def fit():\n    __import__('subprocess').Popen(['sleep', '600'])\n"),
    ("        rows.append(", "        __import__('time').sleep(0.05)\n        rows.append("),
)


class Gone(Exception):
    """The server ended in the middle of a call."""


class Refused(Exception):
    """A call was refused, in words that say what to do next."""


class Server:
    """One server process and its one client, on the wire as it is."""

    def __init__(self, root: Path) -> None:
        self._process = subprocess.Popen(
            [*PROGRAM, "serve", "--project", str(root)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            encoding="utf-8",
        )
        self._number = 0

    @property
    def pid(self) -> int:
        return self._process.pid

    def greet(self) -> None:
        """Raises `Gone`."""
        client = {"name": "storm", "version": "1"}
        self._request("initialize", protocolVersion="2025-06-18", capabilities={}, clientInfo=client)
        self._send({"jsonrpc": "2.0", "method": "notifications/initialized"})

    def call(self, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The Step's result. Raises `Gone`, `Refused`, and `AssertionError` for a refusal without a way on."""
        result = self._request("tools/call", name=tool, arguments=arguments)
        if result.get("isError"):
            text = f"{tool}: {result['content'][0]['text']}"
            assert "Next: " in text, text
            raise Refused(text)
        content: dict[str, Any] = result["structuredContent"]
        return content

    def leave(self) -> None:
        """The client goes: its end of the wire is closed."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):
            self._process.stdin.close()

    def end(self) -> None:
        self._process.kill()
        self._process.wait()
        self.leave()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def _request(self, method: str, **params: Any) -> dict[str, Any]:
        self._number += 1
        self._send({"jsonrpc": "2.0", "id": self._number, "method": method, "params": params})
        assert self._process.stdout is not None
        try:
            for line in self._process.stdout:
                answer = json.loads(line)
                if answer.get("id") == self._number:
                    if answer.get("error", {}).get("message") == "Connection closed":
                        break
                    assert "result" in answer, answer
                    return answer["result"]
        except ValueError as error:  # torn in mid-line
            raise Gone from error
        raise Gone

    def _send(self, message: dict[str, Any]) -> None:
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(json.dumps(message) + "\n")
            self._process.stdin.flush()
        except (OSError, ValueError) as error:
            raise Gone from error


@dataclass
class Storm:
    """One loop, from start to report, in which things are killed. `problems` is what was wrong at its end."""

    kills: list[Victim] = field(default_factory=list[Victim])
    finished: bool = False
    orphans: list[int] = field(default_factory=list[int])
    problems: list[str] = field(default_factory=list[str])
    refusals: list[str] = field(default_factory=list[str])
    seconds: float = 0.0


def storm(root: Path, seed: int, most_kills: int = 3) -> Storm:
    """A loop of two versions over stdio; at random moments a server, a runner, both, or the client goes."""
    chance, result, began = random.Random(seed), Storm(), time.monotonic()
    folder = make_project(root, trainer=SLOW_TRAINER)
    folder.write("03_eval.py", EVALUATOR)
    for _ in range(most_kills):
        victim = chance.choice(VICTIMS)
        with _Killer(folder, victim, chance.uniform(0.0, 2.5), chance.uniform(0.0, 0.4)) as killer:
            result.finished = _go_on(folder, killer, result)
        if killer.killed:
            result.kills.append(victim)
        if result.finished:
            break
    if not result.finished:
        result.finished = _go_on(folder, None, result)
    result.orphans = sorted({*job_processes(folder), *_marked_in(root)})
    if len(result.refusals) > len(result.kills):
        result.problems += result.refusals
    result.problems += [*faults(root), *staging_files(root), *_too_much(folder, len(result.kills))]
    result.seconds = time.monotonic() - began
    return result


def _marked_in(root: Path) -> Iterator[int]:
    """The living processes of any run that work in the project, whether its folder is still there or not."""
    for entry in Path("/proc").iterdir():
        with contextlib.suppress(OSError):
            marked = entry.name.isdigit() and f"{MARKER}=".encode() in (entry / "environ").read_bytes()
            if marked and (entry / "cwd").readlink().is_relative_to(root):
                yield int(entry.name)


def _too_much(folder: Folder, kills: int) -> Iterator[str]:
    """A version or a run more than was asked for."""
    scripts = sorted(path.name for path in folder.root.glob("02_train_v*.py"))
    if scripts != ["02_train_v001.py", "02_train_v002.py"]:
        yield f"the loop of two versions has {scripts}"
    runs = len(list(folder.root.glob(f"{STATE}/attempts/*/*/")))
    if runs > 4 + kills:
        yield f"{runs} runs, though only {kills} could have been cut off"
    if len(list(folder.root.glob("Models/Report/*/"))) != 1:
        yield "not exactly one report"


def _go_on(folder: Folder, killer: "_Killer | None", result: Storm) -> bool:
    """Follows `next` with a new server until the loop is over; False if the server went."""
    server = Server(folder.root)
    try:
        if killer is not None:
            killer.aim(server)
        server.greet()
        for _ in range(_MOST_CALLS):
            try:
                following = server.call("next_step", {"brief": False}).get("next")
                if following is None:
                    return server.call("final_report", {"analysis": "It came closer."})["phase"] == "done"
                _make(server, folder, following)
            except Refused as refusal:
                result.refusals.append(str(refusal))  # the runner that it was about to start was killed
        raise AssertionError(f"{_MOST_CALLS} calls, and the loop is not over: {result.refusals}")
    except Gone:
        return False
    finally:
        server.end()


def _make(server: Server, folder: Folder, following: dict[str, Any]) -> None:
    tool, version = following["tool"], following["arguments"].get("version")
    arguments = arguments_for(folder.root, tool, version)
    if tool in ("run_train", "run_eval", "final_report"):
        arguments["wait_seconds"] = 45
    server.call(tool, arguments)


class _Killer:
    """A thread that strikes once, after a delay (s), and a runner some time (s) after one is seen."""

    def __init__(self, folder: Folder, victim: Victim, delay: float, after: float) -> None:
        self._folder = folder
        self._victim: Victim = victim
        self._delay = delay
        self._after = after
        self._server: Server | None = None
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._strike)
        self.killed = False

    def aim(self, server: Server) -> None:
        self._server = server
        self._thread.start()

    def __enter__(self) -> "_Killer":
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _strike(self) -> None:
        if self._over.wait(self._delay):
            return
        assert self._server is not None, "aim() starts the thread"
        if self._victim in ("runner", "both"):
            while not runners(self._folder):
                if self._over.wait(0.005):
                    return
            self._over.wait(self._after)
            for pid in runners(self._folder):
                with contextlib.suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
                    self.killed = True
        if self._victim in ("server", "both"):
            os.kill(self._server.pid, signal.SIGKILL)
            self.killed = True
        if self._victim == "client":
            self._server.leave()
            self.killed = True


def runners(folder: Folder) -> list[int]:
    """The runners of the project that live now."""
    found: list[int] = []
    for identity in folder.root.glob(f"{STATE}/attempts/*/*/{files.RUNNER}"):
        with contextlib.suppress(OSError, ValueError):
            if files.is_held(identity.parent):
                found.append(json.loads(identity.read_text())["pid"])
    return found


def clients_at_once(root: Path, plain: Driver, clients: int) -> list[str]:
    """A loop of two versions in which every call is made by `clients` processes at once, with other words each.

    What was wrong: a crash, a refusal that names no way on, more than one winner, another state than one client makes.
    """
    folder = make_project(root)
    folder.set_rules(execution_config={"sandbox": "off"})
    problems: list[str] = []
    for _ in range(_MOST_CALLS):
        look = plain.call(root, [do("wait"), do("next_phase")]).answers[1]
        if look["tool"] is None:
            return [*problems, *faults(root), *staging_files(root), *_too_much(folder, 0)]
        calls = [_variant(root, look["tool"], look["version"], number) for number in range(clients)]
        if look["tool"] == "run_eval" and not folder.path("03_eval.py").exists():
            calls = [do("write_eval", source=EVALUATOR)] * clients
        answers = [answer for reply in plain.at_once(root, calls) for answer in reply.answers]
        problems += [f"{look['tool']}: {answer}" for answer in answers if _is_bad(answer)]
        won = [answer for answer in answers if answer["ok"] and not answer["already_done"] and _commits(look["tool"])]
        if len(answers) != clients or (_commits(look["tool"]) and len(won) != 1):
            problems.append(f"{look['tool']}: {len(answers)} answers, {len(won)} winners")
        if problems:
            return problems
    return [f"{_MOST_CALLS} rounds, and the loop is not over"]


def _commits(tool: str) -> bool:
    """Whether one call does it, and every other finds it done; a run is started, attached to and collected by many."""
    return tool not in ("run_train", "run_eval", "final_report")


def _is_bad(answer: Mapping[str, Any]) -> bool:
    return "crash" in answer or (not answer["ok"] and "Next: " not in answer["error"])


def _variant(root: Path, tool: str, version: int | None, number: int) -> Call:
    """The same Step in the words of another client."""
    match tool:
        case "write_analysis":
            return do(tool, version=version, **{**ANALYSIS, "summary": f"Client {number} says so."})
        case "write_action":
            return do(tool, version=version, **{**ACTION, "goal": f"The goal of client {number}"})
        case "author_next_version":
            assert version is not None
            return do(tool, version=version, diff=next_diff(root, version, f"0.6{number:02d}"))
        case _:
            return do(tool, **arguments_for(root, tool, version))
