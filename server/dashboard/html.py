"""The pages as HTML. Whatever comes from a project is escaped; nothing in a page runs but our one script."""

import hashlib
import json
from collections.abc import Callable, Mapping
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, cast

from ...loop.errors import LoopError
from ...loop.project.state import Phase
from ...loop.store.journal import Event, EventName
from ...loop.store.paths import version_id
from ...loop.text import clean
from ...pages.html import FOLDER as PAGES
from ...pages.html import page_environment
from .journal_page import JournalPage
from .overview_page import Overview
from .version_page import VersionPage

if TYPE_CHECKING:
    from jinja2 import Environment

FOLDER = Path(__file__).resolve().parent
# Every file that a page may ask for, by the name that it asks for.
STATIC = {
    "base.css": (PAGES / "templates" / "base.css", "text/css"),
    "charts.css": (PAGES / "charts" / "charts.css", "text/css"),
    "dashboard.css": (FOLDER / "static" / "dashboard.css", "text/css"),
    "uPlot.min.css": (FOLDER / "static" / "uPlot.min.css", "text/css"),
    "uPlot.iife.min.js": (FOLDER / "static" / "uPlot.iife.min.js", "text/javascript"),
    "dashboard.js": (FOLDER / "static" / "dashboard.js", "text/javascript"),
}
EVENTS: Mapping[EventName, str] = {
    "loop_started": "the loop started",
    "loop_adopted": "the loop was taken up with versions that were there",
    "rehearsal_started": "its rehearsal started",
    "rehearsed": "rehearsed",
    "rehearsal_failed": "its rehearsal was cut off",
    "train_started": "training started",
    "trained": "trained",
    "train_failed": "training failed",
    "repaired": "its script was repaired",
    "evaluator_written": "the evaluator was written",
    "evaluator_accepted": "the evaluator was accepted and locked",
    "eval_started": "evaluation started",
    "scored": "scored",
    "eval_failed": "evaluation failed",
    "eval_cancelled": "evaluation was cancelled",
    "explore_started": "is being explored by a snippet",
    "explored": "was explored by a snippet",
    "made_again": "what was gone is made again from the loop's copies",
    "score_restored": "its eval_score.json was not as it was published, and is restored",
    "score_discarded": "an eval_score.json that no evaluation had written was discarded",
    "score_withdrawn": "its score was withdrawn: the evaluator was corrected",
    "external_started": "the scoring of an external model started",
    "external_scored": "an external model was scored",
    "external_failed": "an external model could not be scored",
    "external_cancelled": "the scoring of an external model was cancelled",
    "analysed": "analysed",
    "action_selected": "one action was chosen",
    "authored": "authored",
    "put_aside": "a script that no Step had made was put aside",
    "rules_accepted": "the user accepted changed rules",
    "protocol_accepted": "the user accepted a changed evaluator or data set",
    "reported": "the report was made",
    "report_completed": "the report's analysis was written",
}
PHASES: Mapping[Phase, str] = {
    "start": "not started",
    "rehearsing": "is being rehearsed",
    "train": "waits to be trained",
    "training": "is training",
    "repair": "failed and waits for a repair",
    "stuck": "failed too often",
    "evaluate": "waits to be evaluated",
    "evaluating": "is being evaluated",
    "analysis": "is scored and waits for its analysis",
    "action": "waits for one action",
    "author": "waits for its successor",
    "report": "was the last; the report comes next",
    "reporting": "was the last; its report is being made",
    "done": "finished",
}


@lru_cache(maxsize=1)
def _environment() -> "Environment":
    environment = page_environment(FOLDER / "templates")
    filters = cast(dict[str, Callable[..., object]], environment.filters)  # pyright: ignore[reportUnknownMemberType]
    filters |= {
        "version_id": version_id,
        "duration": duration,
        "plain": plain,
        "static": static,
        "told": told,
        "details": details,
        "phase": phase,
    }
    return environment


def overview_html(view: Overview, seen: str) -> str:
    """`seen` says which state of the project the page shows."""
    return _environment().get_template("overview.html.j2").render(view=view, head=view.head, seen=seen)


def version_html(view: VersionPage, seen: str) -> str:
    return _environment().get_template("version.html.j2").render(view=view, head=view.head, seen=seen)


def journal_html(view: JournalPage, seen: str) -> str:
    return _environment().get_template("journal.html.j2").render(view=view, seen=seen)


def problem_html(title: str, error: LoopError | None, seen: str) -> str:
    """A page that says what is wrong, and what to do."""
    return _environment().get_template("problem.html.j2").render(title=title, error=error, seen=seen)


def duration(seconds: float) -> str:
    """`42 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def phase(name: str) -> str:
    """What goes on with the present version, after its name."""
    return cast(Mapping[str, str], PHASES).get(name, name)


def told(event: Event) -> str:
    """An event in words; one that only a later release records is shown by its name."""
    return cast(Mapping[str, str], EVENTS).get(event.event) or event.event.replace("_", " ")


def details(event: Event) -> str:
    """What else the journal says of an event, on one line."""
    said = {name: value for name, value in event.detail.items() if value not in (None, "", []) and name != "sha256"}
    if said.get("attempt") == 1:
        del said["attempt"]
    return clean("; ".join(f"{name} {plain(value)}" for name, value in said.items()), 300)


def plain(value: object) -> str:
    """A value of JSON for people: text without quotes, a list without brackets."""
    if isinstance(value, list):
        return ", ".join(plain(one) for one in cast(list[object], value))
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


@lru_cache(maxsize=16)
def static(name: str) -> str:
    """The address of a static file; it changes with the file's content, so that browsers may keep it."""
    return f"/static/{name}?{hashlib.sha256(STATIC[name][0].read_bytes()).hexdigest()[:12]}"
