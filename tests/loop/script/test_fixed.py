"""Varied training scripts, as people write them, and what the rules' values do in each."""

import pytest

from progressive_training.loop.script.fixed import (
    Clash,
    Fixed,
    clashes,
    materialise,
    recorded_clashes,
    removed,
)
from progressive_training.loop.script.source import Script
from progressive_training.loop.script.synonyms import SYNONYMS, synonyms

CONSTANTS = '''"""숫자 분류 기준 모델."""\r
import lightning as L\r
import torch\r
from torch import nn\r
from torch.utils.data import DataLoader\r
\r
VERSION = "baseline"\r
DATASET_ID = "digits"\r
SEED = 7            # 난수 시드\r
EPOCHS = 10         # 에폭 수\r
BATCH_SIZE = 64     # 배치 크기\r
VAL_BATCH_SIZE = 256\r
LEARNING_RATE = 1e-3\r
\r
\r
class 분류기(L.LightningModule):\r
    def __init__(self):\r
        super().__init__()\r
        self.net = nn.Sequential(nn.Linear(64, 32), nn.BatchNorm1d(32, momentum=0.2), nn.Dropout(0.3))\r
\r
    def training_step(self, batch, batch_idx):\r
        loss = self.net(batch[0]).mean()\r
        self.log("train_loss", loss, batch_size=len(batch))\r
        return loss\r
\r
    def configure_optimizers(self):\r
        optimizer = torch.optim.Adam(self.parameters(), lr=LEARNING_RATE)\r
        scheduler = torch.optim.lr_scheduler.OneCycleLR(optimizer, max_lr=0.1, total_steps=100)\r
        plateau = torch.optim.lr_scheduler.ReduceLROnPlateau(optimizer, patience=2)\r
        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": scheduler, "interval": "step"}}\r
\r
\r
def main():\r
    L.seed_everything(SEED)\r
    generator = torch.Generator().manual_seed(SEED)\r
    train_loader = DataLoader(train, batch_size=BATCH_SIZE, shuffle=True, generator=generator)\r
    val_loader = DataLoader(val, batch_size=VAL_BATCH_SIZE)\r
    test_loader = DataLoader(test, batch_size=512)\r
    trainer = L.Trainer(max_epochs=EPOCHS, min_epochs=1, log_every_n_steps=5)\r
    trainer.fit(분류기(), train_loader, val_loader)\r
\r
\r
if __name__ == "__main__":\r
    main()\r
'''

ARGPARSE = """import argparse
import pytorch_lightning as pl


def parse():
    parser = argparse.ArgumentParser()
    parser.add_argument("--max-epochs", type=int, default=20, help="에폭")
    parser.add_argument("-b", "--batch-size", type=int, default="16")
    parser.add_argument("--lr", type=float, default=3e-4)
    parser.add_argument("--seed", type=int, default=None)
    return parser.parse_args()


class DigitsData(pl.LightningDataModule):
    def __init__(self, batch_size: int = 128, num_workers: int = 0):
        super().__init__()
        self.batch_size = batch_size

    def train_dataloader(self):
        return DataLoader(self.train_ds, batch_size=self.batch_size)

    def val_dataloader(self):
        return DataLoader(self.val_ds, batch_size=1000)


def main(args):
    pl.seed_everything(args.seed or 0)
    pl.Trainer(max_epochs=args.max_epochs).fit(Model(lr=args.lr), DigitsData(batch_size=args.batch_size))


if __name__ == "__main__":
    main(parse())
"""

DATACLASS = """from dataclasses import dataclass, field

import lightning.pytorch as pl


@dataclass
class TrainConfig:
    epochs: int = 5
    batch_size: int = field(default=32)
    lr: float = 1e-3
    dropout: float = 0.5
    random_seed: int = 1


@dataclass
class EvalConfig:
    batch_size: int = 512


OPTIM = {"name": "adam", "learning_rate": 1e-3, "weight_decay": 0.01}


class Net(pl.LightningModule):
    def __init__(self, cfg: TrainConfig):
        super().__init__()
        self.drop = nn.Dropout(p=cfg.dropout)

    def configure_optimizers(self):
        decay = {"params": self.weights, "weight_decay": 0.05}
        none = {"params": self.biases, "weight_decay": 0.0}
        return torch.optim.AdamW([decay, none], lr=self.cfg.lr)


def run(cfg: TrainConfig):
    pl.seed_everything(cfg.random_seed, workers=True)
    pl.Trainer(max_epochs=cfg.epochs).fit(Net(cfg))


run(TrainConfig())
"""

