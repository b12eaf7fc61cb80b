"""Small and read-only file systems, and a clock that can be turned while a process runs. For root on Linux."""

import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from .programs import ROOT, leave_out, need

_LIBRARIES = ("lib", "lib/x86_64-linux-gnu", "lib/aarch64-linux-gnu", "lib64")


@contextmanager
def small_disk(at: Path, megabytes: int) -> Iterator[Path]:
    """An empty file system of that size in the new folder `at`."""
    at.mkdir()
    _mount("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(at))
    try:
        yield at
    finally:
        _unmount(at)


@contextmanager
def read_only(folder: Path, at: Path) -> Iterator[Path]:
    """`folder` once more in the new folder `at`, where nobody can write: not even root, who no permission stops."""
    at.mkdir()
    _mount("--bind", str(folder), str(at))
    try:
        _mount("-o", "remount,bind,ro", str(at))
        yield at
    finally:
        _unmount(at)


def _mount(*arguments: str) -> None:
    need(ROOT)
    done = subprocess.run(["mount", *arguments], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


def _unmount(at: Path) -> None:
    # Lazily: what a failed test left running may still hold it.
    subprocess.run(["umount", "--lazy", str(at)], check=True)


def fill(disk: Path) -> Path:
    """Takes all the room that is left, to the last byte; deleting the file gives it back."""
    path = disk / "ballast"
    with suppress(OSError), path.open("ab", buffering=0) as file:
        for size in (1 << 20, 4096, 1):
            with suppress(OSError):
                while True:
                    file.write(b"\xa5" * size)
    return path


def free_bytes(disk: Path) -> int:
    found = os.statvfs(disk)
    return found.f_bavail * found.f_frsize


class Clock:
    """The date as a process with `environment` sees it; the monotonic clock goes on as it does when a date is set."""

    def __init__(self, file: Path) -> None:
        self._file = file
        self.turn("+0")

    def turn(self, offset: str) -> None:
        """`+1d`, `-1d` or `+0`, from now on."""
        beside = self._file.with_suffix(".new")
        beside.write_text(f"{offset}\n")
        beside.replace(self._file)

    @property
    def environment(self) -> dict[str, str]:
        places = (Path("/usr", folder, "faketime/libfaketime.so.1") for folder in _LIBRARIES)
        library = next((path for path in places if path.exists()), None)
        if library is None:
            leave_out(["faketime"])
        return {
            "LD_PRELOAD": str(library),
            "FAKETIME_TIMESTAMP_FILE": str(self._file),
            "FAKETIME_NO_CACHE": "1",
            "FAKETIME_DONT_FAKE_MONOTONIC": "1",
            "NO_FAKE_STAT": "1",
        }
