"""The digits example, driven to its report by the built-in agent, wherever its jobs run."""

import json
import shutil
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from typing import Any

from support.e2e import cli
from support.projects import Folder

Scores = dict[str, dict[str, float]]


def digits(root: Path, versions: int, execution: Mapping[str, Any], *, patience: float = 600) -> Scores:
    """Makes the project at `root`, runs its loop, and returns every version's metrics."""
    with resources.as_file(resources.files("progressive_training.examples").joinpath("digits")) as files:
        shutil.copytree(files, root, symlinks=False, ignore=shutil.ignore_patterns("__pycache__"))
    path = root / "user_defined_rules.json"
    rules = json.loads(path.read_text(encoding="utf-8"))
    rules["loop_config"]["max_versions"] = versions
    rules["execution_config"] = dict(execution)
    rules["rehearse"] = False
    path.write_text(json.dumps(rules), encoding="utf-8")
    ran = cli(root, "run", "--quiet", patience=patience)
    assert ran.code == 0, ran.err
    folder = Folder(root)
    scored = sorted(root.glob("Models/Artifacts/v*/eval_score.json"))
    return {
        score.parent.name: {
            metric["name"]: metric["value"] for metric in folder.json(str(score.relative_to(root)))["metrics"]
        }
        for score in scored
    }
