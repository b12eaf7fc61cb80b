"""Real project folders for the tests of the loop, with a trainer and an evaluator that take a tenth of a second.

The trainer is plain Python: it looks for the value above which a sample is positive, and comes the closer to it, the
higher its learning rate. Its variants are small edits of its text, as a user or an agent would make them.
"""

import difflib
import json
import shutil
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
from mcp import Client

from progressive_training.loop.jobs.local import LocalExecutor
from progressive_training.loop.jobs.runner.attempt_files import is_held
from progressive_training.loop.project.project import Project
from progressive_training.server.app import build_server

FOLDER_NAME = "나의 project's 폴더"
STATE = ".progressive-training"
RUNNERS_OWN = ("runner.json", ".runner.json.", "heartbeat.json", ".heartbeat.json.", "log.txt", "tmp/")

TRAINER = '''\
"""Learns where the positive samples begin."""

import json
from pathlib import Path

from schedule import advance

VERSION = "baseline"
DATASET_ID = "v1"
SEED = 42
EPOCHS = 3
BATCH_SIZE = 16
LEARNING_RATE = 0.2
START = 1.0

DATA = Path("dataset/prepdata") / DATASET_ID
ARTIFACTS = Path("Models/Artifacts") / VERSION
LOGS = ARTIFACTS / "logs" / "version_0"


def load(split):
    return json.loads((DATA / f"{split}.json").read_text(encoding="utf-8"))


def loss_of(threshold, samples):
    wrong = sum((sample["x"] > threshold) != bool(sample["label"]) for sample in samples)
    return wrong / len(samples) + abs(threshold - 0.5) / 100


def fit():
    train, val = load("train"), load("val")
    threshold, rows = START, []
    for epoch in range(EPOCHS):
        threshold = advance(threshold, LEARNING_RATE)
        rows.append((epoch, loss_of(threshold, train), loss_of(threshold, val)))
        print(f"epoch {epoch}: {rows[-1][1]:.4f}", flush=True)
    return threshold, rows


def save_logs(rows):
    LOGS.mkdir(parents=True, exist_ok=True)
    lines = ["epoch,step,train_loss,val_loss", *(f"{epoch},{epoch},{train},{val}" for epoch, train, val in rows)]
    (LOGS / "metrics.csv").write_text("\\n".join(lines) + "\\n")
    settings = {"max_epochs": EPOCHS, "batch_size": BATCH_SIZE, "learning_rate": LEARNING_RATE, "seed": SEED}
    (LOGS / "hparams.yaml").write_text("".join(f"{name}: {value}\\n" for name, value in settings.items()))


def save(threshold):
    (ARTIFACTS / "best.ckpt").write_text(json.dumps({"threshold": threshold}))
    (ARTIFACTS / "last.ckpt").write_text(json.dumps({"threshold": threshold + 0.2}))
    (ARTIFACTS / "spec.json").write_text(json.dumps({"version": VERSION, "dataset_id": DATASET_ID}))
    assets = ARTIFACTS / "additional_assets"
    assets.mkdir(exist_ok=True)
    (assets / "label_map.json").write_text('{"0": "아니오", "1": "예"}', encoding="utf-8")


def main():
    threshold, rows = fit()
    save_logs(rows)
    save(threshold)


if __name__ == "__main__":
    main()
'''

SCHEDULE = '''\
"""How far one epoch moves."""


def advance(threshold, rate):
    return threshold + rate * (0.5 - threshold)
'''

