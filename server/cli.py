"""The command line: the same Step functions as the MCP tools, for a person or a script.

Exit codes: 0 done, 1 refused or failed (the reason is on stderr), 2 wrong usage, 3 a training or evaluation failed,
130 interrupted (a running job goes on).
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from functools import partial
from importlib.metadata import version as installed_version
from pathlib import Path

from ..loop.errors import LoopError
from ..loop.project import Project

FAILED_RUN = 3
INTERRUPTED = 130
Command = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command and exits with its code."""
    arguments = parser().parse_args(argv)
    try:
        code = arguments.command(arguments)
        sys.stdout.flush()
        sys.exit(code)
    except LoopError as error:
        _complain(str(error))
        sys.exit(1)
    except KeyboardInterrupt:
        _complain(
            "Interrupted. A running job goes on.\n"
            "Next: the same command attaches to it again; `progressive-training cancel` ends it"
        )
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # Whoever read stdout has enough; the interpreter's own flush at the end must not complain about it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except OSError as error:
        told = f"{error.filename}: {error.strerror}" if error.filename else str(error)
        _complain(f"{told}\nNext: see that it is there and may be read and written")
        sys.exit(1)


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")


def project_of(arguments: argparse.Namespace) -> Project:
    """The project that `--project` names, with the skill folders where the user's rules may lie (C1)."""
    root = Path(arguments.project)
    homes = [root, Path.home()]
    folders = [home / client / "skills" / "progressive-training" for home in homes for client in (".claude", ".agents")]
    return Project(root, tuple(folder for folder in folders if (folder / "SKILL.md").is_file()))


def parser() -> argparse.ArgumentParser:
    """Every command with its options."""
    made = argparse.ArgumentParser(
        prog="progressive-training",
        description="Improve a training script one traceable version at a time, under your rules.",
        epilog="Exit codes: 0 done, 1 refused or failed, 2 wrong usage, 3 a run failed, 130 interrupted.",
    )
    made.add_argument("--version", action="version", version=installed_version("progressive-training"))
    commands = made.add_subparsers(required=True, metavar="COMMAND")
    _add_driving(commands.add_parser)
    _add_steps(commands.add_parser)
    return made


AddParser = Callable[..., argparse.ArgumentParser]


def _command(add: AddParser, name: str, run: Command, about: str) -> argparse.ArgumentParser:
    made = add(name, help=about, description=about)
    made.set_defaults(command=run)
    return made


def _project_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--project", default=".", metavar="DIR", help="the project folder (default: this one)")


def _add_driving(add: AddParser) -> None:
    demo = _command(add, "demo", _demo, "copy the digits example out and run its whole loop, without any key")
    demo.add_argument("folder", nargs="?", default="demo", metavar="DIR", help="where to (default: ./demo)")
    demo.add_argument("--versions", type=_positive, metavar="N", help="how many versions (default: as its rules say)")
    run = _command(add, "run", _run, "drive the project's loop to its report")
    _project_option(run)
    run.add_argument("--agent", choices=["offline"], default="offline", help="who thinks (default: offline, no key)")
    run.add_argument(
        "--versions", type=_positive, metavar="N", help="stop after version N, or earlier as the rules say"
    )
    serve = _command(add, "serve", _serve, "serve the MCP tools over stdio, or over HTTP on loopback")
    _project_option(serve)
    serve.add_argument("--http", metavar="HOST:PORT", help="streamable HTTP instead of stdio, e.g. 127.0.0.1:8765")
    doctor = _command(add, "doctor", _doctor, "say what this machine and project have, lack, and how to get it")
    _project_option(doctor)
    doctor.add_argument("--json", action="store_true", help="print JSON")


