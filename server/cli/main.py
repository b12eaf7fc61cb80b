"""The command line: the same Step functions as the MCP tools, for a person or a script.

Exit codes: 0 done, 1 refused or failed (the reason is on stderr), 2 wrong usage, 3 a training or evaluation failed,
130 interrupted (a running job goes on).
"""

import argparse
import os
import sys
from collections.abc import Callable, Sequence
from importlib import import_module
from pathlib import Path
from typing import cast

from ...loop.errors import LoopError
from ..importing import uncollected
from .invocation import command, completed

with uncollected():
    from .options import INTERRUPTED, parser

Command = Callable[[argparse.Namespace], int]


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command and exits with its code."""
    arguments = parser().parse_args(argv)
    arguments.words = sys.argv[1:] if argv is None else list(argv)  # to be called once more
    try:
        code = opened(arguments.door)(arguments)
        sys.stdout.flush()
        sys.exit(code)
    except LoopError as error:
        _complain(completed(str(error), _project(arguments)))
        sys.exit(1)
    except KeyboardInterrupt:
        _complain(
            "Interrupted. A running job goes on.\n"
            f"Next: the same command attaches to it again; `{_cancelling(arguments)}` ends it"
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


def opened(door: str) -> Command:
    """The function that carries a command out. Its module is imported now: `serve` must start without a table."""
    module, _, function = door.partition(":")
    with uncollected():
        return cast(Command, getattr(import_module(f".{module}", __package__), function))


def _cancelling(arguments: argparse.Namespace) -> str:
    number: int | None = getattr(arguments, "number", None)
    return command("cancel", *(() if number is None else (str(number),)), project=_project(arguments))


def _project(arguments: argparse.Namespace) -> Path:
    return Path(getattr(arguments, "project", "."))


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
