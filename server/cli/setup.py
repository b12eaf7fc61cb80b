"""Connecting the loop to an agent: the entry for its configuration file, added beside whatever is there."""

import argparse
import json
import os
import re
import tomllib
from pathlib import Path
from typing import cast

from pydantic import JsonValue

from ...loop.errors import LoopError
from ...loop.store.tree import Tree
from ..addresses import ENDPOINT, host_and_port, is_loopback
from ..bearer_token import VARIABLE, own_file, own_token
from .clients import CLIENTS, KEY, Client, Object, entry_of, http_entry_of
from .invocation import command
from .progress_display import console

_BOM = b"\xef\xbb\xbf"
_HEADERS = ("headers", "http_headers")


def on_setup(arguments: argparse.Namespace) -> int:
    """Adds the server to the client's file, or only shows the entry; an entry that is there already is left alone.

    Raises `LoopError` for a file that can't be read for certain, or holds another server under our key.
    """
    client, project, for_user = CLIENTS[arguments.client], Path(arguments.project), arguments.user
    if not project.is_dir():
        raise LoopError("there is no such project folder", where=str(project), hint="give --project a folder")
    root, relative = _file(client, project, for_user=for_user)
    # In the project's own file the user's code would find the token, and so would whoever the file is handed to.
    token = None
    if arguments.http and for_user and not (root / relative).is_relative_to(project.resolve()):
        token = own_token(own_file()) if not arguments.dry_run or own_file().exists() else "TOKEN"
    if arguments.http:
        entry = http_entry_of(client, _address(arguments.http), token)
    else:
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
    _write(root, relative, after, secret=token is not None)
    told = ", and only you can read the file, since it holds your token" if token else ""
    out.print(f"{root / relative}: `{KEY}` is added{told}.", markup=False, soft_wrap=True)
    if arguments.http and token is None:
        out.print(f'Next: export {VARIABLE}="$({command("token")})", and in that shell', markup=False, soft_wrap=True)
        out.print(client.then, markup=False)
    else:
        out.print(f"Next: {client.then}", markup=False)
    return 0


def _address(http: str) -> str:
    host, _ = host_and_port(http)
    if not is_loopback(host):
        raise LoopError(
            f"{host!r} is not this machine, and another one's server has a token of its own",
            where="--http",
            hint=f"put http(s)://{http}{ENDPOINT} and `Authorization: Bearer` with that token into the client's "
            "configuration by hand (docs/clients.md), or give its port on this machine, through an SSH tunnel",
        )
    return f"http://{http}{ENDPOINT}"


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


def shown(relative: str, section: str, entry: Object) -> str:
    """The entry as it stands in the client's file, but for the token, of which nothing is shown."""
    entry = _hidden(entry)
    return _table(section, entry) if relative.endswith(".toml") else _json({section: {KEY: entry}}, "  ")


def _hidden(entry: Object) -> Object:
    return {
        name: {"Authorization": "Bearer TOKEN"} if name in _HEADERS and "$" not in str(value) else value
        for name, value in entry.items()
    }


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
    by_hand = f"add this by hand:\n{shown('.toml', section, entry)}"
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
    """JSON's strings and lists of strings are TOML's too; what is one deeper gets a dotted key."""
    flat = [
        (f"{name}.{below}" if below else name, inner)
        for name, value in entry.items()
        for below, inner in (value.items() if isinstance(value, dict) else (("", value),))
    ]
    lines = [f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in flat]
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


def _write(root: Path, relative: str, data: bytes, *, secret: bool) -> None:
    """Written beside it and renamed over it. Who may read it stays as it was, since these files may hold keys.

    With a `secret` it is the user alone.
    """
    path = root / relative
    if path.exists():
        hidden = 0o777 & ~path.stat().st_mode
    elif secret:
        hidden = 0o077
    else:  # the file and its folder are made as the user's umask says
        Tree(root).write(relative, data)
        return
    before = os.umask(hidden | (0o077 if secret else 0))
    try:
        Tree(root).write(relative, data)
    finally:
        os.umask(before)
