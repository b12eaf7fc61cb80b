"""Whether a training that has ended counts: the first reason against it, or its receipt (T1-T3)."""

import re
from collections.abc import Sequence
from dataclasses import replace

from ..errors import Unreadable, UnsafePath
from ..jobs.job import JobStatus, Outcome
from ..jobs.logs import tail
from ..project.attempts import Attempt
from ..project.failures import Failure, process_failure
from ..project.notices import Notice
from ..project.receipts import LoopFile, RuleVerdict, TrainReceipt
from ..project.version import Version
from ..rules.reading import Rules
from ..script.settings import settings
from ..store import journal
from ..store.digest import sha256
from ..store.durable import make_durable
from ..store.paths import PREPDATA
from . import resume
from .artifacts import ASSETS, hashes, is_copied, links, missing, touched, untouchable
from .changed_code import never_ran
from .completing import complete
from .curves import epochs_trained, read_curves
from .findings import findings, shared_inputs
from .measured import facts_of, needs, out_of_sight, run_of
from .verdicts import Run, trained_epochs, verdicts
from .watching import ended_early, unwatched

_LOG_TAIL_BYTES = 16_384
_DATASET = re.compile(rf"/{PREPDATA}/([^/]+)/")


def judged(attempt: Attempt, rules: Rules, loop: LoopFile, status: JobStatus) -> Failure | TrainReceipt:
    """The receipt of a run that nothing speaks against, else the first reason to reject it.

    The process's own word comes first, then what it left, then whether the user's rules were in force. What it left
    out for want of form is found or written before (completing.py). Raises `StillReading` as long as large files are
    read: the next call goes on.
    """
    try:
        if failure := _of_process(attempt, rules, loop, status):
            return failure
        run = run_of(attempt)
        completed = _completed(attempt, run)
        found = verdicts(rules.fixed, rules.file.synonyms, run)
        if (
            failure := _of_artifacts(attempt.version)
            or _of_rules(found)
            or _of_data(run)
            or _of_files(attempt, loop, run)
        ):
            return failure
        make_durable(attempt.project.workspace.tree, attempt.version.artifacts)
        receipt = _receipt(attempt, run, status)
        warnings = (
            *receipt.warnings,
            *findings(attempt.version, run, found),
            *never_ran(attempt, attempt.plan.changed if attempt.plan is not None else {}),
            *unwatched(attempt, rules, run.facts),
        )
    except UnsafePath as error:  # a link or a FIFO where a file belongs
        return Failure("missing artifacts", f"{error.where}: {error.what}", "")
    except Unreadable as error:
        return Failure("unreadable output", f"{error.where} {error.what}", "")
    return receipt.model_copy(update={"rules": found, "completed": completed, "warnings": warnings})


def _completed(attempt: Attempt, run: Run) -> tuple[str, ...]:
    """What was done to its artifacts now, and before: they may be read by turns from here on."""
    before, now = attempt.completed, complete(attempt.version, run.facts)
    if now:
        attempt.save_completed((*before, *now))
    return (*before, *now)


def _receipt(attempt: Attempt, run: Run, status: JobStatus) -> TrainReceipt:
    version, outcome, plan = attempt.version, status.outcome, attempt.plan
    assert outcome is not None and plan is not None, "a run without them has failed"
    tree, artifacts = version.project.workspace.tree, version.artifacts
    warnings = [Notice.of("left_running", processes=", ".join(outcome.killed))] if outcome.killed else []
    warnings += (*plan.noticed, *resume.put_back(attempt))
    if left_out := links(version):
        names = ", ".join(name.removeprefix(f"{artifacts}/") for name in left_out[:5])
        warnings.append(Notice.of("asset_links", names=names))
    found = hashes(version)
    return TrainReceipt(
        attempt=attempt.number,
        script_sha256=plan.script_sha256,
        snapshot=plan.snapshot,
        artifacts={name: digest for name, digest in found.items() if not name.startswith(f"{ASSETS}/")},
        assets={name: digest for name, digest in found.items() if name.startswith(f"{ASSETS}/")},
        imported=_imported(version, run),
        epochs=trained_epochs(run) or epochs_trained(tree, artifacts),
        wall_seconds=outcome.wall_seconds or 0.0,
        peak_memory_bytes=outcome.peak_memory_bytes,
        gpu_peak_memory_bytes=outcome.gpu_peak_memory_bytes,
        gpu_utilisation=outcome.gpu_utilisation,
        monitors=_monitors(version),
        sandbox=plan.sandbox,
        start=outcome.start,
        resumed_from=plan.resumed_from,
        warnings=tuple(warnings),
        at=journal.now(),
    )


