"""Every command of the command line with its options, and the module and function that carry it out."""

import argparse
import os
from collections.abc import Callable
from importlib.metadata import version as installed_version
from pathlib import Path

from ...loop.project.project import Project

INTERRUPTED = 130


def project_of(arguments: argparse.Namespace) -> Project:
    """The project that `--project` names, with the skill folders where the user's rules may lie (C1)."""
    root = Path(arguments.project)
    homes = [root, Path.home()]
    folders = [home / client / "skills" / "progressive-training" for home in homes for client in (".claude", ".agents")]
    if plugin := os.environ.get("CLAUDE_PLUGIN_ROOT"):  # Claude Code sets it for the servers of its plugins
        folders.append(Path(plugin) / "skill")
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
    _add_telling(commands.add_parser)
    return made


AddParser = Callable[..., argparse.ArgumentParser]


def _command(add: AddParser, name: str, door: str, about: str) -> argparse.ArgumentParser:
    """`door` is `module:function`; the module is imported when the command is called."""
    made = add(name, help=about, description=about)
    made.set_defaults(door=door)
    return made


def _project_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--project", default=".", metavar="DIR", help="the project folder (default: this one)")


def _quiet_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--quiet", action="store_true", help="show no progress")


def _add_driving(add: AddParser) -> None:
    demo = _command(add, "demo", "demo:on_demo", "copy an example out and run its whole loop, without any key")
    demo.add_argument("folder", nargs="?", metavar="DIR", help="where to (default: ./demo, or ./demo-EXAMPLE)")
    demo.add_argument(
        "--example", choices=["digits", "ocr", "diabetes"], help="default: what lies in DIR, or digits in a new one"
    )
    demo.add_argument(
        "--versions", type=_positive, metavar="N", help="how many, in a new folder (default: as its rules say)"
    )
    run = _command(add, "run", "run:on_run", "drive the project's loop to its report")
    _project_option(run)
    run.add_argument(
        "--agent",
        choices=["offline", "anthropic", "openai"],
        default="offline",
        help="who thinks (default: offline, no key); openai: any model behind an OpenAI-compatible server",
    )
    run.add_argument(
        "--versions", type=_positive, metavar="N", help="stop after version N, or earlier as the rules say"
    )
    for parser in (demo, run):
        parser.add_argument("--json", action="store_true", help="print the result as JSON, and no progress")
        _quiet_option(parser)
    _add_model(run.add_argument_group("with --agent anthropic or openai"))
    serve = _command(add, "serve", "serve:on_serve", "serve the MCP tools over stdio, or over HTTP")
    _project_option(serve)
    serve.add_argument("--http", metavar="HOST:PORT", help="streamable HTTP instead of stdio, e.g. 127.0.0.1:8765")
    serve.add_argument(
        "--token-file",
        metavar="FILE",
        help="holds the bearer token that HTTP clients must send (or PROGRESSIVE_TRAINING_TOKEN); default on loopback: "
        "your own, which `token` prints",
    )
    serve.add_argument(
        "--allowed-host",
        action="append",
        default=[],
        metavar="NAME[:PORT]",
        help="a name that clients reach it by",
    )
    _command(add, "token", "clients:on_token", "print the token of your own that HTTP clients send, and nothing else")
    setup = _command(
        add, "setup", "setup:on_setup", "connect the loop to an agent: add it to the agent's configuration"
    )
    setup.add_argument("client", choices=["claude-code", "codex", "cursor", "vscode", "gemini"], help="the agent")
    _project_option(setup)
    setup.add_argument(
        "--http", metavar="HOST:PORT", help="connect to the server that `serve --http` runs there, with its token"
    )
    setup.add_argument("--user", action="store_true", help="in your own configuration instead of the project's")
    setup.add_argument("--dry-run", action="store_true", help="only show the entry and where it would go")
    dashboard = _command(add, "dashboard", "dashboard:on_dashboard", "show the loop in the browser, live and read-only")
    _project_option(dashboard)
    dashboard.add_argument("--port", type=_port, default=8766, metavar="N", help="default: 8766; 0 takes a free one")
    doctor = _command(
        add, "doctor", "doctor:on_doctor", "say what this machine and project have, lack, and how to get it"
    )
    _project_option(doctor)
    doctor.add_argument("--json", action="store_true", help="print JSON")
    track = _command(
        add, "track", "track:on_track", "send the versions to the trackers of the rules, and say what was sent"
    )
    _project_option(track)
    track.add_argument("--json", action="store_true", help="print JSON")


