"""What the script itself said of best.ckpt: the values that its training logged in the epoch of that checkpoint.

A published score is held against it. The evaluator has compared formulas on the same batches already; what differs
here is something else: other data, other weights, another precision.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import PurePath
from string import Formatter

from pydantic import BaseModel, ConfigDict, ValidationError

from ...errors import EvaluationError
from ...project.attempts import Attempt
from ...project.notices import TEXTS, Notice, NoticeKey
from ...project.receipts import Metric, TrainReceipt
from ...project.version import Version
from ...record.facts import Section
from ...record.parts import SavedBest
from ...record.ranks import RunFacts
from ...store.digest import sha256
from ...train.completing import left_files
from ...train.measured import facts_of
from ..evaluator_files import takes_protocol
from ..evaluator_parts.tasks import loader_of, same_name

EVALUATION = "evaluation.json"
_BEST = "best.ckpt"
# Of a hundred samples one that falls to the other side is a difference; sums in another order are none.
_RELATIVE, _ABSOLUTE = 2e-3, 1e-4
_LOW_PRECISION = 3e-2
_MAX_BYTES = 1 << 20


class Said(BaseModel):
    """What the evaluator says beside the score: notes, whose formula each number is, and means of batches' values.

    `loader` is the number of the validation loader that is scored, `inputs` a digest of the first version's, whatever
    their order.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", defer_build=True)

    notes: tuple[dict[str, str | int | float | bool | None], ...] = ()
    formulas: dict[str, str] = {}
    means: dict[str, tuple[float, ...]] = {}
    loader: int = 0
    inputs: str = ""

    @property
    def apart(self) -> dict[str, float]:
        """What other random numbers alone may make of each metric, where validation draws any."""
        drawn = [note for note in self.notes if note.get("key") == "random_range"]
        return {str(note["metric"]): float(value) for note in drawn if isinstance(value := note["apart"], int | float)}

    @property
    def keys(self) -> frozenset[str]:
        return frozenset(str(note.get("key")) for note in self.notes)


@dataclass(frozen=True)
class Difference:
    """A metric that isn't what was logged. `why` is what explains it, in words; None where nothing does."""

    metric: str
    score: float
    name: str
    own: float
    why: str | None


def said_by(attempt: Attempt, out: str) -> Said:
    """Empty for an evaluator that isn't the loop's own. Raises `EvaluationError` for a file that can't be read."""
    tree, where = attempt.project.workspace.tree, f"{out}/{EVALUATION}"
    if not takes_protocol(attempt.project) or not tree.is_file(where):
        return Said()
    try:
        return Said.model_validate_json(tree.read(where, limit=_MAX_BYTES))
    except ValidationError as error:
        raise EvaluationError("is damaged", where=where, hint="call run_eval again") from error


def notices(said: Said) -> Iterator[Notice]:
    """The evaluator's notes that have words; what was found as it should be has none."""
    for note in said.notes:
        key = note.get("key")
        if isinstance(key, str) and key in TEXTS:
            values = {name: value for name, value in note.items() if name != "key" and value is not None}
            if _places(TEXTS[_known(key)]) <= values.keys():
                yield Notice.of(_known(key), **values)


def _places(text: str) -> set[str]:
    return {name for _, name, _, _ in Formatter().parse(text) if name}


def _known(key: str) -> NoticeKey:
    return next(one for one in TEXTS if one == key)


def fit_of_best(version: Version) -> int:
    """Which of the script's calls of `Trainer.fit` left best.ckpt, by what was recorded; 1 if nothing tells."""
    facts = _facts(version)
    if facts is None or len(facts.fits) < 2:
        return 1
    number = _left_best(version, facts)
    began = facts.fits[number].first.began
    return 1 + number + sum(trial.first.began < began for trial in facts.trials)


def differences(version: Version, metrics: Sequence[Metric], said: Said) -> tuple[Difference, ...]:
    """The metrics that differ from what the training logged in best.ckpt's epoch."""
    facts = _facts(version)
    if facts is None or not facts.fits:
        return ()
    section = facts.fits[_left_best(version, facts)].first
    logged = {name: value for name, value in logged_for_best(section).items() if math.isfinite(value)}
    found: list[Difference] = []
    for metric in metrics:
        name = same_name(metric.name, logged, str(said.loader))
        if name is None or _close(metric.value, logged[name], section):
            continue
        why = _why(metric, name, logged[name], section, said)
        found.append(Difference(metric.name, metric.value, name, logged[name], why))
    return tuple(found)


