"""How often gradients were computed, and losses that are no number.

On a device a loss is looked at later, many at once: to read one now would wait for the device in every step. Of small
steps not each loss is kept there: one that is no number spoils the weights, and so all that follow.
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
_SECONDS = 5.0
_BETWEEN = 0.01  # seconds from one loss that is kept to the next
_MAX_TOLD = 20


class Pending:
    """Losses on a device that nobody has read yet."""

    def __init__(self) -> None:
        self.losses: list[tuple[Section, int, int, Any]] = []
        self.since = 0.0
        self.next = 0.0

    def add(self, section: Section, loss: Any) -> bool:
        """Whether it is time to look at them."""
        now = time.monotonic()
        if now < self.next:
            return False
        self.next = now + _BETWEEN
        if not self.losses:
            self.since = now
        self.losses.append((section, section.epoch, section.backwards, loss.detach()))
        return len(self.losses) >= _AT_ONCE or now - self.since > _SECONDS


def watch(recorder: Recorder, torch: Any) -> None:
    """Wraps torch.autograd.backward, which Tensor.backward calls."""
    original = torch.autograd.backward
    pending = Pending()
    busy: list[bool] = []
    note = recorder.guarded(_note)

    def look() -> None:
        _look(recorder, torch, pending)

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
    recorder.at_begin += [pending.losses.clear, busy.clear]


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
            value = loss.item()
            if not math.isfinite(value):
                _tell(recorder, section, section.epoch, section.backwards, str(value))
        elif pending.add(section, loss):
            _look(recorder, torch, pending)


def _look(recorder: Recorder, torch: Any, pending: Pending) -> None:
    if not pending.losses or (pending.losses[0][3].is_cuda and torch.cuda.is_current_stream_capturing()):
        return
    losses = pending.losses[:]
    pending.losses.clear()
    first, tensors = losses[0][3], [loss for *_, loss in losses]
    if any((one.shape, one.dtype, one.device) != (first.shape, first.dtype, first.device) for one in tensors):
        tensors = [loss.reshape(()).float().to(first.device) for loss in tensors]
    values = torch.stack(tensors).reshape(-1).tolist()
    for (section, epoch, number, _), value in zip(losses, values):
        if not math.isfinite(value):
            _tell(recorder, section, epoch, number, str(value))


def _tell(recorder: Recorder, section: Section, epoch: int, number: int, value: str) -> None:
    """At once for the first: whoever watches the run may want to end it."""
    if len(section.non_finite) < _MAX_TOLD:
        section.non_finite.append({"epoch": epoch, "backward": number, "value": value})
    if len(section.non_finite) == 1:
        recorder.write()
