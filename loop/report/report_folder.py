"""What is put into a report after it was made: the agent's analysis, and pictures that could not be painted then."""

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass

from ..errors import OutOfOrder
from ..project.project import Project
from ..project.receipts import ReportReceipt
from ..project.state import REPORT_RECEIPT, report_receipt
from ..store import journal, transaction

DOCUMENT, PAGE, PICTURES_FOLDER = "final-analysis.md", "report.html", "pictures"
MAX_ANALYSIS = 40_000


@dataclass(frozen=True)
class Place:
    """Where something goes in a finished document: between two comments."""

    name: str

    @property
    def opened(self) -> str:
        return f"<!-- {self.name} -->"

    @property
    def closed(self) -> str:
        return f"<!-- /{self.name} -->"

    def without(self, text: str) -> str:
        """The text without these comments, which whoever copied a part of the document may have taken along."""
        return text.replace(self.opened, "").replace(self.closed, "")


ANALYSIS, PICTURES = Place("analysis"), Place("pictures")


def complete_analysis(project: Project, analysis: str, html: str) -> ReportReceipt:
    """Puts the agent's text into the finished report's documents, in place of an earlier one (R6).

    `html` is the same text for report.html, where there is one. Raises `OutOfOrder` before the report.
    """
    with project.mutation():
        receipt = report_receipt(project)
        if receipt is None:
            raise OutOfOrder("there is no report yet", hint="call final_report without analysis first")
        tree, where = project.workspace.tree, f"{receipt.folder}/{DOCUMENT}"
        text = between(tree.read(where).decode(), ANALYSIS, ANALYSIS.without(analysis).strip()[:MAX_ANALYSIS])
        if text is None:
            raise OutOfOrder("the place for the analysis is gone", where=where, hint="add the text by hand")
        changed, page = {where: text}, f"{receipt.folder}/{PAGE}"
        if tree.is_file(page) and (filled := between(tree.read(page).decode(), ANALYSIS, html)) is not None:
            changed[page] = filled
        done = receipt.model_copy(update={"with_analysis": True})
        transaction.commit(project.workspace, new={}, changed=changed, records={REPORT_RECEIPT: done})
        digest = hashlib.sha256(text.encode()).hexdigest()
        journal.record(project.workspace, "report_completed", sha256=digest)
        return done


def lacks_pictures(project: Project, receipt: ReportReceipt) -> bool:
    """Whether final-analysis.md still has the place where they go, and none in it."""
    try:
        text = project.workspace.tree.read(f"{receipt.folder}/{DOCUMENT}").decode(errors="replace")
    except FileNotFoundError:
        return False
    _, opened, rest = text.partition(PICTURES.opened)
    inside, closed, _ = rest.partition(PICTURES.closed)
    return bool(opened and closed) and f"]({PICTURES_FOLDER}/" not in inside


def add_pictures(project: Project, receipt: ReportReceipt, pictures: Mapping[str, bytes], embedded: str) -> None:
    """Puts pictures into a finished report that was made without; the document names them once they are there."""
    with project.mutation():
        tree, where = project.workspace.tree, f"{receipt.folder}/{DOCUMENT}"
        for name, content in pictures.items():
            tree.write(f"{receipt.folder}/{name}", content)
        text = between(tree.read(where).decode(), PICTURES, embedded)
        if text is not None:
            tree.write(where, text.encode())


def between(text: str, place: Place, inside: str) -> str | None:
    """The text with `inside` in the place; None where the place is gone."""
    before, opened, rest = text.partition(place.opened)
    _, closed, after = rest.partition(place.closed)
    return f"{before}{opened}\n\n{inside}\n\n{closed}{after}" if opened and closed else None
