"""What people call tasks and numbers."""

import ast
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from progressive_training.loop.evaluate import evaluator_parts
from progressive_training.loop.evaluate.evaluator_parts.formulas import (
    FAMILIES,
    family_of,
    formula,
    lower_is_better,
    variants,
)
from progressive_training.loop.evaluate.evaluator_parts.tasks import same_name

FOLDER = Path(evaluator_parts.__file__).parent


@pytest.mark.parametrize(
    ("task", "family"),
    [
        ("classification", "classification"),
        ("image-classification", "classification"),
        ("binary_classification", "classification"),
        ("sequence classification", "classification"),
        ("fraud detection", "classification"),
        ("이미지 분류", "classification"),
        ("multi-label classification", "multilabel"),
        ("Multilabel", "multilabel"),
        ("다중 레이블 분류", "multilabel"),
        ("token classification", "tokens"),
        ("NER", "tokens"),
        ("sequence labeling", "tokens"),
        ("regression", "regression"),
        ("tabular_regression", "regression"),
        ("주택가격 회귀", "regression"),
        ("time series forecasting", "forecasting"),
        ("time-series", "forecasting"),
        ("시계열 예측", "forecasting"),
        ("time series classification", "classification"),
        ("semantic segmentation", "segmentation"),
        ("의료영상 분할", "segmentation"),
        ("sequence", "sequence"),
        ("ocr", "sequence"),
        ("HTR", "sequence"),
        ("speech recognition (CTC)", "sequence"),
        ("음성 인식", "sequence"),
        ("machine translation", "generation"),
        ("summarization", "generation"),
        ("image captioning", "generation"),
        ("sequence to sequence", "generation"),
        ("한영 번역", "generation"),
        ("language modeling", "language_model"),
        ("causal-lm", "language_model"),
        ("masked language model", "language_model"),
        ("document retrieval", "retrieval"),
        ("recommendation", "retrieval"),
        ("object detection", "detection"),
        ("객체 탐지", "detection"),
    ],
)
def test_a_tasks_words_say_its_family(task: str, family: str) -> None:
    found = family_of(task)
    assert found is not None and found.name == family


@pytest.mark.parametrize("task", ["", "image generation", "diffusion", "clustering", "reinforcement", "recall"])
def test_a_task_of_no_family_has_none(task: str) -> None:
    assert family_of(task) is None


@pytest.mark.parametrize(
    ("family", "spellings"),
    [
        ("classification", {"accuracy": "acc top1 val_acc valid/accuracy val_top1_acc Acc@1 MulticlassAccuracy"}),
        ("classification", {"top5_accuracy": "top5 acc5 acc@5 top5_acc top_5_accuracy val_top5"}),
        ("classification", {"f1": "F1 f1_score val_f1 F1Score val/f1-score MulticlassF1Score"}),
        (
            "classification",
            {"f1_binary": "f1_binary BinaryF1Score binary_f1", "f1_macro": "macro_f1 f1_macro"},
        ),
        ("classification", {"auroc": "auc roc_auc AUROC val_auc roc_auc_score", "mcc": "matthews_corrcoef"}),
        ("classification", {"balanced_accuracy": "bacc uar balanced_acc", "quadratic_kappa": "qwk"}),
        (
            "multilabel",
            {"average_precision": "mAP val_mAP", "f1_micro": "micro_f1", "exact_match": "subset_accuracy"},
        ),
        ("regression", {"mae": "MAE val_mae mean_absolute_error", "r2": "R2 r2_score r_squared", "rmse": "RMSE"}),
        ("regression", {"pearson": "pcc PearsonCorrCoef corr", "spearman": "SpearmanCorrCoef spearman_r"}),
        ("forecasting", {"smape": "sMAPE val_smape SMAPE", "wape": "wmape"}),
        (
            "segmentation",
            {"iou": "IoU mIoU val_mIoU mean_iou JaccardIndex val_iou", "accuracy": "pixel_accuracy"},
        ),
        ("segmentation", {"dice": "dice_score Dice dice_coef mDice DiceScore val/dice", "iou_binary": "binary_iou"}),
        (
            "sequence",
            {"cer": "char_error_rate CER val_cer CharErrorRate", "wer": "WordErrorRate val/wer"},
        ),
        ("sequence", {"exact_match": "em sequence_accuracy", "normalized_edit_distance": "ned", "accuracy": "acc"}),
        ("generation", {"rougel": "rougeL rouge_l ROUGE-L val_rougeL", "rouge1": "rouge1", "chrf": "chrF chrf_score"}),
        (
            "generation",
            {"bleu": "BLEU bleu_score BLEUScore", "sacrebleu": "sacre_bleu", "chrf_plus": "chrf++"},
        ),
        ("language_model", {"perplexity": "ppl val_ppl perplexity Perplexity", "accuracy": "acc", "nll": "nll"}),
        ("retrieval", {"mrr": "MRR val_mrr mean_reciprocal_rank", "ndcg@10": "NDCG@10 ndcg10 ndcg_at_10"}),
        ("retrieval", {"hit_rate@10": "HR@10 hit@10 hits@10", "map": "mAP map"}),
        ("detection", {"map": "mAP map val_map", "map_50": "map50 mAP@0.5 AP50 map_50", "mar_100": "mar"}),
    ],
)
def test_a_metric_is_found_by_its_usual_spellings(family: str, spellings: dict[str, str]) -> None:
    for name, written in spellings.items():
        for spelling in written.split():
            found = formula(FAMILIES[family], spelling)
            assert found is not None and found.name == name, spelling


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_every_metric_is_found_by_its_own_name_with_whatever_may_be_meant(family: object) -> None:
    assert isinstance(family, type(FAMILIES["detection"]))
    for name, one in family.metrics.items():
        assert one.name == name and formula(family, name) is one and formula(family, f"val_{name}") is one
        assert variants(family, name)[0] is one
    assert all(set(group) <= set(family.metrics) for group in family.alike)
    assert all(not loss.higher_is_better and loss.name == name for name, loss in family.losses.items())


