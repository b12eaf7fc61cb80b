"""Honest actions on the scripts of support.honest, as edits."""

from collections.abc import Iterator

from .honest_styles import VALUES, Style

Edits = tuple[tuple[str, str], ...]
Change = tuple[str, list[str], Edits, frozenset[str]]
"""Goal, where, edits, and the settings that must be free for it."""

RETURN = '    return threshold - 0.5 - margin + sum(sample["x"] - 0.5 for sample in batch) / len(batch) / 100\n'
CLIPPED = RETURN.replace("threshold - 0.5", "clipped(threshold - 0.5)")
STEP = "            threshold -= {lr} * gradient(threshold, batch, {margin})\n"
EPOCH = "        tracker.add(epoch, loss_of(threshold, train), loss_of(threshold, val))\n"
FIT = "def fit("
NONE: frozenset[str] = frozenset()


def changes(style: Style) -> Iterator[Change]:
    """Every action that the style allows, as edits of the script."""
    read = style.read
    step = STEP.format(lr=read("lr"), margin=read("margin"))
    loop = f"    for epoch in range({read('epochs')}):\n"
    for key, value in (("start", 0.8), ("margin", 0.01), ("lr", 0.4)):
        yield f"Move {key}", [style.symbol(key)], ((_stated(style, key), _stated(style, key, value)),), frozenset({key})
    yield (
        "Decay the rate",
        ["fit"],
        ((step, step.replace(read("lr"), f"{read('lr')} / (1 + epoch)")),),
        frozenset({"lr"}),
    )
    yield (
        "Decay the rate over all epochs",
        ["fit", "+decayed"],
        (
            ("import json\n", "import json\nimport math\n"),
            (FIT, f"def decayed(rate, epoch, epochs):\n    return rate * math.exp(-epoch / epochs)\n\n\n{FIT}"),
            (step, step.replace(read("lr"), f"decayed({read('lr')}, epoch, {read('epochs')})")),
        ),
        frozenset({"lr"}),
    )
    yield (
        "Clip the gradient",
        ["gradient", "+clip"],
        (
            ("def gradient(", "def clip(value, most=0.3):\n    return max(-most, min(most, value))\n\n\ndef gradient("),
            (RETURN, "    return clip(threshold - 0.5 - margin)\n"),
        ),
        NONE,
    )
    yield (
        "Weigh by the batch",
        ["gradient"],
        ((RETURN, "    size = len(batch)\n    return size / 4 * (threshold - 0.5 - margin)\n"),),
        NONE,
    )
    yield (
        "Keep the best threshold",
        ["fit"],
        (
            (EPOCH, f"{EPOCH}        if loss_of(threshold, val) < loss_of(best, val):\n            best = threshold\n"),
            (loop, f"    best = threshold\n{loop}"),
            ("    return threshold, tracker.rows\n", "    return best, tracker.rows\n"),
        ),
        NONE,
    )
    yield (
        "Average the weights",
        ["fit", "+Average"],
        (
            ("import json\n", "import json\nfrom collections import deque\n"),
            (
                FIT,
                f"class Average:\n    def __init__(self, length=4):\n        self.last = deque(maxlen=length)\n\n"
                f"    def of(self, value):\n        self.last.append(value)\n"
                f"        return sum(self.last) / len(self.last)\n\n\n{FIT}",
            ),
            (loop, f"    average = Average()\n{loop}"),
            (EPOCH, f"        threshold = average.of(threshold)\n{EPOCH}"),
        ),
        NONE,
    )
    yield (
        "Another order in each epoch",
        ["fit"],
        ((loop, f"{loop}        rng = random.Random({read('seed')} + epoch)\n"),),
        NONE,
    )
    yield (
        "Move the samples a little",
        ["fit", "+jittered"],
        (
            (
                FIT,
                "def jittered(samples, rng, width=0.001):\n"
                "    return [{**sample, 'x': sample['x'] + rng.uniform(-width, width)} for sample in samples]\n\n\n"
                + FIT,
            ),
            (
                f"in batches(train, {read('batch_size')}, rng):",
                f"in batches(jittered(train, rng), {read('batch_size')}, rng):",
            ),
        ),
        NONE,
    )
    yield (
        "A momentum of one's own",
        ["fit", "+MOMENTUM"],
        (
            ('LOGS = ARTIFACTS / "logs" / "version_0"\n', 'LOGS = ARTIFACTS / "logs" / "version_0"\nMOMENTUM = 0.1\n'),
            (loop, f"    speed = 0.0\n{loop}"),
            (
                step,
                f"            speed = MOMENTUM * speed + gradient(threshold, batch, {read('margin')})\n"
                f"            threshold -= {read('lr')} * speed\n",
            ),
        ),
        NONE,
    )
    yield (
        "Another loss",
        ["loss_of"],
        (("abs(threshold - 0.5) / 100", "(threshold - 0.5) ** 2"),),
        NONE,
    )
    yield (
        "Sort before shuffling, written anew",
        ["batches"],
        (
            (
                "    order = list(range(len(samples)))\n    rng.shuffle(order)\n",
                "    # by value first, so that the order of the file doesn't matter\n"
                "    order = sorted(\n        range(len(samples)),\n"
                "        key=lambda index: samples[index]['x'],\n    )\n"
                "    rng.shuffle(order)\n",
            ),
        ),
        NONE,
    )
    yield (
        "A tracker that smooths",
        ["Tracker"],
        (
            (
                "        self.rows.append((epoch, train_loss, val_loss))\n",
                "        last = self.rows[-1][1] if self.rows else train_loss\n"
                "        self.rows.append((epoch, (train_loss + last) / 2, val_loss))\n",
            ),
        ),
        NONE,
    )
    yield (
        "Stop moving when it is good",
        ["fit"],
        ((step, step.replace("threshold -=", "threshold -= (loss_of(threshold, train) > 0.01) *")),),
        NONE,
    )


def _stated(style: Style, key: str, value: object = None) -> str:
    """The line that states a setting."""
    old = VALUES[key]
    (line,) = (line for line in style.text.splitlines() if _names(line, style, key))
    return line if value is None else line.replace(str(old), str(value))


def _names(line: str, style: Style, key: str) -> bool:
    words = style.read(key).replace('config["', "").replace('"]', "").split(".")[-1]
    return (
        line.strip().strip('"').startswith((words + " ", words + ":", words + '"'))
        or f'"--{words.replace("_", "-")}"' in line
    )
