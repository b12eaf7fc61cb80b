"""What the checkpoints say that training used, against what the rules fix and what was measured (T1).

An evaluation's child reads them (user_python/read_checkpoint.py, record/checkpoint_facts.py), never this process.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from ...errors import EvaluationError
from ...project.attempts import Attempt
from ...project.notices import Notice
from ...project.receipts import EvalPlan, TrainReceipt
from ...record.disagreements import CheckpointFacts, Disagreement, disagreements
from ...rules.reading import Rules
from ...script.fixed import Clash, Fixed, agrees, recorded_clashes
from ...script.synonyms import synonyms
from ...train.measured import facts_of

CHECKPOINTS = "said/checkpoints.json"
"""What the child leaves in the attempt."""


class _Said(BaseModel):
    """What the child found in one checkpoint; user code could have written it."""

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    unreadable: str | None = None
    epoch: int | None = None
    hyper_parameters: dict[str, bool | int | float | str | None] = Field(default_factory=dict)
    weights: str | None = None
    facts: CheckpointFacts | None = None


def checkpoint_clashes(attempt: Attempt, rules: Rules) -> tuple[Clash, ...]:
    """Where a checkpoint has another value than a rule.

    Of a rule that was measured only what the script can't easily bend counts: epochs and optimizers in last.ckpt. Of
    others, hyper-parameters are the script's own word.
    Raises `EvaluationError` if what the evaluation's process left of it can't be read.
    """
    said, trained = _said(attempt), attempt.version.receipt(TrainReceipt)
    verdicts = trained.rules if trained is not None else ()
    measured = {one.rule for one in verdicts if one.standing == "in force" and one.reason != "stated"}
    open_rules = [rule for rule in rules.fixed if rule.rule not in measured]
    found: list[Clash] = []
    for name, values in said.items():
        found += recorded_clashes(values.hyper_parameters, open_rules, source=name, extra=rules.file.synonyms)
    found += _epochs(said.get("last.ckpt"), rules.fixed, trained, measured)
    found += _rates(attempt, rules)
    return tuple(dict.fromkeys(found))


def checkpoint_warnings(attempt: Attempt) -> tuple[Notice, ...]:
    """Checkpoints that could not be read, and where last.ckpt and the recorder say different things."""
    unreadable = (
        Notice.of("checkpoint_unread", name=name, problem=one.unreadable)
        for name, one in _said(attempt).items()
        if one.unreadable is not None
    )
    differing = (
        Notice.of("checkpoint_differs", what=one.what, recorded=one.recorded, saved=one.saved)
        for one in _disagreements(attempt)
    )
    return (*unreadable, *differing)


def weights(attempt: Attempt, plan: EvalPlan) -> str:
    """The digest of best.ckpt's tensors; of all its bytes where it has none that can be read."""
    said = _said(attempt).get("best.ckpt")
    return (said.weights if said is not None else None) or plan.checkpoint_sha256


def _epochs(
    last: _Said | None, fixed: Sequence[Fixed], trained: TrainReceipt | None, measured: set[str]
) -> Iterator[Clash]:
    """Epochs that last.ckpt has seen. It may be of an earlier one, where the run itself had as many as the rule says.

    Lightning's `save_last` writes it only when another checkpoint is written too: not where the last epochs were worse.
    """
    rule = next((rule for rule in fixed if rule.name.lower() in synonyms("epochs")), None)
    if rule is None or type(rule.value) is not int or last is None or last.epoch is None:
        return
    epochs = last.epoch + 1
    had = rule.rule in measured or (trained is not None and trained.epochs == rule.value)
    if epochs > rule.value or (epochs < rule.value and not had):
        yield Clash(rule.rule, rule.value, f"{epochs} epochs", "last.ckpt")


def _rates(attempt: Attempt, rules: Rules) -> Iterator[Clash]:
    """Rates of the optimizers in last.ckpt that are neither the rule's nor those that were recorded."""
    names: Mapping[Literal["lr", "weight_decay"], str] = {"lr": "learning_rate", "weight_decay": "weight_decay"}
    for one in _disagreements(attempt):
        meant = synonyms(names[one.what]) if one.what in names else frozenset[str]()
        for rule in rules.fixed:
            if rule.name.lower() in meant and not agrees(rule, one.saved):
                yield Clash(rule.rule, rule.value, f"{one.saved}, recorded as {one.recorded}", "last.ckpt")


def _disagreements(attempt: Attempt) -> tuple[Disagreement, ...]:
    last, trained = _said(attempt).get("last.ckpt"), attempt.version.receipt(TrainReceipt)
    if last is None or last.facts is None or trained is None:
        return ()
    return disagreements(facts_of(attempt.version.attempt("train", trained.attempt)), last.facts)


def _said(attempt: Attempt) -> Mapping[str, _Said]:
    where = f"{attempt.relative}/{CHECKPOINTS}"
    try:
        return _SAID.validate_json(attempt.project.workspace.tree.read(where))
    except FileNotFoundError:
        return {}
    except ValidationError as error:
        raise EvaluationError("is damaged", where=where, hint="call run_eval again") from error


_SAID = TypeAdapter(dict[str, _Said])
