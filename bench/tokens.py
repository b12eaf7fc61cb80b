"""What the server costs a model: tokens of tools/list and of the instructions (characters / 4).

python bench/tokens.py
"""

import json
import tempfile
from pathlib import Path

import anyio
from mcp import Client

from progressive_training.loop.project import Project
from progressive_training.server.app import INSTRUCTIONS, build_server


async def listed() -> str:
    with tempfile.TemporaryDirectory() as folder:
        async with Client(build_server(Project(Path(folder)))) as client:
            tools = (await client.list_tools()).tools
    return json.dumps([tool.model_dump(mode="json", by_alias=True, exclude_none=True) for tool in tools])


def main() -> None:
    text = anyio.run(listed)
    print(
        f"tools/list: {len(json.loads(text))} tools, {len(text) // 4} tokens; "
        f"instructions: {len(INSTRUCTIONS) // 4} tokens"
    )


if __name__ == "__main__":
    main()
