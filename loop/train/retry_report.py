"""train_retry_report.md: one row an attempt, kept with the server's state so that it survives each wipe (T4)."""

from ..project.attempts import Attempt
from ..project.project import Project
from ..project.version import Version
from ..text import Say, words

_HEAD = (
    "| attempt | error_summary | root_cause_hypothesis | code_change_summary | status (PASS/FAIL) |\n"
    "|---|---|---|---|---|"
)


def write_retry_report(project: Project, cur: int) -> None:
    """Writes the report into the version's artifact folder, from the attempts as they are recorded."""
    say = words(project.rules().file.report_language)
    rows = [_row(attempt, say) for attempt in Version(project, cur).attempts("train") if attempt.verdict]
    if not rows:
        return
    title = say("# Training attempts of {script}").format(script=project.workspace.script(cur))
    text = "\n".join((title, "", _HEAD, *rows, ""))
    project.workspace.tree.write(project.workspace.retry_report(cur), text.encode())


def _row(attempt: Attempt, say: Say) -> str:
    verdict, repair = attempt.verdict, attempt.repair
    assert verdict is not None, "only settled attempts have a row"
    cells = (
        str(attempt.number),
        "" if verdict.kind is None else f"{say(verdict.kind)}: {verdict.summary}",
        repair.root_cause_hypothesis if repair else "",
        repair.code_change_summary if repair else "",
        verdict.status,
    )
    return f"| {' | '.join(_cell(cell) for cell in cells)} |"


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")[:500]
