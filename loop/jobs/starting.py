"""In the server: how a runner is started."""

from pathlib import Path

START_SECONDS = 60.0  # an interpreter on a cold network disk is slow
_RUNNER = Path(__file__).with_name("runner") / "__main__.py"


def runner_command(python: str, *arguments: str, program: Path = _RUNNER) -> list[str]:
    """The command that runs `program`, the runner itself or a waiting one of ../warm.

    -I and -S: nothing of the user's can be imported; -B: nothing is written beside it.
    """
    return [python, "-I", "-S", "-B", "-X", "utf8", str(program), *arguments]
