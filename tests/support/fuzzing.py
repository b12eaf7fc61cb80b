"""Hostile calls, made on servers that live through all of them, and what must hold of the answer to each."""

import shutil
import unicodedata
from collections.abc import Mapping
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal
from mcp import Client

from progressive_training.server.app import build_server

from .hostile_calls import FAILED, FAILING, Call
from .projects import STAGES, TRAINER, Folder, Shelf, connected, make_project

MAX_ERROR = 6_000
MAX_RESULT = 40_000
# What a tool that succeeds may do to the phase; all of them may also leave it as it is.
_WAITING = {"train", "training", "repair", "stuck"}
TRANSITIONS: Mapping[str, set[tuple[str, str]]] = {
    "start_loop": {("start", "train")},
    "run_train": {(old, new) for old in _WAITING for new in ("training", "evaluate", "repair", "train", "stuck")},
    "repair_version": {("repair", "train")},
    "run_eval": {
        (old, new) for old in ("evaluate", "evaluating") for new in ("evaluating", "analysis", "evaluate", "stuck")
    },
    "cancel_run": {("training", "train"), ("training", "evaluate"), ("evaluating", "evaluate")},
    "write_analysis": {("analysis", "action")},
    "write_action": {("action", "author"), ("action", "report")},
    "author_next_version": {("author", "train")},
    "final_report": {(old, "done") for old in ("train", "repair", "stuck", "evaluate", "analysis", "action", "author")}
    | {("report", "done")},
}

_UNSEEN = ("Cc", "Cf", "Cs")  # control, format (bidi, zero width), lone surrogate


class Sessions:
    """A server and a client for each stage, which live on; the folder is put back when a call changed it."""

    def __init__(self, root: Path, shelf: Shelf) -> None:
        self._root, self._shelf = root, shelf
        self._stack = ExitStack()
        self._clients: dict[str, Client] = {}
        self._before: dict[str, tuple[dict[str, bytes], tuple[Any, Any]]] = {}

    def __enter__(self) -> "Sessions":
        self._portal: BlockingPortal = self._stack.enter_context(start_blocking_portal())
        (self._root / "neighbour").mkdir(parents=True)
        (self._root / "neighbour" / "kept").write_text("as it was")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, where: TracebackType | None
    ) -> None:
        self._stack.close()
        for stage in self._clients:
            self.folder(stage).end_jobs()

    def folder(self, stage: str) -> Folder:
        return Folder(self._root / f"{stage} 폴더")

    def faults(self, call: Call) -> list[str]:
        """Makes the call, and says what must not have happened."""
        client, folder = self._client(call.stage), self.folder(call.stage)
        contents, before = self._before[call.stage]
        try:
            result = self._portal.call(client.call_tool, call.tool, call.arguments)
        except Exception as error:  # noqa: BLE001 - whatever comes instead of an answer is what is looked for
            self._reset(call.stage)
            return [f"no answer: {type(error).__name__}: {str(error)[:300]}"]
        found = answer_faults(getattr(result.content[0], "text", ""), is_error=result.is_error)
        if result.is_error:
            if folder.contents() != contents:
                found.append("it was refused, and files changed")
                self._reset(call.stage)
        else:
            assert result.structured_content is not None
            changed = folder.contents() != contents
            after = self._where(call.stage)
            if after != before and (before[0], after[0]) not in TRANSITIONS.get(call.tool, set()):
                found.append(f"{before} became {after}")
            if changed:
                self._reset(call.stage)
        beside = {path.name for path in self._root.iterdir()} - {
            self.folder(stage).root.name for stage in self._clients
        }
        if beside != {"neighbour"} or [path.name for path in (self._root / "neighbour").iterdir()] != ["kept"]:
            found.append(f"it wrote beside the project: {beside}")
        return found

    def _client(self, stage: str) -> Client:
        if stage not in self._clients:
            self._put_back(stage)
            client = Client(build_server(self.folder(stage).project()))
            self._clients[stage] = self._stack.enter_context(self._portal.wrap_async_context_manager(client))
            self._look(stage)
        return self._clients[stage]

    def _reset(self, stage: str) -> None:
        self.folder(stage).end_jobs()
        self._put_back(stage)
        self._look(stage)

    def _look(self, stage: str) -> None:
        self._before[stage] = self.folder(stage).contents(), self._where(stage)

    def _where(self, stage: str) -> tuple[Any, Any]:
        result = self._portal.call(self._clients[stage].call_tool, "next_step", {"brief": False})
        content = result.structured_content
        assert content is not None and not result.is_error, f"the state can't be read any more: {result.content}"
        return content["phase"], content.get("version")

    def _put_back(self, stage: str) -> None:
        root = self.folder(stage).root
        if root.exists():
            shutil.rmtree(root)
        stage_on_shelf(self._shelf, stage, root)


def stage_on_shelf(shelf: Shelf, stage: str, to: Path) -> Folder:
    """A project at one of PHASES."""
    if stage in STAGES:
        return shelf.copy(stage, to)
    folder = make_project(to, trainer=FAILING if stage == FAILED else TRAINER)
    if stage == FAILED:
        with start_blocking_portal() as portal:
            portal.call(_failed, folder)
    return folder


async def _failed(folder: Folder) -> None:
    async with connected(folder) as agent:
        await agent.call("start_loop")
        await agent.failed_training("code error")


def answer_faults(text: str, *, is_error: bool) -> list[str]:
    """What is wrong with the text of an answer."""
    found: list[str] = []
    if not text.strip():
        found.append("an empty answer")
    if len(text) > (MAX_ERROR if is_error else MAX_RESULT):
        found.append(f"an answer of {len(text)} characters: {text[:100]!r}")
    if unseen := {f"U+{ord(one):04X}" for one in set(text) - set("\n\t") if unicodedata.category(one) in _UNSEEN}:
        found.append(f"characters that can't be seen: {sorted(unseen)[:8]}")
    if is_error and ("Traceback" in text or text.startswith("Error executing tool") or "codec can't" in text):
        found.append(f"an error of ours: {text[:300]}")
    if is_error and "\nNext: " not in text:
        found.append(f"it doesn't say what to do next: {text[:300]!r}")
    return found
