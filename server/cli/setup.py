"""Connecting the loop to an agent: the entry for its configuration file, added beside whatever is there."""

import argparse
import json
import os
import re
import sys
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from ...loop.errors import LoopError
from ...loop.store.tree import Tree
from .invocation import program
from .progress_display import console

KEY = "loop"
_BOM = b"\xef\xbb\xbf"
Object = dict[str, JsonValue]


@dataclass(frozen=True)
class Client:
    """Where an agent looks for MCP servers.

    `folder` is what it puts in place of the open project's folder, None where it knows no such thing. `user_file` is
    its folder in the home folder and the file in it; `user_folder` the variable that names another such folder.
    `elsewhere` is how its own program adds a server for all projects.
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


CLIENTS: Mapping[str, Client] = {
    "claude-code": Client(
        "Claude Code",
        ".mcp.json",
        "mcpServers",
        f"start claude in the project's folder and approve the server `{KEY}`",
        elsewhere=f"claude mcp add --scope user {KEY} -- …",
        folder="${CLAUDE_PROJECT_DIR:-.}",
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
    ),
    "vscode": Client(
        "VS Code",
        ".vscode/mcp.json",
        "servers",
        f"open the project in VS Code and start `{KEY}` with the command MCP: List Servers",
        elsewhere="the command MCP: Open User Configuration",
        folder="${workspaceFolder}",
        says_stdio=True,
    ),
    "gemini": Client(
        "Gemini CLI",
        ".gemini/settings.json",
        "mcpServers",
        "start gemini in the project's folder; /mcp shows the server",
        user_file=(".gemini", "settings.json"),
    ),
}


def on_setup(arguments: argparse.Namespace) -> int:
    """Adds the server to the client's file, or only shows the entry; an entry that is there already is left alone.

    Raises `LoopError` for a file that can't be read for certain, or holds another server under our key.
    """
    client, project, for_user = CLIENTS[arguments.client], Path(arguments.project), arguments.user
    if not project.is_dir():
        raise LoopError("there is no such project folder", where=str(project), hint="give --project a folder")
    root, relative = _file(client, project, for_user=for_user)
    entry = entry_of(client, project.resolve(), for_user=for_user)
    before = _content(root, relative)
    change = _with_table if relative.endswith(".toml") else _with_member
    after = change(before, client.section, entry, root / relative)
    out = console()
    if after is None:
        out.print(f"{root / relative} has it already.", markup=False)
        return 0
    if arguments.dry_run:
        out.print(f"{root / relative} would get:\n{shown(relative, client.section, entry)}", markup=False)
        return 0
    _write(root, relative, after)
    out.print(f"{root / relative}: `{KEY}` is added.\nNext: {client.then}", markup=False)
    return 0


def _file(client: Client, project: Path, *, for_user: bool) -> tuple[Path, str]:
    if not for_user:
        return project.resolve(), client.project_file
    if client.user_file is None:
        raise LoopError(
            f"{client.title} keeps the servers of all projects in a file of its own that only it should write",
            hint=f"use {client.elsewhere} with the entry that --dry-run without --user shows",
        )
    folder, name = client.user_file
    if moved := os.environ.get(client.user_folder):
        return Path(moved).resolve(), name
    return Path.home().resolve(), f"{folder}/{name}"


def entry_of(client: Client, project: Path, *, for_user: bool) -> Object:
    """What the client is to start; with the project's absolute path where it can't fill in the open folder."""
    folder = client.folder if client.folder is not None and not for_user else str(project)
    command, *first = _program()
    started: Object = {"command": command, "args": [*first, "serve", "--project", folder]}
    return {"type": "stdio", **started} if client.says_stdio else started


def _program() -> Sequence[str]:
    """How an editor is to start this very installation."""
    own = Path(sys.executable).parent
    # Where an environment is active only in this terminal, an editor started elsewhere would not find the program.
    path = os.pathsep.join(one for one in os.get_exec_path() if Path(one) != own or sys.prefix == sys.base_prefix)
    return program(path)


def shown(relative: str, section: str, entry: Object) -> str:
    """The entry as it stands in the client's file."""
    return _table(section, entry) if relative.endswith(".toml") else _json({section: {KEY: entry}}, "  ")


