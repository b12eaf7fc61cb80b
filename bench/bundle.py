"""Makes dist/progressive-training.mcpb, the bundle that desktop clients install: `python bench/bundle.py`.

It holds the sources and says how uv starts them; uv installs what pyproject.toml needs at the first start. The host
gives uv, and asks the user for the project folder. Packs with `mcpb` (`npm install @anthropic-ai/mcpb`), which
validates the manifest first; MCPB names another command, for instance "npx @anthropic-ai/mcpb".
"""

import json
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]


def main() -> None:
    target = ROOT / "dist" / "progressive-training.mcpb"
    target.parent.mkdir(exist_ok=True)
    mcpb = shlex.split(os.environ.get("MCPB", "mcpb"))
    if shutil.which(mcpb[0]) is None:
        sys.exit(f"{mcpb[0]} is not there. Next: npm install @anthropic-ai/mcpb, or name the command in MCPB")
    with tempfile.TemporaryDirectory() as folder:
        stage(Path(folder))
        subprocess.run([*mcpb, "validate", f"{folder}/manifest.json"], check=True)
        subprocess.run([*mcpb, "pack", folder, str(target)], check=True)


def stage(folder: Path, root: Path = ROOT) -> None:
    """Everything that the package is built from, without what git ignores, and the manifest."""
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))
    for name in ("pyproject.toml", "README.md", "LICENSE"):
        shutil.copy2(root / name, folder)
    packages: dict[str, str] = project["tool"]["setuptools"]["package-dir"]
    for name in dict.fromkeys(path.split("/")[0] for path in packages.values()):
        shutil.copytree(root / name, folder / name, ignore=shutil.ignore_patterns(*_ignored(root)))
    text = json.dumps(manifest(project["project"]), indent=2)
    (folder / "manifest.json").write_text(f"{text}\n", encoding="utf-8")


def _ignored(root: Path) -> Iterator[str]:
    """The names that .gitignore gives for every folder; a path names one thing, outside the packages."""
    for line in (root / ".gitignore").read_text(encoding="utf-8").splitlines():
        name = line.strip().removesuffix("/")
        if name and "/" not in name and not name.startswith(("#", "!")):
            yield name


def manifest(project: Any) -> Any:
    start = ["run", "--directory", "${__dirname}", project["name"], "serve", "--project", "${user_config.project}"]
    return {
        "manifest_version": "0.4",
        "name": project["name"],
        "display_name": "Progressive training",
        "version": project["version"],
        "description": project["description"],
        "author": project["authors"][0],
        "license": project["license"],
        "keywords": project["keywords"],
        "server": {
            "type": "uv",
            "entry_point": "server/__main__.py",
            "mcp_config": {"command": "uv", "args": start},
        },
        "tools_generated": True,
        "prompts_generated": True,
        "compatibility": {"platforms": ["darwin", "linux"], "runtimes": {"python": project["requires-python"]}},
        "user_config": {
            "project": {
                "type": "directory",
                "title": "Project folder",
                "description": "The folder with 02_train_baseline.py and dataset/prepdata/",
                "required": True,
            }
        },
    }


if __name__ == "__main__":
    main()
