"""The skill and the plugin say what the code does: names, tools, failure kinds, and an example that really applies."""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import tomllib
from inspect import Parameter, signature
from pathlib import Path
from types import ModuleType
from typing import Any, get_args

import pytest
import yaml
from skills_ref import validate

from progressive_training.loop.author.action import Action, require_one_action
from progressive_training.loop.author.patch import apply_patch, parse_diff
from progressive_training.loop.project.failures import ADVICE
from progressive_training.loop.project.receipts import INFRASTRUCTURE, FailureKind
from progressive_training.loop.script.changes import changed_symbols
from progressive_training.loop.script.source import Script
from progressive_training.server.app import MAX_WAIT_SECONDS
from progressive_training.server.cli.main import opened
from progressive_training.server.cli.options import parser
from progressive_training.tools import STEPS
from support.projects import FOLDER_NAME

ROOT = Path(__file__).resolve().parents[2]
SKILL = ROOT / "skill" / "SKILL.md"
PAGES = [SKILL, *sorted((ROOT / "skill" / "references").glob("*.md"))]
EXAMPLE = (ROOT / "skill" / "references" / "worked-example.md").read_text(encoding="utf-8")
DIGITS = (ROOT / "examples" / "digits" / "02_train_baseline.py").read_text(encoding="utf-8")
STEP = {step.name: step for step in STEPS}


def frontmatter() -> dict[str, Any]:
    return yaml.safe_load(SKILL.read_text(encoding="utf-8").split("---\n")[1])


def object_of(name: str) -> Any:
    return json.loads((ROOT / name).read_text(encoding="utf-8"))


def parameters(tool: str) -> dict[str, Parameter]:
    """What a client may pass: neither the project nor what is for callers in this process."""
    found = list(signature(STEP[tool].function).parameters.values())[1:]
    return {one.name: one for one in found if one.kind is not Parameter.KEYWORD_ONLY}


# The skill


def test_the_official_validator_finds_nothing_wrong_with_the_skill() -> None:
    assert validate(ROOT / ".agents" / "skills" / "progressive-training") == []


def test_the_frontmatter_has_only_what_the_specification_knows() -> None:
    found = frontmatter()
    assert found.keys() <= {"name", "description", "license", "compatibility", "metadata", "allowed-tools"}
    assert found["name"] == "progressive-training"
    assert len(found["description"]) <= 1024 and len(found["compatibility"]) <= 500


@pytest.mark.requirement("C8")
def test_the_description_triggers_in_both_languages_and_says_never_unasked_in_both() -> None:
    description = frontmatter()["description"]
    for words in (
        "/progressive-training",
        "build-baseline",
        "Never start it unasked",
        "요청 없이 먼저 시작하지 않습니다",
    ):
        assert words in description
    korean = description[description.index("베이스라인") :]
    assert "/progressive-training" in korean and "build-baseline" in korean


