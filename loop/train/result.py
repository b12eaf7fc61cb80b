"""Whether a training that has ended counts: the first reason against it, or its receipt (T1-T3)."""

from concurrent.futures import ThreadPoolExecutor
from functools import partial

from ..errors import UnsafePath
from ..jobs.job import JobStatus
from ..jobs.logs import tail
from ..project.attempts import Attempt
from ..project.failures import Failure, process_failure
from ..project.receipts import LoopFile, TrainReceipt
from ..project.version import Version
from ..rules.reading import Rules
from ..script.settings import settings
from ..store import journal
from ..store.digest import sha256
from ..store.paths import version_id
from ..store.tree import Tree
from . import resume
from .artifacts import CHECKPOINTS, missing, touched, untouchable, used_values
from .curves import epochs_trained, read_curves
from .progress import EPOCHS

_LOG_TAIL_BYTES = 16_384


def why_failed(attempt: Attempt, rules: Rules, loop: LoopFile, status: JobStatus) -> Failure | None:
    """The first reason to reject the run, the process's own word first, then what it left; None if there is none."""
    try:
        return _of_process(attempt, rules, loop, status) or _of_artifacts(attempt.version) or _of_rules(attempt, rules)
    except UnsafePath as error:  # a link or a FIFO where a file belongs
        return Failure("missing artifacts", f"{error.where}: {error.what}", "")


def receipt_of(attempt: Attempt, status: JobStatus) -> TrainReceipt:
    """The receipt of a run that nothing speaks against."""
    version, outcome, plan = attempt.version, status.outcome, attempt.plan
    assert outcome is not None and plan is not None, "a run without them has failed"
    tree, artifacts = version.project.workspace.tree, version.artifacts
    warnings = [f"had to end what it left running: {', '.join(outcome.killed)}"] if outcome.killed else []
    warnings += resume.put_back(attempt)
    hashes = _hashes(tree, artifacts)
    if twin := _twin(version, hashes["best.ckpt"]):
        warnings.append(f"best.ckpt is byte for byte that of {twin}: the change had no effect, or weights were copied")
    return TrainReceipt(
        attempt=attempt.number,
        script_sha256=plan.script_sha256,
        snapshot=plan.snapshot,
        artifacts=hashes,
        epochs=epochs_trained(tree, artifacts),
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
        return Failure("evaluation output", f"training created or changed {', '.join(changed[:5])}", "")
    if failure := process_failure(
        status.outcome,
        log,
        limit_minutes=rules.file.loop_config.max_train_minutes,
        requested=attempt.cancel_requested,
        detail=status.detail,
    ):
        return failure
    # A run that went on from a checkpoint is judged with the files of its interrupted part.
    resume.put_back(attempt)
    return None


def _of_artifacts(version: Version) -> Failure | None:
    curves = read_curves(version.project.workspace.tree, version.artifacts)
    if curves is not None and curves.not_finite:
        return Failure("diverged", f"{', '.join(curves.not_finite)} became NaN or infinite", "")
    if lacking := missing(version):
        return Failure("missing artifacts", f"it exited with 0 but left no {', no '.join(lacking)}", "")
    return None


def _of_rules(attempt: Attempt, rules: Rules) -> Failure | None:
    if used := used_values(attempt.version, rules):
        said = "; ".join(f"{clash.place} says {clash.found}, {clash.rule} fixes {clash.allowed!r}" for clash in used)
        return Failure("rule violation", said, "")
    epochs = next((rule.value for rule in rules.fixed if rule.name.lower() in EPOCHS), None)
    trained = epochs_trained(attempt.project.workspace.tree, attempt.version.artifacts)
    if type(epochs) is int and trained is not None and trained != epochs:
        return Failure("rule violation", f"it trained {trained} epochs, the rules fix {epochs}", "")
    return None


def _monitors(version: Version) -> tuple[str, ...]:
    """What the script chooses its best checkpoint by; validation loss is the normal case."""
    # Also of a script that somebody edited meanwhile: what was trained is in the snapshot, and this is for people.
    found = (setting.value for setting in settings(version.script(authored=False)) if setting.name == "monitor")
    return tuple(dict.fromkeys(value for value in found if isinstance(value, str)))


def _hashes(tree: Tree, artifacts: str) -> dict[str, str]:
    # Side by side: checkpoints may have several gigabytes each.
    names = (*CHECKPOINTS, "spec.json")
    with ThreadPoolExecutor(len(names)) as threads:
        found = threads.map(partial(sha256, tree), [f"{artifacts}/{name}" for name in names])
        return dict(zip(names, found, strict=True))


def _twin(version: Version, weights: str) -> str | None:
    """An earlier version with the very same weights."""
    earlier = (number for number in version.project.workspace.versions() if number < version.number)
    same = (number for number in earlier if Version(version.project, number).trained_weights == weights)
    return next((version_id(number) for number in same), None)
