"""Each fixed value is in force, broken or not verified, by what a training did and not by what its script says."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from progressive_training.loop.project.receipts import RuleVerdict
from progressive_training.loop.record.facts import ProcessFacts
from progressive_training.loop.record.ranks import RunFacts, merged
from progressive_training.loop.script.fixed import Fixed, with_others
from progressive_training.loop.train.verdicts import Run, measurable, told, verdicts

pytestmark = pytest.mark.requirement("T1", "C2")
SEEDED = {"call": "torch.manual_seed", "value": 42, "by": "seed_everything", "where": "02_train_v001.py:22"}


def span(first: float, *others: float) -> dict[str, Any]:
    steps = (first, *others)
    changes = sum(a != b for a, b in zip(steps, others, strict=False))
    return {"first": first, "lowest": min(steps), "highest": max(steps), "last": steps[-1], "changes": changes}


def group(*lr: float, decay: float = 0.0, tensors: int = 4, **settings: Any) -> dict[str, Any]:
    return {
        "tensors": tensors,
        "parameters": 10 * tensors,
        "lr": span(*lr),
        "weight_decay": span(decay),
        "settings": settings,
    }


def loader(size: int = 32, rest: int = 8, epochs: int = 3, **others: Any) -> dict[str, Any]:
    drawn = [[rest, epochs], [size, 6 * epochs]] if rest else [[size, 6 * epochs]]
    return {
        "role": "train",
        "backwards": 7 * epochs,
        "loader": "DataLoader",
        "dataset": "TensorDataset",
        "workers": 0,
        "drawn": drawn,
        "sizes": drawn,
        "contents": {"rows": 200, "distinct_inputs": 200, "whole": True},
        "passes": {"count": epochs},
        **others,
    }


def fit(
    epochs: int = 3,
    *,
    limit: int = 3,
    by: str = "max_epochs",
    what: str | None = None,
    groups: list[dict[str, Any]] | None = None,
    optimizer: str = "Adam",
    settings: Mapping[str, Any] | None = None,
    steps: int | None = None,
    each: int = 7,
    **others: Any,
) -> dict[str, Any]:
    """A fit of seven batches an epoch, or of `each`; `limit` is its max_epochs."""
    rows = [{"epoch": epoch, "batches": each, "steps": each, "whole": True} for epoch in range(epochs)]
    return {
        "kind": "fit",
        "began": 1.0,
        "seconds": 1.0,
        "batches": 7 * epochs,
        "epochs": {"count": epochs, "rows": rows},
        "settings": {"max_epochs": limit, "max_steps": -1, "precision": "32-true", **(settings or {})},
        "generators": {"torch_seed": 42},
        "loaders": [loader(epochs=epochs)],
        "optimizers": [
            {"class": optimizer, "steps": 7 * epochs if steps is None else steps, "groups": groups or [group(0.01)]}
        ],
        "end": {"by": by, "what": what},
        **others,
    }


def facts(*sections: dict[str, Any], seeds: list[dict[str, Any]] | None = None, **others: Any) -> RunFacts:
    process = {"schema": 1, "pid": 2, "ended": True, "sections": sections, "seeds": seeds or [SEEDED], **others}
    return merged([ProcessFacts.model_validate(process)])


def verdict(name: str, value: Any, run: RunFacts | Run) -> RuleVerdict:
    whole = run if isinstance(run, Run) else Run(run)
    (found,) = verdicts([Fixed(f"training_config.{name}", name, value)], {}, whole)
    return found


def standing(name: str, value: Any, run: RunFacts | Run) -> tuple[str, str]:
    found = verdict(name, value, run)
    return found.standing, found.reason


def child(run: RunFacts, parent: RunFacts | None = None) -> Run:
    return Run(run, "v002", facts(fit()) if parent is None else parent)


TEST = {"kind": "test", "began": 2.0, "seconds": 1.0, "test_samples": 30}
TRIAL = {"kind": "tuner", "within": "fit", "began": 0.5, "seconds": 1.0, "batches": 30}


@pytest.mark.parametrize(
    ("run", "expected"),
    [
        (facts(fit()), ("in force", "measured")),
        (facts(fit(), TEST), ("in force", "measured")),
        (facts(fit(), fit(), fit()), ("in force", "measured")),
        (facts(fit(4, limit=4)), ("broken", "other_value")),
        (facts(fit(2, limit=2), fit(5, limit=5)), ("broken", "other_value")),
        (facts(fit(2, limit=2), fit()), ("not verified", "fits_differ")),
        (facts(fit(1, by="early_stopping", what="EarlyStopping")), ("in force", "ended_early")),
        (facts(fit(1, by="should_stop")), ("in force", "ended_early")),
        (facts(fit(1, limit=50, by="early_stopping")), ("broken", "other_value")),
        (facts(fit(2, limit=2)), ("broken", "other_value")),
        (facts(fit(12)), ("broken", "other_value")),
        (facts(fit(2, epoch_before=1)), ("in force", "measured")),
        (facts(fit(3, epoch_before=3, limit=6)), ("broken", "other_value")),
        (facts(TRIAL, fit()), ("in force", "measured")),
    ],
    ids=[
        *("as fixed", "a test afterwards", "three folds", "one more", "none as fixed", "only the last as fixed"),
        *("early stopping", "its own stop", "a higher limit ended early", "a lower limit", "progress set back"),
        *("resumed", "a trainer that goes on", "a tuner before"),
    ],
)
def test_epochs_are_those_that_each_fit_trained(run: RunFacts, expected: tuple[str, str]) -> None:
    assert standing("epochs", 3, run) == expected


@pytest.mark.parametrize(
    "run",
    [
        facts(fit(), fit()),
        facts(fit(), opened={"read": {}, "weights": ["/p/Models/Artifacts/v001/best.ckpt"]}),
        facts(fit(loaders=[loader(contents={"rows": 2000, "distinct_inputs": 200, "whole": True})])),
        facts(
            fit(),
            script={
                "kind": "script",
                "began": 0.0,
                "seconds": 1.0,
                "optimizers": [{"class": "SGD", "steps": 9, "groups": []}],
            },
        ),
        facts(fit(), fit(2, limit=2)),
    ],
    ids=["fits once more", "begins with v001's weights", "each sample ten times", "steps of its own", "one fit more"],
)
def test_a_version_that_trains_more_than_its_parent_breaks_the_epochs(run: RunFacts) -> None:
    assert verdict("epochs", 3, child(run)).standing == "broken"


def test_of_several_folds_it_is_said_whose_model_is_the_best_checkpoint() -> None:
    def saver(path: str, epoch: int) -> list[dict[str, Any]]:
        return [{"class": "ModelCheckpoint", "best_model_path": f"Models/Artifacts/v001/{path}", "best_epoch": epoch}]

    each = [fit(checkpoints=saver("best.ckpt", epoch)) for epoch in (0, 2)]
    found = verdict("epochs", 3, facts(*each))
    assert (found.standing, found.beside) == ("in force", "2 fits, each of its own; best.ckpt is of fit 2, epoch 2")
    each[1] = fit(checkpoints=saver("best-v1.ckpt", 2))
    assert verdict("epochs", 3, facts(*each)).beside == "2 fits, each of its own; best.ckpt is of fit 1, epoch 0"


def test_folds_that_were_there_from_the_start_stay_in_force() -> None:
    folds = facts(fit(), fit(), fit())
    assert standing("epochs", 3, child(folds, folds)) == ("in force", "measured")


@pytest.mark.parametrize(
    ("loaders", "expected"),
    [
        ([loader()], ("in force", "measured")),
        ([loader(rest=0)], ("in force", "measured")),
        ([loader(16)], ("broken", "other_value")),
        ([loader(64, rest=8)], ("broken", "other_value")),
        ([loader(), loader(8, rest=0)], ("not verified", "loaders_differ")),
        ([loader(drawn=[[10, 5], [20, 6], [30, 7]])], ("not verified", "sizes_vary")),
        ([loader(sizes=[[64, 21]])], ("in force", "measured")),
        ([{**loader(), "role": "validation", "drawn": [[64, 3]]}], ("not verified", "no_facts")),
    ],
    ids=["as fixed", "no rest", "half", "double", "two loaders", "by length", "two views of a sample", "validation"],
)
def test_batch_sizes_are_those_that_were_drawn_for_training(
    loaders: list[dict[str, Any]], expected: tuple[str, str]
) -> None:
    assert standing("batch_size", 32, facts(fit(loaders=loaders))) == expected


def test_the_effective_batch_stands_beside_the_one_that_is_fixed() -> None:
    found = verdict("batch_size", 32, facts(fit(steps=5)))
    assert found.standing == "in force" and found.beside.startswith("effective batch 134: 4.2 batches a step")


@pytest.mark.parametrize(
    ("more", "said"),
    [
        ({"steps": 5}, "4.2 batches"),
        ({"forwards": [{"batch": 32, "module": "N", "calls": 1, "samples": 32 * n} for n in (1, 4, 8)]}, "ever more"),
        ({"loaders": [loader(sizes=[[8, 21]])]}, "only 0.25"),
    ],
    ids=["accumulated", "a buffer of earlier batches", "cut by collate"],
)
def test_a_version_that_makes_other_batches_of_the_fixed_ones_breaks_the_rule(more: dict[str, Any], said: str) -> None:
    found = verdict("batch_size", 32, child(facts(fit(**more))))
    assert (found.standing, found.reason) == ("broken", "beyond_parent") and said in found.found


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([group(0.01)], ("in force", "measured")),
        ([group(0.01), group(0.01)], ("in force", "measured")),
        ([group(0.0012)], ("broken", "other_value")),
        ([group(1e-5), group(0.01)], ("not verified", "groups_differ")),
        ([group(0.01, 0.005, 0.001)], ("in force", "scheduled")),
        ([group(0.001, 0.01, 0.001)], ("in force", "scheduled")),
        ([group(0.001, 0.005, initial_lr=0.01)], ("in force", "scheduled")),
        ([group(0.004, 0.1, 0.0)], ("not verified", "own_schedule")),
        ([group(0.3, initial_lr=0.01)], ("broken", "other_value")),
    ],
    ids=[
        *("as fixed", "two groups", "a tuner's", "a backbone's own", "decays", "peaks there", "warms up"),
        *("one cycle of its own", "a factor on all"),
    ],
)
def test_learning_rates_are_those_of_the_steps(groups: list[dict[str, Any]], expected: tuple[str, str]) -> None:
    assert standing("learning_rate", 0.01, facts(fit(groups=groups))) == expected


@pytest.mark.parametrize(
    "groups", [[group(0.02, 0.5, 0.0)], [group(0.01), group(0.3)], [group(0.3)]], ids=["schedule", "groups", "all"]
)
def test_a_version_that_brings_in_another_rate_breaks_the_rule(groups: list[dict[str, Any]]) -> None:
    assert standing("learning_rate", 0.01, child(facts(fit(groups=groups)))) == ("broken", "other_value")


def test_a_schedule_that_was_there_from_the_start_may_not_rise() -> None:
    before = facts(fit(groups=[group(0.004, 0.1, 0.0)]))
    higher = facts(fit(groups=[group(0.004, 0.2, 0.0)]))
    assert standing("learning_rate", 0.01, child(before, before)) == ("not verified", "own_schedule")
    assert standing("learning_rate", 0.01, child(higher, before)) == ("broken", "other_value")


@pytest.mark.parametrize(
    ("groups", "expected"),
    [
        ([group(0.01, decay=0.05)], ("in force", "measured")),
        ([group(0.01, decay=0.05), group(0.01, decay=0.0)], ("in force", "partly_none")),
        ([group(0.01)], ("broken", "other_value")),
        ([group(0.01, decay=0.05), group(0.01, decay=0.1)], ("not verified", "groups_differ")),
    ],
    ids=["as fixed", "none for biases", "the default", "another"],
)
def test_weight_decay_is_that_of_the_groups(groups: list[dict[str, Any]], expected: tuple[str, str]) -> None:
    assert standing("weight_decay", 0.05, facts(fit(groups=groups))) == expected


def test_a_rate_moves_only_where_no_rule_says_constant() -> None:
    moving, still = facts(fit(groups=[group(0.01, 0.001)])), facts(fit())
    assert standing("lr_scheduler", "constant", moving) == ("broken", "other_value")
    assert standing("lr_scheduler", None, still) == ("in force", "measured")


@pytest.mark.parametrize(
    ("seeds", "used", "expected"),
    [
        ([SEEDED], 42, ("in force", "measured")),
        ([{**SEEDED, "value": 7}], 7, ("broken", "other_value")),
        ([SEEDED, {"call": "torch.manual_seed", "value": 7}], 7, ("not verified", "seeds_differ")),
        ([{"call": "random.seed", "value": 3}], 1234567, ("not verified", "never_seeded")),
        ([SEEDED, {"call": "torch.seed", "value": 99}], 99, ("not verified", "seeds_differ")),
    ],
    ids=["as fixed", "another", "another later", "never", "drawn anew"],
)
def test_seeds_are_those_set_before_the_first_fit(
    seeds: list[dict[str, Any]], used: int, expected: tuple[str, str]
) -> None:
    assert standing("seed", 42, facts(fit(generators={"torch_seed": used}), seeds=seeds)) == expected


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (facts(fit(1, by="should_stop")), "1 epochs of 3, ended by should_stop"),
        (facts(fit(2, by="max_steps")), "2 epochs of 3, ended by max_steps"),
        (facts(fit(each=3)), "an epoch has 3 batches, its parent's 7"),
    ],
    ids=["its own stop", "a limit of steps", "epochs cut short"],
)
def test_a_version_that_trains_less_than_its_parent_breaks_the_epochs(run: RunFacts, said: str) -> None:
    found = verdict("epochs", 3, child(run))
    assert (found.standing, found.reason, found.found) == ("broken", "beyond_parent", said)


@pytest.mark.parametrize(
    "run",
    [
        facts(fit(1, by="early_stopping", what="EarlyStopping")),
        facts(fit(each=3, loaders=[loader(dataset_length=80)])),
        facts(fit(each=3, loaders=[loader(sampler="WeightedRandomSampler")])),
        facts(fit(each=4, settings={"world_size": 2})),
        facts(fit(loaders=[loader(contents={"rows": 200, "distinct_inputs": 126, "whole": True})])),
    ],
    ids=["early stopping", "a smaller training set", "another sampler", "two processes", "drawn with replacement"],
)
def test_less_training_for_a_reason_keeps_the_epochs(run: RunFacts) -> None:
    assert verdict("epochs", 3, child(run)).standing == "in force"


@pytest.mark.parametrize(
    "more",
    [
        {"call": "numpy.random.default_rng", "value": 7},
        {"call": "torch.seed", "value": 99},
        {"call": "numpy.random.default_rng", "value": None, "seeded": False},
        {"call": "torch.set_rng_state", "value": None},
    ],
    ids=["another generator", "drawn anew", "a generator without a seed", "a state of its own"],
)
def test_a_version_that_brings_in_another_start_breaks_the_seed(more: dict[str, Any]) -> None:
    used = more["value"] or 42
    run = child(facts(fit(generators={"torch_seed": used}), seeds=[SEEDED, more]))
    assert verdict("seed", 42, run).standing == "broken"


@pytest.mark.parametrize(("value", "expected"), [(7, "broken"), (42, "in force"), (None, "in force")])
def test_training_batches_are_drawn_by_the_fixed_seed(value: int | None, expected: str) -> None:
    assert verdict("seed", 42, child(facts(fit(loaders=[loader(generator_seed=value)])))).standing == expected


def test_a_generator_that_was_there_from_the_start_is_the_users() -> None:
    shuffled = facts(fit(loaders=[loader(generator_seed=0)]))
    assert standing("seed", 42, child(shuffled, shuffled)) == ("in force", "measured")


def test_a_model_of_the_same_size_that_begins_otherwise_is_told_beside_the_seed() -> None:
    small, large = ({"module": "Net", "parameters": count} for count in (10, 99))
    before = facts(fit(weights="aa", settings=small))
    assert "begin other" in verdict("seed", 42, child(facts(fit(weights="bb", settings=small)), before)).beside
    assert verdict("seed", 42, child(facts(fit(weights="bb", settings=large)), before)).beside == ""


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("precision", 32, ("in force", "measured")),
        ("precision", "bf16", ("broken", "other_value")),
        ("optimizer", "torch.optim.Adam", ("in force", "measured")),
        ("optimizer", "sgd", ("broken", "other_value")),
        ("max_steps", 21, ("in force", "measured")),
        ("max_steps", 20, ("broken", "other_value")),
        ("gradient_clip_val", 0.5, ("in force", "measured")),
        ("grad_clip", 1.0, ("broken", "other_value")),
        ("accumulate_grad_batches", 2, ("not verified", "no_facts")),
        ("num_workers", 0, ("in force", "measured")),
        ("devices", 1, ("in force", "measured")),
        ("devices", "auto", ("not verified", "no_facts")),
        ("patience", 5, ("in force", "measured")),
        ("momentum", 0.9, ("in force", "measured")),
        ("dropout", 0.3, ("not verified", "nothing_measures")),
    ],
)
def test_other_values_are_those_that_trainers_loaders_and_optimizers_were_set_to(
    name: str, value: Any, expected: tuple[str, str]
) -> None:
    settings = {"gradient_clip_val": 0.5, "early_stopping": [{"monitor": "val_loss", "patience": 5}]}
    run = facts(fit(settings=settings, groups=[group(0.01, momentum=0.9)]))
    assert standing(name, value, run) == expected


def test_what_nothing_measures_is_the_script_s_own_word_or_broken_by_it() -> None:
    records: dict[str, dict[str, object]] = {"hparams.yaml": {"model.dropout": 0.3}, "spec.json": {}}
    run = Run(facts(fit()), records=records)
    assert standing("dropout", 0.3, run) == ("in force", "stated")
    found = verdict("dropout", 0.5, run)
    assert (found.standing, found.found) == ("broken", "hparams.yaml, model.dropout says 0.3")
    assert not measurable(Fixed("training_config.dropout", "dropout", 0.5), {})
    assert measurable(Fixed("training_config.lr", "lr", 0.5), {})


def test_what_was_measured_outranks_what_the_script_says() -> None:
    records: dict[str, dict[str, object]] = {"hparams.yaml": {"batch_size": 64, "epochs": 9}, "metrics.csv": {}}
    run = Run(facts(fit()), records=records)
    assert standing("batch_size", 32, run) == standing("epochs", 3, run) == ("in force", "measured")


def test_a_run_without_facts_leaves_a_rule_not_verified_and_says_why() -> None:
    found = verdict("weight_decay", 0.05, merged([]))
    assert (found.standing, found.reason) == ("not verified", "no_facts")
    assert str(told(found)) == "not verified: the run left no facts of it facts: no process left any"


def test_loops_of_the_script_s_own_are_measured_by_their_loaders_and_optimizers() -> None:
    own = {key: value for key, value in fit().items() if key in ("loaders", "optimizers", "batches")}
    own["loaders"] = [{**loader(), "role": None}]
    run = facts(script={"kind": "script", "began": 0.0, "seconds": 1.0, **own})
    found = {
        name: verdict(name, value, run).standing for name, value in (("epochs", 3), ("batch_size", 32), ("lr", 0.01))
    }
    assert set(found.values()) == {"in force"}
    assert verdict("epochs", 4, run).standing == "broken"


def of_several(run: RunFacts | Run, *rules: tuple[str, Any], asked: tuple[str, ...] = ()) -> dict[str, tuple[str, str]]:
    whole = replace(run if isinstance(run, Run) else Run(run), asked=frozenset(asked))
    fixed = with_others([Fixed(key, key.rpartition(".")[2], value, key.rpartition(".")[0]) for key, value in rules])
    return {one.rule: (one.standing, one.reason) for one in verdicts(fixed, {}, whole)}


IN_FORCE = ("in force", "measured")
TWO_GROUPS = facts(fit(groups=[group(1e-5), group(0.01)]))
TWO_FITS = facts(fit(2, limit=2), fit())


def test_parts_that_have_rules_of_their_own_are_judged_each_by_its_own() -> None:
    rates = (("learning_rate", 0.01), ("backbone.lr", 1e-5))
    assert of_several(TWO_GROUPS, *rates) == {"learning_rate": IN_FORCE, "backbone.lr": IN_FORCE}
    assert of_several(TWO_GROUPS, ("learning_rate", 0.01), ("backbone.lr", 1e-4))["learning_rate"][1] == "groups_differ"
    assert of_several(TWO_GROUPS, ("learning_rate", 0.01), ("backbone.lr", 1e-4))["backbone.lr"][0] == "broken"
    epochs = (("epochs", 3), ("pre.max_epochs", 2))
    assert of_several(TWO_FITS, *epochs) == {"epochs": IN_FORCE, "pre.max_epochs": IN_FORCE}
    assert of_several(child(facts(fit(2, limit=2), fit(2, limit=2), fit()), TWO_FITS), *epochs)["epochs"][0] == "broken"


def test_a_pretraining_that_was_always_there_may_not_grow() -> None:
    assert of_several(child(TWO_FITS, TWO_FITS), ("epochs", 3))["epochs"] == ("not verified", "fits_differ")
    longer = facts(fit(50, limit=50), fit())
    assert of_several(child(longer, TWO_FITS), ("epochs", 3))["epochs"] == ("broken", "beyond_parent")


def test_what_the_start_asked_about_is_not_broken_by_what_was_always_there() -> None:
    asked = ("learning_rate",)
    assert of_several(TWO_GROUPS, ("learning_rate", 0.5)) == {"learning_rate": ("broken", "other_value")}
    found = of_several(TWO_GROUPS, ("learning_rate", 0.5), asked=asked)
    assert found == {"learning_rate": ("not verified", "asked")}
    other = facts(fit(groups=[group(1e-5), group(0.01)], optimizer="AdamW"))
    assert of_several(child(other, TWO_GROUPS), ("learning_rate", 0.5), asked=asked) == found
    raised = facts(fit(groups=[group(1e-5), group(0.02)]))
    assert of_several(child(raised, TWO_GROUPS), ("learning_rate", 0.5), asked=asked)["learning_rate"][0] == "broken"
