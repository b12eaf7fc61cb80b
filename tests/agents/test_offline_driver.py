import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from progressive_training.agents.offline import AgentStopped, Event, Report, drive
from progressive_training.loop.script.fixed import Fixed
from progressive_training.loop.script.source import Script
from support.offline_loop import FakeLoop, Trained

DIGITS = (Path(__file__).parents[2] / "examples" / "digits" / "02_train_baseline.py").read_text(encoding="utf-8")
FIXED = (Fixed("training_config.epochs", "epochs", 5), Fixed("seed", "seed", 42))
FALLING = ([1.9, 1.1, 0.7, 0.5, 0.4], [1.4, 0.9, 0.6, 0.46, 0.41])


def falling(score: float) -> Trained:
    return Trained(score, *FALLING)


def scores(*values: float) -> Callable[[int, str], Trained]:
    return lambda version, script: falling(values[version - 1])


def run(loop: FakeLoop, on_event: Callable[[Event], None] | None = None) -> Report:
    return asyncio.run(drive(loop, on_event=on_event))


def test_the_driver_takes_the_loop_from_its_start_to_its_report() -> None:
    loop = FakeLoop(DIGITS, scores(0.90, 0.97, 0.98), max_versions=3, fixed=FIXED)
    told: list[Event] = []

    report = run(loop, told.append)

    assert (report.versions, report.best, report.score, report.stop_reason) == (3, "v003", 0.98, None)
    assert [event.step for event in told if event.version == 1] == [
        *("run_train", "run_eval", "write_analysis", "write_action", "author_next_version")
    ]
    assert report.events == tuple(told)
    assert loop.report is not None
    assert "1. v003, accuracy 0.9800. It came from v002 by one action:" in loop.report["analysis"]


def test_each_version_is_its_one_declared_action_away_from_its_parent() -> None:
    loop = FakeLoop(DIGITS, scores(0.90, 0.97, 0.98, 0.985), fixed=FIXED)

    run(loop)

    for before, after in zip(loop.versions, loop.versions[1:], strict=False):
        assert before.action is not None
        assert before.script != after.script
    changes = [one.action["change"] for one in loop.versions if one.action]
    assert len(changes) == len(set(changes)) == 4


def test_the_analysis_says_what_was_seen_and_what_was_not() -> None:
    loop = FakeLoop(DIGITS, scores(0.9056), max_versions=1, fixed=FIXED)

    run(loop)

    analysis = loop.versions[0].analysis
    assert analysis is not None
    assert "v001 has accuracy 0.9056" in analysis["summary"]
    assert "val_loss went from 1.4000 to 0.4100 in 5 epochs." in analysis["evidence"]
    assert "did not look at single samples" in analysis["evidence"]
    assert any("AdamW" in candidate for candidate in analysis["next_focus_candidates"])


def test_a_version_that_is_worse_is_answered_by_taking_the_change_back() -> None:
    loop = FakeLoop(DIGITS, scores(0.95, 0.80, 0.95), max_versions=3, fixed=FIXED)

    report = run(loop)

    assert report.best == "v001"
    assert loop.versions[2].script.endswith(DIGITS)


def test_lower_is_better_metrics_are_read_the_right_way_around() -> None:
    loop = FakeLoop(DIGITS, scores(0.4, 0.2, 0.3), max_versions=3, metric="loss", higher_is_better=False)

    assert run(loop).best == "v002"


def test_a_diverged_training_is_repaired_with_a_smaller_learning_rate() -> None:
    def train(version: int, script: str) -> Trained:
        if Script.parse(script, "script").constant("LEARNING_RATE") == 0.005:
            return Trained(None, [2.0, float("nan")], [2.0, float("nan")], failure="diverged")
        return falling(0.9)

    loop = FakeLoop(DIGITS, train, max_versions=1, fixed=FIXED)

    assert run(loop).best == "v001"
    (repair,) = loop.versions[0].repairs
    assert repair["change_summary"] == "The learning rate 0.005 becomes 0.0005."
    assert "train_loss is nan in epoch 1" in repair["root_cause"]