def _facts(version: Version) -> RunFacts | None:
    receipt = version.receipt(TrainReceipt)
    return facts_of(version.attempt("train", receipt.attempt)) if receipt is not None else None


def _left_best(version: Version, facts: RunFacts) -> int:
    """The last fit that kept these very bytes, as folds of which the script copies one; else a best.ckpt of its own."""
    tree, best = version.project.workspace.tree, f"{version.artifacts}/{_BEST}"
    if len(facts.fits) > 1 and tree.is_file(best):
        wanted = sha256(tree, best)
        for number, fit in reversed(tuple(enumerate(facts.fits))):
            paths = (one.best_model_path for one in fit.first.checkpoints)
            if any(sha256(tree, name) == wanted for name in left_files(version, paths)):
                return number
    kept = [number for number, fit in enumerate(facts.fits) if any(map(_is_best, fit.first.checkpoints))]
    return kept[-1] if kept else len(facts.fits) - 1


def _is_best(saver: SavedBest) -> bool:
    return saver.best_model_path is not None and PurePath(saver.best_model_path).name == _BEST


def saver_of_best(section: Section) -> SavedBest | None:
    """What kept best.ckpt; else what kept any best checkpoint."""
    saver = next((one for one in section.checkpoints if _is_best(one)), None)
    return saver or next((one for one in section.checkpoints if one.best_epoch is not None), None)


def logged_for_best(section: Section) -> dict[str, float]:
    """What was logged for the validation after which the best checkpoint was saved."""
    rows = [row for row in section.metrics.rows if row.role == "validation"]
    saver = saver_of_best(section)
    if saver is not None and saver.best_epoch is not None:
        rows = [row for row in rows if row.epoch == saver.best_epoch] or rows
    return {name: value for row in rows[-1:] for name, value in row.values.items() if value is not None}


def _close(score: float, own: float, section: Section) -> bool:
    precision = section.settings.precision if section.settings is not None else None
    limit = section.settings.limit_val_batches if section.settings is not None else None
    # Where fewer samples were validated, that is said, and no precision excuses it.
    exact = precision is None or re.match(r"(?:32|64)", precision) or limit not in (None, 1.0)
    relative = _RELATIVE if exact else _LOW_PRECISION
    return math.isclose(score, own, rel_tol=relative, abs_tol=max(_ABSOLUTE, relative / 10))


def _why(metric: Metric, name: str, own: float, section: Section, said: Said) -> str | None:
    """What explains the difference: how the script adds up batches, data that are random, several loaders."""
    if any(_close(mean, own, section) for mean in said.means.get(metric.name, ())):
        return ", the mean of its batches' values"
    if abs(metric.value - own) <= said.apart.get(metric.name, -1.0):
        return ", with other random numbers"
    loaders = section.loaders_of("validation")
    if len(loaders) > 1 and loader_of(name)[1] is None:
        return f", over {len(loaders)} loaders"
    if section.settings is not None and section.settings.world_size > 1:
        return f", over {section.settings.world_size} processes"
    limit = section.settings.limit_val_batches if section.settings is not None else None
    if limit not in (None, 1.0):
        return f", on as much of its validation set as limit_val_batches = {limit} left"
    return None


def told(found: Sequence[Difference]) -> Iterator[Notice]:
    for one in found:
        yield Notice.of(
            "other_than_logged", metric=one.metric, score=one.score, name=one.name, own=one.own, why=one.why or ""
        )


def require_own_word(found: Sequence[Difference]) -> None:
    """Raises `EvaluationError` with both numbers, at acceptance, where nothing explains a difference."""
    wrong = [one for one in found if one.why is None]
    if not wrong:
        return
    parts = [f"{one.metric} is {one.score:.6g}, and the training logged {one.name} = {one.own:.6g}" for one in wrong]
    raise EvaluationError(
        f"the weights in best.ckpt get another score here than in their training: {'; '.join(parts)}. The formulas"
        " agree on the same batches, so the samples or the weights are others",
        where="best.ckpt",
        hint="let the script seed the split of its data and what its validation draws, and leave best.ckpt of the data"
        " that it is judged on, with repair_version; or score it by an evaluator of your own, with write_eval(source)",
    )
