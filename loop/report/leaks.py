"""What a report says of leaks: how training and validation were held against one another before the first training."""

from ..project.project import Project
from ..project.receipts import RehearsalReceipt
from ..project.version import Version
from ..rehearse.leaks import CODES
from ..rehearse.words import told
from ..text import Told


def leaks_told(project: Project, first_version: int) -> tuple[Told, ...]:
    """One line, in its parts: that it was looked for, and all that was found; or that it wasn't."""
    version = Version(project, first_version)
    receipt = version.receipt(RehearsalReceipt)
    found = [one for one in receipt.findings if one.code in CODES] if receipt is not None else []
    if not found:
        return (Told("No leak between training and validation was looked for: there was no rehearsal that saw both."),)
    looked = Told("Looked for leaks between training and validation (rehearsal of {version}):", {"version": version.id})
    return (looked, *map(told, found))