LOCALS = """import lightning as L
import numpy as np
import random, torch, os


def main():
    epochs, bs = 3, 8
    lr = 2 * 1e-3
    np.random.seed(0); random.seed(0); torch.manual_seed(0)
    train_loader = DataLoader(TensorDataset(x_train, y_train), bs, shuffle=True)
    optimizer = torch.optim.SGD(model.parameters(), lr, momentum=0.9)
    trainer = L.Trainer(max_epochs=epochs, gradient_clip_val=0.5, precision="32-true")
    trainer.fit(model, train_loader, val_dataloaders=DataLoader(holdout, batch_size=128))
    sanity = L.Trainer(max_epochs=2 * epochs)


main()
"""

SCRIPTS = {"constants": CONSTANTS, "argparse": ARGPARSE, "dataclass": DATACLASS, "locals": LOCALS}

RULES = (
    Fixed("training_config.epochs", "epochs", 4),
    Fixed("training_config.batch_size", "batch_size", 24),
    Fixed("training_config.learning_rate", "learning_rate", 0.0005),
    Fixed("seed", "seed", 42),
)


def script(text: str) -> Script:
    return Script.parse(text, "02_train_v001.py")


def rule(name: str, value: bool | int | float | str | None) -> Fixed:
    return Fixed(f"training_config.{name}", name, value)


@pytest.mark.parametrize("text", SCRIPTS.values(), ids=SCRIPTS)
def test_a_materialised_script_has_no_clash_and_is_left_alone_the_second_time(text: str) -> None:
    assert clashes(script(text), RULES)
    done = materialise(script(text), RULES)
    assert clashes(script(done.text), RULES, parent=script(done.text)) == ()
    assert done.missing == ()
    again = materialise(script(done.text), RULES)
    assert (again.text, again.applied) == (done.text, ())


def lines_changed(before: str, after: str) -> list[tuple[str, str]]:
    pairs = zip(before.splitlines(keepends=True), after.splitlines(keepends=True), strict=True)
    return [(old.strip(), new.strip()) for old, new in pairs if old != new]


def test_constants_are_set_where_they_stand_and_nothing_else_moves() -> None:
    done = materialise(script(CONSTANTS), RULES)
    assert lines_changed(CONSTANTS, done.text) == [
        ("SEED = 7            # 난수 시드", "SEED = 42            # 난수 시드"),
        ("EPOCHS = 10         # 에폭 수", "EPOCHS = 4         # 에폭 수"),
        ("BATCH_SIZE = 64     # 배치 크기", "BATCH_SIZE = 24     # 배치 크기"),
        ("LEARNING_RATE = 1e-3", "LEARNING_RATE = 0.0005"),
    ]
    assert done.text.count("\r\n") == CONSTANTS.count("\r\n") == done.text.count("\n")
    assert done.applied[0] == "line 10, EPOCHS: 10 -> 4 (training_config.epochs)"


def test_argparse_defaults_and_parameter_defaults_are_set() -> None:
    done = materialise(script(ARGPARSE), RULES)
    assert [new for _, new in lines_changed(ARGPARSE, done.text)] == [
        'parser.add_argument("--max-epochs", type=int, default=4, help="에폭")',
        'parser.add_argument("-b", "--batch-size", type=int, default=24)',
        'parser.add_argument("--lr", type=float, default=0.0005)',
        "def __init__(self, batch_size: int = 24, num_workers: int = 0):",
    ]