def _of_process(attempt: Attempt, rules: Rules, loop: LoopFile, status: JobStatus) -> Failure | None:
    plan = attempt.plan
    if plan is None:
        return Failure("lost", "it was never started: the server ended in between", "")
    log = tail(attempt.log, _LOG_TAIL_BYTES)
    # Before the process's own word: a script that wrote scores has no excuse in how it ended.
    now = untouchable(attempt.version, loop.dataset_id, confined=plan.confined)
    if changed := touched(plan.untouchable, now):
        if is_copied(plan.untouchable, now):
            what = "the project was copied while it ran, or before it was collected: nobody can tell what it changed"
            return Failure("lost", what, "")
        return Failure("evaluation output", f"training created or changed {', '.join(changed[:5])}", "")
    if failure := process_failure(
        status.outcome,
        log,
        limit_minutes=rules.file.loop_config.max_train_minutes,
        requested=attempt.cancel_requested,
        detail=status.detail,
    ):
        return failure if status.outcome is None else _told(attempt, rules, status.outcome, failure)
    # A run that went on from a checkpoint is judged with the files of its interrupted part.
    resume.put_back(attempt)
    return None


def _told(attempt: Attempt, rules: Rules, outcome: Outcome, failure: Failure) -> Failure:
    """The failure with what was measured of its cause."""
    facts = facts_of(attempt)
    if failure.kind == "code error" and (
        away := out_of_sight(attempt, rules, needs(attempt, resumed=False), facts.opened)
    ):
        wanted = f"it wanted {', '.join(away[:5])}, which this machine has and the sandbox keeps away"
        return replace(failure, hint=f"{wanted}: the user may name what it needs in execution_config.mounts")
    return ended_early(attempt, outcome, failure, facts)


def _of_artifacts(version: Version) -> Failure | None:
    curves = read_curves(version.project.workspace.tree, version.artifacts)
    if curves is not None and curves.not_finite:
        return Failure("diverged", f"{', '.join(curves.not_finite)} became NaN or infinite", "")
    if lacking := missing(version):
        return Failure("missing artifacts", f"it exited with 0 but left no {', no '.join(lacking)}", "")
    return None


def _of_rules(found: Sequence[RuleVerdict]) -> Failure | None:
    broken = [f"{one.found}, but {one.rule} fixes {one.value!r}" for one in found if one.standing == "broken"]
    return Failure("rule violation", "; ".join(broken), "") if broken else None


def _of_data(run: Run) -> Failure | None:
    """A version that trains on validation samples, where its parent did not: no score of it means anything."""
    ours, parent = shared_inputs(run), run.of_parent
    if parent is None or not ours or shared_inputs(parent):
        return None
    return Failure("rule violation", f"it trains on {ours} of its own validation samples, its parent on none", "")


def _of_files(attempt: Attempt, loop: LoopFile, run: Run) -> Failure | None:
    """Data and code that nobody checked, however the script came to them, where its parent used none."""
    plan = attempt.plan
    parent = run.of_parent
    if parent is None or plan is None:
        return None
    others = _datasets(run) - _datasets(parent) - {loop.dataset_id}
    if others:
        what = f"it read the data set {', '.join(sorted(others))}, and this loop's is {loop.dataset_id} to its end"
        return Failure("rule violation", what, "", "leave the data's path as it is")
    ran = _imported(attempt.version, run)
    modules = ran.keys() - plan.snapshot.keys()
    before = attempt.version.parent.receipt(TrainReceipt) if attempt.version.parent is not None else None
    pinned = before.imported if before is not None else {}
    if other := [name for name in sorted(modules) if pinned.get(name, ran[name]) != ran[name]]:
        what = f"it ran {', '.join(other[:5])}, which changed since its parent ran it: that code stands in no diff"
        return Failure("rule violation", what, "", "put the file back as it was, or the code into the script itself")
    known = _modules(parent)
    if new := [name for name in sorted(modules) if not any(one.endswith(f"/{name}") for one in known)]:
        what = f"it ran {', '.join(new[:5])}, which its parent did not and which is not among the code that was checked"
        return Failure("rule violation", what, "", "put the code into the script itself")
    return None


def _datasets(run: Run) -> set[str]:
    return {found[1] for path in run.facts.opened.read if (found := _DATASET.search(path))}


def _imported(version: Version, run: Run) -> dict[str, str]:
    """The project's own files that ran, whoever imported them: relative path -> sha256, "" for one that is gone."""
    workspace, found = version.project.workspace, dict[str, str]()
    root = f"{workspace.root}/"
    for name in sorted({name.removeprefix(root) for name in _modules(run) if name.startswith(root)}):
        try:
            found[name] = sha256(workspace.tree, name)
        except (FileNotFoundError, UnsafePath):
            found[name] = ""
    return found


def _modules(run: Run) -> set[str]:
    return {name for process in run.facts.processes for name in process.modules}


def _monitors(version: Version) -> tuple[str, ...]:
    """What the script chooses its best checkpoint by; validation loss is the normal case."""
    # Also of a script that somebody edited meanwhile: what was trained is in the snapshot, and this is for people.
    found = (setting.value for setting in settings(version.script(authored=False)) if setting.name == "monitor")
    return tuple(dict.fromkeys(value for value in found if isinstance(value, str)))
