"""In the runner: what a job may use at most, whether it used more, and whom the kernel killed for memory.

Standard library only: the runner's interpreter knows no package. The kernel's own limits don't serve: RLIMIT_NPROC
counts a user's processes everywhere, and RLIMIT_AS breaks CUDA, which reserves far more than it uses. So processes are
counted here, and memory has no limit.
"""

import contextlib
import os
import resource
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

WATCH_SECONDS = 1.0
_SHARE = 50  # a look may take a fiftieth of the time
RESERVE_BYTES = 64 * 1024
MAX_OPEN = 1 << 16  # files that one process may hold open
_GIB = 1 << 30


class Limits(NamedTuple):
    """None = no limit. `folders`, the job's temporary files among them, may hold `max_watched_bytes` in `max_files`."""

    max_processes: int | None
    max_threads: int | None
    max_file_bytes: int | None
    max_watched_bytes: int | None
    max_files: int | None
    folders: Sequence[str]

    def apply(self) -> None:
        """In the child: no file grows beyond its limit, not too many are open, and no crash leaves a core dump."""
        _, hard = resource.getrlimit(resource.RLIMIT_CORE)
        resource.setrlimit(resource.RLIMIT_CORE, (0, hard))
        soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
        most = MAX_OPEN if hard == resource.RLIM_INFINITY else min(hard, MAX_OPEN)
        resource.setrlimit(resource.RLIMIT_NOFILE, (min(soft, most) if soft != resource.RLIM_INFINITY else most, most))
        if self.max_file_bytes is not None:
            _, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
            most = self.max_file_bytes if hard == resource.RLIM_INFINITY else min(hard, self.max_file_bytes)
            resource.setrlimit(resource.RLIMIT_FSIZE, (most, most))


class Watchdog:
    """Looks now and then whether a job passed a limit. `count` gives its processes and their threads."""

    def __init__(self, limits: Limits, count: Callable[[], tuple[int, int]]) -> None:
        self._limits = limits
        self._count = count
        self.next_look = 0.0

    def look(self, now: float) -> str | None:
        """What was passed, in words, or None. Does nothing before `next_look`, a time of the caller's clock."""
        if now < self.next_look:
            return None
        began = time.monotonic()
        found = self._processes() or self.folders()
        self.next_look = now + max(WATCH_SECONDS, _SHARE * (time.monotonic() - began))
        return found

    def _processes(self) -> str | None:
        limits = self._limits
        if limits.max_processes is None and limits.max_threads is None:
            return None
        processes, threads = self._count()
        if limits.max_processes is not None and processes > limits.max_processes:
            return f"{processes} processes at once; at most {limits.max_processes} are allowed"
        if limits.max_threads is not None and threads > limits.max_threads:
            return f"{threads} threads at once; at most {limits.max_threads} are allowed"
        return None

    def folders(self) -> str | None:
        """What is too much in the folders, in words, or None."""
        most, most_files = self._limits.max_watched_bytes, self._limits.max_files
        if most is None and most_files is None:
            return None
        used = files = 0
        for folder in self._limits.folders:
            found = used_space(Path(folder), None if most_files is None else most_files - files)
            used, files = used + found[0], files + found[1]
        if most_files is not None and files > most_files:
            return f"it left more than {most_files:,} files; execution_config.max_files allows no more"
        if most is None or used <= most:
            return None
        return f"its files take {used / _GIB:.3g} GiB on disk; at most {most / _GIB:.3g} GiB are allowed"


def used_space(folder: Path, most_files: int | None = None) -> tuple[int, int]:
    """What the files below `folder` take on disk, and how many they are, folders among them; it stops above
    `most_files`. What vanishes meanwhile doesn't count, links are not followed."""
    total = files = 0
    waiting = [str(folder)]
    while waiting and (most_files is None or files <= most_files):
        with contextlib.suppress(OSError), os.scandir(waiting.pop()) as entries:
            for entry in entries:
                files += 1
                with contextlib.suppress(OSError):
                    if entry.is_dir(follow_symlinks=False):
                        waiting.append(entry.path)
                    else:
                        total += entry.stat(follow_symlinks=False).st_blocks * 512
    return total, files


def oom_kills(proc: Path = Path("/proc"), cgroups: Path = Path("/sys/fs/cgroup")) -> int | None:
    """How often the kernel killed for memory so far: in our control group, or on this machine where no group counts."""
    with contextlib.suppress(OSError):
        for line in (proc / "self/cgroup").read_text().splitlines():
            _, controllers, path = line.split(":", 2)
            inner = path.lstrip("/")
            if not controllers:
                files = [cgroups / inner / "memory.events", cgroups / "memory.events"]
            elif "memory" in controllers.split(","):
                files = [cgroups / "memory" / inner / "memory.oom_control", cgroups / "memory/memory.oom_control"]
            else:
                continue
            for file in files:
                if (count := _field(file, "oom_kill")) is not None:
                    return count
    return _field(proc / "vmstat", "oom_kill")


def _field(file: Path, name: str) -> int | None:
    with contextlib.suppress(OSError, ValueError):
        for line in file.read_text().splitlines():
            key, _, value = line.partition(" ")
            if key == name:
                return int(value)
    return None


def is_full(folder: Path) -> bool:
    """Whether `folder`'s disk has no room left for ordinary files."""
    with contextlib.suppress(OSError):
        found = os.statvfs(folder)
        return found.f_bavail * found.f_frsize < RESERVE_BYTES
    return False
