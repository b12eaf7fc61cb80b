"""Hashes of a data set: read once, by turns, and again only where something changed."""

import hashlib
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from progressive_training.loop.errors import StillReading
from progressive_training.loop.store.manifest import BLOCK_BYTES, hashes
from progressive_training.loop.store.tree import Tree

_CACHE = "cache/dataset.json"
Hash = Callable[..., dict[str, str]]


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "내 자료 set"
    folder.mkdir()
    return folder


@pytest.fixture
def found(tmp_path: Path, data: Path) -> Hash:
    """Hashes what lies in the data set now; `seconds` is the turn's length. Each call stands for another process."""

    def call(seconds: float = 60.0) -> dict[str, str]:
        files = sorted((path.name, path) for path in data.iterdir())
        return hashes(Tree(tmp_path), _CACHE, files, what="the data set v1", seconds=seconds)

    return call


def test_a_small_file_has_its_own_hash(data: Path, found: Hash) -> None:
    (data / "train.npz").write_bytes(b"pixels")
    (data / "empty").touch()
    assert found() == {"train.npz": hashlib.sha256(b"pixels").hexdigest(), "empty": hashlib.sha256().hexdigest()}


def test_a_large_file_is_read_by_turns_that_other_processes_go_on_with(data: Path, found: Hash) -> None:
    with (data / "large").open("wb") as file:
        file.truncate(2 * BLOCK_BYTES + 1)  # sparse: nothing on disk
    told: list[str] = []
    for _ in range(2):
        with pytest.raises(StillReading) as reading:
            found(seconds=0.0)
        told.append(reading.value.what)
    assert told == [
        f"the data set v1 is read for its fingerprint, once: {done} of 0.1 GB so far" for done in ("0.1", "0.1")
    ]
    by_turns = found(seconds=0.0)
    (data.parent / _CACHE).unlink()
    assert found() == by_turns


def test_what_was_read_is_not_read_again(data: Path, found: Hash) -> None:
    (data / "train.npz").write_bytes(b"pixels")
    before = found()
    # Another hash in the cache shows that it is believed, and the file isn't opened.
    cache = data.parent / _CACHE
    cache.write_text(cache.read_text().replace(before["train.npz"], "0" * 64))
    assert found() == {"train.npz": "0" * 64}


def test_a_file_whose_name_is_no_text_is_not_read_again_either(data: Path, found: Hash) -> None:
    (data / "caf\udce9.npz").write_bytes(b"pixels")
    before = found()
    cache = data.parent / _CACHE
    cache.write_text(cache.read_text().replace(before["caf\udce9.npz"], "0" * 64))
    assert found() == {"caf\udce9.npz": "0" * 64}


def test_a_changed_file_is_read_again_also_with_its_old_size_and_time(data: Path, found: Hash) -> None:
    file = data / "train.npz"
    file.write_bytes(b"pixels")
    before = file.stat()
    found()
    file.write_bytes(b"PIXELS")
    os.utime(file, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert found() == {"train.npz": hashlib.sha256(b"PIXELS").hexdigest()}


def test_a_file_in_anothers_place_is_read_again(data: Path, found: Hash) -> None:
    (data / "train.npz").write_bytes(b"pixels")
    found()
    (data / "other").write_bytes(b"PIXELS")
    (data / "other").replace(data / "train.npz")
    assert found() == {"train.npz": hashlib.sha256(b"PIXELS").hexdigest()}


@pytest.mark.parametrize("damage", ["", "[]", "{", '{"train.npz": 1}', '{"train.npz": [6, 1, 1]}'])
def test_a_damaged_cache_is_made_anew(data: Path, found: Hash, damage: str) -> None:
    (data / "train.npz").write_bytes(b"pixels")
    right = found()
    (data.parent / _CACHE).write_text(damage)
    assert found() == right
