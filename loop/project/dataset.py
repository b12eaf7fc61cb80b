"""Which data set the loop uses, decided once and frozen (C6), and what its stats.json says (I1)."""

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from ..errors import OutOfOrder, ProjectError
from ..store.paths import PREPDATA, Workspace

Source = Literal["argument", "build-baseline", "rules", "only folder"]
Split = Literal["train", "val", "test"]

_SPLIT_NAMES: Mapping[Split, tuple[str, ...]] = {
    "train": ("train", "training", "trn", "tr"),
    "val": ("val", "valid", "validation", "dev", "eval"),
    "test": ("test", "testing", "tst", "holdout"),
}
_COUNT_NAMES = (
    *("num_samples", "n_samples", "samples", "count", "num_examples", "n_examples"),
    *("size", "num_rows", "n", "num"),
)
_GROUPS = ("splits", "split", "num_samples", "n_samples", "samples", "sample_counts", "counts", "sizes", "split_sizes")
_MAX_TASK_TYPE = 200
_TASK_NAMES = ("task_type", "task", "problem_type", "taskType")


@dataclass(frozen=True)
class DatasetChoice:
    dataset_id: str
    source: Source


@dataclass(frozen=True)
class DatasetStats:
    """What stats.json says; None where it doesn't say it, and then `unknown` names it."""

    task_type: str | None
    train_samples: int | None
    val_samples: int | None

    @property
    def unknown(self) -> tuple[str, ...]:
        named = {
            "task_type": self.task_type,
            "train samples": self.train_samples,
            "validation samples": self.val_samples,
        }
        return tuple(name for name, value in named.items() if value is None)


def choose_dataset(
    workspace: Workspace,
    argument: str | None,
    rules: str | None,
    frozen: str | None,
    *,
    given_by: Literal["argument", "build-baseline"] = "argument",
) -> DatasetChoice:
    """The hand-over's or query's id, else the rules', else the only folder in dataset/prepdata (C6).

    Raises `OutOfOrder` if the loop already runs on another one, `ProjectError` if none or an unknown one is named.
    """
    if frozen is not None and argument is not None and argument != frozen:
        raise OutOfOrder(
            f"this loop's dataset_id is {frozen!r} to its end, and {argument!r} was asked for",
            hint=f"leave dataset_id out, or start a new loop on {argument!r} in another project folder",
        )
    folders = [name for name in workspace.tree.names_following(PREPDATA) if not name.startswith(".")]
    candidates = f"{PREPDATA}/ holds {', '.join(folders)}" if folders else f"{PREPDATA}/ holds no folder"
    if argument is not None:
        choice = DatasetChoice(argument, given_by)
    elif rules is not None:
        choice = DatasetChoice(rules, "rules")
    elif len(folders) == 1:
        choice = DatasetChoice(folders[0], "only folder")
    else:
        raise ProjectError(
            f"no dataset_id is given, and {candidates}",
            hint="pass dataset_id to start_loop, or set dataset_config.dataset_id in user_defined_rules.json",
        )
    if choice.dataset_id not in folders:
        workspace.dataset(choice.dataset_id)
        raise ProjectError(
            f"there is no data set {choice.dataset_id!r}; {candidates}",
            where=f"{PREPDATA}/{choice.dataset_id}",
            hint="name one that exists, or let build-baseline prepare it",
        )
    return choice


def read_stats(workspace: Workspace, dataset_id: str) -> DatasetStats:
    """Reads stats.json, written by another program, by the usual spellings; what isn't found is None.

    Raises `ProjectError` if the file is missing or is not a JSON object.
    """
    where = f"{workspace.dataset(dataset_id)}/stats.json"
    again = "let build-baseline write it again"
    try:
        content: JsonValue = json.loads(workspace.tree.read_following(where).decode("utf-8-sig"))
    except FileNotFoundError as error:
        hint = 'build-baseline writes it; {"task_type": "classification", "num_train": 1, "num_val": 1} is enough'
        raise ProjectError("is missing", where=where, hint=hint) from error
    except (ValueError, RecursionError) as error:
        raise ProjectError(f"is not valid JSON ({error})", where=where, hint=again) from error
    if not isinstance(content, dict):
        raise ProjectError("is not a JSON object", where=where, hint=again)
    return parse_stats(content)


def held_out(folder: Path, depth: int = 3) -> tuple[Path, ...]:
    """What of a data set is its test split by the names of its files and folders: `test.npz`, `images/test`."""
    found: list[Path] = []
    for entry in sorted(folder.iterdir()) if folder.is_dir() else ():
        words = set(re.split(r"[^a-z]+", entry.name.lower()))
        splits = [split for split, names in _SPLIT_NAMES.items() if words & set(names)]
        if splits == ["test"]:
            found.append(entry)
        elif not splits and depth > 1 and entry.is_dir():
            found += held_out(entry, depth - 1)
    return tuple(found)


def parse_stats(content: Mapping[str, JsonValue]) -> DatasetStats:
    task = next((value for name in _TASK_NAMES if isinstance(value := content.get(name), str) and value.strip()), None)
    return DatasetStats(
        # A few words; it is shown to agents.
        task_type=" ".join(task.lower().split())[:_MAX_TASK_TYPE] if task else None,
        train_samples=_count(content, "train"),
        val_samples=_count(content, "val"),
    )


def _count(content: Mapping[str, JsonValue], split: Split) -> int | None:
    return next(_counts(content, split), None)


def _counts(content: Mapping[str, JsonValue], split: Split) -> Iterator[int]:
    """Every count that the file gives for a split, the most explicit spelling first."""
    for group in (*(content.get(name) for name in _GROUPS), content):
        if not isinstance(group, dict | type(content)):
            continue
        for name in _SPLIT_NAMES[split]:
            value = group.get(name)
            if isinstance(value, dict):
                yield from (n for key in _COUNT_NAMES if (n := _whole(value.get(key))) is not None)
            elif (number := _whole(value)) is not None:
                yield number
    names = "|".join(_SPLIT_NAMES[split])
    counts = "|".join(sorted((*_COUNT_NAMES, "len", "total"), key=len, reverse=True))
    flat = re.compile(rf"(?:(?:{counts})_(?:{names})|(?:{names})_(?:{counts}))")
    yield from (n for key, value in content.items() if flat.fullmatch(key.lower()) and (n := _whole(value)) is not None)


def _whole(value: JsonValue) -> int | None:
    return value if isinstance(value, int) and not isinstance(value, bool) and value >= 0 else None
