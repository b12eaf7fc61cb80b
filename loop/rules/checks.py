"""Does a script keep what the user fixed? Asked before anything of it runs (T1, C2)."""

from ..errors import RuleViolation
from ..script import Script
from ..script.fixed import clashes, dynamic_overrides, in_words
from .reading import Rules


def check_script(script: Script, rules: Rules) -> None:
    """Raises `RuleViolation` if the script states another value than the rules fix (T1, C2)."""
    extra = rules.file.synonyms
    found = (*clashes(script, rules.fixed, extra), *dynamic_overrides(script, rules.fixed, extra))
    if found:
        raise RuleViolation(
            f"the script breaks what the user fixed: {in_words(found)}",
            where=script.name,
            hint="use the fixed values; they are the user's and outrank every improvement",
        )
