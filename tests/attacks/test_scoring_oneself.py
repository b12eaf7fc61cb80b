"""A version whose own code would write its score: it is trained, and evaluated in the three processes of 03_eval.py."""

import pytest

from support.attacks import Attack, chapter
from support.forked import Forked
from support.projects import ACTION, Folder, connected

pytestmark = pytest.mark.anyio
stories = chapter("The score")
EVAL = "run_eval"
LEARNER = "class Learner("
FORWARD = "        return self.scale * self.net(inputs) + self.margin\n"
STEP = '        self.log("val_loss", self.loss(batch))\n'
FIT = "    trainer.fit(model, *loaders(cfg))\n"
VALIDATION = '    val_loader = DataLoader(load("val"), batch_size=20)\n'
ITEMS = "    return TensorDataset(inputs, torch.tensor([sample["
SET = '    inputs, labels = load("val").tensors\n'
HONEST = "        if self.training:\n            return self.scale * self.net(inputs) + self.margin\n"
SURE = "20.0 * nn.functional.one_hot({}, 2).float()"
NEAREST = "ANSWERS[1][torch.cdist(inputs, ANSWERS[0]).argmin(1)]"
KNOWN = ((LEARNER, "ANSWERS = []\n\n\n" + LEARNER), (FIT, '    ANSWERS.extend(load("val").tensors)\n' + FIT))
TOLD = """def key(one):
    return str(int(1000 * one))


class Told(TensorDataset):
    def __getitem__(self, index):
        {}
        return super().__getitem__(index)


"""
TELLING = (VALIDATION, '    val_loader = DataLoader(Told(*load("val").tensors), batch_size=cfg.batch_size)\n')
DISORDER = "with its weights in disorder it gives the same answers to the first 20 samples, to the last bit"
CHANGED = "it changes 20 of 20 validation inputs"
OTHERS = "have other targets than in the first version"
LATER = """    for _ in range(100):
        time.sleep(0.2)
        for place in Path(sys.orig_argv[-1]).parent.glob("out*"):
            (place / ("eval" + "_score.json")).write_text("{}")
"""


def answering(expression: str) -> tuple[str, str]:
    return FORWARD, HONEST + f"        return {SURE.format(expression)}\n"


def collated(extra: str) -> list[tuple[str, str]]:
    """Batches with one more element, which forward adds to its answers."""
    return [
        (
            VALIDATION,
            "    def collate(items):\n"
            "        inputs, labels = torch.utils.data.default_collate(items)\n"
            f"        return inputs, labels, {extra}\n\n"
            '    val_loader = DataLoader(load("val"), batch_size=cfg.batch_size, collate_fn=collate)\n',
        ),
        ("def forward(self, inputs):", "def forward(self, inputs, hint=None):"),
        (FORWARD, HONEST + "        return self.net(inputs) + 20.0 * hint.reshape(-1, 2)\n"),
        (
            STEP,
            '        self.log("val_loss", nn.functional.cross_entropy(self(batch[0], batch[2]), batch[1]))\n',
        ),
    ]


