"""Which names mean the same hyper-parameter, and where a name doesn't mean what it says."""

import re
from collections.abc import Mapping, Sequence
from types import MappingProxyType

from .places import OPTIMIZERS, Setting

SYNONYMS: Mapping[str, frozenset[str]] = MappingProxyType(
    {
        key: frozenset(names.split())
        for key, names in {
            "epochs": "epochs max_epochs num_epochs n_epochs nb_epochs total_epochs train_epochs training_epochs"
            " num_train_epochs max_epoch num_epoch",
            "batch_size": "batch_size train_batch_size batchsize bs batch per_device_train_batch_size",
            "learning_rate": "lr learning_rate learningrate init_lr initial_lr base_lr",
            "weight_decay": "weight_decay weightdecay wd l2 l2_reg",
            "seed": "seed random_seed manual_seed global_seed rng_seed train_seed",
            "optimizer": "optimizer optimiser optim optimizer_name optimizer_type",
            "dropout": "dropout dropout_rate dropout_p dropout_prob drop_rate",
            "momentum": "momentum sgd_momentum",
            "max_steps": "max_steps max_train_steps max_training_steps",
            "gradient_clip_val": "gradient_clip_val gradient_clip gradient_clip_norm grad_clip grad_clip_val"
            " grad_clip_norm clip_grad clip_grad_norm max_grad_norm",
            "accumulate_grad_batches": "accumulate_grad_batches accumulation_steps accum_steps grad_accum"
            " grad_accumulation_steps gradient_accumulation_steps",
            "precision": "precision",
            "num_workers": "num_workers n_workers dataloader_workers",
            "patience": "patience early_stopping_patience early_stop_patience",
            "label_smoothing": "label_smoothing smoothing",
            "warmup_steps": "warmup_steps num_warmup_steps",
            "warmup_epochs": "warmup_epochs num_warmup_epochs",
        }.items()
    }
)
"""Lower-case names of each hyper-parameter; compared without regard to case, `-` and leading `_`.

Beside these names, `Dropout(p=…)` and `Dropout(…)` are `dropout`, a positional learning rate of an optimiser or batch
size of a DataLoader is one, and `seed_everything(…)`, `manual_seed(…)`, `random.seed(…)` are `seed`.
Not meant by a name: the batch size of a validation, test or prediction loader and of `self.log`; a rate within a
scheduler; the patience of ReduceLROnPlateau; the momentum of a normalisation layer; the zero weight decay of a
parameter group (biases and norms usually have none).
"""


def synonyms(name: str, extra: Mapping[str, Sequence[str]] | None = None) -> frozenset[str]:
    """Every name, normalised, that means the same as `name`; itself always.

    `extra` adds a user's own names, by the rule's name or any synonym of it.
    """
    own = normalised(name)
    found = {own}.union(*(group for group in SYNONYMS.values() if own in group))
    for key, names in (extra or {}).items():
        theirs = {normalised(key), *map(normalised, names)}
        if theirs & found:
            found |= theirs
    return frozenset(found)


def normalised(name: str) -> str:
    """The name as synonyms are compared."""
    return name.lower().replace("-", "_").lstrip("_")


def names_rule(setting: Setting, names: frozenset[str]) -> bool:
    """Whether the place's name is one of `names`, whatever the place is."""
    name = normalised(setting.name)
    if name == "p":
        return "dropout" in names and "dropout" in (setting.callee or "").lower()
    return name in names


def speaks_of(setting: Setting, names: frozenset[str]) -> bool:
    """Whether the place sets the hyper-parameter with these `names` (of `synonyms`)."""
    if not names_rule(setting, names):
        return False
    absent = setting.value is None and setting.kind in ("default", "argparse")
    return not absent and not _means_another(setting, names)


def is_for_evaluation(names: Sequence[str]) -> bool:
    """Whether names of loaders, functions or keys are about validation, test or prediction, and not also training."""
    words = [word for name in names for word in _words(name)]
    return any(word in _EVALUATION for word in words) and not any(word.startswith("train") for word in words)


def is_scheduler(name: str) -> bool:
    """Whether a callee, class or key is a learning-rate schedule's."""
    if "optim" in name.lower():  # build_optimizer_and_scheduler
        return False
    words = ("scheduler", "plateau", "warmup", "_schedule")
    return bool(re.search(r"[a-z]LR$", name)) or any(word in name.lower() for word in words)


def _means_another(setting: Setting, names: frozenset[str]) -> bool:
    callee = setting.callee or ""
    number = isinstance(setting.value, int | float)
    if "batch_size" in names:
        if normalised(setting.name) == "batch" and setting.kind in ("keyword", "default", "field") and not number:
            return True  # the batch itself
        own = setting.symbol if setting.kind == "field" else setting.symbol.rpartition(".")[2]
        return callee in ("log", "log_dict") or is_for_evaluation((own, *setting.context))
    if "learning_rate" in names:
        keys = setting.context if setting.kind == "field" else ()
        return any(map(is_scheduler, (callee, *setting.symbol.split("."), *keys)))
    if "weight_decay" in names:
        return callee == "param_groups" and setting.value == 0
    if "momentum" in names:
        return "norm" in callee.lower()
    if "patience" in names:
        return is_scheduler(callee)
    if "precision" in names:
        return callee in ("set_printoptions", "set_option", "array2string", "format_float_positional")
    if "optimizer" in names:
        return not isinstance(setting.value, str)  # the optimiser itself, not its name
    return False


_EVALUATION = frozenset(
    {"val", "valid", "validation", "validate", "dev", "test", "testing", "eval", "evaluate", "evaluation", "evaluator"}
    | {"predict", "prediction", "predictions", "infer", "inference"}
)
_SUFFIX = re.compile(r"(?<=[a-z])(data)?(loader|set|loaders|sets|dl|ds|data)$")


def _words(name: str) -> list[str]:
    parts = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])", name)
    lowered = [part.lower() for part in parts]
    return [*lowered, *(_SUFFIX.sub("", word) for word in lowered)]


def optimizer_name(value: object) -> str:
    """The bare lower-case class name of an optimiser: `adamw` of `torch.optim.AdamW`."""
    return str(value).rpartition(".")[2].lower()


def is_optimizer(callee: str) -> bool:
    """Whether a callee is a well-known optimiser's class."""
    return callee in OPTIMIZERS
