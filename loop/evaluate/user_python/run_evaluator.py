"""In the user's interpreter: runs 03_eval.py, apart from the project's own modules, once, or three times to accept it.

    python -I -B run_evaluator.py PLAN.json

Standard library only, Python 3.9. The plan names the evaluator, its arguments, the packages that it and the version's
script import, which are imported before it in any case, and the runs: `out` and `checkpoint` of each. What the
checkpoints say of themselves is written to `checkpoints.json`, how each run ended to `runs.json`. Several runs share
their imports by fork where there is one: three whole starts would cost more than the scoring.
"""

from __future__ import annotations

import gc
import importlib
import importlib.util
import json
import os
import runpy
import subprocess
import sys
import traceback
from pathlib import Path
from typing import Any


def main() -> int:
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    if len(sys.argv) > 2:
        return _run(plan, plan["runs"][int(sys.argv[2])])
    checkpoints = _load_sibling("read_checkpoint")
    facts = _load_sibling("checkpoint_facts")
    said = {name: _describe(checkpoints, facts, Path(path)) for name, path in plan["checkpoints"].items()}
    _write(plan["checkpoints_out"], said)
    runs = plan["runs"]
    # Always, so that what an import does to random numbers and the like comes at the same moment in a warm start.
    # Runs that fork share it: `import torch` and the like only, since forking after a computation can hang.
    _preload(plan["imports"])
    if len(runs) == 1:
        return _run(plan, runs[0])
    codes: list[int | None] = []
    for number, run in enumerate(runs):
        if run["disordered"] and not _disorder(checkpoints, plan, run):
            codes.append(None)
            continue
        # A fork has its parent's order of hashes, by which a script may split its data. Where inputs are random, no
        # number would tell that it does, and the imports are small beside what tells how far they move it.
        codes.append(_run_apart(plan, run, number, forked=not (run.get("again") and _has_random_inputs(runs[0]))))
        if number == 0 and codes[0] != 0:
            break
    _write(plan["runs_out"], codes)
    return codes[0] or 0


def _load_sibling(name: str) -> Any:
    """A module beside this file; `-I` leaves its folder off sys.path, which is meant."""
    spec = importlib.util.spec_from_file_location(name, Path(__file__).with_name(f"{name}.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _describe(checkpoints: Any, facts: Any, path: Path) -> dict[str, Any]:
    if not path.is_file() or not checkpoints.is_torch_checkpoint(path):
        return {}
    try:
        found: dict[str, Any] = checkpoints.describe(path)
        if path.name == "best.ckpt":
            found["weights"] = checkpoints.weights_digest(path)
        else:
            found["facts"] = facts.describe(checkpoints, path)
    except (ValueError, RecursionError) as error:
        return {"unreadable": f"{type(error).__name__}: {error}"[:300]}
    return found


def _disorder(checkpoints: Any, plan: dict[str, Any], run: dict[str, Any]) -> bool:
    """Makes the disordered copy of the weights; a file that torch didn't write gets its bytes reversed."""
    source, target = Path(plan["checkpoints"]["best.ckpt"]), Path(run["checkpoint"])
    if checkpoints.is_torch_checkpoint(source):
        return bool(checkpoints.write_disordered(source, target))
    target.write_bytes(source.read_bytes()[::-1])
    return True


def _has_random_inputs(run: dict[str, Any]) -> bool:
    said = json.loads((Path(run["out"]) / "evaluation.json").read_text(encoding="utf-8"))
    return any(note["key"] == "random_inputs" for note in said["notes"])


def _run_apart(plan: dict[str, Any], run: dict[str, Any], number: int, *, forked: bool) -> int:
    if not forked or not hasattr(os, "fork") or sys.platform == "darwin":
        return subprocess.run([sys.executable, "-I", "-B", __file__, sys.argv[1], str(number)], check=False).returncode
    sys.stdout.flush()
    sys.stderr.flush()
    child = os.fork()
    if child == 0:
        code = 1
        try:
            code = _run(plan, run)
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
            if isinstance(end.code, str):
                sys.stderr.write(end.code + "\n")
        except BaseException:  # noqa: BLE001 - the forked child must end here, whatever the evaluator raised
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run(plan: dict[str, Any], run: dict[str, Any]) -> int:
    source = run.get("source", plan["arguments"]["source"])
    if "train" in run:
        code = subprocess.run(run["train"], cwd=source, check=False).returncode
        if code:
            return code
    os.chdir(source)
    own = {"source": source, "checkpoint": run["checkpoint"], "out": run["out"]}
    arguments = {**plan["arguments"], **own, **run.get("arguments", {})}
    sys.argv = [plan["evaluator"], *(f"--{name}={value}" for name, value in arguments.items())]
    runpy.run_path(plan["evaluator"], run_name="__main__")
    return 0


def _preload(imports: list[str]) -> None:
    """Does what the scripts' leading statements do (loop/jobs/warm/leading_imports.py), as far as that succeeds."""
    gc.disable()  # a third of a large import is spent in looking for garbage
    try:
        _import_all(imports)
    finally:
        gc.enable()


def _import_all(imports: list[str]) -> None:
    for item in imports:
        if "=" in item:
            name, _, value = item.partition("=")
            os.environ[name] = value
            continue
        module, _, attribute = item.lstrip("?").partition(":")
        try:
            found = importlib.import_module(module)
            if attribute and not hasattr(found, attribute):
                importlib.import_module(f"{module}.{attribute}")
        except Exception:  # noqa: BLE001 - the script will say so itself, or handles it
            if not item.startswith("?"):
                return


def _write(path: str, content: Any) -> None:
    Path(path).write_text(json.dumps(content), encoding="utf-8")


if __name__ == "__main__":
    sys.exit(main())
