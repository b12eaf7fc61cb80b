"""Clients that go away while a training runs, and many clients that want the same thing at once."""

import os
import signal
import sys
import uuid
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import anyio

from .e2e import GATED_TRAINER, attempts, in_mid_training, job_processes, processes_with, until
from .faults.checks import events, faults
from .projects import ACTION, ANALYSIS, FOLDER_NAME, Agent, Folder, connected, diff, edited, make_project
from .wire import served

Way = Literal["its stdin ends", "it is killed", "it cancels the request"]
WAYS: tuple[Way, ...] = ("its stdin ends", "it is killed", "it cancels the request")
_TAG = "E2E_SERVER"
# A client process, as far as the server can tell: what comes in goes to the server; were it killed, that ends.
_RELAY = """\
import subprocess, sys
server = subprocess.Popen(sys.argv[1:], stdin=subprocess.PIPE)
while data := sys.stdin.buffer.read1():
    server.stdin.write(data)
    server.stdin.flush()
server.stdin.close()
sys.exit(server.wait())
"""


def gated_project(root: Path) -> Folder:
    """A started loop whose training waits at its end until there is a file `gate`."""
    folder = make_project(root / FOLDER_NAME, trainer=GATED_TRAINER)
    anyio.run(_start, folder)
    return folder


async def _start(folder: Folder) -> None:
    async with connected(folder) as agent:
        await agent.call("start_loop")


def leave(folder: Folder, way: Way) -> list[str]:
    """A client starts a training, waits for it and goes; then another one collects it. What is wrong after that."""
    tag, found = uuid.uuid4().hex, []
    before = [sys.executable, "-I", "-S", "-c", _RELAY] if way == "it is killed" else []
    with served(folder.root, before=before, env={_TAG: tag}) as (wire, client):
        waiting = wire.ask("tools/call", name="run_train", arguments={"version": 1, "wait_seconds": 45})
        until(in_mid_training(folder), "the training at its gate")
        training = job_processes(folder)
        match way:
            case "its stdin ends":
                wire.close()
            case "it is killed":
                os.kill(client.pid, signal.SIGKILL)
            case _:
                wire.send({"jsonrpc": "2.0", "method": "notifications/cancelled", "params": {"requestId": waiting}})
                if wire.request("ping")["result"] != {}:
                    found.append("the server no longer answers")
                wire.close()
        until(lambda: not processes_with(_TAG, tag), "the end of the server")
    if job_processes(folder) != training or not training:
        found.append(f"of the training's processes {training} there are left {job_processes(folder)}")
    folder.write("gate", "")
    return [*found, *anyio.run(_collected, folder)]


async def _collected(folder: Folder) -> list[str]:
    found: list[str] = []
    async with connected(folder) as agent:
        first, second = await agent.train(), await agent.train()
    if (first["state"], first["already_done"], second["already_done"]) != ("done", False, True):
        found.append(f"it was not collected once: {first} {second}")
    if attempts(folder) != ["v001/train-001"]:
        found.append(f"its attempts are {attempts(folder)}")
    counts = Counter(events(folder.root))
    if (counts["train_started v001"], counts["trained v001"]) != (1, 1):
        found.append(f"the journal says {counts}")
    if left := job_processes(folder):
        found.append(f"processes are left: {left}")
    return [*found, *faults(folder.root)]


@dataclass(frozen=True)
class Answer:
    """`won`: this call did it. `text` is the refusal."""

    tool: str
    arguments: dict[str, Any]
    won: bool
    text: str = ""


LEGAL = {
    "train": "run_train",
    "evaluate": "run_eval",
    "analysis": "write_analysis",
    "action": "write_action",
    "author": "author_next_version",
}
_AFTER = {"run_eval": "run_train", **dict(zip([*LEGAL.values()][:-1], [*LEGAL.values()][1:], strict=True))}


async def contend(agents: Sequence[Agent]) -> list[str]:
    """One round: three of four clients make the legal call, each with arguments of its own, the others the one after.

    Says whether not exactly one of them did it, what the others were told wrong, and whose words were lost.
    """
    folder = agents[0].folder
    phase, version = await agents[0].where()
    assert isinstance(version, int)
    legal = LEGAL[str(phase)]
    answers: list[Answer] = []

    async def make(agent: Agent, tool: str, arguments: dict[str, Any]) -> None:
        result = await agent.client.call_tool(tool, arguments)
        text = getattr(result.content[0], "text", "")
        content = result.structured_content or {}
        won = not result.is_error and not content["already_done"] and content["state"] == "done"
        answers.append(Answer(tool, arguments, won, text if result.is_error else ""))

    async with anyio.create_task_group() as tasks:
        for number, agent in enumerate(agents):
            tool = legal if number % 4 else _AFTER.get(legal, "run_eval")
            tasks.start_soon(make, agent, tool, _arguments(folder, tool, version, number))
    wins = Counter(answer.tool for answer in answers if answer.won)
    # A job is begun by one and may be collected by another: both did something.
    most = {"run_train": 2, "run_eval": 2}
    found = [f"{tool} was done {count} times" for tool, count in wins.items() if count > most.get(tool, 1)]
    found += [] if wins[legal] else [f"nobody's {legal} was done: {answers[0].text}"]
    found += [f"{one.tool}: {one.text}" for one in answers if one.text and "\nNext: " not in one.text]
    found += [f"{legal} was refused: {one.text}" for one in answers if one.text and one.tool == legal]
    for answer in answers:
        if answer.won and not _is_there(folder, answer, version):
            found.append(f"the words of {answer} are not there")
    return found


def _arguments(folder: Folder, tool: str, version: int, number: int) -> dict[str, Any]:
    match tool:
        case "write_analysis":
            return {"version": version, **ANALYSIS, "summary": _said(number)}
        case "write_action":
            return {"version": version, **ACTION, "goal": _said(number)}
        case "author_next_version":
            name = f"02_train_v{version:03d}.py"
            text = folder.read(name)
            line = next(line for line in text.splitlines() if line.startswith("LEARNING_RATE = "))
            return {"version": version, "diff": diff(text, edited(text, (line, _rate(version, number))), name)}
        case _:
            return {"version": version, "wait_seconds": 45}


def _said(number: int) -> str:
    return f"So says client {number}."


def _rate(version: int, number: int) -> str:
    return f"LEARNING_RATE = 0.3{version:03d}{number:02d}1"


def _is_there(folder: Folder, answer: Answer, version: int) -> bool:
    artifacts = f"Models/Artifacts/v{version:03d}"
    match answer.tool:
        case "write_analysis":
            return answer.arguments["summary"] in folder.read(f"{artifacts}/result-analysis.md")
        case "write_action":
            return answer.arguments["goal"] in folder.read(f"{artifacts}/action-extract.md")
        case "author_next_version":
            rate = answer.arguments["diff"].partition("\n+LEARNING_RATE")[2].partition("\n")[0]
            return f"LEARNING_RATE{rate}\n" in folder.read(f"02_train_v{version + 1:03d}.py")
        case _:
            return folder.path(f"{artifacts}/best.ckpt").exists()


def after_all(folder: Folder) -> list[str]:
    """What is wrong once the rounds are over: every event that can happen once must have happened once."""
    twice = [f"{event}: {count} times" for event, count in Counter(events(folder.root)).items() if count > 1]
    return [*(one for one in twice if not one.startswith("evaluator_written")), *faults(folder.root)]
