"""Leaks between training and validation: what each style of data says at its rehearsal."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

from progressive_training.loop.project.receipts import Finding
from progressive_training.loop.record import injection
from progressive_training.loop.record.facts import Section
from progressive_training.loop.record.parts import Leaks, Near, Rehearsed
from progressive_training.loop.record.ranks import RunFacts, run_facts
from progressive_training.loop.rehearse import leaks
from progressive_training.loop.rehearse.words import told
from support.leaks import BEGIN

LEAKING: Mapping[str, tuple[str, set[str]]] = {
    "a table whose rows were copied with a little noise before the split": (
        """
inputs, targets = table(300)
inputs = np.concatenate([inputs, inputs + rng.normal(size=inputs.shape, scale=0.003).astype("float32")])
order = rng.permutation(600)
fit(*pair(inputs[order], np.concatenate([targets, targets])[order], 450))
""",
        {"near"},
    ),
    "images of which the validation has copies that were packed and unpacked": (
        """
images = rng.uniform(size=(300, 3, 4, 4)).repeat(9, axis=2).repeat(9, axis=3).astype("float32")
images[240:] = images[:60] + rng.normal(size=(60, 3, 36, 36), scale=0.02)
fit(*pair(images, rng.integers(4, size=300), 240))
""",
        {"near"},
    ),
    "texts that differ in their writing": (
        """
texts = [sentence(number) for number in range(200)]
val = [f"  {text.upper()}!" for text in texts[:40]]
rows = lambda texts: [{"text": text, "label": number % 2} for number, text in enumerate(texts)]
fit(Records(rows(texts)), Records(rows(val)))
""",
        {"near"},
    ),
    "tokens that are padded to each batch": (
        """
tokens = rng.integers(5, 900, size=(300, 20))
rows = [{"input_ids": torch.as_tensor(one), "label": torch.tensor(number % 3)} for number, one in enumerate(tokens)]
def collate(rows):
    width = 24 if len(rows) == 50 else 22
    ids = torch.stack([nn.functional.pad(one["input_ids"], (0, width - 20)) for one in rows])
    return {"input_ids": ids, "label": torch.stack([one["label"] for one in rows])}
fit(Records(rows[:250]), Records(rows[200:]), collate_fn=collate)
""",
        {"near"},
    ),
    "patients on both sides, by a column of a frame that the data set keeps": (
        """
inputs, targets = table(300)
class Frame:
    columns = ["age", "patient_id"]
    iloc = None
    def __getitem__(self, name):
        return np.array([f"P{number % 40}" for number in range(300)])
whole = Records([(torch.as_tensor(one), torch.as_tensor(two)) for one, two in zip(inputs, targets)], df=Frame())
fit(*random_split(whole, [240, 60]))
""",
        {"groups_shared"},
    ),
    "speakers on both sides, by a key of the batch": (
        """
inputs, targets = table(300)
rows = [{"audio": inputs[number], "target": targets[number], "speaker": f"s{number % 12}"} for number in range(300)]
fit(Records(rows[:200]), Records(rows[200:]))
""",
        {"groups_shared"},
    ),
    "a column that is the target in other units": (
        """
inputs, targets = table(300)
inputs[:, 5] = 3 * targets - 7
fit(*pair(inputs, targets, 240))
""",
        {"feature_is_target"},
    ),
    "a column that goes one to one with the class": (
        """
inputs, _ = table(300)
classes = rng.integers(3, size=300)
inputs[:, 2] = np.array([5.0, 1.0, 9.0])[classes]
fit(*pair(inputs, classes, 240))
""",
        {"feature_is_target"},
    ),
    "a dictionary with a field that is a function of the target": (
        """
inputs, targets = table(300)
rows = [{"x": one, "price_with_tax": np.exp(two), "y": two} for one, two in zip(inputs, targets)]
fit(Records(rows[:240]), Records(rows[240:]))
""",
        {"feature_is_target"},
    ),
    "texts that end with their class": (
        """
names = ["ham", "spam"]
rows = [(f"{sentence(number)} [{names[number % 2]}]", number % 2) for number in range(300)]
fit(Records(rows[:240]), Records(rows[240:]))
""",
        {"feature_is_target"},
    ),
}

HONEST: Mapping[str, str] = {
    "a table": "fit(*pair(*table(600), 450))",
    "a table of two columns, which lie close together": "fit(*pair(*table(3000, 2), 2000))",
    "images": """
images = rng.uniform(size=(300, 28, 28)).cumsum(axis=2).astype("float32")
fit(*pair(images, rng.integers(10, size=300), 240))
""",
    "images that are mostly black": """
images = np.zeros((400, 1, 32, 32), "float32")
for one in images:
    x, y = rng.integers(24, size=2)
    one[0, y : y + 8, x : x + 8] = rng.uniform(size=(8, 8))
fit(*pair(images, rng.integers(2, size=400), 300))
""",
    "texts": """
rows = [{"text": sentence(number), "label": number % 2} for number in range(300)]
fit(Records(rows[:240]), Records(rows[240:]))
""",
    "a coarse census": """
columns = [rng.integers(most, size=900) for most in (2, 2, 5, 7, 9, 60)]
fit(*pair(np.stack(columns, axis=1).astype("float32"), rng.integers(2, size=900), 700))
""",
    "patients of their own on either side, with one diagnosis each": """
