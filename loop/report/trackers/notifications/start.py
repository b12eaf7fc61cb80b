"""After a Step, or where a run ends: a detached process tells the user, and nobody waits for it."""

import logging

from ....errors import LoopError
from ....project.project import Project
from ....store.paths import NOTIFICATIONS
from ..start_mirror import forget, open_log, start_detached

_logger = logging.getLogger(__name__)


def notify_later(project: Project, stopped: str | None = None) -> None:
    """Starts it if the rules name somebody to tell, or did before they changed. Never raises, and never waits.

    The process has this one's environment, where an address that is secret lies, and runs no code of the project.
    """
    tree = project.workspace.tree
    try:
        if project.rules().file.notify is None and not tree.is_folder(NOTIFICATIONS):
            return
        log = open_log(tree, NOTIFICATIONS, anew=True)
        why = (f"--stopped={stopped}",) if stopped else ()
        process = start_detached(project, "progressive_training.loop.report.trackers.notifications", log, *why)
    except (LoopError, OSError) as error:
        _logger.warning("nobody was told: %s", error)
        return
    forget(process, "notification")
