"""What an MLflow server says, as far as it is read here; and the names and lengths that it takes."""

import re
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

from pydantic import BaseModel, ConfigDict

_MOST_KEY = 250
_NOT_IN_A_NAME = re.compile(r"[^\w.\- /]")
T = TypeVar("T")


class Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore")


class Experiment(Answer):
    experiment_id: str
    lifecycle_stage: str = "active"


class ExperimentFound(Answer):
    experiment: Experiment


class ExperimentMade(Answer):
    experiment_id: str


class Pair(Answer):
    key: str
    value: str = ""


class RunInfo(Answer):
    run_id: str
    experiment_id: str
    artifact_uri: str = ""
    lifecycle_stage: str = "active"


class RunData(Answer):
    params: tuple[Pair, ...] = ()


class Run(Answer):
    info: RunInfo
    data: RunData = RunData()


class RunFound(Answer):
    run: Run


class RunsFound(Answer):
    runs: tuple[Run, ...] = ()


class Fault(Answer):
    error_code: str
    message: str = ""


def named(pairs: Iterable[tuple[str, T]]) -> dict[str, T]:
    """The same values under names that MLflow takes, each once."""
    found: dict[str, T] = {}
    for wanted, value in pairs:
        parts = (part for part in _NOT_IN_A_NAME.sub("_", wanted).split("/") if part not in ("", ".", ".."))
        name = "/".join(parts)[:_MOST_KEY].rstrip("/") or "_"
        number = 2
        while name in found:
            name, number = f"{name[: _MOST_KEY - 8]}_{number}", number + 1
        found[name] = value
    return found


def slices(items: Sequence[T], length: int) -> Iterator[Sequence[T]]:
    """The items in order, at most `length` at a time."""
    return (items[start : start + length] for start in range(0, len(items), length))
