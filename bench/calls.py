"""Calls and tokens (characters / 4, both ways) that one version costs: single Steps with their briefs, and one call.

python bench/calls.py

A scripted loop on the digits example with real trainings: v001 is scored, then v002 is made from it and scored. The
documents and the diff are the same both ways; a call that waits again counts as a call.
"""

import json
import shutil
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import anyio
from mcp import Client
from tokens import ROOT, tokens

from progressive_training.loop.project.project import Project
from progressive_training.server.app import build_server

ANALYSIS = {
    "summary": "The first version is scored; its losses still fall in the last epoch.",
    "evidence": "The curves fall to the end, for training and validation alike.",
    "hypotheses": ["The steps are too small for the fixed epochs."],
    "next_focus_candidates": ["a higher learning rate"],
}
MOST_CALLS, MOST_SHARE = 3, 0.6


class Counting:
    """A client that counts calls, and the tokens of what is sent and read."""

    def __init__(self, client: Client) -> None:
        self._client, self.calls, self.spent = client, 0, 0

    async def call(self, name: str, **given: Any) -> dict[str, Any]:
        result = await self._client.call_tool(name, given)
        shown = result.structured_content or {}
        if result.is_error:
            raise SystemExit(f"{name} was refused: {shown}")
        self.calls, self.spent = self.calls + 1, self.spent + tokens(given) + tokens(shown)
        return shown

    async def finished(self, name: str, **given: Any) -> dict[str, Any]:
        while (result := await self.call(name, **given, wait_seconds=45))["state"] == "running":
            pass
        if result["state"] == "failed":
            raise SystemExit(f"{name} failed: {result}")
        return result


async def version(project: Project, action: dict[str, Any], diff: str, *, whole: bool) -> tuple[int, int]:
    async with Client(build_server(project)) as client:
        begin, loop = Counting(client), Counting(client)
        await begin.finished("start_loop")
        await begin.finished("run_train", version=1, then_evaluate=True)
        if whole:
            # The brief of v001 counts to it: in the loop each version's call returns the next one's.
            given = {"version": 1, "analysis": ANALYSIS, "action": action, "diff": diff, "train": True}
            result = await loop.call("author_next_version", **given, wait_seconds=45)
            while result["state"] == "running":
                result = await loop.call("run_train", version=2, then_evaluate=True, brief=True, wait_seconds=45)
            return loop.calls, loop.spent
        await loop.call("next_step")
        await loop.call("write_analysis", version=1, **ANALYSIS)
        await loop.call("next_step")
        await loop.call("write_action", version=1, **action)
        await loop.call("next_step")
        await loop.call("author_next_version", version=1, diff=diff)
        await loop.finished("run_train", version=2)
        await loop.finished("run_eval", version=2)
        return loop.calls, loop.spent


def main() -> int:
    found = list[tuple[int, int]]()
    for whole in (False, True):
        with tempfile.TemporaryDirectory() as folder:
            root = Path(folder) / "digits"
            shutil.copytree(ROOT / "examples" / "digits", root)
            rules = json.loads((root / "user_defined_rules.json").read_text())
            rules["rehearse"], rules["loop_config"]["max_versions"] = False, 4
            (root / "user_defined_rules.json").unlink()
            (root / "user_defined_rules.json").write_text(json.dumps(rules))
            text = (root / "02_train_baseline.py").read_text()
            line = next(one for one in text.splitlines() if one.startswith("LEARNING_RATE = "))
            diff = f"<<<<<<< SEARCH\n{line}\n=======\nLEARNING_RATE = 0.004\n>>>>>>> REPLACE\n"
            action = {
                "goal": "Come further in the fixed epochs",
                "change": f"{line} becomes 0.004",
                "where": ["LEARNING_RATE"],
                "expected_impact": "accuracy rises",
                "risk": "it may overshoot",
                "verification": "the loss is lower in every epoch",
            }
            found.append(anyio.run(partial(version, Project(root), action, diff, whole=whole)))
    (calls, spent), (few, less) = found
    print("| a version | calls | tokens |\n|---|---|---|")
    print(f"| single Steps, with their briefs | {calls} | {spent:,} |\n| one call | {few} | {less:,} |")
    print(f"tokens: {less / spent:.2f} × (at most {MOST_SHARE}), calls: {few} (at most {MOST_CALLS})")
    return 0 if few <= MOST_CALLS and less <= MOST_SHARE * spent else 1


if __name__ == "__main__":
    sys.exit(main())
