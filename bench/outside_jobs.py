"""Where the time of a cold digits loop goes outside its jobs: "loop adds, s a version" of whole_loop.py, in parts.

    python bench/outside_jobs.py [--versions 10] [--rows FILE]

The offline agent drives the loop in this process. Of run_train and run_eval the time counts that their jobs did not
take by their runners' clocks; what is no call is the agent's own reading and choosing. Starting the command, which
whole_loop.py includes, is not part of it.
"""

import argparse
import tempfile
import time
from collections import defaultdict
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from mcp import Client
from mcp_types import CallToolResult, ReadResourceResult
from rows import Row, add_rows_option, write_rows
from whole_loop import in_jobs, make_project

from progressive_training.agents.offline import drive
from progressive_training.loop.project.project import Project
from progressive_training.server.app import build_server

_WITH_JOBS = ("run_train", "run_eval")


class Timing:
    """The offline agent's client, which adds up how long its calls take."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.seconds: defaultdict[str, float] = defaultdict(float)

    async def call_tool(self, name: str, arguments: dict[str, Any] | None = None) -> CallToolResult:
        began = time.perf_counter()
        result = await self._client.call_tool(name, arguments)
        self.seconds[name] += time.perf_counter() - began
        return result

    async def read_resource(self, uri: str) -> ReadResourceResult:
        began = time.perf_counter()
        result = await self._client.read_resource(uri)
        self.seconds["read_resource"] += time.perf_counter() - began
        return result


async def driven(folder: Path) -> dict[str, float]:
    began = time.perf_counter()
    async with Client(build_server(Project(folder))) as client:
        timing = Timing(client)
        await drive(timing)
    seconds = timing.seconds
    jobs = in_jobs(folder)
    with_jobs = sum(seconds.pop(name) for name in _WITH_JOBS)
    seconds["run_train and run_eval beyond their jobs"] = with_jobs - jobs
    seconds["the agent itself"] = time.perf_counter() - began - jobs - sum(seconds.values())
    return dict(sorted(seconds.items(), key=lambda one: -one[1]))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--versions", type=int, default=10)
    add_rows_option(parser)
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="outside-jobs-") as place:
        folder = Path(place) / "digits"
        make_project(folder, asked.versions, warm=False)
        seconds = anyio.run(partial(driven, folder))
    print(f"{asked.versions} versions of digits, cold: seconds outside the jobs, all versions together")
    for name, spent in seconds.items():
        print(f"  {name:<44}{spent:>7.2f}")
    print(f"  {'together':<44}{sum(seconds.values()):>7.2f}")
    largest = ", ".join(f"{name} {spent:.1f} s" for name, spent in list(seconds.items())[:3])
    told = f"{sum(seconds.values()):.1f} s"
    write_rows(asked.rows, [Row(f"outside the jobs of {asked.versions} digits versions, cold", told, largest, "", "")])


if __name__ == "__main__":
    main()
