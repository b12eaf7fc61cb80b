"""Which logged name means a metric: `val_acc` for accuracy."""

import re
from collections.abc import Iterable, Mapping

_ALSO: Mapping[str, tuple[str, ...]] = {
    "accuracy": ("acc", "top1"),
    "loss": (),
    "f1": ("f1_score", "f1score"),
    "auroc": ("auc", "roc_auc"),
    "r2": ("r2_score",),
}
_SET = re.compile(r"^(?:val|valid|validation|eval|dev)[_/.]|[_/.](?:val|valid|validation|epoch|dataloader_idx_0)$")


def same_name(metric: str, names: Iterable[str]) -> str | None:
    """The first of `names` that means this metric; a plain "loss" is the training's."""
    known = list(names)
    for wanted in (metric.lower(), *_ALSO.get(metric.lower(), ())):
        for name in known:
            bare = _SET.sub("", _SET.sub("", name.lower()))
            if bare == wanted and (name.lower() != bare or wanted != "loss"):
                return name
    return None
