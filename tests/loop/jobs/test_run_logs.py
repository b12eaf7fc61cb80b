from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from progressive_training.loop.errors import UnsafePath
from progressive_training.loop.jobs.logs import error_line, last_traceback, tail
from progressive_training.loop.jobs.runner.capped_log import CappedLog
from progressive_training.loop.text import as_printed


def python(folder: Path, script: str) -> str:
    """What a real Python says to `script`."""
    (folder / "03 평가.py").write_text(script)
    command = [sys.executable, "-X", "faulthandler", "03 평가.py"]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False).stderr


def test_the_tail_is_bounded_begins_with_a_whole_line_and_reads_no_more(tmp_path: Path) -> None:
    log = tmp_path / "긴 log.txt"
    with log.open("wb") as file:
        file.truncate(20 << 30)  # sparse: reading it whole would be noticed
        file.seek(0, os.SEEK_END)
        file.write("\n반쪽 줄\n마지막 줄\n".encode())
    assert tail(log, 20) == "마지막 줄\n"


def test_a_cut_within_one_long_line_leaves_no_half_character(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes("가나다".encode())
    assert tail(tmp_path / "log", 4) == "다"


def test_no_log_yet_is_empty_and_no_plain_file_is_refused(tmp_path: Path) -> None:
    assert tail(tmp_path / "none") == ""
    (tmp_path / "secret").write_text("key")
    (tmp_path / "link").symlink_to(tmp_path / "secret")
    os.mkfifo(tmp_path / "fifo")
    for name in ("link", "fifo"):
        with pytest.raises(UnsafePath, match=name):
            tail(tmp_path / name)


@pytest.mark.parametrize(
    ("raw", "shown"),
    [
        ("\x1b[1;31mred\x1b[0m \x1b]0;title\x07text\x1b[2K", "red text"),
        ("\x1b]8;;http://x\x1b\\link\x1b]8;;\x1b\\", "link"),
        ("\x1b]0;never closed\nnext", "\nnext"),
        ("Epoch 0:  10%\rEpoch 0:  50%\rEpoch 0: 100%\nnext", "Epoch 0: 100%\nnext"),
        ("Epoch 0: 100%\r\r\nnext\r\n", "Epoch 0: 100%\nnext\n"),
        ("50%\r100%\r", "100%"),
        ("a\u200bb\u200dc\u2060d\ufeffe\xadf\u180eg\u3164h\U000e0100i", "abcdefghi"),
        ("a\x00b\x07c\x7fd\u202ee\U000e0041f", "abcdef"),
        ("\ttab stays, 한글 too", "\ttab stays, 한글 too"),
    ],
)
def test_a_log_is_shown_as_a_terminal_leaves_it(raw: str, shown: str) -> None:
    assert as_printed(raw) == shown


def test_invalid_bytes_are_replaced(tmp_path: Path) -> None:
    (tmp_path / "log").write_bytes(b"a\xff\xfeb\n")
    assert tail(tmp_path / "log") == "a\ufffd\ufffdb\n"


def test_of_chained_exceptions_the_last_is_given(tmp_path: Path) -> None:
    said = python(tmp_path, "try:\n    1 / 0\nexcept ZeroDivisionError:\n    raise ValueError('bad\\nshape')")
    trace = last_traceback("Epoch 3\n" + said + "\nbye\n")
    assert trace is not None
    assert trace.startswith("Traceback (most recent call last):\n")
    assert trace.endswith("ValueError: bad\nshape")
    assert "ZeroDivisionError" not in trace
    assert error_line(said) == "ValueError: bad"


def test_a_syntax_error_of_the_script_itself_is_found(tmp_path: Path) -> None:
    said = python(tmp_path, "x = (\n")
    trace = last_traceback(said)
    assert trace is not None
    assert "line 1" in trace
    assert error_line(said) == "SyntaxError: '(' was never closed"


def test_a_crash_of_the_interpreter_is_found_with_its_frames(tmp_path: Path) -> None:
    said = python(tmp_path, "import faulthandler\ndef deep(): faulthandler._sigsegv()\ndeep()")
    trace = last_traceback("Traceback (most recent call last):\n  File\nOldError: x\n\n" + said)
    assert trace is not None
    assert "in deep" in trace
    assert error_line(said) == "Fatal Python error: Segmentation fault"


def test_of_a_workers_error_the_line_is_the_workers_own() -> None:
    log = (
        "Traceback (most recent call last):\n"
        '  File "train.py", line 3, in <module>\n'
        "RuntimeError: Caught ValueError in DataLoader worker process 0.\n"
        "Original Traceback (most recent call last):\n"
        '  File "worker.py", line 9, in loop\n'
        "ValueError: broken image\n"
    )
    trace = last_traceback(log)
    assert trace == log.rstrip("\n")
    assert error_line(log) == "ValueError: broken image"


def test_a_ranks_prefix_and_an_exception_group_are_read_through(tmp_path: Path) -> None:
    ranked = "[rank0]: Traceback (most recent call last):\n[rank0]:   File\n[rank0]: KeyError: 'x'\n[rank1]: other"
    trace = last_traceback(ranked)
    assert trace is not None
    assert "rank1" not in trace
    assert error_line(ranked) == "KeyError: 'x'"
    script = "try:\n    1 / 0\nexcept ZeroDivisionError as e:\n    raise ExceptionGroup('many', [e])"
    assert error_line(python(tmp_path, script)) == "ZeroDivisionError: division by zero"


def test_a_very_long_traceback_keeps_its_beginning_and_its_end(tmp_path: Path) -> None:
    calls = "\n".join(f"def f{n}(): f{n + 1}()" for n in range(100))
    said = python(tmp_path, calls + "\ndef f100(): raise OSError('deep')\nf0()")
    trace = last_traceback(said)
    assert trace is not None
    assert len(trace.split("\n")) == 80
    assert "lines left out" in trace
    assert error_line(said) == "OSError: deep"


def test_without_a_traceback_the_last_line_that_speaks_of_an_error_is_given() -> None:
    assert last_traceback("all is well\n") is None
    assert error_line("all is well\n") is None
    assert error_line("slurmstepd: error: Detected 1 oom_kill\nKilled\ndone\n") == "Killed"


@pytest.mark.parametrize("chunk", [1, 7, 100, 5000])
@pytest.mark.parametrize("width", [10, 3000])
def test_a_capped_log_keeps_its_head_and_its_newest_end(tmp_path: Path, chunk: int, width: int) -> None:
    lines = [f"{number:06d} {'x' * width}\n" for number in range(60_000 // width)]
    data = "".join(lines).encode()
    log = CappedLog(tmp_path / "log", 4096 if width == 10 else 16384)
    for start in range(0, len(data), chunk):
        log.write(data[start : start + chunk])
    log.close()
    text = (tmp_path / "log").read_text()
    assert log.truncated
    assert log.received == len(data)
    assert len(text) <= (4096 if width == 10 else 16384)
    assert text.startswith(lines[0])
    assert text.endswith(lines[-1])
    head, _, rest = text.partition("\n[... ")
    dropped = int(rest.split()[0])
    kept = len(head) + len(rest.partition("...]\n")[2])
    assert dropped + kept == len(data)


def test_a_log_below_its_limit_is_whole(tmp_path: Path) -> None:
    log = CappedLog(tmp_path / "log", 4096)
    log.write(b"x" * 4096)
    log.close()
    assert (tmp_path / "log").read_bytes() == b"x" * 4096
    assert not log.truncated


def test_a_full_disk_loses_output_and_raises_nothing() -> None:
    full = Path("/dev/full")
    if not full.exists():
        pytest.skip("no /dev/full here")
    limit = 1 << 20
    log = CappedLog(full, limit)
    log.write(b"x" * 5000)
    log.close()
    assert log.truncated
