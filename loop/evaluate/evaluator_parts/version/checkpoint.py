"""The trained weights: read without running code of their choosing, and nothing but them in the model."""

from __future__ import annotations

import argparse
import collections
import hashlib
import os
import pathlib
import pickle
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy
import torch

from ..errors import ScriptFault

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.


def harmless_classes(stage: Path) -> list[Any]:
    """Classes that a checkpoint may hold besides tensors: the script's own, layers, paths and numpy arrays."""
    classes: set[Any] = {argparse.Namespace, numpy.ndarray, numpy.dtype, collections.defaultdict, dict, int, str}
    classes |= {getattr(pathlib, name) for name in ("PosixPath", "PurePosixPath", "WindowsPath", "PureWindowsPath")}
    classes |= {type(numpy.dtype(kind)) for kind in "?bhilqBHILQefd"}
    own = f"{stage}{os.sep}"
    # Not everything that stands there is a module: some libraries put objects of their own.
    for module in [found for found in sys.modules.values() if isinstance(found, type(sys))]:
        file = str(getattr(module, "__file__", None) or "")
        configuration = module.__name__.split(".")[0] == "omegaconf"
        if configuration or module.__name__.startswith("torch.nn.modules.") or file.startswith(own):
            members = [member for member in vars(module).values() if isinstance(member, type)]
            classes.update(member for member in members if configuration or member.__module__ == module.__name__)
    arrays: Any = getattr(numpy, "_core", None) or numpy.core
    return [*classes, arrays.multiarray.scalar, arrays.multiarray._reconstruct]


def load_checkpoint(path: Path, stage: Path) -> dict[str, Any]:
    """Read a Lightning checkpoint with `weights_only=True`, so that loading it runs no code of its choosing."""
    if path.is_dir():
        raise ScriptFault(
            f"{path.name} is a folder, as sharded strategies write it. Next: save whole checkpoints "
            '(FSDPStrategy(state_dict_type="full")), or write a 03_eval.py and use write_eval'
        )
    if not path.is_file():
        raise ScriptFault(f"{path} is missing. Next: train this version first")
    torch.serialization.add_safe_globals(harmless_classes(stage))
    try:
        checkpoint = torch.load(path, map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        found = re.search(r"GLOBAL (\S+)", str(error))
        raise ScriptFault(
            f"{path.name} holds {found.group(1) if found else 'an object'}, which isn't a tensor nor a class of the "
            "training script, and isn't loaded. Next: leave it out in the script, such as by "
            "self.save_hyperparameters(ignore=[...]), and train again"
            + ("" if found else f" ({str(error).splitlines()[0]})")
        ) from None
    except (RuntimeError, EOFError, OSError) as error:
        raise ScriptFault(
            f"{path} can't be read: {str(error).splitlines()[0]}. Next: train this version again"
        ) from None
    if not isinstance(checkpoint, dict) or "state_dict" not in checkpoint:
        raise ScriptFault(
            f"{path} isn't a Lightning checkpoint: it has no state_dict. Next: save it by ModelCheckpoint"
        )
    return checkpoint


def load_weights(model: Any, path: Path, stage: Path, script: str) -> None:
    """Load every weight, and nothing but; a model that differs from the trained one is an error.

    A script's own `strict_loading = False` (adapters beside a frozen backbone) is honoured for what is missing.
    """
    checkpoint = load_checkpoint(path, stage)
    kept = set(map(_digest, _tensors(checkpoint)))
    model.on_load_checkpoint(checkpoint)
    strict = getattr(model, "strict_loading", True) is not False
    weights = _without_compiler(checkpoint["state_dict"], model)
    try:
        missing, unexpected = model.load_state_dict(weights, strict=strict)
    except RuntimeError as error:
        details = " ".join(str(error).split())
        raise ScriptFault(
            f"{path.name} doesn't fit the model that {script} builds: {details[:600]}. "
            "Next: train this version again with the script as it is now"
        ) from None
    if unexpected:
        raise ScriptFault(
            f"{path.name} holds weights that the model of {script} has no place for: {', '.join(unexpected[:5])}. "
            "Next: train this version again with the script as it is now"
        )
    loaded = {name: value for name, value in model.state_dict().items() if name not in set(missing)}
    strange = [name for name, value in loaded.items() if value.numel() and _digest(value.cpu()) not in kept]
    if strange:
        raise ScriptFault(
            f"after loading, {', '.join(strange[:5])} hold values that are in no tensor of {path.name}: weights that "
            "the loop did not train are not scored. Next: let on_load_checkpoint rename weights, and not make any"
        )


def _without_compiler(weights: dict[str, Any], model: Any) -> dict[str, Any]:
    """The weights under the model's names, where torch.compile has put a part of its own into either."""
    known = set(model.state_dict())
    if set(weights) <= known:
        return weights
    plain = {name.replace("_orig_mod.", ""): name for name in known}
    return {plain.get(name.replace("_orig_mod.", ""), name): value for name, value in weights.items()}


def _tensors(value: Any, depth: int = 0) -> Iterator[torch.Tensor]:
    if isinstance(value, torch.Tensor):
        yield value
    elif depth < 8 and isinstance(value, dict):
        for inner in value.values():
            yield from _tensors(inner, depth + 1)
    elif depth < 8 and isinstance(value, (list, tuple)):
        for inner in value:
            yield from _tensors(inner, depth + 1)


def _digest(value: torch.Tensor) -> tuple[Any, ...]:
    """What tells tensors of equal content, whatever their precision."""
    kind = torch.complex64 if value.is_complex() else torch.float32 if value.is_floating_point() else torch.int64
    plain = value.detach().cpu().to(kind).contiguous().reshape(-1)
    return tuple(value.shape), hashlib.blake2b(plain.view(torch.uint8).numpy().data, digest_size=16).hexdigest()


def weights_digest(model: Any) -> str:
    """One digest of all parameters as they are now."""
    found = hashlib.blake2b(digest_size=16)
    for name, value in model.named_parameters():
        if value.numel():
            found.update(repr((name, _digest(value))).encode())
    return found.hexdigest()


def disorder(model: Any, seed: int) -> int:
    """Permute the elements of every floating tensor that the model has; how many changed.

    Each element stays of its tensor, so that a variance stays positive and nothing becomes NaN by it. A parameter of
    one element becomes another number.
    """
    generator, moved = torch.Generator().manual_seed(seed), 0
    with torch.no_grad():
        for value in (*model.parameters(), *model.buffers()):
            if value.is_floating_point() and value.numel() > 1:
                order = torch.randperm(value.numel(), generator=generator)
                value.copy_(value.flatten()[order.to(value.device)].view_as(value))
                moved += 1
            elif value.is_floating_point() and value.numel() and isinstance(value, torch.nn.Parameter):
                value.copy_(1 - value)
                moved += 1
    return moved
