"""Every number of an evaluation, as a formula of outputs and targets alone.

kinds → classes · multilabel · tokens · language_model · values · masks (mask_losses) · texts · generation (rouge) ·
ranking · boxes: a family each, or two → names: what people call them.

    family = family_of("image classification")
    output, target = family.shaped(joined(outputs), joined(targets))
    formula(family, "val_acc").compute(family.predicted(output), target)
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from ..tasks import lower_is_better, task_family, words_of
from .boxes import DETECTION, Boxes
from .classes import CLASSIFICATION
from .generation import GENERATION
from .kinds import IGNORED, Family, Formula
from .language_model import LANGUAGE_MODEL
from .masks import SEGMENTATION
from .multilabel import MULTILABEL
from .names import find
from .ranking import RETRIEVAL
from .texts import SEQUENCE, ctc_loss, delimiter_of, greedy, spell, wer
from .tokens import TOKENS, entity_metrics
from .values import FORECASTING, REGRESSION

__all__ = [
    "FAMILIES",
    "IGNORED",
    "Boxes",
    "Family",
    "Formula",
    "ctc_loss",
    "delimiter_of",
    "entity_metrics",
    "family_of",
    "formula",
    "greedy",
    "joined",
    "lower_is_better",
    "spell",
    "variants",
    "wer",
    "words_of",
]

FAMILIES = {
    family.name: family
    for family in (
        CLASSIFICATION,
        MULTILABEL,
        TOKENS,
        REGRESSION,
        FORECASTING,
        SEGMENTATION,
        SEQUENCE,
        GENERATION,
        LANGUAGE_MODEL,
        RETRIEVAL,
        DETECTION,
    )
}


def family_of(task_type: str) -> Family | None:
    """The family that a task is of, by its words in English or Korean."""
    name = task_family(task_type)
    return FAMILIES[name] if name else None


def formula(family: Family, name: str) -> Formula | None:
    """The metric of that name or of one of its usual spellings, such as "acc", "mIoU" or "val/f1_score"."""
    return find(family, name)


def variants(family: Family, name: str) -> list[Formula]:
    """What a script may mean by the name, the usual first: F1 over classes, then that of class 1, and so on."""
    first = formula(family, name)
    if first is None:
        return []
    names = [other for group in family.alike if first.name in group for other in group]
    return [family.metrics[other] for other in dict.fromkeys((first.name, *names))]


def joined(parts: Sequence[Any]) -> Any:
    """Batches of a family's form as one: tensors below each other, lists after each other."""
    if not parts:
        raise ValueError("there are no samples")
    if all(isinstance(part, Tensor) for part in parts):
        return torch.cat(list(parts))
    return [one for part in parts for one in part]
