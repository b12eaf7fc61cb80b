"""In the server: which spares a project has now, what memory they take, and what dead ones have left on disk.

A spare has a folder in the project, whose lock its runner holds for as long as it lives: whoever made the spare, any
process can tell from the folder.
"""

import contextlib
import json
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from ..runner import attempt_files as files
from ..runner import processes

SPARES = "spares"


@dataclass(frozen=True)
class Resting:
    """A spare that lives now, and its share of memory in bytes (None = not known here).

    `ready`: it has imported everything that it was made for.
    """

    kind: str
    memory_bytes: int | None
    ready: bool


def resting(state: Path) -> Iterator[Resting]:
    """The spares of a project, whose folder for what is ours is `state`; whichever process keeps them."""
    place = state / SPARES
    for folder in sorted(place.iterdir()) if place.is_dir() else ():
        if not files.is_held(folder):
            continue
        with contextlib.suppress(OSError, ValueError, KeyError):
            record = json.loads(files.read_text(folder / files.RUNNER))
            members = [process.pid for process in processes.Tree(record["marker"]).members()]
            yield Resting(folder.name.partition("-")[0], _share_of_memory([record["pid"], *members]), record["ready"])


def remove_dead(place: Path) -> None:
    """Removes the folders of spares that were killed together with their runners."""
    for folder in place.iterdir() if place.is_dir() else ():
        if not files.is_held(folder):
            shutil.rmtree(folder, ignore_errors=True)


def free_bytes() -> int:
    """Memory that programs can have without anybody being pushed out; all of the machine's where that isn't known."""
    with contextlib.suppress(OSError):
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) << 10
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _share_of_memory(pids: Sequence[int]) -> int | None:
    # Pss, since a library that several processes have mapped is in memory once.
    total = 0
    for pid in pids:
        try:
            lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
        except OSError:  # gone, or not Linux
            continue
        total += sum(int(line.split()[1]) for line in lines if line.startswith("Pss:")) << 10
    return total or None
