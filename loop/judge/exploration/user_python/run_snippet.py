"""In the user's interpreter: runs a snippet that looks at a version's samples, predictions and model.

    python -I -B run_snippet.py PLAN.json

Standard library only, Python 3.9. The loop's own machinery, a copy beside this file, runs the version's script to its
`Trainer.fit` and hands over data and model. Then the process is closed in: it starts no program, opens no connection,
sees no test split, and ends where it computes gradients or takes an optimizer's step.
"""

from __future__ import annotations

import contextlib
import importlib
import importlib.machinery
import json
import os
import sys
import tempfile
import traceback
from collections.abc import Generator
from pathlib import Path
from typing import Any

TRAINED, NOT_HIDDEN = 77, 78
_REFUSED = frozenset(
    {"socket.connect", "socket.bind", "subprocess.Popen", "os.system", "os.exec", "os.posix_spawn", "os.fork"}
)
_FIGURE_INCHES, _FIGURE_DPI = 12.0, 72


def main() -> int:
    plan = json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))
    # The user's matplotlib draws into files; there is no screen.
    os.environ.setdefault("MPLBACKEND", "Agg")
    sys.path.insert(0, plan["parts"])
    names = _names(plan)
    _close_in(plan)
    sys.path.remove(plan["parts"])
    sys.path.append(str(Path.cwd()))  # last, as in a training: the version's modules can be imported
    code = 0
    try:
        source = Path(plan["snippet"]).read_text(encoding="utf-8")
        exec(compile(source, "<snippet>", "exec"), names)
    except SystemExit as end:
        code = end.code if isinstance(end.code, int) else 0 if end.code is None else 1
    except BaseException as error:  # noqa: BLE001 - the snippet's own, whatever it is
        if type(error).__name__ == "FitReached":
            _trained("Trainer.fit was called")
        _tell(error)
        code = 1
    _save_figures(Path(plan["out"]))
    return code


def _names(plan: dict[str, Any]) -> dict[str, Any]:
    """What the snippet finds, by name."""
    samples: list[Any] = []
    if plan["samples"]:
        with Path(plan["samples"]).open(encoding="utf-8") as file:
            samples = [json.loads(line) for line in file]
    names: dict[str, Any] = {"__name__": "__main__", "samples": samples, "scores": plan["scores"]}
    names.update(out=Path(plan["out"]), show=_Shown(Path(plan["out"])), checkpoint=Path(plan["checkpoint"]))
    names.update(dict.fromkeys(("model", "train", "val", "train_batches", "val_batches")))
    if not plan["script"]:
        return names
    problem = ""
    with _silent():  # what the script says was said in its training
        try:
            exploring = importlib.import_module("evaluator_parts.version.exploring")
            names.update(exploring.at_hand(plan["script"], plan["checkpoint"], plan["fit"], plan["seed"]))
        except Exception as error:  # noqa: BLE001 - the script's own; the predictions can be looked at all the same
            problem = f"{type(error).__name__}: {error}"
    if problem:
        sys.stdout.write(f"(model, train and val are None: {problem[:500]})\n")
    return names


@contextlib.contextmanager
def _silent() -> Generator[None, None, None]:
    """What is written meanwhile, by C code too, goes nowhere."""
    kept = [(number, os.dup(number)) for number in (1, 2)]
    nowhere = os.open(os.devnull, os.O_WRONLY)
    for number, _ in kept:
        os.dup2(nowhere, number)
    try:
        yield
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        for number, saved in kept:
            os.dup2(saved, number)
            os.close(saved)
        os.close(nowhere)


