"""What Slurm says, in the loop's and the user's words: states, reasons for waiting, refusals."""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime

from ...errors import RunError
from ..job import WaitingFor
from .scheduler import Ending, Seen
from .submission import NOT_SHARED

_QUEUED = frozenset(
    {"PENDING", "CONFIGURING", "POWER_UP_NODE", "REQUEUED", "REQUEUE_FED", "REQUEUE_HOLD", "RESV_DEL_HOLD"}
    | {"SPECIAL_EXIT"}
)
_ENDED: Mapping[str, Ending] = {
    "COMPLETED": "by itself",
    "FAILED": "by itself",
    "LAUNCH_FAILED": "by itself",
    "CANCELLED": "cancelled",
    "REVOKED": "cancelled",
    "TIMEOUT": "timeout",
    "DEADLINE": "timeout",
    "PREEMPTED": "preempted",
    "NODE_FAIL": "node failed",
    "BOOT_FAIL": "node failed",
    "OUT_OF_MEMORY": "out of memory",
}
# Slurm's "signal" of a job whose output file could not be opened on the node.
_NO_OUTPUT = 53

_LESS = "it won't begin: cancel it and ask for less in resources"
_WHY_QUEUED: Mapping[str, tuple[WaitingFor, str]] = {
    "None": ("scheduler", "not looked at yet"),
    "Resources": ("resources", "no node is free for it yet"),
    "Priority": ("priority", "other jobs come first"),
    "PartitionConfig": ("other_request", f"the partition has no node that could run it; {_LESS}"),
    "BadConstraints": ("other_request", f"no node could ever run it; {_LESS}"),
    "PartitionTimeLimit": ("other_request", f"the partition allows less time; {_LESS} (minutes)"),
    "PartitionNodeLimit": ("other_request", f"the partition allows fewer nodes; {_LESS}"),
    "PartitionDown": ("nodes", "the partition is down"),
    "PartitionInactive": ("nodes", "the partition is closed"),
    "NodeDown": ("nodes", "a node that it needs is down"),
    "ReqNodeNotAvail": ("nodes", "nodes that it needs are down, reserved or kept free"),
    "Reservation": ("condition", "it waits for its reservation"),
    "BeginTime": ("condition", "its begin time has not come"),
    "Licenses": ("condition", "it waits for a licence"),
    "Dependency": ("condition", "it waits for another job"),
    "JobHeldUser": ("release", "its owner holds it: scontrol release lets it go"),
    "JobHeldAdmin": ("release", "an administrator holds it"),
    "InvalidAccount": ("other_request", "the account is not valid; it won't begin: correct slurm.account"),
    "InvalidQOS": ("other_request", "the QOS is not valid; it won't begin: correct slurm.qos"),
}
_LIMITED = re.compile(r"^(QOS|Assoc)\w*(Limit|Max|Min)|^(QOSMax|MaxCpuPer|MaxGRESPer|MaxMemPer|MaxNodePer)")

_DOWN = "jobs that it has taken go on; call again when it answers"
# What a program complains of (in any case), what that means, and what to do. `{said}` is the last group.
_REFUSALS: tuple[tuple[str, str, str], ...] = (
    (
        r"invalid partition(?: name)? specified(?:: (?P<said>\S+))?",
        "there is no partition {said}",
        "set slurm.partition to one of: {partitions}",
    ),
    (
        r"invalid account",
        "the account may not use this partition, or doesn't exist",
        "set slurm.account; `sacctmgr show associations user=$USER` lists yours",
    ),
    (
        r"invalid qos",
        "there is no such QOS for this account",
        "set slurm.qos; `sacctmgr show associations user=$USER format=account,qos` lists yours",
    ),
    (
        r"accounting/QOS policy|job submit limit|limit(?:s)? (?:exceeded|reached)",
        "a limit of the account or the QOS stands in the way",
        "ask for less in resources, wait for other jobs to end, or choose another slurm.account or slurm.qos",
    ),
    (
        r"invalid generic resource|invalid gres|gres\) specification",
        "no node has such GPUs",
        "correct resources.gpus, or choose a slurm.partition with GPUs: {partitions}",
    ),
    (
        r"node configuration is not available|memory specification can not|more processors requested"
        r"|node count specification invalid|cpu count",
        "no node of the partition has that much",
        "ask for less in resources, or choose another slurm.partition: {partitions}",
    ),
    (
        r"time limit",
        "the partition allows less time",
        "set resources.minutes to less, or choose another slurm.partition: {partitions}",
    ),
    (
        r"(?:unrecognized|invalid) option|invalid \S+ specification|requires an argument",
        "an option was not understood",
        "correct slurm.extra",
    ),
    (
        r"munge|authentication",
        "its authentication doesn't work here (munge)",
        f"ask the administrator to start munged on this machine; {_DOWN}",
    ),
    (
        r"configuration source|process configuration file|parse_file",
        "this machine belongs to no cluster",
        "run the server on a login node, or set SLURM_CONF",
    ),
    (r"unable to contact|timed out|connection|communication", "its controller (slurmctld) doesn't answer", _DOWN),
    (r"permission denied|access denied|invalid user", "you may not do that", "ask the cluster's administrator"),
)
_NO_SUCH_JOB = re.compile(r"invalid job id", re.IGNORECASE)
_PREFIX = re.compile(r"^\w+: (?:error: |fatal: )?", re.MULTILINE)


