"""Runs scripts in forks of one process that has imported torch and Lightning already: 0.5 s a script, not 6.

Speaks JSON lines: the arguments of `run` in, {"code", "peak"} out. Nothing but imports happens before a fork.
"""

import contextlib
import json
import os
import runpy
import sys
from pathlib import Path

import lightning.pytorch  # noqa: F401
import pytorch_lightning  # noqa: F401
import torchmetrics  # noqa: F401


def run(script: str, args: list[str], cwd: str, stdout: str, stderr: str, *, alone: bool) -> dict[str, int]:
    """Run a script in a fork. `alone` is `python -I`: its folder isn't on the path.

    `peak` is the most memory, in bytes, of any process that it was or started.
    """
    child = os.fork()
    if child:
        _, status, used = os.wait4(child, 0)
        return {"code": os.waitstatus_to_exitcode(status), "peak": used.ru_maxrss << 10}
    for path, number in ((stdout, 1), (stderr, 2)):
        os.dup2(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o644), number)
    os.chdir(cwd)
    sys.argv = [script, *args]
    if not alone:
        sys.path.insert(0, str(Path(script).parent))
    code = 1
    with contextlib.ExitStack() as stack:
        stack.callback(lambda: os._exit(code))
        stack.callback(lambda: (sys.stdout.flush(), sys.stderr.flush()))
        try:
            runpy.run_path(script, run_name="__main__")
            code = 0
        except SystemExit as left:
            code = int(left.code or 0)
        except BaseException as error:  # noqa: BLE001 - as the interpreter itself would show it
            sys.excepthook(type(error), error, error.__traceback__)
    raise AssertionError("unreachable")


if __name__ == "__main__":
    for line in sys.stdin:
        print(json.dumps(run(**json.loads(line))), flush=True)
