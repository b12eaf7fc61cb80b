"""Server start-up: spawn -> initialize -> tools/list, ours and a bare one-tool `mcp` server, interleaved.

python bench/startup.py [--runs N]
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters, stdio_client

_BARE = """
from mcp.server.mcpserver import MCPServer
server = MCPServer(name="bare")
@server.tool()
def echo(text: str) -> str:
    "Say it again."
    return text
server.run("stdio")
"""


async def measure(command: list[str]) -> float:
    """Seconds from spawn to the answer of tools/list."""
    start = time.perf_counter()
    async with Client(stdio_client(StdioServerParameters(command=command[0], args=command[1:]))) as client:
        await client.list_tools()
        return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--runs", type=int, default=9)
    runs = parser.parse_args().runs
    with tempfile.TemporaryDirectory() as folder:
        ours = [sys.executable, "-m", "progressive_training.server", "serve", "--project", folder]
        Path(folder, "02_train_baseline.py").write_text('VERSION = "baseline"\n')
        commands = {"bare mcp server": [sys.executable, "-c", _BARE], "progressive-training": ours}
        times: dict[str, list[float]] = {name: [] for name in commands}
        for _ in range(runs):
            for name, command in commands.items():
                times[name].append(anyio.run(measure, command))
    bare = statistics.median(times["bare mcp server"])
    print(f"{'server':<24} {'median s':>9} {'ratio':>7}   ({runs} runs each, interleaved)")
    for name, found in times.items():
        median = statistics.median(found)
        print(f"{name:<24} {median:>9.3f} {median / bare:>7.2f}")


if __name__ == "__main__":
    main()
