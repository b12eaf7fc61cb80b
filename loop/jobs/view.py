"""What a job sees of the machine: an allow-list of folders, each found where it is and not guessed by its name.

A home, another mount, a socket, /var, /opt: what isn't here isn't there.
"""

import functools
import json
import os
import pwd
import sys
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import cast
from urllib.parse import unquote, urlsplit

from ..record.parts import Opened
from ..store.paths import ARTIFACTS, PREPDATA, REPORTS, STATE, Workspace

# Programs and their libraries. Where one is a link (/lib -> usr/lib), so it is inside.
SYSTEM = ("/usr", "/bin", "/sbin", "/lib", "/lib32", "/lib64", "/libx32", "/nix/store", "/gnu/store")
# What programs look up about the machine; nobody's password, key or package host lies in these.
_SETTINGS = (
    *("alternatives", "ld.so.cache", "ld.so.conf", "ld.so.conf.d", "ld.so.preload", "localtime"),
    *("passwd", "group", "nsswitch.conf", "hosts", "hostname", "resolv.conf"),
    *("protocols", "services", "crypto-policies", "pki/ca-trust", "pki/tls/certs"),
    *("ssl/certs", "ssl/cert.pem", "ssl/openssl.cnf", "pki/tls/cert.pem", "pki/tls/openssl.cnf"),
    *("fonts", "locale.conf", "mime.types", "os-release", "machine-id"),
    *("OpenCL", "vulkan", "glvnd", "nvidia", "cufile.json", "libnl"),
)
# Names are looked up through the first; the others hold drivers and programs.
_RUN = ("systemd/resolve", "resolvconf", "NetworkManager/resolv.conf", "opengl-driver", "current-system")
_GPU_NODES = ("nvidia*", "dri", "kfd", "dxg", "accel", "infiniband")
_LIBRARY_VARIABLES = ("CUDA_HOME", "CUDA_PATH", "LD_LIBRARY_PATH")


@dataclass(frozen=True)
class Confines:
    """What a job gets. `scratch` becomes its /tmp, and need not exist yet. `writable` are folders that exist.

    `readable` are seen as they are, but for what lies in one of `emptied` (where only `shown` is, and `links` lead
    to their targets), of `blank` (files that hold nothing), and of `doors`: of these folders only what is the job's own
    is there, `own` to be read and `writable`.
    """

    scratch: Path
    writable: tuple[Path, ...]
    readable: tuple[Path, ...]
    network: bool
    emptied: tuple[Path, ...] = ()
    shown: tuple[Path, ...] = ()
    links: tuple[tuple[Path, Path], ...] = ()
    blank: tuple[Path, ...] = ()
    doors: tuple[Path, ...] = ()
    own: tuple[Path, ...] = ()

    def sees(self, path: Path) -> bool:
        """Whether something that is on this machine is there for the job as well. `path` is resolved."""

        def within(places: tuple[Path, ...]) -> bool:
            return any(place == path or place in path.parents for place in places)

        hidden = within((*self.emptied, *self.doors, *self.blank))
        given = within((*self.shown, *self.own, *self.writable))
        return given or (not hidden and within((*self.readable, *(Path(os.path.realpath(one)) for one in machine()))))

    def out_of_sight(self, opened: Opened) -> tuple[Path, ...]:
        """The folders and files of this machine that a job wanted and could not see: what `mounts` may name.

        Neither what the loop keeps from it on purpose, nor a whole home. What it only asked for, without opening or
        making it, isn't known.
        """
        each_has_its_own = (Path(name) for name in ("/tmp", "/proc", "/dev", "/sys"))
        kept = (*self.emptied, *self.doors, *self.blank, self.scratch, *each_has_its_own)
        found: dict[Path, None] = {}
        for text in (*opened.read, *opened.folders, *opened.looked_through, *opened.made):
            # The script could have written anything there: a path that there can't be, too.
            if not text.startswith("/") or not os.path.exists(text):  # noqa: PTH110 - which takes any text
                continue
            path = Path(text).resolve()
            hidden = any(place == path or place in path.parents for place in kept)
            if not hidden and not holds_a_home(path) and not self.sees(path):
                found[path if path.is_dir() else path.parent if not holds_a_home(path.parent) else path] = None
        return tuple(path for path in found if not any(other in path.parents for other in found))

    def with_project(self, project: "ProjectView") -> "Confines":
        """The same with a project in sight: but for the loop's state, other versions, other data sets, and `.env`."""
        root = project.workspace.root
        prepared, reports = (root / PREPDATA).resolve(), root / REPORTS
        place = prepared / project.dataset_id
        inside = prepared.is_relative_to(root) and prepared.is_dir()
        links = ((place, place.resolve()),) if inside and place.is_symlink() else ()
        return replace(
            self,
            readable=(*self.readable, root),
            emptied=tuple(
                path for path in (prepared if inside else None, reports) if path is not None and path.is_dir()
            ),
            links=links,
            shown=tuple(dict.fromkeys(_data(place))),
            blank=tuple(path for path in sorted(root.glob(".env*")) if path.is_file()),
            doors=(root / STATE, root / ARTIFACTS),
            own=project.own,
        )


@dataclass(frozen=True)
class ProjectView:
    """A project for one job: its data set, and what is this job's own to read of what no other job sees."""

    workspace: Workspace
    dataset_id: str
    own: tuple[Path, ...] = ()


