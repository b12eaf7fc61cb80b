"""After a Step that changed something: a detached process mirrors it, and nobody waits for that."""

import logging
import os
import subprocess
import sys
import threading

from ...errors import LoopError
from ...project.project import Project
from ...rules.schema import TrackingConfig
from ...store.paths import STATE
from ...store.tree import Tree

FOLDER, LOG = f"{STATE}/tracking", "log.txt"
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
    # Somebody has to wait for a child, or it stays a zombie as long as a server lives.
    threading.Thread(target=process.wait, name="tracker mirror", daemon=True).start()


def start(project: Project, *, wait: bool) -> "subprocess.Popen[bytes]":
    """Starts the mirror in a session of its own; `wait`: it takes its turn even when another one waits already.

    It has this process's environment, where the trackers' credentials are, and never runs user code. Raises `OSError`,
    `LoopError`.
    """
    workspace = project.workspace
    command = [sys.executable, "-P", "-m", "progressive_training.loop.report.trackers", str(workspace.root)]
    command += [f"--skill-folder={folder.absolute()}" for folder in project.skill_folders]
    log = open_log(workspace.tree)
    try:
        return subprocess.Popen(
            [*command, "--wait"] if wait else command,
            # Not in the project, whose modules must not be imported for ours.
            cwd="/",
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
        )
    finally:
        os.close(log)


def open_log(tree: Tree) -> int:
    """A handle to append to .progressive-training/tracking/log.txt."""
    with tree.folder(tuple(FOLDER.split("/")), create=True) as folder:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
        return os.open(LOG, flags, 0o644, dir_fd=folder)
