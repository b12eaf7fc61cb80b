"""The agents that `setup` knows: where each looks for MCP servers, what it is to find there, and their token."""

import argparse
import os
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from pydantic import JsonValue

from ..bearer_token import VARIABLE, own_file, own_token
from .invocation import program

KEY = "loop"
Object = dict[str, JsonValue]


@dataclass(frozen=True)
class Client:
    """Where an agent looks for MCP servers.

    `folder` is what it puts in place of the open project's folder, None where it knows no such thing. `user_file` is
    its folder in the home folder and the file in it; `user_folder` the variable that names another such folder.
    `elsewhere` is how its own program adds a server for all projects.
    Of a server over HTTP it wants the address as `url`; `variable` is how its file names an environment variable.
    """

    title: str
    project_file: str
    section: str
    then: str
    user_file: tuple[str, str] | None = None
    user_folder: str = ""
    elsewhere: str = ""
    folder: str | None = None
    says_stdio: bool = False
    says_http: bool = False
    url: str = "url"
    variable: str = f"${{{VARIABLE}}}"


CLIENTS: Mapping[str, Client] = {
    "claude-code": Client(
        "Claude Code",
        ".mcp.json",
        "mcpServers",
        f"start claude in the project's folder and approve the server `{KEY}`",
        elsewhere=f"claude mcp add-json --scope user {KEY} ENTRY",
        folder="${CLAUDE_PROJECT_DIR:-.}",
        says_http=True,
    ),
    "codex": Client(
        "Codex",
        ".codex/config.toml",
        "mcp_servers",
        "codex mcp list; Codex reads a project's file once the project is trusted",
        user_file=(".codex", "config.toml"),
        user_folder="CODEX_HOME",
    ),
    "cursor": Client(
        "Cursor",
        ".cursor/mcp.json",
        "mcpServers",
        f"open the project in Cursor and enable `{KEY}` under Settings, MCP",
        user_file=(".cursor", "mcp.json"),
        folder="${workspaceFolder}",
        variable=f"${{env:{VARIABLE}}}",
    ),
    "vscode": Client(
        "VS Code",
        ".vscode/mcp.json",
        "servers",
        f"open the project in VS Code and start `{KEY}` with the command MCP: List Servers",
        elsewhere="the command MCP: Open User Configuration",
        folder="${workspaceFolder}",
        says_stdio=True,
        says_http=True,
        variable=f"${{env:{VARIABLE}}}",
    ),
    "gemini": Client(
        "Gemini CLI",
        ".gemini/settings.json",
        "mcpServers",
        "start gemini in the project's folder; /mcp shows the server",
        user_file=(".gemini", "settings.json"),
        url="httpUrl",
    ),
}


def entry_of(client: Client, project: Path, *, for_user: bool) -> Object:
    """What the client is to start; with the project's absolute path where it can't fill in the open folder."""
    folder = client.folder if client.folder is not None and not for_user else str(project)
    command, *first = _program()
    started: Object = {"command": command, "args": [*first, "serve", "--project", folder]}
    return {"type": "stdio", **started} if client.says_stdio else started


def http_entry_of(client: Client, url: str, token: str | None) -> Object:
    """What the client is to connect to. Without `token` it takes that from its environment, under VARIABLE."""
    reached: Object = {**({"type": "http"} if client.says_http else {}), client.url: url}
    if client.project_file.endswith(".toml"):  # Codex: no variable in a text, but its name
        return {
            **reached,
            **({"bearer_token_env_var": VARIABLE} if token is None else {"http_headers": _bearer(token)}),
        }
    return {**reached, "headers": _bearer(client.variable if token is None else token)}


def _bearer(token: str) -> Object:
    return {"Authorization": f"Bearer {token}"}


def _program() -> Sequence[str]:
    """How an editor is to start this very installation."""
    own = Path(sys.executable).parent
    # Where an environment is active only in this terminal, an editor started elsewhere would not find the program.
    path = os.pathsep.join(one for one in os.get_exec_path() if Path(one) != own or sys.prefix == sys.base_prefix)
    return program(path)


def on_token(_arguments: argparse.Namespace) -> int:
    """Prints the user's own token, which HTTP clients send; it is made first where there is none."""
    sys.stdout.write(f"{own_token(own_file())}\n")
    return 0