def test_config_classes_and_dicts_are_set_and_an_evaluation_config_is_not() -> None:
    rules = (*RULES, rule("weight_decay", 0.1), rule("dropout", 0.2))
    done = materialise(script(DATACLASS), rules)
    assert [new for _, new in lines_changed(DATACLASS, done.text)] == [
        "epochs: int = 4",
        "batch_size: int = field(default=24)",
        "lr: float = 0.0005",
        "dropout: float = 0.2",
        "random_seed: int = 42",
        'OPTIM = {"name": "adam", "learning_rate": 0.0005, "weight_decay": 0.1}',
        'decay = {"params": self.weights, "weight_decay": 0.1}',
    ]
    assert clashes(script(done.text), rules) == ()


def test_local_variables_positionals_and_computed_values_are_set() -> None:
    done = materialise(script(LOCALS), RULES)
    assert [new for _, new in lines_changed(LOCALS, done.text)] == [
        "epochs, bs = 4, 24",
        "lr = 0.0005",
        "np.random.seed(42); random.seed(42); torch.manual_seed(42)",
    ]
    (left,) = done.asked
    assert left.places == (("line 14, Trainer(max_epochs=…) in main", 8, "sanity.max_epochs"),) and left.some


def test_a_rule_that_no_place_speaks_of_is_missing() -> None:
    absent = rule("gradient_clip_val", 1.0)
    assert materialise(script(CONSTANTS), (*RULES, absent)).missing == (absent,)
    assert materialise(script(LOCALS), (absent,)).missing == ()


def test_a_clash_names_the_rule_both_values_and_the_place() -> None:
    (clash,) = clashes(script("def main():\n    L.Trainer(max_epochs=50)\n"), RULES)
    assert clash == Clash("training_config.epochs", 4, "50", "line 2, Trainer(max_epochs=…) in main")
    assert str(clash) == "line 2, Trainer(max_epochs=…) in main: 50, but training_config.epochs fixes 4"


CLASHING = [
    ("t = Trainer(max_epochs=4)\nu = Trainer(max_epochs=5)", rule("epochs", 4)),
    ("EPOCHS = 4\nt = Trainer(max_epochs=EPOCHS * 2)", rule("epochs", 4)),
    ("EPOCHS = 4\nEPOCHS = 5", rule("epochs", 4)),
    ("t = Trainer(**{'max_epochs': 5})", rule("epochs", 4)),
    ("cfg = dict(n_epochs=5)", rule("max_epochs", 4)),
    ("t = Trainer(max_epochs=None)", rule("epochs", 4)),
    ("if debug:\n    EPOCHS = 5", rule("epochs", 4)),
    ("def f():\n    global EPOCHS\n    EPOCHS = 5", rule("epochs", 4)),
    ("class M:\n    def f(self):\n        self.batch_size = 2", rule("batch_size", 4)),
    ("def train_val_loaders():\n    train = DataLoader(ds, batch_size=2)", rule("batch_size", 4)),
    ("class PredictionModel:\n    def __init__(self, batch_size=2): ...", rule("batch_size", 4)),
    ("BATCH = 2", rule("batch_size", 4)),
    ("Adam(p, 1e-3)", rule("lr", 1e-4)),
    ("Adam([{'params': p, 'lr': 1e-3}])", rule("lr", 1e-4)),
    ("opt, scheduler = build_optimizer_and_scheduler(lr=1e-3)", rule("lr", 1e-4)),
    ("nn.Dropout2d(0.5)", rule("dropout", 0.1)),
    ("nn.Dropout(p=0.5)", rule("dropout", 0.1)),
    ("SGD(p, momentum=0.5)", rule("momentum", 0.9)),
    ("DataLoader(d, generator=torch.Generator().manual_seed(1))", rule("seed", 4)),
    ("Trainer(deterministic=1)", rule("deterministic", True)),
    ("Trainer(deterministic=False)", rule("deterministic", True)),
    ("Trainer(devices=True)", rule("devices", 1)),
    ("Trainer(devices='1')", rule("devices", 1)),
    ("Trainer(precision=16)", rule("precision", "bf16-mixed")),
    ("OPTIMIZER = 'sgd'", rule("optimizer", "adamw")),
    ("torch.optim.SGD(p)", rule("optimizer", "adamw")),
    ("EarlyStopping('val_loss', patience=3)", rule("patience", 5)),
    ("Trainer(gradient_clip_val=1)", rule("gradient_clip_val", None)),
]

