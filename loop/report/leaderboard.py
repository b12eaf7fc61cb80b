"""Makes Models/Report/<time>/leaderboard.csv anew from the eval_score.json of every version and external model.

Run it in the project's root: `python 04_final_report.py` rewrites the newest report's leaderboard, `--out FILE` writes
another one. It needs pandas and nothing else; this file is a copy of what the progressive-training server itself uses.
"""

from __future__ import annotations

import argparse
import json
import math
import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

COLUMNS = ["version_id", "dataset_id", "created_at", "latency_ms", "artifact_relpath"]
EXTERNAL = Path("Models", "external")
# No name for a row: one of a version, which it would be taken for, and one that is no text.
NO_NAME = re.compile(r"v[0-9]{3,}|.*[\ud800-\udfff].*", re.DOTALL)
# What the loop ranked by; it holds where the project has no user_defined_rules.json of its own.
PRIMARY_METRIC = "loss"
# The loop's versions whose artifacts were there; a script that is named like one and no Step made is none.
VERSIONS: tuple[str, ...] = ()
# Those of them that were measured by other targets than the first: they rank last, since nothing compares with them.
APART: tuple[str, ...] = ()


def primary_metric(project: Path) -> str:
    """`eval_config.primary_metric` of user_defined_rules.json; "loss" where the user named none."""
    rules = project / "user_defined_rules.json"
    if not rules.is_file():
        return PRIMARY_METRIC
    content: dict[str, Any] = json.loads(rules.read_text(encoding="utf-8-sig"))
    return str(content.get("eval_config", {}).get("primary_metric", "loss"))


def read_rows(project: Path, versions: Sequence[str]) -> list[dict[str, Any]]:
    """One row for each of these versions, then one for each folder of Models/external/, by name.

    A row has its columns, and "metrics" as eval_score.json has them.
    """
    artifacts = project / "Models" / "Artifacts"
    rows = [read_row(artifacts / name) for name in versions]
    models = [read_row(artifacts / "external" / folder.name) for folder in external_folders(project)]
    return [*rows, *({**row, "external": project / EXTERNAL / row["version_id"]} for row in models)]


def external_folders(project: Path) -> list[Path]:
    """The external models, by name; a folder whose name can't be a row's is left out."""
    place = project / EXTERNAL
    found = sorted(place.iterdir()) if place.is_dir() else []
    named = [folder for folder in found if folder.is_dir() and not folder.name.startswith((".", "__"))]
    return [folder for folder in named if not NO_NAME.fullmatch(folder.name)]


def read_row(folder: Path) -> dict[str, Any]:
    """A version without a score has empty cells."""
    content = read_score(folder / "eval_score.json")
    row = {name: content.get(name) for name in COLUMNS[1:4]}
    return {"version_id": folder.name, **row, "metrics": content.get("metrics", []), "folder": folder}


def read_score(file: Path) -> dict[str, Any]:
    """The content of eval_score.json; nothing where there is none that can be read."""
    try:
        content = json.loads(file.read_text(encoding="utf-8-sig"))
        sound = all(math.isfinite(metric["value"]) and "higher_is_better" in metric for metric in content["metrics"])
        return content if sound and all("name" in metric for metric in content["metrics"]) else {}
    except (OSError, ValueError, KeyError, TypeError):
        return {}


def metric_columns(metrics: list[dict[str, Any]]) -> dict[str, float]:
    """`metric__name`; a name that stands there again is `metric__name__2` and so on."""
    columns: dict[str, float] = {}
    seen: dict[str, int] = {}
    for metric in metrics:
        name = str(metric["name"])
        seen[name] = seen.get(name, 0) + 1
        suffix = f"__{seen[name]}" if seen[name] > 1 else ""
        columns[f"metric__{name}{suffix}"] = metric["value"]
    return columns


def rank(rows: list[dict[str, Any]], primary: str, apart: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Best first, by the primary metric in its own direction; rows without it, and those `apart`, last; equals in
    version order."""

    def key(row: dict[str, Any]) -> tuple[bool, float]:
        metric = next((metric for metric in row["metrics"] if metric["name"] == primary), None)
        if metric is None or row["version_id"] in apart:
            return True, 0.0
        return False, -metric["value"] if metric["higher_is_better"] else metric["value"]

    return sorted(rows, key=key)


def best_version(ranked: list[dict[str, Any]], primary: str, apart: Sequence[str] = ()) -> str | None:
    """The version that ranks first with the primary metric; external models may stand above it."""
    versions = [row for row in ranked if "external" not in row and row["version_id"] not in apart]
    if versions and any(metric["name"] == primary for metric in versions[0]["metrics"]):
        return str(versions[0]["version_id"])
    return None


def write_leaderboard(
    project: Path, report: Path, out: Path, primary: str, versions: Sequence[str], apart: Sequence[str] = ()
) -> list[dict[str, Any]]:
    """Writes the table to `out`; its paths are relative to the folder `report`. Returns the ranked rows.

    The best version's copy of its checkpoint is named where it lies beside `out`.
    """
    import pandas as pd  # pyright: ignore[reportMissingTypeStubs]

    ranked = rank(read_rows(project, versions), primary, apart)
    best = best_version(ranked, primary, apart)
    copied = best if best and (out.parent / "Artifacts" / best / "best.ckpt").is_file() else None
    table = [
        {**{name: row.get(name) for name in COLUMNS[:4]}, "artifact_relpath": relative_checkpoint(row, report, copied)}
        | metric_columns(row["metrics"])
        for row in ranked
    ]
    metrics = dict.fromkeys(name for row in table for name in row if name.startswith("metric__"))
    frame = pd.DataFrame(table, columns=[*COLUMNS, *metrics])
    frame.to_csv(out, index=False, lineterminator="\n")  # pyright: ignore[reportUnknownMemberType]
    return ranked


def relative_checkpoint(row: dict[str, Any], report: Path, copied: str | None) -> str | None:
    """The report's copy of the version `copied`, else its own best.ckpt, or none; the folder of an external model."""
    if "external" in row:
        return Path(os.path.relpath(row["external"], report)).as_posix()
    if row["version_id"] == copied:
        return f"Artifacts/{copied}/best.ckpt"
    if not (row["folder"] / "best.ckpt").is_file():
        return None
    return Path(os.path.relpath(row["folder"] / "best.ckpt", report)).as_posix()


def newest_report(project: Path) -> Path:
    reports = sorted(folder for folder in (project / "Models" / "Report").glob("*") if folder.is_dir())
    if not reports:
        sys.exit("04_final_report.py: there is no folder in Models/Report/ yet; pass --out FILE")
    return reports[-1]


def main() -> None:
    parser = argparse.ArgumentParser(description="Regenerate leaderboard.csv from every eval_score.json.")
    parser.add_argument("--project", type=Path, default=Path(__file__).resolve().parent)
    parser.add_argument("--out", type=Path, help="default: leaderboard.csv of the newest report")
    arguments = parser.parse_args()
    project = arguments.project.resolve()
    report = arguments.out.resolve().parent if arguments.out else newest_report(project)
    out = arguments.out or report / "leaderboard.csv"
    write_leaderboard(project, report, out, primary_metric(project), VERSIONS, APART)
    sys.stdout.write(f"{out}\n")


if __name__ == "__main__":
    main()
