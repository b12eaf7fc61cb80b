"""What the guards cost honest work: nothing. 100 generated loops come to v002 without one refusal or mark."""

from pathlib import Path
from typing import Any

import pytest

from support.forked import Forked
from support.honest import Honest, honest
from support.honest_styles import STYLES
from support.instant import Instant
from support.projects import ACTION, ANALYSIS, EVALUATOR, FOLDER_NAME, Agent, Folder, connected

pytestmark = pytest.mark.anyio
LOOPS = [honest(number) for number in range(100)]


def alarms(trained: dict[str, Any]) -> list[str]:
    """The training's warnings. That a value was measured nowhere is none: these scripts train without torch."""
    unmeasured = {rule["rule"] for rule in trained["rules"] if rule["standing"] == "not verified"}
    return [warning for warning in trained["warnings"] if warning.partition(" = ")[0] not in unmeasured]


async def come_to_v002(agent: Agent, loop: Honest) -> None:
    """Each call must succeed; a warning or a note is a false alarm as well."""
    await agent.call("start_loop")
    trained = await agent.train()
    assert trained["state"] == "done" and not alarms(trained), trained
    await agent.call("write_eval", source=EVALUATOR)
    scored = await agent.score()
    assert scored["state"] == "done" and not scored["warnings"], scored
    await agent.call("write_analysis", version=1, **ANALYSIS)
    await agent.call("write_action", version=1, **loop.action)
    authored = await agent.author(1, *loop.edits)
    assert authored["notes"] == [], authored["notes"]


# Of each style four are among the fast tests, and a sixth of them all.
@pytest.mark.parametrize(
    "loop",
    [pytest.param(loop, marks=[pytest.mark.whole] if loop.number >= 4 * len(STYLES) else []) for loop in LOOPS],
    ids=[loop.title for loop in LOOPS],
)
async def test_an_honest_action_is_authored_without_an_alarm(tmp_path: Path, loop: Honest) -> None:
    folder = loop.make(tmp_path / FOLDER_NAME)
    async with connected(folder, executor=Instant()) as agent:
        await come_to_v002(agent, loop)
        assert (await agent.train(2))["state"] == "done"
        assert await agent.where() == ("evaluate", 2)


# Of each style the first, and the later one whose action is another; here the scripts are really run.
@pytest.mark.parametrize("loop", [*LOOPS[: len(STYLES)], *LOOPS[37 : 37 + len(STYLES)]], ids=lambda loop: loop.title)
@pytest.mark.whole(but=LOOPS[1].title)
async def test_an_honest_loop_is_trained_and_scored_without_an_alarm(tmp_path: Path, loop: Honest) -> None:
    folder = loop.make(tmp_path / FOLDER_NAME)
    async with connected(folder) as agent:
        await come_to_v002(agent, loop)
        for step in (agent.train, agent.score):
            result = await step(2)
            assert result["state"] == "done" and not (alarms(result) if step == agent.train else result["warnings"]), (
                result
            )
    assert "v002" in folder.read("02_train_v002.py")


OPTIMIZERS = "        return SGD(self.parameters(), lr=self.cfg.lr)\n"
MAKE = "        made = SGD(self.parameters(), lr=self.cfg.lr)\n"
FIT = "    trainer.fit(model, *loaders(cfg))\n"
TRAINER = (
    '    trainer = L.Trainer(max_epochs=cfg.epochs, accelerator="cpu", callbacks=[best], logger=logger, **QUIET)\n'
)
TRAIN_LOADER = '    train_loader = DataLoader(load("train"), batch_size=cfg.batch_size, shuffle=True)\n'
HOOK = "    def configure_optimizers(self):\n"
STEP = "    def training_step(self, batch, batch_idx):\n"
MODEL = "    model = Learner(cfg)\n"
LEARNER, OPTIMIZE = "Learner", "Learner.configure_optimizers"
Change = tuple[str, list[tuple[str, str]]]


def scheduled(scheduler: str) -> list[tuple[str, str]]:
    return [(OPTIMIZERS, f'{MAKE}        return {{"optimizer": made, "lr_scheduler": {scheduler}}}\n')]


