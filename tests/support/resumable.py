"""A training that can go on from its last checkpoint, for the tests of the loop."""

from progressive_training.loop.train.resume import VARIABLE
from support.projects import TRAINER, edited

EPOCH = "    for epoch in range(EPOCHS):\n"
# Saves last.ckpt and its rows with each epoch, best.ckpt in the first alone, and waits before epoch 2 for the gate.
RESUMABLE = edited(
    TRAINER,
    (
        "    threshold, rows = START, []\n" + EPOCH,
        f"""    threshold, rows, begin = START, [], 0
    LOGS.mkdir(parents=True, exist_ok=True)
    if path := __import__("os").environ.get({VARIABLE!r}):
        kept = json.loads(Path(path).read_text())
        threshold, begin = kept["threshold"], kept["epoch"] + 1
    for epoch in range(begin, EPOCHS):
        while epoch == 2 and not Path("gate").exists():
            __import__("time").sleep(0.01)
""",
    ),
    (
        '        print(f"epoch {epoch}',
        """        if epoch == 0:
            (ARTIFACTS / "best.ckpt").write_text(json.dumps({"threshold": threshold, "best": True}))
        save_logs(rows)
        (ARTIFACTS / "last.ckpt").write_text(json.dumps({"threshold": threshold, "epoch": epoch}))
        print(f"epoch {epoch}""",
    ),
    ('    (ARTIFACTS / "best.ckpt").write_text(json.dumps({"threshold": threshold}))\n', ""),
    ('    (ARTIFACTS / "last.ckpt").write_text(json.dumps({"threshold": threshold + 0.2}))\n', ""),
    ("    save_logs(rows)\n    save(threshold)", "    save(threshold)"),
)
