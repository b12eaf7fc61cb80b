"""The command line: the same Step functions as the MCP tools, for a person or a script.

Exit codes: 0 done, 1 refused or failed (the reason is on stderr), 2 wrong usage, 3 a training or evaluation failed,
130 interrupted (a running job goes on).
"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from ...loop.errors import LoopError
from ..importing import uncollected


def main(argv: Sequence[str] | None = None) -> None:
    """Runs one command and exits with its code."""
    with uncollected():
        from .handlers import INTERRUPTED
        from .options import parser

        made = parser()
    arguments = made.parse_args(argv)
    try:
        code = arguments.command(arguments)
        sys.stdout.flush()
        sys.exit(code)
    except LoopError as error:
        _complain(_pasteable(str(error), arguments))
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


def _pasteable(error: str, arguments: argparse.Namespace) -> str:
    from .invocation import completed

    return completed(error, _project(arguments))


def _cancelling(arguments: argparse.Namespace) -> str:
    from .invocation import command

    number: int | None = getattr(arguments, "number", None)
    return command("cancel", *(() if number is None else (str(number),)), project=_project(arguments))


def _project(arguments: argparse.Namespace) -> Path:
    return Path(getattr(arguments, "project", "."))


def _complain(text: str) -> None:
    sys.stderr.write(f"{text}\n")


if __name__ == "__main__":
    main()
