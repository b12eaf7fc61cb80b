"""A finding in words; whoever decides anything looks at its code."""

from collections.abc import Mapping
from typing import cast

from ..project.receipts import Finding, FindingCode, Reason, RuleVerdict, Standing
from ..text import Told, duration
from ..train.verdicts import told as verdict_told

_MAX_PART = 300
_HOW: Mapping[str, Told] = {
    "equal": Told("equals"),
    "affine": Told("is a linear function of"),
    "monotone": Told("is a monotone function of"),
    "one_to_one": Told("goes one to one with"),
    "word": Told("has a word for each class of"),
}
_LOOKED: Mapping[str, Told] = {
    "near": Told("near duplicates"),
    "groups": Told("groups on both sides"),
    "answers": Told("an input that says the target"),
}
_WORDS: Mapping[FindingCode, Told] = {
    "ran": Told("It runs: {steps} steps and a validation in {run_seconds}, to its end."),
    "ended": Told("It runs: a loop of its own made {steps} steps, and was ended after {run_seconds}."),
    "untrained": Told("It ran to its end in {_seconds}. Nothing that torch trains was seen in it."),
    "crashed": Told("It crashes: {error}. Repair it with repair_version."),
    "diverged": Told("Its numbers break: {error}. A smaller learning rate or clipped gradients may help."),
    "out_of_memory": Told("It runs out of memory: {error}. Ask for less, or for a larger machine."),
    "needs_gpu": Told("It wants a GPU that isn't here: {error}. Use accelerator='auto', or run it where there is one."),
    "needs_network": Told(
        "It wants the network, which the sandbox keeps away: {error}. "
        "Download what it needs before, or let the user set execution_config.network."
    ),
    "needs_arguments": Told("It wants command-line arguments, and gets none: {error}. Give each a default."),
    "needs_package": Told("It imports what this Python lacks: {error}. Install it, or set execution_config.python."),
    "out_of_sight": Told(
        "It wanted {paths}, which this machine has and the sandbox keeps away. "
        "Let the user name what it needs in execution_config.mounts."
    ),
    "stands_in": Told(
        "{file} of the project runs in place of a package that isn't installed: {by} asks for one. "
        "Rename the file, unless that is meant."
    ),
    "hangs": Told("It hung: after {run_seconds} it had not trained a single batch. The last that it said: {last}"),
    "slow": Told("It was ended after {run_seconds} and {batches} batches: it is slow."),
    "left": Told("It leaves what it must: checkpoints, logs, spec.json."),
    "lacks": Told("It leaves no {names}. docs/contract.md says what a training must leave."),
    "completed": Told("The loop fills in: {what}."),
    "left_unseen": Told("What it leaves at its end was not seen."),
    "rule": Told("{rule} = {value} is {verdict}."),
    "rule_unseen": Told("{rule} = {value}: its loop was ended before that could be seen."),
    "took": Told("A training batch is {train}, a validation batch {validation}."),
    "sample": Told("Sample {number}: input {input} · output {output} · target {target}"),
    "not_lightning": Told(
        "It is no Lightning script: no Trainer.fit was called. It may be trained, and less of it can be checked; "
        "03_eval.py has to be written with write_eval."
    ),
    "unrecorded": Told("The recorder missed something: {what}: {error}."),
    "validation_same": Told("The validation set is the same in two processes ({samples} samples)."),
    "validation_differs": Told(
        "The validation set is another one in each process ({samples} samples), so that it would be scored on samples "
        "that it trained on: seed the split. The baseline's patch may do that."
    ),
    "validation_unchecked": Told("Whether the validation set is the same in two processes could not be seen."),
    "no_validation": Told("It validates nothing: no validation batch was seen."),
    "folds": Told(
        "Its {fits} fits have validation sets of their own, and a version is scored on that of the fit that left "
        "best.ckpt: two versions compare where that is the same one. Keep the checkpoint of a certain fit, or write an "
        "evaluator with write_eval."
    ),
    "folds_apart": Told(
        "Its {fits} fits have validation sets of their own, and best.ckpt is here of fit {fit}. A version is scored on "
        "the set of the fit that left best.ckpt: two versions compare where that is the same one. Keep the checkpoint "
        "of a certain fit, or write an evaluator with write_eval."
    ),
    "shared": Told("{shared} of {distinct} validation inputs are in the training data as well."),
    "disjoint": Told("Training and validation share no input ({compared} training inputs compared)."),
    "shared_unchecked": Told("Only {compared} training inputs were held against the validation's: none is shared."),
    "near": Told(
        "{near} of {samples} validation samples are nearly a training sample: validation sample {one} is nearly "
        "training sample {other}. Among {train} training samples {within} are nearly another one. Split before samples "
        "are copied, cut or augmented, or keep what belongs together on one side."
    ),
    "groups_shared": Told(
        "{shared} of the validation's {groups} groups by {name} are in the training data as well, with {number} of "
        "{samples} validation samples (such as {example}). Unless later samples of the same {name} are what is to be "
        "predicted, split by {name}."
    ),
    "feature_is_target": Told(
        "The input says the target: {input} {how} {target}, in all of {samples} samples. Leave it out, unless it will "
        "be known when the model is used."
    ),
    "no_leak": Told(
        "No other leak was found between {train} training and {samples} validation samples. Looked for: {looked}."
    ),
    "leaks_unchecked": Told("Leaks other than the same inputs could not be looked for."),
    "same_score": Told("{metric}: {score}, as the script says itself ({name} {own})."),
    "other_score": Told(
        "{metric}: 03_eval.py finds {score}, the script's own {name} is {own}, for the same weights and samples. "
        "Find out which is right before you train: write_eval replaces the evaluator."
    ),
    "score_alone": Told("{metric}: {score}; the script logs nothing to hold it against."),
    "score_uncompared": Told("{metric}: {score}; the script's {name} {own} is of other samples."),
    "no_evaluator": Told(
        "No template scores the task {task} (they serve {known}): 03_eval.py has to be written with write_eval."
    ),
    "evaluator_failed": Told("03_eval.py can't score it: {error}"),
    "evaluator_slow": Told("03_eval.py was still scoring after {run_seconds}."),
    "no_checkpoint": Told("There is no checkpoint that 03_eval.py could score."),
    "monitors": Told("best.ckpt is chosen by {monitor}, as versions are by {primary}."),
    "monitors_other": Told(
        "best.ckpt is chosen by {monitor}, and versions are compared by {primary}: each training will say what that "
        "cost. To choose it by {primary}, ties by the loss, may be an action."
    ),
    "monitors_nothing": Told("No ModelCheckpoint monitors anything: best.ckpt is the last one, not the best."),
    "night": Told(
        "A version takes about {train_seconds} to train ({epochs} epochs) and {evaluate_seconds} to score; "
        "{versions} versions about {loop_seconds}."
    ),
    "night_unscored": Told(
        "A version takes about {train_seconds} to train ({epochs} epochs), {versions} versions about {loop_seconds}; "
        "how long the scoring takes is not known yet."
    ),
    "night_unknown": Told("How long a version takes could not be measured."),
    "too_long": Told(
        "A training takes about {train_seconds}, and loop_config.max_train_minutes ends it after {limit_seconds}."
    ),
    "hours": Told(
        "loop_config.max_hours ends the loop after {limit_seconds}: time for about {fit} of {versions} versions. A "
        "training that has begun by then is finished."
    ),
    "disk": Told(
        "A version takes {version_bytes} of disk (a checkpoint {checkpoint_bytes}), {versions} versions {loop_bytes}; "
        "{free_bytes} are free."
    ),
    "too_big": Told(
        "A version takes {version_bytes} of disk, {versions} versions {loop_bytes}; there is room for {limit_bytes}."
    ),
}


