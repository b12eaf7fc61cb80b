"""What the server costs a model (characters / 4): tools/list, the instructions, and every result of a whole loop.

python bench/tokens.py [VERSIONS] [--rows FILE]

The loop is the digits example, driven by the offline agent, with real trainings. Like a model it asks for the brief
(next_step) before each Step; what it reads besides, for its own rules of thumb, is not counted.
"""

import argparse
import json
import shutil
import sys
import tempfile
from collections import Counter
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from mcp import Client
from mcp_types import CallToolResult, ReadResourceResult
from rows import Row, add_rows_option, write_rows

from progressive_training.agents.offline import drive
from progressive_training.loop.project.project import Project
from progressive_training.server.app import INSTRUCTIONS, build_server

ROOT = Path(__file__).resolve().parent.parent
MOST_FOR_TOOLS, MOST_FOR_LOOP = 2_000, 25_000


def tokens(value: object) -> int:
    return len(json.dumps(value, ensure_ascii=False, separators=(",", ":"))) // 4


class Counting:
    """The offline agent's client, which adds up what a model would have to read."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.spent: Counter[str] = Counter()
        self.calls: Counter[str] = Counter()

    async def call_tool(self, name: str, arguments: dict[str, Any] | None = None) -> CallToolResult:
        result = await self._client.call_tool(name, arguments)
        # Clients that take structured content leave the text out.
        shown = result.structured_content or [getattr(block, "text", "") for block in result.content]
        if name == "next_step":
            name += f" ({shown['phase']})" if isinstance(shown, dict) and "brief" in shown else " (no brief)"
        self.spent[name] += tokens(shown)
        self.calls[name] += 1
        return result

    async def read_resource(self, uri: str) -> ReadResourceResult:
        return await self._client.read_resource(uri)


async def measured(project: Project) -> tuple[int, int, Counting]:
    async with Client(build_server(project)) as client:
        tools = [
            {"name": tool.name, "description": tool.description, "inputSchema": tool.input_schema}
            for tool in (await client.list_tools()).tools
        ]
        counting = Counting(client)
        await counting.call_tool("read_rules")
        await drive(counting)
        return len(tools), tokens(tools), counting


def main(versions: int, rows: Path | None) -> int:
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "digits"
        shutil.copytree(ROOT / "examples" / "digits", root)
        rules = json.loads((root / "user_defined_rules.json").read_text())
        rules["loop_config"]["max_versions"] = versions
        rules["rehearse"] = False
        (root / "user_defined_rules.json").unlink()
        (root / "user_defined_rules.json").write_text(json.dumps(rules))
        count, listed, loop = anyio.run(partial(measured, Project(root)))
    total = loop.spent.total()
    print(f"tools/list: {count} tools, {listed} tokens (at most {MOST_FOR_TOOLS})")
    print(f"instructions: {len(INSTRUCTIONS) // 4} tokens")
    print(f"the results of a loop of {versions} versions: {total} tokens (at most {MOST_FOR_LOOP}), of which")
    for name, spent in loop.spent.most_common():
        print(f"  {name:<24}{loop.calls[name]:>3} calls {spent:>7} tokens")
    peers = "optuna-mcp 6,595, mlloop 3,928 (2026-11)"
    loop_row = Row(f"(d) tokens of a loop of {versions} versions", f"{total:,}", "", "", f"≤ {MOST_FOR_LOOP:,}")
    write_rows(rows, [Row("(d) tokens of tools/list", f"{listed:,}", peers, "", f"≤ {MOST_FOR_TOOLS:,}"), loop_row])
    return 0 if listed <= MOST_FOR_TOOLS and total <= MOST_FOR_LOOP else 1


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("versions", nargs="?", type=int, default=4)
    add_rows_option(parser)
    asked = parser.parse_args()
    sys.exit(main(asked.versions, asked.rows))
