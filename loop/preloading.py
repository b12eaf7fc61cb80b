"""Warm starts: what the scripts begin with, and which jobs are to be expected after another."""

import sys
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

from .errors import LoopError
from .project import Project
from .rules import Rules
from .running.job import RESUME_VARIABLE, Job
from .scripts.leading import leading_imports, sets_variables
from .workspace import EVAL_SCRIPT, STATE

# How an evaluation's interpreter is started: neither the project's json.py nor its sitecustomize stands in for a module
# that scores.
ISOLATED = ("-I", "-B")


def train_imports(project: Project, cur: int) -> tuple[str, ...]:
    """What the version's script imports before it does anything."""
    root = project.workspace.root
    return leading_imports(root / project.workspace.script(cur), root)


def eval_imports(project: Project, cur: int) -> tuple[str, ...]:
    """What is imported before an evaluator runs: what the version's script imports, then what the evaluator does.

    The script's comes first, so that an interpreter can be made ready before there is an evaluator. If one of the two
    sets variables, only the evaluator's count: it runs first, and the script's variables are not for it.
    """
    script, root = train_imports(project, cur), project.workspace.root
    own = leading_imports(root / EVAL_SCRIPT, root) if project.workspace.tree.is_file(EVAL_SCRIPT) else ()
    if sets_variables(script) or sets_variables(own):
        return own
    return tuple(dict.fromkeys((*script, *own)))


def usable(rules: Rules, imports: Sequence[str]) -> tuple[str, ...] | None:
    """The imports if a warm start is wanted and would gain anything: the standard library is imported in no time."""
    if not rules.file.execution_config.warm_start:
        return None
    packages = {item.lstrip("?").partition(":")[0].partition(".")[0] for item in imports if "=" not in item}
    return tuple(imports) if packages - sys.stdlib_module_names else None


def expect_after(project: Project, rules: Rules, cur: int, job: Job) -> None:
    """Tells the executor what may come next: the other half of the version, the next version, or this one again."""

    def jobs() -> tuple[Job, Job]:
        python, cwd = job.argv[0], str(project.workspace.root)
        env = {name: value for name, value in job.env.items() if name != RESUME_VARIABLE}
        train, score = train_imports(project, cur), eval_imports(project, cur)
        like = replace(job, cwd=cwd, env=env)
        return (
            replace(like, kind="eval", argv=(python, *ISOLATED, "child.py"), imports=usable(rules, score)),
            replace(like, kind="train", argv=(python, "train.py"), imports=usable(rules, train)),
        )

    with suppress(LoopError, OSError):  # the job runs; this is for the next
        project.executor.expect(jobs, project.workspace.root / STATE)