def test_it_is_short_enough_to_be_read_at_once() -> None:
    assert len(SKILL.read_text(encoding="utf-8").splitlines()) < 500
    assert all(len(page.read_text(encoding="utf-8").splitlines()) < 200 for page in PAGES)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_tool_and_argument_that_it_names_exists(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    calls = re.findall(r"`(\w+)\(([^`)]*)\)`", text)
    for tool, arguments in calls:
        assert tool in STEP, f"{page.name} names {tool}"
        known = {*parameters(tool), "wait_seconds"} if STEP[tool].waits else {*parameters(tool)}
        named = {argument.partition("=")[0].strip() for argument in arguments.split(",") if argument.strip()}
        assert named <= known, f"{tool} has no {named - known}"
    named = re.findall(r"`((?:read|run|write|start|next|cancel|final|repair|author)_\w+)`", text)
    assert {*named} <= STEP.keys()
    assert all(int(seconds) <= MAX_WAIT_SECONDS for seconds in re.findall(r"wait_seconds\D{1,4}(\d+)", text))


def test_it_names_every_tool() -> None:
    assert {name for name in STEP if name in SKILL.read_text(encoding="utf-8")} == STEP.keys()


@pytest.mark.requirement("T4")
def test_every_failure_kind_has_a_row_that_agrees_with_the_loop() -> None:
    rows = dict(re.findall(r"^\| `([a-z ]+)` \| (.*) \|$", SKILL.read_text(encoding="utf-8"), re.MULTILINE))
    assert rows.keys() == {*get_args(FailureKind)} == ADVICE.keys()
    for kind, row in rows.items():
        tool = "write_eval" if kind == "invalid score" else "run_train" if kind in INFRASTRUCTURE else "repair_version"
        assert tool in row or kind == "cancelled", f"{kind}: {row}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_of_the_skill_leads_to_a_file_of_the_skill(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        assert (page.parent / target).resolve().is_relative_to(ROOT / "skill") and (page.parent / target).is_file()


def test_every_reference_is_linked_from_the_skill() -> None:
    linked = {*re.findall(r"\]\((references/[^)]+)\)", SKILL.read_text(encoding="utf-8"))}
    assert linked == {f"references/{page.name}" for page in PAGES[1:]}


@pytest.mark.parametrize("client", [".agents", ".claude"])
def test_clients_find_it_under_its_name_by_a_link_that_git_keeps(client: str) -> None:
    link = ROOT / client / "skills" / "progressive-training"
    assert link.is_symlink() and link.readlink() == Path("../../skill")
    assert link.resolve() == SKILL.parent


# The worked example


def calls_of_the_example() -> list[tuple[str, dict[str, Any]]]:
    blocks = re.findall(r"^```json\n(.*?)^```", EXAMPLE, re.MULTILINE | re.DOTALL)
    return [(block["tool"], block["arguments"]) for block in map(json.loads, blocks)]


def test_every_call_of_the_worked_example_has_its_required_arguments_and_no_others() -> None:
    tools: list[str] = []
    for tool, arguments in calls_of_the_example():
        known = parameters(tool)
        required = {name for name, one in known.items() if one.default is Parameter.empty}
        assert required <= arguments.keys() <= {*known, *(["wait_seconds"] if STEP[tool].waits else [])}, tool
        tools.append(tool)
    one_version = ["run_eval", "next_step", "write_analysis", "write_action", "author_next_version", "run_train"]
    assert tools == [*one_version, "final_report", "final_report"]


@pytest.mark.requirement("X1", "N1")
def test_the_diff_of_the_worked_example_applies_and_is_its_one_action() -> None:
    action = next(arguments for tool, arguments in calls_of_the_example() if tool == "write_action")
    script = Script.parse(DIGITS, "02_train_v003.py")
    parts = {name: value for name, value in action.items() if name != "version"}
    require_one_action(script, Action(**{**parts, "where": tuple(parts["where"])}))
    blocks = re.findall(r"^```(?:diff)?\n((?:--- |<<<<<<< SEARCH).*?)^```", EXAMPLE, re.MULTILINE | re.DOTALL)
    made = [apply_patch(DIGITS, parse_diff(block)[0], name=script.name).text for block in blocks]
    assert len(made) == 2 and made[0] == made[1] != DIGITS
    assert [*changed_symbols(script, Script.parse(made[0], script.name)).symbols] == action["where"]


def test_the_refusals_are_in_the_words_of_the_loop() -> None:
    code = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "loop").rglob("*.py"))
    page = (ROOT / "skill" / "references" / "refusals.md").read_text(encoding="utf-8")
    texts = [text for row in re.findall(r"^\| (.*?) \|", page, re.MULTILINE) for text in re.findall(r"`([^`]+)`", row)]
    pieces = [piece.strip(" :,") for text in texts for piece in re.split(r"…|\b02_train_v\d+\.py|\d+|: \w*", text)]
    assert len(texts) >= 10
    assert [piece for piece in pieces if len(piece) > 8 and piece not in code] == []


# The plugin, and what registries read


def test_the_plugin_is_of_this_version_and_holds_the_skill_and_the_server() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    plugin, market = object_of(".claude-plugin/plugin.json"), object_of(".claude-plugin/marketplace.json")
    assert (plugin["name"], plugin["version"]) == (project["name"], project["version"])
    assert plugin["skills"] == ["./skill"]
    assert [(one["name"], one["source"]) for one in market["plugins"]] == [(project["name"], "./")]
    assert [*object_of(".mcp.json")["mcpServers"]] == ["loop"]
    name = f"mcp__plugin_{plugin['name']}_loop__"
    assert max(len(name + step.name) for step in STEPS) <= 64, "some clients cap tool names there"


def test_the_registry_entry_is_of_this_version_and_the_readme_vouches_for_it() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    entry = object_of("server.json")
    package = entry["packages"][0]
    assert {entry["version"], package["version"]} == {project["version"]} and package["identifier"] == project["name"]
    assert len(entry["description"]) <= 100, "the registry cuts there"
    words = [argument.get("value") or argument["name"] for argument in package["packageArguments"]]
    assert parser().parse_args([*words, "folder"]).project == "folder"
    assert f"mcp-name: {entry['name']} " in (ROOT / "README.md").read_text(encoding="utf-8")


# How the plugin starts the server


