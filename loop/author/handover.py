"""What a finished build-baseline hands over: all of its outputs, a test that passed, the data set (C6, C8, I1)."""

import re
from collections.abc import Mapping

from ..errors import ProjectError, Unreadable, UnsafePath
from ..store.leftovers.reading import as_object, read
from ..store.paths import BASELINE_SCRIPT, Workspace
from ..store.tree import Tree
from .baseline import BASELINE_FOLDER, SMOKE_REPORT

SPEC = f"{BASELINE_FOLDER}/spec.json"
_FAILED = re.compile(r"^\W*status\W+(?:FAIL|ERROR)\w*", re.IGNORECASE | re.MULTILINE)


def handed_over(workspace: Workspace, dataset_id: str | None, *, started: bool) -> str | None:
    """The data set of the hand-over: the caller's, else the one in spec.json; None if neither names one.

    Before the loop is `started`, build-baseline's outputs must be there and its smoke test not have failed.
    Raises `ProjectError` that names everything that is missing, or if caller and spec.json name two data sets.
    """
    if started:
        return dataset_id or _trained_on(workspace)
    _require_outputs(workspace)
    trained_on = _trained_on(workspace)
    if None not in (dataset_id, trained_on) and dataset_id != trained_on:
        raise ProjectError(
            f"the baseline was trained on data set {trained_on!r}, and {dataset_id!r} was handed over",
            where=SPEC,
            hint=f"hand over {trained_on!r}, or let build-baseline make a baseline for {dataset_id!r}",
        )
    return dataset_id or trained_on


def _trained_on(workspace: Workspace) -> str | None:
    found = _spec(workspace.tree)
    named = found.get("dataset_id") if found is not None else None
    return named if isinstance(named, str) and named else None


def _spec(tree: Tree) -> Mapping[str, object] | None:
    """The baseline's spec.json; None where it is no JSON object."""
    try:
        return as_object(read(tree, "json", SPEC))
    except (FileNotFoundError, UnsafePath, Unreadable):
        return None


def _require_outputs(workspace: Workspace) -> None:
    tree = workspace.tree
    lacking = [name for name in (BASELINE_SCRIPT, SPEC, SMOKE_REPORT) if not tree.is_file(name)]
    if SPEC not in lacking and _spec(tree) is None:
        lacking.append(f"{SPEC} as a JSON object")
    if lacking:
        raise ProjectError(
            f"build-baseline has not handed over; missing: {', '.join(lacking)}",
            where=str(workspace.root),
            hint="let build-baseline run to its end; a baseline of your own starts without --from-baseline",
        )
    if _FAILED.search(tree.read(SMOKE_REPORT).decode(errors="replace")):
        raise ProjectError(
            "says that the baseline's smoke test failed, so there is nothing to improve on yet",
            where=SMOKE_REPORT,
            hint="let build-baseline repair the baseline and test it again",
        )
