"""Server start-up: spawn -> initialize -> tools/list, ours, a bare one-tool `mcp` server, and peers, interleaved.

python bench/startup.py [--runs 15] [--rows FILE]

The client is the same for all; a server of an older protocol costs it one more message. Peers: bench/peers.py.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import anyio
from mcp import Client, StdioServerParameters, stdio_client
from peers import MLLOOP, OPTUNA_MCP
from rows import Row, add_rows_option, write_rows

_BARE = """
from mcp.server.mcpserver import MCPServer
server = MCPServer(name="bare")
@server.tool()
def echo(text: str) -> str:
    "Say it again."
    return text
server.run("stdio")
"""
BARE = "bare mcp server"
OURS = "progressive-training"


async def measure(command: list[str], errors: Path) -> float:
    """Seconds from spawn to the answer of tools/list."""
    with errors.open("w", encoding="utf-8") as stderr:
        start = time.perf_counter()
        parameters = StdioServerParameters(command=command[0], args=command[1:])
        async with Client(stdio_client(parameters, stderr)) as client:
            await client.list_tools()
            return time.perf_counter() - start


def commands(project: str) -> dict[str, list[str] | None]:
    """What starts each server; None for a peer that isn't installed."""
    return {
        BARE: [sys.executable, "-c", _BARE],
        OURS: [sys.executable, "-m", "progressive_training.server", "serve", "--project", project],
        "optuna-mcp": [str(OPTUNA_MCP.program)] if OPTUNA_MCP.installed else None,
        "mlloop": [str(MLLOOP.program), "serve", "--workspace", project] if MLLOOP.installed else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--runs", type=int, default=15)
    add_rows_option(parser)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        project = Path(folder) / "project"
        project.mkdir()
        (project / "02_train_baseline.py").write_text('VERSION = "baseline"\n', encoding="utf-8")
        started = commands(str(project))
        times: dict[str, list[float]] = {name: [] for name, command in started.items() if command}
        for number in range(asked.runs + 1):
            for name in times:
                command = started[name]
                assert command is not None, "times holds the others only"
                seconds = anyio.run(measure, command, Path(folder) / "stderr")
                if number:  # the first fills the caches
                    times[name].append(seconds)
    bare = statistics.median(times[BARE])
    print(f"{'server':<22} {'median s':>9} {'min s':>7} {'ratio':>7}   ({asked.runs} runs each, interleaved)")
    rows: list[Row] = []
    for name in started:
        if name not in times:
            print(f"{name:<22} {'absent':>9}   (python bench/peers.py --install)")
            continue
        median = statistics.median(times[name])
        print(f"{name:<22} {median:>9.3f} {min(times[name]):>7.3f} {median / bare:>7.2f}")
        if name not in (BARE, OURS):
            rows.append(
                Row(f"(a) start-up of {name}", f"{median:.2f} s", f"bare {bare:.2f} s", f"{median / bare:.2f}", "")
            )
    ours = statistics.median(times[OURS])
    what = "(a) start-up: spawn, initialize, tools/list"
    rows.insert(0, Row(what, f"{ours:.2f} s", f"bare mcp server {bare:.2f} s", f"{ours / bare:.2f}", "≤ 1.10"))
    write_rows(asked.rows, rows)


if __name__ == "__main__":
    main()
