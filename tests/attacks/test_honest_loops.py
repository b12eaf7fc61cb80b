"""What the guards cost honest work: nothing. 100 generated loops come to v002 without one refusal or mark."""

from pathlib import Path
from typing import Any

import pytest

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


@pytest.mark.parametrize("loop", LOOPS, ids=lambda loop: loop.title)
async def test_an_honest_action_is_authored_without_an_alarm(tmp_path: Path, loop: Honest) -> None:
    folder = loop.make(tmp_path / FOLDER_NAME)
    async with connected(folder, executor=Instant()) as agent:
        await come_to_v002(agent, loop)
        assert (await agent.train(2))["state"] == "done"
        assert await agent.where() == ("evaluate", 2)


# Of each style the first, and the later one whose action is another; here the scripts are really run.
@pytest.mark.parametrize("loop", [*LOOPS[: len(STYLES)], *LOOPS[37 : 37 + len(STYLES)]], ids=lambda loop: loop.title)
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


SGD = "        return SGD(self, lr=self.cfg.lr)\n"
FIT = "    trainer.fit(model, *loaders(cfg))\n"
LOADERS = "    train_loader = DataLoader"
STEP = "        return clipped(self.threshold - 0.5 - self.margin)\n"


# What libraries' own guides recommend, beside rules that fix epochs, batch size, learning rate and seed.
@pytest.mark.parametrize(
    ("where", "edits"),
    [
        (["Learner.configure_optimizers"], [(SGD, SGD.replace("SGD(", "Adam(")), ("import SGD", "import SGD, Adam")]),
        (["Learner.configure_optimizers"], [(SGD, SGD.replace("lr)", "lr, momentum=0.9)"))]),
        (
            ["Learner.configure_optimizers"],
            [
                (
                    SGD,
                    "        optimizer = SGD(self, lr=self.cfg.lr)\n"
                    "        schedule = StepLR(optimizer, step_size=1, gamma=0.5)\n"
                    '        return {"optimizer": optimizer, "lr_scheduler": {"scheduler": schedule}}\n',
                )
            ],
        ),
        (["Learner.configure_optimizers"], [(SGD, "        rate = self.cfg.lr\n        return SGD(self, lr=rate)\n")]),
        (["Learner.training_step"], [(STEP, "        self.log('loss', 0.1, batch_size=len(batch))\n" + STEP)]),
        (["Learner.training_step"], [(STEP, "        hidden = self.init_hidden(batch_size=batch.size(0))\n" + STEP)]),
        (
            ["Learner.__init__"],
            [("        self.threshold = START\n", "        self.threshold = START\n        self.lr = cfg.lr\n")],
        ),
        (["loaders"], [("batch_size=20)", "batch_size=len(load('val')))")]),
        (
            ["loaders", "+seed_worker"],
            [
                (
                    "def loaders(cfg):\n",
                    "def seed_worker(worker_id):\n    random.seed(torch.initial_seed() % 2**32)\n\n\n"
                    "def loaders(cfg):\n",
                ),
                (
                    "shuffle=True)",
                    "shuffle=True, worker_init_fn=seed_worker, generator=torch.Generator().manual_seed(cfg.seed))",
                ),
                ("import json\n", "import json\nimport random\n"),
                ("import lightning as L\n", "import lightning as L\nimport torch\n"),
            ],
        ),
        (
            ["main"],
            [
                ("default_root_dir=", "callbacks=[EarlyStopping(monitor='val_loss', patience=9)], default_root_dir="),
                ("import json\n", "import json\nfrom lightning.callbacks import EarlyStopping\n"),
            ],
        ),
        (
            ["main"],
            [
                (FIT, "    torch.backends.cudnn.benchmark = True\n" + FIT),
                ("import lightning as L\n", "import lightning as L\nimport torch\n"),
            ],
        ),
        (
            ["main"],
            [
                (
                    "L.Trainer(max_epochs=cfg.epochs,",
                    "L.Trainer(max_epochs=cfg.epochs, gradient_clip_val=0.5, precision='32-true',",
                )
            ],
        ),
        (
            ["main"],
            [
                (
                    "    trainer = L.Trainer(max_epochs=cfg.epochs, default_root_dir=str(ARTIFACTS))\n",
                    "    options = dict(max_epochs=cfg.epochs, default_root_dir=str(ARTIFACTS))\n"
                    "    trainer = L.Trainer(**options)\n",
                )
            ],
        ),
        (
            ["main"],
            [
                ("parser.parse_args().epochs)", "args.epochs)"),
                ("    cfg = Config(", "    args = parser.parse_args()\n    cfg = Config("),
            ],
        ),
        (["main"], [(FIT, "    scaler = Scaler()\n    scaler.fit(load('train'))\n" + FIT)]),
        (
            ["Config", "+decayed", "Learner.configure_optimizers"],
            [
                ("    lr: float = 0.2\n", "    lr: float = 0.2\n    decay: float = 0.01\n"),
                ("def load(", "def decayed(lr, epochs, decay=0.0):\n    return lr\n\n\ndef load("),
                (SGD, "        return SGD(self, lr=self.cfg.lr, weight_decay=self.cfg.decay)\n"),
            ],
        ),
    ],
)
async def test_what_guides_recommend_is_no_alarm_beside_fixed_rules(
    lightning: Folder, where: list[str], edits: list[tuple[str, str]]
) -> None:
    async with connected(lightning) as agent:
        await agent.call("write_action", version=1, **{**ACTION, "where": where, "change": "see the diff"})
        assert (await agent.author(1, *edits))["notes"] == []


def test_the_loops_differ_in_style_action_and_rules() -> None:
    assert len({loop.script for loop in LOOPS}) > 90
    assert {loop.style.name for loop in LOOPS} == {"constants", "dataclass", "argparse", "dictionary", "local modules"}
    assert len({loop.action["goal"] for loop in LOOPS}) > 12
    assert len({str(loop.rules) for loop in LOOPS}) > 10
