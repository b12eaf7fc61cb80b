"""A case, hit at its writes one by one; and what was wrong afterwards."""

import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from typing import Any

from ..e2e import job_processes
from ..projects import FOLDER_NAME, TRAINER, Folder, make_project
from .cases import Call, Case, do
from .checks import differences, faults, shape, staging_files
from .injection import Driver, Fault, Point, Reply

_LOOK = do("next_step", brief=False)
_TRIES = 3


@dataclass(frozen=True)
class Reference:
    """What the case does when nothing goes wrong: the phases around the Step, its writes, and the finished loop."""

    before: str
    after: str
    points: tuple[Point, ...]
    shape: dict[str, str]


@dataclass(frozen=True)
class Trial:
    """`problems` is empty when the state was before or after, and the loop came to its end."""

    point: Point
    hit: bool
    problems: tuple[str, ...]


class Bench:
    """Prepared projects, a plain driver for all but the Step, and a traced one for the Step itself."""

    def __init__(self, room: Path, plain: Driver, traced: Driver, fault: Fault) -> None:
        self._room = room
        self._plain = plain
        self._traced = traced
        self._fault: Fault = fault
        self._numbers = count(1)
        self._stages: dict[str, Path] = {}

    def reference(self, case: Case, *, broken: str | None = None) -> Reference:
        """One run without a fault. Raises `AssertionError` if that is not in order."""
        with self._prepared(case) as folder:
            before = self._phase(folder)
            reply = self._traced.call(folder.root, [case.step(folder)], executor=case.executor, broken=broken)
            _require_ok(reply, case)
            points = tuple(self._traced.points(reply, folder.root.parent.name))
            after = self._phase(folder)
            self._end(case, folder, broken)
            left = faults(folder.root)
            assert not left or broken, f"{case.name}: {left}"
            return Reference(before, after, points, shape(folder.root))

    def trial(self, case: Case, reference: Reference, point: Point, *, broken: str | None = None) -> Trial:
        """The Step, hit at the point; then looked at, called again, and the loop gone on with to its end."""
        with self._prepared(case) as folder:
            step = case.step(folder)
            reply = self._traced.call(folder.root, [step], executor=case.executor, broken=broken, point=point)
            hit = self._traced.was_hit(reply)
            self._traced.forget()
            problems = [*self._told(reply)]
            problems += self._recovered(case, folder, step, reference, broken)
            if not problems:
                try:
                    self._end(case, folder, broken)
                    problems += [*faults(folder.root), *staging_files(folder.root)]
                    problems += differences(reference.shape, shape(folder.root))
                except AssertionError as error:
                    problems.append(str(error))
            if case.executor == "local":
                problems += [f"process {pid} was left" for pid in job_processes(folder)]
            return Trial(point, hit, tuple(problems))

    def _told(self, reply: Reply) -> Iterator[str]:
        """A Step that is not killed answers, and names the system's fault if it gives up."""
        if self._fault == "SIGKILL":
            return
        if not reply.answers:
            yield f"it ended with {reply.status} and no answer"
            return
        answer = reply.answers[0]
        if crash := answer.get("crash"):
            yield f"a traceback for the client: {crash}"
        elif not answer["ok"] and _MEANING[self._fault] not in answer["error"]:
            yield f"the error doesn't say what happened: {answer['error']}"

    def _recovered(
        self, case: Case, folder: Folder, step: Call, reference: Reference, broken: str | None
    ) -> Iterator[str]:
        look = self._plain.call(folder.root, [_LOOK], broken=broken).answers[0]
        lost = ("training", "train", "evaluating", "evaluate") if case.again else ()
        allowed = {reference.before, reference.after, *lost}
        if not look["ok"] or look["phase"] not in allowed:
            yield f"after the fault: {look}, and not {reference.before} or {reference.after}"
            return
        again: Mapping[str, Any] = {}
        for _ in range(_TRIES):
            again = self._plain.call(folder.root, [step], executor=case.executor, broken=broken).answers[0]
            if again.get("phase") == reference.after or not case.again:
                break
        phase = self._phase(folder)
        # Where the fault came after all was done, the Step may not be legal any more: then it says what is.
        refused = phase == reference.after and "Next: " in again.get("error", "")
        if not again["ok"] and not refused:
            yield f"called again: {again}"
        elif phase != reference.after and not case.again:
            yield f"called again: {phase}, and not {reference.after}"
        yield from faults(folder.root)

    def _end(self, case: Case, folder: Folder, broken: str | None = None) -> None:
        calls = [*case.after, do("wait"), do("finish")]
        reply = self._plain.call(folder.root, calls, broken=broken)
        for answer in reply.answers:
            assert answer["ok"], f"{case.name}: the loop doesn't go on: {answer}"
        assert reply.answers, f"{case.name}: the loop ended its process with {reply.status}"

    def _phase(self, folder: Folder) -> str:
        answer = self._plain.call(folder.root, [_LOOK]).answers[0]
        return answer["phase"] if answer["ok"] else str(answer)

    def _prepared(self, case: Case) -> "_Prepared":
        # The parent's name is plain ASCII, and tells a trial's files from all others in strace's log.
        root = self._room / f"trial-{os.getpid()}-{next(self._numbers)}-here" / FOLDER_NAME
        root.parent.mkdir(parents=True)
        if case.stage is None:
            folder = _new_project(root, case.trainer)
        else:
            folder = Folder(root)
            shutil.copytree(self._staged(case.stage), root, symlinks=True)
        if case.before:
            reply = self._plain.call(root, case.before, executor=case.executor)
            for answer in reply.answers:
                assert answer["ok"], f"{case.name} could not be prepared: {answer}"
        return _Prepared(folder)

    def _staged(self, stage: str) -> Path:
        if stage not in self._stages:
            root = self._room / f"stage-{stage}"
            reply = self._plain.call(_new_project(root).root, [do("until", phase=stage)])
            assert reply.answers and reply.answers[0]["ok"], f"no project came to {stage}: {reply}"
            self._stages[stage] = root
        return self._stages[stage]


def _new_project(root: Path, trainer: str = TRAINER) -> Folder:
    folder = make_project(root, trainer=trainer)
    # The fork that stands for a job is not confined; tests/loop/jobs has the sandbox.
    folder.set_rules(execution_config={"sandbox": "off"})
    return folder


class _Prepared:
    def __init__(self, folder: Folder) -> None:
        self._folder = folder

    def __enter__(self) -> Folder:
        return self._folder

    def __exit__(self, *_: object) -> None:
        self._folder.end_jobs()
        shutil.rmtree(self._folder.root.parent)


_MEANING = {name: os.strerror(number) for number, name in ((28, "ENOSPC"), (5, "EIO"), (30, "EROFS"))}


def _require_ok(reply: Reply, case: Case) -> None:
    assert reply.answers and reply.answers[0]["ok"], f"{case.name}: {reply}"


def spread(points: Sequence[Point], most: int) -> list[Point]:
    """At most that many of them: the same ones each time, evenly, with neither the first nor the last preferred."""
    count = min(most, len(points))
    return [points[(2 * number + 1) * len(points) // (2 * count)] for number in range(count)]
