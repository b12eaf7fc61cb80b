"""A version: one script of the loop, with its receipts, its attempts and its artifacts."""

import hashlib
from collections.abc import Generator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

from pydantic import JsonValue

from ..errors import GuardError, LoopError, ProjectError
from ..script.config_files import versions_copies
from ..script.imports import code_files
from ..script.source import Script, decode_script
from ..store import journal
from ..store.digest import sha256
from ..store.paths import version_id
from ..store.records import R, Record, load, save
from .attempts import Attempt, JobKind, numbers_of, submitted_whole
from .project import Project
from .receipts import (
    ActionReceipt,
    AnalysisReceipt,
    EvalReceipt,
    NextReceipt,
    RehearsalReceipt,
    StartReceipt,
    TrainReceipt,
)

EDITED = "was edited outside the loop, so nobody checked the change"

_RECEIPTS: Mapping[type[Record], Literal["start", "rehearsal", "train", "eval", "analysis", "action", "next"]] = {
    StartReceipt: "start",
    RehearsalReceipt: "rehearsal",
    TrainReceipt: "train",
    EvalReceipt: "eval",
    AnalysisReceipt: "analysis",
    ActionReceipt: "action",
    NextReceipt: "next",
}


@dataclass(frozen=True)
class Version:
    """Version `number` of a project, whether anything of it exists or not; whatever can change is read when asked for.

    Paths are relative to the project. Raises `LoopError` at the first use of a number outside 1 … 999,999.
    """

    project: Project
    number: int

    @cached_property
    def id(self) -> str:
        return version_id(self.number)

    @property
    def parent(self) -> "Version | None":
        """The version that this one was made from by one action; None for the first."""
        return Version(self.project, self.number - 1) if self.number > 1 else None

    @property
    def child(self) -> "Version":
        """The version that one action makes from this one, whether it exists or not."""
        return Version(self.project, self.number + 1)

    @property
    def script_name(self) -> str:
        return self.project.workspace.script(self.number)

    @property
    def artifacts(self) -> str:
        return self.project.workspace.artifacts(self.number)

    @property
    def snapshot(self) -> str:
        return self.project.workspace.snapshot(self.number)

    def script(self, *, authored: bool = True) -> Script:
        """The version's script, decoded and parsed; where it is gone, the text that the loop keeps of it.

        Raises `ScriptError` with the line and column of what can't be read, `ProjectError` where no text is left, and
        `GuardError` for a script that was edited outside the loop. Pages and briefs, which show what is there, get that
        one too, by `authored=False`.
        """
        tree = self.project.workspace.tree
        data = tree.read(self.script_name) if tree.kind(self.script_name) is not None else self.require_kept()
        if authored:
            self._require_authored(data)
        return _parsed(data, self.script_name)

    @property
    def is_edited(self) -> bool:
        """Whether something else lies in the script's place than the loop made; not so where nothing does."""
        tree, expected = self.project.workspace.tree, self.authored_sha256()
        if expected is None:
            return False
        try:
            return sha256(tree, self.script_name) != expected
        except FileNotFoundError:
            return False
        except LoopError:  # a link, a folder
            return True

    def kept(self) -> bytes | None:
        """The script as the loop made it, from what the loop keeps; None where that is gone or isn't it any more."""
        workspace, expected = self.project.workspace, self.authored_sha256()
        for place in (f"{workspace.authored}/{self.script_name}", f"{self.snapshot}/{self.script_name}"):
            if workspace.tree.is_file(place):
                data = workspace.tree.read(place)
                if hashlib.sha256(data).hexdigest() == expected:
                    return data
        return None

    def require_kept(self) -> bytes:
        """Like `kept`. Raises `ProjectError` where nothing is left."""
        if (data := self.kept()) is not None:
            return data
        made_by, again = self.project.workspace.loop_file, "start_loop"
        if self.parent is not None and self.parent.receipt(NextReceipt) is not None:
            made_by, again = self.parent.receipt_file(NextReceipt), "author_next_version"
        raise ProjectError(
            "is gone, and no copy of it is kept",
            where=self.script_name,
            hint=f"put it back, or delete {made_by}: {again} then makes it again",
        )

    def module(self, name: str) -> Script:
        """The local module with this path below the project. Raises `ScriptError` like `script`."""
        return _parsed(self.project.workspace.tree.read(name), name)

    def code_files(self) -> tuple[str, ...]:
        """The paths of the script and of every local module that it imports. Raises `ScriptError`."""
        return code_files(self.script_name, self.project.workspace.root)

    def config_copies(self) -> tuple[str, ...]:
        """The settings files of a version's own name that the code reads, `config_v001.yaml`. Raises `ScriptError`."""
        scripts = [self.script(authored=False), *map(self.module, self.code_files()[1:])]
        found = (name for script in scripts for name in versions_copies(script, self.project.workspace.root))
        return tuple(dict.fromkeys(found))

    def _require_authored(self, data: bytes) -> None:
        expected = self.authored_sha256()
        if expected is None or hashlib.sha256(data).hexdigest() == expected:
            return
        raise GuardError(f"{EDITED} against the action and the rules", where=self.script_name, hint=self.way_back())

    def way_back(self) -> str:
        """What to do about an edited script that isn't to be adopted."""
        kept = f"{self.project.workspace.authored}/{self.script_name}"
        return f"copy {kept} back over {self.script_name}; changes go through repair_version or the next action"

    def authored_sha256(self) -> str | None:
        """The hash that the script must have; None for one that was there before the loop, until it is trained."""
        if trained := self.receipt(TrainReceipt):
            return trained.script_sha256
        for attempt in reversed((*self.attempts("rehearse"), *self.attempts("train"))):
            if (repair := attempt.repair) and (repaired := repair.files.get(self.script_name)):
                return repaired
        if self.parent and (authored := self.parent.receipt(NextReceipt)):
            return authored.script_sha256
        start = self.receipt(StartReceipt)
        return start.script_sha256 if start else None

    def gone(self, *names: str) -> tuple[str, ...]:
        """Which of these files its training left and are there no more: by default what it is scored by.

        Empty for one that isn't trained. What lies there need not be what was trained.
        """
        if self.receipt(TrainReceipt) is None:
            return ()
        tree = self.project.workspace.tree
        wanted = names or ("best.ckpt", "last.ckpt")
        return tuple(name for name in wanted if tree.known.stamp(f"{self.artifacts}/{name}") is None)

    def receipt(self, kind: type[R]) -> R | None:
        """What the Step of this kind left, or None before it is done. Raises `ProjectError` for a damaged receipt."""
        return load(self.project.workspace.tree, self.receipt_file(kind), kind)

    def save(self, receipt: Record) -> None:
        """Writes the receipt, which says that its Step is done. Write everything else of that Step before."""
        save(self.project.workspace.tree, self.receipt_file(type(receipt)), receipt)

    def record(self, event: journal.EventName, **details: JsonValue) -> None:
        """Writes an event of this version into the journal."""
        journal.record(self.project.workspace, event, self.id, **details)

    def receipt_file(self, kind: type[Record]) -> str:
        """Where that receipt lies."""
        return self.project.workspace.receipt(self.number, _RECEIPTS[kind])

    def attempts(self, kind: JobKind) -> list[Attempt]:
        """Every attempt of one kind, oldest first."""
        names = self.project.workspace.tree.names(self.project.workspace.attempts(self.number))
        return [self.attempt(kind, number) for number in numbers_of(kind, names)]

    def attempt(self, kind: JobKind, number: int) -> Attempt:
        """That attempt, whether it exists or not."""
        return Attempt(self, kind, number)

    @contextmanager
    def new_attempt(self, kind: JobKind) -> Generator[Attempt]:
        """Opens the next attempt. Submit its job inside the block; if that raises, the attempt is removed again.

        Hold the project's lock.
        """
        before = self.attempts(kind)
        attempt = self.attempt(kind, before[-1].number + 1 if before else 1)
        with submitted_whole(attempt):
            yield attempt


def _parsed(data: bytes, name: str) -> Script:
    return Script.parse(decode_script(data, name), name)
