"""The server's guess: which job comes next, and which imports its interpreter may have done by then.

A warm start gains the seconds that `import torch` takes. For that the interpreter has to wait with the right packages
before anybody asks for the job, so each job that starts says what may follow it.
"""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace

from ...errors import LoopError
from ...rules.execution import ExecutionConfig
from ...store.paths import EVAL_SCRIPT, STATE, Workspace
from ..executor import Executor
from ..job import LATE_VARIABLES, Job, JobKind
from .leading_imports import leading_imports, sets_variables

# How an evaluation's interpreter is started: neither the project's json.py nor its sitecustomize can take the place of
# a module that scores.
ISOLATED = ("-I", "-B")


@dataclass(frozen=True)
class NextJobs:
    """The jobs that are likely to come, for training scripts that begin as `script` does."""

    workspace: Workspace
    config: ExecutionConfig
    script: str

    def expect(self, executor: Executor, like: Callable[[], Job], kinds: Sequence[JobKind]) -> None:
        """Asks the executor to get ready for jobs of these kinds, most urgent first.

        `like` makes any job of the project, since the next ones have its interpreter, variables and sandbox; an
        executor that keeps no interpreters never calls it. Whatever goes wrong here is no error of the caller's: the
        job then starts cold, and says itself what is wrong.
        """
        with suppress(LoopError, OSError):
            executor.expect(lambda: tuple(self._jobs(like(), kinds)) if kinds else (), self.workspace.root / STATE)

    def expect_after(self, executor: Executor, job: Job, *, last: bool) -> None:
        """Asks the executor to get ready for what follows `job`, which has just started.

        Of the last version that the rules allow only its evaluation is sure to come; of another one both kinds are,
        since a training may have to be repeated and the next version is trained after the evaluation.
        """
        after_training: tuple[JobKind, ...] = ("eval",) if last else ("eval", "train")
        after_evaluation: tuple[JobKind, ...] = () if last else ("train", "eval")
        self.expect(executor, lambda: job, after_training if job.kind == "train" else after_evaluation)

    def train_preload(self) -> tuple[str, ...] | None:
        """What a training's interpreter may import before the job; None where it must start cold.

        That is so where torchrun or srun start the processes: the one interpreter that waits would be none of them.
        """
        return self._worthwhile(self._script_imports()) if self.config.launched_by == "script" else None

    def eval_preload(self) -> tuple[str, ...] | None:
        """What an evaluation's interpreter may import before the job; None where it must start cold."""
        return self._worthwhile(self.eval_imports())

    def eval_imports(self) -> tuple[str, ...]:
        """What is imported before an evaluator runs, warm or cold, so that its random numbers are the same in both.

        The training script's imports come first: an interpreter can then be made ready before there is an evaluator.
        Where one of the two sets variables, only the evaluator's imports count: it runs first, and the script's
        variables are not meant for it.
        """
        script, root = self._script_imports(), self.workspace.root
        own = leading_imports(root / EVAL_SCRIPT, root) if self.workspace.tree.is_file(EVAL_SCRIPT) else ()
        if sets_variables(script) or sets_variables(own):
            return own
        return tuple(dict.fromkeys((*script, *own)))

    def _script_imports(self) -> tuple[str, ...]:
        return leading_imports(self.workspace.root / self.script, self.workspace.root)

    def _worthwhile(self, imports: Sequence[str]) -> tuple[str, ...] | None:
        """The imports; None if the user wants no warm start, or all are of the standard library and take no time."""
        if not self.config.warm_start:
            return None
        packages = {item.lstrip("?").partition(":")[0].partition(".")[0] for item in imports if "=" not in item}
        return tuple(imports) if packages - sys.stdlib_module_names else None

    def _jobs(self, known: Job, kinds: Sequence[JobKind]) -> Iterator[Job]:
        """Stand-ins for the next jobs: what they write and the script's name are unknown, and don't matter."""
        python, env = known.argv[0], {name: value for name, value in known.env.items() if name not in LATE_VARIABLES}
        like = replace(known, cwd=str(self.workspace.root), env=env)
        for kind in kinds:
            if kind == "train":
                yield replace(like, kind=kind, argv=(python, "train.py"), imports=self.train_preload())
            else:
                argv = (python, *ISOLATED, "run_evaluator.py")
                yield replace(like, kind=kind, argv=argv, imports=self.eval_preload())
