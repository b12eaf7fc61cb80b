"""Warm starts: what the scripts begin with, and which jobs are to be expected after another."""

import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

from ..errors import LoopError
from ..jobs.job import RESUME_VARIABLE, Job
from ..jobs.warm.leading_imports import leading_imports, sets_variables
from ..project.attempts import JobKind
from ..project.project import Project
from ..rules.reading import Rules
from ..store.paths import EVAL_SCRIPT, STATE

# How an evaluation's interpreter is started: neither the project's json.py nor its sitecustomize stands in for a module
# that scores.
ISOLATED = ("-I", "-B")
# What comes after a job of either kind; first what is needed first.
_BOTH: Mapping[JobKind, tuple[JobKind, ...]] = {"train": ("eval", "train"), "eval": ("train", "eval")}


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


def train_usable(project: Project, rules: Rules, cur: int) -> tuple[str, ...] | None:
    """usable() of a training: nothing where another program starts its processes."""
    by_itself = rules.file.execution_config.launched_by == "script"
    return usable(rules, train_imports(project, cur)) if by_itself else None


def expect_after(project: Project, rules: Rules, cur: int, job: Job) -> None:
    """Tells the executor what may come after a job of the loop: of the last version only what is sure to come."""
    last = cur >= rules.file.loop_config.max_versions
    kinds: Mapping[JobKind, tuple[JobKind, ...]] = {"train": ("eval",), "eval": ()} if last else _BOTH
    expect(project, rules, cur, lambda: job, kinds[job.kind])


def expect(project: Project, rules: Rules, cur: int, job: Callable[[], Job], kinds: Sequence[JobKind]) -> None:
    """Tells the executor that jobs of these kinds may come, for scripts that begin as version `cur` does.

    They are made from `job`, any of the project's, which is asked for only where that is of use.
    """

    def jobs() -> Iterator[Job]:
        if not kinds:
            return
        found = job()
        python, cwd = found.argv[0], str(project.workspace.root)
        env = {name: value for name, value in found.env.items() if name != RESUME_VARIABLE}
        like = replace(found, cwd=cwd, env=env)
        for kind in kinds:
            if kind == "eval":
                imports = usable(rules, eval_imports(project, cur))
                yield replace(like, kind=kind, argv=(python, *ISOLATED, "run_evaluator.py"), imports=imports)
            else:
                imports = train_usable(project, rules, cur)
                yield replace(like, kind=kind, argv=(python, "train.py"), imports=imports)

    with suppress(LoopError, OSError):  # it only helps
        project.executor.expect(lambda: tuple(jobs()), project.workspace.root / STATE)
