"""Ray as a scheduler, by the Jobs API over REST: the client needs no Ray installed.

A job's name is its id there, so that it is found again by whoever knows the name. Ray knows neither a place in its
queue nor an estimate, and no time limit: the runner's own ends a job.
"""

from __future__ import annotations

import math
import re
import shlex
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

from pydantic import BaseModel, ConfigDict, JsonValue, TypeAdapter, ValidationError

from ...errors import RunError
from ..job import Job, Placement, WaitingFor
from ..records import read_job
from ..runner import attempt_files as files
from . import submission
from .ray_http import RayApi, Unanswered, path_of
from .scheduler import Ending, Seen

_JOBS, _NODES = "/api/jobs/", "/api/v0/nodes?limit=10000"
# One look at all jobs serves everybody; the longer nothing changes, the rarer it is.
_FIRST_SECONDS, _LAST_SECONDS, _SLOWER = 1.0, 15.0, 1.5
_FRESH_SECONDS = 0.3
# Ray's word that a job's keeper died comes before the job's end: another process looks for that each second, and KILLs
# the process group that Ray has started. The runner isn't in it, is asked to end, and takes the grace for all of it.
_SWEPT_SECONDS = 3.0
_APART = "setsid -w setpriv --pdeathsig TERM"
_STOP_WAIT = "RAY_JOB_STOP_WAIT_TIME_S"
_SAID = 300
_ENDED = ("STOPPED", "SUCCEEDED", "FAILED")
_DIED = ("JOB_SUPERVISOR_ACTOR_DIED", "JOB_SUPERVISOR_ACTOR_UNKNOWN_FAILURE")
_NO_MEMORY = re.compile(r"low on memory|due to memory pressure", re.IGNORECASE)
_UNITS = {"cpus": "CPU", "gpus": "GPU", "memory": "memory"}
_T = TypeVar("_T")


class _Answer(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)


class _Details(_Answer):
    """One job of the list. Times are ms since 1970 by the head node's clock."""

    submission_id: str | None = None
    status: str
    message: str | None = None
    error_type: str | None = None
    end_time: int | None = None
    driver_exit_code: int | None = None
    metadata: Mapping[str, str] | None = None


class _Accepted(_Answer):
    submission_id: str


class _Node(_Answer):
    state: str
    resources_total: Mapping[str, float] = {}


class _NodeRows(_Answer):
    result: tuple[_Node, ...]


class _NodeData(_Answer):
    result: _NodeRows


class _Nodes(_Answer):
    data: _NodeData


_ACCEPTED = TypeAdapter(_Accepted)
_DETAILS = TypeAdapter(_Details)
_LIST = TypeAdapter(tuple[_Details, ...])


@dataclass
class _Look:
    """The newest answer, or why there was none, and when to ask again."""

    jobs: Mapping[str, _Details]
    largest: Mapping[str, float]
    error: RunError | None = None
    asked: float = -math.inf
    pause: float = _FIRST_SECONDS


