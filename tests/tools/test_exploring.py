"""A look at samples, predictions and model by a snippet: what it finds comes back, and nothing of the project moves."""

import base64
import json
import struct
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp_types import ImageContent

from progressive_training.server.cli.main import main
from support.forked import Forked
from support.programs import need
from support.projects import STATE, Agent, At, Folder, connected, edited
from support.rehearsals import SCRIPT

pytestmark = pytest.mark.anyio
PNG = """
import struct, zlib
def chunk(name, body):
    return struct.pack(">I", len(body)) + name + body + struct.pack(">I", zlib.crc32(name + body))
head = struct.pack(">IIBBBBB", {side}, 2, 8, 0, 0, 0, 0)
data = zlib.compress((b"\\0" + b"x" * {side}) * 2)
data = b"".join(chunk(name, body) for name, body in ((b"IHDR", head), (b"IDAT", data), (b"IEND", b"")))
(out / "{name}.png").write_bytes(b"\\x89PNG\\r\\n\\x1a\\n" + data)
"""


@pytest.fixture(autouse=True)
def bubblewrap() -> None:
    need("bwrap")


@pytest.fixture
def scored(at: At) -> Iterator[Folder]:
    folder = at("scored")
    folder.set_rules(execution_config={"sandbox": "auto"})
    yield folder
    folder.end_jobs()


async def explored(agent: Agent, code: str, version: int = 1) -> dict[str, Any]:
    """What came of a snippet, which changes nothing but its own attempt and the journal."""

    def others() -> dict[str, bytes]:
        own = (f"{STATE}/attempts/v001/explore-", f"{STATE}/journal.jsonl", f"{STATE}/lock")
        return {name: data for name, data in agent.folder.contents().items() if not name.startswith(own)}

    before, phase = others(), await agent.where()
    result = await agent.call("explore", version=version, code=code, wait_seconds=50)
    while result["state"] == "running":
        result = await agent.call("explore", version=version, code=code, wait_seconds=50)
    assert others() == before and await agent.where() == phase
    return result


async def test_a_snippet_looks_at_predictions_and_scores_and_its_findings_come_back(
    scored: Folder, capsys: pytest.CaptureFixture[str]
) -> None:
    code = "worst = max(samples, key=lambda one: one['scores']['loss'])\nprint(scores, len(samples), worst['id'])"
    async with connected(scored) as agent:
        result = await explored(agent, code)
        lines = scored.read(f"{STATE}/scores/v001/samples.jsonl").splitlines()
        worst = max(map(json.loads, lines), key=lambda one: one["scores"]["loss"])
        assert result["output"].startswith("{'loss': ") and result["output"].endswith(f" 20 {worst['id']}")
        assert "exploration 1 of v001" in result["message"] and result["next"]["tool"] == "write_analysis"
        again = await agent.call("explore", version=1, code=code)
        assert again["already_done"] and again["output"] == result["output"]
        read = await agent.client.read_resource("loop://versions/1/explorations")
        assert code in read.contents[0].text and result["output"] in read.contents[0].text  # type: ignore[union-attr]
        samples = await agent.client.read_resource("loop://versions/1/predictions")
        assert samples.contents[0].text.splitlines() == lines  # type: ignore[union-attr]
    events = [json.loads(line)["event"] for line in scored.read(f"{STATE}/journal.jsonl").splitlines()]
    assert events[-2:] == ["explore_started", "explored"]
    scored.write("look.py", code)
    with pytest.raises(SystemExit, match="0"):
        main(["explore", "--project", str(scored.root), str(scored.path("look.py"))])
    assert result["output"] in capsys.readouterr().out, "the command line tells the same"


async def test_pictures_come_back_as_images_if_they_are_small(scored: Folder) -> None:
    code = PNG.format(side=3, name="small") + PNG.format(side=4000, name="wide") + "(out / 'x.png').write_text('no')"
    async with connected(scored) as agent:
        result = await agent.client.call_tool("explore", {"version": 1, "code": code, "wait_seconds": 50})
    images = [one for one in result.content if isinstance(one, ImageContent)]
    assert len(images) == 1 and images[0].mime_type == "image/png"
    assert struct.unpack(">II", base64.b64decode(images[0].data)[16:24]) == (3, 2)
    said = (result.structured_content or {})["message"]
    assert "wide.png (no PNG of at most 2048" in said and "x.png (no PNG" in said


HOSTILE = {
    "writes beside its own": ("from pathlib import Path\nPath({root!r}, '03_eval.py').write_text('')", "Read-only"),
    "writes the score": ("open({root!r} + '/Models/Artifacts/v001/eval_score.json', 'w')", "Error"),
    "reads the loop's state": ("print(open({root!r} + '/.progressive-training/loop.json').read())", "No such file"),
    "starts a program": ("import os\nos.system('true')", "isn't allowed in an exploration"),
    "starts a child": ("import os\nos.fork()", "isn't allowed in an exploration"),
    "is no Python": ("print(", "SyntaxError"),
    "fills the disk": ("with open(out / 'x', 'wb') as f:\n  while 1: f.write(bytes(1 << 24))", "File too large"),
    "raises": ("1 / 0", "ZeroDivisionError"),
}


