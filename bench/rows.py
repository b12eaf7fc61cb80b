"""What a benchmark says for the table of results: bench/results.md, which `bench/run.py --write` makes."""

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Row(NamedTuple):
    """One line of the table: what was measured, ours, what it is compared with, their ratio, and what it should be."""

    what: str
    ours: str
    beside: str
    ratio: str
    target: str


def add_rows_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--rows", type=Path, metavar="FILE", help="also write the table's rows there, as JSON")


def write_rows(file: Path | None, rows: Sequence[Row]) -> None:
    if file is not None:
        file.write_text(json.dumps([row._asdict() for row in rows], ensure_ascii=False), encoding="utf-8")


def read_rows(file: Path) -> list[Row]:
    """Empty where the program wrote none."""
    if not file.is_file():
        return []
    return [Row(**row) for row in json.loads(file.read_text(encoding="utf-8"))]
