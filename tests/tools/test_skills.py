"""The skill over MCP: its files as resources, and a manifest that a host can verify them by."""

import hashlib
from typing import Any

import pytest
import yaml
from mcp import Client, MCPError
from mcp_types import Request, RequestParams
from pydantic import ConfigDict, TypeAdapter

from progressive_training.server.app import build_server
from progressive_training.server.protocol.skills_extension import FOLDER, IDENTIFIER
from support.e2e import plain_failures
from support.projects import Folder

pytestmark = pytest.mark.anyio
ROOT = "skill://progressive-training"
SKILL = f"{ROOT}/SKILL.md"
_ANYTHING: Any = TypeAdapter(dict[str, Any])


class _Params(RequestParams):
    model_config = ConfigDict(extra="allow")


async def ask(client: Client, method: str, **params: Any) -> dict[str, Any]:
    request = Request[_Params, str](method=method, params=_Params(**params))
    return await client.session.send_request(request, _ANYTHING)


@pytest.mark.parametrize("era", ["auto", "legacy"])
async def test_the_manifest_names_every_file_of_the_skill_with_its_bytes(folder: Folder, era: str) -> None:
    with plain_failures():
        async with Client(build_server(folder.project()), mode=era) as client:
            declared = {IDENTIFIER: {"directoryRead": True}, "io.modelcontextprotocol/tasks": {}}
            # The older eras have no place for it; there the skill's files are ordinary resources.
            assert client.server_capabilities.extensions == (declared if era == "auto" else None)
            (skill,) = (await ask(client, "skills/list"))["skills"]
            assert skill == (await ask(client, "skills/get", uri=SKILL))["skill"]
            listed = {resource.uri for resource in (await client.list_resources()).resources}
            for entry in skill["resources"]:
                text = (await client.read_resource(entry["uri"])).contents[0].text  # type: ignore[union-attr]
                assert (len(text.encode()), entry["uri"] in listed) == (entry["size"], True)
                assert entry["digest"] == f"sha256:{hashlib.sha256(text.encode()).hexdigest()}"
    assert skill["uri"] == SKILL == skill["resources"][0]["uri"]
    text = (FOLDER / "SKILL.md").read_text(encoding="utf-8")
    assert skill["frontmatter"] == yaml.safe_load(text.split("---\n")[1])
    files = {f"{ROOT}/{path.relative_to(FOLDER).as_posix()}" for path in FOLDER.rglob("*.md")}
    assert {entry["uri"] for entry in skill["resources"]} == files


async def test_a_directory_of_the_skill_is_listed_one_level_deep(folder: Folder) -> None:
    async with Client(build_server(folder.project())) as client:
        top = (await ask(client, "resources/directory/read", uri=ROOT))["resources"]
        kinds = {resource["uri"]: resource["mimeType"] for resource in top}
        assert kinds == {SKILL: "text/markdown", f"{ROOT}/references": "inode/directory"}
        below = (await ask(client, "resources/directory/read", uri=f"{ROOT}/references"))["resources"]
        assert {resource["name"] for resource in below} == {path.name for path in (FOLDER / "references").iterdir()}


@pytest.mark.parametrize(
    ("method", "uri"),
    [
        ("skills/get", "skill://another/SKILL.md"),
        ("skills/get", f"{ROOT}/references"),
        ("resources/directory/read", SKILL),
        ("resources/directory/read", f"{ROOT}/../server"),
        ("resources/directory/read", f"{ROOT}/nothing"),
        ("resources/read", f"{ROOT}/../pyproject.toml"),
        ("resources/read", f"{ROOT}/..%2Fpyproject.toml"),
        ("resources/read", f"{ROOT}/references"),
    ],
)
async def test_what_is_no_part_of_the_skill_is_refused(folder: Folder, method: str, uri: str) -> None:
    async with Client(build_server(folder.project())) as client:
        with pytest.raises(MCPError) as refused:
            await ask(client, method, uri=uri)
    assert refused.value.error.code == -32602
