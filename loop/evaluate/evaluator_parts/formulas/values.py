"""Regression (N, k) and forecasting (N, H, k): outputs are the predictions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy
import torch
import torch.nn.functional as F
import torchmetrics.functional as tm
from torch import Tensor

from .classes import rows
from .kinds import Compute, Family, Formula, by_name, mean_of, or_nan, tensor_of, times

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false

EPSILON = 1.17e-06  # what torchmetrics divides by at least


def pair(output: Any, target: Any) -> tuple[Tensor, Tensor]:
    """Outputs and targets of one size, a row a sample; targets keep their shape."""
    output, target = tensor_of(output, "the output").float(), tensor_of(target, "the target")
    target = target if target.dim() else target.reshape(1)
    if not target.numel():
        raise ValueError("there are no samples")
    output = rows(output, len(target))
    if target.numel() != output.numel():
        raise ValueError(f"outputs {tuple(output.shape)} and targets {tuple(target.shape)} differ in size")
    return output, target.float()


def shaped(output: Any, target: Any) -> tuple[Tensor, Tensor]:
    """(N, k) both."""
    output, target = pair(output, target)
    return output.reshape(len(target), -1), target.reshape(len(target), -1)


def shaped_forecast(output: Any, target: Any) -> tuple[Tensor, Tensor]:
    """(N, H, k) both, by the target's shape."""
    output, target = pair(output, target)
    horizon = target.shape[1] if target.dim() > 1 else 1
    if output.dim() > 2 and target.dim() == 2 and output.shape[1] == 1 and target.shape[1] == output.shape[2]:
        output = output.transpose(1, 2)  # (N, 1, H)
    if output.dim() > 1 and output.shape[1] != horizon:
        raise ValueError(f"outputs {tuple(output.shape)} and targets {tuple(target.shape)} differ in their steps")
    return output.reshape(len(target), horizon, -1), target.reshape(len(target), horizon, -1)


def answer(row: Tensor) -> Any:
    return row.tolist() if row.numel() > 1 else float(row)


def answer_forecast(row: Tensor) -> Any:
    return (row.squeeze(-1) if row.dim() > 1 else row).tolist()


def over_values(function: Callable[..., Any], **options: Any) -> Compute:
    """A regression metric of torchmetrics on (N, k) values: the mean over the k outputs."""
    return or_nan(lambda predicted, target: function(predicted.squeeze(1), target.squeeze(1), **options).mean())


def flat(function: Callable[..., Tensor], **options: Any) -> Compute:
    """The same on all values in a row, whichever of a sample's outputs or steps they are."""
    return or_nan(lambda predicted, target: function(predicted.flatten(), target.flatten(), **options))


def by_row(error: Callable[[Tensor, Tensor], Tensor]) -> Compute:
    """The mean error of each sample."""
    return lambda predicted, target: error(predicted, target).flatten(1).mean(1)


def root_of_rows(p: Tensor, t: Tensor) -> Tensor:
    return (p - t).flatten(1).square().mean(1).sqrt()


MAE = Formula("mae", over_values(tm.mean_absolute_error), False, by_row(lambda p, t: (p - t).abs()))
MSE = Formula("mse", over_values(tm.mean_squared_error), False, by_row(lambda p, t: (p - t).square()))
RMSE = Formula("rmse", over_values(tm.mean_squared_error, squared=False), False)
MAPE = Formula(
    "mape",
    over_values(tm.mean_absolute_percentage_error),
    False,
    by_row(lambda p, t: (p - t).abs() / t.abs().clamp_min(EPSILON)),
)
SMAPE = Formula(
    "smape",
    over_values(tm.symmetric_mean_absolute_percentage_error),
    False,
    by_row(lambda p, t: 2 * (p - t).abs() / (p.abs() + t.abs()).clamp_min(EPSILON)),
)
R2 = Formula("r2", over_values(tm.r2_score), True)
PEARSON = Formula("pearson", over_values(tm.pearson_corrcoef), True)
SPEARMAN = Formula("spearman", over_values(tm.spearman_corrcoef), True)
VARIANCE = Formula("explained_variance", over_values(tm.explained_variance), True)


def log_errors(p: Tensor, t: Tensor) -> Tensor:
    return (p.log1p() - t.log1p()).square()


def wape(p: Tensor, t: Tensor) -> Tensor:
    """All absolute errors by all absolute targets; ND and WMAPE are other names of it."""
    return (p - t).abs().sum() / t.abs().sum().clamp_min(EPSILON)


