"""Reads samples one at a time, as a service does, so that nothing is padded but by the data itself."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch

from ..errors import EvalError
from ..formulas import greedy
from ..trees import at, count, digest, is_texts, leaves, rows, shape, texts
from .reading import Reading, blanked, entering, matches, readings, secret
from .session import Session
from .spelling import VOCABULARY, Parts, Vocabulary, classes_of, parts_of, size_of, target_of
from .walk import How, single_batches

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.

_SPOKEN = "predict_step"


class Read(NamedTuple):
    """Every sample: its answer, its target as class numbers or text, the script's loss of it, its input's digest."""

    answers: list[Any]
    classes: list[list[int] | None]
    written: list[str | None]
    losses: list[float] | None
    inputs: list[str]
    how: How

    def said(self, spelling: Vocabulary | None) -> list[str]:
        """The text of each answer."""
        return [spelled(one, spelling) for one in self.answers]

    def right(self, spelling: Vocabulary | None) -> list[str]:
        """The text of each target. Raises `EvalError` where they are class numbers that nothing spells."""
        return [
            text if text is not None else _required(spelling).spell(numbers or ())
            for numbers, text in zip(self.classes, self.written)
        ]


def read_all(session: Session, vocabulary: Vocabulary | None, output: str | None, *, judged: bool) -> Read:
    """Asks about every sample alone; `judged` also for the loss that the script gives it."""
    how: How | None = None
    answers: list[Any] = []
    classes: list[list[int] | None] = []
    written: list[str | None] = []
    inputs: list[str] = []
    losses: list[float] | None = [] if judged else None
    for tree, _ in single_batches(session, [[row] for row in range(_samples(session))]):
        parts = parts_of(tree)
        target = at(tree, target_of(tree, parts))
        how = how or _how(session, tree, parts, vocabulary, output)
        found = session.model(op="answer", batch=blanked(tree, how.hidden), reading=how.output)
        answers.append(read_one(found, how))
        classes.append(None if is_texts(target) else classes_of(tree, parts)[0])
        written.append(texts(target)[0] if is_texts(target) else None)
        paths = [path for path, _ in leaves(tree) if path not in parts]
        inputs.append(digest(tree, paths, 0, 1))
        if losses is not None:
            loss = _loss(session, tree, len(answers) - 1)
            losses = [*losses, loss] if loss is not None else None
    if how is None:
        raise EvalError("the validation loader gave 0 samples, expected at least one. Next: check its collate_fn")
    return Read(answers, classes, written, losses, inputs, how)


def read_one(found: Any, how: How) -> Any:
    """One sample's text, or its frames (frames, classes), from what the model's process answered."""
    if how.output != _SPOKEN:
        return found[0] if found.shape[0] == 1 else found[:, 0]
    if not is_texts(found) or len(found.items) != 1:
        raise EvalError(
            f"predict_step gave {shape(found)} for one sample. Next: return a list of one text (repair_version)"
        )
    return found.items[0][1]


def _samples(session: Session) -> int:
    known: int | None = session.about["samples"]
    return known if known is not None else sum(size_of(tree) for tree, _ in session.batches())


def _loss(session: Session, tree: Any, number: int) -> float | None:
    step, error = session.tried(op="judge", batch=tree, index=number)
    if error is not None:
        raise EvalError(
            f"validation_step fails on a batch of one sample (number {number}): {error}. "
            "Next: let it take any batch size (repair_version)"
        )
    return step["loss"]["value"] if step["loss"] else None


def _how(session: Session, tree: Any, parts: Parts, vocabulary: Vocabulary | None, output: str | None) -> How:
    """Decides by a first sample how all are asked: by `predict_step` if the script has one, else by greedy CTC."""
    hidden = [path for path in parts if path is not None]
    if session.speaks and output in (None, _SPOKEN):
        return How(_SPOKEN, tuple(hidden), (), parts.target)
    found = session.model(op="discover", batch=tree, tell=False)
    made = [one for one in readings(found, count(tree) or 1) + _frames(found) if matches(one.output, output)]
    reading = next((one for one in made if _is_frames(one.first, vocabulary)), None)
    if reading is None:
        named = "is missing" if vocabulary is None else f"has {len(vocabulary.tokens)} tokens"
        shapes = ", ".join(f"{one.output} {list(one.first.shape)}" for one in made[:4]) or "none"
        raise EvalError(
            f"no output scores every class of each frame (outputs of one sample: {shapes}), and {VOCABULARY} "
            f"{named}. Next: let the script write all its classes there, the blank as <blank>, or give it a "
            "predict_step that returns texts (repair_version)"
        )
    inputs = entering(found)
    if any(reading.output in call["outputs"] and call["direct"] for call in found["calls"]):
        secrets = [path for path, leaf in leaves(tree) if path not in inputs and rows(leaf) is not None]
    else:
        secrets = secret(tree, 1, inputs, parts.target, hidden, direct=False)
    return How(reading.output, tuple(secrets), tuple(inputs), parts.target)


def _is_frames(value: torch.Tensor, vocabulary: Vocabulary | None) -> bool:
    if vocabulary is None or value.dim() != 3 or 1 not in value.shape[:2]:
        return False
    return value.shape[2] == len(vocabulary.tokens) and value.is_floating_point()


def _frames(found: dict[str, Any]) -> list[Reading]:
    """Outputs with the frames first, which don't have the samples as rows."""
    return [
        Reading(key, "", one, ())
        for call in reversed(found["calls"])
        for key, one in reversed(list(call["outputs"].items()))
    ]


def spelled(answer: Any, vocabulary: Vocabulary | None) -> str:
    if isinstance(answer, str):
        return answer
    known = _required(vocabulary)
    return known.spell(greedy(answer, known.blank))


def _required(vocabulary: Vocabulary | None) -> Vocabulary:
    if vocabulary is None:
        raise EvalError(
            f"targets are class numbers, and {VOCABULARY} is missing. Next: let the script write it (repair_version)"
        )
    return vocabulary
