"""What really ran, measured inside the user's interpreter and written beside the attempt as it goes.

Standard library only, Python 3.9, and never `import torch`: it wraps what the script imports, when the script imports
it. It draws no random number, changes no value that the script sees and waits for no device in a step. Whatever fails
here is a fact (`problems`), and the run goes on.

    imports     runs something after a module was imported
    search      the project's folder is looked through last; which of its modules a library asked for
    recording   the facts of this process so far, in sections: each fit, each test, the script's own loops
    writing     the file, small and replaced as a whole
    torch_hooks/  trainers, loaders, optimizers and what else is wrapped in torch and Lightning
    live        how far it is, for the runner to see
    lines       which changed lines ran
    seeds, opened, machine   seeds set, files opened, packages and memory; sources tells the user's files from others
    site/       gets all this into each process of a job
"""

from __future__ import annotations

import atexit
import os
import sys

from . import live, opened, search, seeds
from .imports import AfterImport
from .recording import Recorder

_installed: list[Recorder] = []


def install(folder: str, *, begun: bool = True) -> None:
    """Records this process from now on into `folder`, which must exist. Called again, only the folder changes.

    May be called before or after torch and Lightning are imported; `begun` is whether Python began the script before.
    Fits that run already are not seen.
    """
    if _installed:
        _installed[0].begin(folder)
        return
    recorder = Recorder(folder)
    _installed.append(recorder)
    after = AfterImport(recorder)
    after.add("random", lambda module: seeds.watch_random(recorder, module))
    after.add("numpy.random", lambda module: seeds.watch_numpy(recorder, module))
    after.add("torch", lambda module: _watch_torch(recorder, module))
    for name in ("lightning.pytorch", "pytorch_lightning"):
        after.add(f"{name}.trainer.call", lambda module: _watch_hooks(recorder, module))
        after.add(f"{name}.trainer.trainer", lambda module: _watch_runs(recorder, module))
    for name in ("lightning.fabric", "lightning_fabric"):
        after.add(f"{name}.fabric", lambda module: _watch_fabric(recorder, module))
    after.start()
    recorder.guarded(search.watch)(recorder, begun)  # the last that is put first
    opened.watch(recorder)
    live.watch(recorder)
    if os.environ.get("PROGRESSIVE_TRAINING_LINES"):
        from . import lines

        recorder.guarded(lines.watch)(recorder)
    os.register_at_fork(after_in_child=recorder.begin_forked)
    atexit.register(recorder.end)


# What only a training needs is read when there may be one: every Python child passes here.


def _watch_hooks(recorder: Recorder, call: object) -> None:
    from .torch_hooks import trainers

    trainers.watch_hooks(recorder, call)


def _watch_runs(recorder: Recorder, trainer: object) -> None:
    from .torch_hooks import trainers

    trainers.watch_runs(recorder, trainer)


def _watch_fabric(recorder: Recorder, module: object) -> None:
    from .torch_hooks import fabric

    fabric.watch(recorder, module)


def _watch_torch(recorder: Recorder, torch: object) -> None:
    from .torch_hooks import backward, diverging, forwards, loaders, optimizers

    watches = (seeds.watch_torch, diverging.watch, backward.watch, forwards.watch, loaders.watch, optimizers.watch)
    for watch in watches:
        recorder.guarded(watch)(recorder, torch)
    if "torch" not in sys.modules:  # an import that failed in its middle
        recorder.problem("torch", "its import did not end")
