"""A real loop in which nothing changes: versions that differ only in an unused constant; no gain may be significant.

    python bench/real_null_loop.py [--versions 20]

Trains the digits example once a version. With a fixed seed the versions are the same model, so `--reseed` changes the
seed instead (the rules of this copy don't fix it), which is what a retraining by chance looks like.
"""

import argparse
import json
import shutil
import tempfile
from collections import Counter
from pathlib import Path

from progressive_training.loop.author.patch import unified_diff
from progressive_training.loop.judge.labels import recorded
from progressive_training.loop.project.project import Project
from progressive_training.loop.project.version import Version
from progressive_training.tools import (
    author_next_version,
    run_eval,
    run_train,
    start_loop,
    write_action,
    write_analysis,
)

EXAMPLE = Path(__file__).resolve().parent.parent / "examples" / "digits"


def prepare(folder: Path, versions: int, *, reseed: bool) -> Project:
    shutil.copytree(EXAMPLE, folder, symlinks=False)
    rules = json.loads((folder / "user_defined_rules.json").read_text())
    rules["loop_config"]["max_versions"] = versions
    rules["rehearse"] = False
    if reseed:
        del rules["seed"]
    (folder / "user_defined_rules.json").write_text(json.dumps(rules))
    script = folder / "02_train_baseline.py"
    script.write_text(script.read_text().replace("SEED = 42\n", "SEED = 42\nUNUSED = 0\n"))
    return Project(folder)


def finish(project: Project, step: object, version: int) -> None:
    """Calls the Step until its job is done."""
    while True:
        result = step(project, version)  # type: ignore[operator]
        if result.state == "failed":
            raise SystemExit(result.message)
        if result.state == "done":
            return


def next_version(project: Project, version: int, *, reseed: bool) -> None:
    symbol, old, new = ("SEED", 41 + version, 42 + version) if reseed else ("UNUSED", version - 1, version)
    write_analysis(project, version, "Nothing changed.", "The scores.", ["Chance."], ["Nothing."])
    write_action(project, version, "Change nothing that counts.", f"{symbol} = {new}", [symbol], "none", "none", "none")
    text = (project.root / project.workspace.script(version)).read_text()
    changed = text.replace(f"{symbol} = {old}\n", f"{symbol} = {new}\n")
    author_next_version(project, version, unified_diff(text, changed, name=project.workspace.script(version)))


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--versions", type=int, default=20)
    parser.add_argument("--reseed", action="store_true", help="change the seed in place of the unused constant")
    arguments = parser.parse_args()
    labels: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as folder:
        project = prepare(Path(folder) / "null loop", arguments.versions, reseed=arguments.reseed)
        start_loop(project)
        for version in range(1, arguments.versions + 1):
            finish(project, run_train, version)
            finish(project, run_eval, version)
            labels.update(f"{one.metric}: {one.label}" for one in recorded(Version(project, version)))
            if version < arguments.versions:
                next_version(project, version, reseed=arguments.reseed)
    what = "seed" if arguments.reseed else "unused constant"
    print(f"{arguments.versions} versions that differ in their {what} only; comparisons by label:")
    for name, count in sorted(labels.items()):
        print(f"  {name:<28} {count}")


if __name__ == "__main__":
    main()
