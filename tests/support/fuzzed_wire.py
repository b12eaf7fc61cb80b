"""A server process under strace, which gets hostile calls and lines that are no messages."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from .fuzzing import answer_faults, stage_on_shelf
from .hostile_calls import Call
from .projects import FOLDER_NAME, Shelf
from .traced import changed, strace
from .wire import Wire, served

# The SDK's reader takes a line for a message or leaves it alone; no id, no answer.
LINES = (
    *(b"", b"{", b"nonsense", b"\xff\xfe\x00", b"[]", b"{}", b"null", b"[" * 100_000, b"x" * 3_000_000),
    b'{"jsonrpc":"2.0","id":"x","method":"tools/call","params":{"name":"write_eval","arguments":{"source":"\\ud800"}}}',
    b'{"jsonrpc":"2.0","id":"x","method":"tools/call","params":[]}',
    b'{"jsonrpc":"2.0","id":"x","method":"ping","params":' + b'{"a":' * 5_000 + b"1" + b"}" * 5_001,
)
BODIES: tuple[dict[str, Any], ...] = (
    {},
    {"name": None},
    {"name": 1, "arguments": {}},
    {"name": "run_train", "arguments": []},
    {"name": "no_such_tool", "arguments": {}},
)


class TracedServer:
    """A server for a project at one of PHASES; `root` gets the project, a folder for temporary files and the logs."""

    def __init__(self, root: Path, shelf: Shelf, stage: str) -> None:
        self._root, self._logs, self._temporary = root, root / "traces", root / "tmp"
        self._logs.mkdir(parents=True)
        self._temporary.mkdir()
        self.folder = stage_on_shelf(shelf, stage, root / FOLDER_NAME)

    def faults(self, calls: Iterable[Call], *, seconds: float) -> list[str]:
        """Makes the calls one after the other, with other lines in between; what must not have happened."""
        found: list[str] = []
        with served(self.folder.root, before=strace(self._logs), env=self._environment, seconds=seconds) as (wire, _):
            for number, call in enumerate(calls):
                found += [f"{fault} after {call}" for fault in _faults(wire, call)]
                wire.line(LINES[number % len(LINES)])
                if number % 10 == 0:
                    body = BODIES[number // 10 % len(BODIES)]
                    answer = wire.request("tools/call", **body)
                    if "error" not in answer and not answer["result"].get("isError"):
                        found.append(f"{body} was taken for a call: {answer}")
            if wire.request("ping")["result"] != {}:
                found.append("the server no longer answers")
        self.folder.end_jobs()
        outside = sorted({str(path) for path in changed(self._logs) if not self._is_allowed(path)})
        return [*found, *(f"it changed {path}" for path in outside)]

    @property
    def _environment(self) -> dict[str, str]:
        return {"TMPDIR": str(self._temporary)}

    def _is_allowed(self, path: Path) -> bool:
        # An attempt's own TMPDIR is reached by a short link in /tmp, since paths of sockets must be short.
        short = path.parts[:2] == ("/", "tmp") and path.parts[2].startswith("progressive-training-")
        inside = path.is_relative_to(self.folder.root) or path.is_relative_to(self._temporary)
        return inside or short or path == Path("/dev/null") or "__pycache__" in path.parts


def _faults(wire: Wire, call: Call) -> list[str]:
    answer = wire.call(call.tool, call.arguments)
    if "result" not in answer:
        return [f"no result: {str(answer)[:300]}"]
    result = answer["result"]
    return answer_faults(result["content"][0]["text"], is_error=result.get("isError", False))
