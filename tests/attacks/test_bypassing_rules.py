"""What the user fixed is plainly given another value: refused before anything is trained."""

import pytest

from support.attacks import Attack, chapter
from support.projects import ACTION, Folder, connected

pytestmark = pytest.mark.anyio
stories = chapter("The user's rules")
AUTHOR = "author_next_version"
V001, V002 = "02_train_v001.py", "02_train_v002.py"

MAIN_CFG = "    cfg = Config(epochs=parser.parse_args().epochs)\n"
TRAINER = "    trainer = L.Trainer(max_epochs=cfg.epochs,"
FIT = "    trainer.fit(model, *loaders(cfg))\n"
SEED = "    L.seed_everything(cfg.seed)\n"
LOADER = "batch_size=cfg.batch_size, shuffle=True"
RATE = "lr=self.cfg.lr)"
RULE_EPOCHS, RULE_BATCH = "training_config.epochs fixes 3", "training_config.batch_size fixes 5"
RULE_RATE, RULE_SEED = "training_config.learning_rate fixes 0.2", "seed fixes 42"


# Each edit is honestly named in `where`: it is the rule that stands in its way, not the action.
@stories(
    "where,edits",
    (
        ("Epochs: the constant itself", AUTHOR, f"Config.epochs: 30, but {RULE_EPOCHS}"),
        "Config",
        [("epochs: int = 3", "epochs: int = 30")],
    ),
    (
        (
            "Epochs: the default of an option",
            AUTHOR,
            f"the default of the option epochs in main: 30, but {RULE_EPOCHS}",
        ),
        "main",
        [("default=3", "default=30")],
    ),
    (
        ("Epochs: set_defaults of the parser", AUTHOR, f"set_defaults(epochs=…) in main: 30, but {RULE_EPOCHS}"),
        "main",
        [(MAIN_CFG, "    parser.set_defaults(epochs=30)\n" + MAIN_CFG)],
    ),
    (
        ("Epochs: through a variable", AUTHOR, f"Trainer(max_epochs=…) in main: 30, but {RULE_EPOCHS}"),
        "main",
        [(TRAINER, "    rounds = 30\n" + TRAINER.replace("cfg.epochs", "rounds"))],
    ),
    (
        ("Epochs: the default of a parameter", AUTHOR, f"the default of epochs in loaders: 30, but {RULE_EPOCHS}"),
        "loaders",
        [("def loaders(cfg):", "def loaders(cfg, epochs=30):")],
    ),
    (
        ("Epochs: by position into a dataclass", AUTHOR, f"Config(…) in main: 30, but {RULE_EPOCHS}"),
        "main",
        [("Config(epochs=parser.parse_args().epochs)", "Config(42, 30)")],
    ),
    (
        ("Epochs: dataclasses.replace", AUTHOR, f"replace(epochs=…) in main: 30, but {RULE_EPOCHS}"),
        "main",
        [
            ("from dataclasses import dataclass", "from dataclasses import dataclass, replace"),
            (TRAINER, "    cfg = replace(cfg, epochs=30)\n" + TRAINER),
        ],
    ),
    (
        ("Epochs: Trainer(**{…})", AUTHOR, f"max_epochs in main: 30, but {RULE_EPOCHS}"),
        "main",
        [("max_epochs=cfg.epochs", '**{"max_epochs": 30}')],
    ),
    (
        (
            "Epochs: left out, so that the library's default applies",
            AUTHOR,
            f"a call of Trainer(…) without max_epochs: the library's default, but {RULE_EPOCHS}",
        ),
        "main",
        [("max_epochs=cfg.epochs, ", ""), (", **QUIET)", ")")],
    ),
    (
        (
            "Epochs: a second Trainer with its own number",
            AUTHOR,
            f"Trainer(max_epochs=…) in main: 30, but {RULE_EPOCHS}",
        ),
        "main",
        [(FIT, FIT + "    L.Trainer(max_epochs=30, logger=False).fit(model, *loaders(cfg))\n")],
    ),
    (
        ("Batch size: through a variable", AUTHOR, f"DataLoader(batch_size=…) in loaders: 64, but {RULE_BATCH}"),
        "loaders",
        [("def loaders(cfg):\n", "def loaders(cfg):\n    many = 64\n"), (LOADER, "batch_size=many, shuffle=True")],
    ),
    (
        ("Batch size: a BatchSampler", AUTHOR, f"BatchSampler(…) in loaders: 64, but {RULE_BATCH}"),
        "loaders",
        [
            ("import DataLoader", "import BatchSampler, DataLoader"),
            (LOADER, "batch_sampler=BatchSampler(range(10), 64, False)"),
        ],
    ),
    (
        ("Learning rate: by position", AUTHOR, f"SGD(…) in Learner.configure_optimizers: 2.0, but {RULE_RATE}"),
        "Learner",
        [(RATE, "2.0)")],
    ),
    (
        ("Seed: another one under another name", AUTHOR, f"seed_everything(…) in main: 7, but {RULE_SEED}"),
        "main",
        [(SEED, "    lucky = 7\n    L.seed_everything(lucky)\n")],
    ),
    (
        ("Seed: a second seed_everything", AUTHOR, f"seed_everything(…) in main: 7, but {RULE_SEED}"),
        "main",
        [(SEED, SEED + "    L.seed_everything(7)\n")],
    ),
    (
        ("Seed: a generator of its own", AUTHOR, f"Random(…) in load: 7, but {RULE_SEED}"),
        "load",
        [
            ("import json\n", "import json\nimport random\n"),
            ("    samples = json", "    random.Random(7).shuffle([])\n    samples = json"),
        ],
    ),
    (("Data set: another one", AUTHOR, "DATASET_ID: 'v2'"), "DATASET_ID", [('DATASET_ID = "v1"', 'DATASET_ID = "v2"')]),
    (
        ("Data set: another one's path", AUTHOR, "leads to another data set (v2), and this loop's is 'v1' to its end"),
        "DATA",
        [('Path("dataset/prepdata") / DATASET_ID', 'Path("dataset/prepdata/v2")')],
    ),
)
async def test_a_diff_that_plainly_breaks_a_rule_is_refused_though_the_action_names_its_place(
    lightning: Folder, known: Attack, where: str, edits: list[tuple[str, str]]
) -> None:
    async with connected(lightning) as agent:
        await agent.act(where=[where], goal="Learn better", change="see the diff")
        text = await agent.refused(AUTHOR, version=1, diff=lightning.diff(V001, *edits))
    assert known.says in text, text
    assert not lightning.path(V002).exists()


@stories(
    "where",
    (
        (
            "An action whose place is what a rule fixes",
            "write_action",
            "the action changes Config.epochs, and the user fixed training_config.epochs = 3",
        ),
        "Config.epochs",
    ),
    (
        (
            "An action that adds a setting of a fixed name",
            "write_action",
            "the action changes +max_epochs, and the user fixed training_config.epochs = 3",
        ),
        "+max_epochs",
    ),
)
async def test_an_action_that_aims_at_a_fixed_value_is_refused(lightning: Folder, known: Attack, where: str) -> None:
    async with connected(lightning) as agent:
        text = await agent.refused("write_action", version=1, **{**ACTION, "where": [where]})
    assert known.says in text, text
