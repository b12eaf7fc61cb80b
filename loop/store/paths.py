"""Every path and every id of a project, in one place."""

import os
import re
from pathlib import Path

from ..errors import LoopError, ProjectError
from .tree import Tree

BASELINE = "baseline"
RULES_FILE = "user_defined_rules.json"
INSTRUCTION_FILE = "user_instruction.md"
BASELINE_SCRIPT = "02_train_baseline.py"
EVAL_SCRIPT = "03_eval.py"
EVALUATOR_PARTS = "evaluator_parts"
"""The folder of its machinery, beside it."""
REPORT_SCRIPT = "04_final_report.py"
ANALYSIS_FILE = "result-analysis.md"
ACTION_FILE = "action-extract.md"
ARTIFACTS = "Models/Artifacts"
EXTERNAL = "Models/external"
REPORTS = "Models/Report"
PREPDATA = "dataset/prepdata"
STATE = ".progressive-training"
TRACKING = f"{STATE}/tracking"
NOTIFICATIONS = f"{STATE}/notifications"

_SCRIPT_NAME = re.compile(r"02_train_(v[0-9]{3,})\.py")
_VERSION_ID = re.compile(r"v([0-9]{3}|[1-9][0-9]{3,})")
_DATASET_ID = re.compile(r"[^\s/\\\0.][^/\\\0]{0,199}")
MAX_VERSION = 999_999


class _Versions(tuple[int, ...]):
    """What `Tree.known` keeps of the root folder."""

    __slots__ = ()


def version_id(cur: int) -> str:
    """`v001` for 1; v1000 and up keep all their digits (C5). Raises `LoopError` outside 1 … 999,999."""
    if isinstance(cur, bool) or not 1 <= cur <= MAX_VERSION:
        raise LoopError(f"version {cur!r} is not a whole number from 1 to {MAX_VERSION}", hint="call next_step")
    return f"v{cur:03d}"


def version_number(text: str) -> int | None:
    """1 for `v001`; None for anything that is not exactly a version id."""
    match = _VERSION_ID.fullmatch(text)
    number = int(match[1]) if match else 0
    return number or None


def check_dataset_id(dataset_id: str) -> str:
    """The same id. Raises `ProjectError` if it is not the name of one folder."""
    if not _DATASET_ID.fullmatch(dataset_id) or dataset_id != dataset_id.strip():
        raise ProjectError(
            f"dataset_id {dataset_id!r} is not a folder name",
            hint=f"give the name of one folder in {PREPDATA}/, for example v1",
        )
    return dataset_id


class Workspace:
    """A project folder: where each thing of the loop lies, relative to its root."""

    def __init__(self, root: Path) -> None:
        """Raises `ProjectError` if `root` is not a folder."""
        if not root.is_dir():
            raise ProjectError("there is no such project folder", where=str(root), hint="give --project a folder")
        # Resolved once: the project itself may be reached through a link, what lies in it may not.
        self.root = root.resolve()
        self.tree = Tree(self.root)

    # What the user sees.
    def script(self, cur: int) -> str:
        return f"02_train_{version_id(cur)}.py"

    def artifacts(self, cur: int) -> str:
        return f"{ARTIFACTS}/{version_id(cur)}"

    def retry_report(self, cur: int) -> str:
        return f"{self.artifacts(cur)}/_tests/train_retry_report.md"

    def dataset(self, dataset_id: str) -> str:
        return f"{PREPDATA}/{check_dataset_id(dataset_id)}"

    def numbered_scripts(self) -> list[int]:
        """The numbers of all 02_train_vNNN.py in the root, ascending; those of the loop are `Project.versions`."""
        stamp = self.tree.known.stamp(".")
        if (known := self.tree.known.recall(".", _Versions, stamp)) is not None:
            return list(known)
        found = sorted(
            number
            for name in os.listdir(self.root)  # noqa: PTH208 - names are all that is wanted, a thousand at times
            if (match := _SCRIPT_NAME.fullmatch(name)) and (number := version_number(match[1]))
        )
        self.tree.known.keep(".", _Versions(found), stamp)
        return found

    # The server's own state.
    def receipt(self, cur: int, step: str) -> str:
        return f"{STATE}/receipts/{version_id(cur)}/{step}.json"

    def receipts(self, cur: int) -> str:
        return f"{STATE}/receipts/{version_id(cur)}"

    def attempts(self, cur: int) -> str:
        return f"{STATE}/attempts/{version_id(cur)}"

    def snapshot(self, cur: int) -> str:
        return f"{STATE}/snapshots/{version_id(cur)}"

    def sample_scores(self, cur: int) -> str:
        return f"{STATE}/scores/{version_id(cur)}/samples.jsonl"

    loop_file = f"{STATE}/loop.json"
    journal = f"{STATE}/journal.jsonl"
    lock = f"{STATE}/lock"
    lock_owner = f"{STATE}/lock.owner"
    trash = f"{STATE}/trash"
    resume = f"{STATE}/resume"
    staging = f"{STATE}/staging"
    authored = f"{STATE}/authored"
