"""What is kept of a task: one small record in the project, so that any server of the project answers for it."""

import re
import secrets
from collections.abc import Mapping
from typing import Literal, get_args

from pydantic import BaseModel, JsonValue

from ...loop.project.project import Project
from ...loop.store import journal
from ...loop.store.paths import STATE, version_id
from ...loop.store.records import Record, load, save

Tool = Literal["start_loop", "run_train", "run_eval", "final_report"]
_FOLDER = f"{STATE}/tasks"
_ID = re.compile(rf"({'|'.join(get_args(Tool))})-v\d{{3,6}}-\d{{3,}}-[0-9a-f]{{32}}")


class TaskRecord(Record):
    """What a task waits for: an attempt's end, or (attempt 0) the whole report, whose running jobs are `awaited`.

    `result` stands once it is over, and then for good. `pending` is what the user was asked and has not answered, and
    `about` the digest of the change that it was about; `answered` counts the answers.
    """

    tool: Tool
    version: int
    attempt: int
    current: int
    created_at: str
    updated_at: str
    analysis: str | None = None
    stop_reason: str | None = None
    then_evaluate: bool = False
    brief: bool = False
    awaited: tuple[str, ...] = ()
    status: Literal["working", "completed", "cancelled"] = "working"
    result: dict[str, JsonValue] | None = None
    pending: Literal["rules", "protocol"] | None = None
    about: str = ""
    answered: int = 0
    declined: bool = False

    @property
    def question(self) -> str:
        """The key of the outstanding question; no two questions of a task share one."""
        return f"user_decision_{self.answered + 1}_{self.about}"


class ToldArguments(BaseModel):
    """The arguments of final_report, and those of run_train, which each look at its task repeats."""

    analysis: str | None = None
    stop_reason: str | None = None
    then_evaluate: bool = False
    brief: bool = False


class TaskRecords:
    """The tasks of one project. Each method raises `ProjectError` for a record that is damaged."""

    def __init__(self, project: Project) -> None:
        self._project = project

    def load(self, task_id: str) -> TaskRecord | None:
        """None for an id that no task of this project has."""
        return load(self._project.workspace.tree, _where(task_id), TaskRecord) if _ID.fullmatch(task_id) else None

    def change(self, task_id: str, record: TaskRecord, change: Mapping[str, object]) -> TaskRecord:
        """The record as it is kept from now on: changed, unless somebody else has ended the task in the meantime."""
        with self._project.mutation():
            kept = self.load(task_id) or record
            if kept.status == "working":
                kept = kept.model_copy(update=change)
                save(self._project.workspace.tree, _where(task_id), kept)
            return kept

    def of(
        self,
        tool: Tool,
        version: int,
        attempt: int,
        given: ToldArguments,
        *,
        current: int,
        awaited: tuple[str, ...] = (),
    ) -> tuple[str, TaskRecord]:
        """The task that waits for this attempt, with the present arguments, or a new one; its id and record."""
        tree = self._project.workspace.tree
        with self._project.mutation():
            prefix = f"{tool}-{version_id(version)}-{attempt:03d}-"
            for name in tree.names(_FOLDER):
                known = name.removesuffix(".json")
                record = self.load(known) if known.startswith(prefix) else None
                if record is not None and record.status == "working":
                    record = record.model_copy(update=given.model_dump())
                    save(tree, _where(known), record)
                    return known, record
            now = journal.now()
            record = TaskRecord(
                tool=tool,
                version=version,
                attempt=attempt,
                current=current,
                created_at=now,
                updated_at=now,
                **given.model_dump(),
                awaited=awaited,
            )
            # Nobody can guess another's task: half of the id is chance.
            task_id = f"{prefix}{secrets.token_hex(16)}"
            save(tree, _where(task_id), record)
            return task_id, record


def _where(task_id: str) -> str:
    return f"{_FOLDER}/{task_id}.json"