# What libraries' own guides recommend and what scripts do, beside rules that fix epochs, batch size, rate and seed.
HONEST: dict[str, Change] = {
    "another optimizer": (
        OPTIMIZE,
        [(OPTIMIZERS, OPTIMIZERS.replace("SGD", "Adam")), ("import SGD", "import SGD, Adam")],
    ),
    "momentum": (OPTIMIZE, [(OPTIMIZERS, OPTIMIZERS.replace("lr)", "lr, momentum=0.9)"))]),
    "a rate that falls by steps": (OPTIMIZE, scheduled("torch.optim.lr_scheduler.StepLR(made, 1, gamma=0.5)")),
    "a rate that falls as a cosine": (
        OPTIMIZE,
        [
            ("import json\n", "import json\nimport math\n"),
            *scheduled("torch.optim.lr_scheduler.LambdaLR(made, lambda n: 0.5 + 0.5 * math.cos(n / self.cfg.epochs))"),
        ],
    ),
    "a schedule of its own": (
        f"{OPTIMIZE} +Rising",
        [
            (
                "class Learner(",
                "class Rising(torch.optim.lr_scheduler.LRScheduler):\n    def get_lr(self):\n"
                "        return [lr * min(1.0, (self.last_epoch + 1) / 3) for lr in self.base_lrs]\n\n\nclass Learner(",
            ),
            *scheduled("Rising(made)"),
        ],
    ),
    "a warm-up by hand": (
        LEARNER,
        [
            (
                HOOK,
                "    def on_train_batch_start(self, batch, batch_idx):\n"
                "        for group in self.optimizers().param_groups:\n"
                '            group["lr"] = self.cfg.lr * min(1.0, (self.global_step + 1) / 4)\n\n' + HOOK,
            )
        ],
    ),
    "the rate through a variable": (
        OPTIMIZE,
        [(OPTIMIZERS, "        rate = self.cfg.lr\n        return SGD(self.parameters(), lr=rate)\n")],
    ),
    "the optimizer through partial": (
        OPTIMIZE,
        [
            ("import json\n", "import functools\nimport json\n"),
            (
                OPTIMIZERS,
                "        make = functools.partial(SGD, lr=self.cfg.lr)\n        return make(self.parameters())\n",
            ),
        ],
    ),
    "no decay for biases": (
        OPTIMIZE,
        [
            (
                OPTIMIZERS,
                "        parts = [[p for p in self.parameters() if (p.ndim > 1) is wide] for wide in (True, False)]\n"
                '        groups = [{"params": p, "weight_decay": d} for p, d in zip(parts, (0.01, 0.0))]\n'
                "        return SGD(groups, lr=self.cfg.lr)\n",
            )
        ],
    ),
    "the batch's size told to the log": (
        LEARNER,
        [(STEP, STEP + "        self.log('n', 0.1, batch_size=len(batch[0]))\n")],
    ),
    "the rate kept by the model": (
        "Learner.__init__",
        [("        self.scale = START\n", "        self.scale = START\n        self.lr = cfg.lr\n")],
    ),
    "noise on the inputs": (
        LEARNER,
        [(STEP, STEP + "        batch = [batch[0] + 0.01 * torch.randn_like(batch[0]), batch[1]]\n")],
    ),
    "two views of each batch": (LEARNER, [(STEP, STEP + "        self.log('other', self.loss(batch))\n")]),
    "weights made another way": (
        "Learner.__init__",
        [
            (
                "        self.scale = START\n",
                "        self.scale = START\n        nn.init.kaiming_normal_(self.net[0].weight)\n",
            )
        ],
    ),
    "a layer by its name": ("Learner.__init__", [("nn.ReLU()", 'getattr(nn, "Re" + "LU")()')]),
    "a wider model": (
        "Learner.__init__",
        [("nn.Linear(1, 8)", "nn.Linear(1, 16)"), ("nn.Linear(8, 2)", "nn.Linear(16, 2)")],
    ),
    "an average of the weights": (
        "+Average main",
        [
            (
                "def load(",
                "class Average(L.Callback):\n    def on_train_batch_end(self, trainer, model, *_):\n"
                "        new = [one.detach().clone() for one in model.parameters()]\n"
                '        old = getattr(self, "kept", new)\n'
                "        self.kept = [0.9 * one + 0.1 * other for one, other in zip(old, new)]\n\n\ndef load(",
            ),
            (TRAINER, TRAINER.replace("[best]", "[best, Average()]")),
        ],
    ),
    "validation all at once": ("loaders", [("batch_size=20)", "batch_size=len(load('val')))")]),
    "validation in larger batches": ("loaders", [("batch_size=20)", "batch_size=2 * cfg.batch_size)")]),
    "workers with seeds": (
        "loaders +seed_worker",
        [
            (
                "def loaders(cfg):\n",
                "def seed_worker(worker_id):\n    random.seed(torch.initial_seed() % 2**32)\n\n\ndef loaders(cfg):\n",
            ),
            (
                "shuffle=True)",
                "shuffle=True, num_workers=1, worker_init_fn=seed_worker,\n"
                "        generator=torch.Generator().manual_seed(cfg.seed))",
            ),
            ("import json\n", "import json\nimport random\n"),
        ],
    ),
    "options of a loader": (
        "loaders",
        [
            (
                TRAIN_LOADER,
                '    options = {"batch_size": cfg.batch_size, "shuffle": True, "drop_last": True}\n'
                '    train_loader = DataLoader(load("train"), **options)\n',
            )
        ],
    ),
    "classes in balance": (
        "loaders",
        [
            (
                TRAIN_LOADER,
                "    sampler = torch.utils.data.WeightedRandomSampler(torch.ones(40), 40)\n"
                + TRAIN_LOADER.replace("shuffle=True", "sampler=sampler"),
            )
        ],
    ),
    "more samples, made of the others": (
        "loaders +mirrored",
        [
            (
                "def loaders(cfg):\n",
                "def mirrored(data):\n    inputs, labels = data.tensors\n"
                "    return torch.utils.data.ConcatDataset([data, TensorDataset(inputs + 0.001, labels)])\n\n\n"
                "def loaders(cfg):\n",
            ),
            (TRAIN_LOADER, TRAIN_LOADER.replace('load("train")', 'mirrored(load("train"))')),
        ],
    ),
    "outliers left out": (
        "loaders",
        [(TRAIN_LOADER, TRAIN_LOADER.replace('load("train")', 'torch.utils.data.Subset(load("train"), range(5, 40))'))],
    ),
    "an early stop": (
        "main",
        [(TRAINER, TRAINER.replace("[best]", "[best, L.pytorch.callbacks.EarlyStopping('val_loss', patience=9)]"))],
    ),
    "a quick cudnn": ("main", [(FIT, "    torch.backends.cudnn.benchmark = True\n" + FIT)]),
    "a backend's flag": ("main", [(FIT, "    torch.backends.cudnn.deterministic = bool(cfg.seed)\n" + FIT)]),
    "clipped gradients": (
        "main",
        [(TRAINER, TRAINER.replace("logger=logger", "logger=logger, gradient_clip_val=0.5, precision='32-true'"))],
    ),
    "options of the trainer": (
        "main",
        [
            (
                TRAINER,
                "    options = dict(max_epochs=cfg.epochs, callbacks=[best], logger=logger, accelerator='cpu')\n"
                "    trainer = L.Trainer(**options, **QUIET)\n",
            )
        ],
    ),
    "the command line read apart": (
        "main",
        [
            ("parser.parse_args().epochs)", "args.epochs)"),
            ("    cfg = Config(", "    args = parser.parse_args()\n    cfg = Config("),
        ],
    ),
    "a trainer that only validates": (
        "main",
        [
            (
                FIT,
                FIT + "    tests = L.Trainer(accelerator='cpu', logger=False, **QUIET)\n"
                "    tests.validate(model, loaders(cfg)[1], verbose=False)\n",
            )
        ],
    ),
    "inputs scaled by what was fitted": (
        "load +Scaler",
        [
            (
                "def load(",
                "class Scaler:\n    def fit(self, inputs):\n        self.mean = inputs.mean()\n        return self\n"
                "\n\ndef load(",
            ),
            (
                "    return TensorDataset(inputs,",
                "    inputs = inputs - Scaler().fit(inputs).mean\n    return TensorDataset(inputs,",
            ),
        ],
    ),
    "a setting of its own": (
        "Config +decayed Learner.configure_optimizers",
        [
            ("    lr: float = 0.2\n", "    lr: float = 0.2\n    decay: float = 0.01\n"),
            (
                "def load(",
                "def decayed(decay, epochs, least=0.0):\n    return max(decay / epochs, least)\n\n\ndef load(",
            ),
            (OPTIMIZERS, OPTIMIZERS.replace("cfg.lr)", "cfg.lr, weight_decay=decayed(self.cfg.decay, 3))")),
        ],
    ),
    "the commit in the log": (
        "main",
        [
            ("import json\n", "import json\nimport subprocess\n"),
            (FIT, FIT + "    print(subprocess.run(['git', '--version'], capture_output=True, check=False).stdout)\n"),
        ],
    ),
    "a line made of values": (
        "main",
        [(FIT, FIT + '    print(f"{VERSION}: {cfg.epochs * 10 / 10:.0f} epochs of {cfg.batch_size}")\n')],
    ),
    "an attribute by its name": ("main", [(MODEL, MODEL + '    setattr(model, "tag", cfg.lr)\n')]),
    "a clock": (
        "main",
        [
            ("import json\n", "import json\nimport time\n"),
            (FIT, f"    began = time.time()\n{FIT}    print(time.time() - began)\n"),
        ],
    ),
    "a function of a module replaced": (
        "main",
        [
            ("import json\n", "import json\nimport warnings\n"),
            (FIT, "    warnings.showwarning = lambda *_, **__: None\n" + FIT),
        ],
    ),
}


@pytest.mark.parametrize(("where", "edits"), HONEST.values(), ids=HONEST)
@pytest.mark.whole(but=4)
async def test_honest_changes_are_measured_without_an_alarm(
    lightning: Folder, where: str, edits: list[tuple[str, str]]
) -> None:
    async with connected(lightning, executor=Forked()) as agent:
        await agent.call("write_action", version=1, **{**ACTION, "where": where.split(), "change": "see the diff"})
        assert (await agent.author(1, *edits))["notes"] == []
        trained = await agent.train(2)
        assert trained["state"] == "done" and not trained["warnings"], trained
        assert {rule["standing"] for rule in trained["rules"]} == {"in force"}, trained["rules"]


def test_the_loops_differ_in_style_action_and_rules() -> None:
    assert len({loop.script for loop in LOOPS}) > 90
    assert {loop.style.name for loop in LOOPS} == {"constants", "dataclass", "argparse", "dictionary", "local modules"}
    assert len({loop.action["goal"] for loop in LOOPS}) > 12
    assert len({str(loop.rules) for loop in LOOPS}) > 10
