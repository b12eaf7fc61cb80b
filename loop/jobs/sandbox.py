"""bubblewrap around user code: it sees what it needs and nothing else, and writes what it is to write.

No network, no other process in sight, no setuid, no keyring (runner/launch.py). It keeps honest code honest, and a
careless or misled script away from keys, scores and other versions. It is no virtual machine: the kernel is shared.
"""

import functools
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from .view import Confines, accelerators, interpreter_folders, machine

COMMANDS = "apt install bubblewrap"
INSTALL = "install bubblewrap (Debian, Ubuntu: apt install bubblewrap; Fedora: dnf install bubblewrap)"
# Caches that their owners would write below the user's home, which isn't there.
ENVIRONMENT = {
    "CUDA_CACHE_PATH": "/tmp/cuda-cache",
    "MPLCONFIGDIR": "/tmp/matplotlib",
    "TRITON_CACHE_DIR": "/tmp/triton-cache",
}
# What follows it on the command line is one job's own; no path can look like that.
_LAST_IN_COMMON = "--die-with-parent"


def wrapper(confines: Confines) -> tuple[str, ...]:
    """The command line that goes before `-- program`. Of two mounts in one place the later one counts."""
    options = [*_system(), "--bind", str(confines.scratch), "/tmp"]
    for path in _seen(confines.readable):
        options += ["--ro-bind", str(path), str(path)]
    for path in confines.emptied:
        options += ["--tmpfs", str(path)]
    for place, target in confines.links:
        options += ["--symlink", str(target), str(place)]
    for path in confines.shown:
        options += ["--ro-bind", str(path), str(path)]
    for path in confines.blank:
        options += ["--ro-bind", "/dev/null", str(path)]
    for path in confines.emptied:
        options += ["--remount-ro", str(path)]
    # torchmetrics imports matplotlib where there is one, which would list every font anew in every run (0.6 s).
    for path in sorted((Path.home() / ".cache" / "matplotlib").glob("fontlist-*.json")):
        options += ["--ro-bind", str(path), f"{ENVIRONMENT['MPLCONFIGDIR']}/{path.name}"]
    if not confines.network:
        options += ["--unshare-net"]  # bubblewrap brings up loopback, which several processes of a job talk over
    options += ["--unshare-pid", "--unshare-ipc", "--as-pid-1", "--cap-drop", "ALL"]
    if os.geteuid() == 0:
        # Without it root can't open what belongs to somebody else, as a mounted project does.
        options += ["--cap-add", "CAP_DAC_OVERRIDE"]
    return (_program(), *options, _LAST_IN_COMMON, *_own(confines))


def _system() -> list[str]:
    options = ["--proc", "/proc", *_kernel_settings(), "--dev", "/dev", "--ro-bind", "/sys", "/sys"]
    for node in accelerators():
        options += ["--dev-bind", str(node), str(node)]
    for path in machine():
        if path.is_symlink() and path.parent == Path("/"):
            options += ["--symlink", str(path.readlink()), str(path)]
        else:
            options += ["--ro-bind", str(path), str(path)]
    return options


def _seen(readable: Sequence[Path]) -> Iterator[Path]:
    """Those that aren't there by another one already, which must come before them."""
    kept = [Path("/usr")]
    for path in sorted(dict.fromkeys(readable), key=lambda one: len(one.parts)):
        if path.exists() and not any(other == path or other in path.parents for other in kept):
            kept.append(path)
            yield path


def _own(confines: Confines) -> list[str]:
    options = [word for door in confines.doors for word in ("--tmpfs", str(door))]
    for path in confines.own:
        options += ["--ro-bind", str(path), str(path)]
    for path in confines.writable:
        options += ["--bind", str(path), str(path)]
    return [*options, *(word for door in (*confines.doors, "/") for word in ("--remount-ro", str(door)))]


@dataclass(frozen=True)
class Folder:
    """A folder that is one job's own, as it appears in its sandbox."""

    path: str
    writable: bool


@dataclass(frozen=True)
class Shell:
    """A wrapper's command line without what is one job's own: jobs with equal ones differ in that alone."""

    before: tuple[str, ...]
    after: tuple[str, ...]
    doors: tuple[str, ...]

    @classmethod
    def of(cls, command: Sequence[str]) -> "tuple[Shell, tuple[Folder, ...]]":
        """The shell of wrapper()'s command line, and the job's own folders in it, beside /tmp."""
        if not command:
            return cls((), (), ()), ()
        words = list(command)
        last = words.index(_LAST_IN_COMMON) + 1
        common, own = words[:last], words[last:]
        at = common.index("--bind")
        doors = tuple(own[place + 1] for place, word in enumerate(own) if word == "--tmpfs")
        folders = tuple(
            Folder(own[place + 1], word == "--bind")
            for place, word in enumerate(own)
            if word in ("--bind", "--ro-bind")
        )
        return cls(tuple(common[:at]), tuple(common[at + 3 :]), doors), folders

    def with_scratch(self, scratch: Path, doors: Path) -> tuple[str, ...]:
        """The command line with `scratch` as /tmp, in which nothing is the job's yet.

        What is later mounted in the folder n of `doors` appears in the nth of the folders that hold a job's own.
        """
        held = [word for n, door in enumerate(self.doors) for word in ("--ro-bind", str(doors / str(n)), door)]
        return (*self.before, "--bind", str(scratch), "/tmp", *self.after, *held, "--remount-ro", "/")


@functools.cache
def problem(*, network: bool = False) -> str | None:
    """Why bubblewrap can't be used here, or None. Found out by running it, once in the life of this process."""
    if sys.platform != "linux":
        return "bubblewrap needs Linux"
    if shutil.which("bwrap") is None:
        return "bubblewrap is not installed"
    with tempfile.TemporaryDirectory() as folder:
        place = Path(folder).resolve()
        confines = Confines(place, (place,), interpreter_folders(sys.executable), network)
        try:
            done = subprocess.run(
                [*wrapper(confines), "--", os.path.normpath(sys.executable), "-I", "-S", "-c", ""],
                capture_output=True,
                text=True,
                timeout=20,
                check=False,
                stdin=subprocess.DEVNULL,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            return f"bubblewrap can't be run: {error}"
    if done.returncode == 0:
        return None
    said = done.stderr.strip().splitlines()
    return f"bubblewrap doesn't work here: {said[-1] if said else f'exit code {done.returncode}'}"


def _program() -> str:
    return shutil.which("bwrap") or "bwrap"


def _kernel_settings() -> list[str]:
    """What root may write in /proc beside processes, even without a single capability: the program for crashes, say.

    Not all of /proc: CUDA writes the names of its threads there, and fails where it can't.
    """
    if os.geteuid() != 0:
        return []
    entries = [
        entry for entry in sorted(Path("/proc").iterdir()) if not entry.name.isdigit() and not entry.is_symlink()
    ]
    found = [entry for entry in entries if entry.is_dir() or entry.stat().st_mode & 0o222]
    return [word for entry in found for word in ("--ro-bind", str(entry), str(entry))]
