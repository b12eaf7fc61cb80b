"""Is a version's script still the one that the loop authored?"""

import hashlib

from .attempts import attempts
from .errors import GuardError
from .project import Project
from .receipts import StartReceipt, load
from .state import next_receipt


def expected_script(project: Project, cur: int) -> str | None:
    """The sha256 that the version's script must have; None for one that was there before the loop."""
    workspace = project.workspace
    repairs = [repair for attempt in attempts(project, cur, "train") if (repair := attempt.repair)]
    for repair in reversed(repairs):
        if repaired := repair.files.get(workspace.script(cur)):
            return repaired
    if cur > 1 and (authored := next_receipt(project, cur - 1)):
        return authored.script_sha256
    start = load(workspace.tree, workspace.receipt(cur, "start"), StartReceipt)
    return start.script_sha256 if start else None


def require_authored(project: Project, cur: int) -> None:
    """Raises `GuardError` if the script was edited outside the loop, where no check saw the change."""
    workspace = project.workspace
    expected = expected_script(project, cur)
    script = workspace.script(cur)
    if expected is None or hashlib.sha256(workspace.tree.read(script)).hexdigest() == expected:
        return
    raise GuardError(
        "was edited outside the loop, so nobody checked the change against the action and the rules",
        where=script,
        hint=f"copy {workspace.authored}/{script} back over it; changes go through repair_version or the next action",
    )
