"""Does a script keep what the user fixed? Checked before any of it runs (T1, C2)."""

from ..errors import RuleViolation
from ..script.fixed import clashes, in_words
from ..script.source import Script
from .reading import Rules


def check_script(script: Script, rules: Rules, parent: Script) -> None:
    """Raises `RuleViolation` if the script states another value than the rules fix (T1, C2).

    What the parent, for the first version itself, has beside the rules' own places may stay.
    """
    if found := clashes(script, rules.fixed, rules.file.synonyms, parent=parent):
        raise RuleViolation(
            f"the script breaks what the user fixed: {in_words(found)}",
            where=script.name,
            hint="use the fixed values; they are the user's and outrank every improvement",
        )
