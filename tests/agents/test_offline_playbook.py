from pathlib import Path
from typing import get_args

import pytest

from progressive_training.agents.offline.diagnosis import Verdict
from progressive_training.agents.offline.playbook import Move, Past, moves
from progressive_training.loop.script import Script, changed_symbols
from progressive_training.loop.script.fixed import Fixed, clashes
from support.offline_scripts import ARGPARSE, CONSTANTS, DATACLASS

DIGITS = (Path(__file__).parents[2] / "examples" / "digits" / "02_train_baseline.py").read_text(encoding="utf-8")
STYLES = {"constants": CONSTANTS, "dataclass": DATACLASS, "argparse": ARGPARSE, "digits": DIGITS}
VERDICTS: tuple[Verdict, ...] = get_args(Verdict)


def fixed_of(text: str) -> tuple[Fixed, ...]:
    epochs, batch = (8, 64) if text is CONSTANTS else (5, 32)
    values = {"epochs": epochs, "batch_size": batch, "seed": 42}
    return tuple(Fixed(rule=f"training_config.{name}", name=name, value=value) for name, value in values.items())


def changes_of(text: str, verdict: Verdict, *fixed: Fixed) -> list[str]:
    return [move.change for move in moves(Past((text,)), verdict, (*fixed_of(text), *fixed))]


@pytest.mark.parametrize("verdict", [verdict for verdict in VERDICTS if verdict != "regressed"])
@pytest.mark.parametrize("style", STYLES)
def test_every_move_changes_exactly_its_where_and_keeps_the_rules(style: str, verdict: Verdict) -> None:
    text = STYLES[style]
    fixed = fixed_of(text)
    proposed = list(moves(Past((text,)), verdict, fixed))

    assert proposed
    for move in proposed:
        new = Script.parse(move.new_text, "new")
        assert changed_symbols(Script.parse(text, "old"), new).symbols == move.where
        assert clashes(new, fixed) == ()
        assert all((move.goal, move.change, move.expected_impact, move.risk, move.verification))
    assert len({move.new_text for move in proposed}) == len(proposed)


@pytest.mark.parametrize("style", ["constants", "dataclass", "argparse"])
def test_following_the_playbook_to_its_end_never_repeats_and_stops(style: str) -> None:
    fixed = fixed_of(STYLES[style])
    scripts, changes, idle = [STYLES[style]], list[str](), 0
    while idle < len(VERDICTS):
        verdict = VERDICTS[(len(changes) + idle) % len(VERDICTS)]
        move = next(moves(Past(tuple(scripts), None, tuple(changes)), verdict, fixed), None)
        if move is None:
            idle += 1
            continue
        assert move.new_text not in scripts
        assert move.change not in changes
        scripts.append(move.new_text)
        changes.append(move.change)
        idle = 0
        assert len(changes) < 60, "the playbook goes on for ever"
    assert len(changes) > 5


@pytest.mark.parametrize(
    ("style", "verdict", "first"),
    [
        ("constants", "underfit", "SGD becomes AdamW (without momentum), and the learning rate 0.05 becomes"),
        ("argparse", "underfit", "SGD becomes AdamW."),
        ("dataclass", "underfit", "The learning rate 0.0003 becomes 0.0009."),
        ("dataclass", "overfit", "The dropout 0.3 becomes 0.4."),
        ("constants", "overfit", "The weight decay 0.0001 becomes 0.0003."),
        ("argparse", "overfit", "Dropout of 0.2 before the last layer; there was none."),
        ("constants", "diverged", "The learning rate 0.05 becomes 0.005."),
        ("dataclass", "diverged", "The learning rate 0.0003 becomes 3e-05."),
    ],
)
def test_the_diagnosis_decides_what_comes_first(style: str, verdict: Verdict, first: str) -> None:
    text = STYLES[style]
    first_change = changes_of(text, verdict)[0]

    assert first_change.startswith(first)


@pytest.mark.parametrize(
    ("style", "where", "line"),
    [
        ("constants", ("LR",), "LR = 0.15  # 학습률"),
        ("dataclass", ("Config.lr",), "    lr: float = 0.0009"),
        ("argparse", ("parse_args",), '    parser.add_argument("--lr", type=float, default=0.006)'),
        ("digits", ("LEARNING_RATE",), "LEARNING_RATE = 0.015"),
    ],
)
def test_the_learning_rate_is_found_in_every_style(style: str, where: tuple[str, ...], line: str) -> None:
    text = STYLES[style]

    (move,) = [one for one in moves(Past((text,)), "underfit", ()) if one.change.startswith("The learning rate 0")]

    assert move.where == where
    assert line in move.new_text.splitlines()


