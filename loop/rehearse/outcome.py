"""Does it run, does it leave what it must, and is each rule in force?"""

import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from ..errors import LoopError
from ..jobs.job import LOST
from ..jobs.logs import error_line, last_traceback
from ..project.failures import process_failure
from ..project.receipts import Finding, FindingCode
from ..record.facts import Section
from ..record.parts import End, Epoch, Epochs
from ..record.ranks import Fit, RunFacts
from ..train.artifacts import missing, records
from ..train.completing import complete
from ..train.curves import read_curves
from ..train.findings import library_file
from ..train.measured import asked, out_of_sight
from ..train.verdicts import Run, verdicts
from .job import sandbox_needs
from .observed import Observed
from .words import verdict_values

_SHORT, _MOST = 300, 5
# What a script says when something isn't there that it takes for granted.
_LACKS: tuple[tuple[FindingCode, re.Pattern[str]], ...] = (
    (
        "needs_arguments",
        re.compile(r"the following arguments are required|error: argument |Missing (?:option|argument)"),
    ),
    ("needs_package", re.compile(r"ModuleNotFoundError|No module named")),
    (
        "needs_gpu",
        re.compile(
            r"No CUDA GPUs are available|Found no NVIDIA driver|not compiled with CUDA|No supported gpu backend"
            r"|torch\.cuda\.is_available\(\) is False|`CUDAAccelerator` can not run|CUDA driver version is insufficient"
            r"|You requested gpu|0 active drivers"
        ),
    ),
    (
        "needs_network",
        re.compile(
            r"Name or service not known|Temporary failure in name resolution|Network is unreachable"
            r"|Max retries exceeded|Failed to resolve|Connection(?:Refused)?Error|getaddrinfo failed"
            r"|outgoing traffic has been disabled|LocalEntryNotFoundError|[Cc]ouldn't (?:connect to|reach)"
        ),
    ),
)


def findings(observed: Observed) -> Iterator[Finding]:
    """Whether it ran, to what end, and what it left."""
    run = observed.said.train
    if run is None or run.timed_out:
        yield _slow(observed)
    elif run.rc != 0:
        yield _crash(observed, run.rc)
    elif observed.fits or observed.facts.loops:
        yield Finding(code="ended" if observed.is_cut else "ran", level="ok", values=_how_far(observed))
    else:
        yield Finding(code="untrained", level="note", values={"_seconds": run.seconds})
    if not observed.fits and (observed.facts.loops or run is None or run.rc == 0):
        yield Finding(code="not_lightning", level="warning" if observed.facts.loops else "note")
    yield from _left(observed)
    given = sandbox_needs(observed.attempt, observed.loop)
    if away := out_of_sight(observed.attempt, observed.rules, given, observed.facts.opened):
        yield Finding(code="out_of_sight", level="warning", values={"paths": ", ".join(away[:_MOST])[:_SHORT]})
    for one in observed.facts.stands_in[:_MOST]:
        names = {"file": Path(one.file).name, "by": library_file(one.by)}
        yield Finding(code="stands_in", level="warning", values=names)
    for problem in observed.facts.problems[:2] if observed.facts.processes else ():
        yield Finding(code="unrecorded", level="note", values={"what": problem.what, "error": problem.error[:_SHORT]})


def _how_far(observed: Observed) -> dict[str, str | int | float | bool | None]:
    steps = sum(one.steps for one in observed.fits) or sum(one.steps for one in observed.facts.loops)
    run = observed.said.train
    return {"steps": steps, "fits": len(observed.fits), "run_seconds": run.seconds if run is not None else None}


def _slow(observed: Observed) -> Finding:
    run = observed.said.train
    seconds = run.seconds if run is not None else observed.seconds
    batches = sum(one.batches for one in (*observed.fits, *observed.facts.loops))
    if not batches and not any(one.steps for one in observed.facts.loops):
        said = [line.strip() for line in observed.log.splitlines() if line.strip()]
        return Finding(
            code="hangs", level="problem", values={"run_seconds": seconds, "last": said[-1][:_SHORT] if said else ""}
        )
    return Finding(code="slow", level="warning", values={"run_seconds": seconds, "batches": batches})