def seen(state: str, reason: str, *, exit_status: str = "", starts: str = "", ends: str = "") -> Seen:
    """A job by what squeue, scontrol or sacct say of it. `exit_status` is 7:0 (code:signal) or as wait() gives it."""
    plain = state.partition(" ")[0].rstrip("+")  # sacct: "CANCELLED by 1000"
    word = state if reason in ("None", "", "(null)") else f"{state} ({reason})"
    if plain in _QUEUED:
        code, said = _why(reason)
        return Seen("queued", f"{word}: {said}" if said else word, starts_at=_time(starts), waiting_for=code)
    ending = _ENDED.get(plain)
    if ending is None:
        return Seen("running", word)
    code, signal = _codes(exit_status)
    if signal == _NO_OUTPUT:
        return Seen("ended", f"{word}, no output could be written there", ending, NOT_SHARED, _seconds(ends))
    return Seen("ended", word, ending, code if not signal else 128 + signal, _seconds(ends))


def refusal(program: str, said: str, partitions: str) -> RunError:
    """What Slurm's `program` complained of. `partitions` are those that there are."""
    text = _PREFIX.sub("", said).strip()
    code = "run_unknown" if _NO_SUCH_JOB.search(text) else None
    for pattern, meaning, hint in _REFUSALS:
        if match := re.search(pattern, text, re.IGNORECASE):
            named = match.groupdict().get("said") or "of that name"
            listed = hint.format(partitions=partitions or "sinfo lists them")
            return RunError(
                f"Slurm: {meaning.format(said=named)}: {_line(text)}", where=program, hint=listed, code=code
            )
    what, hint = f"Slurm: {_line(text) or 'it gave no reason'}", f"mend what it says; {_DOWN}"
    return RunError(what, where=program, hint=hint, code=code)


def unreachable(said: str) -> bool:
    """Whether the request may have arrived and only the answer got lost."""
    return re.search(r"timed out|send/recv|zero bytes|connection reset", said, re.IGNORECASE) is not None


def _why(reason: str) -> tuple[WaitingFor | None, str]:
    """Slurm's reason as our code and in words; None and "" for one that isn't known here."""
    bare = reason.split(",")[0].strip("() ")
    if bare in _WHY_QUEUED:
        return _WHY_QUEUED[bare]
    return ("limit", "a limit of the account or the QOS is reached") if _LIMITED.match(bare) else (None, "")


def _codes(text: str) -> tuple[int | None, int]:
    """The exit code, if there is one, and the signal, or 0."""
    code, colon, signal = text.partition(":")
    if not code.isdigit():
        return None, 0
    if colon:
        return int(code), int(signal) if signal.isdigit() else 0
    return int(code) >> 8, int(code) & 0x7F


def _moment(text: str) -> datetime | None:
    try:
        return datetime.fromisoformat(text)  # in local time, as Slurm tells it
    except ValueError:  # N/A, NONE, Unknown
        return None


def _time(text: str) -> str | None:
    moment = _moment(text)
    return None if moment is None else f"{moment:%Y-%m-%d %H:%M}"


def _seconds(text: str) -> float | None:
    moment = _moment(text)
    return None if moment is None else moment.timestamp()


def _line(text: str) -> str:
    return "; ".join(line.strip() for line in text.splitlines() if line.strip())[:600]
