"""The official suites against our server: what MCP requires of every server, and the extensions that we serve."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.e2e import BEARER, PROGRAM, free_port, listens, served, until
from support.programs import need
from support.projects import EVALUATOR, FOLDER_NAME, At, make_project

ROOT = Path(__file__).resolve().parents[3]
TOOLS = ROOT / ".venv" / "node" / "node_modules" / ".bin"
# What the suite's own server doesn't pass either, and no revision requires.
PENDING = {"json-schema-2020-12", "server-sse-polling", "http-custom-header-server-validation"}
# What needs none of the suite's fixtures.
NATIVE = {
    "2025-11-25": (
        "server-initialize",
        "server-session-lifecycle",
        "ping",
        "completion-complete",
        "tools-list",
        "resources-list",
        "resources-subscribe",
        "resources-unsubscribe",
        "prompts-list",
        "dns-rebinding-protection",
    ),
    "2026-07-28": (
        "completion-complete",
        "tools-list",
        "resources-list",
        "prompts-list",
        "sep-2164-resource-not-found",
        "dns-rebinding-protection",
        "http-header-validation",
    ),
}
SKILLS = ("sep-2640-skills-directory", "sep-2640-skills-enumeration", "sep-2640-skills-manifest")


def ran(folder: Path, tool: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    need("npm")
    assert (TOOLS / tool).exists(), "the official suites are missing: make .venv/.node"
    path = f"{TOOLS}{os.pathsep}{os.environ['PATH']}"
    return subprocess.run(
        [str(TOOLS / "node"), str(TOOLS / tool), *arguments],
        cwd=folder,
        env={**os.environ, "PATH": path, "HOME": str(folder)},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )


@contextmanager
def open_to_all(folder: Path, *options: str) -> Iterator[str]:
    """The URL of our server, which asks for no token since the suite has none; with the suite's fixtures, or bare."""
    port = free_port()
    command = [sys.executable, "-W", "ignore", "-m", "conformance.serve", str(port), str(folder), *options]
    with subprocess.Popen(command, cwd=ROOT / "tests" / "server", stderr=subprocess.DEVNULL) as server:
        try:
            until(lambda: listens(port) or server.poll() is not None, "the server's port")
            yield f"http://127.0.0.1:{port}/mcp"
        finally:
            server.kill()


@pytest.mark.parametrize(("revision", "least"), [("2025-11-25", 30), ("2026-07-28", 46)])
def test_every_scenario_that_a_revision_requires_passes(tmp_path: Path, revision: str, least: int) -> None:
    folder = make_project(tmp_path / FOLDER_NAME).root
    with open_to_all(folder) as url:
        done = ran(tmp_path, "conformance", "server", "--url", url, "--requirements", revision)
    summary = done.stdout.partition("=== SUMMARY ===")[2]
    passed = set(re.findall(r"^✓ (\S+): ", summary, re.MULTILINE))
    failed = set(re.findall(r"^✗ (\S+): ", summary, re.MULTILINE))
    assert done.returncode == 0 and failed <= PENDING, done.stdout[-6000:]
    assert len(passed) >= least, summary
    assert revision == "2025-11-25" or len({name for name in passed if name.startswith("tasks-")}) == 10


def test_the_bare_server_passes_what_needs_no_fixtures(at: At, tmp_path: Path) -> None:
    folder = at("finished").root
    wanted = [(name, ("--spec-version", revision)) for revision, names in NATIVE.items() for name in names]
    wanted += [(name, ()) for name in SKILLS]
    with open_to_all(folder, "--bare") as url, ThreadPoolExecutor(2) as pool:

        def verdict(scenario: tuple[str, tuple[str, ...]]) -> str:
            name, options = scenario
            done = ran(tmp_path, "conformance", "server", "--url", url, "--scenario", name, *options)
            counts = re.search(r"Passed: (\d+)/(\d+), 0 failed, 0 warnings", done.stdout)
            good = done.returncode == 0 and counts is not None and counts[1] == counts[2] and counts[1] != "0"
            return "" if good else f"{name} {' '.join(options)}\n{done.stdout[-1500:]}{done.stderr[-500:]}"

        failed = [told for told in pool.map(verdict, wanted) if told]
    assert not failed, "\n".join(failed)


SERVE = (*PROGRAM, "serve")
INSPECTIONS: dict[str, tuple[str, ...]] = {
    "tools": ("--method", "tools/list", "--strict"),
    "prompts": ("--method", "prompts/list"),
    "a prompt": ("--method", "prompts/get", "--prompt-name", "review", "--prompt-args", "version=2"),
    "resources": ("--method", "resources/list"),
    "templates": ("--method", "resources/templates/list"),
    "a resource": ("--method", "resources/read", "--uri", "loop://versions/2/diff"),
    "skills": ("--method", "skills/list", "--verify", "--require-digests"),
    "a directory": ("--method", "resources/directory/read", "--uri", "skill://progressive-training"),
}


@pytest.mark.parametrize("what", INSPECTIONS)
@pytest.mark.whole(but=1)
def test_the_inspector_in_strict_modern_mode_finds_nothing_wrong(at: At, tmp_path: Path, what: str) -> None:
    folder = at("finished").root
    server = (*SERVE, "--project", str(folder))
    done = ran(tmp_path, "inspector", "--cli", *server, "--protocol-era", "modern", *INSPECTIONS[what])
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-2000:]
    assert done.stdout.strip()


@pytest.mark.whole
def test_three_hundred_calls_of_the_inspector_all_succeed(at: At, tmp_path: Path) -> None:
    load = ("--method", "tools/call", "--tool-name", "next_step", "--load", "--load-requests", "300")
    with served(at("finished")) as port:
        done = ran(
            tmp_path,
            "inspector",
            "--cli",
            *("--server-url", f"http://127.0.0.1:{port}/mcp", "--header", f"Authorization: {BEARER}"),
            *("--transport", "http", "--protocol-era", "modern", *load),
        )
    told = json.loads(done.stdout)
    assert (told["requests"], told["ok"], told["errors"], told["toolErrors"]) == (300, 300, 0, 0)


@pytest.mark.whole
def test_a_client_of_the_sdk_before_this_one_drives_a_whole_loop(tmp_path: Path) -> None:
    folder = make_project(tmp_path / FOLDER_NAME)
    folder.write("03_eval.py", EVALUATOR)
    python = ROOT / ".venv" / "old-client" / "bin" / "python"
    assert python.exists(), "the old client is missing: make .venv/.old-client"
    driver = str(Path(__file__).with_name("old_client.py"))
    done = subprocess.run(
        [str(python), driver, *SERVE, "--project", str(folder.root), "--", str(folder.root)],
        stdin=subprocess.DEVNULL,
        capture_output=True,
        encoding="utf-8",
        timeout=300,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "v002"), done.stderr[-3000:]
    assert folder.path("04_final_report.py").exists()
