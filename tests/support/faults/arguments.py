"""What an agent would say at each Step of a loop over the stub scripts of support.projects."""

import re
from pathlib import Path
from typing import Any

from ..projects import ACTION, ANALYSIS, diff, edited


def arguments_for(root: Path, tool: str, version: int | None) -> dict[str, Any]:
    """Arguments with which the one legal call succeeds."""
    if version is None:
        return {}
    match tool:
        case "write_analysis":
            more = ANALYSIS
        case "write_action":
            more = ACTION
        case "author_next_version":
            more = {"diff": next_diff(root, version)}
        case "repair_version":
            more = repair(root, version)
        case _:
            more = {}
    return {"version": version, **more}


def next_diff(root: Path, version: int, rate: str | None = None) -> str:
    """Another learning rate than the version's: 0.5 for v002, then a little above."""
    name = f"02_train_v{version:03d}.py"
    text = (root / name).read_text(encoding="utf-8")
    line = re.search(r"^LEARNING_RATE = .*$", text, re.MULTILINE)
    assert line is not None, f"{name} has a learning rate"
    rate = rate or ("0.5" if version == 1 else f"0.5{version:04d}")
    return diff(text, edited(text, (line[0], f"LEARNING_RATE = {rate}")), name)


def repair(root: Path, version: int) -> dict[str, str]:
    name = f"02_train_v{version:03d}.py"
    text = (root / name).read_text(encoding="utf-8")
    return {
        "diff": diff(text, edited(text, ("rows = fitt()", "rows = fit()")), name),
        "root_cause": "a typing error",
        "change_summary": "typed again",
    }