def _close_in(plan: dict[str, Any]) -> None:
    """From here on all that runs is the snippet."""
    if plan["hidden"]:
        landlock = importlib.import_module("evaluator_parts.landlock")
        # Not all of /tmp: a project may lie there.
        os.environ["TMPDIR"] = tempfile.tempdir = tempfile.mkdtemp()
        writable = (*plan["writable"], tempfile.tempdir, os.environ.get("MPLCONFIGDIR", os.devnull))
        problem = landlock.confine(map(Path, plan["hidden"]), map(Path, plan["kept"]), map(Path, writable))
        if problem is not None:
            sys.stderr.write(f"the test split can't be hidden: {problem}\n")
            sys.exit(NOT_HIDDEN)

    def hook(event: str, _arguments: tuple[Any, ...]) -> None:
        if event in _REFUSED:
            raise PermissionError(f"{event} isn't allowed in an exploration: it looks, and starts nothing")

    sys.addaudithook(hook)
    if "torch" in sys.modules:
        _forbid_training(sys.modules["torch"])
    else:
        sys.meta_path.insert(0, _OnImport())


class _OnImport:
    """Forbids training as soon as the snippet has imported torch."""

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname != "torch":
            return None
        sys.meta_path.remove(self)
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module: Any) -> None:
                run(module)
                _forbid_training(module)

            spec.loader.exec_module = exec_module  # type: ignore[method-assign]
        return spec


def _forbid_training(torch: Any) -> None:
    """Whatever a loop looks like, its gradients come from autograd's one engine, and its steps are an Optimizer's."""

    def computed(*_: Any, **__: Any) -> None:
        _trained("gradients were computed")

    def stepped(*_: Any, **__: Any) -> None:
        _trained("an optimizer took a step")

    variable = torch.autograd.Variable
    variable._execution_engine = _Engine(variable._execution_engine, computed)
    sys.modules["torch.optim.optimizer"].register_optimizer_step_pre_hook(stepped)


class _Engine:
    def __init__(self, engine: Any, run_backward: Any) -> None:
        self._engine = engine
        self.run_backward = run_backward

    def __getattr__(self, name: str) -> Any:
        return getattr(self._engine, name)


def _trained(how: str) -> None:
    """Ends the process at once, so that nothing of the snippet can go on."""
    sys.stdout.flush()
    os.write(2, f"\n{how}: an exploration trains no network.\n".encode())
    os._exit(TRAINED)


def _tell(error: BaseException) -> None:
    """The traceback from the snippet's own lines on."""
    trace = error.__traceback__
    while trace is not None and trace.tb_frame.f_code.co_filename != "<snippet>":
        trace = trace.tb_next
    sys.stdout.flush()
    traceback.print_exception(type(error), error, trace)


class _Shown:
    """`show(picture)` in the snippet: keeps a PIL image, an array or a tensor as a PNG. Figures are kept anyway."""

    def __init__(self, out: Path) -> None:
        self._out = out
        self._count = 0

    def __call__(self, picture: Any) -> None:
        self._count += 1
        place = self._out / f"shown-{self._count:02d}.png"
        if hasattr(picture, "savefig"):
            picture.savefig(place, dpi=_FIGURE_DPI)
        elif hasattr(picture, "save"):
            picture.save(place)
        else:
            canvas = importlib.import_module("evaluator_parts.canvas")
            array = picture.detach().cpu().float().numpy() if hasattr(picture, "detach") else picture
            found = canvas.as_picture(array)
            if found is None:
                raise ValueError(f"show takes a figure, a PIL image or an array (H, W[, 3]), not {array.shape}")
            canvas.write_png(place, canvas.enlarged(found, 128 // max(found.shape[:2])))


def _save_figures(out: Path) -> None:
    if "matplotlib.pyplot" not in sys.modules:
        return
    pyplot: Any = sys.modules["matplotlib.pyplot"]
    for number in pyplot.get_fignums():
        figure = pyplot.figure(number)
        width, height = figure.get_size_inches()
        scale = min(1.0, _FIGURE_INCHES / max(width, height))
        figure.savefig(out / f"figure-{number:02d}.png", dpi=_FIGURE_DPI * scale)


if __name__ == "__main__":
    result = main()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(result)  # to take torch apart takes longer than some snippets
