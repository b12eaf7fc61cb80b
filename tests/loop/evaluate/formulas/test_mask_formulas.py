"""Formulas of segmentation, against scikit-learn on all pixels in a row, and against hand."""

from typing import Any, cast

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import torchmetrics.functional.segmentation as tms
from sklearn import metrics as sk
from torch import Tensor
from torchmetrics.segmentation import MeanIoU

from progressive_training.loop.evaluate.evaluator_parts.formulas import FAMILIES, variants

MASKS = FAMILIES["segmentation"]


def masks(classes: int, count: int = 6, size: int = 8) -> tuple[Tensor, Tensor]:
    """Scores (N, C, H, W) that are right more often than not, of which the last class is rare."""
    random = np.random.default_rng(classes)
    target = torch.from_numpy(random.integers(0, classes, (count, size, size)) * random.integers(0, 2, (count, 1, 1)))
    scores = torch.from_numpy(random.normal(size=(count, classes, size, size))).float()
    return scores + 1.5 * F.one_hot(target, classes).permute(0, 3, 1, 2), target


def test_overlaps_over_the_set_are_those_of_scikit_learn() -> None:
    scores, target = masks(4)
    output, there = MASKS.shaped(scores, target)
    predicted = MASKS.predicted(output)
    p, t = scores.argmax(1).flatten().numpy(), target.flatten().numpy()
    expected = {
        "iou": sk.jaccard_score(t, p, average="macro"),
        "iou_without_background": sk.jaccard_score(t, p, average="macro", labels=[1, 2, 3]),
        "iou_binary": sk.jaccard_score(t == 1, p == 1),
        "iou_micro": sk.jaccard_score(t, p, average="micro"),
        "dice": sk.f1_score(t, p, average="macro"),
        "dice_binary": sk.f1_score(t == 1, p == 1),
        "dice_micro": sk.f1_score(t, p, average="micro"),
        "accuracy": sk.accuracy_score(t, p),
        "mean_accuracy": sk.balanced_accuracy_score(t, p),
        "precision": sk.precision_score(t, p, average="macro"),
        "iou_per_image": np.mean(
            [
                sk.jaccard_score(b.ravel(), a.ravel(), average="macro")
                for a, b in zip(scores.argmax(1).numpy(), target.numpy(), strict=True)
            ]
        ),
    }
    found = {name: float(MASKS.metrics[name].compute(predicted, there)) for name in expected}
    assert found == pytest.approx({name: float(value) for name, value in expected.items()}, abs=1e-9)


def test_overlaps_by_picture_are_those_that_libraries_have() -> None:
    """torchmetrics' own; MONAI's and segmentation-models-pytorch's by hand, since they aren't installed here."""
    scores, target = masks(3)
    scores[0, 2] = -9  # a class that is neither predicted nor there
    target[0].clamp_max_(1)
    output, there = MASKS.shaped(scores, target)
    best = scores.argmax(1)
    predicted = MASKS.predicted(output)
    options: Any = {"num_classes": 3, "input_format": "index"}
    jaccard = cast(Any, sk.jaccard_score)
    dices: list[float] = []
    ious: list[float] = []
    for said, right in zip(best.numpy(), target.numpy(), strict=True):
        values = [sk.f1_score(right.ravel() == one, said.ravel() == one) for one in (1, 2) if (right == one).any()]
        dices += [float(np.mean(values))] if values else []
        ious += [jaccard(right.ravel() == one, said.ravel() == one, zero_division=1.0) for one in range(3)]
    micro = tms.dice_score(best, target, average="micro", **options)
    expected = {
        "dice_per_image": tms.dice_score(best, target, average="macro", **options).mean(),
        "dice_micro_per_image": micro.mean(),
        "iou_per_image": tms.mean_iou(best, target, **options).mean(),
        "iou_pooled": MeanIoU(**options)(best, target),
        "iou_pooled_without_background": MeanIoU(include_background=False, **options)(best, target),
        "dice_per_image_where_there_without_background": np.mean(dices),
        "iou_per_image_absent_is_one": np.mean(ious),
    }
    found = {name: float(MASKS.metrics[name].compute(predicted, there)) for name in expected}
    assert found == pytest.approx({name: float(value) for name, value in expected.items()}, abs=1e-6)


