"""What people call tasks and their numbers: the family of a task, what a metric's name means, whether it falls.

Standard library only: the server asks as well.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator

#: Phrases of a task, and the family; the first that is found in it decides, so that the special stand before the
#: general. None is for tasks that only sound like one of ours.
_TASKS: tuple[tuple[str | None, tuple[str, ...]], ...] = (
    (
        None,
        (
            *(f"{what} generation" for what in ("image", "audio", "music", "video", "speech", "molecule")),
            *("diffusion", "gan", "instance segmentation", "panoptic", "change detection", "reinforcement"),
        ),
    ),
    ("multilabel", ("multilabel", "multi label", "multi-hot", "다중 레이블", "다중레이블", "멀티레이블")),
    (
        "tokens",
        (
            *("token", "tokens", "ner", "named entity", "pos tagging", "sequence tagging", "sequence labeling"),
            *("sequence labelling", "tagger", "slot filling", "chunking", "개체명", "토큰"),
        ),
    ),
    ("segmentation", ("segmentation", "segment", "segmenter", "semantic mask", "분할", "세그멘테이션")),
    (
        "language_model",
        (
            "language model",
            "language modeling",
            "language modelling",
            "lm",
            "causal lm",
            "clm",
            "mlm",
            "언어 모델",
            "언어모델",
        ),
    ),
    ("forecasting", ("forecast", "forecasting", "forecaster", "시계열 예측", "수요 예측")),
    (
        "retrieval",
        (
            *("retrieval", "ranking", "ranker", "rerank", "reranking", "learning to rank", "recommendation"),
            *("recommender", "recommend", "검색", "추천", "랭킹"),
        ),
    ),
    (
        "classification",
        (
            *("classification", "classifier", "classify", "classifying", "multiclass", "multi class", "binary"),
            *("sentiment", "anomaly detection", "fraud detection", "spam detection", "image recognition"),
            *("emotion recognition", "face recognition", "분류", "이진"),
        ),
    ),
    ("regression", ("regression", "regress", "regressor", "회귀")),
    ("detection", ("detection", "object detection", "detector", "bounding box", "객체 탐지", "객체 검출", "검출")),
    (
        "generation",
        (
            *("generation", "translation", "translate", "mt", "nmt", "summarization", "summarisation", "summary"),
            *("captioning", "caption", "seq2seq", "sequence to sequence", "text2text", "dialogue", "paraphrase"),
            *("번역", "요약", "생성", "캡셔닝"),
        ),
    ),
    (
        "sequence",
        (
            *("sequence", "ocr", "htr", "asr", "ctc", "stt", "speech recognition", "speech to text", "transcription"),
            *("text recognition", "handwriting", "handwritten", "lipreading", "lip reading"),
            *("음성 인식", "음성인식", "필기", "글자 인식", "문자 인식", "받아쓰기"),
        ),
    ),
    ("forecasting", ("time series", "timeseries", "시계열")),
)

#: The families that a version can be scored in without an evaluator of one's own.
SERVED = (
    *("classification", "multilabel", "tokens", "regression", "forecasting", "segmentation", "sequence", "generation"),
    *("language_model", "retrieval", "detection"),
)
#: What else a task of that name may turn out to be, by the make of its outputs and targets.
ALSO = {"classification": ("multilabel", "tokens"), "regression": ("forecasting",), "multilabel": ("tokens",)}


def task_family(task_type: str | None) -> str | None:
    """The name of the family whose words the task has; None where it has none, or those of several unlike ones."""
    words = " ".join(re.findall(r"[^\W_]+", (task_type or "").lower()))
    for family, phrases in _TASKS:
        if any(_holds(words, phrase) for phrase in phrases):
            return family
    return None


def _holds(words: str, phrase: str) -> bool:
    """Korean words run together; those of other languages are whole ones."""
    return phrase in words if re.search(r"[가-힣]", phrase) else f" {phrase.replace('-', ' ')} " in f" {words} "


# ------------------------------------------------------------ metrics

#: Other spellings of a metric, without what parts words; `{k}` is a number.
SPELLINGS = {
    "accuracy": ("acc", "top1", "top1accuracy", "top1acc", "acc1", "accuracyscore", "pixelaccuracy", "pixelacc"),
    "balanced_accuracy": ("balancedacc", "bacc", "uar", "macroaccuracy", "macroacc", "accuracymacro"),
    "top{k}_accuracy": ("top{k}", "top{k}acc", "acc{k}", "accuracy{k}", "acctop{k}", "accuracytop{k}"),
    "mean_accuracy": ("macc", "meanacc", "meanpixelaccuracy", "classaccuracy"),
    "error_rate": ("err", "error", "errorrate"),
    "f1": ("fscore", "f1measure", "fmeasure"),
    "precision": ("prec", "ppv"),
    "recall": ("sensitivity", "tpr", "rec", "sens"),
    "specificity": ("tnr", "spec"),
    "auroc": ("auc", "rocauc", "aucroc", "roc"),
    "average_precision": ("ap", "map", "auprc", "prauc", "aucpr", "aupr"),
    "ranking_average_precision": ("lrap",),
    "mcc": ("matthews", "matthewscorrcoef", "matthewscorrelation"),
    "kappa": ("cohenkappa", "cohenskappa"),
    "quadratic_kappa": ("qwk", "quadraticweightedkappa", "weightedkappa"),
    "hamming_distance": ("hamming", "hammingloss"),
    "ece": ("calibrationerror", "expectedcalibrationerror"),
    "mae": ("meanabsoluteerror", "l1", "meanabserror"),
    "mse": ("meansquarederror", "l2"),
    "rmse": ("rootmeansquarederror",),
    "mape": ("meanabsolutepercentageerror",),
    "smape": ("symmetricmeanabsolutepercentageerror",),
    "wape": ("wmape", "nd", "weightedmeanabsolutepercentageerror"),
    "msle": ("meansquaredlogerror",),
    "rmsle": ("rootmeansquaredlogerror",),
    "median_error": ("medae", "medianae", "medianabsoluteerror"),
    "max_error": ("maxerr",),
    "r2": ("rsquared", "rsquare", "coefficientofdetermination"),
    "pearson": ("pearsonr", "pearsoncorrcoef", "pcc", "pearsoncorrelation", "corr", "plcc"),
    "spearman": ("spearmanr", "spearmancorrcoef", "srcc", "spearmancorrelation", "spearmanrho"),
    "concordance": ("ccc", "concordancecorrcoef"),
    "explained_variance": ("ev", "evs", "explainedvar"),
    "iou": ("miou", "meaniou", "jaccard", "jaccardindex", "intersectionoverunion"),
    "iou_binary": ("foregroundiou", "fgiou"),
    "iou_per_image": ("imagewiseiou",),
    "dice": ("dicecoefficient", "dicecoef", "mdice", "meandice", "dsc", "dicesimilarity"),
    "cer": ("charactererrorrate", "charerrorrate"),
    "wer": ("worderrorrate",),
    "exact_match": ("em", "exact", "subsetaccuracy", "sequenceaccuracy", "seqacc", "exactmatchratio", "lineaccuracy"),
    "normalized_edit_distance": ("ned", "normeditdistance", "normalizedlevenshtein"),
    "edit_distance": ("levenshtein", "editdist"),
    "rougel": ("rougelfmeasure", "rougelf1"),
    "rouge1": ("rouge", "rouge1fmeasure", "rouge1f1"),
    "rouge2": ("rouge2fmeasure", "rouge2f1"),
    "chrf_plus": ("chrfpp", "chrfplusplus"),
    "perplexity": ("ppl", "pplx"),
    "bits_per_token": ("bpc", "bpb", "bpt"),
    "nll": ("negativeloglikelihood", "tokenloss"),
    "mrr": ("meanreciprocalrank", "reciprocalrank"),
    "hit_rate@{k}": ("hit{k}", "hits{k}", "hr{k}", "hitrate{k}", "success{k}", "accuracy{k}"),
    "recall@{k}": ("r{k}", "recallat{k}"),
    "precision@{k}": ("p{k}", "precisionat{k}"),
    "ndcg@{k}": ("ndcgat{k}", "normalizeddcg{k}"),
    "mrr@{k}": ("mrrat{k}",),
    "map_50": ("ap50", "map05", "map50", "mapat50"),
    "map_75": ("ap75", "map075", "map75"),
    "mar_100": ("ar", "mar", "ar100", "mar100"),
}
_STAGES = {"val", "valid", "validation", "test", "eval", "dev", "epoch"}


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_FALLING = _words(
    """loss losses error errors err mae mse rmse msle rmsle mape smape wape wmape mase medae nll nlpd ppl perplexity bpc
    bpb bpd wer cer ter eer ece mce fid kid lpips hamming brier deviance divergence kl kld jsd crps regret latency
    distance dist chamfer hausdorff hd95 assd asd epe fpr fnr fdr far frr rank entropy mmd wasserstein emd ade fde mpjpe
    ned nme levenshtein pinball quantile"""
)
_RISING = _words(
    """acc accuracy accuracies f1 f2 fbeta fscore fmeasure dice dsc iou miou jaccard precision recall sensitivity
    specificity auc auroc auprc aupr roc ap map mar mcc kappa qwk r2 pearson pearsonr spearman spearmanr spearmanrho
    kendall ccc srcc plcc concordance corr correlation bleu sacrebleu rouge rougel rougelsum chrf meteor cider spice mrr
    ndcg hit hits psnr ssim msssim snr sdr sisdr sisnr pesq stoi exact match em top reward return likelihood explained
    tpr tnr ppv npv macc mdice pq similarity lrap mauve bertscore comet elbo"""
)


def words_of(name: str) -> list[str]:
    """A name's words in lower case, stages such as "val" left out: val_F1Score, val/f1-score and F1Score are alike."""
    name = loader_of(name)[0]
    name = re.sub(r"mIoU|IoU|AUROC|mAP|NDCG|MRR|chrF|\bR2", lambda found: f" {found[0].lower()} ", name)
    name = re.sub(r"\+\+", " plus", name)
    apart = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", " ", name)
    words = re.findall(r"[^\W_]+", apart.lower())
    return [word for word in words if word not in _STAGES] or words


