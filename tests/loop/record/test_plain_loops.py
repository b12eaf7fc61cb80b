"""Scripts without a trainer: what optimizers, loaders and generators tell."""

from collections import Counter

import pytest
from loop.record.conftest import COMMON, Record

LOOP = """
torch.manual_seed(11)
model = nn.Linear(4, 2)
optimizer = torch.optim.AdamW([{"params": [model.weight]}, {"params": [model.bias], "lr": 0.5, "weight_decay": 0.0}],
                              lr=0.02, weight_decay=0.03)
train, val = DataLoader(samples(90, 1), 20, shuffle=True, drop_last=DROP), DataLoader(samples(30, 2), 15)
sizes, steps = [], 0
for epoch in range(3):
    for inputs, labels in train:
        sizes.append(len(inputs))
        F.cross_entropy(model(inputs), labels).backward()
        if len(sizes) % EVERY == 0:
            optimizer.step()
            optimizer.zero_grad()
            steps += 1
    with torch.no_grad():
        for inputs, labels in val:
            model(inputs)
say(sizes=sizes, steps=steps, weights=model.weight.flatten().tolist())
"""


def loop(every: int = 1, drop: bool = False) -> str:
    return COMMON + LOOP.replace("EVERY", str(every)).replace("DROP", str(drop))


@pytest.mark.parametrize(("every", "drop"), [(1, False), (2, True)])
def test_a_loop_s_steps_batches_and_rates_are_recorded(record: Record, every: int, drop: bool) -> None:
    done = record(loop(every, drop))
    assert done.code == 0 and not done.run.problems, done.output
    said, one = done.said[0], done.run.loops[0]
    assert not done.run.fits
    assert one.steps == said["steps"] and one.backwards == len(said["sizes"])
    train, val = one.loaders
    assert dict(train.sizes) == Counter(said["sizes"]) and train.role == "train" and train.passes.count == 3
    assert val.role is None and val.sizes == ((15, 6),) and val.dataset_length == 30
    assert one.shared_inputs == 0 and one.forwards[0].samples == 20
    weight, bias = one.optimizers[0].groups
    assert weight.lr is not None and bias.lr is not None and bias.weight_decay is not None
    assert (weight.lr.highest, bias.lr.lowest, bias.weight_decay.last) == (0.02, 0.5, 0.0)
    assert (weight.parameters, bias.parameters, weight.settings["betas"]) == (8, 2, (0.9, 0.999))


@pytest.mark.whole
def test_a_loader_that_is_made_anew_for_each_epoch_is_one_loader_with_as_many_passes(record: Record) -> None:
    script = """
data, model = samples(90, 1), nn.Linear(4, 2)
optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
for epoch in range(40):
    for inputs, labels in DataLoader(data, 20, shuffle=True):
        F.cross_entropy(model(inputs), labels).backward()
        optimizer.step()
"""
    done = record(COMMON + script)
    assert done.code == 0 and not done.run.problems, done.output
    (train,) = done.run.loops[0].loaders
    assert train.passes.count == 40 and train.sizes == ((10, 40), (20, 160)) and train.distinct_indices == 90


@pytest.mark.whole
def test_the_loop_s_weights_are_the_same_with_and_without_the_recorder(record: Record) -> None:
    assert record(loop(), recorder=False).said == record(loop()).said


def test_seeds_are_told_by_whom_and_where_in_their_order(record: Record) -> None:
    script = """import random
import numpy as np
random.seed(1)
np.random.seed(2)
np.random.default_rng(3)
np.random.default_rng()
list(map(torch.manual_seed, [4]))
torch.set_rng_state(torch.get_rng_state())
torch.nn.Linear(2, 2)
"""
    done = record(COMMON + script)
    first = COMMON.count("\n")
    told = [(seed.call, seed.value, seed.seeded, seed.where) for seed in done.run.seeds]
    assert told == [
        ("random.seed", 1, True, f"train.py:{first + 3}"),
        ("numpy.random.seed", 2, True, f"train.py:{first + 4}"),
        ("numpy.random.default_rng", 3, True, f"train.py:{first + 5}"),
        ("numpy.random.default_rng", None, False, f"train.py:{first + 6}"),
        ("torch.manual_seed", 4, True, f"train.py:{first + 7}"),
        ("torch.set_rng_state", None, True, f"train.py:{first + 8}"),
    ]


def test_files_that_were_read_written_and_hold_weights_are_told(record: Record) -> None:
    script = """
import numpy as np
os.makedirs("data/train")
np.save("data/train/한글.npy", np.zeros(3))
torch.save({"a": torch.zeros(2)}, "weights.pt")
np.load("data/train/한글.npy")
torch.load("weights.pt")
os.listdir("data/train")
"""
    done = record(COMMON + script)
    assert done.code == 0 and not done.run.problems, done.output
    opened = done.run.opened
    assert opened.read[str(done.folder / "data/train/한글.npy")] == 1
    assert opened.weights == (str(done.folder / "weights.pt"),)
    assert str(done.folder / "data/train/한글.npy") in opened.written
    assert str(done.folder / "data/train") in opened.looked_through
    assert not any("site-packages" in path or path.startswith("/proc") for path in opened.read)


@pytest.mark.whole
def test_packages_and_memory_are_told_and_the_user_s_own_modules(record: Record) -> None:
    done = record(COMMON + "import importlib\nimportlib.import_module('ext' + 'ra')\n", files={"extra.py": "X = 1\n"})
    process = done.run.first
    assert process is not None and process.python and process.packages["torch"]
    assert process.memory.peak_rss is not None and process.memory.peak_rss > 10 << 20 and process.device is None
    assert process.modules == (str(done.folder / "extra.py"),) and process.argv == ("train.py",)


@pytest.mark.whole
def test_a_compiled_model_trains_as_it_would(record: Record) -> None:
    script = loop().replace("for epoch", 'model = torch.compile(model, backend="eager")\nfor epoch', 1)
    script = script.replace("model.weight.flatten()", "model._orig_mod.weight.flatten()")
    without, with_it = record(script, recorder=False), record(script)
    assert without.code == 0, without.output
    assert with_it.said == without.said
    assert with_it.run.loops[0].steps == with_it.said[0]["steps"] and not with_it.run.problems
