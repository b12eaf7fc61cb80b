"""A training that has diverged ends at once: what it would do from here on is worth nothing.

One loss that is no number is no divergence: a scaler of gradients, or the script, may leave that step out. It has
diverged when a step was taken all the same and the weights are no numbers any more, or when no loss has been a number
for a while. A tuner goes that far on purpose, and is left alone.
"""

from __future__ import annotations

import math
import os
import sys
from typing import Any

from ..live import VARIABLE
from ..recording import Recorder, Section

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportPrivateUsage=false
# What the script and torch hand over has no type here.

MANY = 10  # losses in a row
EXIT_CODE = 70
_AT_ONCE = 64  # tensors of one look


class Losses:
    """The losses that gradients were computed from, in their order; of one section."""

    def __init__(self, recorder: Recorder, torch: Any) -> None:
        self._recorder = recorder
        self._torch = torch
        self._section: Section | None = None
        self._forget(recorder.section)

    def saw(self, section: Section, epoch: int, backward: int, value: float) -> None:
        """A loss was read; on a device that is some steps after the step that it was used in."""
        if section is not self._section:
            self._forget(section)
        if math.isfinite(value):
            self._last, self._row = value, 0
            return
        self._row += 1
        if self._row == 1:
            self._first = {"epoch": epoch, "backward": backward, "value": str(value)}
        if self._row >= MANY:
            self._end(spoiled=False)

    def stepped(self, optimizer: Any) -> None:
        """The optimizer took a step. Waits for the device, but only after a loss that was no number."""
        if self._row and self._section is self._recorder.section and self._is_spoiled(optimizer):
            self._end(spoiled=True)

    def _forget(self, section: Section) -> None:
        self._section = section
        self._last: float | None = None
        self._row = 0
        self._first: dict[str, Any] = {}

    def _is_spoiled(self, optimizer: Any) -> bool:
        torch = self._torch
        every = [_local(one) for group in optimizer.param_groups for one in group["params"]]
        floats = [one for one in every if one.is_floating_point() and one.numel() and not one.is_meta]
        for start in range(0, len(floats), _AT_ONCE):
            some = [torch.isfinite(one).all() for one in floats[start : start + _AT_ONCE]]
            if not all(torch.stack([one.to(some[0].device) for one in some]).tolist()):
                return True
        return False

    def _end(self, *, spoiled: bool) -> None:
        """Leaves the facts and ends this process; its runner ends the others."""
        recorder, section = self._recorder, self._section
        if section is None or section.kind == "tuner":
            self._row = 0
            return
        section.facts["diverged"] = {**self._first, "last_finite": self._last, "spoiled": spoiled}
        recorder.write(all_of_it=True)
        recorder.end_live(True)
        told = f"the loss became {self._first['value']}, and so the training is ended (progressive-training)"
        sys.stdout.flush()
        sys.stderr.write(f"{told}\n")
        sys.stderr.flush()
        os._exit(EXIT_CODE)


def watch(recorder: Recorder, torch: Any) -> None:
    """Looks at what `backward` reads, where the run's variable asks for it."""
    if not os.environ.get(VARIABLE):
        return
    losses = Losses(recorder, torch)
    recorder.saw_loss, recorder.after_step = recorder.guarded(losses.saw), recorder.guarded(losses.stepped)


def _local(parameter: Any) -> Any:
    """This rank's part of what is sharded: the whole would be asked of the others, who wait elsewhere."""
    part = parameter.to_local() if hasattr(parameter, "to_local") else parameter
    return part.detach()
