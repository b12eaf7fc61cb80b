"""`progressive-training track`, and the lines that say how the trackers are; `notify`."""

import argparse
import json
import sys
from collections.abc import Iterator

from ...loop.errors import LoopError
from ...loop.report.tracker_state import TrackerView, configured, tracker_views
from ...loop.report.trackers.notifications.moments import Moment
from ...loop.report.trackers.notifications.sending import send
from ...loop.report.trackers.notifications.telling import message
from ...loop.report.trackers.start_mirror import start
from ...loop.store.paths import RULES_FILE, TRACKING
from .options import project_of
from .progress_display import console

AGAIN = "progressive-training track tries again"


def on_track(arguments: argparse.Namespace) -> int:
    """Mirrors the loop to the trackers that the rules name, waits, and says what is there; 1 if something isn't.

    Raises `LoopError` if the rules name no tracker, no loop was started, or the mirror could not do its work.
    """
    project = project_of(arguments)
    rules = project.rules()
    if not configured(rules):
        raise LoopError("names no tracker", where=RULES_FILE, hint="add tracking_config (docs/trackers.md)")
    if project.loop() is None:
        raise LoopError("no loop has been started, so there is nothing to send", hint="progressive-training start")
    code = start(project, wait=True).wait()
    if code != 0:
        raise LoopError(f"the mirror ended with code {code}", where=f"{TRACKING}/log.txt", hint="see there")
    views = tracker_views(project, rules)
    if arguments.json:
        sys.stdout.write(json.dumps([view.model_dump(mode="json") for view in views], indent=1, ensure_ascii=False))
        sys.stdout.write("\n")
    else:
        out = console()
        for view in views:
            out.print(f"{view.name}: {detail(view)}", markup=False)
    return 1 if any(view.problem for view in views) else 0


def on_notify(arguments: argparse.Namespace) -> int:
    """Sends a test message as the rules say, once. Raises `LoopError` where they name nobody, or it fails."""
    project = project_of(arguments)
    config = project.rules().file.notify
    if config is None:
        raise LoopError("names nobody to tell", where=RULES_FILE, hint="add notify (docs/notifications.md)")
    test = Moment(key="test", event="test", text="This is a test message of the training loop.")
    if problem := send(config, message(project, test), waits=()):
        raise LoopError(problem, where=f"{RULES_FILE}: notify", hint="see docs/notifications.md")
    console().print("The test message was taken.", markup=False)
    return 0


def detail(view: TrackerView) -> str:
    """How a tracker is, in a line or, with a problem, what that is."""
    if view.at is None:
        return view.problem or "nothing was sent yet"
    versions = f"{view.sent} version{'' if view.sent == 1 else 's'}"
    there = f"{versions} sent to {view.target}" if view.target else f"{versions} sent"
    return "; ".join(text for text in (there, view.problem and f"then: {view.problem}", *view.notes) if text)


def problem_lines(views: tuple[TrackerView, ...]) -> Iterator[str]:
    """A line for each tracker that isn't as it should be."""
    for view in views:
        if view.problem:
            yield f"{view.name}: {view.problem}; {AGAIN}"
        for note in view.notes:
            yield f"{view.name}: {note}"
