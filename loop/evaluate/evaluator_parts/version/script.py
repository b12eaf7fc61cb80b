"""Runs the training script up to one of its `Trainer.fit` calls, and takes from that what it was handed."""

from __future__ import annotations

import importlib.machinery
import importlib.util
import math
import os
import sys
import traceback
import types
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..errors import ScriptFault

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.

TRAINER_MODULES = ("lightning.pytorch.trainer.trainer", "pytorch_lightning.trainer.trainer")


class FitCall(NamedTuple):
    """What the script handed to `Trainer.fit`."""

    trainer: Any
    model: Any
    val_dataloaders: Any
    datamodule: Any
    train_dataloaders: Any = None


class FitReached(BaseException):
    """Leaves the script at `Trainer.fit`; not an Exception, so that a script's `except Exception` lets it pass."""


class FitHook:
    """Replaces `Trainer.fit` in whichever of the two Lightning packages the script imports, when it imports it."""

    call: FitCall | None = None
    passed = 0
    wanted = 1

    @classmethod
    def install(cls, wanted: int) -> None:
        cls.wanted = wanted
        for name in TRAINER_MODULES:
            if name in sys.modules:
                sys.modules[name].Trainer.fit = cls.fit
        sys.meta_path.insert(0, cls)

    @classmethod
    def find_spec(cls, fullname: str, path: Any = None, target: Any = None) -> Any:
        if fullname not in TRAINER_MODULES:
            return None
        spec = importlib.machinery.PathFinder.find_spec(fullname, path, target)
        if spec is not None and spec.loader is not None:
            run = spec.loader.exec_module

            def exec_module(module: types.ModuleType) -> None:
                run(module)
                module.Trainer.fit = cls.fit

            spec.loader.exec_module = exec_module
        return spec

    @staticmethod
    def fit(
        trainer: Any,
        model: Any,
        train_dataloaders: Any = None,
        val_dataloaders: Any = None,
        datamodule: Any = None,
        *_: Any,
        **__: Any,
    ) -> None:
        if hasattr(train_dataloaders, "val_dataloader"):  # fit(model, datamodule) is legal
            datamodule, train_dataloaders = train_dataloaders, None
        FitHook.passed += 1
        if FitHook.call is None or FitHook.passed <= FitHook.wanted:
            model = getattr(model, "_orig_mod", model)
            FitHook.call = FitCall(trainer, model, val_dataloaders, datamodule, train_dataloaders)
        if FitHook.passed >= FitHook.wanted:
            raise FitReached
        for saver in getattr(trainer, "checkpoint_callbacks", ()):
            # What a script asks between two fits; no number is known of one that wasn't carried out.
            saver.best_model_score = torch.tensor(math.nan)


def run_script(script: Path, fit: int = 1) -> FitCall:
    """Run the staged script as `__main__` up to its so-manieth `Trainer.fit`; earlier ones train nothing.

    The working directory becomes its folder. Raises `ScriptFault` for a script that doesn't get there.
    """
    spec = importlib.util.spec_from_file_location("__main__", script)
    assert spec is not None and spec.loader is not None  # a file that ends with .py has both
    main = importlib.util.module_from_spec(spec)
    sys.modules["__main__"] = main
    sys.argv = [str(script)]
    sys.path.append(str(script.parent))  # last, as in its training: none of its files takes a package's place
    os.chdir(script.parent)
    FitHook.install(fit)
    raised: BaseException | None = None
    try:
        spec.loader.exec_module(main)
    except FitReached:
        pass
    except (Exception, SystemExit) as error:  # noqa: BLE001 - the script's own, whatever it is
        raised = error
    if FitHook.call is not None and (FitHook.passed >= fit or raised is None):
        return FitHook.call
    if raised is not None and not isinstance(raised, SystemExit):
        traceback.print_exception(type(raised), raised, raised.__traceback__)
        place = (
            "Trainer.fit"
            if fit == 1
            else f"Trainer.fit number {fit}, which left best.ckpt; earlier ones train nothing here"
        )
        raise ScriptFault(
            f"{script.name} raised {type(raised).__name__}: {raised} before it reached {place}; the traceback is "
            "above. It ran in a copy of the project without earlier artifacts. Next: make it run there (repair_version)"
        )
    ended = f" (it left with sys.exit({raised.code!r}))" if isinstance(raised, SystemExit) else ""
    raise ScriptFault(
        f"{script.name} ended{ended} without calling Trainer.fit of lightning.pytorch or pytorch_lightning, so "
        "its model and validation data can't be found. Next: write a 03_eval.py for this script yourself and hand it "
        "over with write_eval; it takes the options of this one (--help) and writes eval_score.json, samples.jsonl and "
        "infer_samples/ into --out"
    )


def own(function: Any) -> bool:
    """Whether a method is the script's, not Lightning's default."""
    return getattr(function, "__module__", "").split(".")[0] not in ("lightning", "pytorch_lightning", "torch")
