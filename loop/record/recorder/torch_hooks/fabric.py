"""How each Fabric is set up; its loops are the script's own."""

from __future__ import annotations

import functools
from typing import Any

from ..recording import Recorder
from . import settings


def watch(recorder: Recorder, module: Any) -> None:
    """Wraps the constructor of Fabric."""
    original = module.Fabric.__init__

    def note(fabric: Any) -> None:
        found = recorder.outside.facts.setdefault("fabric", [])
        if len(found) < 8:
            found.append(settings.of_fabric(fabric))

    guarded = recorder.guarded(note)

    @functools.wraps(original)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        guarded(self)

    module.Fabric.__init__ = __init__
