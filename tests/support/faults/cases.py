"""Every mutating Step, just before it is called: what prepares the project, and the call itself."""

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from ..projects import ACTION, ANALYSIS, EVALUATOR, RULES, TRAINER, Folder, diff, edited

Call = Mapping[str, Any]
# A job that ends by itself once this file is there.
_SECOND = "second-try"
_UNLESS = f'not __import__("pathlib").Path("{_SECOND}").exists()'
FAILING = edited(TRAINER, ("rows = fit()\n", "rows = fitt()\n"))
KILLED = edited(
    TRAINER,
    (
        "    save(threshold)\n",
        f"    save(threshold)\n    if {_UNLESS}:\n        __import__('os').kill(__import__('os').getpid(), 9)\n",
    ),
)
GATED = edited(
    TRAINER,
    ("rows = fit()\n", f"rows = fit()\n    while {_UNLESS}:\n        __import__('time').sleep(0.01)\n"),
)
UNSCORABLE = edited(TRAINER, ('"threshold": threshold}', '"limit": threshold}'))
_ROOTED = f'not (Path(arguments.project) / "{_SECOND}").exists()'
GATED_EVALUATOR = edited(EVALUATOR, ("def main():\n", f"def main():\n    while {_ROOTED}:\n        time.sleep(0.01)\n"))
FAILING_EVALUATOR = edited(
    EVALUATOR, ("def main():\n", f"def main():\n    if {_ROOTED}:\n        raise SystemExit(3)\n")
)


def do(what: str, **arguments: Any) -> Call:
    return {"do": what, "arguments": arguments}


def _diff(old: str, new: str) -> Callable[[Folder], str]:
    def of(folder: Folder) -> str:
        text = folder.read("02_train_v001.py")
        return diff(text, edited(text, (old, new)), "02_train_v001.py")

    return of


@dataclass(frozen=True)
class Case:
    """`stage` is the phase to which a loop is brought first; None is a project without a loop.

    `before` are the calls that lead to just before the Step, with jobs that run beside; `call` is the Step; `after`
    comes before the loop goes on to its end. `lookup` makes arguments that depend on the prepared project. `again`: the
    same call may start a job anew, when the fault has taken one or came when all was done.
    """

    name: str
    stage: str | None
    call: Call
    before: tuple[Call, ...] = ()
    after: tuple[Call, ...] = ()
    trainer: str = TRAINER
    executor: str = "deferred"
    again: bool = False
    lookup: Mapping[str, Callable[[Folder], str]] = field(default_factory=dict[str, Callable[[Folder], str]])

    def step(self, folder: Folder) -> Call:
        found = {name: look(folder) for name, look in self.lookup.items()}
        return {**self.call, "arguments": {**self.call["arguments"], **found}}


_OPENED = (do("write", path=_SECOND, text=""),)
_TRAINED = (do("start_loop"), do("run_train", version=1), do("wait"))
_EVALUATED = (do("run_eval", version=1), do("wait"), do("run_eval", version=1))
_CHANGED_RULES = {**RULES, "loop_config": {"max_versions": 2, "max_attempts": 6}}

CASES: tuple[Case, ...] = (
    Case("start_loop", None, do("start_loop")),
    Case(
        "run_train, start",
        None,
        do("run_train", version=1),
        before=(do("start_loop"),),
        trainer=GATED,
        executor="local",
        after=_OPENED,
        again=True,
    ),
    Case("run_train, settle a success", None, do("run_train", version=1), before=_TRAINED),
    Case("run_train, settle a failure", None, do("run_train", version=1), before=_TRAINED, trainer=FAILING),
    Case(
        "run_train, settle an interruption",
        None,
        do("run_train", version=1),
        before=_TRAINED,
        trainer=KILLED,
        after=_OPENED,
        again=True,
    ),
    Case(
        "run_train, start resumed",
        None,
        do("run_train", version=1, resume=True),
        before=(*_TRAINED, do("run_train", version=1), do("write", path=_SECOND, text="")),
        trainer=KILLED,
        again=True,
    ),
    Case(
        "cancel_run",
        None,
        do("cancel_run", version=1),
        before=(do("start_loop"), do("run_train", version=1)),
        trainer=GATED,
        executor="local",
        after=_OPENED,
    ),
    Case(
        "repair_version",
        None,
        do("repair_version", version=1, root_cause="a typing error", change_summary="typed again"),
        before=(*_TRAINED, do("run_train", version=1)),
        trainer=FAILING,
        lookup={"diff": _diff("rows = fitt()", "rows = fit()")},
    ),
    Case("write_eval", "evaluate", do("write_eval", source=EVALUATOR)),
    Case("write_eval, correct", "author", do("write_eval", source=EVALUATOR + "# corrected\n")),
    Case(
        "repair_version, after an evaluation",
        None,
        do("repair_version", version=1, root_cause="another key", change_summary="its own key"),
        before=(*_TRAINED, do("run_train", version=1), do("write_eval", source=EVALUATOR), *_EVALUATED),
        trainer=UNSCORABLE,
        lookup={"diff": _diff('"limit": threshold}', '"threshold": threshold}')},
    ),
    Case(
        "run_eval, start",
        "evaluate",
        do("run_eval", version=1),
        before=(do("write_eval", source=GATED_EVALUATOR),),
        executor="local",
        after=_OPENED,
        again=True,
    ),
    Case(
        "run_eval, publish",
        "evaluate",
        do("run_eval", version=1),
        before=(do("write_eval", source=EVALUATOR), do("run_eval", version=1), do("wait")),
    ),
    Case(
        "run_eval, fail",
        "evaluate",
        do("run_eval", version=1),
        before=(do("write_eval", source=FAILING_EVALUATOR), do("run_eval", version=1), do("wait")),
        after=_OPENED,
        again=True,
    ),
    Case("write_analysis", "analysis", do("write_analysis", version=1, **ANALYSIS)),
    Case("write_action", "action", do("write_action", version=1, **ACTION)),
    Case(
        "author_next_version",
        "author",
        do("author_next_version", version=1),
        lookup={"diff": _diff("LEARNING_RATE = 0.2", "LEARNING_RATE = 0.5")},
    ),
    Case("final_report", "report", do("final_report")),
    Case("final_report, its analysis", "done", do("final_report", analysis="The higher rate did it.")),
    Case(
        "accept_rules",
        "train",
        do("accept_rules"),
        before=(do("write", path="user_defined_rules.json", text=json.dumps(_CHANGED_RULES)),),
    ),
    Case(
        "accept_protocol",
        "analysis",
        do("accept_protocol"),
        before=(do("write", path="03_eval.py", text=EVALUATOR + "# the same, said otherwise\n"),),
    ),
)
