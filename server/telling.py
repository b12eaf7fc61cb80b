"""What a client is told of an error, and of text that no answer and no file could hold."""

import errno
import json
from collections.abc import Mapping

_MAX_WHAT = 3_000
_MAX_NEXT = 2_500
_NEXT = "\nNext: "
_REMEDIES = {
    errno.ENOSPC: "free disk space, then ",
    errno.EDQUOT: "free disk space, then ",
    errno.EROFS: "make the project's file system writable, then ",
}


def told(text: str) -> str:
    """An error's text, bounded and with invisible characters as escapes: it may quote what a client sent."""
    from ..prompts.evidence import clean

    what, separator, following = text.rpartition(_NEXT)
    if not separator:
        return clean(text, _MAX_WHAT)
    return f"{clean(what, _MAX_WHAT)}{_NEXT}{clean(following, _MAX_NEXT)}"


def not_unicode(arguments: Mapping[str, object]) -> str | None:
    """Says it if a name or a text among the arguments has half a surrogate pair, which UTF-8 can't express."""
    try:
        json.dumps(arguments, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        return f"a text holds U+{ord(error.object[error.start]):04X}, half of a surrogate pair; send whole characters"
    return None


def cause(error: OSError) -> str:
    """What the system says, and of which file where it says that."""
    said = error.strerror or str(error)
    return f"{said}: {error.filename}" if error.filename else said


def remedy(error: OSError) -> str:
    """What must be done before any call can do better; "" where nothing is known."""
    return _REMEDIES.get(error.errno or 0, "")