def concordance(p: Tensor, t: Tensor) -> Tensor:
    """Lin's, with the population's variances, over all values in a row."""
    p, t = p.flatten(), t.flatten()
    covariance = ((p - p.mean()) * (t - t.mean())).mean()
    return 2 * covariance / (p.var(correction=0) + t.var(correction=0) + (p.mean() - t.mean()).square())


_BOTH = (
    MAE,
    MSE,
    RMSE,
    mean_of("rmse_per_sample", root_of_rows),
    MAPE,
    times(100, "mape_percent", MAPE),
    SMAPE,
    times(0.5, "smape_half", SMAPE),
    times(100, "smape_percent", SMAPE),
    times(50, "smape_half_percent", SMAPE),
    Formula("wape", or_nan(wape), False),
    Formula("msle", or_nan(lambda p, t: log_errors(p, t).mean()), False, by_row(log_errors)),
    Formula("rmsle", or_nan(lambda p, t: log_errors(p, t).mean().sqrt()), False),
    Formula("median_error", or_nan(lambda p, t: numpy.median((p - t).abs().numpy())), False),
    Formula("max_error", or_nan(lambda p, t: (p - t).abs().max()), False),
    Formula("concordance", or_nan(concordance), True),
)
_REGRESSION = (
    *_BOTH,
    R2,
    Formula("r2_flat", flat(tm.r2_score), True),
    SPEARMAN,
    PEARSON,
    Formula("pearson_flat", flat(tm.pearson_corrcoef), True),
    VARIANCE,
)


def by_step(formula: Formula) -> Compute:
    """On (N, H·k): the mean over the steps of what is computed for each."""
    return lambda predicted, target: formula.compute(predicted.flatten(1), target.flatten(1))


def forecast(formula: Formula) -> Formula:
    return formula._replace(compute=by_step(formula))


#: Nothing here needs the series' past: MASE is scaled by its naive errors, which outputs and targets don't tell.
_FORECASTING = (
    *(forecast(one) for one in _BOTH),
    Formula("r2", flat(tm.r2_score), True),
    forecast(R2)._replace(name="r2_by_step"),
    Formula("pearson", flat(tm.pearson_corrcoef), True),
    forecast(PEARSON)._replace(name="pearson_by_step"),
    Formula("spearman", flat(tm.spearman_corrcoef), True),
    forecast(VARIANCE),
)
_ALIKE = (
    ("rmse", "rmse_per_sample"),
    ("mape", "mape_percent", "wape"),
    ("smape", "smape_percent", "smape_half", "smape_half_percent"),
)


def log_cosh(p: Tensor, t: Tensor) -> Tensor:
    difference = (p - t).abs()
    return difference + F.softplus(-2 * difference) - torch.log(torch.tensor(2.0))


def squares_of_a_sample(p: Tensor, t: Tensor) -> Tensor:
    return (p - t).flatten(1).square().sum(1)


_BY_VALUE = by_name(
    mean_of(name, by_row(error))
    for name, error in (
        ("mse", lambda p, t: F.mse_loss(p, t, reduction="none")),
        ("l1", lambda p, t: F.l1_loss(p, t, reduction="none")),
        ("huber", lambda p, t: F.huber_loss(p, t, reduction="none")),
        ("smooth l1 with beta 0.1", lambda p, t: F.smooth_l1_loss(p, t, reduction="none", beta=0.1)),
        ("half of mse", lambda p, t: F.mse_loss(p, t, reduction="none") / 2),
        ("log_cosh", log_cosh),
        ("poisson nll of logarithms", lambda p, t: F.poisson_nll_loss(p, t, reduction="none")),
        ("msle", log_errors),
    )
)
_LOSSES = {
    **_BY_VALUE,
    "rmse": Formula("rmse", lambda p, t: F.mse_loss(p, t).sqrt(), False),
    "mse, summed over a sample": mean_of("mse, summed over a sample", squares_of_a_sample),
}


def _same(output: Tensor, loss: str | None = None) -> Tensor:
    return output


REGRESSION = Family(
    "regression",
    shaped,
    lambda output, loss=None: output.reshape(len(output), -1),
    answer,
    by_name(_REGRESSION),
    _LOSSES,
    (*_ALIKE, ("r2", "r2_flat"), ("pearson", "pearson_flat")),
)
FORECASTING = Family(
    "forecasting",
    shaped_forecast,
    _same,
    answer_forecast,
    by_name(_FORECASTING),
    _LOSSES,
    (*_ALIKE, ("r2", "r2_by_step"), ("pearson", "pearson_by_step")),
)
