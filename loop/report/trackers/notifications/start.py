"""After a Step, or where a run ends: a detached process tells the user, and nobody waits for it."""

import logging
import os
import subprocess
import sys
import threading

from ....errors import LoopError
from ....project.project import Project
from ....store.paths import NOTIFICATIONS

_logger = logging.getLogger(__name__)


def notify_later(project: Project, stopped: str | None = None) -> None:
    """Starts it if the rules name somebody to tell, or did before they changed. Never raises, and never waits.

    The process has this one's environment, where an address that is secret lies, and runs no code of the project.
    """
    tree = project.workspace.tree
    try:
        if project.rules().file.notify is None and not tree.is_folder(NOTIFICATIONS):
            return
        command = [sys.executable, "-P", "-m", "progressive_training.loop.report.trackers.notifications"]
        command += [str(project.workspace.root), *(f"--skill-folder={one.absolute()}" for one in project.skill_folders)]
        with tree.folder(tuple(NOTIFICATIONS.split("/")), create=True) as folder:
            flags = os.O_WRONLY | os.O_TRUNC | os.O_CREAT | os.O_NOFOLLOW | os.O_CLOEXEC
            log = os.open("log.txt", flags, 0o644, dir_fd=folder)
        try:
            process = subprocess.Popen(
                [*command, f"--stopped={stopped}"] if stopped else command,
                cwd="/",
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
            )
        finally:
            os.close(log)
    except (LoopError, OSError) as error:
        _logger.warning("nobody was told: %s", error)
        return
    # Somebody has to wait for a child, or it stays a zombie as long as a server lives.
    threading.Thread(target=process.wait, name="notification", daemon=True).start()
