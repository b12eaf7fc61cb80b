"""Files that a run might leave: bytes and words that parsers trip over."""

from pathlib import Path

from hypothesis import strategies as st

from progressive_training.loop.errors import Unreadable
from progressive_training.loop.store.leftovers.reading import Form, read
from progressive_training.loop.store.tree import Tree

FORMS: tuple[Form, ...] = ("json", "yaml", "array", "samples")
_WORDS = b"{ } [ ] &a *a : , - \" ' 1e9 1e999 !!x !!set \0 \xff <<: ? | # --- % 2026-02-30 0x \x93NUMPY".split(b" ")
_SPACE = st.sampled_from([b" ", b"\n", b"\n  ", b"\t"])


@st.composite
def files(draw: st.DrawFn) -> tuple[Form, bytes]:
    parts = draw(st.lists(st.one_of(st.sampled_from(_WORDS), _SPACE, st.binary(max_size=12)), max_size=60))
    return draw(st.sampled_from(FORMS)), b"".join(parts) * draw(st.sampled_from([1, 1, 1, 500]))


def fault(folder: Path, form: Form, data: bytes) -> str | None:
    """What is wrong with the answer for such a file; None for values, or a reason that names the file."""
    (folder / "file").write_bytes(data)
    try:
        read(Tree(folder), form, "file")
    except Unreadable as error:
        if not error.what or not (error.where or "").startswith("file"):
            return f"no reason: {error}"
        if "brings its reader down" in error.what:
            return f"the reader gave no reason: {form} {data[:200]!r}"
    return None
