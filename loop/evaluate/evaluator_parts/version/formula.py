"""Which of the script's code computes what `validation_step` logs, measured by what ran: the model itself left out.

Two versions with one digest judge by the same code, whatever their models are.
"""

from __future__ import annotations

import hashlib
import sys
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.

_FORWARD = torch.nn.Module.__call__.__code__


class Watched:
    """Wraps calls into the script, and notes its functions that ran outside of a module's forward pass."""

    def __init__(self, source: Path) -> None:
        self._source = str(source)
        self._seen: dict[str, types.CodeType] = {}

    def __call__(self, function: Callable[..., Any]) -> Callable[..., Any]:
        def watched(*args: Any) -> Any:
            depth = 0

            def note(frame: types.FrameType, event: str, _argument: Any) -> None:
                nonlocal depth
                code = frame.f_code
                if code.co_name == "_call_impl" and code.co_filename == _FORWARD.co_filename:
                    # What has no weights (a loss, a metric) is part of the formula.
                    if next(frame.f_locals["self"].parameters(), None) is not None:
                        depth += {"call": 1, "return": -1}.get(event, 0)
                elif event == "call" and not depth and code.co_filename.startswith(self._source):
                    self._seen[f"{Path(code.co_filename).name}:{code.co_name}"] = code

            before = sys.getprofile()
            sys.setprofile(note)
            try:
                return function(*args)
            finally:
                sys.setprofile(before)

        return watched

    def digest(self) -> dict[str, Any]:
        """One digest of that code, and the names of its functions."""
        found = hashlib.blake2b(digest_size=16)
        names = sorted(name for name in self._seen if not name.endswith(":<module>"))
        for name in names:
            found.update(name.rpartition(":")[2].encode())
            _add(found, self._seen[name])
        return {"digest": found.hexdigest(), "functions": [name.rpartition(":")[2] for name in names]}


def _add(found: Any, code: types.CodeType) -> None:
    found.update(code.co_code)
    found.update(repr((code.co_names, code.co_varnames)).encode())
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            _add(found, constant)
        else:
            found.update(repr(constant).encode())
