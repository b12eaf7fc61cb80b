"""An offline security scanner (cisco-ai-mcp-scanner, YARA rules) over all that the server shows a model.

python bench/scan.py    makes .venv/scanner (330 MB) the first time; 1 if anything was found
"""

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import anyio
from mcp import Client

from progressive_training.loop.project.project import Project
from progressive_training.server.app import build_server

ROOT = Path(__file__).resolve().parent.parent
SCANNER = ROOT / ".venv" / "scanner"
VERSION = "4.8.7"


def installed() -> Path:
    program = SCANNER / "bin" / "mcp-scanner"
    if not program.exists():
        subprocess.run([sys.executable, "-m", "venv", str(SCANNER)], check=True)
        wanted = f"cisco-ai-mcp-scanner=={VERSION}"
        subprocess.run([str(SCANNER / "bin" / "python"), "-m", "pip", "install", "-q", wanted], check=True)
    return program


async def shown(folder: Path) -> dict[str, Any]:
    """What a client can list, and the instructions and the skill as prompts, which the scanner reads as texts."""
    async with Client(build_server(Project(folder))) as client:
        tools = (await client.list_tools()).tools
        prompts = (await client.list_prompts()).prompts
        resources = (await client.list_resources()).resources
        texts = {"instructions": client.instructions or ""}
        for resource in resources:
            if resource.uri.startswith("skill://"):
                read = (await client.read_resource(resource.uri)).contents[0]
                texts[resource.uri] = getattr(read, "text", "")
    as_prompts = [{"name": name, "description": text, "arguments": []} for name, text in texts.items()]
    return {
        "tools": _plain(tools),
        "prompts": [*_plain(prompts), *as_prompts],
        "resources": _plain(resources),
    }


def _plain(models: Iterable[Any]) -> list[dict[str, Any]]:
    return [model.model_dump(mode="json", by_alias=True, exclude_none=True) for model in models]


def main() -> int:
    program, unsafe = installed(), 0
    with tempfile.TemporaryDirectory() as folder:
        found = anyio.run(shown, Path(folder))
        for kind, entries in found.items():
            file = Path(folder) / f"{kind}.json"
            file.write_text(json.dumps({kind: entries}))
            kinds = ("--mime-types", "text/markdown,text/csv,application/json") if kind == "resources" else ()
            done = subprocess.run(
                [str(program), "--analyzers", "yara", "--format", "raw", "static", f"--{kind}", str(file), *kinds],
                capture_output=True,
                encoding="utf-8",
                env={**os.environ, "LITELLM_LOCAL_MODEL_COST_MAP": "True"},
                check=True,
            )
            results = json.loads(done.stdout[done.stdout.index("{") :])["scan_results"]
            bad = [result for result in results if not result["is_safe"]]
            unsafe += len(bad)
            print(f"{kind}: {len(results)} of {len(entries)} scanned, {len(bad)} with findings")
            for result in bad:
                print(f"  {json.dumps(result)}")
    return 1 if unsafe else 0


if __name__ == "__main__":
    sys.exit(main())
