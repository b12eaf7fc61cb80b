"""`progressive-training setup`: the entry for each agent's configuration, beside whatever is there."""

import json
import os
import re
import stat
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from progressive_training.server.cli.clients import CLIENTS
from support.e2e import PROGRAM, Ran, cli, environment
from support.projects import FOLDER_NAME

FILES = {name: client.project_file for name, client in CLIENTS.items()}
JSON_CLIENTS = [name for name, file in FILES.items() if file.endswith(".json")]
OF_THE_USER = {"codex": ".codex/config.toml", "cursor": ".cursor/mcp.json", "gemini": ".gemini/settings.json"}


@pytest.fixture
def project(tmp_path: Path) -> Path:
    made = tmp_path / FOLDER_NAME
    made.mkdir()
    return made


def put(project: Path, client: str, text: str) -> Path:
    path = project / FILES[client]
    path.parent.mkdir(exist_ok=True)
    path.write_text(text, encoding="utf-8")
    return path


def servers(path: Path) -> Any:
    text = path.read_text(encoding="utf-8")
    whole = tomllib.loads(text) if path.suffix == ".toml" else json.loads(text)
    return next(whole[name] for name in ("mcpServers", "servers", "mcp_servers") if name in whole)


def as_the_client_starts_it(entry: Any, project: Path) -> list[str]:
    """The command line, with the open project's folder filled in as the client does."""
    variables = ("${CLAUDE_PROJECT_DIR:-.}", "${workspaceFolder}")
    filled = [str(project) if word in variables else word for word in entry["args"]]
    return [entry["command"], *filled]


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.whole(but=1)
def test_the_entry_that_is_added_starts_the_server_of_the_project(project: Path, client: str, tmp_path: Path) -> None:
    run = cli(tmp_path, "setup", client, "--project", project.name)
    assert (run.code, run.err) == (0, "")
    assert f"{project / FILES[client]}: `loop` is added.\nNext: " in run.out
    entry = servers(project / FILES[client])["loop"]
    hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}
    said = subprocess.run(
        as_the_client_starts_it(entry, project),
        input=json.dumps({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": hello}) + "\n",
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        encoding="utf-8",
        timeout=60,
    )
    assert json.loads(said.stdout)["result"]["serverInfo"]["name"] == "progressive-training", said.stderr


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.whole(but=1)
def test_a_second_setup_changes_nothing(project: Path, client: str) -> None:
    cli(project, "setup", client)
    path = project / FILES[client]
    before = (path.read_bytes(), path.stat().st_mtime_ns)
    again = cli(project, "setup", client)
    assert (again.code, again.out) == (0, f"{path} has it already.\n")
    assert (path.read_bytes(), path.stat().st_mtime_ns) == before


@pytest.mark.parametrize("client", CLIENTS)
@pytest.mark.whole(but=1)
def test_a_dry_run_shows_the_entry_and_writes_nothing(project: Path, client: str) -> None:
    shown = cli(project, "setup", client, "--dry-run")
    path = project / FILES[client]
    head, _, entry = shown.out.partition("\n")
    assert (shown.code, head) == (0, f"{path} would get:")
    assert list(project.iterdir()) == []
    cli(project, "setup", client)
    whole = tomllib.loads(entry) if path.suffix == ".toml" else json.loads(entry)
    assert next(iter(whole.values())) == servers(path)


@pytest.mark.parametrize("client", JSON_CLIENTS)
@pytest.mark.whole(but=1)
def test_other_servers_and_settings_stay_in_their_order_with_their_indentation(project: Path, client: str) -> None:
    section = CLIENTS[client].section
    other = {"command": "other", "args": ["--한글", "a/b"]}
    before = {"theme": "어두움", section: {"other": other}, "limit": 1.5}
    path = put(project, client, json.dumps(before, indent=4, ensure_ascii=False))
    assert cli(project, "setup", client).code == 0
    text = path.read_text(encoding="utf-8")
    after = json.loads(text)
    added = after[section].pop("loop")
    assert after == before and list(after) == list(before) and added["args"][0] == "serve"
    assert '\n    "theme": "어두움"' in text


def test_in_toml_not_a_byte_of_what_was_there_changes(project: Path) -> None:
    before = '# mine\nmodel = "gpt"  # 이것\n\n[mcp_servers.other]\ncommand = "other"\n\n[profiles.a]\nx = 1'
    path = put(project, "codex", before)
    assert cli(project, "setup", "codex").code == 0
    text = path.read_text(encoding="utf-8")
    assert text.startswith(before + "\n\n[mcp_servers.loop]\n")
    assert tomllib.loads(text)["mcp_servers"]["other"] == {"command": "other"}


def test_line_ends_and_a_byte_order_mark_stay(project: Path) -> None:
    path = put(project, "cursor", "")
    path.write_bytes(b'\xef\xbb\xbf{\r\n\t"mcpServers": {}\r\n}\r\n')
    assert cli(project, "setup", "cursor").code == 0
    data = path.read_bytes()
    assert data.startswith(b'\xef\xbb\xbf{\r\n\t"mcpServers": {\r\n\t\t"loop"')
    assert data.count(b"\n") == data.count(b"\r\n")


REFUSED = {
    "comments": ("vscode", '{\n  // mine\n  "servers": {}\n}', "is not plain JSON"),
    "a trailing comma": ("vscode", '{"servers": {},}', "is not plain JSON"),
    "a key that comes twice": ("cursor", '{"mcpServers": {}, "mcpServers": {}}', "a key comes twice"),
    "a list": ("claude-code", "[]", "has no object 'mcpServers'"),
    "a section of another kind": ("gemini", '{"mcpServers": ["loop"]}', "has no object 'mcpServers'"),
    "another server under our key": ("claude-code", '{"mcpServers": {"loop": {"command": "x"}}}', "has another server"),
    "a number that JSON can't write": ("gemini", '{"a": 1e999}', "is not plain JSON"),
    "damaged TOML": ("codex", "model = ", "can't take another table"),
    "an inline table": ("codex", 'mcp_servers = {other = {command = "x"}}', "can't take another table"),
    "our key in TOML": ("codex", '[mcp_servers.loop]\ncommand = "x"\n', "has another server under mcp_servers.loop"),
    "TOML of another kind": ("codex", "mcp_servers = 3", "can't take another table"),
}


@pytest.mark.parametrize(("client", "text", "said"), REFUSED.values(), ids=REFUSED)
@pytest.mark.whole(but=3)
def test_what_can_not_be_kept_for_certain_is_left_alone_and_the_entry_is_shown(
    project: Path, client: str, text: str, said: str
) -> None:
    path = put(project, client, text)
    for arguments in ((), ("--dry-run",)):
        run = cli(project, "setup", client, *arguments)
        assert (run.code, run.out) == (1, "")
        assert run.err.startswith(f"{path}: ") and said in run.err
        assert "\nNext: " in run.err and '"serve"' in run.err and "Traceback" not in run.err
    assert path.read_text(encoding="utf-8") == text
    assert [one.name for one in path.parent.iterdir() if one.is_file()] == [path.name]


def test_a_file_that_is_no_text_or_a_link_is_left_alone(project: Path, tmp_path: Path) -> None:
    path = put(project, "claude-code", "")
    path.write_bytes(b'{"a": "\xff"}')
    assert "is not UTF-8 text" in cli(project, "setup", "claude-code").err
    elsewhere = path.rename(tmp_path / "elsewhere.json")
    path.symlink_to(elsewhere)
    assert "plain file" in cli(project, "setup", "claude-code").err
    assert elsewhere.read_bytes() == b'{"a": "\xff"}'


def test_who_may_read_the_file_stays_as_it_was(project: Path) -> None:
    path = put(project, "gemini", '{"key": "secret"}')
    path.chmod(0o600)
    assert cli(project, "setup", "gemini").code == 0
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


@pytest.mark.parametrize("client", ["codex", "cursor", "vscode", "gemini"])
@pytest.mark.whole(but=1)
def test_a_folder_that_is_made_for_the_file_is_one_that_the_user_can_open(project: Path, client: str) -> None:
    (usual := project / "usual").mkdir()
    assert cli(project, "setup", client).code == 0
    made = (project / FILES[client]).parent
    assert made != project and stat.S_IMODE(made.stat().st_mode) == stat.S_IMODE(usual.stat().st_mode)


def setup_for_user(client: str, project: Path, home: Path, *options: str, **more: str) -> Ran:
    done = subprocess.run(
        [*PROGRAM, "setup", client, "--user", *options],
        cwd=project,
        env=environment(HOME=str(home), **more),
        capture_output=True,
        encoding="utf-8",
    )
    return Ran(done.returncode, done.stdout, done.stderr)


@pytest.mark.parametrize("client", OF_THE_USER)
def test_in_the_users_own_configuration_the_project_is_named_by_its_path(
    project: Path, client: str, tmp_path: Path
) -> None:
    assert setup_for_user(client, project, tmp_path).code == 0
    assert servers(tmp_path / OF_THE_USER[client])["loop"]["args"][-1] == str(project)
    assert list(project.iterdir()) == []


def test_codex_is_followed_to_another_home(project: Path, tmp_path: Path) -> None:
    (tmp_path / "codex").mkdir()
    assert setup_for_user("codex", project, tmp_path, CODEX_HOME=str(tmp_path / "codex")).code == 0
    assert "loop" in servers(tmp_path / "codex" / "config.toml")


@pytest.mark.parametrize("client", sorted(CLIENTS.keys() - OF_THE_USER.keys()))
def test_a_file_that_only_the_agent_itself_should_write_is_refused_with_its_own_command(
    project: Path, client: str, tmp_path: Path
) -> None:
    run = setup_for_user(client, project, tmp_path)
    assert (run.code, run.out) == (1, "") and f"Next: use {CLIENTS[client].elsewhere}" in run.err


def test_every_agent_is_on_the_command_line_and_no_other(project: Path) -> None:
    assert f"{{{','.join(CLIENTS)}}}" in cli(project, "setup", "--help").out
    assert cli(project, "setup", "emacs").code == 2
    assert "there is no such project folder" in cli(project, "setup", "codex", "--project", "nowhere").err


def test_the_program_is_named_bare_only_where_every_program_would_find_it(project: Path, tmp_path: Path) -> None:
    script = Path(sys.executable).parent / "progressive-training"
    outside = tmp_path / "bin"
    outside.mkdir()
    path = os.pathsep.join(one for one in os.get_exec_path() if Path(one) != script.parent)

    def command(*folders: Path) -> str:
        paths = os.pathsep.join([*map(str, folders), path])
        done = subprocess.run([*PROGRAM, "setup", "claude-code", "--dry-run"], cwd=project, env=environment(PATH=paths),
                              capture_output=True, encoding="utf-8")  # fmt: skip
        return json.loads(done.stdout.partition("\n")[2])["mcpServers"]["loop"]["command"]

    assert command(script.parent) == str(script), "the environment is active in this terminal only"
    (outside / "progressive-training").write_text("#!/bin/sh\n")
    (outside / "progressive-training").chmod(0o755)
    assert command(outside) == str(script), "another installation is found there"
    (outside / "progressive-training").unlink()
    (outside / "progressive-training").symlink_to(script)
    assert command(outside) == "progressive-training"


@pytest.mark.requirement("C1")
def test_rules_beside_the_skill_of_the_plugin_hold_where_the_project_has_none(project: Path, tmp_path: Path) -> None:
    skill = tmp_path / "plugin" / "skill"
    skill.mkdir(parents=True)
    (skill / "SKILL.md").write_text("---\nname: progressive-training\n---\n", encoding="utf-8")
    (skill / "user_defined_rules.json").write_text('{"training_config": {"epochs": 7}}', encoding="utf-8")
    (project / "02_train_baseline.py").write_text('VERSION = "baseline"\n', encoding="utf-8")
    done = subprocess.run(
        [*PROGRAM, "rules", "--json"],
        cwd=project,
        env=environment(CLAUDE_PLUGIN_ROOT=str(tmp_path / "plugin")),
        capture_output=True,
        encoding="utf-8",
    )
    assert json.loads(done.stdout)["fixed"] == {"training_config.epochs": 7}, done.stderr


HTTP = ("--http", "127.0.0.1:8765")


def as_the_client_sends_it(entry: Any, variables: Mapping[str, str]) -> str:
    """The Authorization header, with variables filled in as the client does."""
    if "bearer_token_env_var" in entry:
        return f"Bearer {variables[entry['bearer_token_env_var']]}"
    header = entry.get("headers", entry.get("http_headers"))["Authorization"]
    return re.sub(r"\$\{(?:env:)?(\w+)\}", lambda found: variables[found[1]], header)


@pytest.mark.parametrize("client", CLIENTS)
def test_over_http_the_projects_file_names_the_token_and_does_not_tell_it(
    project: Path, tmp_path: Path, client: str
) -> None:
    run = cli(project, "setup", client, *HTTP, XDG_CONFIG_HOME=str(tmp_path))
    assert run.code == 0 and 'Next: export PROGRESSIVE_TRAINING_TOKEN="$(' in run.out and "token" in run.out
    entry = servers(project / FILES[client])["loop"]
    assert entry.get("url", entry.get("httpUrl")) == "http://127.0.0.1:8765/mcp"
    assert as_the_client_sends_it(entry, {"PROGRESSIVE_TRAINING_TOKEN": "it"}) == "Bearer it"
    assert list(tmp_path.rglob("token")) == [], "nothing was made for it"


@pytest.mark.parametrize("client", OF_THE_USER)
def test_over_http_the_users_own_file_holds_the_token_and_only_they_can_read_it(
    project: Path, tmp_path: Path, client: str
) -> None:
    path = tmp_path / OF_THE_USER[client]
    path.parent.mkdir()
    path.touch(0o644)
    more = {"XDG_CONFIG_HOME": str(tmp_path / "config")}
    shown = setup_for_user(client, project, tmp_path, *HTTP, "--dry-run", **more)
    assert shown.code == 0 and "Bearer TOKEN" in shown.out and not (tmp_path / "config").exists()
    run = setup_for_user(client, project, tmp_path, *HTTP, **more)
    token = (tmp_path / "config/progressive-training/token").read_text().strip()
    assert as_the_client_sends_it(servers(path)["loop"], {}) == f"Bearer {token}"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600 and "only you can read the file" in run.out
    again = setup_for_user(client, project, tmp_path, "--http", "127.0.0.1:9", **more)
    assert again.code == 1 and "has another server" in again.err and token not in again.err + run.out


def test_the_server_of_another_machine_is_not_connected_with_this_users_token(project: Path) -> None:
    run = cli(project, "setup", "codex", "--http", "gpu.example:8765")
    assert run.code == 1 and "is not this machine" in run.err and list(project.iterdir()) == []
