"""Which of several processes failed first, by the word of torchrun or srun: the others fail for want of it."""

from __future__ import annotations

import re

# torchrun's own traceback and report come last, and say of every rank how it ended.
_TORCHRUN = re.compile(
    r"^Traceback \(most recent call last\):\n(?:(?!Traceback \(most recent).*\n)*?.*\bChildFailedError:[\s\S]*?"
    r"^Root Cause \(first observed failure\):\n(?P<report>[\s\S]*)",
    re.MULTILINE,
)
_TORCHRUN_RANK = re.compile(r"^\s*rank\s*: (\d+) ", re.MULTILINE)
_SIGNAL = re.compile(r"Signal \d+ \(SIG\w+\) received by PID \d+")
_SRUN = re.compile(r"^srun: error: \S+: tasks? (?P<rank>\d+)\S*: (?P<how>.*)$", re.MULTILINE)
_ABOUT_A_RANK = re.compile(r"^\[rank:? ?(?P<rank>\d+)\]")


def of_first_failure(log: str) -> str:
    """The log without what the launcher and the other ranks say; as it is where none of them has told of a failure."""
    if found := _TORCHRUN.search(log):
        rank = _TORCHRUN_RANK.search(found["report"])
        signal = _SIGNAL.search(found["report"])
        lines = [line for line in log[: found.start()].split("\n") if "torch/distributed/elastic/" not in line]
        return _without_others(lines, rank[1] if rank else None, [signal[0]] if signal else [])
    if found := _SRUN.search(log):
        lines = [line for line in log.split("\n") if not line.startswith(("srun: ", "slurmstepd"))]
        killed = [] if found["how"].startswith("Exited with exit code") else [found[0]]
        return _without_others(lines, found["rank"], killed)
    return log


def _without_others(lines: list[str], rank: str | None, said: list[str]) -> str:
    kept = (line for line in lines if not (match := _ABOUT_A_RANK.match(line)) or rank in (None, match["rank"]))
    return "\n".join((*kept, *said))
