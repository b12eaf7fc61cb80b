"""What was read of a file counts until its status changes, and never for a file that changed a moment ago."""

import os
from pathlib import Path

from progressive_training.loop.store.cache import Known

HERE = Path(__file__)  # a file that has lain there for longer than a moment


def test_what_was_read_is_recalled_while_the_file_is_the_same() -> None:
    known = Known(HERE.parent)
    stamp = known.stamp(HERE.name)
    known.keep(HERE.name, "its value", stamp)
    assert known.recall(HERE.name, str, known.stamp(HERE.name)) == "its value"
    assert known.recall(HERE.name, bytes, stamp) is None, "another kind of value was never read"


def test_a_file_that_changed_or_went_is_read_again(tmp_path: Path) -> None:
    known, old = Known(tmp_path), Known(HERE.parent).stamp(HERE.name)
    (tmp_path / "점수.json").write_text("1")
    known.keep("점수.json", "its value", old)
    assert known.recall("점수.json", str, old) == "its value"
    assert known.recall("점수.json", str, known.stamp("점수.json")) is None
    (tmp_path / "점수.json").unlink()
    assert known.stamp("점수.json") is None
    assert known.recall("점수.json", str, None) is None


def test_another_file_of_the_same_size_and_time_has_another_stamp(tmp_path: Path) -> None:
    known = Known(tmp_path)
    for name in ("a", "b"):
        (tmp_path / name).write_text("1")
        os.utime(tmp_path / name, (1, 1))
    before = known.stamp("a")
    (tmp_path / "b").replace(tmp_path / "a")
    assert known.stamp("a") != before


def test_what_is_kept_briefly_gives_way_to_what_is_kept_so_after_it() -> None:
    known = Known(HERE.parent)
    stamp = known.stamp(HERE.name)
    known.keep("lasting", "its value", stamp)
    for number in range(100):
        known.keep(f"receipts/v{number:03d}", str(number), stamp, briefly=True)
    recalled = [known.recall(f"receipts/v{number:03d}", str, stamp) for number in range(100)]
    assert recalled[-10:] == [str(number) for number in range(90, 100)]
    assert recalled[:10] == [None] * 10
    assert known.recall("lasting", str, stamp) == "its value"


def test_a_young_file_is_not_remembered(tmp_path: Path) -> None:
    known = Known(tmp_path)
    (tmp_path / "a").write_text("1")
    stamp = known.stamp("a")
    known.keep("a", "its value", stamp)
    assert known.recall("a", str, stamp) is None
