"""The search for leaks, over what was kept of both sides. Each part's failure is a fact of its own."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import Any

from ...recording import Recorder
from .answers import answers
from .groups import groups
from .near import near
from .samples import Samples


def search(recorder: Recorder, sides: Iterable[tuple[str | None, Samples]]) -> dict[str, Any]:
    """Holds the validation's samples against the training's. Of several loaders in a role the largest is taken."""
    found: dict[str, Any] = {}
    numpy: Any = sys.modules.get("numpy")
    largest: dict[str, Samples] = {}
    for role, samples in sides:
        if role and samples.rows > (largest[role].rows if role in largest else 0):
            largest[role] = samples
    if numpy is None or not {"train", "validation"} <= largest.keys():
        return found
    train, validation = largest["train"], largest["validation"]
    found.update(train=train.rows, validation=validation.rows, whole=train.whole and validation.whole)
    with numpy.errstate(all="ignore"):
        found["near"] = recorder.guarded(near)(numpy, train, validation)
        found["groups"] = recorder.guarded(groups)(numpy, train, validation) or []
        found["answers"] = recorder.guarded(answers)(numpy, train, validation)
    return found