@pytest.mark.parametrize(
    ("failure", "fixed", "words"),
    [
        ("code error", FIXED, "not by diverging"),
        ("diverged", (*FIXED, Fixed("training_config.lr", "lr", 0.005)), "is fixed"),
    ],
)
def test_a_failure_that_it_cannot_repair_ends_the_loop_with_its_reason(
    failure: str, fixed: tuple[Fixed, ...], words: str
) -> None:
    def train(version: int, script: str) -> Trained:
        return falling(0.9) if version == 1 else Trained(None, failure=failure)

    loop = FakeLoop(DIGITS, train, fixed=fixed)

    report = run(loop)

    assert report.stop_reason is not None
    assert words in report.stop_reason
    assert loop.report is not None
    assert loop.report["stop_reason"] == report.stop_reason
    assert (report.best, report.versions) == ("v001", 2)


def test_a_version_whose_evaluation_fails_twice_in_the_same_way_ends_the_loop_with_its_reason() -> None:
    def train(version: int, script: str) -> Trained:
        return falling(0.9) if version == 1 else Trained(0.9, *FALLING, unscorable="code error")

    told: list[Event] = []
    report = run(FakeLoop(DIGITS, train, fixed=FIXED), told.append)

    assert report.stop_reason is not None and "v002 failed twice in the same way" in report.stop_reason
    assert (report.best, report.versions) == ("v001", 2)
    assert [event.step for event in told if event.version == 2] == ["run_train", "run_eval", "run_eval"]


@pytest.mark.parametrize(
    "trained", [Trained(0.9, *FALLING, unscorable="code error"), Trained(None, failure="code error")]
)
def test_a_loop_without_any_score_is_not_ended_but_left_to_a_person(trained: Trained) -> None:
    loop = FakeLoop(DIGITS, lambda version, script: trained, fixed=FIXED)

    with pytest.raises(AgentStopped, match=r"no version is scored\. v001 failed"):
        run(loop)

    assert loop.report is None


def test_a_refused_action_is_followed_by_the_next_best_one() -> None:
    def refuse(action: dict[str, Any]) -> str | None:
        return "user_instruction.md keeps the optimiser" if "AdamW" in action["change"] else None

    loop = FakeLoop(DIGITS, scores(0.9, 0.95), max_versions=2, fixed=FIXED, refuse_action=refuse)

    run(loop)

    assert loop.versions[0].action is not None
    assert "momentum" in loop.versions[0].action["change"]


def test_a_script_with_nothing_left_to_try_ends_the_loop_early() -> None:
    loop = FakeLoop('VERSION = "baseline"\nprint("a rule of thumb")\n', scores(0.5))

    report = run(loop)

    assert report.versions == 1
    assert report.stop_reason is not None
    assert "Nothing of the offline playbook is left" in report.stop_reason


def test_it_goes_on_where_another_driver_stopped() -> None:
    class Killed(Exception):
        pass

    def kill(event: Event) -> None:
        if (event.step, event.version) == ("write_action", 2):
            raise Killed

    loop = FakeLoop(DIGITS, scores(0.90, 0.97, 0.98), max_versions=3, fixed=FIXED)
    with pytest.raises(Killed):
        run(loop, kill)

    assert run(loop).best == "v003"
    assert loop.calls.count("run_train") == 2 * 3


def test_the_last_version_can_be_named_by_the_caller() -> None:
    loop = FakeLoop(DIGITS, scores(0.90, 0.97, 0.98), fixed=FIXED)

    report = asyncio.run(drive(loop, last_version=2))

    assert (report.versions, report.best) == (2, "v002")
    assert loop.report is not None
    assert loop.report["stop_reason"] == report.stop_reason


def test_a_failed_version_without_curves_is_judged_by_what_the_server_says() -> None:
    def train(version: int, script: str) -> Trained:
        rate = Script.parse(script, "script").constant("LEARNING_RATE")
        return Trained(None, failure="diverged") if rate == 0.005 else falling(0.9)

    loop = FakeLoop(DIGITS, train, max_versions=1, fixed=FIXED)

    assert run(loop).best == "v001"
    assert loop.versions[0].repairs[0]["root_cause"].startswith("The steps were too large.")


def test_an_action_of_another_author_is_left_to_a_person() -> None:
    loop = FakeLoop(DIGITS, scores(0.9, 0.9), max_versions=2)

    def swap(event: Event) -> None:
        if event.step == "write_action":
            assert loop.versions[0].action is not None
            loop.versions[0].action["change"] = "Train on rotated copies of the images."

    with pytest.raises(AgentStopped, match="rotated copies"):
        run(loop, swap)