def start_of_the_plugin(plugin: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """The plugin's server as Claude Code starts it, from its copy of the checkout."""
    (plugin / ".claude-plugin").mkdir(parents=True)
    for script in ("serve.sh", "program.sh"):
        shutil.copy2(ROOT / ".claude-plugin" / script, plugin / ".claude-plugin")
    server = object_of(".mcp.json")["mcpServers"]["loop"]
    return subprocess.run(
        [server["command"], *server["args"]],
        cwd=plugin.parent,
        env={"PATH": os.defpath, "HOME": str(plugin.parent), "CLAUDE_PLUGIN_ROOT": str(plugin), **environment},
        capture_output=True,
        encoding="utf-8",
    )


def program(folder: Path, name: str) -> Path:
    """A program that says how it was called."""
    folder.mkdir(parents=True)
    (folder / name).write_text('#!/bin/sh\necho "$0" "$@"\n', encoding="utf-8")
    (folder / name).chmod(0o755)
    return folder / name


def test_the_plugin_starts_the_installed_server_for_the_project_that_is_open(tmp_path: Path) -> None:
    installed = program(tmp_path / "bin", "progressive-training")
    project = str(tmp_path / FOLDER_NAME)
    path = f"{installed.parent}:{os.defpath}"
    started = start_of_the_plugin(tmp_path / "my plugin", PATH=path, CLAUDE_PROJECT_DIR=project)
    assert started.stdout == f"{installed} serve --project {project}\n", started.stderr


def test_the_plugin_finds_what_was_installed_for_the_user_alone(tmp_path: Path) -> None:
    installed = program(tmp_path / ".local" / "bin", "progressive-training")
    assert start_of_the_plugin(tmp_path / "plugin").stdout == f"{installed} serve --project .\n"


def test_without_an_installation_the_plugin_runs_its_own_copy_with_uvx(tmp_path: Path) -> None:
    uvx = program(tmp_path / "bin", "uvx")
    plugin = tmp_path / "my plugin"
    started = start_of_the_plugin(plugin, PATH=f"{uvx.parent}:{os.defpath}")
    assert started.stdout == f"{uvx} --from {plugin} progressive-training serve --project .\n"


def test_with_neither_the_plugin_says_what_to_install(tmp_path: Path) -> None:
    told = start_of_the_plugin(tmp_path / "plugin")
    assert (told.returncode, told.stdout) == (127, "")
    assert "progressive-training is not installed" in told.stderr and "Next: pip install" in told.stderr


def test_opening_a_project_runs_nothing_that_lies_in_it(tmp_path: Path) -> None:
    project = tmp_path / FOLDER_NAME
    program(project / ".venv" / "bin", "progressive-training")
    assert start_of_the_plugin(tmp_path / "plugin", CLAUDE_PROJECT_DIR=str(project)).returncode == 127


@pytest.fixture(scope="module")
def bundle() -> ModuleType:
    spec = importlib.util.spec_from_file_location("bundle", ROOT / "bench" / "bundle.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    return made


def test_the_bundle_holds_every_package_and_starts_the_command_line(bundle: ModuleType, tmp_path: Path) -> None:
    bundle.stage(tmp_path)
    manifest = json.loads((tmp_path / "manifest.json").read_text(encoding="utf-8"))
    config = tomllib.loads((tmp_path / "pyproject.toml").read_text(encoding="utf-8"))
    assert manifest["version"] == config["project"]["version"]
    assert (tmp_path / manifest["server"]["entry_point"]).is_file()
    assert all((tmp_path / path).is_dir() for path in config["tool"]["setuptools"]["package-dir"].values())
    arguments = manifest["server"]["mcp_config"]["args"]
    assert callable(opened(parser().parse_args(arguments[arguments.index(config["project"]["name"]) + 1 :]).door))


def test_the_bundle_holds_nothing_that_git_ignores(bundle: ModuleType, tmp_path: Path) -> None:
    checkout, staged = tmp_path / "checkout", tmp_path / "staged"
    staged.mkdir()
    for name in ("pyproject.toml", "README.md", "LICENSE", ".gitignore"):
        (checkout / name).parent.mkdir(exist_ok=True)
        shutil.copy2(ROOT / name, checkout)
    packages = tomllib.loads((checkout / "pyproject.toml").read_text(encoding="utf-8"))["tool"]["setuptools"]
    for path in packages["package-dir"].values():
        for kept in ("module.py", "demo/data.json"):  # /demo/ is ignored in the root only
            (checkout / path / kept).parent.mkdir(parents=True, exist_ok=True)
            (checkout / path / kept).touch()
        for junk in ("__pycache__", ".ruff_cache/0.9", ".pytest_cache", ".hypothesis", "x.egg-info", "build", "dist"):
            (checkout / path / junk).mkdir(parents=True)
            (checkout / path / junk / "left.txt").touch()
    bundle.stage(staged, checkout)
    assert {path.name for path in staged.rglob("*") if path.is_file()} == {
        *("pyproject.toml", "README.md", "LICENSE", "manifest.json", "module.py", "data.json"),
    }
