"""What a training really did: how its recorder gets into it, and what that left beside the attempt."""

from collections.abc import Sequence

from ..errors import LoopError
from ..jobs.job import Recording
from ..jobs.placing import Needs, level, seen
from ..project.attempts import Attempt
from ..project.receipts import StartReceipt, TrainReceipt
from ..project.version import Version
from ..record import injection, lines
from ..record.parts import Opened
from ..record.ranks import RunFacts, run_facts
from ..rules.reading import Rules
from .artifacts import records
from .verdicts import Run


def recording(attempt: Attempt, watched: Sequence[int] = ()) -> Recording:
    """How each Python process of the training leaves its facts; the folder must be there when it starts.

    Of the lines of its script that are `watched` it is told if they ran.
    """
    script = attempt.project.workspace.tree.path(attempt.version.script_name)
    facts = attempt.project.workspace.tree.path(attempt.facts)
    return Recording(
        variables={injection.FACTS: str(facts), injection.LIVE: "1", **lines.asked(script, watched)},
        python_path=str(injection.RECORDER / "site"),
        source=injection.late_install(facts),
    )


def needs(attempt: Attempt, *, resumed: bool) -> Needs:
    """What a training has of the project besides what all jobs have."""
    version, project = attempt.version, attempt.project
    own = (f"{project.workspace.resume}/{version.id}",) if resumed else ()
    return Needs(project.dataset_id, (version.artifacts, attempt.facts), own)


def out_of_sight(attempt: Attempt, rules: Rules, given: Needs, opened: Opened) -> tuple[str, ...]:
    """What a run wanted of this machine and could not see, as execution_config.mounts may name it."""
    project, config = attempt.project, rules.file.execution_config
    try:
        if config.executor != "local" or not level(config).confined:
            return ()
        python, env = project.interpreter(rules), project.environment(rules)
        sight = seen(python, env, attempt.path, project.workspace, config, given)
    except LoopError:  # it is said where the next job is started
        return ()
    return tuple(str(path) for path in sight.out_of_sight(opened))


def facts_of(attempt: Attempt) -> RunFacts:
    """What the processes of this attempt left. Never raises for what lies there; the script could have written it."""
    return run_facts(attempt.project.workspace.tree.path(attempt.facts))


def parents_facts(version: Version) -> RunFacts | None:
    """What the training of the version before did; None for the first, and where nothing was recorded."""
    parent = version.parent
    receipt = parent.receipt(TrainReceipt) if parent is not None else None
    if parent is None or receipt is None:
        return None
    found = facts_of(parent.attempt("train", receipt.attempt))
    return found if found.fits or found.loops else None


def run_of(attempt: Attempt) -> Run:
    """All that the verdicts on this attempt look at."""
    version = attempt.version
    return Run(facts_of(attempt), version.id, parents_facts(version), records(version), asked(version))


def asked(version: Version) -> frozenset[str]:
    """The rules that the start set nowhere, since only the user can say which of several places is meant."""
    start = Version(version.project, 1).receipt(StartReceipt)
    return frozenset(start.asked if start else ())
