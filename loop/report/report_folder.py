"""A report's folder: made whole (R3, R5), then completed by the agent's analysis and by late pictures (R6)."""

import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from ..errors import OutOfOrder
from ..project.project import Project
from ..project.receipts import ReportReceipt
from ..project.state import REPORT_RECEIPT, derive, report_receipt
from ..store import journal, transaction
from ..store.paths import REPORT_SCRIPT, REPORTS, STATE
from . import leaderboard
from .bundle import GATHERED
from .contents import ReportData

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


def publish(project: Project, data: ReportData, pages: Mapping[str, bytes]) -> ReportReceipt:
    """Builds the report folder aside; it, 04_final_report.py and the receipt appear together.

    `pages` are the documents and pictures that others made of `data`: path in the folder -> content.
    """
    rules = project.rules()
    with project.mutation():
        state = derive(project, rules)
        if state.phase == "done" and (receipt := report_receipt(project)):
            return receipt
        workspace, building, folder = project.workspace, f"{STATE}/report", _free_folder(project)
        workspace.tree.remove(building)
        workspace.tree.make_folder(building)
        _fill(project, data, workspace.tree.path(building), workspace.root / folder, pages)
        receipt = ReportReceipt(
            folder=folder,
            last_version=max(project.versions()),
            reason=str(data.reason),
            ended_by=data.ended_by,
            best=data.best,
            with_analysis=False,
            at=journal.now(),
        )
        script = _report_script(data)
        transaction.commit(
            workspace,
            moved={building: folder},
            new={},
            changed={REPORT_SCRIPT: script, f"{workspace.authored}/{REPORT_SCRIPT}": script},
            records={REPORT_RECEIPT: receipt},
        )
        workspace.tree.remove(GATHERED, durable=False)
        journal.record(workspace, "reported", folder=folder, best=data.best, reason=str(data.reason))
        return receipt


def _report_script(data: ReportData) -> str:
    source = inspect.getsource(leaderboard)
    for name, was, value in (
        ("PRIMARY_METRIC", f'"{leaderboard.PRIMARY_METRIC}"', repr(data.primary)),
        ("VERSIONS: tuple[str, ...]", "()", repr(data.versions)),
        ("APART: tuple[str, ...]", "()", repr(data.apart)),
    ):
        default = f"{name} = {was}"
        assert default in source, "the script has a default to replace"
        source = source.replace(default, f"{name} = {value}", 1)
    return source


def _free_folder(project: Project) -> str:
    """`Models/Report/YYYY-MM-DD_HH-MM`, local time; a minute later where a report of this minute exists."""
    moment = datetime.now().astimezone()
    while True:
        folder = f"{REPORTS}/{moment:%Y-%m-%d_%H-%M}"
        if project.workspace.tree.kind(folder) is None:
            return folder
        moment += timedelta(minutes=1)


def _fill(project: Project, data: ReportData, building: Path, folder: Path, pages: Mapping[str, bytes]) -> None:
    for name, content in pages.items():
        (building / name).parent.mkdir(exist_ok=True)
        (building / name).write_bytes(content)
    if data.bundle is not None:
        place = building.relative_to(project.workspace.root).as_posix()
        project.workspace.tree.make_folder(f"{place}/Artifacts")
        project.workspace.tree.move(data.bundle, f"{place}/Artifacts/{data.best}")
    leaderboard.write_leaderboard(
        project.workspace.root, folder, building / "leaderboard.csv", data.primary, data.versions, data.apart
    )


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
        done = receipt.model_copy(update={"with_analysis": True, "analysis": analysis[:MAX_ANALYSIS]})
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
