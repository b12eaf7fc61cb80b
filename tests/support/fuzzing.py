"""Hostile and half-valid tool calls at every phase of a loop, and what must hold of the answer to each.

`calls` draws a call; `Sessions` makes it on a server that lives through all of them, and says what is wrong.
"""

import json
import shutil
import unicodedata
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any

from anyio.from_thread import BlockingPortal, start_blocking_portal
from hypothesis import strategies as st
from mcp import Client

from progressive_training.server.app import build_server

from .projects import ACTION, ANALYSIS, EVALUATOR, STAGES, TRAINER, Folder, Shelf, connected, diff, edited, make_project

MAX_ERROR = 6_000
MAX_RESULT = 40_000
FAILED = "failed"
NEW = "new"
PHASES = (NEW, *STAGES, FAILED)
"""Stages of `projects.STAGES`, a project without a loop, and one whose training failed."""

# What a tool that succeeds may do to the phase; all of them may also leave it as it is.
_WAITING = {"train", "training", "repair", "stuck"}
TRANSITIONS: Mapping[str, set[tuple[str, str]]] = {
    "start_loop": {("start", "train")},
    "run_train": {(old, new) for old in _WAITING for new in ("training", "evaluate", "repair", "train", "stuck")},
    "repair_version": {("repair", "train")},
    "run_eval": {(old, new) for old in ("evaluate", "evaluating") for new in ("evaluating", "analysis", "evaluate")},
    "cancel_run": {("training", "train"), ("training", "evaluate"), ("evaluating", "evaluate")},
    "write_analysis": {("analysis", "action")},
    "write_action": {("action", "author"), ("action", "report")},
    "author_next_version": {("author", "train")},
    "final_report": {(old, "done") for old in ("train", "repair", "stuck", "evaluate", "analysis", "action", "author")}
    | {("report", "done")},
}

_UNSEEN = ("Cc", "Cf", "Cs")  # control, format (bidi, zero width), lone surrogate
_HUGE = 2_000_000
_NESTED: Any = []
for _ in range(40):
    _NESTED = [_NESTED]
_TEXTS = (
    *("", " ", "\n", "1", "v001", "--help", "-rf", "~", "None", "true", "{{ 7 * 7 }}", "%s%n{0}", "$(touch pwned)"),
    *("../../pwned", "/tmp/pwned", "..\\pwned", "Models/Artifacts/v001/eval_score.json", "v1/../v1", "v1 ", ".", ".."),
    *("\0", "v1\0", "a\0b", "\ud800", "good\udfffbad", "\u202eabc", "a\u200bb\ufeff", "\x1b[31mred\x1b]0;t\x07", "\x9b1m"),
    *("나의 폴더", "é", "e\u0301", "😀", "x" * 300, "x" * _HUGE, "\n" * 100_000, "(" * 20_000, "-" * 20_000),
    *("02_train_v001.py", "START", "+Name", "fit", "main.x.y", "```\nobey me", "</data>", "import os\n" * 30_000),
)
_NUMBERS = (0, 1, 2, 3, -1, 999_999, 10**6, 10**9, 2**31, 2**63, 2**64, 10**30, 1.0, 2.0, 0.5, -0.0, 1e308, 1e-300)
_OTHERS = (None, True, False, float("nan"), float("inf"), [], {}, [[]], _NESTED, ["x"] * 3_000, {"a": {"b": [1]}})
_FOREIGN_DIFFS = (
    "--- a/../../pwned\n+++ b/../../pwned\n@@ -0,0 +1 @@\n+x\n",
    "--- /dev/null\n+++ b/pwned.py\n@@ -0,0 +1 @@\n+x\n",
    "--- a/02_train_v001.py\n+++ /dev/null\n@@ -1 +0,0 @@\n-x\n",
    "--- a/user_defined_rules.json\n+++ b/user_defined_rules.json\n@@ -1 +1 @@\n-{\n+[\n",
    "diff --git a/x b/x\nold mode 100644\nnew mode 120000\n--- a/x\n+++ b/x\n@@ -0,0 +1 @@\n+/etc/passwd\n",
    "GIT binary patch\nliteral 4\nLc$@(M00\n",
    "rename from 02_train_v001.py\nrename to /tmp/pwned\n",
    "@@ -1,999999999 +1,999999999 @@\n-x\n+y\n",
    "@@ @@\n@@ @@\n",
    "+" * 50_000,
    "--- a\n+++ b\n" * 5_000,
    "<<<<<<< SEARCH\nLEARNING_RATE = 0.2\n=======\nLEARNING_RATE = 0.5\n>>>>>>> REPLACE\n",
)
_LINES = ("", "-", "+", " ", "@@", "@@ -1,1 +1,1 @@", "\\ No newline at end of file", "+\0", "+\u202e", "-\ud800", "+\t\tx")

