"""train_retry_report.md: one row for each training attempt of a version, written again after every wipe (T4)."""

from ..project.attempts import Attempt
from ..project.version import Version
from ..rules.reading import Rules
from ..text import Say, words

_HEAD = (
    "| attempt | error_summary | root_cause_hypothesis | code_change_summary | status (PASS/FAIL) |\n"
    "|---|---|---|---|---|"
)


def write_retry_report(version: Version, rules: Rules) -> None:
    """Writes the report into the version's artifact folder; none before an attempt has a verdict."""
    say = words(rules.file.report_language)
    rows = [_row(attempt, say) for attempt in version.attempts("train") if attempt.verdict]
    if not rows:
        return
    title = say("# Training attempts of {script}").format(script=version.script_name)
    text = "\n".join((title, "", _HEAD, *rows, ""))
    workspace = version.project.workspace
    workspace.tree.write(workspace.retry_report(version.number), text.encode())


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