def test_a_class_that_is_neither_predicted_nor_there_isnt_in_the_mean() -> None:
    mask = torch.tensor([[0, 1], [1, 0]])
    predicted = MASKS.predicted(MASKS.shaped(10 * F.one_hot(mask, 5).permute(2, 0, 1)[None].float(), mask[None])[0])
    assert float(MASKS.metrics["iou"].compute(predicted, [mask])) == 1


def test_a_picture_without_any_foreground_is_right_if_none_is_predicted() -> None:
    empty, full = torch.zeros(2, 2, dtype=torch.long), torch.ones(2, 2, dtype=torch.long)
    each = MASKS.metrics["dice_binary_per_image"].each
    assert each is not None
    assert each([empty, full, full], [empty, empty, full]).tolist() == [1, 0, 1]
    with pytest.raises(ValueError, match="background"):
        MASKS.metrics["iou_binary"].compute([empty], [empty])


@pytest.mark.parametrize("void", [255, -1, -100])
def test_pixels_that_are_void_count_for_nothing(void: int) -> None:
    scores, target = masks(3)
    before = MASKS.predicted(MASKS.shaped(scores[:, :, :4], target[:, :4])[0]), list(target[:, :4])
    marked = target.clone()
    marked[:, 4:] = void
    output, there = MASKS.shaped(scores, marked)
    for name in ("iou", "dice_binary_per_image", "accuracy", "mean_accuracy"):
        after = MASKS.metrics[name].compute(MASKS.predicted(output), there)
        assert float(after) == pytest.approx(float(MASKS.metrics[name].compute(*before)))
    expected = F.cross_entropy(scores, torch.where(marked == void, -100, marked))
    assert float(MASKS.losses["cross_entropy"].compute(output, there)) == pytest.approx(float(expected), rel=1e-5)


def test_one_score_a_pixel_is_a_logit_or_a_probability_of_the_foreground() -> None:
    logits = torch.tensor([[[-2.0, 3.0], [0.4, -0.1]]])
    target = torch.tensor([[[0, 255], [255, 0]]], dtype=torch.uint8)
    for output in (logits, logits[:, None], logits.sigmoid()):
        shaped, there = MASKS.shaped(output, target)
        assert MASKS.predicted(shaped)[0].tolist() == [[0, 1], [1, 0]]
        assert there[0].tolist() == [[0, 1], [1, 0]]
    assert MASKS.predicted([torch.tensor([[[0.2, 0.7]]])], "bce_with_logits")[0].tolist() == [[1, 1]]
    assert MASKS.predicted([torch.tensor([[[0.2, 0.7]]])], "bce")[0].tolist() == [[0, 1]]


def test_pictures_may_differ_in_size_and_masks_may_be_one_hot_or_made_already() -> None:
    scores, target = masks(3)
    small = MASKS.shaped([scores[0], scores[1][:, :5]], [target[0], target[1][:5]])
    assert [one.shape for one in small[1]] == [(8, 8), (5, 8)]
    one_hot = MASKS.shaped(scores, F.one_hot(target, 3).permute(0, 3, 1, 2))
    assert all(torch.equal(one, other) for one, other in zip(one_hot[1], target, strict=True))
    made = MASKS.shaped(scores.argmax(1), target[:, None])
    assert torch.equal(MASKS.predicted(made[0])[2], scores.argmax(1)[2])
    assert MASKS.answer(torch.tensor([[0, 1], [1, 1]])) == {"size": [2, 2], "pixels": {"0": 1, "1": 3}}


