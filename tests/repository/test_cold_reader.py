"""`python bench/cold_reader.py`: the sheet gives no file away, and guesses are scored by file and by folder."""

import re
import subprocess
import sys
from pathlib import Path

PROGRAM = Path(__file__).resolve().parents[2] / "bench" / "cold_reader.py"


def checkout(tmp_path: Path) -> Path:
    root = tmp_path / "한글 checkout"
    for name, function in (("train/curves", "read"), ("train/resume", "kept"), ("judge/labels", "label")):
        path = root / "loop" / f"{name}.py"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(f'"""The module."""\n\n\ndef {function}():\n' + "    x = 1\n" * 20, encoding="utf-8")
    return root


def said(root: Path, *options: str) -> str:
    command = [sys.executable, str(PROGRAM), "--at", str(root), "--count", "3", *options]
    return subprocess.run(command, capture_output=True, encoding="utf-8", check=True).stdout


def test_the_sheet_shows_the_tree_and_nine_lines_a_function_and_no_docstring_of_a_module(tmp_path: Path) -> None:
    sheet = said(checkout(tmp_path), "--seed", "5")
    assert "loop/train/" in sheet and "curves  resume" in sheet
    assert sorted(re.findall(r"^\[\d\] (\w+)$", sheet, re.MULTILINE)) == ["kept", "label", "read"]
    assert sheet.count("x = 1") == 3 * 8
    assert "The module." not in sheet


def test_guesses_are_scored_by_file_and_by_folder_and_a_missing_one_is_wrong(tmp_path: Path) -> None:
    root = checkout(tmp_path)
    numbers = {name: number for number, name in re.findall(r"^\[(\d)\] (\w+)$", said(root), re.MULTILINE)}
    guesses = tmp_path / "answers.txt"
    guesses.write_text(f"{numbers['read']} loop/train/curves.py\n[{numbers['kept']}] loop/train/curves\n")
    assert said(root, "--check", str(guesses)).splitlines()[-1] == "1 files and 2 folders right of 3"
