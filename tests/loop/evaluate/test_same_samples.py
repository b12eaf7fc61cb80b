"""At acceptance the script is run in two processes that begin with other random numbers, and their samples compared."""

import json
from pathlib import Path

import pytest

from progressive_training.loop.errors import EvaluationError
from progressive_training.loop.evaluate.checks.evaluator_trial import Trial, require_same_samples
from progressive_training.loop.store.tree import Tree
from support.projects import Folder

pytestmark = pytest.mark.requirement("E3")
IDS, TARGETS, INPUTS = ["3", "1", "4"], [0, 1, 1], "digest of the inputs"


def compared(folder: Path, ids: list[str], targets: list[int], inputs: str) -> None:
    for out, its_ids, its_targets in (("first", IDS, TARGETS), ("again", ids, targets)):
        lines = [json.dumps({"id": one, "target": target}) for one, target in zip(its_ids, its_targets, strict=True)]
        (folder / out).mkdir()
        (folder / out / "samples.jsonl").write_text("\n".join(lines) + "\n", encoding="utf-8")
    trial = Trial("first", "again", "", (0, 0), inside=True)
    require_same_samples(Tree(folder), trial, "02_train_v001.py", len(IDS), (INPUTS, inputs))


@pytest.mark.parametrize(
    ("targets", "inputs"),
    [
        pytest.param(TARGETS, "other inputs", id="augmented anew"),
        pytest.param(TARGETS[::-1], INPUTS, id="in another order"),
    ],
)
def test_other_inputs_or_another_order_alone_are_no_other_set(folder: Folder, targets: list[int], inputs: str) -> None:
    compared(folder.root, IDS, targets, inputs)


@pytest.mark.parametrize(
    ("ids", "targets", "others"),
    [
        pytest.param(["3", "1", "5"], TARGETS, 1, id="another place in the data set"),
        pytest.param(IDS, [0, 1, 0], 1, id="another target, where places say nothing"),
        pytest.param(["9", "1", "5"], [0, 0, 1], 3, id="both"),
    ],
)
def test_another_validation_set_in_each_process_is_refused_with_the_way_out(
    folder: Folder, ids: list[str], targets: list[int], others: int
) -> None:
    with pytest.raises(EvaluationError, match=f"at least {others} of 3 validation samples") as refused:
        compared(folder.root, ids, targets, "other inputs")
    assert refused.value.code == "samples_differ" and "seed the split" in (refused.value.hint or "")