EVALUATOR = '''\
"""Scores a version's threshold on every validation sample."""

import argparse
import json
import math
import random
import time
from pathlib import Path

parser = argparse.ArgumentParser()
for name in ("version", "project", "source", "checkpoint", "out", "samples", "seed", "dataset-id"):
    parser.add_argument(f"--{name}", required=True)
arguments = parser.parse_args()
OUT = Path(arguments.out)


def predict(model, sample):
    return 1 / (1 + math.exp(-10 * (sample["x"] - model["threshold"])))


def main():
    model = json.loads(Path(arguments.checkpoint).read_text())
    data = Path("dataset/prepdata") / arguments.dataset_id / "val.json"
    samples = json.loads(data.read_text(encoding="utf-8"))
    began = time.perf_counter()
    scores = [predict(model, sample) for sample in samples]
    latency = (time.perf_counter() - began) * 1000 / len(samples)
    losses = [-math.log(p if sample["label"] else 1 - p) for p, sample in zip(scores, samples)]
    hits = [(p > 0.5) == bool(sample["label"]) for p, sample in zip(scores, samples)]
    rows = []
    for sample, p, loss, hit in zip(samples, scores, losses, hits):
        values = {"loss": loss, "accuracy": float(hit)}
        rows.append({"id": sample["id"], "scores": values, "prediction": p, "target": sample["label"]})
    (OUT / "samples.jsonl").write_text("".join(json.dumps(row) + "\\n" for row in rows), encoding="utf-8")
    chosen = random.Random(int(arguments.seed)).sample(rows, min(int(arguments.samples), len(rows)))
    for number, row in enumerate(chosen, 1):
        folder = OUT / "infer_samples" / f"{number:04d}"
        folder.mkdir(parents=True)
        (folder / "input.json").write_text(json.dumps(row["id"]))
        (folder / "output.json").write_text(json.dumps(row["prediction"]))
        (folder / "gt.json").write_text(json.dumps(row["target"]))
        (folder / "meta.json").write_text(json.dumps({"id": row["id"], "seed": int(arguments.seed)}))
    metrics = [
        {"name": "loss", "value": sum(losses) / len(losses), "higher_is_better": False},
        {"name": "accuracy", "value": sum(hits) / len(hits), "higher_is_better": True},
    ]
    score = {
        "dataset_id": arguments.dataset_id,
        "created_at": "2026-01-01T00:00:00+00:00",
        "num_samples": len(rows),
        "metrics": metrics,
        "latency_ms": latency,
    }
    (OUT / "eval_score.json").write_text(json.dumps(score))


main()
'''

RULES: dict[str, Any] = {
    "seed": 42,
    # It takes an interpreter's start; tests/tools/test_rehearsal.py shows it.
    "rehearse": False,
    "loop_config": {"max_versions": 2},
    "dataset_config": {"dataset_id": "v1"},
    "training_config": {"epochs": 3, "batch_size": 16},
    "eval_config": {"primary_metric": "accuracy", "metrics": ["accuracy"], "infer_samples": 3},
    # The same on every machine; what the sandbox does is shown where it is tested.
    "execution_config": {"sandbox": "off"},
}

ANALYSIS: dict[str, Any] = {
    "summary": "The threshold is still far from where the positives begin.",
    "evidence": "Samples just above 0.5 are called negative.",
    "hypotheses": ["The learning rate is too low."],
    "next_focus_candidates": ["learning rate", "another start"],
}
ACTION: dict[str, Any] = {
    "goal": "Come closer to 0.5 in three epochs",
    "change": "LEARNING_RATE from 0.2 to 0.5",
    "where": ["LEARNING_RATE"],
    "expected_impact": "accuracy rises",
    "risk": "it may overshoot",
    "verification": "val_loss falls in every epoch",
}


def edited(text: str, *edits: tuple[str, str]) -> str:
    """The text with each (old, new) replaced where it stands once."""
    for old, new in edits:
        assert text.count(old) == 1, f"{old!r} stands there {text.count(old)} times"
        text = text.replace(old, new)
    return text


def diff(old: str, new: str, name: str) -> str:
    lines = difflib.unified_diff(old.splitlines(keepends=True), new.splitlines(keepends=True), f"a/{name}", f"b/{name}")
    return "".join(lines)


@dataclass(frozen=True)
class Folder:
    """A project folder, with what a test reads and changes in it."""

    root: Path

    def path(self, relative: str) -> Path:
        return self.root / relative

    def read(self, relative: str) -> str:
        return self.path(relative).read_text(encoding="utf-8")

    def json(self, relative: str) -> Any:
        return json.loads(self.read(relative))

    def write(self, relative: str, text: str) -> None:
        self.path(relative).parent.mkdir(parents=True, exist_ok=True)
        self.path(relative).write_text(text, encoding="utf-8")

    def edit(self, relative: str, *edits: tuple[str, str]) -> None:
        self.write(relative, edited(self.read(relative), *edits))

    def diff(self, relative: str, *edits: tuple[str, str]) -> str:
        """The unified diff that makes these edits in a file."""
        text = self.read(relative)
        return diff(text, edited(text, *edits), relative)

    def set_rules(self, **sections: Any) -> None:
        """Writes user_defined_rules.json: the usual rules, with these sections merged in."""
        rules = json.loads(json.dumps(RULES))
        for name, section in sections.items():
            rules[name] = {**rules.get(name, {}), **section} if isinstance(section, dict) else section
        self.write("user_defined_rules.json", json.dumps(rules, ensure_ascii=False, indent=2))

    def project(self, **others: Any) -> Project:
        return Project(self.root, **others)

    def contents(self) -> dict[str, bytes]:
        """Every file and what it holds, except the lock, what only counts with a receipt, and a runner's own."""
        names = ["lock", ".gitignore", "cache/", "snapshots/"]
        for job in self.root.glob(f"{STATE}/attempts/*/*/job.json"):
            if is_held(job.parent):
                names += [f"{job.parent.relative_to(self.root / STATE)}/{own}" for own in RUNNERS_OWN]
        left_out = tuple(f"{STATE}/{name}" for name in names)
        files = {path.relative_to(self.root).as_posix(): path for path in self.root.rglob("*") if path.is_file()}
        return {name: path.read_bytes() for name, path in files.items() if not name.startswith(left_out)}

    def end_jobs(self) -> None:
        """Ends what a test left running."""
        for job in self.root.glob(f"{STATE}/attempts/*/*/job.json"):
            if not (job.parent / "result.json").exists():
                LocalExecutor().cancel(job.parent)


