"""SHA-256 of files, computed once for each state of a file."""

import hashlib
import os

from .tree import Tree


class _Digest(str):
    """What `Tree.known` keeps of a file's content."""

    __slots__ = ()


def sha256(tree: Tree, relative: str) -> str:
    """The file's hash. Reads the file, in pieces, unless its status hasn't changed since the last time.

    Raises `FileNotFoundError`, `UnsafePath`.
    """
    stamp = tree.known.stamp(relative)
    if (known := tree.known.recall(relative, _Digest, stamp)) is not None:
        return known
    with tree.opened(relative) as handle, os.fdopen(os.dup(handle), "rb") as file:
        digest = _Digest(hashlib.file_digest(file, "sha256").hexdigest())
    tree.known.keep(relative, digest, stamp)
    return digest
