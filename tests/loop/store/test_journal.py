"""The journal survives what a crash tears, and the lock lets one writer in at a time."""

import subprocess
import sys
import threading
from pathlib import Path

import pytest

from progressive_training.loop.store import journal, lock
from progressive_training.loop.store.paths import Workspace


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    (tmp_path / "나의 project").mkdir()
    return Workspace(tmp_path / "나의 project")


def path(workspace: Workspace) -> Path:
    return workspace.root / workspace.journal


def test_events_come_back_in_order_with_what_was_said(workspace: Workspace) -> None:
    for number in range(3):
        journal.record(workspace, "trained", f"v00{number + 1}", attempt=number, note="줄\n바꿈 \u202e")
    events = journal.events(workspace)
    assert [(event.seq, event.event, event.version) for event in events] == [
        (1, "trained", "v001"),
        (2, "trained", "v002"),
        (3, "trained", "v003"),
    ]
    assert events[2].detail == {"attempt": 2, "note": "줄\n바꿈 \u202e"}
    assert len(path(workspace).read_text(encoding="utf-8").splitlines()) == 3


@pytest.mark.parametrize("cut", [1, 5, 30])
def test_a_torn_last_line_is_left_out_and_the_next_event_stands_alone(workspace: Workspace, cut: int) -> None:
    journal.record(workspace, "train_started")
    journal.record(workspace, "trained")
    path(workspace).write_bytes(path(workspace).read_bytes()[:-cut])
    journal.record(workspace, "scored")
    names = [event.event for event in journal.events(workspace)]
    # A line that lacks only its line feed is whole.
    assert names == (["train_started", "trained", "scored"] if cut == 1 else ["train_started", "scored"])
    assert [event.seq for event in journal.events(workspace)] == list(range(1, len(names) + 1))


def test_a_line_that_was_edited_does_not_count(workspace: Workspace) -> None:
    _record(workspace, "train_started")
    _record(workspace, "trained")
    _record(workspace, "scored")
    path(workspace).write_text(path(workspace).read_text().replace('"trained"', '"2wo"') + "garbage\n{}\n")
    assert [event.event for event in journal.events(workspace)] == ["train_started", "scored"]
    journal.record(workspace, "analysed")
    assert journal.events(workspace)[-1].seq == 4


def test_of_a_long_journal_only_the_end_is_read(workspace: Workspace) -> None:
    journal.record(workspace, "loop_started")
    line = path(workspace).read_bytes()
    path(workspace).write_bytes(line * 20_000)
    journal.record(workspace, "reported")
    events = journal.events(workspace, most=3)
    assert [event.event for event in events] == ["loop_started", "loop_started", "reported"]


def test_a_second_process_waits_for_the_lock(workspace: Workspace) -> None:
    hold = (
        "import sys; from pathlib import Path\n"
        "from progressive_training.loop.store import journal, lock\n"
        "from progressive_training.loop.store.paths import Workspace\n"
        f"with lock.locked(Workspace(Path({str(workspace.root)!r}))):\n"
        "    print('held', flush=True); sys.stdin.read()\n"
        "    journal.record(Workspace(Path(sys.argv[1])), 'train_started')\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", hold, str(workspace.root)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdin is not None and other.stdout is not None
        assert other.stdout.readline() == b"held\n"
        assert str(other.pid) in (workspace.root / workspace.lock_owner).read_text()
        waiting = threading.Thread(target=lambda: _record(workspace, "trained"))
        waiting.start()
        other.stdin.close()
        waiting.join()
    assert [event.event for event in journal.events(workspace)] == ["train_started", "trained"]


def _record(workspace: Workspace, name: journal.EventName) -> None:
    with lock.locked(workspace):
        journal.record(workspace, name)


def test_the_lock_is_free_again_after_an_error_and_is_never_unlinked(workspace: Workspace) -> None:
    with pytest.raises(ZeroDivisionError), lock.locked(workspace):
        raise ZeroDivisionError
    number = (workspace.root / workspace.lock).stat().st_ino
    with lock.locked(workspace):
        assert (workspace.root / workspace.lock).stat().st_ino == number
    assert (workspace.root / ".progressive-training" / ".gitignore").read_text() == "*\n"
