"""Every place of a script that gives a hyper-parameter a value, with that value as far as it is certain."""

import re
from collections.abc import Iterable
from typing import cast

from ..errors import ScriptError
from .places import Call, Setting, collect
from .source import Script


def settings(script: Script) -> tuple[Setting, ...]:
    """Every setting of the script, in the order of the text. Nothing within an f-string is looked at."""
    return collect(script)[0]


def calls(script: Script) -> tuple[Call, ...]:
    """Every call whose callee has a name, in the order of the walk."""
    return collect(script)[1]


def replace_setting(script: Script, setting: Setting, value: object) -> str:
    """The script's text with that setting's value written as a literal; every other byte stays.

    Raises: ScriptError when the setting is not one of this script, or the value has no literal.
    """
    if setting not in settings(script):
        raise ScriptError(
            f"{setting.name} does not stand at line {setting.line} any more",
            where=script.name,
            hint="Read the script's settings again: they are valid for the text that they were read from.",
        )
    return script.edited(
        [(setting.start, setting.end, literal(value, like=script.data[setting.start : setting.end].decode()))]
    )


def literal(value: object, *, like: str = "") -> str:
    """The value as a person would write it, with the quotes and brackets of `like`.

    Raises: ScriptError when the value is no plain scalar or tuple or list of such.
    """
    match value:
        case None | bool() | int():
            return repr(value)
        case float():
            # 1e-05 is Python's own habit; 1e-5 is what scripts say.
            text = re.sub(r"e([+-])0*(\d)", lambda m: f"e{'-' if m[1] == '-' else ''}{m[2]}", repr(value))
            return f'float("{text}")' if text.lstrip("-") in ("inf", "nan") else text
        case str():
            text = repr(value)
            return text if like.startswith("'") or '"' in text or "\\" in text else f'"{text[1:-1]}"'
        case tuple() | list():
            items = [literal(item) for item in cast("Iterable[object]", value)]
            inner = ", ".join(items)
            if isinstance(value, list) or like.startswith("["):
                return f"[{inner}]"
            return f"({inner},)" if len(items) == 1 else f"({inner})"
        case _:
            raise ScriptError(
                f"a value of type {type(value).__name__} can't be written into a script",
                hint="Use a number, a string, true, false, null or a list of such.",
            )
