"""The version's data and trained model for somebody who wants to look at them, as names of a Python snippet."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch

from .checkpoint import load_weights
from .process import called
from .script import FitCall, own
from .validation import Validation, validation_set, whole

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# What the script and torch hand over has no type here.


def at_hand(script: str, checkpoint: str, fit: int, seed: int) -> dict[str, Any]:
    """`train` and `val` (data sets, or None where they can't be asked for single samples), `train_batches` and
    `val_batches` (all of them, in their own order), and `model`, its weights loaded, on the CPU, to infer with.

    Raises `ScriptFault`, and what the script raises.
    """
    place = Path(script)
    call = called(place, fit, seed)
    load_weights(call.model, Path(checkpoint), place.parent, place.name)
    torch.set_grad_enabled(False)
    val, train = validation_set(call), _train(call)
    return {
        "model": call.model.eval(),
        "val": val.dataset,
        "val_batches": val.loader,
        "train": train.dataset if train else None,
        "train_batches": train.loader if train else None,
    }


def _train(call: FitCall) -> Validation | None:
    """The training samples; None where the script has several loaders of them, or none."""
    loader = call.train_dataloaders
    if loader is None:
        source = call.model if call.datamodule is None else call.datamodule
        loader = source.train_dataloader() if own(getattr(source, "train_dataloader", None)) else None
    return None if loader is None or isinstance(loader, (list, tuple, dict)) else whole(loader)