def _content(root: Path, relative: str) -> bytes | None:
    try:
        return Tree(root).read(relative)
    except FileNotFoundError:
        return None


def _with_member(before: bytes | None, section: str, entry: Object, where: Path) -> bytes | None:
    """The JSON with the entry, None if it has it. Its order, indentation and line ends stay."""
    text = _text(before, where)
    by_hand = f"add this by hand:\n{shown('.json', section, entry)}"
    try:
        whole: object = json.loads(text, object_pairs_hook=_once) if text.strip() else {}
        servers = cast(Object, whole).get(section, {}) if isinstance(whole, dict) else None
        if not isinstance(servers, dict):
            raise LoopError(f"has no object {section!r} to add to", where=str(where), hint=by_hand)
        if KEY in servers:
            _require_same(servers[KEY], entry, section, where, by_hand)
            return None
        indent = re.search(r'\n([ \t]+)"', text)
        made = _json({**cast(Object, whole), section: {**servers, KEY: entry}}, indent[1] if indent else "  ")
        return _bytes(f"{made}\n", before)
    except (ValueError, RecursionError) as error:
        told = f"is not plain JSON that could be written again ({error}), so it is left as it is"
        raise LoopError(told, where=str(where), hint=by_hand) from error


def _with_table(before: bytes | None, section: str, entry: Object, where: Path) -> bytes | None:
    """The TOML with the entry as a table at its end, None if it has it; not a byte before it changes."""
    text = _text(before, where)
    by_hand = f"add this by hand:\n{_table(section, entry)}"
    try:
        whole = tomllib.loads(text)
        servers = whole.get(section, {})
        if KEY in servers:
            _require_same(servers[KEY], entry, section, where, by_hand)
            return None
        gap = "" if not text else "\n" if text.endswith("\n") else "\n\n"
        made = f"{text}{gap}{_table(section, entry)}\n"
        expected = {**whole, section: {**servers, KEY: entry}}
        fits = tomllib.loads(made) == expected
    except (tomllib.TOMLDecodeError, TypeError) as error:
        told = f"can't take another table ({error}), so it is left as it is"
        raise LoopError(told, where=str(where), hint=by_hand) from error
    if not fits:
        raise LoopError("can't take another table, so it is left as it is", where=str(where), hint=by_hand)
    return _bytes(made, before)


def _require_same(found: object, entry: Object, section: str, where: Path, by_hand: str) -> None:
    if found != entry:
        raise LoopError(
            f"has another server under {section}.{KEY}, which is left as it is",
            where=str(where),
            hint=f"if it may go, remove it there and {by_hand.replace('add this by hand', 'put this in its place')}",
        )


def _once(pairs: list[tuple[str, JsonValue]]) -> Object:
    """An object, unless a key comes twice: one of the two would be lost."""
    made = dict(pairs)
    if len(made) != len(pairs):
        raise ValueError("a key comes twice")
    return made


def _json(value: Object, indent: str) -> str:
    return json.dumps(value, ensure_ascii=False, indent=indent, allow_nan=False)


def _table(section: str, entry: Object) -> str:
    """JSON's strings and lists of strings are TOML's too."""
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in entry.items()]
    return "\n".join((f"[{section}.{KEY}]", *lines))


def _text(before: bytes | None, where: Path) -> str:
    try:
        return (before or b"").decode("utf-8-sig").replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        raise LoopError("is not UTF-8 text", where=str(where), hint="save it as UTF-8") from error


def _bytes(text: str, before: bytes | None) -> bytes:
    before = before or b""
    ended = text.replace("\n", "\r\n") if b"\r\n" in before else text
    return (_BOM if before.startswith(_BOM) else b"") + ended.encode()


def _write(root: Path, relative: str, data: bytes) -> None:
    """Written beside it and renamed over it. Who may read it stays as it was: these files may hold keys."""
    path = root / relative
    if not path.exists():  # the file and its folder are made as the user's umask says
        Tree(root).write(relative, data)
        return
    before = os.umask(0o777 & ~path.stat().st_mode)
    try:
        Tree(root).write(relative, data)
    finally:
        os.umask(before)