def _data(place: Path) -> Iterator[Path]:
    """The data set and where it and its first entries lead, if they are links: it may lie on another disk."""
    if place.is_dir():
        entries = [entry for entry in place.iterdir() if entry.is_symlink() and entry.exists()]
        yield from (
            path for path in (place.resolve(), *(entry.resolve() for entry in entries)) if not holds_a_home(path)
        )


def machine() -> tuple[Path, ...]:
    """What is the system's own and exists: programs, their libraries, settings."""
    found = [Path(name) for name in SYSTEM]
    found += [Path("/etc") / name for name in _SETTINGS] + [Path("/run") / name for name in _RUN]
    return tuple(path for path in found if path.exists())


def accelerators() -> tuple[Path, ...]:
    """The nodes of accelerators and no others: with all of /dev, root could write to the disks themselves."""
    return tuple(node for pattern in _GPU_NODES for node in sorted(Path("/dev").glob(pattern)))


def libraries(env: Mapping[str, str]) -> tuple[Path, ...]:
    """Folders beside the system's that the loader looks through, by its own settings and by these variables."""
    named = [word for name in _LIBRARY_VARIABLES for word in env.get(name, "").split(os.pathsep)]
    return tuple(dict.fromkeys(_existing([*named, *_loaders_folders()])))


def _loaders_folders() -> Iterator[str]:
    folder = Path("/etc/ld.so.conf.d")
    for file in sorted(folder.glob("*.conf")) if folder.is_dir() else ():
        yield from (line.strip() for line in file.read_text(encoding="utf-8", errors="replace").splitlines())


def _existing(words: list[str]) -> Iterator[Path]:
    for word in words:
        path = Path(word)
        if path.is_absolute() and path.is_dir() and not path.is_relative_to("/usr") and not holds_a_home(path):
            yield path


def holds_a_home(path: Path) -> bool:
    """Whether a folder is somebody's home or holds one: that is never meant by a link or a search path."""
    found = path.resolve()
    return any(found == home or found in home.parents for home in homes())


def homes() -> frozenset[Path]:
    """The user's, by the system and by $HOME."""
    return frozenset({Path(pwd.getpwuid(os.geteuid()).pw_dir).resolve(), Path(os.path.expanduser("~")).resolve()})  # noqa: PTH111


def interpreter_folders(python: str) -> tuple[Path, ...]:
    """Where an interpreter and its packages lie: its virtual environment, the installation behind that, and what its
    site-packages name elsewhere (`.pth` files, packages that are installed as links to their source)."""
    found: dict[Path, None] = {}
    for path in _chain(python):
        prefix = path.parent.parent
        found.update(dict.fromkeys([path, *sorted(prefix.glob("lib*/python3*"))] if holds_a_home(prefix) else [prefix]))
        config = prefix / "pyvenv.cfg"
        if config.is_file():
            found.update(dict.fromkeys(_installations(config.read_text(encoding="utf-8", errors="replace"))))
    if Path(sys.executable) == Path(os.path.abspath(python)):  # noqa: PTH100 - see _chain
        found.update({Path(sys.prefix): None, Path(sys.base_prefix): None})
    for site in [site for place in tuple(found) for site in _site_folders(place)]:
        found.update(dict.fromkeys((site, *_named_elsewhere(site, site.stat().st_mtime_ns))))
    return tuple(found)


def _chain(python: str) -> Iterator[Path]:
    """An interpreter's path and all that it leads to, link by link: each says which environment it is."""
    path = Path(os.path.abspath(python))  # noqa: PTH100 - not resolved
    for _ in range(40):  # the kernel's own limit
        yield path
        if not path.is_symlink():
            break
        path = Path(os.path.normpath(path.parent / path.readlink()))
    yield path.resolve()


def _installations(config: str) -> Iterator[Path]:
    for line in config.splitlines():
        key, _, value = line.partition("=")
        if key.strip() == "home" and value.strip():
            yield Path(value.strip()).parent
            yield Path(value.strip()).resolve().parent


def _site_folders(prefix: Path) -> Iterator[Path]:
    yield from sorted(prefix.glob("lib*/python3*/site-packages"))
    if not (prefix / "pyvenv.cfg").is_file():  # a virtual environment knows no packages of the user's own
        for version in sorted(prefix.glob("lib/python3.*")):
            own = Path.home() / ".local" / "lib" / version.name / "site-packages"
            if own.is_dir():
                yield own


@functools.lru_cache(maxsize=64)
def _named_elsewhere(site: Path, changed: int) -> tuple[Path, ...]:
    """`changed` is when something was installed there last."""
    found: list[str] = []
    for name in sorted(os.listdir(site)):  # noqa: PTH208 - hundreds of names
        if name.endswith(".pth"):
            lines = (site / name).read_text(encoding="utf-8", errors="replace").splitlines()
            found += [line.strip() for line in lines if line.startswith("/")]
        elif name.endswith(".dist-info") and (record := site / name / "direct_url.json").is_file():
            found += _source_of(record)
    return tuple(dict.fromkeys(_existing(found)))


def _source_of(record: Path) -> Iterator[str]:
    """The folder that an installed package is a link to, by its own record."""
    try:
        read: object = json.loads(record.read_bytes())
    except (OSError, ValueError, RecursionError):  # not ours to mend: the import will say what is wrong
        return
    content = cast(dict[str, object], read) if isinstance(read, dict) else {}
    url = content.get("url")
    if isinstance(url, str) and url.startswith("file://") and "dir_info" in content:
        yield unquote(urlsplit(url).path)
