"""How many samples the model is given for one batch: a replay or a loop in the script's step shows here.

Looked at for few batches only. Meanwhile torch calls a hook before each module; it is global, since one in a module
would be pickled with it.
"""

from __future__ import annotations

import functools
import math
from typing import Any

from ..recording import Recorder
from .batches import leaves, size_of
from .settings import size_of_parameter

_MAX_SEEN = 8
_WRAPPERS = frozenset({"DistributedDataParallel", "FullyShardedDataParallel", "DataParallel", "DeepSpeedEngine"})


class Watching:
    """Which batches of a section are looked at: the first, then ever rarer ones."""

    def __init__(self, recorder: Recorder, torch: Any) -> None:
        self._recorder = recorder
        self._torch = torch
        self._register = torch.nn.modules.module.register_module_forward_pre_hook
        self.handle: Any = None  # while a batch is looked at
        self._module: Any = None
        self._wrapper: str | None = None
        self._precision: dict[str, Any] = {}
        self._batch: Any = None
        self.compiled = False
        self.calls = self.samples = 0

    def begin(self, batch: Any) -> None:
        if self.compiled:
            self._recorder.section.next_forward = math.inf
            return
        self._batch, self._module, self.calls, self.samples = batch, None, 0, 0
        self._wrapper = None
        self.handle = self._register(self._recorder.guarded(self._note))

    def end(self, *, trained: bool) -> None:
        self.handle.remove()
        self.handle = None
        if trained and self._module is not None:
            row = {
                "batch": size_of(self._batch),
                "module": type(self._module).__name__,
                "calls": self.calls,
                "samples": self.samples,
                "wrapper": self._wrapper,
                **_sizes(self._module),
                **self._precision,
            }
            section = self._recorder.section
            section.forwards.append(row)
            # batches 0, 3, 12, 48 …: replays and buffers fill slowly
            seen = len(section.forwards)
            section.next_forward = 3 * 4 ** (seen - 1) if seen < _MAX_SEEN else math.inf
        self._batch = self._module = None

    def _note(self, module: Any, args: Any) -> None:
        if self._module is None:
            handed_on = args and args[0] is self._batch  # by a trainer that calls the whole step as `forward`
            if type(module).__name__ in _WRAPPERS:
                self._wrapper = type(module).__name__
            if type(module).__name__ in (*_WRAPPERS, "_FabricModule"):
                return
            if handed_on or "forward" in vars(module) or size_of(args) is None:
                return
            self._module = module
            self._precision = _precision(self._torch, args)
        if module is self._module:
            self.calls += 1
            self.samples += size_of(args) or 0


def _sizes(module: Any) -> dict[str, Any]:
    """Of a share of it, where ranks share it."""
    parameters = list(module.parameters())
    return {
        "parameters": sum(size_of_parameter(one) for one in parameters),
        "trainable": sum(size_of_parameter(one) for one in parameters if one.requires_grad),
    }


def _precision(torch: Any, args: Any) -> dict[str, Any]:
    """The numbers that go in, and what autocast makes of them, where it is on."""
    first = next((one for one in leaves(args) if hasattr(one, "device")), None)
    if first is None:
        return {}
    kind, autocast = first.device.type, None
    if kind in ("cpu", "cuda") and (torch.is_autocast_enabled() if kind == "cuda" else torch.is_autocast_cpu_enabled()):
        found = torch.get_autocast_gpu_dtype() if kind == "cuda" else torch.get_autocast_cpu_dtype()
        autocast = str(found).replace("torch.", "")
    return {"device": kind, "dtype": str(first.dtype).replace("torch.", ""), "autocast": autocast}


def watch(recorder: Recorder, torch: Any) -> None:
    watching = recorder.forwards = Watching(recorder, torch)
    compile = getattr(torch, "compile", None)
    if compile is None:
        return

    @functools.wraps(compile)
    def noted(*args: Any, **kwargs: Any) -> Any:
        for note in recorder.at_compile:
            note()
        watching.compiled = True  # a hook that comes and goes would have its code compiled again
        return compile(*args, **kwargs)

    torch.compile = noted


def begin(recorder: Recorder, batch: Any, number: int) -> None:
    """A batch is handed out, the `number`th of its pass."""
    watching = recorder.forwards
    if watching is not None:
        if watching.handle is not None:
            watching.end(trained=False)
        if number >= recorder.section.next_forward:
            watching.begin(batch)


def end(recorder: Recorder, *, trained: bool) -> None:
    """The batch is used: the model has seen all of it."""
    watching = recorder.forwards
    if watching is not None and watching.handle is not None:
        watching.end(trained=trained)