def told(finding: Finding) -> Told:
    """The finding's sentence, with durations and sizes as people write them."""
    values = {name: _shown(name, value) for name, value in finding.values.items()}
    if "reason" in values:
        values["verdict"] = verdict_told(_verdict(finding.values))
    if finding.code == "feature_is_target":
        values["how"] = _HOW.get(str(values["how"]), values["how"])
    if finding.code == "no_leak":
        values["looked"] = _looked(str(values["looked"]))
    return Told(_WORDS[finding.code].text, values)


def _looked(names: str) -> object:
    first, *more = [_LOOKED[name] for name in names.split() if name in _LOOKED] or [names]
    for one in more:
        first = Told("{first}, {more}", {"first": first, "more": one})
    return first


def verdict_values(verdict: RuleVerdict) -> dict[str, str | int | float | bool | None]:
    """A verdict as the values of a finding, from which `told` makes its words again."""
    parts = {name: getattr(verdict, name)[:_MAX_PART] for name in ("standing", "reason", "found", "beside")}
    return {"rule": verdict.rule, "value": repr(verdict.value), **parts}


def _verdict(values: Mapping[str, str | int | float | bool | None]) -> RuleVerdict:
    return RuleVerdict(
        rule=str(values["rule"]),
        value=None,
        standing=cast(Standing, values["standing"]),
        reason=cast(Reason, values["reason"]),
        found=str(values["found"]),
        beside=str(values["beside"]),
    )


def _shown(name: str, value: object) -> object:
    if isinstance(value, int | float) and not isinstance(value, bool):
        if name.endswith("_seconds"):
            return duration(value)
        if name.endswith("_bytes"):
            return size(value)
        if isinstance(value, float):
            return f"{value:.6g}"
    return Told("unknown") if value is None else value


def size(count: float) -> str:
    for unit in ("B", "kB", "MB", "GB"):
        if count < 1000:
            return f"{count:.3g} {unit}"
        count /= 1000
    return f"{count:.3g} TB"
