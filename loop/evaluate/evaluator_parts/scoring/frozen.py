"""What is decided once, on the first version, and holds for all: targets, reading, and whose formula each number is."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

from ..errors import EvalError
from ..wire.messages import Ended, dumps, loads

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.

FILE = "protocol.bin"


class Frozen(NamedTuple):
    """`targets` are a list with one of each sample, as the first version's data had them, and `inputs` digests.

    `via` names what in validation_step took the output: `cross_entropy#0`. `loss` and `metrics` say whose formula a
    number is: {"kind": "server", "name": …} or {"kind": "script", "name": …, "higher": …}.
    `apart` is what two draws of a metric may differ by, where the first version's validation draws random numbers.
    `group` is where a batch says which candidates belong to one query, where they are samples of their own.
    `disorder` is how much of what the first version's score has over chance is left with its weights in disorder.
    """

    family: str
    output: str
    via: str
    target: tuple[Any, ...]
    loss: dict[str, Any] | None
    metrics: dict[str, dict[str, Any]]
    delimiter: str | None
    targets: list[Any]
    inputs: list[str]
    random_inputs: bool
    ids: list[str]
    formula: str
    disorder: float = 0.0
    apart: dict[str, float] = {}  # noqa: RUF012 - by metric
    group: tuple[Any, ...] | None = None

    @property
    def server_loss(self) -> str | None:
        """The name of the loss's formula, where it is one of ours."""
        return self.loss["name"] if self.loss and self.loss["kind"] == "server" else None

    @property
    def scale(self) -> float:
        """What that is multiplied by: the script's own units."""
        return float((self.loss or {}).get("scale", 1.0))


def save(frozen: Frozen, folder: Path) -> None:
    with (folder / FILE).open("wb") as file:
        for part in dumps(frozen._asdict()):
            file.write(part)


def load(folder: Path | None) -> Frozen | None:
    """None where nothing was decided yet. Raises `EvalError` for a file that can't be read."""
    if folder is None or not (folder / FILE).is_file():
        return None
    try:
        return Frozen(**loads(bytearray((folder / FILE).read_bytes())))
    except (Ended, TypeError, ValueError) as error:
        raise EvalError(f"{folder / FILE} can't be read: {error}. Next: call run_eval again") from None
