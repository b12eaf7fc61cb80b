"""Step 0: start the loop."""

from typing import Annotated

from pydantic import Field

from ..loop.project.project import Project
from ..loop.project.version import Version
from ..loop.store.paths import version_id
from .results import StepResult, where_now


class StartResult(StepResult):
    dataset_id: str
    task_type: str | None
    val_samples: int | None
    findings: tuple[str, ...]


def start_loop(
    project: Project,
    dataset_id: str | None = None,
    patch: Annotated[str | None, Field(description="diff that makes the baseline consistent, never better")] = None,
    *,
    from_baseline: bool = False,
) -> StartResult:
    """Start (or adopt) the loop when the user asks for it: freezes the data set, audits the baseline, makes v001."""
    from ..loop.author import start
    from ..loop.train import training

    started = start.start_loop(project, dataset_id, patch, from_baseline=from_baseline)
    if not started.already_done:
        training.expect_first(Version(project, started.cur), project.rules())
    state, following = where_now(project)
    findings = [*started.findings]
    findings += [f"stats.json doesn't say: {name}" for name in started.stats.unknown]
    verb = "was started already" if started.already_done else "is started"
    loop = started.loop
    return StartResult(
        message=f"The loop {verb} on data set {loop.dataset_id} (from: {loop.dataset_source}), "
        f"at {version_id(started.cur)}.",
        phase=state.phase,
        version=started.cur,
        already_done=started.already_done,
        dataset_id=loop.dataset_id,
        task_type=loop.task_type,
        val_samples=loop.val_samples,
        findings=tuple(findings),
        next=following,
    )