@pytest.mark.parametrize(
    ("style", "where", "lines"),
    [
        ("dataclass", ("Config.hidden_dim",), ["    hidden_dim: int = 256"]),
        ("digits", ("HIDDEN_SIZE",), ["HIDDEN_SIZE = 64"]),
        (
            "argparse",
            ("Net.__init__",),
            ["nn.Linear(64, 96), nn.ReLU(), nn.Linear(96, 96), nn.ReLU(), nn.Linear(96, 10)"],
        ),
        (
            "constants",
            ("Net.__init__",),
            ["nn.Conv2d(1, 32, 3, padding=1)", "nn.Conv2d(32, 32, 3)", "nn.Linear(32, 10)"],
        ),
    ],
)
def test_a_width_changes_in_all_layers_that_share_it(style: str, where: tuple[str, ...], lines: list[str]) -> None:
    text = STYLES[style]

    (move,) = [one for one in moves(Past((text,)), "underfit", ()) if one.change.startswith("The hidden width")]

    assert move.where == where
    assert all(line in move.new_text for line in lines)


def test_a_width_that_layers_compute_with_is_left_alone() -> None:
    text = ARGPARSE.replace("nn.Linear(48, 10)", "nn.Linear(48 * 7 * 7, 10)")

    assert not [change for change in changes_of(text, "underfit") if "width" in change]


def test_a_fixed_learning_rate_or_optimiser_is_never_touched() -> None:
    rate = Fixed(rule="training_config.learning_rate", name="learning_rate", value=0.05)
    optimiser = Fixed(rule="training_config.optimizer", name="optimizer", value="SGD")

    for verdict in VERDICTS:
        found = changes_of(CONSTANTS, verdict, rate, optimiser)
        assert not [change for change in found if "learning rate 0" in change or "AdamW" in change]


def test_an_optimiser_imported_by_name_brings_its_import_along() -> None:
    move = next(moves(Past((ARGPARSE,)), "underfit", ()))

    assert move.where == ("Net.configure_optimizers",)
    assert "from torch.optim import AdamW\n" in move.new_text
    assert "return AdamW(self.parameters(), lr=self.args.lr)" in move.new_text


def test_a_schedule_goes_to_an_optimiser_that_was_returned_bare() -> None:
    changed = {style: _schedule(text) for style, text in STYLES.items()}

    assert "scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer" in changed["constants"]
    assert "scheduler = optim.lr_scheduler.CosineAnnealingLR(optimizer" in changed["dataclass"]
    assert "from torch.optim.lr_scheduler import CosineAnnealingLR\n" in changed["argparse"]
    assert not [one for one in moves(Past((changed["digits"],)), "plateau", ()) if "cosine" in one.change]


def test_layer_normalisation_is_used_where_inputs_carry_a_time_axis() -> None:
    text = ARGPARSE.replace("nn.Flatten(), ", "").replace("self.args = args", "self.table = nn.Embedding(9, 64)")

    assert "LayerNorm between each of 2 hidden layers" in "\n".join(changes_of(text, "underfit"))
    assert "BatchNorm1d between each of 2 hidden layers" in "\n".join(changes_of(ARGPARSE, "underfit"))


def test_windows_line_endings_and_hangul_stay_as_they_were() -> None:
    text = CONSTANTS.replace("\n", "\r\n")

    for move in moves(Past((text,)), "plateau", fixed_of(CONSTANTS)):
        assert "\n" not in move.new_text.replace("\r\n", "")
        assert "손글씨 숫자" in move.new_text


def _schedule(text: str) -> str:
    return next(one.new_text for one in moves(Past((text,)), "plateau", ()) if "cosine" in one.change)


def _first(past: Past) -> Move:
    return next(moves(past, "regressed", fixed_of(DIGITS)))


def test_after_a_setting_that_cost_something_its_other_direction_is_tried_first() -> None:
    worse = DIGITS.replace("LEARNING_RATE = 0.005", "LEARNING_RATE = 0.015")

    move = _first(Past((DIGITS, worse), best=0))

    assert "LEARNING_RATE = 0.0017\n" in move.new_text
    assert move.where == ("LEARNING_RATE",)


def test_once_both_directions_cost_something_the_change_is_taken_back() -> None:
    up = DIGITS.replace("HIDDEN_SIZE = 32", "HIDDEN_SIZE = 64")
    down = DIGITS.replace("HIDDEN_SIZE = 32", "HIDDEN_SIZE = 16")

    move = _first(Past((DIGITS, up, down), best=0))

    assert move.new_text == DIGITS
    assert move.where == ("HIDDEN_SIZE",)


def test_a_changed_layer_is_taken_back_and_not_proposed_again() -> None:
    dropout = next(one for one in moves(Past((DIGITS,)), "overfit", ()) if one.change.startswith("Dropout"))
    past = Past((DIGITS, f"# v002\n{dropout.new_text}"), best=0, changes=(dropout.change,))

    undo = _first(past)

    assert undo.new_text == f"# v002\n{DIGITS}"
    again = Past((*past.scripts, undo.new_text), best=0, changes=(dropout.change, undo.change))
    assert dropout.change not in [one.change for one in moves(again, "overfit", ())]


def test_nothing_sensible_left_is_no_move() -> None:
    assert list(moves(Past(("print('nothing to set')\n",)), "underfit", ())) == []