@pytest.mark.parametrize("family", FAMILIES.values(), ids=FAMILIES)
def test_the_words_of_a_metric_say_which_way_is_better(family: object) -> None:
    assert isinstance(family, type(FAMILIES["detection"]))
    for name, one in family.metrics.items():
        assert lower_is_better(name) in (not one.higher_is_better, None), name


@pytest.mark.parametrize(
    ("names", "lower"),
    [
        (
            "val_loss dice_loss val/loss_ce mse neg_log_likelihood FID lpips val_CER EER total_error f1_loss",
            True,
        ),
        ("val_acc top5 mIoU dice psnr SSIM reward neg_mean_squared_error recall@10 BLEU hits10 val_f1_weighted", False),
        ("score temperature size val_margin per_class my_own_thing lr", None),
    ],
)
def test_a_name_that_says_nothing_of_its_direction_is_to_be_asked_about(names: str, lower: bool | None) -> None:
    assert {name: lower_is_better(name) for name in names.split()} == dict.fromkeys(names.split(), lower)


@pytest.mark.parametrize(
    ("metric", "logged", "loader", "meant"),
    [
        ("accuracy", "train_acc val_loss val_acc", None, "val_acc"),
        ("accuracy", "val_top1_acc", None, "val_top1_acc"),
        ("mae", "val_mean_absolute_error", None, "val_mean_absolute_error"),
        ("top5_accuracy", "val_acc@1 val_acc@5", None, "val_acc@5"),
        ("iou", "val/mIoU", None, "val/mIoU"),
        ("val_gap", "gap", None, "gap"),
        ("loss", "loss train_loss", None, None),
        ("f1", "val_f1_macro val_precision", None, None),
        ("accuracy", "val_acc/dataloader_idx_0 val_acc/dataloader_idx_1", None, "val_acc/dataloader_idx_0"),
        ("acc/dataloader_idx_1", "val_acc/dataloader_idx_0 val_acc/dataloader_idx_1", None, "val_acc/dataloader_idx_1"),
        ("loss", "val_loss/dataloader_idx_0 val_loss/dataloader_idx_1", "1", "val_loss/dataloader_idx_1"),
    ],
)
def test_a_logged_name_means_a_metric_by_the_same_table(
    metric: str, logged: str, loader: str | None, meant: str | None
) -> None:
    assert same_name(metric, logged.split(), loader) == meant


def test_the_folder_works_wherever_it_is_copied_without_us(tmp_path: Path) -> None:
    """03_eval.py finds it beside itself; what it needs else is torch, numpy and torchmetrics."""
    copy = tmp_path / "내 프로젝트" / "평가 evaluator"
    shutil.copytree(FOLDER, copy / "parts", ignore=shutil.ignore_patterns("__pycache__"))
    program = (
        "import sys, json; sys.path.insert(0, sys.argv[1])\n"
        "from parts import formulas, pictures\n"
        "family = formulas.family_of('sequence')\n"
        "print(formulas.formula(family, 'cer').compute(['가나'], ['가다']))\n"
        "print([name for name in sys.modules if name.startswith(('progressive_training', 'loop'))])"
    )
    command = [sys.executable, "-I", "-B", "-c", program, str(copy)]
    done = subprocess.run(command, capture_output=True, encoding="utf-8", env={**os.environ}, check=False, cwd=tmp_path)
    assert done.stdout.splitlines() == ["0.5", "[]"], done.stderr


def test_its_files_parse_as_python_3_9_and_import_nothing_but_each_other_and_what_a_scorer_has() -> None:
    for path in FOLDER.rglob("*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"), feature_version=(3, 9))
        for node in ast.walk(tree):
            names = [one.name for one in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and not node.level else []
            for name in names:
                top = name.partition(".")[0]
                assert top in sys.stdlib_module_names or top in ("torch", "numpy", "torchmetrics"), (path, name)
