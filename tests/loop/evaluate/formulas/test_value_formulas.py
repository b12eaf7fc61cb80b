"""Formulas of regression and forecasting, against scikit-learn, scipy and hand."""

import math
from typing import Any

import numpy as np
import pytest
import torch
from scipy import stats
from sklearn import metrics as sk
from torch import Tensor

from progressive_training.loop.evaluate.evaluator_parts.formulas import FAMILIES, formula

VALUES, SERIES = FAMILIES["regression"], FAMILIES["forecasting"]


def values(*shape: int) -> tuple[Tensor, Tensor]:
    random = np.random.default_rng(len(shape))
    target = random.gamma(2, size=shape)
    return torch.from_numpy(target * random.normal(1, 0.2, size=shape)).float(), torch.from_numpy(target).float()


@pytest.mark.parametrize("family", [VALUES, SERIES])
@pytest.mark.parametrize("shape", [(80,), (80, 1), (80, 3)])
def test_metrics_are_those_of_scikit_learn(family: Any, shape: tuple[int, ...]) -> None:
    output, target = family.shaped(*values(*shape))
    p, t = (one.reshape(80, -1).double().numpy() for one in (output, target))
    both, total = np.abs(p - t), np.abs(t)
    expected = {
        "mae": sk.mean_absolute_error(t, p),
        "mse": sk.mean_squared_error(t, p),
        "rmse": math.sqrt(sk.mean_squared_error(t, p)),
        "rmse_per_sample": np.sqrt(((p - t) ** 2).mean(1)).mean(),
        "mape": sk.mean_absolute_percentage_error(t, p),
        "mape_percent": 100 * sk.mean_absolute_percentage_error(t, p),
        "smape": (2 * both / (np.abs(p) + total)).mean(),
        "smape_half_percent": 100 * (both / (np.abs(p) + total)).mean(),
        "wape": both.sum() / total.sum(),
        "msle": sk.mean_squared_log_error(t, p),
        "rmsle": sk.root_mean_squared_log_error(t.ravel(), p.ravel()),
        "median_error": np.median(both),
        "max_error": both.max(),
        "explained_variance": sk.explained_variance_score(t, p),
        "r2" if family is VALUES else "r2_by_step": sk.r2_score(t, p),
        "r2_flat" if family is VALUES else "r2": sk.r2_score(t.ravel(), p.ravel()),
        "pearson_flat" if family is VALUES else "pearson": np.corrcoef(t.ravel(), p.ravel())[0, 1],
    }
    if shape != (80, 3) or family is SERIES:
        expected["spearman"] = np.corrcoef(stats.rankdata(t), stats.rankdata(p))[0, 1]
    found = {name: float(family.metrics[name].compute(output, target)) for name in expected}
    assert found == pytest.approx({name: float(value) for name, value in expected.items()}, rel=1e-4)


def test_concordance_is_lins_by_hand() -> None:
    p, t = values(50)
    x, y = p.double().numpy(), t.double().numpy()
    by_hand = 2 * np.cov(x, y, bias=True)[0, 1] / (x.var() + y.var() + (x.mean() - y.mean()) ** 2)
    assert float(VALUES.metrics["concordance"].compute(*VALUES.shaped(p, t))) == pytest.approx(by_hand, rel=1e-4)


@pytest.mark.parametrize("family", [VALUES, SERIES])
def test_what_each_sample_has_is_what_the_whole_has(family: Any) -> None:
    output, target = family.shaped(*values(40, 5))
    for one in (*family.metrics.values(), *family.losses.values()):
        if one.each is not None:
            each = one.each(family.predicted(output), target)
            assert each.shape == (40,)
            assert float(each.mean()) == pytest.approx(float(one.compute(output, target)), rel=1e-4), one.name


def test_losses_are_those_of_torch() -> None:
    p, t = VALUES.shaped(*values(30, 2))
    for name, loss in (
        ("mse", torch.nn.MSELoss()),
        ("l1", torch.nn.L1Loss()),
        ("huber", torch.nn.SmoothL1Loss()),
        ("smooth l1 with beta 0.1", torch.nn.SmoothL1Loss(beta=0.1)),
        ("poisson nll of logarithms", torch.nn.PoissonNLLLoss()),
    ):
        assert float(VALUES.losses[name].compute(p, t)) == pytest.approx(float(loss(p, t)), rel=1e-5)
    by_hand = (p - t).cosh().log().mean()
    assert float(VALUES.losses["log_cosh"].compute(p, t)) == pytest.approx(float(by_hand), rel=1e-4)


def test_a_prediction_that_is_no_number_gives_none() -> None:
    p, t = VALUES.shaped(*values(30, 2))
    p[3, 1] = torch.nan
    assert all(math.isnan(float(one.compute(p, t))) for one in VALUES.metrics.values())


def test_one_output_is_a_number_and_several_are_a_list() -> None:
    assert VALUES.answer(torch.tensor([0.5])) == 0.5 and VALUES.answer(torch.tensor([0.5, 2])) == [0.5, 2]
    assert SERIES.answer(torch.tensor([[0.5], [2]])) == [0.5, 2]


def test_forecasts_come_with_or_without_a_last_dimension_and_channels_first() -> None:
    target = torch.arange(12.0).reshape(2, 6)
    for output in (target, target[:, :, None], target[:, None, :]):
        shaped, right = SERIES.shaped(output, target)
        assert shaped.shape == (2, 6, 1) and torch.equal(shaped, right)


@pytest.mark.parametrize("family", [VALUES, SERIES])
def test_other_sizes_are_refused(family: Any) -> None:
    with pytest.raises(ValueError, match="differ in size"):
        family.shaped(torch.zeros(4, 2), torch.zeros(4))
    with pytest.raises(ValueError, match="no samples"):
        family.shaped(torch.zeros(0, 2), torch.zeros(0, 2))
    with pytest.raises(ValueError, match="one row for each of 4"):
        family.shaped(torch.zeros(2, 2), torch.zeros(4))


def test_steps_and_channels_that_are_swapped_are_refused() -> None:
    with pytest.raises(ValueError, match="differ in their steps"):
        SERIES.shaped(torch.zeros(4, 2, 6), torch.zeros(4, 6, 2))


def test_a_scaled_error_isnt_told_without_the_series_past() -> None:
    assert formula(SERIES, "mase") is None
