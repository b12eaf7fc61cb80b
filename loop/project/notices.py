"""What a Step found worth saying though nothing failed: kept as a key and its values, said in either language."""

from collections.abc import Mapping
from typing import Literal

from pydantic import BaseModel, ConfigDict, model_validator

from ..text import Say, Told, cell, english

NoticeKey = Literal[
    "older",
    "hunk",
    "left_running",
    "put_back",
    "begins_late",
    "unverified",
    "ended_early",
    "shared_inputs",
    "stands_in",
    "packages_changed",
    "unrecorded",
    "asset_links",
    "other_environment",
    "never_ran",
    "not_seen",
    "never_logged",
    "no_best",
    "unwatched",
    "checkpoint_differs",
    "same_weights",
    "metric_missing",
    "primary_missing",
    "loss_differs",
    "checkpoint_unread",
    "other_targets",
    "mean_of_batches",
    "script_says_nothing",
    "script_formula",
    "other_than_script",
    "other_than_logged",
    "other_inputs",
    "other_reading",
    "opaque_batch",
    "not_confined",
    "several_loaders",
    "depends_on_batch",
    "kept_in_disorder",
    "heeds_no_targets",
    "random_inputs",
    "random_range",
    "other_family",
    "not_hidden",
    "own_evaluator",
    "spread",
    "no_weights",
    "unmoved",
    "training_data",
    "by_editor",
    "put_aside",
    "settings_together",
    "tried_before",
    "tried_unscored",
]

TEXTS: Mapping[NoticeKey, str] = {
    # a training
    "left_running": "had to end what it left running: {processes}",
    "stands_in": "{file} of the project ran in place of a package that isn't installed: {by} asked for one",
    "packages_changed": "{folder} changed since the last run, and nothing kept that from writing there: {names}",
    "put_back": "the resumed run left no {name}; that of attempt {attempt} was put back",
    "begins_late": "metrics.csv begins at epoch {epoch}, where the run was resumed",
    "unverified": "{rule} = {value} is {said}",
    "ended_early": "it ended before {rule} = {value} was reached, which {parent} did not: {said}",
    "shared_inputs": "{count} inputs are in its training and in its validation set",
    "unrecorded": "the recorder missed something: {what}: {problem}",
    "asset_links": "additional_assets holds links to elsewhere ({names}): a bundle is made of files,"
    " and leaves these out",
    "other_environment": "it ran with other versions or another device than {parent} ({changes}): a difference between"
    " the two may be theirs",
    "never_ran": "the changed code never ran: no changed line of {names} was reached",
    "not_seen": "the changed code was not seen to run, in as much of the run as was watched: {names}",
    "never_logged": "loop_config.stop_when names {metric!r}, which it never logged; it logged: {logged}",
    "no_best": "loop_config.stop_when {metric!r}: {condition!r} could not end it:"
    " no earlier version has a best value above 0",
    "unwatched": "loop_config.stop_stalled could not end it: nothing was recorded of its steps",
    # an evaluation
    "metric_missing": "metric {metric!r} was not computed",
    "primary_missing": "primary_metric {metric!r} is not among the metrics: this version ranks last",
    "loss_differs": "loss is {loss:.6g}, and the mean of its samples {mean:.6g}",
    "checkpoint_unread": "{name}: {problem}",
    "checkpoint_differs": "the recorder and last.ckpt disagree on {what}: {recorded}, and {saved} in the checkpoint",
    "same_weights": "its weights are those of {version}, tensor by tensor:"
    " the change had no effect, or weights were copied",
    "other_targets": "{differing} of {shared} targets are not those of {version}: the scores don't compare",
    "mean_of_batches": "{metric} is {ours:.6g} over all samples; validation_step logs {name} = {own:.6g}, the mean of"
    " its batches' values",
    "script_says_nothing": "{metric} is by the server's formula; validation_step logs nothing that it could be held"
    " against",
    "script_formula": "{metric} is the script's own {name}: its formula sees version and targets together",
    "other_than_script": "{metric} is {ours:.6g}; validation_step logs {name} = {own:.6g} for the same samples",
    "other_than_logged": "{metric} is {score:.6g}; the training logged {name} = {own:.6g} for best.ckpt{why}",
    "other_inputs": "it changes {differing} of {count} validation inputs: preprocessing",
    "other_reading": "what is scored is {output} of this version, and was {before} of the first one",
    "opaque_batch": "its batches hold {name}, which can't be looked into: its targets may reach the model",
    "not_confined": "the model's process could have read the data set while it answered: {reason}",
    "several_loaders": "the script has {count} validation loaders; {named} (number {loader} from 0) is scored",
    "depends_on_batch": "{differing} of {count} samples get another prediction alone than among others",
    "kept_in_disorder": "with its weights in disorder, {metric} of the first {count} samples is still {left:.4g} of"
    " {score:.4g} ({chance:.4g} by chance): a part of it doesn't come from the weights",
    "heeds_no_targets": "{metric} is the same whatever the targets are",
    "random_inputs": "its validation draws random numbers: here the same ones for every version, in each training"
    " others",
    "other_family": "the task was stated as {stated}; by its outputs and its own numbers it is {family}, and scored so",
    "random_range": "{metric} may be another by {apart:.3g} with other random numbers",
    "not_hidden": "it could have read the data set while it was scored: {reason}",
    "own_evaluator": "it could have read the data set while it was scored: the evaluator is its own",
    # an evaluator's acceptance
    "spread": "two runs of the evaluator differ by {spread:.2g} (relative)",
    "no_weights": "the checkpoint holds no weights that could be put in disorder",
    "unmoved": "{metric} stayed the same for weights in disorder; only other scores moved",
    "training_data": "{script} names training data ({names}): a score on it says nothing of new samples",
    # a next version
    "by_editor": "its change was made with an editor, and taken from {name}",
    "put_aside": "{name} lay there, made by no Step: it is kept as {kept}",
    "settings_together": "{settings} change together: which of them had what effect can't be told from one version",
    "tried_before": "{version} had tried the same ({moves})",
    "tried_unscored": "{version} had tried the same (it has no score)",
}
"""In English, by key. "older" and "hunk" have none: their value `text` is all there is to say."""


class Notice(BaseModel):
    """One such remark. A plain string, from records before schema 2, becomes an "older" one and is shown unchanged."""

    model_config = ConfigDict(frozen=True, extra="forbid", defer_build=True)

    key: NoticeKey
    values: Mapping[str, str | int | float] = {}

    @classmethod
    def of(cls, key: NoticeKey, **values: str | float) -> "Notice":
        return cls(key=key, values=values)

    @model_validator(mode="before")
    @classmethod
    def _older(cls, content: object) -> object:
        return {"key": "older", "values": {"text": content}} if isinstance(content, str) else content

    def told(self, say: Say) -> str:
        """The notice in the language of `say`."""
        said = self.words()
        return said if isinstance(said, str) else said.told(say)

    def words(self, longest: int | None = None) -> Told | str:
        """The words before translation; each text is cut to a line of at most `longest` characters."""
        values = {
            name: cell(value, longest) if longest and isinstance(value, str) else value
            for name, value in self.values.items()
        }
        return Told(TEXTS[self.key], values) if self.key in TEXTS else str(values["text"])

    def __str__(self) -> str:
        return self.told(english)
