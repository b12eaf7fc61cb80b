"""Which of several places of one name a rule means: the clear one is set, the others have a name of their own."""

import pytest

from progressive_training.loop.script.fixed import Fixed, clashes, materialise, with_others
from progressive_training.loop.script.source import Script

LR = Fixed("training_config.learning_rate", "learning_rate", 0.005)
EPOCHS = Fixed("training_config.epochs", "epochs", 3)
BATCH = Fixed("training_config.batch_size", "batch_size", 32)
SEED = Fixed("seed", "seed", 42)
GROUPS = (
    "o = AdamW([{'params': self.backbone.parameters(), 'lr': 1e-5}, {'params': self.head.parameters(), 'lr': 1e-3}])\n"
)


def of(role: str, name: str, value: float) -> Fixed:
    return Fixed(f"training_config.{role}.{name}", name, value, role)


@pytest.mark.parametrize(
    ("rules", "text", "expected", "asked"),
    [
        ([LR], "LR = 1e-3\n" + GROUPS, ["LR = 0.005", "'lr': 1e-5", "'lr': 0.005"], {"backbone.lr": 1e-5}),
        ([LR], GROUPS, ["'lr': 1e-5", "'lr': 1e-3"], {"backbone.lr": 1e-5, "head.lr": 1e-3}),
        ([LR, of("backbone", "lr", 2e-5)], GROUPS, ["'lr': 2e-5", "'lr': 0.005"], {}),
        ([LR], "o = SGD([{'params': a, 'lr': 0.1}, {'params': b}], lr=0.2)", ["'lr': 0.1", "lr=0.005"], {"a.lr": 0.1}),
        ([LR], "o = SGD([{'params': net.parameters(), 'lr': 0.1}])", ["'lr': 0.005"], {}),
        ([LR], "def f(lr=1):\n    SGD([{'params': a, 'lr': lr}, {'params': b, 'lr': 9}])", ["'lr': 9"], {"b.lr": 9}),
        ([LR], "g = Adam(a, lr=1e-4)\nd = Adam(b, lr=4e-4)", ["lr=1e-4", "lr=4e-4"], {"g.lr": 1e-4, "d.lr": 4e-4}),
        ([LR], "g = Adam(a, lr=1e-4)\nd = Adam(b, lr=1e-4)", ["Adam(a, lr=0.005)", "Adam(b, lr=0.005)"], {}),
        ([EPOCHS], "pre = Trainer(max_epochs=2)\nt = Trainer(max_epochs=3)", ["max_epochs=2"], {"pre.max_epochs": 2}),
        ([EPOCHS], "if d:\n    t = Trainer(max_epochs=2)\nelse:\n    t = Trainer(max_epochs=5)", ["s=3)\nelse"], {}),
        (
            [EPOCHS, of("pre", "max_epochs", 2)],
            "def pre():\n    Trainer(max_epochs=4).fit(m)\nt = Trainer(max_epochs=5)",
            ["max_epochs=2).fit", "max_epochs=3"],
            {},
        ),
        (
            [BATCH],
            "BS = 16\nload = DataLoader(d, batch_size=BS, shuffle=True)\npre.fit(m, DataLoader(d, batch_size=8))",
            ["BS = 32", "batch_size=8"],
            {"pre.batch_size": 8},
        ),
        (
            [SEED],
            "import torch\nseed_everything(7)\na, b = random_split(d, [1], generator=torch.Generator().manual_seed(0))",
            ["seed_everything(42)", "manual_seed(0)"],
            {"random_split.seed": 0},
        ),
        ([SEED], "import torch\ntorch.manual_seed(7)\nrng = default_rng(3)", ["manual_seed(42)"], {"rng.seed": 3}),
        ([SEED], "import torch\ntorch.manual_seed(7)\nrng = default_rng(7)", ["manual_seed(42)", "rng(42)"], {}),
    ],
)  # fmt: skip
def test_the_clear_place_is_set_and_the_others_are_asked_about(
    rules: list[Fixed], text: str, expected: list[str], asked: dict[str, float]
) -> None:
    fixed = with_others(rules)
    done = materialise(Script.parse(text, "v001.py"), fixed)
    assert all(words in done.text for words in expected), done.text
    assert {name: value for one in done.asked for _, value, name in one.places} == asked
    made = Script.parse(done.text, "v001.py")
    assert clashes(made, fixed, parent=made) == ()
    assert materialise(made, fixed).applied == ()


def test_a_later_version_may_keep_what_was_left_and_not_change_it_or_bring_in_more() -> None:
    text = "LR = 0.005\n" + GROUPS.replace("1e-3", "LR")
    parent = Script.parse(text, "v001.py")
    changed = Script.parse(text.replace("1e-5", "1e-4"), "v002.py")
    more = Script.parse(text + "p = Adam(c, lr=0.1)\n", "v002.py")
    assert [clashes(one, [LR], parent=parent) != () for one in (parent, changed, more)] == [False, True, True]
