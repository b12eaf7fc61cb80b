"""What a server imports before the first call that needs more: mcp, what that brings, and small modules of ours."""

import ast
import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from support.e2e import environment

ROOT = Path(__file__).resolve().parents[2]
_OURS = ("agents", "loop", "pages", "prompts", "server", "tools")
# What says where a loop is and what comes next; the trackers' mirror is started after each Step.
_AT_START = {"errors", "jobs", "project", "report.estimate", "report.trackers", "rules", "script", "store", "text"}
_BARE = "from mcp.server.mcpserver import MCPServer; MCPServer(name='bare')"
_Function = ast.FunctionDef | ast.AsyncFunctionDef
# Names that the installation itself imports at every start of Python.
_INSTALLATION = re.compile(
    r"__editable__.*|_distutils_hack|distutils.*|_sysconfigdata.*|_?virtualenv|sitecustomize|usercustomize"
)


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """The modules of a server that a client has connected to, and asked what tools and prompts there are."""
    project = tmp_path_factory.mktemp("project")
    (project / "02_train_baseline.py").write_text('VERSION = "baseline"\n', encoding="utf-8")
    about = {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "w", "version": "1"}}
    asked = [("initialize", about), *((f"{kind}/list", {}) for kind in ("tools", "prompts"))]
    lines = [
        json.dumps({"jsonrpc": "2.0", "id": number, "method": method, "params": params})
        for number, (method, params) in enumerate(asked)
    ]
    lines.insert(1, json.dumps({"jsonrpc": "2.0", "method": "notifications/initialized"}))
    command = ["-m", "progressive_training.server", "serve", "--project", str(project)]
    # stdin stays open until the last answer: its end ends the server.
    server = subprocess.Popen(
        [sys.executable, "-X", "importtime", *command],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=(project / "stderr").open("wb"),
        env=environment(),
    )
    assert server.stdin and server.stdout
    server.stdin.write("".join(f"{line}\n" for line in lines).encode())
    server.stdin.flush()
    answers = [json.loads(server.stdout.readline()) for _ in asked]
    server.stdin.close()
    server.wait()
    assert {answer["id"] for answer in answers if "result" in answer} == set(range(len(asked)))
    return names((project / "stderr").read_text(encoding="utf-8"))


def names(importtime: str) -> set[str]:
    lines = (line for line in importtime.splitlines() if line.startswith("import time:"))
    return {line.rpartition("|")[2].strip() for line in lines} - {"imported package"}


def behind_doors() -> set[str]:
    """The modules of ours that an import inside a function names: whoever calls it first loads them."""
    found: set[str] = set()
    for file in (file for top in _OURS for file in (ROOT / top).rglob("*.py")):
        package = ["progressive_training", *file.relative_to(ROOT).parent.parts]
        functions = (node for node in ast.walk(ast.parse(file.read_bytes())) if isinstance(node, _Function))
        for node in (node for function in functions for node in ast.walk(function)):
            if isinstance(node, ast.ImportFrom) and node.level:
                module = ".".join([*package[: len(package) - node.level + 1], *filter(None, [node.module])])
                found |= {module} if node.module else {f"{module}.{each.name}" for each in node.names}
    return found


def test_what_lies_behind_a_door_is_not_imported_before_a_call_needs_it(imported: set[str]) -> None:
    behind = behind_doors()
    assert {f"progressive_training.{name}" for name in ("tools.work", "loop.report.status")} <= behind  # rightly read
    assert not behind & imported


def test_only_the_rooms_that_say_where_the_loop_is_are_imported_at_the_start(imported: set[str]) -> None:
    ours = {name.removeprefix("progressive_training.") for name in imported if name.startswith("progressive_training.")}
    assert not {name for name in ours if name.startswith(("agents", "pages", "prompts."))}
    rooms = {name.removeprefix("loop.") for name in ours if name.startswith("loop.")} - {"report"}
    assert {name for name in rooms if not f"{name}.".startswith(tuple(f"{room}." for room in _AT_START))} == set()
    assert {"project.project", "project.state"} <= rooms  # that the names are read off rightly


def test_no_other_package_is_imported_than_by_a_bare_mcp_server(imported: set[str]) -> None:
    bare = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", _BARE], capture_output=True, encoding="utf-8", check=True
    )
    found = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names
    known = {name.partition(".")[0] for name in names(bare.stderr)}
    more = {name for name in found - known if not _INSTALLATION.fullmatch(name)}
    assert more <= {"progressive_training"}
