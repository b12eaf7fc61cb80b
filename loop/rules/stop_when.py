"""`loop_config.stop_when`: `"> 2 x best at epoch 3"`, read into its parts.

SIGN VALUE [at epoch N | from epoch N]      SIGN: > >= < <=      VALUE: a number, `best`, or `NUMBER x best`
"""

import re
from dataclasses import dataclass
from typing import Annotated, Literal, cast

from pydantic import AfterValidator

Sign = Literal[">", ">=", "<", "<="]
EXAMPLES = '"> 2 x best at epoch 3", "< 0.3 from epoch 5" or "> 10"'
_NUMBER = r"[+-]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][+-]?\d+)?"
_CONDITION = re.compile(
    rf"(?P<sign>[<>]=?)\s*(?:(?P<number>{_NUMBER})(?P<factor>\s*[x×*]\s*best)?|(?P<best>best))"
    r"(?:\s+(?P<when>at|from)\s+epoch\s+(?P<epoch>[1-9]\d{0,8}))?"
)


@dataclass(frozen=True)
class Condition:
    """`value` is a factor of the best where `of_best`, else the limit itself. Epochs count from 1, `last` None: all.

    The best is the lowest value of an earlier version where the sign asks for more than that, else the highest.
    """

    sign: Sign
    value: float
    of_best: bool
    first: int
    last: int | None

    @property
    def lower_is_better(self) -> bool:
        return self.sign.startswith(">")


def parse_condition(text: str) -> Condition:
    """Raises `ValueError` that shows how one is written."""
    match = _CONDITION.fullmatch(text.strip())
    if match is None:
        raise ValueError(f"is no condition; write one like {EXAMPLES}")
    of_best = match["best"] is not None or match["factor"] is not None
    value = 1.0 if match["best"] else float(match["number"])
    if of_best and value <= 0:
        raise ValueError(f"the factor of best must be above 0; write one like {EXAMPLES}")
    if value - value != 0:
        raise ValueError(f"{match['number']} is too large a number; write one like {EXAMPLES}")
    epoch = int(match["epoch"]) if match["epoch"] else None
    last = epoch if match["when"] == "at" else None
    return Condition(cast("Sign", match["sign"]), value, of_best, epoch or 1, last)


def _checked(text: str) -> str:
    parse_condition(text)
    return text


ConditionText = Annotated[str, AfterValidator(_checked)]
