"""What people call numbers: which formula a name means, and whether it should fall."""

from __future__ import annotations

import re
from collections.abc import Iterator

from .kinds import Family, Formula

#: Other spellings of a metric, without what parts words; `{k}` is a number.
_SPELLINGS = {
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


def spelled(family: Family) -> dict[str, str]:
    """Each spelling of the family's metrics, and the metric's own name; own names stand above other spellings."""
    found: dict[str, str] = {}
    for name in family.metrics:
        number = re.search(r"\d+", name)
        pattern = name.replace(number[0], "{k}", 1) if number and name not in _SPELLINGS else name
        for spelling in _SPELLINGS.get(pattern, ()):
            found.setdefault(spelling.replace("{k}", number[0] if number else ""), name)
    return {**found, **{plain(name): name for name in family.metrics}}


def plain(name: str) -> str:
    return re.sub(r"[\W_]+", "", name.lower())


def find(family: Family, name: str) -> Formula | None:
    if name in family.metrics:
        return family.metrics[name]
    known = spelled(family)
    return next((family.metrics[known[key]] for key in keys(name) if key in known), None)


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