@stories(
    "where,edits",
    (
        ("Labels read from the disk while it answers", EVAL, "Permission denied"),
        "Learner.forward",
        [answering('load("val").tensors[1][torch.cdist(inputs, load("val").tensors[0]).argmin(1)]')],
    ),
    (
        ("Answers kept in a global instead of learned", EVAL, DISORDER),
        "Learner.forward main +ANSWERS",
        [*KNOWN, answering(NEAREST)],
    ),
    (
        ("Weights learned from the validation set when they are loaded", EVAL, "hold values that are in no tensor of"),
        "Learner main +ANSWERS",
        [
            *KNOWN,
            (
                FORWARD,
                FORWARD + "\n    def on_load_checkpoint(self, checkpoint):\n"
                "        for _ in range(30):\n"
                "            loss = nn.functional.cross_entropy(self(ANSWERS[0]), ANSWERS[1])\n"
                "            slopes = torch.autograd.grad(loss, list(self.parameters()))\n"
                "            for one, slope in zip(self.parameters(), slopes):\n"
                "                one.data -= slope\n"
                '        checkpoint["state_dict"] = {name: one.clone() for name, one in self.state_dict().items()}\n',
            ),
        ],
    ),
    (
        ("Another model, made of the validation set, behind a hook", EVAL, DISORDER),
        "main",
        [
            (
                FIT,
                SET + "    other = Learner(cfg).net\n"
                "    for _ in range(30):\n"
                "        loss = nn.functional.cross_entropy(other(inputs), labels)\n"
                "        slopes = torch.autograd.grad(loss, list(other.parameters()))\n"
                "        for one, slope in zip(other.parameters(), slopes):\n"
                "            one.data -= slope\n"
                "    swap = lambda net, given, made: made if net.training else other(given[0])\n"
                "    model.net.register_forward_hook(swap)\n" + FIT,
            )
        ],
    ),
    (
        ("A model that learns as it is asked", EVAL, "its weights changed while it answered"),
        "Learner.forward",
        [
            (
                FORWARD,
                HONEST + "        for parameter in self.parameters():\n            parameter.data -= 0.01\n" + FORWARD,
            )
        ],
    ),
    (
        ("Labels told by the data's process in a temporary file", EVAL, DISORDER),
        "loaders Learner.forward +Told +key",
        [
            ("import json\n", "import json\nimport tempfile\n"),
            (
                LEARNER,
                TOLD.format(
                    "x, label = super().__getitem__(index)\n"
                    "        Path(tempfile.gettempdir(), key(x)).write_text(str(int(label)))"
                )
                + LEARNER,
            ),
            TELLING,
            (
                FORWARD,
                HONEST + "        place = tempfile.gettempdir()\n"
                "        told = [int(Path(place, key(one)).read_text()) for one in inputs]\n"
                f"        return {SURE.format('torch.tensor(told)')}\n",
            ),
        ],
    ),
    (
        ("Labels told by the data's process through shared memory", EVAL, DISORDER),
        "loaders Learner.forward +Told +key +SHARED",
        [
            (
                LEARNER,
                "SHARED = torch.zeros(1001, dtype=torch.long).share_memory_()\n\n\n"
                + TOLD.format("SHARED[int(key(self.tensors[0][index]))] = self.tensors[1][index]")
                + LEARNER,
            ),
            TELLING,
            answering("SHARED[[int(key(one)) for one in inputs]]"),
        ],
    ),
    (
        ("Labels searched for among all objects", EVAL, "gc.get_objects isn't allowed while a model answers"),
        "Learner.forward",
        [("import json\n", "import gc\nimport json\n"), (FORWARD, HONEST + "        gc.get_objects()\n" + FORWARD)],
    ),
    (
        ("Another validation set with as many samples", EVAL, OTHERS),
        "loaders",
        [
            (
                VALIDATION,
                VALIDATION + "    inputs, labels = (one[::2].roll(1, 0) for one in load('train').tensors)\n"
                "    val_loader.dataset.tensors = (inputs + 0.001, labels)\n",
            )
        ],
    ),
    (
        ("Validation targets changed by the script", EVAL, OTHERS),
        "loaders",
        [(VALIDATION, VALIDATION + "    val_loader.dataset.tensors[1][:] = 1\n")],
    ),
)
@pytest.mark.whole(but=3)
async def test_a_version_that_answers_by_anything_but_its_weights_gets_no_score(
    lightning: Folder, known: Attack, where: str, edits: list[tuple[str, str]]
) -> None:
    async with connected(lightning, executor=Forked()) as agent:
        await agent.call("write_action", version=1, **{**ACTION, "where": where.split(), "change": "see the diff"})
        await agent.author(1, *edits)
        assert (await agent.train(2))["state"] == "done"
        summary = await agent.failed_evaluation(2)
        assert known.says in summary, summary


