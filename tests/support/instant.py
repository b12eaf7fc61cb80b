"""An executor for tests that are not about runs."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from progressive_training.loop.jobs.job import Job, JobStatus, Outcome


class Instant:
    """An executor that leaves what a run would have left, at once, and runs nothing."""

    name = "instant"

    def submit(self, attempt: Path, job: Job) -> None:
        attempt.mkdir(parents=True, exist_ok=True)
        (attempt / "job.json").write_text(job.to_json())
        if job.kind == "train":
            self._train(Path(job.cwd) / "Models" / "Artifacts" / job.version_id)
        else:
            self._evaluate(json.loads((attempt / "eval.json").read_text()))

    def expect(self, jobs: Callable[[], Sequence[Job]], state: Path) -> None:
        """It needs no preparation."""

    def poll(self, attempt: Path) -> JobStatus:
        outcome = Outcome(0, None, None, "exited", 0.1, 0.1, 1, (), None, None, log_truncated=False)
        return JobStatus("finished", outcome, 0.1)

    def cancel(self, attempt: Path) -> JobStatus:
        return self.poll(attempt)

    def _train(self, artifacts: Path) -> None:
        logs = artifacts / "logs" / "version_0"
        logs.mkdir(parents=True)
        for name in ("best.ckpt", "last.ckpt"):
            (artifacts / name).write_text(f'{{"threshold": 0.6, "of": "{artifacts.name}"}}')
        (artifacts / "spec.json").write_text('{"additional_assets": "not_required"}')
        (logs / "metrics.csv").write_text("epoch,step,train_loss,val_loss\n0,0,0.3,0.3\n1,1,0.2,0.2\n2,2,0.1,0.1\n")
        (logs / "hparams.yaml").write_text("max_epochs: 3\n")

    def _evaluate(self, plan: Any) -> None:
        for run in plan["runs"]:
            out, hit = Path(run["out"]), 0.5 if run["disordered"] else 1.0
            rows = [{"id": f"val-{i}", "scores": {"loss": 0.1, "accuracy": hit if i else 0.0}} for i in range(20)]
            (out / "samples.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
            for number in (1, 2):
                shown = out / "infer_samples" / f"{number:04d}"
                shown.mkdir(parents=True)
                for name in ("input.json", "output.json", "meta.json"):
                    (shown / name).write_text("{}")
            metrics = [
                {"name": "loss", "value": 0.1, "higher_is_better": False},
                {"name": "accuracy", "value": hit * 19 / 20, "higher_is_better": True},
            ]
            score = {"dataset_id": "v1", "created_at": "", "num_samples": 20, "metrics": metrics, "latency_ms": 1.0}
            (out / "eval_score.json").write_text(json.dumps(score))
        Path(plan["checkpoints_out"]).write_text("{}")
        Path(plan["runs_out"]).write_text(json.dumps([0] * len(plan["runs"])))
