"""Single Steps from the command line: wait for a job with progress, then say what came of it."""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table
from rich.text import Text

from ...agents.keep_going import Hook, answered
from ...loop.errors import LoopError, OutOfOrder
from ...loop.project.integrity import accept_protocol, accept_rules
from ...loop.project.project import Project
from ...loop.project.state import Next, derive, next_call
from ...loop.report import status as loop_status
from ...tools import (
    StepResult,
    attached,
    author_next_version,
    cancel_run,
    explore,
    final_report,
    read_rules,
    repair_version,
    run_eval,
    run_train,
    start_loop,
)
from .invocation import command, completed
from .options import project_of
from .progress_display import console, lines, live
from .track import problem_lines

_POLL_SECONDS = 0.2
_COMMANDS = {"start_loop": "start", "run_train": "train", "run_eval": "eval", "final_report": "report"}


def on_start(arguments: argparse.Namespace) -> int:
    project = project_of(arguments)
    patch = _text_of(arguments.patch) if arguments.patch else None
    step = partial(start_loop, project, arguments.dataset_id, patch, from_baseline=arguments.from_baseline)
    return _finish(project, step, arguments)


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise LoopError("is not UTF-8 text", where=path, hint="save it as UTF-8") from error


def on_adopt(arguments: argparse.Namespace) -> int:
    """Takes what somebody wrote with an editor, in the way that the next call would."""
    project = project_of(arguments)
    state = derive(project, project.rules())
    if state.next is None or not state.next.adopts:
        raise OutOfOrder("there is nothing to adopt: no Step waits for what somebody wrote", hint=next_call(state))
    steps: dict[str, Callable[..., StepResult]] = {
        "author_next_version": author_next_version,
        "repair_version": partial(repair_version, root_cause=arguments.reason, change_summary=arguments.reason),
        "start_loop": start_loop,
    }
    step = partial(steps[state.next.tool], project, **state.next.arguments)
    if arguments.train and state.next.tool == "author_next_version":
        step = partial(step, train=True)
    return _finish(project, step, arguments)


def on_train(arguments: argparse.Namespace) -> int:
    project = project_of(arguments)
    number, then = _number(project, arguments), arguments.then_evaluate
    return _finish(project, partial(run_train, project, number, arguments.resume, then), arguments)


def on_eval(arguments: argparse.Namespace) -> int:
    project = project_of(arguments)
    return _finish(project, partial(run_eval, project, _number(project, arguments)), arguments)


def on_explore(arguments: argparse.Namespace) -> int:
    project = project_of(arguments)
    code = sys.stdin.read() if arguments.file == "-" else _text_of(arguments.file)
    return _finish(project, partial(explore, project, _number(project, arguments), code), arguments)


def on_cancel(arguments: argparse.Namespace) -> int:
    project = project_of(arguments)
    return _finish(project, partial(cancel_run, project, _number(project, arguments)), arguments)


def on_report(arguments: argparse.Namespace) -> int:
    project = project_of(arguments)
    return _finish(project, lambda: final_report(project, stop_reason=arguments.stop_reason), arguments)


def _number(project: Project, arguments: argparse.Namespace) -> int:
    """The version that was named, else the current one. Raises `OutOfOrder` before the start."""
    if arguments.number:
        return arguments.number
    state = derive(project, project.rules())
    if state.loop is None:
        raise OutOfOrder("no loop has been started", hint="run: progressive-training start")
    return state.cur


def _finish(project: Project, step: Callable[..., StepResult], arguments: argparse.Namespace) -> int:
    """Calls the Step until its job has ended, unless detached; prints its message or, asked for, its JSON."""
    result = step()
    step = attached(step, result)
    quiet = arguments.json or getattr(arguments, "quiet", False)
    if result.state == "running" and not getattr(arguments, "detach", False):
        result = _waited(project, step, quiet=quiet)
    if arguments.json:
        sys.stdout.write(result.model_dump_json(indent=1, exclude_none=True) + "\n")
    else:
        _show(project, result)
    return 3 if result.state == "failed" else 0


def _waited(project: Project, step: Callable[..., StepResult], *, quiet: bool) -> StepResult:
    error = Console(stderr=True, highlight=False, soft_wrap=not sys.stderr.isatty())
    tell, latest = lines(error, quiet=quiet), ""
    with live(project, error, quiet=quiet, told=lambda: latest):
        while (result := step()).state == "running":
            if result.job is not None:
                tell(result.line)
                latest = result.line
                step = attached(step, result)
            time.sleep(_POLL_SECONDS)
    return result


def _show(project: Project, result: StepResult) -> None:
    """The message, the failure's cause, and the next command."""
    out = console()
    out.print(result.message, markup=False)
    for part in (getattr(result, "output", ""), *getattr(result, "pictures", ())):
        if part:
            out.print(part, markup=False)
    if result.failure is not None:
        if result.failure.trace:
            out.print(result.failure.trace, markup=False, style="dim")
        out.print(f"Advice: {result.failure.advice}", markup=False)
    noticed: Iterable[str] = (*getattr(result, "findings", ()), *getattr(result, "warnings", ()))
    for one in noticed:
        if one not in result.message:
            out.print(f"- {one}", markup=False)
    if result.next is not None:
        out.print(_next(project, result.next), markup=False, style="dim")


