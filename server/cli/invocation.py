"""This very program, in words that work where they are pasted."""

import os
import re
import shlex
import shutil
import sys
from pathlib import Path

_NAME = "progressive-training"
# What an error's hint may name; the loop, which writes them, knows neither the program nor the folder it was called in.
_HINTED = re.compile(rf"\b{_NAME} (start|status|adopt|report|track|(?:rules|protocol) accept)\b")


def program(path: str | None = None) -> tuple[str, ...]:
    """How to start this very installation; by its bare name only where `path`, by default PATH, finds it."""
    script = Path(sys.executable).parent / _NAME
    if not script.exists():
        return (sys.executable, "-m", "progressive_training.server")
    found = shutil.which(_NAME, path=path)
    return (_NAME,) if found and Path(found).resolve() == script.resolve() else (str(script),)


def command(*words: str, project: Path | None = None) -> str:
    """A command that works when it is pasted into the shell, and in the folder, that this process was started in."""
    first, *more = program()
    if os.sep in first:
        near = _from_here(Path(first))
        first = near if os.sep in near else f"./{near}"  # a bare name would be looked for in PATH
    elsewhere = project is not None and project.resolve() != Path.cwd()
    named = ("--project", _from_here(project)) if project is not None and elsewhere else ()
    return shlex.join([first, *more, *words, *named])


def completed(text: str, project: Path) -> str:
    """The text with each command in it as `command` writes it."""
    return _HINTED.sub(lambda found: command(*found[1].split(), project=project), text)


def _from_here(path: Path) -> str:
    """Relative to the working folder where it lies below it, else absolute."""
    whole = Path(os.path.abspath(path))  # noqa: PTH100 - resolved, an environment's Python would be another one
    return str(whole.relative_to(Path.cwd()) if whole.is_relative_to(Path.cwd()) else whole)
