"""After a Step that changed something: a detached process mirrors it, and nobody waits for that."""

import logging
import os
import subprocess
import sys
import threading

from ...errors import LoopError
from ...project.project import Project
from ...rules.schema import TrackingConfig
from ...store.paths import TRACKING
from ...store.tree import Tree

_logger = logging.getLogger(__name__)


def mirror_later(project: Project) -> None:
    """Starts the mirror if the rules name a tracker. Never raises, and never waits for it."""
    try:
        if project.rules().file.tracking_config == TrackingConfig():
            return
        process = start(project, wait=False)
    except (LoopError, OSError) as error:
        _logger.warning("the trackers were not told: %s", error)
        return
    forget(process, "tracker mirror")


def start(project: Project, *, wait: bool) -> "subprocess.Popen[bytes]":
    """Starts the mirror in a session of its own; `wait`: it takes its turn even when another one waits already.

    It has this process's environment, where the trackers' credentials are, and never runs user code. Raises `OSError`,
    `LoopError`.
    """
    log = open_log(project.workspace.tree, TRACKING)
    return start_detached(project, "progressive_training.loop.report.trackers", log, *(("--wait",) if wait else ()))


def start_detached(project: Project, module: str, log: int, *arguments: str) -> "subprocess.Popen[bytes]":
    """Starts a module of ours for the project in a session of its own; it has `log`, which is closed here.

    Raises `OSError`.
    """
    command = [sys.executable, "-P", "-m", module, str(project.workspace.root)]
    command += [f"--skill-folder={folder.absolute()}" for folder in project.skill_folders]
    try:
        return subprocess.Popen(
            [*command, *arguments],
            # Not in the project, whose modules must not be imported for ours.
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)


def forget(process: "subprocess.Popen[bytes]", name: str) -> None:
    """Lets it run on its own. Somebody has to wait for a child, or it stays a zombie as long as a server lives."""
    threading.Thread(target=process.wait, name=name, daemon=True).start()


def open_log(tree: Tree, place: str, *, anew: bool = False) -> int:
    """A handle to append to log.txt in that folder, which is emptied first if `anew`."""
    with tree.folder(tuple(place.split("/")), create=True) as folder:
        flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC | (os.O_TRUNC if anew else os.O_APPEND)
        return os.open("log.txt", flags, 0o644, dir_fd=folder)
