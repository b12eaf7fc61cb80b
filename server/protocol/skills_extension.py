"""The skills extension (`io.modelcontextprotocol/skills`, SEP-2640): our skill's files and their manifest."""

import hashlib
import mimetypes
from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

from mcp.server.context import HandlerResult, ServerRequestContext
from mcp.server.extension import Extension, MethodBinding
from mcp.server.lowlevel.helper_types import ReadResourceContents
from mcp.server.mcpserver.exceptions import ResourceNotFoundError
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS, PaginatedRequestParams, RequestParams, Resource

IDENTIFIER = "io.modelcontextprotocol/skills"
# Beside this package in a checkout and in an installed wheel alike (pyproject.toml maps it so).
FOLDER = Path(__file__).resolve().parents[2] / "skill"
_NAME = "progressive-training"
_ROOT = f"skill://{_NAME}"
_SKILL = f"{_ROOT}/SKILL.md"
_DIRECTORY = "inode/directory"
# It changes with the installed version only; a client of a checkout sees an edit within the minute.
_CACHE = {"ttlMs": 60_000, "cacheScope": "public"}


class UriParams(RequestParams):
    uri: str


class DirectoryParams(PaginatedRequestParams):
    uri: str


class SkillsExtension(Extension):
    """Everything is read from disk when it is asked for."""

    identifier = IDENTIFIER

    def settings(self) -> dict[str, Any]:
        return {"directoryRead": True}

    def methods(self) -> Sequence[MethodBinding]:
        return (
            MethodBinding("skills/list", PaginatedRequestParams, self._list),
            MethodBinding("skills/get", UriParams, self._get),
            MethodBinding("resources/directory/read", DirectoryParams, self._directory),
        )

    async def _list(self, ctx: ServerRequestContext[Any, Any], params: PaginatedRequestParams) -> HandlerResult:
        return {"resultType": "complete", "skills": [_entry()], **_CACHE}

    async def _get(self, ctx: ServerRequestContext[Any, Any], params: UriParams) -> HandlerResult:
        if params.uri != _SKILL:
            raise MCPError(INVALID_PARAMS, f"no skill is served at {params.uri}; the one that is: {_SKILL}")
        return {"resultType": "complete", "skill": _entry(), **_CACHE}

    async def _directory(self, ctx: ServerRequestContext[Any, Any], params: DirectoryParams) -> HandlerResult:
        folders = {_uri(path): path for path in (FOLDER, *_walk()) if path.is_dir()}
        folder = folders.get(params.uri)
        if folder is None:
            raise MCPError(INVALID_PARAMS, f"{params.uri} is not a directory resource; the skill's is {_ROOT}")
        children = [_resource(path) for path in _walk() if path.parent == folder]
        return {"resultType": "complete", "resources": [_dumped(child) for child in children], **_CACHE}


def skill_resources() -> list[Resource]:
    """The skill's files, SKILL.md first, as `resources/list` names them."""
    return [_resource(path) for path in _files()]


def read_skill(uri: str) -> ReadResourceContents:
    """Raises `ResourceNotFoundError` for what is no file of the skill."""
    path = {_uri(path): path for path in _files()}.get(uri)
    if path is None:
        raise ResourceNotFoundError(f"{uri} is no file of the skill; resources/list names them")
    kind, data = _kind(path), path.read_bytes()
    return ReadResourceContents(content=data.decode() if kind.startswith("text/") else data, mime_type=kind)


def _walk() -> list[Path]:
    paths = (path for path in FOLDER.rglob("*") if not any(part.startswith((".", "_")) for part in _parts(path)))
    return sorted(paths, key=lambda path: (path != FOLDER / "SKILL.md", path))


def _parts(path: Path) -> tuple[str, ...]:
    return path.relative_to(FOLDER).parts


def _files() -> list[Path]:
    return [path for path in _walk() if path.is_file()]


def _uri(path: Path) -> str:
    return "/".join((_ROOT, *_parts(path)))


def _kind(path: Path) -> str:
    # The system's table of types, which mimetypes reads, lacks Markdown on some machines.
    return "text/markdown" if path.suffix == ".md" else mimetypes.guess_type(path.name)[0] or "application/octet-stream"


def _resource(path: Path) -> Resource:
    if path.is_dir():
        return Resource(uri=_uri(path), name=path.name, mime_type=_DIRECTORY)
    if _uri(path) != _SKILL:
        return Resource(uri=_uri(path), name=path.name, mime_type=_kind(path), size=path.stat().st_size)
    front = _front_matter(path.read_text(encoding="utf-8"))
    return Resource(
        uri=_SKILL,
        name=_NAME,
        description=str(front["description"]),
        mime_type=_kind(path),
        size=path.stat().st_size,
    )


def _dumped(resource: Resource) -> dict[str, Any]:
    return resource.model_dump(mode="json", by_alias=True, exclude_none=True)


def _entry() -> dict[str, Any]:
    contents = [(path, path.read_bytes()) for path in _files()]
    return {
        "uri": _SKILL,
        "frontmatter": _front_matter(contents[0][1].decode()),
        "resources": [
            {"uri": _uri(path), "digest": f"sha256:{hashlib.sha256(data).hexdigest()}", "size": len(data)}
            for path, data in contents
        ],
    }


def _front_matter(text: str) -> dict[str, Any]:
    import yaml

    _, block, _ = text.split("---\n", 2)
    return cast(dict[str, Any], yaml.safe_load(block))