@pytest.mark.parametrize(
    ("output", "target", "said"),
    [
        (torch.zeros(2, 3, 4, 4), torch.zeros(2, 5, 5), "of one size"),
        (torch.zeros(2, 3, 4, 4), torch.full((2, 4, 4), 7), r"isn't in 0\.\.2"),
        (torch.zeros(2, 3, 4, 4), torch.ones(2, 3, 4, 4), "overlap"),
        (torch.zeros(0, 3, 4, 4), torch.zeros(0, 4, 4), "no samples"),
        (torch.zeros(2, 3), torch.zeros(2), "of one size"),
        (torch.zeros(2, 1, 4, 4), torch.full((2, 4, 4), 0.5), "fractions"),
    ],
)
def test_what_is_no_segmentation_is_refused(output: Any, target: Any, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        MASKS.shaped(output, target)


def test_scores_that_are_no_number_make_no_mask() -> None:
    with pytest.raises(ValueError, match="NaN"):
        MASKS.predicted([torch.full((3, 2, 2), torch.nan)])


def test_losses_are_those_of_torch_and_dice_is_by_hand() -> None:
    scores, target = masks(3)
    output, there = MASKS.shaped(scores, target)
    p, t = scores.softmax(1).flatten(2), F.one_hot(target, 3).permute(0, 3, 1, 2).flatten(2).float()
    by_picture = 1 - ((2 * (p * t).sum(2) + 1) / ((p + t).sum(2) + 1)).mean(1)
    by_batch = 1 - (2 * (p * t).sum((0, 2)) / (p + t).sum((0, 2))).mean()
    cross = F.cross_entropy(scores, target)
    expected = {
        "cross_entropy": cross,
        "dice": by_picture.mean(),
        "dice over the batch": by_batch,
        "cross_entropy + dice": cross + by_picture.mean(),
        "cross_entropy + dice over the batch": cross + by_batch,
    }
    one, fore = MASKS.shaped(scores[:, :1], (target > 0).long())
    q, s = scores[:, 0].sigmoid().flatten(1), (target > 0).flatten(1).float()
    binary = F.binary_cross_entropy(q, s)
    dice = 1 - ((2 * (q * s).sum(1) + 1) / ((q + s).sum(1) + 1)).mean()
    alone = {
        "bce_with_logits": binary,
        "dice": dice,
        "bce_with_logits + dice": binary + dice,
        "bce_with_logits + dice over the batch": binary + 1 - 2 * (q * s).sum() / (q + s).sum(),
    }
    for made, wanted in (((output, there), expected), ((one, fore), alone)):
        found = {name: float(MASKS.losses[name].compute(*made)) for name in wanted}
        assert found == pytest.approx({name: float(value) for name, value in wanted.items()}, rel=1e-5)
    with pytest.raises(ValueError, match="this loss isn't one"):
        MASKS.losses["bce"].compute(output, there)


def test_what_each_picture_has_is_what_the_whole_has() -> None:
    output, there = MASKS.shaped(*masks(3))
    predicted = MASKS.predicted(output)
    for formulas, made in ((MASKS.metrics, predicted), (MASKS.losses, output)):
        for one in formulas.values():
            if one.each is not None and not one.name.startswith("bce"):
                assert float(one.each(made, there).mean()) == pytest.approx(float(one.compute(made, there))), one.name
    terms = MASKS.metrics["accuracy"].terms
    assert terms is not None and terms(predicted, there)["length"] == [64] * 6


def test_what_a_script_may_mean_by_iou_has_the_mean_over_classes_first() -> None:
    names = [one.name for one in variants(MASKS, "val_mIoU")]
    assert names[:3] == ["iou", "iou_binary", "iou_without_background"]
    assert variants(MASKS, "dice_score")[0].name == "dice" and variants(MASKS, "pixel_acc")[0].name == "accuracy"