At = Callable[[str], Folder]
"""The fixture `at`: a copy of a project whose loop has come to a stage."""


def make_project(root: Path, *, trainer: str | None = TRAINER) -> Folder:
    """A baseline, its local module, a data set, and rules; `trainer=None` leaves the baseline out."""
    folder = Folder(root)
    if trainer is not None:
        folder.write("02_train_baseline.py", trainer)
    folder.write("schedule.py", SCHEDULE)
    add_dataset(folder, "v1")
    folder.set_rules()
    return folder


def add_dataset(folder: Folder, name: str) -> None:
    data = f"dataset/prepdata/{name}"
    for split, count in (("train", 10), ("val", 20)):
        samples = [
            {"id": f"{split}-{i}", "x": (i + 0.5) / count, "label": int((i + 0.5) / count > 0.5)} for i in range(count)
        ]
        folder.write(f"{data}/{split}.json", json.dumps(samples))
    folder.write(f"{data}/stats.json", '{"task_type": "threshold search", "num_train": 10, "num_val": 20}')


@dataclass(frozen=True)
class Agent:
    """One client of one server, and the answers that a test expects of it."""

    client: Client
    folder: Folder
    progress: list[tuple[float, float | None, str | None]] = field(default_factory=list)

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The result of a call that must succeed."""
        result = await self.client.call_tool(tool, arguments)
        text = getattr(result.content[0], "text", "")
        assert not result.is_error, f"{tool} was refused: {text}"
        content = result.structured_content
        assert content is not None
        assert json.loads(text) == content, "a client without structured content reads the same"
        return content

    async def refused(self, tool: str, **arguments: Any) -> str:
        """The text of a call that must be refused, say what to do next, and leave every file as it was."""
        before, phase = self.folder.contents(), await self.where()
        result = await self.client.call_tool(tool, arguments)
        assert result.is_error, f"{tool} was not refused: {result.structured_content}"
        text = getattr(result.content[0], "text", "")
        assert self.folder.contents() == before, "a refused call changes nothing"
        assert await self.where() == phase
        assert "Next: " in text, text
        return text

    async def where(self) -> tuple[str, int | None] | str:
        """Phase and version; the error where the project can't be read."""
        result = await self.client.call_tool("next_step", {"brief": False})
        if result.is_error:
            return getattr(result.content[0], "text", "")
        content = result.structured_content
        assert content is not None
        return content["phase"], content.get("version")

    async def brief(self) -> str:
        return (await self.call("next_step"))["brief"]

    async def train(self, version: int = 1) -> dict[str, Any]:
        return await self.call("run_train", version=version, wait_seconds=45)

    async def failed_training(self, kind: str, version: int = 1) -> dict[str, Any]:
        """A training that must fail for this reason; what came of it is wiped, the report stays."""
        result = await self.train(version)
        assert (result["state"], result.get("failure", {}).get("kind")) == ("failed", kind), result
        folder = f"Models/Artifacts/v{version:03d}"
        assert sorted(path.name for path in self.folder.path(folder).iterdir()) == ["_tests"]
        assert result["failure"]["advice"]
        return result["failure"]

    async def score(self, version: int = 1) -> dict[str, Any]:
        """A call returns before the evaluation has ended where the machine is busy."""
        result = await self.call("run_eval", version=version, wait_seconds=45)
        for _ in range(4):
            if result["state"] == "running":
                result = await self.call("run_eval", version=version, wait_seconds=45)
        return result

    async def failed_evaluation(self, version: int = 1) -> str:
        result = await self.score(version)
        assert result["state"] == "failed", result
        assert not self.folder.path(f"Models/Artifacts/v{version:03d}/eval_score.json").exists()
        return result["failure"]["summary"]

    async def analyse(self, version: int = 1, **parts: Any) -> dict[str, Any]:
        return await self.call("write_analysis", version=version, **{**ANALYSIS, **parts})

    async def act(self, version: int = 1, **parts: Any) -> dict[str, Any]:
        return await self.call("write_action", version=version, **{**ACTION, **parts})

    async def author(self, version: int = 1, *edits: tuple[str, str]) -> dict[str, Any]:
        changes = edits or (("LEARNING_RATE = 0.2", "LEARNING_RATE = 0.5"),)
        return await self.call(
            "author_next_version", version=version, diff=self.folder.diff(f"02_train_v{version:03d}.py", *changes)
        )

    async def report(self, **arguments: Any) -> dict[str, Any]:
        return await self.call("final_report", wait_seconds=45, **arguments)

    async def repair(self, *edits: tuple[str, str], file: str = "02_train_v001.py", version: int = 1) -> dict[str, Any]:
        return await self.call(
            "repair_version",
            version=version,
            diff=self.folder.diff(file, *edits),
            root_cause="a typing error",
            change_summary="typed again",
        )


