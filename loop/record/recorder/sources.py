"""Whose a source file is."""

from __future__ import annotations

import os
import sys

_LIBRARIES = tuple(
    os.path.join(path, "") for path in {os.path.dirname(os.__file__), sys.prefix, sys.base_prefix} if path != "/usr"
)
OURS = os.path.dirname(os.path.abspath(__file__))


def is_library(file: str) -> bool:
    """Whether a source file is installed or the interpreter's own, and not the user's."""
    return file.startswith((*_LIBRARIES, "<frozen")) or "site-packages" in file or "dist-packages" in file