AGREEING = [
    ("t = Trainer(max_epochs=4.0, min_epochs=1, check_val_every_n_epoch=2)", rule("epochs", 4)),
    ("EPOCHS = 4\nt = Trainer(max_epochs=EPOCHS)", rule("epochs", 4)),
    ("LR = 3 * 1e-4", rule("lr", 0.0003)),
    ("def val_dataloader(self):\n    return DataLoader(self.ds, batch_size=2)", rule("batch_size", 4)),
    ("valloader = DataLoader(ds, batch_size=2)", rule("batch_size", 4)),
    ("EVAL_BATCH_SIZE = 2", rule("batch_size", 4)),
    ("x = DataLoader(splits['test'], 2)", rule("batch_size", 4)),
    ("fit(train, val_dataloaders=DataLoader(ds, batch_size=2))", rule("batch_size", 4)),
    ("predict_loader = make(DataLoader(ds, batch_size=2))", rule("batch_size", 4)),
    ("self.log('x', y, batch_size=1)", rule("batch_size", 4)),
    ("CosineAnnealingLR(opt, eta_min=1e-6)\nCyclicLR(opt, base_lr=1e-5, max_lr=0.1)", rule("lr", 1e-3)),
    ("class WarmupLR:\n    def __init__(self, opt, base_lr=0.5): ...", rule("lr", 1e-3)),
    ("def f(epochs=None): ...", rule("epochs", 4)),
    ("ReduceLROnPlateau(opt, patience=2)", rule("patience", 5)),
    ("BatchNorm2d(8, momentum=0.01)", rule("momentum", 0.9)),
    ("Adam([{'params': p, 'weight_decay': 0.0}])", rule("weight_decay", 0.1)),
    ("Trainer(precision='32-true')", rule("precision", 32)),
    ("torch.set_printoptions(precision=4)", rule("precision", 32)),
    ("optimizer = torch.optim.AdamW(p)\nreturn_ = {'optimizer': optimizer}", rule("optimizer", "adamw")),
    ("seed_everything(4, workers=True)", rule("num_workers", 2)),
    ("Trainer(max_epochs=args.epochs)", rule("epochs", 4)),
    ("Trainer(gradient_clip_val=None)", rule("gradient_clip_val", None)),
]  # fmt: skip


@pytest.mark.parametrize(("text", "fixed"), CLASHING)
def test_another_value_is_a_clash(text: str, fixed: Fixed) -> None:
    assert [clash.rule for clash in clashes(script(text), [fixed])] == [fixed.rule]


@pytest.mark.parametrize(("text", "fixed"), [pair for pair in CLASHING if "torch.optim.SGD" not in pair[0]])
def test_every_clash_but_an_optimizer_class_can_be_materialised(text: str, fixed: Fixed) -> None:
    done = script(materialise(script(text), [fixed]).text)
    assert clashes(done, [fixed], parent=done) == ()


@pytest.mark.parametrize(("text", "fixed"), AGREEING)
def test_the_same_value_or_a_name_that_means_another_thing_is_no_clash(text: str, fixed: Fixed) -> None:
    assert clashes(script(text), [fixed]) == ()
    assert materialise(script(text), [fixed]).text == text


@pytest.mark.parametrize(
    "statement",
    [
        "os.environ['EPOCHS'] = '50'",
        "n = int(os.environ.get('EPOCHS', '50'))",
        "n = int(os.getenv('EPOCHS', 50))",
        "self.trainer.max_epochs = 50",
        "cfg.epochs = 50",
        "cfg['epochs'] = 50",
    ],
)
def test_what_is_assigned_from_outside_is_set_in_v001_and_is_no_plain_clash(statement: str) -> None:
    text = f"EPOCHS = 4\ndef f(self, cfg):\n    {statement}\n"
    assert clashes(script(text), RULES) == ()
    done = materialise(script(text), RULES)
    assert done.text == text.replace("50", "4") and len(done.applied) == 1


