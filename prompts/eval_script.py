"""03_eval.py from its template (E1)."""

from importlib import resources

from ..loop.evaluate.evaluator import EvalSettings
from ..loop.project.receipts import LoopFile
from ..loop.rules.reading import Rules
from . import render


def eval_script(rules: Rules, loop: LoopFile, family: str, settings: EvalSettings | None = None) -> str:
    """03_eval.py for a task family that a template serves; without `settings` it finds all of them itself."""
    chosen = settings or EvalSettings()
    carried = resources.files("progressive_training.loop.evaluate.user_python")
    return render(
        "scripts/03_eval.py.j2",
        task_type=family,
        metrics=[name for name in rules.metric_names if name != "loss"],
        primary_metric=rules.file.eval_config.primary_metric,
        samples=rules.file.eval_config.infer_samples,
        seed=rules.file.seed,
        dataset_id=loop.dataset_id,
        settings=chosen,
        stage_source=carried.joinpath("project_copy.py").read_text(encoding="utf-8"),
        runner_source=carried.joinpath("run_external_model.py").read_text(encoding="utf-8"),
    )
