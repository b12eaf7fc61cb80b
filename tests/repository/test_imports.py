"""What a server imports before the first call that needs more: mcp, what that brings, and small modules of ours."""

import json
import re
import subprocess
import sys

import pytest

from support.e2e import environment

# The loop's own files: where it stands is told from these. All else is imported by the Step that does it.
_LOOP = {
    "errors",
    "jobs",
    "jobs.backends",
    "jobs.executor",
    "jobs.job",
    "jobs.local",
    "jobs.placement",
    "jobs.records",
    "jobs.runner",
    "jobs.runner.attempt_files",
    "jobs.runner.command",
    "jobs.runner.gpu",
    "jobs.runner.limits",
    "jobs.runner.processes",
    "jobs.runner.scratch",
    "jobs.runner.status_files",
    "jobs.sandbox",
    "jobs.warm",
    "jobs.warm.messages",
    "jobs.warm.server_keeper",
    "jobs.warm.spare_folders",
    "project",
    "project.attempts",
    "project.disk",
    "project.project",
    "project.receipts",
    "project.state",
    "report",
    "report.trackers",
    "report.trackers.start_mirror",
    "rules",
    "rules.execution",
    "rules.json_places",
    "rules.reading",
    "store",
    "store.cache",
    "store.journal",
    "store.paths",
    "store.transaction",
    "store.tree",
}
_SERVER = {
    "access",
    "answers",
    "app",
    "cli",
    "cli.invocation",
    "cli.main",
    "cli.options",
    "cli.serve",
    "importing",
    "protocol",
    "protocol.user_decisions",
    "protocol.prompts",
    "protocol.resources",
    "protocol.skills_extension",
    "protocol.job_tasks",
    "protocol.task_records",
    "protocol.tasks_extension",
    "protocol.status_subscriptions",
    "serving",
}
_OURS = re.compile(r"progressive_training\.(loop|pages|prompts|agents|server)\.([\w.]+)")
_BARE = "from mcp.server.mcpserver import MCPServer; MCPServer(name='bare')"
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


def test_the_loop_is_not_imported_before_a_call_needs_it(imported: set[str]) -> None:
    ours: dict[str, set[str]] = {"loop": set(), "pages": set(), "prompts": set(), "agents": set(), "server": set()}
    for name in imported:
        if match := _OURS.fullmatch(name):
            ours[match[1]].add(match[2])
    assert ours == {
        "loop": ours["loop"] & _LOOP,
        "pages": set(),
        "prompts": set(),
        "agents": set(),
        "server": ours["server"] & _SERVER,
    }
    assert {"project.project", "project.state"} <= ours["loop"]  # that the names are read off rightly


def test_no_other_package_is_imported_than_by_a_bare_mcp_server(imported: set[str]) -> None:
    bare = subprocess.run(
        [sys.executable, "-X", "importtime", "-c", _BARE], capture_output=True, encoding="utf-8", check=True
    )
    found = {name.partition(".")[0] for name in imported} - sys.stdlib_module_names
    known = {name.partition(".")[0] for name in names(bare.stderr)}
    more = {name for name in found - known if not _INSTALLATION.fullmatch(name)}
    assert more <= {"progressive_training"}