def _crash(observed: Observed, rc: int | None) -> Finding:
    log = observed.log
    cause = error_line(log) or next((line for line in reversed(log.splitlines()) if line.strip()), "it says nothing")
    values: dict[str, str | int | float | bool | None] = {
        "error": cause[:_SHORT],
        "trace": (last_traceback(log) or "")[-1500:],
        "rc": rc,
    }
    needed = needs(cause)
    if needed is None and rc == 2 and needs(log) == "needs_arguments":  # argparse, whose last words may be another's
        needed = "needs_arguments"
    if needed is not None:
        return Finding(code=needed, level="problem", values=values)
    signal = -rc if rc is not None and rc < 0 else None
    outcome = replace(LOST, reason="exited", rc=None if signal else rc, signal=signal)
    failure = process_failure(outcome, log, limit_minutes=None)
    kinds: dict[str, FindingCode] = {"out of memory": "out_of_memory", "diverged": "diverged"}
    code = kinds.get(failure.kind, "crashed") if failure is not None else "crashed"
    return Finding(code=code, level="problem", values=values)


def needs(said: str) -> FindingCode | None:
    """What a script lacks that it takes for granted, by its last words; None for any other error."""
    return next((code for code, pattern in _LACKS if pattern.search(said)), None)


def _left(observed: Observed) -> Iterator[Finding]:
    run, version = observed.said.train, observed.staged
    if run is None or run.timed_out or run.rc != 0 or observed.is_cut:
        yield Finding(code="left_unseen", level="note")
        return
    try:
        completed = complete(version, observed.facts)
        lacking = missing(version)
        curves = read_curves(version.project.workspace.tree, version.artifacts)
    except LoopError as error:  # a link or a FIFO where a file belongs
        yield Finding(code="lacks", level="problem", values={"names": f"{error.where}: {error.what}"[:_SHORT]})
        return
    if lacking:
        yield Finding(code="lacks", level="problem", values={"names": ", ".join(lacking)})
    else:
        yield Finding(code="left", level="ok")
    for one in completed:
        yield Finding(code="completed", level="note", values={"what": one[:_SHORT]})
    if curves is not None and curves.not_finite:
        names = ", ".join(curves.not_finite)
        yield Finding(code="diverged", level="problem", values={"error": f"{names} became NaN or infinite"})


def rule_findings(observed: Observed) -> Iterator[Finding]:
    """Each fixed value by what was measured; the number of epochs as the script asked for it."""
    if not observed.fits and not observed.facts.loops and not (observed.said.train and observed.said.train.rc == 0):
        return
    try:
        stated = dict(records(observed.staged))
    except LoopError:
        stated = {}
    stated.pop("metrics.csv", None)  # it counts the epochs of the rehearsal
    facts, rules = _as_asked(observed.facts), observed.rules
    run = Run(facts, observed.attempt.version.id, None, stated, asked(observed.attempt.version))
    for one in verdicts(rules.fixed, rules.file.synonyms, run):
        values = verdict_values(one)
        if one.standing == "broken" and observed.is_cut and one.rule.rpartition(".")[2] in ("epochs", "max_epochs"):
            yield Finding(code="rule_unseen", level="note", values=values)
            continue
        level = "ok" if one.standing == "in force" else "problem" if one.standing == "broken" else "warning"
        yield Finding(code="rule", level=level, values=values)


def _as_asked(facts: RunFacts) -> RunFacts:
    """The facts as if each fit had trained all the epochs that it was set to."""
    return facts._replace(fits=tuple(_whole(fit) for fit in facts.fits))


def _whole(fit: Fit) -> Fit:
    section = fit.first
    asked = section.settings.max_epochs if section.settings is not None else None
    if asked is None or asked < 1 or not section.batches:
        return fit
    count = max(0, asked - section.epoch_before)
    changed: Section = section.model_copy(
        update={
            "epochs": Epochs(count=count, rows=tuple(Epoch(epoch=row, whole=True) for row in range(min(count, 1)))),
            "end": End(by="max_epochs"),
        }
    )
    return fit._replace(first=changed)
