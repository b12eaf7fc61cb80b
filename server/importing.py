"""Imports without looking for garbage."""

import gc
from collections.abc import Generator
from contextlib import contextmanager


@contextmanager
def uncollected() -> Generator[None]:
    """For imports and what is built from them, which make hundreds of thousands of objects and drop none.

    A tenth of a server's start would be spent in looking through them, and later collections would look again: what is
    there at the end is left out of those.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
