"""user_defined_rules.json and user_instruction.md, as values."""

from pathlib import Path

import pytest

from progressive_training.loop.errors import RulesError
from progressive_training.loop.rules.json_places import place_of_constant, place_of_repeated_key, place_of_value
from progressive_training.loop.rules.reading import parse_rules, read_rules
from progressive_training.loop.script.fixed import Fixed

TEXT = """{
  "a": {"b": [1, {"c": "x \\" } y"}], "한글": -Infinity},
  "b": 2, "a": 3
}"""


@pytest.mark.requirement("C1")
def test_the_place_of_a_value_a_repeated_key_and_a_constant_is_found() -> None:
    assert place_of_value(TEXT, ()) == "1:1"
    assert place_of_value(TEXT, ("a", "b")) == "2:14"
    assert place_of_value(TEXT, ("a", "b", 1, "c")) == "2:24"
    assert place_of_value(TEXT, ("b",)) == "3:8"
    assert place_of_value(TEXT, ("a", "nothing")) is None
    assert place_of_repeated_key(TEXT) == "3:11"
    assert place_of_constant(TEXT) == "2:44"
    assert place_of_constant('{"x": "NaN"}') is None
    assert place_of_repeated_key('{"x": {"y": 1}, "y": {"x": 1}, "z": [{"x": 1}, {"x": 2}]}') is None


@pytest.mark.parametrize("text", ["", "}", "]]", "{1: 2}", '{"a"', "[,]", '{"a": [}', ":", '"'])
def test_places_in_what_is_not_json_are_none_and_no_crash(text: str) -> None:
    assert place_of_repeated_key(text) is None
    assert place_of_constant(text) is None


@pytest.mark.requirement("C1", "T1")
def test_what_training_config_names_is_fixed_and_the_seed_only_if_it_was_given(tmp_path: Path) -> None:
    assert read_rules(tmp_path).fixed == ()
    text = '{"training_config": {"epochs": 3, "scheduler": null, "amp": true, "betas": [0.9, 0.99]}}'
    (tmp_path / "user_defined_rules.json").write_text(text)
    fixed = {one.rule: one.value for one in read_rules(tmp_path).fixed}
    assert fixed == {"training_config.epochs": 3, "training_config.scheduler": None, "training_config.amp": True}


@pytest.mark.requirement("T1")
def test_fixed_values_keep_their_type_and_path(tmp_path: Path) -> None:
    (tmp_path / "user_defined_rules.json").write_text('{"seed": 0, "training_config": {"lr": 0.001, "note": {"x": 1}}}')
    assert read_rules(tmp_path).fixed == (Fixed("training_config.lr", "lr", 0.001), Fixed("seed", "seed", 0))


@pytest.mark.requirement("C4", "E3", "E4")
def test_defaults_are_ten_versions_the_loss_and_ten_samples() -> None:
    rules = parse_rules(b"{}", "r.json")
    assert (rules.loop_config.max_versions, rules.eval_config.primary_metric) == (10, "loss")
    assert (rules.eval_config.infer_samples, rules.seed) == (10, 42)


@pytest.mark.requirement("E1")
def test_the_loss_is_always_among_the_metrics_and_none_is_there_twice(tmp_path: Path) -> None:
    (tmp_path / "user_defined_rules.json").write_text('{"eval_config": {"metrics": ["f1", "loss", "f1"]}}')
    assert read_rules(tmp_path).metric_names == ("loss", "f1")


def test_a_minute_may_be_written_as_a_whole_number() -> None:
    assert parse_rules(b'{"loop_config": {"max_train_minutes": 5}}', "r").loop_config.max_train_minutes == 5.0


@pytest.mark.parametrize("value", ["0", "-1", '"5"', "true", "1e999"])
def test_a_time_limit_is_a_number_above_zero(value: str) -> None:
    with pytest.raises(RulesError, match="max_train_minutes"):
        parse_rules(b'{"loop_config": {"max_train_minutes": %s}}' % value.encode(), "r")


@pytest.mark.parametrize(
    ("config", "words"),
    [
        ('{"patience": 0}', r"r:1:30.*patience: input should be greater than or equal to 1 \(got 0\)"),
        ('{"patience": 1.5}', "patience"),
        ('{"max_hours": 0}', "max_hours: input should be greater than 0"),
        ('{"target": {}}', "target: .*at least 1 item"),
        ('{"target": {"accuracy": "0.99"}}', r"target.accuracy: input should be a valid number"),
        ('{"target": {"acuracy": 0.99}}', "r:1:40.*target names 'acuracy', .* name one of loss, accuracy"),
    ],
)
def test_an_end_that_the_loop_could_never_reach_is_refused_where_it_stands(config: str, words: str) -> None:
    text = f'{{"loop_config": {config}, "eval_config": {{"primary_metric": "accuracy"}}}}'
    with pytest.raises(RulesError, match=words):
        parse_rules(text.encode(), "r")


def test_the_loop_has_no_end_but_its_versions_unless_the_user_sets_one() -> None:
    config = parse_rules(b"{}", "r").loop_config
    assert (config.max_hours, config.target, config.patience) == (None, None, None)
    given = b'{"loop_config": {"target": {"loss": 1}}}'
    assert parse_rules(given, "r").loop_config.target == {"loss": 1.0}


def test_a_very_large_rules_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "user_defined_rules.json").write_bytes(b" " * (17 * 1024 * 1024))
    with pytest.raises(Exception, match="larger than"):
        read_rules(tmp_path)
