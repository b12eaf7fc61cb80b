"""Hostile calls, leaving clients, colliding clients: is there ever an answer that doesn't help, or anything lost?

    python bench/fuzz.py [--calls N] [--traced N] [--leave N] [--rounds N] [--files N] [--seed N]

`--calls` hostile calls at every phase of a loop, in memory; then `--traced` ones to server processes under strace,
which tells every write outside the project. `--leave` trainings whose client goes away, `--rounds` rounds in which 16
clients, each with a server process of its own, make conflicting calls. `--files` files that a run might
leave, of random bytes and words. The exit code is 1 if anything was wrong.
"""

import argparse
import logging
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import AsyncExitStack, asynccontextmanager
from pathlib import Path

import anyio
from hypothesis import Phase, given, seed, settings
from mcp import Client, StdioServerParameters

from progressive_training.loop.store.leftovers.reading import Form

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.e2e import PROGRAM
from support.fuzzed_wire import TracedServer
from support.fuzzing import Sessions
from support.hostile_calls import PHASES, SLOW, Call, calls, drawn
from support.hostile_files import fault, files
from support.leaving import WAYS, after_all, contend, gated_project, leave
from support.projects import EVALUATOR, FOLDER_NAME, Agent, Folder, Shelf, make_project

CLIENTS = 16
Row = tuple[str, int, list[str]]


def fuzzed(root: Path, count: int, chance: int) -> Row:
    """The row of `count` calls in memory. The folder of a stage is put back after each call that changed it."""
    found: list[str] = []
    made = 0
    with Sessions(root / "sessions", Shelf(root / "shelf")) as sessions:

        @seed(chance)
        @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=SLOW)
        @given(call=calls())
        def make(call: Call) -> None:
            nonlocal made
            made += 1
            found.extend(f"{fault}: {call}" for fault in sessions.faults(call))

        make()
    return f"hostile calls at {len(PHASES)} phases, in memory", made, found


def traced(root: Path, count: int) -> Row:
    """The row of `count` calls over stdio, a server process for each phase where a loop may start."""
    found: list[str] = []
    made = 0
    for stage in PHASES:
        hostile = drawn(stage, count // len(PHASES))
        made += len(hostile)
        found += TracedServer(root / f"traced {stage}", Shelf(root / "shelf"), stage).faults(hostile, seconds=600)
    return f"hostile calls to {len(PHASES)} server processes under strace", made, found


def left(root: Path, count: int) -> Row:
    found: list[str] = []
    for number in range(count):
        folder = gated_project(root / f"left {number}")
        try:
            found += [f"{WAYS[number % 3]}: {fault}" for fault in leave(folder, WAYS[number % 3])]
        finally:
            folder.end_jobs()
    return "clients gone in mid-training", count, found


def unreadable(root: Path, count: int, chance: int) -> Row:
    found: list[str] = []
    root.mkdir()

    @seed(chance)
    @settings(max_examples=count, database=None, deadline=None, phases=[Phase.generate], suppress_health_check=SLOW)
    @given(drawn=files())
    def look(drawn: tuple[Form, bytes]) -> None:
        if (wrong := fault(root, *drawn)) is not None:
            found.append(wrong)

    look()
    return "files of a run, of random bytes and words", count, found


async def collided(root: Path, count: int) -> Row:
    folder = make_project(root / FOLDER_NAME)
    folder.set_rules(loop_config={"max_versions": count})
    folder.write("03_eval.py", EVALUATOR)
    found: list[str] = []
    async with AsyncExitStack() as stack:
        agents = [await stack.enter_async_context(_client(folder)) for _ in range(CLIENTS)]
        await agents[0].call("start_loop")
        for _ in range(count):
            found += await contend(agents)
    return f"rounds of {CLIENTS} clients with servers of their own", count, [*found, *after_all(folder)]


@asynccontextmanager
async def _client(folder: Folder) -> AsyncIterator[Agent]:
    arguments = [*PROGRAM[1:], "serve", "--project", str(folder.root)]
    server = StdioServerParameters(command=PROGRAM[0], args=arguments)
    async with Client(server, read_timeout_seconds=60) as client:
        yield Agent(client, folder)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("calls", 0), ("traced", 0), ("leave", 0), ("rounds", 0), ("files", 0), ("seed", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    asked = parser.parse_args()
    logging.disable()  # the SDK logs every refused message
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        root = Path(folder)
        parts: list[tuple[int, Callable[[], Row]]] = [
            (asked.calls, lambda: fuzzed(root / "1", asked.calls, asked.seed)),
            (asked.traced, lambda: traced(root / "2", asked.traced)),
            (asked.leave, lambda: left(root / "3", asked.leave)),
            (asked.rounds, lambda: anyio.run(collided, root / "4", asked.rounds)),
            (asked.files, lambda: unreadable(root / "5", asked.files, asked.seed)),
        ]
        sys.exit(report(part for count, part in parts if count))


def report(parts: Iterator[Callable[[], Row]]) -> int:
    wrong = 0
    print("| what | how many | wrong | seconds |\n|---|---|---|---|", flush=True)
    for part in parts:
        began = time.perf_counter()
        name, count, found = part()
        wrong += len(found)
        print(f"| {name} | {count:,} | {len(found)} | {time.perf_counter() - began:.0f} |", flush=True)
        for one, times in Counter(found).most_common(20):
            print(f"    {times} × {one[:1500]}", file=sys.stderr)
    return int(wrong > 0)


if __name__ == "__main__":
    main()
