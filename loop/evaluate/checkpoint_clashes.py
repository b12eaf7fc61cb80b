"""What the checkpoints say that training used, against what the rules fix (T1)."""

from collections.abc import Mapping
from typing import cast

from pydantic import TypeAdapter, ValidationError

from ..errors import EvaluationError
from ..project.attempts import Attempt
from ..project.receipts import TrainReceipt
from ..rules.reading import Rules
from ..script.fixed import Clash, recorded_clashes, synonyms
from .evaluation_job import CHECKPOINTS


def checkpoint_clashes(attempt: Attempt, rules: Rules) -> tuple[Clash, ...]:
    """Hyper-parameters of best.ckpt and the number of epochs that last.ckpt has seen, where a rule says otherwise.

    Raises `EvaluationError` if what the evaluation's process left of it can't be read; user code may have written it.
    """
    said = _said(attempt)
    found: list[Clash] = []
    for name, values in said.items():
        parameters = cast(Mapping[str, object], values.get("hyper_parameters") or {})
        found += recorded_clashes(parameters, rules.fixed, source=name, extra=rules.file.synonyms)
    epoch = said.get("last.ckpt", {}).get("epoch")
    wanted = next((rule for rule in rules.fixed if rule.name.lower() in synonyms("epochs")), None)
    if wanted is None or type(wanted.value) is not int or type(epoch) is not int:
        return tuple(dict.fromkeys(found))
    if not _fits(attempt, epoch + 1, wanted.value):
        found.append(Clash(wanted.rule, wanted.value, f"{epoch + 1} epochs", "last.ckpt"))
    return tuple(dict.fromkeys(found))


def _fits(attempt: Attempt, epochs: int, wanted: int) -> bool:
    """Whether last.ckpt may be of this epoch: of the last one, or of an earlier one where the logs have them all.

    Lightning's `save_last` writes it only when another checkpoint is written too: not where the last epochs were worse.
    """
    trained = attempt.version.receipt(TrainReceipt)
    return epochs == wanted or (epochs < wanted and trained is not None and trained.epochs == wanted)


def unreadable(attempt: Attempt) -> tuple[str, ...]:
    """Checkpoints whose own record could not be read, as warnings."""
    said = _said(attempt)
    return tuple(f"{name}: {values['unreadable']}" for name, values in said.items() if "unreadable" in values)


def _said(attempt: Attempt) -> Mapping[str, Mapping[str, object]]:
    where = f"{attempt.relative}/{CHECKPOINTS}"
    try:
        return _SAID.validate_json(attempt.project.workspace.tree.read(where))
    except FileNotFoundError:
        return {}
    except ValidationError as error:
        raise EvaluationError("is damaged", where=where, hint="call run_eval again") from error


_SAID = TypeAdapter(dict[str, dict[str, object]])