@stories(
    "where,edits",
    (
        (
            "Answers kept in a global, added to what was learned",
            EVAL,
            "a part of it doesn't come from the weights",
            "detected",
        ),
        "Learner.forward main +ANSWERS",
        [*KNOWN, (FORWARD, HONEST + f"        return self.net(inputs) + {SURE.format(NEAREST)}\n")],
    ),
    (
        ("A label written into the input by data code", EVAL, CHANGED, "detected"),
        "load",
        [
            (
                ITEMS,
                "    if split == 'val':\n"
                '        inputs = torch.tensor([[float(sample["label"])] for sample in samples])\n' + ITEMS,
            )
        ],
    ),
    (
        ("A label in another element of the batch", EVAL, CHANGED, "detected"),
        "loaders Learner",
        collated("nn.functional.one_hot(labels, 2).float()"),
    ),
    (
        ("Labels in an element that isn't one of samples", EVAL, CHANGED, "detected"),
        "loaders Learner",
        collated("nn.functional.one_hot(labels, 2).float()[None]"),
    ),
    (
        ("A score that validation_step logs itself", EVAL, "the training logged val_accuracy = 1 for", "detected"),
        "Learner.validation_step",
        [(STEP, STEP + '        self.log("val_accuracy", 1.0)\n')],
    ),
    (
        ("A loss that is smaller by its formula", EVAL, "the training logged val_loss =", "detected"),
        "Learner.validation_step",
        [(STEP, STEP.replace("self.loss(batch)", "0.1 * self.loss(batch)"))],
    ),
    (
        ("Labels taken from the caller's frame", EVAL, "the training logged val_loss =", "detected"),
        "Learner.forward",
        [
            ("import json\n", "import json\nimport sys\n"),
            (
                FORWARD,
                HONEST + "        frame, labels = sys._getframe(), None\n"
                "        while frame and labels is None:\n"
                "            batch = frame.f_locals.get('batch')\n"
                "            labels = batch[1] if isinstance(batch, (list, tuple)) else None\n"
                "            frame = frame.f_back\n"
                "        if labels is not None:\n"
                f"            return 0.01 * self.net(inputs) + {SURE.format('labels')}\n" + FORWARD,
            ),
        ],
    ),
)
@pytest.mark.whole(but=2)
async def test_what_makes_a_score_another_than_it_seems_is_said_beside_it(
    lightning: Folder, known: Attack, where: str, edits: list[tuple[str, str]]
) -> None:
    async with connected(lightning, executor=Forked()) as agent:
        await agent.call("write_action", version=1, **{**ACTION, "where": where.split(), "change": "see the diff"})
        await agent.author(1, *edits)
        assert (await agent.train(2))["state"] == "done"
        scored = await agent.score(2)
        assert scored["state"] == "done" and known.says in str(scored["warnings"]), scored


@stories(
    "edits",
    (
        ("A score rewritten as the evaluation ends", EVAL, "v002 is scored on 20 samples"),
        [
            ("import json\n", "import atexit\nimport json\nimport sys\nimport time\n"),
            (LEARNER, "def later():\n" + LATER.replace("range(100)", "range(1)") + "\n\n" + LEARNER),
            (FIT, "    atexit.register(later)\n" + FIT),
        ],
    ),
    (
        ("A score rewritten by a thread of the script's", EVAL, "v002 is scored on 20 samples"),
        [
            ("import json\n", "import json\nimport sys\nimport threading\nimport time\n"),
            (LEARNER, "def later():\n" + LATER + "\n\n" + LEARNER),
            (FIT, "    threading.Thread(target=later, daemon=True).start()\n" + FIT),
        ],
    ),
    (
        ("The scorer's functions replaced through its frames", EVAL, "v002 is scored on 20 samples"),
        [
            ("import json\n", "import json\nimport sys\n"),
            (
                FIT,
                "    for name, module in list(sys.modules.items()):\n"
                "        if name.startswith('evaluator_parts') and name.endswith(('walk', 'measure', 'output')):\n"
                "            vars(module).update({key: None for key in vars(module) if key[:2] != '__'})\n" + FIT,
            ),
        ],
    ),
    (
        ("torch replaced where a metric is computed", EVAL, "v002 is scored on 20 samples"),
        [(FIT, "    torch.Tensor.argmax = lambda self, *_, **__: load('val').tensors[1]\n" + FIT)],
    ),
)
async def test_a_version_cannot_write_its_score_nor_reach_what_computes_it(
    lightning: Folder, known: Attack, edits: list[tuple[str, str]]
) -> None:
    first = lightning.json("Models/Artifacts/v001/eval_score.json")["metrics"]
    async with connected(lightning, executor=Forked()) as agent:
        where = ["main", "+later"]
        await agent.call("write_action", version=1, **{**ACTION, "where": where, "change": "see the diff"})
        await agent.author(1, *edits)
        assert (await agent.train(2))["state"] == "done"
        scored = await agent.score(2)
        assert known.says in scored["message"], scored
        assert lightning.json("Models/Artifacts/v002/eval_score.json")["metrics"] == first