def _next(project: Project, following: Next) -> str:
    """What to type next, where it is a command; else what an agent is to do next."""
    tool, why = following.tool, completed(following.why, project.root)
    name = "adopt" if following.adopts else _COMMANDS.get(tool)
    return f"Next: {command(name, project=project.root)} ({why})" if name else f"Next, by an agent: {tool} ({why})"


def on_status(arguments: argparse.Namespace) -> int:
    """One screen: where the loop stands and what each version reached."""
    project = project_of(arguments)
    view = loop_status.status(project)
    if arguments.json:
        sys.stdout.write(view.model_dump_json(indent=1) + "\n")
        return 0
    out = console()
    dataset = f", data set {view.dataset_id}" if view.dataset_id else ""
    out.print(f"version {view.version} of at most {view.max_versions}, phase {view.phase}{dataset}", markup=False)
    if view.rules_changed:
        accepting = command("rules", "accept", project=project.root)
        changed = f"{view.rules_changed} changed since the start; go on with: {accepting}"
        out.print(changed, style="yellow", markup=False)
    if view.unconfined:
        out.print(view.unconfined, style="yellow", markup=False)
    if view.versions:
        out.print(_table(view))
    if view.report:
        out.print(f"Report: {view.report}/", markup=False)
    for line in view.remarks:
        out.print(completed(line, project.root), style="yellow", markup=False)
    for line in problem_lines(view.trackers):
        out.print(completed(line, project.root), style="yellow", markup=False)
    if view.ended_by:
        out.print(f"Ended by: {view.ended_by}", markup=False)
    elif view.estimate is not None:
        of = f"; {view.hours:.3g} h of max_hours = {view.max_hours:g} have passed" if view.max_hours else ""
        out.print(f"Left: {view.estimate.told}{of}", markup=False)
    if view.next:
        out.print(_next(project, view.next), markup=False)
    return 0


def _table(view: loop_status.Status) -> Table:
    names = list(dict.fromkeys(metric.name for version in view.versions for metric in version.metrics))
    names.sort(key=lambda name: name != view.primary_metric)
    shown = names[:3]
    table = Table(box=None, pad_edge=False)
    for heading in ("version", "status", *shown, "gain is"):
        table.add_column(heading, justify="right" if heading in shown else "left", overflow="ellipsis", no_wrap=True)
    table.add_column("changed")  # the one that gives way where the table is too wide
    for version in view.versions:
        values = {metric.name: f"{metric.value:.4f}" for metric in version.metrics}
        cells = (values.get(name, "") for name in shown)
        gain = version.gain.called if version.gain else ""
        changed = Text(", ".join(version.symbols), no_wrap=True, overflow="ellipsis")
        table.add_row(version.version_id, version.status, *cells, gain, changed)
    return table


def on_rules(arguments: argparse.Namespace) -> int:
    """Shows what the user fixed, the defaults, and the instruction; `accept` goes on under changed ones."""
    project = project_of(arguments)
    if arguments.action == "accept":
        return _told_what_changed(accept_rules(project))
    found = read_rules(project)
    if arguments.json:
        sys.stdout.write(found.model_dump_json(indent=1, exclude_none=True) + "\n")
        return 0
    out = console()
    for name, section in found.rules.items():
        out.print(f"{name}: {json.dumps(section, ensure_ascii=False)}", markup=False)
    for default in found.defaults:
        out.print(f"{default} (default)", markup=False, style="dim")
    for key in found.unknown_keys:
        out.print(f"{key}: not a rule that is known here; agents see it", markup=False, style="yellow")
    if found.instruction:
        out.print(f"\n{found.instruction.rstrip()}", markup=False)
    return 0


def on_keep_going(arguments: argparse.Namespace) -> int:
    """Answers one hook, whose words come on stdin; without a loop it says nothing, whatever it was asked."""
    try:
        told = json.loads(sys.stdin.read())
        hook = Hook.model_validate(told)
    except (ValueError, RecursionError) as error:
        raise LoopError("stdin must hold what an agent tells its hooks, as JSON", hint="see docs/clients.md") from error
    folder = arguments.project or os.environ.get("CLAUDE_PROJECT_DIR") or str(told.get("cwd") or ".")
    project = project_of(argparse.Namespace(project=folder))
    answer = answered(project, hook) if project.loop() is not None else {}
    sys.stdout.write(json.dumps(answer, ensure_ascii=False) + "\n")
    return 0


def on_protocol(arguments: argparse.Namespace) -> int:
    """Goes on with a changed evaluator or data set: the user's to say, so it is a command and no tool."""
    return _told_what_changed(accept_protocol(project_of(arguments)))


def _told_what_changed(changed: str | None) -> int:
    told = f"{changed}: accepted; the loop goes on under the new text." if changed else "Nothing changed."
    console().print(told, markup=False)
    return 0
