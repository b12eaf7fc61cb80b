"""bubblewrap around user code: all is read-only but what a job is to write, no network, no other process in sight.

It keeps honest code honest, and a careless or misled script away from keys, scores and other versions. It is no virtual
machine: the kernel is shared, and all files that are not hidden can be read.
"""

import functools
import os
import pwd
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

INSTALL = "install bubblewrap (Debian, Ubuntu: apt install bubblewrap; Fedora: dnf install bubblewrap)"

# Where programs keep what is nobody else's business; hidden where it exists.
_PRIVATE = (
    *(".ssh", ".aws", ".azure", ".config", ".docker", ".gnupg", ".kube", ".mozilla", ".netrc", ".npmrc", ".pgpass"),
    *(".pypirc", ".git-credentials", ".password-store", ".claude", ".claude.json", ".codex", ".gemini", ".vault-token"),
    *(".local/share/keyrings", ".cache/huggingface/token", ".huggingface", ".kaggle"),
    *(".bash_history", ".zsh_history", ".python_history"),
)
# Sockets lie in /run (docker, the user's session, an ssh agent), and a read-only mount doesn't stop anyone from
# talking to one. These are needed: names are looked up through the first, the others hold drivers and programs.
_KEPT_IN_RUN = ("systemd/resolve", "resolvconf", "NetworkManager/resolv.conf", "opengl-driver", "current-system")
_GPU_NODES = ("nvidia*", "dri", "kfd", "dxg", "accel", "infiniband")
# Caches that their owners would write below the user's home, which is read-only.
ENVIRONMENT = {
    "CUDA_CACHE_PATH": "/tmp/cuda-cache",
    "MPLCONFIGDIR": "/tmp/matplotlib",
    "TRITON_CACHE_DIR": "/tmp/triton-cache",
}


@dataclass(frozen=True)
class Confines:
    """What a job gets. `scratch` becomes its /tmp, and need not exist yet. `writable` are folders that exist.

    `readable` must be seen even where it lies below something hidden: the project, interpreters, linked data.
    """

    scratch: Path
    writable: tuple[Path, ...]
    readable: tuple[Path, ...]
    network: bool


def wrapper(confines: Confines) -> tuple[str, ...]:
    """The command line that goes before `-- program`. Of two mounts in one place the later one counts."""
    hidden = [Path("/tmp"), Path("/run"), Path("/dev"), *_private()]
    options = ["--ro-bind", "/", "/", "--proc", "/proc", *_kernel_settings(), "--dev", "/dev", *_gpus()]
    options += ["--bind", str(confines.scratch), "/tmp", "--tmpfs", "/run"]
    for path in _private():
        options += ["--tmpfs", str(path)] if path.is_dir() else ["--ro-bind", "/dev/null", str(path)]
    kept = [Path("/run") / name for name in _KEPT_IN_RUN]
    for path in (*kept, *confines.readable):
        if path.exists() and any(place in path.parents for place in hidden):
            options += ["--ro-bind", str(path), str(path)]
    for path in confines.writable:
        options += ["--bind", str(path), str(path)]
    # torchmetrics imports matplotlib where there is one, which would list every font anew in every run (0.6 s).
    for path in sorted((Path.home() / ".cache" / "matplotlib").glob("fontlist-*.json")):
        options += ["--ro-bind", str(path), f"{ENVIRONMENT['MPLCONFIGDIR']}/{path.name}"]
    if not confines.network:
        options += ["--unshare-net"]  # bubblewrap brings up loopback, which several processes of a job talk over
    options += ["--unshare-pid", "--unshare-ipc", "--as-pid-1", "--die-with-parent", "--cap-drop", "ALL"]
    if os.geteuid() == 0:
        # Without it root can't open what belongs to somebody else, as a mounted project does.
        options += ["--cap-add", "CAP_DAC_OVERRIDE"]
    return (_program(), *options)


@dataclass(frozen=True)
class Shell:
    """A wrapper's command line without what is one job's own: jobs with equal ones differ in `writable` alone."""

    before: tuple[str, ...]
    after: tuple[str, ...]

    @classmethod
    def of(cls, command: Sequence[str]) -> "tuple[Shell, tuple[str, ...]]":
        """The shell of wrapper()'s command line, and the folders that are writable in it beside /tmp."""
        words = list(command)
        before: list[str] | None = None
        writable: list[str] = []
        # Only scratch and writable folders are bound so, and no other word can look like that: paths are absolute.
        while "--bind" in words:
            at = words.index("--bind")
            source, target = words[at + 1 : at + 3]
            del words[at : at + 3]
            if target == "/tmp" and before is None:
                before, words = words[:at], words[at:]
            else:
                writable.append(source)
        return cls(tuple(before or ()), tuple(words)), tuple(writable)

    def with_scratch(self, scratch: Path) -> tuple[str, ...]:
        """The command line with `scratch` as /tmp, in which nothing else is writable."""
        return (*self.before, "--bind", str(scratch), "/tmp", *self.after)


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


def interpreter_folders(python: str) -> tuple[Path, ...]:
    """Where an interpreter and its packages lie: its virtual environment, and the installation behind that."""
    found: dict[Path, None] = {}
    path = Path(os.path.abspath(python))  # noqa: PTH100 - not resolved: the link itself says which environment it is
    for place in (path, path.resolve()):
        found[place.parent.parent] = None
        config = place.parent.parent / "pyvenv.cfg"
        if config.is_file():
            found.update(dict.fromkeys(_homes(config.read_text(encoding="utf-8", errors="replace"))))
    if Path(sys.executable) == path:
        found.update({Path(sys.prefix): None, Path(sys.base_prefix): None})
    return tuple(found)


def links_out(folders: tuple[Path, ...]) -> tuple[Path, ...]:
    """Where the links in these folders lead: a project's data may lie on another disk."""
    return tuple(
        entry.resolve() for folder in folders if folder.is_dir() for entry in folder.iterdir() if _is_link(entry)
    )


def _is_link(entry: Path) -> bool:
    """A link to files or folders, but private ones, which no link may bring back."""
    if not entry.is_symlink() or not (entry.is_file() or entry.is_dir()):
        return False
    target = entry.resolve()
    return not any(place == target or place in target.parents for place in _private())


def _program() -> str:
    return shutil.which("bwrap") or "bwrap"


def _homes(config: str) -> Iterator[Path]:
    for line in config.splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "home" and value.strip():
            yield Path(value.strip()).parent
            yield Path(value.strip()).resolve().parent


def _private() -> list[Path]:
    """Resolved, since a mount lies on what a link leads to; never a folder that holds a home itself."""
    homes = {Path(pwd.getpwuid(os.geteuid()).pw_dir).resolve(), Path(os.path.expanduser("~")).resolve()}  # noqa: PTH111
    found = {(home / name).resolve() for home in homes for name in _PRIVATE if (home / name).exists()}
    return sorted(path for path in found if not any(path == home or path in home.parents for home in homes))


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


def _gpus() -> list[str]:
    """The nodes of accelerators and no others: with all of /dev, root could write to the disks themselves."""
    nodes = [node for pattern in _GPU_NODES for node in sorted(Path("/dev").glob(pattern))]
    return [word for node in nodes for word in ("--dev-bind", str(node), str(node))]