class Ray:
    """The cluster whose dashboard is at `address`, such as http://127.0.0.1:8265. Threads may share it.

    `margin_seconds` is what a job's runner may need beyond the job's grace, before Ray KILLs all of it.
    """

    name = "Ray"

    def __init__(self, address: str, *, now: Callable[[], float] = time.monotonic, margin_seconds: int = 15) -> None:
        self._api = RayApi(address)
        self._now = now
        self._margin = margin_seconds
        self._lock = threading.Lock()
        self._last = _Look({}, {})
        self._watched: set[str] = set()
        self._died: dict[str, float] = {}

    def header(self, name: str, output: Path, placement: Placement) -> str:
        return f"# {name}\nexec >>{shlex.quote(str(output))} 2>&1\n"

    def submit(self, name: str, script: Path, placement: Placement) -> str:
        asked, grace = _asked(placement), (read_job(script.parent) or Job).grace_seconds
        metadata: dict[str, JsonValue] = {"job_name": name, "grace": f"{grace:g}"}
        metadata |= {what: f"{count:.0f}" for what, count in asked.items()}
        body: dict[str, JsonValue] = {
            "submission_id": name,
            "entrypoint": _entrypoint(script),
            "metadata": metadata,
            "runtime_env": {"env_vars": {_STOP_WAIT: str(math.ceil(grace) + self._margin)}},
            "entrypoint_num_cpus": asked["cpus"],
        }
        if "gpus" in asked:
            body["entrypoint_num_gpus"] = asked["gpus"]
        if "memory" in asked:
            body["entrypoint_memory"] = int(asked["memory"])
        try:
            content = self._api.post(_JOBS, body)
            if content is None or self._read(_ACCEPTED, content).submission_id != name:
                raise self._api.not_ray()
        except Unanswered:
            if self.find(name) is None:
                raise
        self._forget_pause()
        return name

    def find(self, name: str) -> str | None:
        """A job's name is its id."""
        content = self._api.get(path_of(name))
        return None if content is None else self._read(_DETAILS, content).submission_id

    def look(self, job: str, *, fresh: bool = False) -> Seen | None:
        with self._lock:
            self._watched.add(job)
            last = self._last
            if (known := last.jobs.get(job)) is not None and known.status in _ENDED:
                return self._seen(job, known, last)
            pause = last.pause if last.error is not None or (job in last.jobs and not fresh) else _FRESH_SECONDS
            if self._now() - last.asked >= pause:
                last = self._last = self._ask(last)
            if last.error is not None:
                raise RunError(last.error.what, where=last.error.where, hint=last.error.hint)
            details = last.jobs.get(job)
            return None if details is None else self._seen(job, details, last)

    def cancel(self, job: str) -> None:
        """One that waits is ended as soon as it begins: Ray has no other way."""
        self._api.post(path_of(job, "stop"))
        self._forget_pause()

    def _forget_pause(self) -> None:
        with self._lock:
            self._last.asked, self._last.pause = -math.inf, _FIRST_SECONDS

    def _ask(self, last: _Look) -> _Look:
        slower = min(last.pause * _SLOWER, _LAST_SECONDS)
        try:
            content = self._api.get(_JOBS)
            if content is None:
                raise self._api.not_ray()
            listed = self._read(_LIST, content)
            jobs = {one.submission_id: one for one in listed if one.submission_id is not None}
            same = all(jobs.get(job) == last.jobs.get(job) for job in self._watched)
            waiting = any(job in jobs and jobs[job].status == "PENDING" for job in self._watched)
            largest: Mapping[str, float] = self._largest() if waiting else {}
        except RunError as error:
            return _Look(last.jobs, last.largest, error, self._now(), slower)
        return _Look(jobs, largest, None, self._now(), slower if same else _FIRST_SECONDS)

    def _largest(self) -> Mapping[str, float]:
        """The most that any one node has of each thing; nothing where Ray doesn't say."""
        try:
            nodes = _Nodes.model_validate_json(self._api.get(_NODES) or b"").data.result.result
        except (RunError, ValidationError):
            return {}  # only the reason for waiting would have said it
        alive = [node.resources_total for node in nodes if node.state == "ALIVE"]
        return {unit: max((node.get(unit, 0.0) for node in alive), default=0.0) for unit in _UNITS.values()}

    def _read(self, kind: TypeAdapter[_T], content: bytes) -> _T:
        try:
            return kind.validate_json(content)
        except ValidationError as error:
            raise self._api.not_ray() from error

    def _seen(self, job: str, details: _Details, last: _Look) -> Seen:
        word = _word(details)
        if details.status == "PENDING":
            others = sum(one.status == "PENDING" for one in last.jobs.values()) - 1
            code, why = _why_waiting(details.metadata or {}, last.largest, others)
            return Seen("queued", word + why, waiting_for=code)
        if details.status not in _ENDED:
            return Seen("running", word)
        if details.error_type in _DIED:
            since = self._died.setdefault(job, self._now())
            if self._now() - since < _SWEPT_SECONDS + float((details.metadata or {}).get("grace", 0)):
                return Seen("running", word)
        ended_at = None if details.end_time is None else details.end_time / 1000
        return Seen("ended", word, _ending(details), details.driver_exit_code, ended_at)


def _asked(placement: Placement) -> dict[str, float]:
    """What the job asks for. Without a CPU Ray would start all at once, and on the head node."""
    asked: dict[str, float] = {"cpus": placement.cpus or 1}
    if placement.gpus:
        asked["gpus"] = placement.gpus
    if placement.memory_gb is not None:
        asked["memory"] = placement.memory_gb * 2**30
    return asked


def _entrypoint(script: Path) -> str:
    """Starts the script only where its folder is the one that the server wrote, and only for this submission."""
    folder = script.parent
    token = files.read_text(folder / submission.TOKEN).strip()
    here = f'[ "$(cat {shlex.quote(str(folder / submission.TOKEN))} 2>/dev/null)" = {token} ]'
    said = shlex.quote(f" does not see {folder} as the server does, or may not read it")
    start = f"/bin/bash {shlex.quote(str(script))}"
    return (
        f'{here} || {{ echo "$(hostname)"{said}; exit {submission.NOT_SHARED}; }}; '
        f"{_APART} true 2>/dev/null && exec {_APART} {start}; exec {start}"
    )


def _ending(details: _Details) -> Ending:
    said = details.message or ""
    if details.status == "STOPPED":
        return "cancelled"
    if details.driver_exit_code is not None or details.error_type in (None, "JOB_ENTRYPOINT_COMMAND_ERROR"):
        return "by itself"
    if details.error_type not in _DIED:
        return "never started"
    if _NO_MEMORY.search(said):
        return "out of memory"
    return "preempted" if "preempt" in said.lower() else "node failed"


def _word(details: _Details) -> str:
    """Ray's own, without the log and the numbers of actors that it quotes."""
    lines = (details.message or "").partition(", last available logs")[0].splitlines()
    said = " ".join(line.strip() for line in lines if line.strip() and not line.startswith("\t"))
    said = said.removesuffix(" No logs available.")
    return f"{details.status}: {said[:_SAID]}" if said else details.status


def _why_waiting(asked: Mapping[str, str], largest: Mapping[str, float], others: int) -> tuple[WaitingFor, str]:
    """Why it waits as a code, and what to say of that after Ray's own word."""
    told = ""
    for what, unit in _UNITS.items():
        most = largest.get(unit)
        if most is not None and float(asked.get(what, 0)) > most:
            told += f"; it asks for {_amount(float(asked[what]), unit)} and no node has more than {_amount(most, unit)}"
    code: WaitingFor = "other_request" if told else "resources"
    return code, told + (f"; {others} other job{'s wait' if others > 1 else ' waits'} too" if others else "")


def _amount(count: float, unit: str) -> str:
    return f"{count / 2**30:.3g} GiB of memory" if unit == "memory" else f"{count:g} {unit}"
