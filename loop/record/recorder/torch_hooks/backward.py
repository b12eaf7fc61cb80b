"""How often gradients were computed, and losses that are no number.

On a device a loss is looked at later, many at once, and is copied meanwhile: to read one now would wait for the device.
Of small steps not each loss is kept there: one that is no number spoils the weights, and so all that follow.
"""

from __future__ import annotations

import functools
import math
import time
from typing import Any

from ..recording import Recorder, Section
from . import forwards

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportPrivateUsage=false
# What the script and torch hand over has no type here.

_AT_ONCE = 256
_SECONDS = 1.0
_BETWEEN = 0.01  # seconds from one loss that is kept to the next
_MAX_TOLD = 20
_MAX_PASSES = 100_000


class Pending:
    """Losses on a device that nobody has read yet. `coming`: those that are being copied, to where, and its event."""

    def __init__(self) -> None:
        self.clear()

    def clear(self) -> None:
        self.losses: list[tuple[Section, int, int, Any]] = []
        self.coming: tuple[list[tuple[Section, int, int, Any]], Any, Any] | None = None
        self.since = 0.0
        self.next = 0.0

    def add(self, section: Section, epoch: int, loss: Any) -> bool:
        """Whether it is time to look at them."""
        now = time.monotonic()
        if now < self.next:
            return False
        self.next = now + _BETWEEN
        if not self.losses:
            self.since = now
        self.losses.append((section, epoch, section.backwards, loss.detach()))
        return len(self.losses) >= _AT_ONCE or now - self.since > _SECONDS


def watch(recorder: Recorder, torch: Any) -> None:
    """Wraps torch.autograd.backward, which Tensor.backward calls."""
    original = torch.autograd.backward
    pending = Pending()
    busy: list[bool] = []
    note = recorder.guarded(_note)

    def look() -> None:
        _look(recorder, torch, pending, wait=True)

    @functools.wraps(original)
    def backward(tensors: Any, *args: Any, **kwargs: Any) -> None:
        if busy:  # recomputation inside a backward pass
            return original(tensors, *args, **kwargs)
        busy.append(True)
        try:
            note(recorder, torch, pending, tensors)
            return original(tensors, *args, **kwargs)
        finally:
            busy.clear()

    torch.autograd.backward = backward
    recorder.look_at_losses = recorder.guarded(look)
    recorder.at_begin += [pending.clear, busy.clear]


def _note(recorder: Recorder, torch: Any, pending: Pending, tensors: Any) -> None:
    section = recorder.section
    section.backwards += 1
    if recorder.last_loader is not None:
        recorder.last_loader.backwards += 1
    forwards.end(recorder, trained=True)
    for loss in tensors if isinstance(tensors, (list, tuple)) else (tensors,):
        if not isinstance(loss, torch.Tensor) or loss.numel() != 1:
            continue
        if loss.is_cpu:
            _tell(recorder, section, _epoch(recorder), section.backwards, loss.item())
        elif pending.add(section, _epoch(recorder), loss):
            _look(recorder, torch, pending, wait=False)


def _look(recorder: Recorder, torch: Any, pending: Pending, *, wait: bool) -> None:
    if torch.cuda.is_available() and torch.cuda.is_current_stream_capturing():
        return
    if pending.coming is not None:
        losses, values, copied = pending.coming
        if wait:
            copied.synchronize()
        elif not copied.query():
            return
        pending.coming = None
        _tell_all(recorder, losses, values)
    if not pending.losses:
        return
    losses, pending.losses = pending.losses, []
    device = losses[0][3].device
    values = torch.stack([loss.reshape(()).float().to(device) for *_, loss in losses])
    if wait or device.type != "cuda":
        _tell_all(recorder, losses, values)
        return
    beside = torch.empty(values.shape, dtype=values.dtype, pin_memory=True)
    beside.copy_(values, non_blocking=True)
    copied = torch.cuda.Event()
    copied.record(torch.cuda.current_stream(device))
    pending.coming = losses, beside, copied


def _tell_all(recorder: Recorder, losses: list[tuple[Section, int, int, Any]], values: Any) -> None:
    for (section, epoch, number, _), value in zip(losses, values.tolist()):
        _tell(recorder, section, epoch, number, value)


def _tell(recorder: Recorder, section: Section, epoch: int, number: int, value: float) -> None:
    """The first that is no number is written at once: whoever watches the run may want to end it."""
    if not math.isfinite(value):
        if len(section.non_finite) < _MAX_TOLD:
            section.non_finite.append({"epoch": epoch, "backward": number, "value": str(value)})
        if len(section.non_finite) == 1:
            recorder.write()
    recorder.saw_loss(section, epoch, number, value)


def _epoch(recorder: Recorder) -> int:
    """Of a loop of the script's own only the loaders know it: it is the last of the passes that were trained on."""
    section, loader = recorder.section, recorder.last_loader
    if section.trainer is None and loader is not None:
        at = (id(loader), loader.passes.count)
        passes: dict[Any, int] = section.facts.setdefault("_passes", {})
        section.epoch = passes.setdefault(at, len(passes)) if len(passes) < _MAX_PASSES else section.epoch
    return section.epoch
