"""What each command does, from its parsed options. Each imports what it needs: `serve` must start without a table."""

import argparse
import os
import sys
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from ...loop.errors import LoopError
from ...loop.project.project import Project
from ..importing import uncollected

if TYPE_CHECKING:
    from starlette.routing import BaseRoute

INTERRUPTED = 130
_MODEL_OPTIONS = ("model", "effort", "max_tokens_total", "max_usd", "price")


def project_of(arguments: argparse.Namespace) -> Project:
    """The project that `--project` names, with the skill folders where the user's rules may lie (C1)."""
    root = Path(arguments.project)
    homes = [root, Path.home()]
    folders = [home / client / "skills" / "progressive-training" for home in homes for client in (".claude", ".agents")]
    if plugin := os.environ.get("CLAUDE_PLUGIN_ROOT"):  # Claude Code sets it for the servers of its plugins
        folders.append(Path(plugin) / "skill")
    return Project(root, tuple(folder for folder in folders if (folder / "SKILL.md").is_file()))


def on_demo(arguments: argparse.Namespace) -> int:
    with uncollected():
        from .demo import demo

    folder = "demo" if arguments.example in (None, "digits") else f"demo-{arguments.example}"
    arguments.project = arguments.folder or folder  # where `cancel` finds its job, should this be interrupted
    place = Path(arguments.project)
    return demo(place, arguments.versions, arguments.example, quiet=arguments.quiet, as_json=arguments.json)


def on_run(arguments: argparse.Namespace) -> int:
    with uncollected():
        from .run import run

    options = {name: value for name in _MODEL_OPTIONS if (value := getattr(arguments, name)) is not None}
    if arguments.agent == "anthropic":
        from ...agents.anthropic import Options, agent

        project = project_of(arguments).kept_warm()
        thinking = agent(project, Options(**options))
        return run(project, arguments.versions, thinking, quiet=arguments.quiet, as_json=arguments.json)
    if options:
        named = ", ".join(f"--{name.replace('_', '-')}" for name in options)
        raise LoopError(f"{named}: the offline agent has no model", hint="add --agent anthropic, or leave it out")
    return run(project_of(arguments).kept_warm(), arguments.versions, quiet=arguments.quiet, as_json=arguments.json)


def on_serve(arguments: argparse.Namespace) -> int:
    with uncollected():
        from ..serving import serve

    try:
        serve(
            project_of(arguments).kept_warm(),
            arguments.http,
            token_file=arguments.token_file,
            allowed_hosts=arguments.allowed_host,
            routes=_pages,
        )
    except KeyboardInterrupt:
        sys.stderr.write("The server has ended. A running job goes on; any server or command finds it again.\n")
        return INTERRUPTED
    return 0


def _pages(project: Project) -> "Sequence[BaseRoute]":
    """What a browser sees of the HTTP server."""
    from ..dashboard.routes import routes

    return routes(project)


def on_setup(arguments: argparse.Namespace) -> int:
    from .setup import setup

    project = Path(arguments.project)
    return setup(arguments.client, project, for_user=arguments.user, dry_run=arguments.dry_run)


def on_dashboard(arguments: argparse.Namespace) -> int:
    from ..dashboard.serving import show

    return show(project_of(arguments), arguments.port)


def on_doctor(arguments: argparse.Namespace) -> int:
    from .doctor import doctor

    return doctor(project_of(arguments), as_json=arguments.json)


def on_track(arguments: argparse.Namespace) -> int:
    from .track import track

    return track(project_of(arguments), as_json=arguments.json)


def on_status(arguments: argparse.Namespace) -> int:
    from .steps import status

    return status(project_of(arguments), as_json=arguments.json)


def on_start(arguments: argparse.Namespace) -> int:
    from ...tools import start_loop
    from .steps import finish

    patch = _text_of(arguments.patch) if arguments.patch else None
    project = project_of(arguments)
    step = partial(start_loop, project, arguments.dataset_id, patch, from_baseline=arguments.from_baseline)
    return finish(project, step, arguments)


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise LoopError("is not UTF-8 text", where=path, hint="save the diff as UTF-8") from error


def on_train(arguments: argparse.Namespace) -> int:
    from ...tools import run_train
    from .steps import finish, present_version

    project = project_of(arguments)
    number = arguments.number or present_version(project)
    return finish(project, partial(run_train, project, number, arguments.resume), arguments)


def on_eval(arguments: argparse.Namespace) -> int:
    from ...tools import run_eval
    from .steps import finish, present_version

    project = project_of(arguments)
    number = arguments.number or present_version(project)
    return finish(project, partial(run_eval, project, number), arguments)


def on_cancel(arguments: argparse.Namespace) -> int:
    from ...tools import cancel_run
    from .steps import finish, present_version

    project = project_of(arguments)
    number = arguments.number or present_version(project)
    return finish(project, lambda: cancel_run(project, number), arguments)


def on_report(arguments: argparse.Namespace) -> int:
    from ...tools import final_report
    from .steps import finish

    project = project_of(arguments)
    return finish(project, lambda: final_report(project, stop_reason=arguments.stop_reason), arguments)


def on_rules(arguments: argparse.Namespace) -> int:
    from ...loop.project.integrity import accept_rules
    from .steps import accept, show_rules

    project = project_of(arguments)
    if arguments.action == "accept":
        return accept(project, accept_rules)
    return show_rules(project, as_json=arguments.json)


def on_protocol(arguments: argparse.Namespace) -> int:
    from ...loop.project.integrity import accept_protocol
    from .steps import accept

    return accept(project_of(arguments), accept_protocol)