@pytest.mark.parametrize("name", [*HOSTILE])
@pytest.mark.whole(but=3)
async def test_a_snippet_that(scored: Folder, name: str) -> None:
    code, told = HOSTILE[name]
    async with connected(scored) as agent:
        result = await explored(agent, code.format(root=str(scored.root)))
        assert result["state"] == "failed", result
        assert told in result["failure"]["summary"] + result["output"], result


async def test_a_snippet_without_end_or_measure_is_bounded(scored: Folder) -> None:
    scored.set_rules(execution_config={"sandbox": "auto"}, loop_config={"max_versions": 2, "max_explore_minutes": 0.02})
    async with connected(scored) as agent:
        result = await explored(agent, "print('begun', flush=True)\nwhile True: pass")
        assert result["failure"]["kind"] == "timeout" and result["output"].endswith("begun"), result
    scored.set_rules(execution_config={"sandbox": "auto"})
    async with connected(scored) as agent:
        result = await explored(agent, "print('head')\nfor _ in range(1000): print('x' * 1_000_000)\nprint('tail')")
        assert result["state"] == "done" and len(result["output"]) < 9_000
        assert result["output"].startswith("head") and result["output"].endswith("tail")
    attempts = scored.path(f"{STATE}/attempts/v001")
    assert sum(path.stat().st_size for path in attempts.glob("explore-*/**/*") if path.is_file()) < 300_000


async def test_nothing_is_explored_before_a_training_or_without_a_sandbox(at: At) -> None:
    folder = at("started")
    async with connected(folder) as agent:
        assert "no trained version 1" in await agent.refused("explore", version=1, code="print(1)")
        await agent.train()
        assert "no sandbox holds here" in await agent.refused("explore", version=1, code="print(1)")
        assert "is empty" in await agent.refused("explore", version=1, code=" ")


LOOK = """
import numpy, torch
inputs = torch.stack([one[0] for one in train])
answers = model(torch.stack([one[0] for one in val])).argmax(1)
said = [one["prediction"] for one in samples]
print(len(train), len(val), sum(len(one[1]) for one in train_batches), (answers.numpy() == numpy.array(said)).all())
print(numpy.linalg.lstsq(inputs.numpy(), inputs.sum(1).numpy(), rcond=None)[0].round(3).tolist())
show(torch.rand(16, 16))
"""
STEPS = {
    "steps": "import torch\nw = torch.nn.Linear(2, 1)\nfor p in w.parameters(): p.grad = torch.ones_like(p)\n"
    "torch.optim.SGD(w.parameters(), 0.1).step()\nprint('trained')",
    "gradients": "import torch\nwith torch.enable_grad():\n  w = torch.ones(3, requires_grad=True)\n"
    "  g = torch.autograd.grad((w * w).sum(), w)\nprint('trained')",
    "fits again": "import lightning as L\nL.Trainer(accelerator='cpu', logger=False).fit(model, train_batches)",
}


@pytest.mark.whole(shown_by="tests/tools/test_exploring.py")
async def test_data_and_model_are_at_hand_and_nothing_can_be_trained(folder: Folder) -> None:
    script = edited(
        SCRIPT, ("class Net", "held = open(f'dataset/prepdata/{DATASET_ID}/test.json').read()\n\n\nclass Net")
    )
    folder.write("02_train_baseline.py", script)
    folder.write("dataset/prepdata/v1/stats.json", '{"task_type": "classification", "num_train": 340, "num_val": 60}')
    folder.write("dataset/prepdata/v1/test.json", "[1]")
    folder.set_rules(training_config={"epochs": 4}, execution_config={"sandbox": "auto"})
    async with connected(folder, executor=Forked()) as agent:
        await agent.call("start_loop")
        await agent.train()
        assert (await agent.score())["state"] == "done"
    async with connected(folder) as agent:
        result = await explored(agent, LOOK)
        assert result["output"] == "340 60 340 True\n[1.0, 1.0, 1.0, 1.0]", result
        assert [Path(one).name for one in result["pictures"]] == ["shown-01.png"]
        hidden = await explored(agent, "open('dataset/prepdata/v1/test.json')")
        assert "PermissionError" in hidden["output"], hidden
        for name, code in STEPS.items():
            refused = await explored(agent, code)
            assert refused["failure"]["kind"] == "rule violation", (name, refused)
            assert "an exploration trains no network" in refused["failure"]["summary"]
            assert "trained\n" not in refused["output"]
