"""Loops in projects that lie on several file systems: run in a mount namespace of its own (`unshare -m`), as root.

    python mounted_loops.py FOLDER

Prints a line of JSON for each layout: what came of the loop, and what the doctor says.
"""

import asyncio
import json
import subprocess
import sys
from dataclasses import asdict
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from progressive_training.loop.jobs.job import JobStatus, Outcome
from progressive_training.loop.store.paths import Workspace
from progressive_training.server.cli.doctor import mount_checks
from support.instant import Instant
from support.projects import EVALUATOR, Folder, connected, make_project

_V001 = "Models/Artifacts/v001"
_LAYOUTS = {
    "a version's own folder is a mount": [("tmpfs", _V001)],
    "everything apart": [("tmpfs", "Models"), ("bind", ".progressive-training"), ("tmpfs", "Models/Report")],
    "an overlay": [("overlay", ".")],
}


class KilledOnce(Instant):
    """The first training is killed from outside, so that what it left is kept and its folder is wiped."""

    def poll(self, attempt: Path) -> JobStatus:
        if attempt.name == "train-001":
            outcome = Outcome(None, 9, "SIGKILL", "exited", 0.1, 0.1, 1, (), None, None, log_truncated=False)
            return JobStatus("finished", outcome, 0.1)
        return super().poll(attempt)


def _mount(kind: str, place: Path, beside: Path) -> None:
    place.mkdir(parents=True, exist_ok=True)
    beside.mkdir(parents=True)
    if kind == "tmpfs":
        command = ["mount", "-t", "tmpfs", "tmpfs", str(place)]
    elif kind == "bind":
        command = ["mount", "--bind", str(beside), str(place)]
    else:
        subprocess.run(["mount", "-t", "tmpfs", "tmpfs", str(beside)], check=True)
        for name in ("upper", "work"):
            (beside / name).mkdir()
        layers = f"lowerdir={place},upperdir={beside}/upper,workdir={beside}/work"
        command = ["mount", "-t", "overlay", "overlay", "-o", layers, str(place)]
    subprocess.run(command, check=True)


async def _loop(folder: Folder) -> dict[str, Any]:
    async with connected(folder, executor=KilledOnce()) as agent:
        await agent.call("start_loop")
        killed = await agent.call("run_train", version=1)
        kept = folder.path(".progressive-training/resume/v001/last.ckpt").is_file()
        trained = await agent.call("run_train", version=1)
        await agent.call("write_eval", source=EVALUATOR)
        scored = await agent.call("run_eval", version=1)
        report = await agent.call("final_report", stop_reason="enough")
    bundle = folder.path(f"{report['folder']}/Artifacts/v001")
    return {
        "states": [killed["failure"]["kind"], trained["state"], scored["state"], report["state"]],
        "kept": kept,
        "wiped": folder.path(".progressive-training/trash/v001-train-001/spec.json").is_file(),
        "shown": folder.path(f"{_V001}/infer_samples/0001/input.json").is_file(),
        "bundle": sorted(path.name for path in bundle.iterdir()),
        "left over": [str(path) for path in folder.root.rglob(".staging-*")],
    }


def main() -> None:
    root = Path(sys.argv[1])
    for number, (name, layout) in enumerate(_LAYOUTS.items()):
        folder = make_project(root / str(number) / "나의 project")
        folder.path(f"{_V001}/older").mkdir(parents=True)  # on an overlay a folder of the lower layer
        for at, (kind, place) in enumerate(layout):
            _mount(kind, folder.path(place) if place != "." else folder.root, root / f"{number} beside {at}")
        told = [asdict(one) for one in mount_checks(Workspace(folder.root))]
        sys.stdout.write(json.dumps({"name": name, **asyncio.run(_loop(folder)), "doctor": told}) + "\n")


if __name__ == "__main__":
    main()
