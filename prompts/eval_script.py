"""03_eval.py from its template (E1)."""

from textwrap import fill

from ..loop.evaluate.evaluator import EvalSettings
from ..loop.project.receipts import LoopFile
from ..loop.rules.reading import Rules
from . import render

_FORMULAS = {
    "classification": "Probabilities are the softmax (or sigmoid) of the outputs. accuracy: how many have the right"
    " class first; f1, precision, recall, auroc: torchmetrics' multiclass ones, a mean over classes; NAME_binary: of"
    " class 1.",
    "multilabel": "Probabilities are the sigmoid of the outputs, a label is one from 0.5; f1, precision, recall and"
    " auroc are torchmetrics' multilabel ones, a mean over labels.",
    "tokens": "Each token has a class; those whose target is -100 count for nothing. accuracy, f1, precision and recall"
    " are over all tokens, f1 a mean over classes.",
    "regression": "mae, mse, rmse, r2, mape, smape, spearman and pearson are torchmetrics', means over outputs.",
    "forecasting": "mae, mse, rmse, smape, wape are over all samples and steps.",
    "segmentation": "A pixel has the class of its highest output; iou and dice are over the whole set's pixels, a mean"
    " over the classes that are there; NAME_per_image is the mean over images.",
    "sequence": "The text is predict_step's, else the best class of each frame (repeats as one, blanks left out), by"
    " the version's vocab.json. cer, wer: all errors by all characters or words of the targets; exact_match: whole"
    " texts.",
    "generation": "The text is predict_step's. bleu, chrf: over the whole set, as sacrebleu has them; rouge1, rouge2,"
    " rougel: the mean of each text's F-measure.",
    "language_model": "perplexity: e to the mean negative log-likelihood of all target tokens but those of -100.",
    "retrieval": "A query is a sample; its candidates are ranked by their scores, the least relevant first of equals."
    " mrr, map, ndcg, NAME@K: means over queries, as torchmetrics has them; a query without a right one counts as 0.",
    "detection": "map, map_50, map_75, mar_100: COCO's, of all sizes of boxes, a mean over the classes that are there;"
    " at most 100 boxes a picture and class. NAME_xywh, NAME_cxcywh: of boxes that are written so.",
}


def eval_script(rules: Rules, loop: LoopFile, family: str, settings: EvalSettings | None = None) -> str:
    """03_eval.py for a family of tasks that the loop's own evaluator serves; without `settings` it finds all itself."""
    chosen = settings or EvalSettings()
    return render(
        "scripts/03_eval.py.j2",
        task_type=family,
        metrics=[name for name in rules.metric_names if name != "loss"],
        primary_metric=rules.file.eval_config.primary_metric,
        samples=rules.file.eval_config.infer_samples,
        seed=rules.file.seed,
        dataset_id=loop.dataset_id,
        formulas_told=fill(_FORMULAS[family], 116),
        **chosen.model_dump(),
    )
