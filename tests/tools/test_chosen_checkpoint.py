"""How best.ckpt was chosen, beside what versions are compared by: what it cost, and what may be done about it."""

import json
from collections.abc import Sequence
from typing import Any

import pytest

from support.projects import At, Folder, connected

pytestmark = pytest.mark.anyio
FACTS = ".progressive-training/attempts/v001/train-001/facts/rank0.json"


def recorded(
    folder: Folder, monitor: str | None, best: int, rows: Sequence[tuple[float, float]], *, twice: bool = False
) -> None:
    """What a recorder would have left of a fit with these (val_loss, val_acc), and its metrics.csv."""
    lines = ["epoch,step,train_loss,val_loss,val_acc"]
    lines += [f"{epoch},{epoch},0.5,{loss},{accuracy}" for epoch, (loss, accuracy) in enumerate(rows)]
    folder.write("Models/Artifacts/v001/logs/version_0/metrics.csv", "\n".join(lines) + "\n")
    path = str(folder.path("Models/Artifacts/v001/best.ckpt"))
    logged = [
        {"epoch": epoch, "step": epoch, "role": "validation", "values": {"val_loss": loss, "val_acc": accuracy}}
        for epoch, (loss, accuracy) in enumerate(rows)
    ]
    saver = {"class": "ModelCheckpoint", "monitor": monitor, "best_epoch": best, "best_model_path": path}
    fit: dict[str, Any] = {"kind": "fit", "began": 1.0, "seconds": 1.0, "checkpoints": [saver]}
    fit["metrics"] = {"count": len(rows), "rows": logged * (2 if twice else 1)}
    folder.write(FACTS, json.dumps({"schema": 1, "pid": 7, "ended": True, "sections": [fit]}))


# (val_loss, val_acc) by epoch; v001 scores 0.75 of 20 samples.
CASES: dict[str, tuple[str | None, int, list[tuple[float, float]], str]] = {
    "another metric, and what it cost": (
        "val_loss",
        1,
        [(0.4, 0.5), (0.3, 0.75), (0.35, 0.95)],
        "best.ckpt is epoch 1 (accuracy 0.75), chosen by val_loss, and versions are compared by accuracy. Epoch 2 had "
        "0.95. To choose it by accuracy, ties by the loss, may be an action.",
    ),
    "another metric, a sample or two": (
        "val_loss",
        1,
        [(0.4, 0.5), (0.3, 0.75), (0.35, 0.8)],
        "Epoch 2 had 0.8: 1 of 20 samples, which is as good as a tie.",
    ),
    "another metric, at no cost": (
        "val_loss",
        1,
        [(0.4, 0.5), (0.3, 0.75), (0.35, 0.7)],
        "best.ckpt is epoch 1, chosen by val_loss; no epoch had a better accuracy.",
    ),
    "the metric itself, by one sample": (
        "val_acc",
        1,
        [(0.4, 0.5), (0.3, 0.75), (0.2, 0.7)],
        "Epoch 2 is as good but for a sample or two (0.7), and its loss is lower (0.2, here 0.3): a tie should go to "
        "the loss, which may be an action.",
    ),
    "nothing": (None, 2, [(0.4, 0.5), (0.3, 0.95), (0.35, 0.75)], "chosen by nothing, and versions are compared by"),
}


@pytest.mark.parametrize("case", CASES)
async def test_the_briefs_the_analysis_and_the_report_say_how_best_ckpt_was_chosen(at: At, case: str) -> None:
    monitor, best, rows, words = CASES[case]
    folder = at("scored")
    recorded(folder, monitor, best, rows)
    picked = "best.ckpt was picked among 3 epochs on the very samples that score it"
    async with connected(folder) as agent:
        brief = await agent.brief()
        assert words in brief and (picked in brief) == (monitor is not None)
        await agent.analyse()
        assert words in folder.read("Models/Artifacts/v001/result-analysis.md")
        assert words in await agent.brief()
        if case == next(iter(CASES)):
            report = await agent.report(stop_reason="enough")
            assert words in folder.read(f"{report['folder']}/final-analysis.md")
            assert picked in folder.read(f"{report['folder']}/report.html")


async def test_nothing_is_said_where_an_epoch_was_validated_twice(at: At) -> None:
    """metrics.csv gives an epoch one value, and best.ckpt may be of the other."""
    folder = at("scored")
    recorded(folder, "val_loss", 1, [(0.4, 0.5), (0.3, 0.75)], twice=True)
    async with connected(folder) as agent:
        assert "best.ckpt is epoch" not in await agent.brief()
