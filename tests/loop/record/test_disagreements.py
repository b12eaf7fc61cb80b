"""What a checkpoint says of itself, held against what was recorded."""

import subprocess
import sys
from pathlib import Path

import pytest
from loop.record.conftest import COMMON, LIGHTNING, Record, Recorded

from progressive_training.loop.evaluate.user_python import read_checkpoint as checkpoints
from progressive_training.loop.record import checkpoint_facts
from progressive_training.loop.record.disagreements import CheckpointFacts, Disagreement, disagreements, parsed
from progressive_training.loop.record.ranks import merged

SAVING = """
from lightning.pytorch.callbacks import ModelCheckpoint
saver = ModelCheckpoint("out", save_last=True, save_top_k=-1)  # last.ckpt is then of the last epoch
class Adams(Model):
    def configure_optimizers(self):
        return torch.optim.Adam(self.parameters(), lr=0.03, weight_decay=0.2)
"""


def saved(path: Path, tmp_path: Path) -> CheckpointFacts:
    out = tmp_path / "said.json"
    command = [sys.executable, "-I", "-B", checkpoint_facts.__file__, checkpoints.__file__, str(path), str(out)]
    subprocess.run(command, check=True)
    found = parsed(out.read_bytes())
    assert isinstance(found, CheckpointFacts)
    return found


def fitted(record: Record, change: str = "") -> Recorded:
    script = f"t = trainer(3, callbacks=[saver], enable_checkpointing=True)\nt.fit(Adams(), *loaders())\n{change}"
    done = record(LIGHTNING + SAVING + script)
    assert done.code == 0 and not done.run.problems, done.output
    return done


def test_a_checkpoint_tells_its_counters_and_rates_and_agrees_with_its_run(record: Record, tmp_path: Path) -> None:
    done = fitted(record)
    found = saved(done.folder / "out/last.ckpt", tmp_path)
    assert (found.epoch, found.global_step, found.epochs_started, found.batches, found.steps) == (2, 21, 3, 21, 21)
    assert found.optimizers[0].steps == 21
    assert found.optimizers[0].groups[0].lr == 0.03 and found.optimizers[0].groups[0].weight_decay == 0.2
    assert disagreements(done.run, found) == ()


def change(done: Recorded, path: str, code: str) -> Path:
    """The checkpoint with something in it set anew, by torch itself."""
    text = f"import sys, torch\nc = torch.load(sys.argv[1], weights_only=False)\n{code}\ntorch.save(c, sys.argv[1])\n"
    target = done.folder / path
    subprocess.run([sys.executable, "-c", text, str(target)], cwd=done.folder, check=True)
    return target


@pytest.mark.parametrize(
    ("code", "what"),
    [
        ("c['global_step'] = 474", ["global_step"]),
        ("c['epoch'] = 29", ["epochs"]),
        ("c['optimizer_states'][0]['param_groups'][0]['lr'] = 0.3", ["lr"]),
        ("c['optimizer_states'][0]['param_groups'][0]['weight_decay'] = 0.0", ["weight_decay"]),
        ("c['optimizer_states'][0]['state'][0]['step'] += 5", ["optimizer_steps"]),
        ("c['loops']['fit_loop']['epoch_loop.batch_progress']['total']['ready'] = 210", ["batches"]),
        ("c['optimizer_states'] *= 2", ["optimizers"]),
        ("c['epoch'] = 1; c['global_step'] = 14", []),
    ],
)
def test_more_than_was_recorded_is_a_disagreement_and_less_is_none(
    record: Record, tmp_path: Path, code: str, what: list[str]
) -> None:
    done = fitted(record)
    found = disagreements(done.run, saved(change(done, "out/last.ckpt", code), tmp_path))
    assert [one.what for one in found] == what
    assert all(isinstance(one, Disagreement) and one.recorded and one.saved for one in found)


def test_a_recorder_that_was_switched_off_within_the_run_disagrees_with_the_checkpoint(
    record: Record, tmp_path: Path
) -> None:
    script = """
import torch.optim.optimizer as optimizer
optimizer._global_optimizer_pre_hooks.clear()
optimizer._global_optimizer_post_hooks.clear()
torch.autograd.backward = torch.autograd.backward.__wrapped__
t = trainer(3, callbacks=[saver], enable_checkpointing=True)
t.fit(Adams(), *loaders())
"""
    done = record(LIGHTNING + SAVING + script)
    found = disagreements(done.run, saved(done.folder / "out/last.ckpt", tmp_path))
    assert {"steps", "global_step", "optimizers"} <= {one.what for one in found}


def test_a_plain_loop_s_checkpoint_is_held_against_its_optimizer(record: Record, tmp_path: Path) -> None:
    script = """
model = nn.Linear(4, 2)
optimizer = torch.optim.Adam(model.parameters(), lr=0.02)
for inputs, labels in DataLoader(samples(100, 1), 20):
    F.cross_entropy(model(inputs), labels).backward()
    optimizer.step()
torch.save({"epoch": 0, "model": model.state_dict(), "optimizer": optimizer.state_dict()}, "last.pt")
"""
    done = record(COMMON + script)
    found = saved(done.folder / "last.pt", tmp_path)
    assert found.optimizers[0].steps == 5 and disagreements(done.run, found) == ()
    group = "c['optimizer']['param_groups'][0]['lr'] = 0.5"
    changed = saved(change(done, "last.pt", group), tmp_path)
    assert [one.what for one in disagreements(done.run, changed)] == ["lr"]


def test_what_is_no_checkpoint_says_so_and_disagrees_with_nothing(tmp_path: Path) -> None:
    (tmp_path / "last.ckpt").write_bytes(b"PK\x03\x04 no archive")
    found = saved(tmp_path / "last.ckpt", tmp_path)
    assert found.unreadable
    assert disagreements(merged(()), found) == ()
    assert not isinstance(parsed(b"{"), CheckpointFacts)
