"""More, or something else, is changed than the one action that was selected."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from support.attacks import Attack, chapter
from support.projects import ACTION, At, Folder, connected, diff, edited

pytestmark = pytest.mark.anyio
stories = chapter("One action")
AUTHOR, ACT, TRAIN = "author_next_version", "write_action", "run_train"
V001, V002 = "02_train_v001.py", "02_train_v002.py"
CHANGE = ("LEARNING_RATE = 0.2", "LEARNING_RATE = 0.5")
START = ("START = 1.0", "START = 0.9")
END = '\n\nif __name__ == "__main__":'


@stories(
    "edits",
    (
        ("Two changes in one diff", AUTHOR, "the diff also changes START, and the action's where is LEARNING_RATE"),
        [CHANGE, START],
    ),
    (
        ("The change hidden in a helper", AUTHOR, "the diff also changes loss_of"),
        [CHANGE, ("abs(threshold - 0.5) / 100", "abs(threshold - 0.5) / 50")],
    ),
    (
        ("A default argument", AUTHOR, "the diff also changes load"),
        [CHANGE, ("def load(split):", 'def load(split="val"):')],
    ),
    (("A decorator", AUTHOR, "the diff also changes fit"), [CHANGE, ("def fit():", "@staticmethod\ndef fit():")]),
    (
        ("A function wrapped at the module's end", AUTHOR, "the diff also changes fit"),
        [CHANGE, (END, "\n\nfit = (lambda inner: inner)(fit)" + END)],
    ),
    (
        ("A statement of the module", AUTHOR, "the diff also changes <module>"),
        [CHANGE, (END, "\n\nprint(LEARNING_RATE)" + END)],
    ),
    (
        ("A statement under the main guard", AUTHOR, "the diff also changes __main__"),
        [CHANGE, ("    main()\n", "    main()\n    main()\n")],
    ),
    (
        ("A constant that appears beside", AUTHOR, "the diff also changes MARGIN"),
        [CHANGE, ("START = 1.0", "START = 1.0\nMARGIN = 0.1")],
    ),
    (("A constant that vanishes", AUTHOR, "the diff also changes START"), [CHANGE, ("START = 1.0\n", "")]),
    (
        ("A method of a module replaced", AUTHOR, "the diff also changes <module>"),
        [CHANGE, (END, "\n\njson.dumps = str" + END)],
    ),
    (
        ("Only comments", AUTHOR, "changes only comments, formatting or VERSION"),
        [("import json\n", "import json  # fast\n")],
    ),
    (("Only the docstring", AUTHOR, "changes only comments, formatting or VERSION"), [("Learns where", "Finds where")]),
    (
        (
            "Only VERSION, to write into another version's folder",
            AUTHOR,
            "changes only comments, formatting or VERSION",
        ),
        [('VERSION = "v001"', 'VERSION = "v009"')],
    ),
    (
        ("Only imports", AUTHOR, "the diff changes imports alone (+ import math), and none of LEARNING_RATE"),
        [("import json\n", "import json\nimport math\n")],
    ),
    (
        (
            "An import that takes another's name",
            AUTHOR,
            "the diff's imports give another meaning to advance, which becomes faster.advance",
        ),
        [CHANGE, ("from schedule import advance", "from faster import advance")],
    ),
    (
        ("An import that takes a builtin's name", AUTHOR, "give another meaning to sum, which becomes operator.add"),
        [CHANGE, ("import json\n", "import json\nfrom operator import add as sum\n")],
    ),
    (
        ("An import that takes a function's name", AUTHOR, "give another meaning to load, which becomes json.load"),
        [CHANGE, ("import json\n", "import json\nfrom json import load\n")],
    ),
    (
        ("An import of everything", AUTHOR, "give another meaning to every name of random"),
        [CHANGE, ("import json\n", "import json\nfrom random import *\n")],
    ),
    (
        ("Text that reads otherwise than it runs (bidi)", AUTHOR, "reverse the direction of text: it reads otherwise"),
        [("LEARNING_RATE = 0.2", "LEARNING_RATE = 0.5  # \u202e tfel ot thgir")],
    ),
    (
        ("The loop's own folder is read", AUTHOR, "the diff brings in .progressive-training"),
        [("LEARNING_RATE = 0.2", 'LEARNING_RATE = json.load(open(".progressive-training/loop.json"))["rate"]')],
    ),
)
async def test_a_diff_that_does_more_than_its_action_is_refused(
    at: At, known: Attack, edits: list[tuple[str, str]]
) -> None:
    folder = at("acted")
    async with connected(folder) as agent:
        text = await agent.refused(AUTHOR, version=1, diff=folder.diff(V001, *edits))
        assert known.says in text, text
        assert not folder.path(V002).exists()


@stories(
    "where,edits",
    (
        ("An optimiser swapped by its import", AUTHOR, "give another meaning to SGD, which becomes torch.optim.Adam"),
        ["START"],
        [START, ("from torch.optim import SGD", "from torch.optim import Adam as SGD")],
    ),
    (
        ("A class attribute", AUTHOR, "the diff also changes Learner.margin, and the action's where is START"),
        ["START"],
        [START, ("margin = 0.0", "margin = 0.1")],
    ),
    (
        ("A method beside the one that is named", AUTHOR, "the diff also changes Learner.loss"),
        ["Learner.training_step"],
        [
            ("return self.loss(batch)\n\n    def val", "return 2 * self.loss(batch)\n\n    def val"),
            ("return nn.f", "return 2 * nn.f"),
        ],
    ),
    (
        ("A method replaced from the module's end", AUTHOR, "the diff also changes <module>"),
        ["START"],
        [START, ("def load(", "Learner.training_step = lambda self, batch: 0\n\n\ndef load(")],
    ),
    (
        ("A base class", AUTHOR, "the diff also changes Learner"),
        ["START"],
        [START, ("(L.LightningModule)", "(L.LightningModule, dict)")],
    ),
)
async def test_a_change_of_a_class_or_an_import_beside_the_action_is_refused(
    lightning: Folder, known: Attack, where: list[str], edits: list[tuple[str, str]]
) -> None:
    async with connected(lightning) as agent:
        await agent.act(where=where, change="see the diff")
        text = await agent.refused(AUTHOR, version=1, diff=lightning.diff(V001, *edits))
        assert known.says in text, text


@stories(
    "patch",
    (
        ("A diff of the evaluator", AUTHOR, f"the diff is of 03_eval.py; a new version changes {V001} alone"),
        diff("x = 1\n", "x = 2\n", "03_eval.py"),
    ),
    (
        ("A diff of a local module", AUTHOR, f"the diff is of schedule.py; a new version changes {V001} alone"),
        diff("x = 1\n", "x = 2\n", "schedule.py"),
    ),
    (
        ("A diff of the rules", AUTHOR, f"the diff is of user_defined_rules.json; a new version changes {V001} alone"),
        diff('{"seed": 42}\n', '{"seed": 7}\n', "user_defined_rules.json"),
    ),
    (
        ("A diff of two files", AUTHOR, f"a new version changes {V001} alone"),
        diff("START = 1.0\n", "START = 0.9\n", V001) + diff("x = 1\n", "x = 2\n", "schedule.py"),
    ),
)
async def test_a_diff_of_anything_but_the_script_is_refused(at: At, known: Attack, patch: str) -> None:
    folder = at("acted")
    async with connected(folder) as agent:
        text = await agent.refused(AUTHOR, version=1, diff=patch)
        assert known.says in text, text


WHOLE = [
    "EPOCHS",
    "BATCH_SIZE",
    "LEARNING_RATE",
    "START",
    "DATA",
    "ARTIFACTS",
    "LOGS",
    "load",
    "loss_of",
    "fit",
    "main",
]


@stories(
    "parts",
    (
        ("An action with a list of changes", ACT, "change: lists several changes, and an action is one"),
        {"change": "1. LEARNING_RATE to 0.5\n2. START to 0.9"},
    ),
    (
        ("An action with two goals", ACT, "goal: lists several changes, and an action is one"),
        {"goal": "- come closer\n- start closer"},
    ),
    (
        ("A second change in passing", ACT, "change: names a second change ('and also lower'), and an action is one"),
        {"change": "raise LEARNING_RATE to 0.5 and also lower START"},
    ),
    (
        ("Two settings moved at once", ACT, "change: moves LEARNING_RATE, START, and an action is one change"),
        {"change": "LEARNING_RATE from 0.2 to 0.5, START from 1.0 to 0.9", "where": ["LEARNING_RATE", "START"]},
    ),
    (
        ("A where that names everything", ACT, "where: names 9 symbols, so it allows nearly any change"),
        {"where": WHOLE[2:]},
    ),
    (
        ("A where of what the script doesn't have", ACT, "where names what 02_train_v001.py doesn't have: *"),
        {"where": ["*"]},
    ),
    (("An action without a way to verify it", ACT, "verification: is empty"), {"verification": " "}),
)
async def test_an_action_that_is_several_or_any_is_refused(at: At, known: Attack, parts: dict[str, Any]) -> None:
    folder = at("analysed")
    async with connected(folder) as agent:
        text = await agent.refused(ACT, version=1, **{**ACTION, **parts})
        assert known.says in text, text
        await agent.act()


@stories(
    "",
    (
        (
            "A rewrite under the cover of one function",
            AUTHOR,
            "the diff changes 303 statements, and loop_config.max_changed_statements is 300",
        ),
    ),
)
async def test_a_change_that_is_too_large_to_be_traced_is_refused(at: At, known: Attack) -> None:
    folder = at("analysed")
    steps = "".join(f"        threshold -= {number} / 100000\n" for number in range(303))
    async with connected(folder) as agent:
        await agent.act(where=["fit"], change="fit moves in small steps")
        patch = folder.diff(V001, ("        rows.append(", steps + "        rows.append("))
        text = await agent.refused(AUTHOR, version=1, diff=patch)
        assert known.says in text, text


@stories(
    "",
    (
        (
            "Two independent settings in one action",
            AUTHOR,
            "LEARNING_RATE and START change together: which of them had what effect can't be told",
            "detected",
        ),
    ),
)
async def test_two_settings_that_an_action_names_are_carried_out_and_marked(at: At, known: Attack) -> None:
    folder = at("analysed")
    async with connected(folder) as agent:
        await agent.act(where=["LEARNING_RATE", "START"], change="a faster start")
        authored = await agent.author(1, CHANGE, START)
        assert any(known.says in note for note in authored["notes"]), authored["notes"]


@stories(
    "",
    (
        (
            "A change without any effect",
            "run_eval",
            "its weights are those of v001, tensor by tensor: the change had no effect",
            "detected",
        ),
    ),
)
async def test_weights_that_are_an_earlier_versions_are_marked(at: At, known: Attack) -> None:
    folder = at("analysed")
    async with connected(folder) as agent:
        await agent.act(where=["+UNUSED"], change="an unused constant")
        await agent.author(1, ("START = 1.0", "START = 1.0\nUNUSED = 1"))
        await agent.train(2)
        scored = await agent.score(2)
        assert any(known.says in warning for warning in scored["warnings"]), scored


def add_module(folder: Folder) -> None:
    folder.write("tricks.py", "RATE = 0.9\n")


@stories(
    "stage,change,then",
    (
        (
            "The parent edited by hand before authoring",
            AUTHOR,
            "was edited outside the loop, so nobody checked the change",
        ),
        "acted",
        lambda folder: folder.edit(V001, START),
        None,
    ),
    (
        (
            "The new version edited by hand before training",
            TRAIN,
            "was edited outside the loop, so nobody checked the change",
        ),
        "authored",
        lambda folder: folder.edit(V002, START),
        None,
    ),
    (
        ("A next version written with an editor", TRAIN, "02_train_v002.py is there, and no Step made it"),
        "acted",
        lambda folder: folder.write(V002, edited(folder.read(V001), CHANGE, START)),
        None,
    ),
    (
        ("The same, to be adopted with two changes", AUTHOR, "also changes START, and the action's where is"),
        "acted",
        lambda folder: folder.write(V002, edited(folder.read(V001), CHANGE, START)),
        None,
    ),
    (
        (
            "A local module edited between two versions",
            TRAIN,
            "schedule.py: was edited since 02_train_v001.py was trained",
        ),
        "authored",
        lambda folder: folder.edit("schedule.py", ("rate * (0.5", "2 * rate * (0.5")),
        None,
    ),
    (
        ("A local module that hides the change", TRAIN, "imports tricks.py, which 02_train_v001.py did not have"),
        "acted",
        add_module,
        (("import json\n", "import json\nimport tricks\n"), ("LEARNING_RATE = 0.2", "LEARNING_RATE = tricks.RATE")),
    ),
)
async def test_code_that_came_outside_of_any_diff_is_not_run(
    at: At, known: Attack, stage: str, change: Callable[[Folder], None], then: tuple[tuple[str, str], ...] | None
) -> None:
    folder = at(stage)
    patch = folder.diff(V001, CHANGE)
    change(folder)
    async with connected(folder) as agent:
        if then:
            await agent.author(1, *then)
        arguments = {"version": 1, "diff": patch} if known.step == AUTHOR else {"version": 2}
        if folder.path(V002).exists() and known.step == AUTHOR:
            arguments.pop("diff")
        text = await agent.refused(known.step, **arguments)
        assert known.says in text, text


@stories(
    "",
    (("An action receipt widened by hand", AUTHOR, "receipts/v001/action.json: is damaged or was edited by hand"),),
)
async def test_an_action_that_was_widened_after_it_was_written_is_refused(at: At, known: Attack) -> None:
    folder = at("acted")
    where = ".progressive-training/receipts/v001/action.json"
    receipt = folder.json(where)
    async with connected(folder) as agent:
        receipt["record"]["where"].append("START")
        folder.write(where, json.dumps(receipt))
        text = await agent.refused(AUTHOR, version=1, diff=folder.diff(V001, CHANGE, START))
        assert known.says in text, text