REMOVED = [
    ("EPOCHS = 4\nt = Trainer(max_epochs=EPOCHS)", "EPOCHS = 4\nt = Trainer()", "the library's default"),
    ("t = Trainer(max_epochs=4)", "t = Trainer()", "no value any more"),
    ("t = Trainer(max_epochs=4)\nu = Trainer(max_epochs=4)", "EPOCHS = 4\nt = Trainer()", "the library's default"),
    ("LR = 0.0005\nAdam(p, lr=LR)", "LR = 0.0005\nAdam(p)", "the library's default"),
]
MODEL = "class M:\n    def __init__(self, lr=0.0005): ...\n"
KEPT = [
    ("t = Trainer(max_epochs=4)", "kw = {'max_epochs': 4}\nt = Trainer(**kw)"),
    ("EPOCHS = 4\nt = Trainer(max_epochs=EPOCHS)", "EPOCHS = 4\nkw = {'max_epochs': EPOCHS}\nt = Trainer(**kw)"),
    ("Adam(p, lr=0.0005)", "AdamW(p, 0.0005)"),
    ("a = DataLoader(x, batch_size=24)", "a = DataLoader(x, batch_size=24)\nval = DataLoader(y)"),
    (f"{MODEL}M(lr=0.0005)", f"{MODEL}M()"),
    ("t = Trainer(max_epochs=4)", "t = Trainer(max_epochs=4)\nTrainer(logger=False).test(m)"),
    ("EPOCHS = 4\nt = Trainer(max_epochs=EPOCHS)", "EPOCHS = 4\nkw = make(EPOCHS)\nt = Trainer(**kw)"),
    ("a = DataLoader(x, batch_size=24)", "BATCH_SIZE = 24\na = DataLoader(x, batch_sampler=Buckets(BATCH_SIZE))"),
    ("x = 1", "x = 2"),
]  # fmt: skip


@pytest.mark.parametrize(("before", "after", "says"), REMOVED)
def test_a_dropped_value_is_found_although_nothing_says_another(before: str, after: str, says: str) -> None:
    assert clashes(script(after), RULES) == ()
    assert [clash.found for clash in removed(script(before), script(after), RULES)] == [says]


@pytest.mark.parametrize(("before", "after"), KEPT)
def test_a_value_that_is_stated_elsewhere_is_not_dropped(before: str, after: str) -> None:
    assert removed(script(before), script(after), RULES) == ()


def test_recorded_values_are_compared_by_the_last_part_of_their_key() -> None:
    values = {
        "trainer.max_epochs": 5,
        "model/learning_rate": "5e-4",
        "seed": "42",
        "data.batch_size": True,
        "val.batch_size": 1,
        "scheduler.lr": 9,
        "min_epochs": 1,
        "epochs": None,
    }
    assert recorded_clashes(values, RULES, source="hparams.yaml") == (
        Clash("training_config.epochs", 4, "5", "hparams.yaml, trainer.max_epochs"),
        Clash("training_config.batch_size", 24, "True", "hparams.yaml, data.batch_size"),
    )


def test_synonyms_are_found_from_any_member_without_regard_to_case() -> None:
    assert synonyms("MAX-EPOCHS") == SYNONYMS["epochs"]
    assert synonyms("my_rate") == {"my_rate"}
    assert "min_epochs" not in synonyms("epochs")
    assert {"num_updates", "max_steps"} <= synonyms("max_steps", {"max_steps": ["num_updates"]})
    assert "runden" in synonyms("max_epochs", {"epochs": ["Runden"]})


def test_a_users_own_synonym_is_obeyed_everywhere() -> None:
    extra = {"epochs": ["ROUNDS"]}
    text = "ROUNDS = 9\ncfg.rounds = 9\n"
    rules = RULES[:1]
    assert clashes(script(text), rules) == ()
    assert len(clashes(script(text), rules, extra)) == 1
    assert materialise(script(text), rules, extra).text == text.replace("9", "4")
    assert len(recorded_clashes({"rounds": 9}, rules, source="spec.json", extra=extra)) == 1


def test_numbers_beyond_a_floats_range_do_not_stop_the_comparison() -> None:
    assert len(clashes(script(f"LR = {10**400}\nEPOCHS = {10**400}\n"), RULES)) == 2
