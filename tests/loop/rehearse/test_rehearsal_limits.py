"""What a rehearsal leaves out of a run, and what it has recorded before."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

from progressive_training.loop import rehearse
from progressive_training.loop.record import injection
from progressive_training.loop.record.ranks import RunFacts, run_facts
from support.rehearsals import SCRIPT


def rehearsed(tmp_path: Path, **limits: float) -> RunFacts:
    folder, facts = tmp_path / "나의 project", tmp_path / "facts"
    (folder / "Models" / "Artifacts" / "baseline").mkdir(parents=True)
    facts.mkdir()
    (folder / "train.py").write_text(SCRIPT)
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    env |= injection.variables(env, facts) | {injection.REHEARSAL: json.dumps(limits)}
    done = subprocess.run(
        [sys.executable, "train.py"], cwd=folder, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    assert (folder / "Models/Artifacts/baseline/best.ckpt").is_file()
    return run_facts(facts)


def test_when_the_time_is_up_the_epoch_ends_with_what_was_seen_of_the_validation(tmp_path: Path) -> None:
    (fit,) = rehearsed(tmp_path, train_seconds=0, validation_seconds=0.0).fits
    found = fit.first.rehearsed
    assert found is not None and found.validation_cut and fit.first.batches == 1
    assert found.validation_samples == 20
    assert found.train_batches == 22 and found.validations_an_epoch == 0.5


def test_what_the_script_asked_for_is_recorded_and_less_is_done(tmp_path: Path) -> None:
    run = rehearsed(tmp_path, train_batches=3)
    (fit,) = run.fits
    settings, found = fit.first.settings, fit.first.rehearsed
    assert settings is not None and found is not None and not run.problems
    assert (settings.max_epochs, settings.check_val_every_n_epoch, settings.num_training_batches) == (4, 2, 22)
    assert fit.first.batches == 3 and fit.epochs_run == 1 and found.validation_samples == 60
    assert (found.compared_rows, found.compared_whole, fit.first.shared_inputs) == (340, True, 0)


def test_all_of_it_ends_in_time_and_what_it_knows_by_then_is_said(tmp_path: Path) -> None:
    sleeps = [sys.executable, "-I", "-S", "-c", "import time; print('asleep', flush=True); time.sleep(600)"]
    run = {"argv": sleeps, "cwd": str(tmp_path), "variables": {}}
    said, evaluator = tmp_path / "said.json", tmp_path / "evaluator.py"
    evaluator.write_text("import time\ntime.sleep(600)\n")
    (tmp_path / "best.ckpt").write_bytes(b"weights")
    plan = {
        "seconds": 2.5,
        "train_seconds": 1,
        "train": run,
        "imports": [],
        "said": str(said),
        "facts": str(tmp_path),
        "again": {**run, "log": str(tmp_path / "again.txt"), "install": None},
        "evaluator": str(evaluator),
        "evaluator_log": str(tmp_path / "evaluator.txt"),
        "artifacts": str(tmp_path),
        "arguments": {"source": str(tmp_path), "checkpoint": str(tmp_path / "copy.ckpt")},
    }
    (tmp_path / "plan.json").write_text(json.dumps(plan))
    program = Path(rehearse.__file__).parent / "user_python" / "run_rehearsal.py"
    began = time.monotonic()
    done = subprocess.run([sys.executable, "-I", "-B", program, tmp_path / "plan.json"], check=False, timeout=60)
    assert done.returncode == 0 and time.monotonic() - began < 20
    told = json.loads(said.read_text())
    assert [told[name]["timed_out"] for name in ("train", "evaluate", "again")] == [True, True, True]
    assert told["train"]["rc"] < 0 and told["evaluate"]["checkpoint"] == "best.ckpt"
