"""What the evaluation's child reads in a checkpoint."""

import importlib.util
from pathlib import Path
from typing import Any

import pytest
import torch

READER = Path(__file__).resolve().parents[3] / "loop/evaluate/user_python/read_checkpoint.py"


@pytest.fixture(scope="module")
def reader() -> Any:
    spec = importlib.util.spec_from_file_location("read_checkpoint", READER)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def saved(path: Path, weights: dict[str, Any], **more: Any) -> Path:
    torch.save({"state_dict": weights, **more}, path)
    return path


def test_the_same_weights_have_the_same_digest_whatever_else_a_checkpoint_holds(reader: Any, tmp_path: Path) -> None:
    weights = {"layer.weight": torch.arange(12.0).reshape(3, 4), "layer.bias": torch.ones(3, dtype=torch.bfloat16)}
    first = saved(tmp_path / "첫 번째.ckpt", weights, epoch=1, callbacks={"best": "Models/Artifacts/v001/best.ckpt"})
    copied = {name: one.clone() for name, one in weights.items()}
    second = saved(tmp_path / "second.ckpt", copied, epoch=2, optimizer_states=[{"step": torch.tensor(7)}])
    assert first.read_bytes() != second.read_bytes()
    assert reader.weights_digest(first) == reader.weights_digest(second)


@pytest.mark.parametrize(
    "other",
    [
        {"w": torch.arange(12.0).reshape(4, 3)},
        {"w": torch.arange(12.0).reshape(3, 4) + 1},
        {"w": torch.arange(12.0).reshape(4, 3).T},
        {"v": torch.arange(12.0).reshape(3, 4)},
        {"w": torch.arange(12.0).reshape(3, 4), "v": torch.ones(1)},
        {"w": torch.arange(12).reshape(3, 4)},
    ],
    ids=["shape", "values", "stride", "name", "one more", "type"],
)
def test_other_weights_have_another_digest(reader: Any, tmp_path: Path, other: dict[str, Any]) -> None:
    first = saved(tmp_path / "a.ckpt", {"w": torch.arange(12.0).reshape(3, 4)})
    assert reader.weights_digest(first) != reader.weights_digest(saved(tmp_path / "b.ckpt", other))


def test_a_checkpoint_without_tensors_has_none(reader: Any, tmp_path: Path) -> None:
    assert reader.weights_digest(saved(tmp_path / "a.ckpt", {})) is None


def disordered(reader: Any, tmp_path: Path, weights: dict[str, Any]) -> dict[str, Any]:
    source, target = saved(tmp_path / "a.ckpt", weights), tmp_path / "b.ckpt"
    assert reader.write_disordered(source, target)
    return torch.load(target)["state_dict"]


def test_weights_in_disorder_keep_variances_positive(reader: Any, tmp_path: Path) -> None:
    weights = {"w": torch.tensor([1.0, -2.0, 3.0]), "bn.running_var": torch.tensor([0.5, 2.0, 4.0])}
    found = disordered(reader, tmp_path, weights)
    assert found["w"].tolist() == [-3.0, 2.0, -1.0]
    assert found["bn.running_var"].tolist() == [4.0, 2.0, 0.5]


def test_weights_that_reversing_leaves_as_they_are_become_others(reader: Any, tmp_path: Path) -> None:
    assert disordered(reader, tmp_path, {"threshold": torch.tensor(0.6)})["threshold"] < 0