def keys(name: str) -> Iterator[str]:
    """Names without what parts words, the most exact first: as it is, without a task's kind, without "score"."""
    words = words_of(name)
    yield "".join(words)
    kinds = {"multiclass", "multilabel", "metric", "score", "mean", "global"}
    fewer = [word for word in words if word not in kinds] or words
    yield "".join(fewer)
    averages = ("binary", "macro", "micro", "weighted", "samples", "percent")
    for average in averages:  # macro_f1 is f1_macro
        if average in fewer:
            yield "".join([*(word for word in fewer if word != average), average])
    yield re.sub(r"(?<=.)score$", "", "".join(fewer))
    yield re.sub(r"(?<=.)at(?=\d+$)", "", "".join(fewer))


def plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def loader_of(name: str) -> tuple[str, str | None]:
    """A logged name without what Lightning adds where there are several loaders, and the number that it adds."""
    bare, _, number = name.partition("/dataloader_idx_")
    return (bare, number) if number.isdigit() else (name, None)


def meanings(name: str) -> set[str]:
    """The metrics of the table, whatever their family, that a name may mean; the name itself where it is in none."""
    found: set[str] = set()
    for key in keys(name):
        number = re.search(r"\d+", key)
        pattern = key.replace(number[0], "{k}", 1) if number else key
        for metric, spellings in SPELLINGS.items():
            if key in (plain(metric), *spellings):
                found.add(metric)
            elif number and pattern in (re.sub("[@_]", "", metric), *spellings):
                found.add(metric.replace("{k}", number[0]))
        if found:
            return found
    return {plain(name)}


def same_name(metric: str, names: Iterable[str], loader: str | None = None) -> str | None:
    """The first of the logged `names` that means this metric, of that loader; a plain "loss" is the training's."""
    own = loader_of(metric)[1] or loader or "0"
    known = [name for name in names if name.lower() != "loss" and loader_of(name)[1] in (None, own)]
    wanted = words_of(metric)
    exact = next((name for name in known if words_of(name) == wanted), None)
    if exact is not None or wanted == ["loss"]:
        return exact
    meant = meanings(metric)
    return next((name for name in known if meanings(name) & meant), None)


def lower_is_better(name: str) -> bool | None:
    """By the words of a name; a falling one decides ("dice_loss"), and "neg" turns it round. None: it isn't known."""
    words = words_of(name)
    direction = _direction([word for word in words if word not in ("neg", "negative")])
    return not direction if direction is not None and ("neg" in words or "negative" in words) else direction


def _direction(words: list[str]) -> bool | None:
    whole = "".join(words)
    parts = {*words, *(word.rstrip("0123456789") for word in words), whole, whole.rstrip("0123456789")}
    if parts & _FALLING or any(word.endswith(("loss", "error")) for word in words):
        return True
    return False if parts & _RISING else None