hostile = st.one_of(
    *(st.sampled_from(values) for values in (_TEXTS, _NUMBERS, _OTHERS)),
    st.integers(),
    st.floats(),
    st.text(max_size=40),
    st.lists(st.sampled_from((*_TEXTS[:40], 1, None, [])), max_size=5),
    st.dictionaries(st.sampled_from(_TEXTS[:20]), st.integers(), max_size=3),
)


@dataclass(frozen=True, repr=False)
class Call:
    stage: str
    tool: str
    arguments: dict[str, Any]

    @property
    def writable(self) -> bool:
        """Whether JSON can hold it: half a surrogate pair it can't."""
        try:
            json.dumps(self.arguments, ensure_ascii=False).encode()
        except UnicodeEncodeError:
            return False
        return True

    def __repr__(self) -> str:
        shown = ", ".join(f"{ascii(name)[:60]}={ascii(value)[:120]}" for name, value in self.arguments.items())
        return f"[{self.stage}] {self.tool}({shown[:1500]})"


def version_at(stage: str) -> int:
    return 2 if stage in ("authored", "finished", "reported") else 1


def valid_arguments(tool: str, stage: str) -> dict[str, Any]:
    """What the tool takes, with the version that the loop is at."""
    wait = {"wait_seconds": 30}
    version = {"version": version_at(stage)}
    change = diff(TRAINER, edited(TRAINER, ("LEARNING_RATE = 0.2", "LEARNING_RATE = 0.5")), "02_train_v001.py")
    repair = diff(_FAILING, TRAINER, "02_train_v001.py")
    return {
        "read_rules": {},
        "start_loop": {"dataset_id": "v1", "patch": ""},
        "next_step": {"brief": True, **wait},
        "run_train": {**version, "resume": False, **wait},
        "repair_version": {**version, "diff": repair, "root_cause": "a typing error", "change_summary": "typed again"},
        "run_eval": {**version, **wait},
        "write_eval": {"source": EVALUATOR},
        "cancel_run": version,
        "write_analysis": {**version, **ANALYSIS},
        "write_action": {**version, **ACTION, "deferred": ["another start"]},
        "author_next_version": {**version, "diff": change},
        "final_report": {"analysis": "The higher rate did it.", "stop_reason": "enough", **wait},
    }[tool]


_FAILING = edited(TRAINER, ("rows = fit()\n", "rows = fitt()\n"))
TOOLS = ("read_rules", "start_loop", "next_step", "run_train", "repair_version", "run_eval", "write_eval", "cancel_run")
TOOLS += ("write_analysis", "write_action", "author_next_version", "final_report")


@st.composite
def diffs(draw: st.DrawFn, good: str) -> str:
    """A diff with some lines lost, doubled, swapped, replaced, or of another file."""
    if draw(st.booleans()):
        return draw(st.sampled_from(_FOREIGN_DIFFS))
    lines = good.split("\n")
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, len(lines) - 1))
        match draw(st.sampled_from(["lose", "double", "swap", "replace", "insert", "cut", "crlf"])):
            case "lose":
                lines[at : at + 1] = [] if len(lines) > 1 else [""]
            case "double":
                lines.insert(at, lines[at])
            case "swap":
                lines[at], lines[0] = lines[0], lines[at]
            case "replace":
                lines[at] = draw(st.sampled_from(_LINES))
            case "insert":
                lines.insert(at, draw(st.sampled_from(_LINES)))
            case "cut":
                lines = lines[: at + 1]
            case _:
                lines = [f"{line}\r" for line in lines]
    return "\n".join(lines)


@st.composite
def calls(draw: st.DrawFn, stages: tuple[str, ...] = PHASES) -> Call:
    """Mostly one thing wrong in a call that would do; also nothing right at all, and now and then nothing wrong."""
    stage, tool = draw(st.sampled_from(stages)), draw(st.sampled_from(TOOLS))
    arguments = dict(valid_arguments(tool, stage))
    names = sorted(arguments)
    match draw(st.sampled_from(["one", "one", "one", "one", "missing", "extra", "all", "nothing"])):
        case "one" if names:
            name = draw(st.sampled_from(names))
            special = diffs(arguments[name]) if name in ("diff", "patch") else hostile
            arguments[name] = draw(st.one_of(special, hostile))
        case "missing" if names:
            del arguments[draw(st.sampled_from(names))]
        case "extra":
            arguments[draw(st.sampled_from(_TEXTS))] = draw(hostile)
        case "all":
            arguments = {name: draw(hostile) for name in names}
        case _:
            pass
    return Call(stage, tool, arguments)


class Sessions:
    """A server and a client for each stage, which live through all calls; the folder is put back when one changed it."""

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
        beside = {path.name for path in self._root.iterdir()} - {self.folder(stage).root.name for stage in self._clients}
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
    folder = make_project(to, trainer=_FAILING if stage == FAILED else TRAINER)
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
