"""A JSON object that a script or a person wrote, read within bounds."""

import json
from collections.abc import Mapping
from typing import cast

from ..errors import UnsafePath
from .tree import Tree


def read_object(tree: Tree, relative: str) -> Mapping[str, object] | None:
    """A JSON object, or None where there is no file or it is something else."""
    try:
        content: object = json.loads(tree.read(relative).decode("utf-8-sig"))
    except (FileNotFoundError, UnsafePath, ValueError, RecursionError):
        return None
    return string_keys(content)


def string_keys(content: object) -> Mapping[str, object] | None:
    if not isinstance(content, dict):
        return None
    return {str(key): value for key, value in cast(dict[object, object], content).items()}