def _add_steps(add: AddParser) -> None:
    status = _command(add, "status", _status, "show where the loop stands")
    start = _command(add, "start", _start, "start the loop: freeze the data set, audit the baseline, make v001")
    start.add_argument("--dataset-id", metavar="ID", help="the folder in dataset/prepdata/")
    start.add_argument("--patch", metavar="FILE", help="a diff that makes the baseline consistent")
    train = _command(add, "train", _train, "train a version, or attach to its running training")
    train.add_argument("--resume", action="store_true", help="go on from the checkpoint of an interrupted attempt")
    evaluate = _command(add, "eval", _eval, "evaluate a trained version")
    cancel = _command(add, "cancel", _cancel, "end a version's running job with its whole process tree")
    report = _command(add, "report", _report, "make the final report")
    report.add_argument("--stop-reason", metavar="TEXT", help="end the loop now, and why")
    rules = _command(add, "rules", _rules, "show the user's rules, or accept changed ones")
    rules.add_argument("action", nargs="?", choices=["show", "accept"], default="show")
    protocol = _command(add, "protocol", _protocol, "accept an evaluator or data set that changed in mid-loop")
    protocol.add_argument("action", choices=["accept"])
    _project_option(protocol)
    for parser in (train, evaluate, cancel):
        parser.add_argument("number", nargs="?", type=_positive, metavar="VERSION", help="default: the present version")
    for parser in (status, start, train, evaluate, cancel, report, rules):
        _project_option(parser)
        parser.add_argument("--json", action="store_true", help="print JSON")
    for parser in (train, evaluate, report):
        parser.add_argument("--detach", action="store_true", help="don't wait for the job to end")


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


# Each command imports what it needs: `serve` must start without a table or a progress bar.


def _demo(arguments: argparse.Namespace) -> int:
    from .driving import demo

    return demo(Path(arguments.folder), arguments.versions)


def _run(arguments: argparse.Namespace) -> int:
    from .driving import run

    return run(project_of(arguments), arguments.versions)


def _serve(arguments: argparse.Namespace) -> int:
    from .serving import serve

    serve(project_of(arguments), arguments.http)
    return 0


def _doctor(arguments: argparse.Namespace) -> int:
    from .doctor import doctor

    return doctor(project_of(arguments), as_json=arguments.json)


def _status(arguments: argparse.Namespace) -> int:
    from .commands import status

    return status(project_of(arguments), as_json=arguments.json)


def _start(arguments: argparse.Namespace) -> int:
    from ..tools import start_loop
    from .commands import finish

    patch = _text_of(arguments.patch) if arguments.patch else None
    project = project_of(arguments)
    return finish(project, lambda: start_loop(project, arguments.dataset_id, patch), arguments)


def _text_of(path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise LoopError("is not UTF-8 text", where=path, hint="save the diff as UTF-8") from error


def _train(arguments: argparse.Namespace) -> int:
    from ..tools import run_train
    from .commands import finish, present_version

    project = project_of(arguments)
    number = arguments.number or present_version(project)
    return finish(project, partial(run_train, project, number, arguments.resume), arguments)


def _eval(arguments: argparse.Namespace) -> int:
    from ..tools import run_eval
    from .commands import finish, present_version

    project = project_of(arguments)
    number = arguments.number or present_version(project)
    return finish(project, partial(run_eval, project, number), arguments)


def _cancel(arguments: argparse.Namespace) -> int:
    from ..tools import cancel_run
    from .commands import finish, present_version

    project = project_of(arguments)
    number = arguments.number or present_version(project)
    return finish(project, lambda: cancel_run(project, number), arguments)


def _report(arguments: argparse.Namespace) -> int:
    from ..tools import final_report
    from .commands import finish

    project = project_of(arguments)
    return finish(project, lambda: final_report(project, stop_reason=arguments.stop_reason), arguments)


def _rules(arguments: argparse.Namespace) -> int:
    from ..loop.starting import accept_rules
    from .commands import accept, show_rules

    project = project_of(arguments)
    if arguments.action == "accept":
        return accept(project, accept_rules)
    return show_rules(project, as_json=arguments.json)


def _protocol(arguments: argparse.Namespace) -> int:
    from ..loop.starting import accept_protocol
    from .commands import accept

    return accept(project_of(arguments), accept_protocol)


if __name__ == "__main__":
    main()
