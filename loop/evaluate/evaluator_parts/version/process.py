"""The two processes that run the version's code: one that reads its data, and one that has its model and no data.

They are forks of the scorer's process, which knows neither the script nor its data. The script runs once. Its data go
on in a fork of their own; then the model's process is closed in: it sees no data set, no other version and nothing of
the loop any more, before it is handed its weights and the first input.
"""

from __future__ import annotations

import functools
import gc
import os
import random
import sys
import tempfile
import traceback
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy
import torch

from ..confinement import SHARED_MEMORY, refuse_programs
from ..errors import EvalError, ScriptFault
from ..landlock import confine
from ..wire.messages import Channel, Ended
from .checkpoint import disorder, load_weights, weights_digest
from .formula import Watched
from .probe import Probe
from .script import FitCall, run_script
from .validation import Validation, serve, validation_set

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.


class Order(NamedTuple):
    """What the scorer wants run. `hidden` are never seen, `data` not by the model; `kept` are seen all the same.

    `script_seed` is what the script begins with, `seed` what everything is drawn by from then on.
    """

    script: Path
    checkpoint: Path
    fit: int
    loader: str | None
    seed: int
    script_seed: int
    device: str
    scratch: Path
    hidden: tuple[Path, ...]
    data: tuple[Path, ...]
    kept: tuple[Path, ...]


def run(order: Order, model_end: Channel, data_end: Channel) -> None:
    """In a fork: becomes the model's process, with the data's as its child; ends with the scorer's last word."""
    os.environ["TMPDIR"] = tempfile.tempdir = str(order.scratch)
    # The stage is the script's own to write in; what training left is not.
    first = confine(order.hidden, (*order.kept, order.scratch), (order.scratch, order.script.parent))
    try:
        call = called(order.script, order.fit, order.script_seed)
        validation = validation_set(call, order.loader)
    except BaseException as error:  # noqa: BLE001 - the script's own, whatever it is
        model_end.send(failed(error))
        return
    if os.fork() == 0:
        _read(validation, data_end, model_end, order.seed)
    data_end.close()
    number = validation.number
    del validation
    try:
        _answer(order, call._replace(val_dataloaders=None), number, model_end, first)
    except Ended:
        return


def called(script: Path, fit: int, seed: int) -> FitCall:
    """The model and the data, by the script's own code, which begins with `seed`."""
    seed_everything(seed)
    call = run_script(script, fit)
    call.trainer.datamodule = call.datamodule
    for part in (call.datamodule, call.model):
        if part is not None:
            part.trainer = call.trainer
            part.prepare_data()
            part.setup(stage="fit")
    if hasattr(call.model, "configure_model"):
        call.model.configure_model()
    return call


def _read(validation: Validation, channel: Channel, other: Channel, seed: int) -> None:
    other.close()
    # As in a DataLoader's worker: threads of the parent aren't here.
    torch.set_num_threads(1)
    try:
        serve(validation, channel, lambda draw: seed_everything(seed + draw))
    except Ended:
        pass
    except BaseException as error:  # noqa: BLE001 - the data set's own, whatever it is
        _last_word(channel, error)
    finally:
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)


def _answer(order: Order, call: FitCall, loader: int, channel: Channel, first: str | None) -> None:
    """Everything that the scorer asks of the model, until it hangs up."""
    monitors = [_saver(one) for one in getattr(call.trainer, "checkpoint_callbacks", ())]
    device = _device(order.device)
    # Before each request: on the CPU without torch's word to every other device that there may be.
    seed = torch.default_generator.manual_seed if device.type == "cpu" else torch.manual_seed
    probe, watched = (
        Probe(call, loader, device, lambda draw: seed_everything(order.seed + draw, seed)),
        Watched(order.script.parent),
    )
    gc.collect()
    problem = confine((*order.hidden, *order.data, SHARED_MEMORY), (*order.kept, order.scratch), (order.scratch,))
    problem = problem or first
    channel.send({"confined": problem, "speaks": probe.speaks, "monitors": monitors})
    operations: dict[str, Callable[[dict[str, Any]], Any]] = {
        "discover": lambda asked: probe.discover(asked["batch"], tell=asked["tell"]),
        "answer": lambda asked: probe.answer(asked["batch"], asked["reading"], asked.get("draw", 0)),
        "timed": lambda asked: probe.timed(asked["batch"], asked["reading"], asked["repeats"]),
        "begin": lambda asked: probe.begin(),
        "judge": lambda asked: watched(probe.judge)(asked["batch"], asked["index"], asked.get("draw", 0)),
        "end": lambda asked: watched(probe.end)(),
        "formula": lambda asked: watched.digest(),
        "weights": lambda asked: weights_digest(probe.model),
        "disorder": lambda asked: disorder(probe.model, order.seed + asked["time"]),
        "load": lambda asked: load_weights(probe.model, order.checkpoint, order.script.parent, order.script.name),
    }
    refuse = functools.lru_cache(refuse_programs)
    while True:
        asked = channel.receive()
        try:
            if asked["op"] == "load":
                probe.model.cpu()
            found = operations[asked["op"]](asked)
            if asked["op"] == "load":
                probe.model.to(probe.device).eval()
                seed_everything(order.seed)
                refuse()
        except Ended:
            raise
        except BaseException as error:  # noqa: BLE001 - the model's own, whatever it is
            channel.send(failed(error))
            continue
        channel.send({"found": found})


def _saver(saver: Any) -> dict[str, Any]:
    return {"monitor": getattr(saver, "monitor", None), "mode": getattr(saver, "mode", None)}


def _device(wanted: str) -> torch.device:
    if wanted == "auto":
        wanted = "cuda" if torch.cuda.is_available() else "cpu"
    return torch.device(wanted)


def _last_word(channel: Channel, error: BaseException) -> None:
    try:
        channel.send(failed(error))
    except Ended:
        return


def failed(error: BaseException) -> dict[str, Any]:
    """What went wrong in the script's own code, for the scorer; the traceback goes to the log."""
    if isinstance(error, EvalError):
        return {"error": str(error), "own": False, "fault": isinstance(error, ScriptFault)}
    traceback.print_exception(type(error), error, error.__traceback__)
    sys.stderr.flush()
    frames = traceback.extract_tb(error.__traceback__)
    place = f" ({Path(frames[-1].filename).name}, line {frames[-1].lineno})" if frames else ""
    return {"error": f"{type(error).__name__}: {error}{place}", "own": True}


def seed_everything(seed: int, of_torch: Callable[[int], Any] = torch.manual_seed) -> None:
    random.seed(seed)
    numpy.random.seed(seed)
    of_torch(seed)
    torch.backends.cudnn.benchmark = False
    torch.backends.cudnn.deterministic = True