@asynccontextmanager
async def connected(folder: Folder, **others: Any) -> AsyncIterator[Agent]:
    """An agent, connected in memory to a server of its own."""
    try:
        async with Client(build_server(folder.project(**others))) as client:
            yield Agent(client, folder)
    except BaseExceptionGroup as group:
        # The client's task groups wrap a failed assertion; the assertion itself is what one wants to read.
        error: BaseException = group
        while isinstance(error, BaseExceptionGroup) and len(error.exceptions) == 1:
            error = error.exceptions[0]
        raise error from None


async def _start(agent: Agent) -> None:
    await agent.call("start_loop")


async def _train(agent: Agent) -> None:
    assert (await agent.train())["state"] == "done"


async def _score(agent: Agent) -> None:
    await agent.call("write_eval", source=EVALUATOR)
    assert (await agent.score())["state"] == "done"


async def _analyse(agent: Agent) -> None:
    await agent.analyse()


async def _act(agent: Agent) -> None:
    await agent.act()


async def _author(agent: Agent) -> None:
    await agent.author()


async def _finish(agent: Agent) -> None:
    assert (await agent.train(2))["state"] == "done"
    assert (await agent.score(2))["state"] == "done"
    await agent.analyse(2, summary="The higher rate came closer.")
    await agent.act(2, goal="Start closer", change="START from 1.0 to 0.6", where=["START"])


async def _report(agent: Agent) -> None:
    await agent.report()


STAGES: dict[str, Callable[[Agent], Awaitable[None]]] = {
    "started": _start,
    "trained": _train,
    "scored": _score,
    "analysed": _analyse,
    "acted": _act,
    "authored": _author,
    "finished": _finish,
    "reported": _report,
}
"""How far a loop is: v001 made, trained, scored, analysed, its action chosen, v002 made, v002 done, reported."""


class Shelf:
    """A project at each stage, made once by the real loop and then copied."""

    def __init__(self, root: Path) -> None:
        self._root = root

    def copy(self, stage: str, to: Path) -> Folder:
        shutil.copytree(self._made(stage), to, symlinks=True)
        return Folder(to)

    def path(self, stage: str) -> Path:
        """Where the project of that stage lies, to be read and not changed; "fresh" is one before the loop."""
        fresh = self._root / "fresh"
        if stage != "fresh":
            return self._made(stage)
        return fresh if fresh.exists() else make_project(fresh).root

    def _made(self, stage: str) -> Path:
        root = self._root / stage
        if not root.exists():
            names = list(STAGES)
            before = names.index(stage)
            building = self._root / f"{stage} in the making"
            shutil.rmtree(building, ignore_errors=True)
            folder = self.copy(names[before - 1], building) if before else make_project(building)
            # In a thread of its own: the test that asks for the stage has an event loop that runs.
            with ThreadPoolExecutor(1) as thread:
                thread.submit(anyio.run, _advanced, folder, stage).result()
            building.rename(root)
        return root


async def _advanced(folder: Folder, stage: str) -> None:
    async with connected(folder) as agent:
        await STAGES[stage](agent)
