"""What is said where less than bubblewrap keeps scripts in: how to get it, and what they may have changed."""

import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ..errors import ProjectError, RunError
from ..jobs.fallback import holds
from ..jobs.placing import level
from ..rules.execution import ExecutionConfig
from ..rules.reading import Rules
from ..store.paths import STATE
from ..store.records import Record, load, save
from ..text import Told
from .notices import Notice
from .project import Project

_PACKAGES = f"{STATE}/packages.json"
_MOST_NAMED = 5
# By the program that installs packages here.
_INSTALLS = {
    "apt-get": "sudo apt-get install bubblewrap",
    "dnf": "sudo dnf install bubblewrap",
    "zypper": "sudo zypper install bubblewrap",
    "pacman": "sudo pacman -S bubblewrap",
    "apk": "sudo apk add bubblewrap",
}


class Packages(Record):
    """Of the environment in the project, when a job was started last: each entry of its packages -> its status."""

    stamps: dict[str, str]


def unconfined(config: ExecutionConfig) -> Told | None:
    """What to say where the rules would have bubblewrap and this machine has none; None where it has, or they don't."""
    try:
        found = level(config)
    except RunError as error:  # they require it
        values = {"problem": error.what, "command": install_command()}
        return Told("Nothing is run: {problem}. To have bubblewrap: {command}", values)
    if found.lacks is None:
        return None
    held = holds()
    if found.confined:
        rest = Told("Landlock holds in its place, but for {lacking}", {"lacking": held.told(network=config.network)})
    else:
        rest = Told("nothing holds in its place ({problem})", {"problem": held.problem or ""})
    return Told(
        "Scripts run without bubblewrap ({problem}): {rest}. To have it: {command}",
        {"problem": found.lacks, "rest": rest, "command": install_command()},
    )


def install_command() -> str:
    """The command that installs bubblewrap here; where it is there and doesn't work, what it needs."""
    if shutil.which("bwrap"):
        return "sudo sysctl -w kernel.unprivileged_userns_clone=1 kernel.apparmor_restrict_unprivileged_userns=0"
    return next((line for name, line in _INSTALLS.items() if shutil.which(name)), "install bubblewrap (Linux only)")


@dataclass(frozen=True)
class PackagesSeen:
    """What was looked at just before a job: `noticed` is what changed in it since the job before."""

    noticed: tuple[Notice, ...] = ()
    found: Packages | None = None

    def keep(self, project: Project) -> None:
        """What the next job's look is compared with. Call it once the job is started: a refused one changes nothing."""
        if self.found is not None:
            save(project.workspace.tree, _PACKAGES, self.found)


def packages_seen(project: Project, rules: Rules) -> PackagesSeen:
    """What changed in an environment within the project since the last job, where a job could have done it.

    Looked at are its interpreter, its settings and the first file of each package, not all files. Call it with the lock
    held, just before a job is started. Nothing is written.
    """
    prefix = Path(project.interpreter(rules)).parent.parent
    if level(rules.file.execution_config).confined or not prefix.is_relative_to(project.workspace.root):
        return PackagesSeen()
    now = dict(_stamps(prefix))
    try:
        before = load(project.workspace.tree, _PACKAGES, Packages)
        was = now if before is None else before.stamps
    except ProjectError:  # what was written there by somebody else says nothing of what was: all of it is named
        was = {}
    found = Packages(stamps=now)
    changed = sorted(name for name in {*was, *now} if was.get(name) != now.get(name))
    if not changed:
        return PackagesSeen(found=found)
    more = [f"and {len(changed) - _MOST_NAMED} more"] if len(changed) > _MOST_NAMED else []
    notice = Notice.of("packages_changed", folder=prefix.name, names=", ".join([*changed[:_MOST_NAMED], *more]))
    return PackagesSeen((notice,), found)


def _stamps(prefix: Path) -> Iterator[tuple[str, str]]:
    looked_at = [prefix / "pyvenv.cfg", *sorted(prefix.glob("bin/python*"))]
    for site in sorted(prefix.glob("lib*/python3*/site-packages")):
        looked_at += sorted(path for path in site.iterdir() if path.name != "__pycache__")
    for path in looked_at:
        file = path / "__init__.py" if path.is_dir() else path
        name = path.relative_to(prefix).as_posix()
        yield name.rpartition("site-packages/")[2], _stamp(file)


def _stamp(path: Path) -> str:
    """The change time can't be set by whoever sets the modification time back."""
    try:
        found = path.lstat()
    except OSError:  # a package without such a file, or one that goes away: its name says it is there
        return ""
    return f"{found.st_size} {found.st_mtime_ns} {found.st_ctime_ns} {found.st_ino}"