def _add_model(group: argparse._ArgumentGroup) -> None:  # pyright: ignore[reportPrivateUsage] - it has no public name
    group.add_argument(
        "--base-url", metavar="URL", help="openai: the server, as http://127.0.0.1:11434/v1 (default: OpenAI's own)"
    )
    group.add_argument(
        "--model", metavar="ID", help="anthropic: a Claude model (default: claude-opus-5-5); openai: the server's name"
    )
    group.add_argument("--effort", choices=["low", "medium", "high", "xhigh", "max"], help="default: the model's own")
    group.add_argument("--max-tokens-total", type=_positive, metavar="N", help="stop after N tokens, cached ones too")
    group.add_argument("--max-usd", type=_amount, metavar="USD", help="stop after so much money")
    group.add_argument(
        "--price", type=_price, metavar="INPUT/OUTPUT", help="USD a million tokens, where the price isn't listed"
    )


def _add_steps(add: AddParser) -> None:
    status = _command(add, "status", "steps:on_status", "show where the loop stands")
    start = _command(
        add,
        "start",
        "steps:on_start",
        "start the loop: freeze the data set, audit the baseline, make and rehearse v001",
    )
    start.add_argument("--dataset-id", metavar="ID", help="the folder in dataset/prepdata/")
    start.add_argument("--patch", metavar="FILE", help="a diff that makes the baseline consistent")
    start.add_argument(
        "--from-baseline",
        action="store_true",
        help="build-baseline hands over: its outputs must be there; a loop that is started already is left as it is",
    )
    adopt = _command(
        add,
        "adopt",
        "steps:on_adopt",
        "take a script that an editor wrote, through the checks of the Step it stands for",
    )
    adopt.add_argument(
        "--reason", default="mended with an editor", metavar="TEXT", help="of a repair: its cause and what changed"
    )
    train = _command(add, "train", "steps:on_train", "train a version, or attach to its running training")
    train.add_argument("--resume", action="store_true", help="go on from the checkpoint of an interrupted attempt")
    for parser, then in ((adopt, "train and evaluate the version made of it"), (train, "go on to the evaluation")):
        name = "--train" if parser is adopt else "--then-evaluate"
        parser.add_argument(name, action="store_true", help=then)
    evaluate = _command(add, "eval", "steps:on_eval", "evaluate a trained version")
    explore = _command(add, "explore", "steps:on_explore", "look at a trained version by a read-only Python snippet")
    explore.add_argument("file", metavar="FILE", help="the snippet; - reads it from standard input")
    cancel = _command(add, "cancel", "steps:on_cancel", "end a version's running job with its whole process tree")
    report = _command(add, "report", "steps:on_report", "make the final report")
    report.add_argument("--stop-reason", metavar="TEXT", help="end the loop now, and why")
    rules = _command(add, "rules", "steps:on_rules", "show the user's rules, or accept changed ones")
    rules.add_argument("action", nargs="?", choices=["show", "accept"], default="show")
    protocol = _command(
        add, "protocol", "steps:on_protocol", "accept an evaluator or data set that changed in mid-loop"
    )
    protocol.add_argument("action", choices=["accept"])
    _project_option(protocol)
    for parser in (train, evaluate, explore, cancel):
        parser.add_argument("number", nargs="?", type=_positive, metavar="VERSION", help="default: the present version")
    for parser in (status, start, adopt, train, evaluate, explore, cancel, report, rules):
        _project_option(parser)
        parser.add_argument("--json", action="store_true", help="print JSON")
    for parser in (start, adopt, train, evaluate, explore, report):
        parser.add_argument("--detach", action="store_true", help="don't wait for the job to end")
        _quiet_option(parser)


def _add_telling(add: AddParser) -> None:
    notify = _command(
        add, "notify", "track:on_notify", "send a test message to whom the rules name, and say whether it was taken"
    )
    _project_option(notify)
    hook = _command(
        add, "keep-going", "steps:on_keep_going", "answer the hooks of an agent, so that it goes on with the loop"
    )
    hook.add_argument("--project", metavar="DIR", help="default: the folder that the agent names, or this one")


def _port(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) <= 65535):
        raise argparse.ArgumentTypeError(f"{text!r} is not a port from 0 to 65535")
    return int(text)


def _positive(text: str) -> int:
    if not (text.isascii() and text.isdigit() and int(text) >= 1):
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1")
    return int(text)


def _amount(text: str) -> float:
    try:
        amount = float(text)
    except ValueError:
        amount = 0.0
    if not 0 < amount < float("inf"):
        raise argparse.ArgumentTypeError(f"{text!r} is not an amount above 0")
    return amount


def _price(text: str) -> tuple[float, float]:
    parts = text.split("/")
    if len(parts) != 2:
        raise argparse.ArgumentTypeError(f"{text!r} is not INPUT/OUTPUT, as in 4/20")
    return _amount(parts[0]), _amount(parts[1])