inputs, _ = table(300)
rows = [{"x": one, "label": (number // 10) % 2, "patient": number // 10} for number, one in enumerate(inputs)]
fit(Records(rows[:240]), Records(rows[240:]))
""",
    "a group that is the class by another name": """
inputs, _ = table(300)
rows = [{"x": one, "label": number % 4, "group": f"g{number % 4}"} for number, one in enumerate(inputs)]
fit(Records(rows[:240]), Records(rows[240:]))
""",
    "an index in the batch, and a column of time": """
inputs, targets = table(300)
inputs[:, 0] = np.arange(300)
whole = TensorDataset(torch.as_tensor(inputs), torch.as_tensor(targets), torch.arange(300))
fit(*random_split(whole, [240, 60]))
""",
    "clusters": """
centres = rng.normal(size=(20, 16), scale=5)
inputs = (centres[rng.integers(20, size=800)] + rng.normal(size=(800, 16))).astype("float32")
fit(*pair(inputs, rng.integers(2, size=800), 600))
""",
    "a walk cut into windows, split by time": """
walk = rng.normal(size=1100).cumsum().astype("float32")
windows = np.stack([walk[start : start + 30] for start in range(1000)])
fit(*pair(windows, walk[30:1030], 800))
""",
    "flowers measured to a tenth": """
centres = rng.normal(size=(3, 4), scale=2)
classes = rng.integers(3, size=150)
inputs = (centres[classes] + rng.normal(size=(150, 4), scale=0.4)).round(1).astype("float32")
inputs[120:125] = inputs[:5]
fit(*pair(inputs, classes, 120))
""",
    "categories as they are asked for: class and text of a list": """
rows = [{"question": f"is it {FAMILIES[number % 10]}?", "label": (number // 10) % 3} for number in range(300)]
fit(Records(rows[:240]), Records(rows[240:]))
""",
    "a model of language": """
tokens = torch.as_tensor(rng.integers(5, 900, size=(300, 20)))
rows = [{"input_ids": one, "labels": one} for one in tokens]
fit(Records(rows[:240]), Records(rows[240:]))
""",
}


def rehearsed(tmp_path: Path, script: str) -> RunFacts:
    folder, facts = tmp_path / "나의 project", tmp_path / "facts"
    folder.mkdir()
    facts.mkdir()
    (folder / "train.py").write_text(script)
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    env |= injection.variables(env, facts) | {injection.REHEARSAL: "{}"}
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=folder, env=env, capture_output=True, text=True, check=False, timeout=300
    )
    assert done.returncode == 0, done.stderr[-2000:]
    run = run_facts(facts)
    assert not run.problems, run.problems
    return run


def found(fit: Section) -> dict[str, Finding]:
    return {one.code: one for one in leaks.findings(fit)}


def test_each_style_of_leak_is_found_and_nothing_else(tmp_path: Path) -> None:
    run = rehearsed(tmp_path, BEGIN + "".join(text for text, _ in LEAKING.values()))
    told_of = {name: found(fit.first) for name, fit in zip(LEAKING, run.fits, strict=True)}
    assert {name: set(codes) for name, codes in told_of.items()} == {
        name: codes for name, (_, codes) in LEAKING.items()
    }
    words = "\n".join(str(told(one)) for codes in told_of.values() for one in codes.values())
    assert "60 of 60 validation samples are nearly a training sample" in words
    assert "validation sample 0 is nearly training sample 0" in words
    assert "groups by patient_id are in the training data as well" in words and "12 groups by speaker" in words
    assert "[0], column 5 is a linear function of [1], in all of 300 samples" in words
    assert "price_with_tax is a monotone function of y" in words
    assert "'ham', 'spam' has a word for each class" in words or "'spam', 'ham' has a word for each class" in words


def test_honest_data_of_many_styles_raises_no_alarm(tmp_path: Path) -> None:
    run = rehearsed(tmp_path, BEGIN + "\n".join(HONEST.values()))
    told_of = {name: found(fit.first) for name, fit in zip(HONEST, run.fits, strict=True)}
    assert {name: set(codes) for name, codes in told_of.items() if set(codes) != {"no_leak"}} == {}
    shared = {name: fit.first.shared_inputs for name, fit in zip(HONEST, run.fits, strict=True)}
    assert shared["texts"] == 0, "labels are no inputs"
    assert shared["flowers measured to a tenth"] == 5, "the same inputs are said once, and not as near ones"
    assert shared["categories as they are asked for: class and text of a list"] == 10


@pytest.mark.parametrize(
    ("near", "is_told"),
    [
        (Near(kind="distance", looked=100, near=40, within_looked=100, within_near=0), True),
        (Near(kind="distance", looked=100, near=40, within_looked=100, within_near=40), False),
        (Near(kind="distance", looked=100, near=40, within_looked=100, within_near=40, fine=True), True),
        (Near(kind="distance", looked=100, near=40, within_looked=100, within_near=0, by_chance=0.2), False),
        (Near(kind="text", looked=1000, near=5, within_looked=1000, within_near=5, fine=True), False),
        (Near(kind="distance", looked=0, near=0, within_looked=100, within_near=0), False),
    ],
)
def test_near_duplicates_are_told_where_there_are_more_than_chance_or_coarse_data_bring(
    near: Near, is_told: bool
) -> None:
    section = Section(
        kind="fit", began=0, seconds=0, rehearsed=Rehearsed(leaks=Leaks(near=near, train=9, validation=9))
    )
    assert ("near" in found(section)) is is_told


def test_what_could_not_be_looked_at_is_said() -> None:
    (one,) = leaks.findings(Section(kind="fit", began=0, seconds=0))
    assert one.code == "leaks_unchecked" and json.dumps(dict(one.values)) == "{}"
