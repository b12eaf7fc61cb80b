"""What a client can read: status, leaderboard, and each version's script and documents."""

import json
from collections.abc import Callable
from typing import Any

from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError

from ...loop.errors import LoopError
from ...loop.project.project import Project
from ...loop.project.receipts import NextReceipt, ReportReceipt
from ...loop.project.state import report_receipt
from ...loop.project.version import Version
from ...loop.store.paths import MAX_VERSION
from ...tools.results import work

_MOST_CHARACTERS = 2_000_000
_MOST_EXPLORATIONS = 20


def add_resources(server: MCPServer[Any], project: Project) -> None:
    """Registers the resources; each is read from disk when it is asked for."""
    workspace = project.workspace

    def text(relative: str) -> str:
        try:
            return workspace.tree.read(relative).decode(errors="replace")
        except FileNotFoundError as error:
            raise ResourceNotFoundError(f"{relative} does not exist yet") from error
        except LoopError as error:
            raise ResourceError(str(error)) from error

    def named(version: str) -> Version:
        if version.isascii() and version.isdigit() and 1 <= (number := int(version)) <= MAX_VERSION:
            return Version(project, number)
        raise ResourceNotFoundError(f"there is no version {version!r}; use a number like 1")

    @server.resource("loop://status", name="status", title="Where the loop stands", mime_type="application/json")
    def _status() -> str:
        from ...loop.report.status import status

        try:
            return status(project).model_dump_json(indent=1)
        except LoopError as error:
            raise ResourceError(str(error)) from error

    @server.resource(
        "loop://leaderboard", name="leaderboard", title="The newest report's leaderboard", mime_type="text/csv"
    )
    def _leaderboard() -> str:
        receipt: ReportReceipt | None = report_receipt(project)
        if receipt is None:
            raise ResourceNotFoundError("there is no report yet: final_report makes it at the loop's end")
        return text(f"{receipt.folder}/leaderboard.csv")

    @server.resource(
        "loop://versions/{version}/script", name="script", title="A version's script", mime_type="text/x-python"
    )
    def _script(version: str) -> str:
        return text(named(version).script_name)

    @server.resource(
        "loop://versions/{version}/diff",
        name="diff",
        title="A version's diff from its parent",
        mime_type="text/x-diff",
    )
    def _diff(version: str) -> str:
        found = named(version)
        receipt = found.parent.receipt(NextReceipt) if found.parent else None
        if receipt is None:
            raise ResourceNotFoundError(f"{found.id} has no diff: it was not authored by the loop")
        return receipt.diff

    @server.resource(
        "loop://versions/{version}/curves", name="curves", title="Learning curves", mime_type="application/json"
    )
    def _curves(version: str) -> str:
        from ...loop.train.curves import shown_curves

        curves = shown_curves(workspace.tree, named(version).artifacts)
        if curves is None:
            raise ResourceNotFoundError(f"version {version} has no metrics.csv yet")
        return json.dumps(
            {"epochs": curves.epochs, "train_loss": curves.train_loss, "val_loss": curves.val_loss}, indent=None
        )

    @server.resource(
        "loop://versions/{version}/predictions",
        name="predictions",
        title="Predictions, targets and scores by sample",
        mime_type="application/jsonl",
    )
    def _predictions(version: str) -> str:
        return _whole_lines(text(workspace.sample_scores(named(version).number)))

    @server.resource(
        "loop://versions/{version}/explorations",
        name="explorations",
        title="What snippets found on a version",
        mime_type="text/markdown",
    )
    def _explorations(version: str) -> str:
        try:
            found = work().explored(named(version))
        except LoopError as error:
            raise ResourceError(str(error)) from error
        parts = [f"## Exploration {one.number}\n{code}\n### Found\n{said.text}" for one, code, said in found]
        return "\n\n".join(parts[-_MOST_EXPLORATIONS:]) or "(none)"

    for name, file in (
        ("analysis", "result-analysis.md"),
        ("action", "action-extract.md"),
        ("score", "eval_score.json"),
        ("retries", "_tests/train_retry_report.md"),
    ):
        kind = "application/json" if file.endswith(".json") else "text/markdown"
        uri, title = f"loop://versions/{{version}}/{name}", f"A version's {file}"
        server.resource(uri, name=name, title=title, mime_type=kind)(
            _reader(lambda version, file: text(f"{named(version).artifacts}/{file}"), file)
        )


def _whole_lines(lines: str) -> str:
    """The text, or as many of its lines as a client may want to read, and how many are left out."""
    if len(lines) <= _MOST_CHARACTERS:
        return lines
    kept = lines[: lines.rindex("\n", 0, _MOST_CHARACTERS) + 1]
    return f"{kept}{json.dumps({'left_out': lines.count(chr(10)) - kept.count(chr(10))})}\n"


def _reader(read: Callable[[str, str], str], file: str) -> Callable[[str], str]:
    """A handler whose only parameter is the URI's."""

    def read_document(version: str) -> str:
        return read(version, file)

    return read_document
