"""Which paths a process tree changed, as strace saw it."""

import re
from collections.abc import Iterator
from pathlib import Path

from .programs import need

_CALLS = (
    *(
        "open",
        "openat",
        "openat2",
        "creat",
        "rename",
        "renameat",
        "renameat2",
        "link",
        "linkat",
        "symlink",
        "symlinkat",
    ),
    *("unlink", "unlinkat", "mkdir", "mkdirat", "rmdir", "mknod", "mknodat", "truncate", "chmod", "fchmodat", "chown"),
    *("lchown", "fchownat", "utime", "utimes", "utimensat", "futimesat", "setxattr", "lsetxattr", "removexattr"),
)
_LINE = re.compile(r"(\w+)\((.*)\) += (.*)")
_TEXT = r'"((?:[^"\\]|\\.)*)"'
_HANDLE = r"(?:AT_FDCWD|\d+)<((?:[^>\\]|\\.)*)>"
_ARGUMENT = re.compile(rf"{_HANDLE}, {_TEXT}|{_TEXT}")
_FOR_WRITING = re.compile(r"O_(?:WRONLY|RDWR|CREAT|TRUNC|APPEND|TMPFILE)")
_CWD = re.compile(r"AT_FDCWD<((?:[^>\\]|\\.)*)>")


def strace(logs: Path) -> list[str]:
    """What to put before a command; each of its threads gets a log file in the folder `logs`."""
    # ? = this machine's architecture may lack it.
    traced = ",".join(f"?{name}" for name in (*_CALLS, "chdir", "fchdir"))
    need("strace")
    return ["strace", "-f", "-ff", "--seccomp-bpf", "-y", "-s", "4096", "-e", f"trace={traced}", "-o", str(logs / "of")]


def changed(logs: Path) -> Iterator[Path]:
    """Every path that was created, written, renamed, changed or deleted; failed calls don't count.

    Raises `ValueError` for a relative path whose folder isn't known.
    """
    for log in sorted(logs.iterdir()):
        cwd: str | None = None
        for line in log.read_text(encoding="ascii").splitlines():
            if found := _CWD.search(line):
                cwd = _decoded(found[1])
            match = _LINE.match(line)
            if match is None or match[3].startswith("-1"):
                continue
            name, arguments, result = match.groups()
            paths = [_absolute(argument, cwd, line) for argument in _ARGUMENT.finditer(arguments)]
            if name in ("chdir", "fchdir"):
                cwd = str(paths[0]) if paths else None
            elif name.startswith("open"):
                if _FOR_WRITING.search(arguments):
                    yield Path(_decoded(result.partition("<")[2].rpartition(">")[0]))  # what a link led to
            elif "symlink" in name:
                yield paths[-1]  # the first is only text
            else:
                yield from paths


def _absolute(argument: re.Match[str], cwd: str | None, line: str) -> Path:
    handle, beside, alone = argument.groups()
    path = _decoded(alone if handle is None else beside)
    folder = cwd if handle is None else _decoded(handle)
    if folder is None and not path.startswith("/"):
        raise ValueError(f"in which folder? {line}")
    return Path(folder or "/", path)


def _decoded(text: str) -> str:
    return text.encode("ascii").decode("unicode_escape").encode("latin-1").decode(errors="surrogateescape")
