"""An evaluation's samples.jsonl: the mean of each score, and how many targets differ; runs in the helper alone."""

import hashlib
import json
import math
import os
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from .forms import Refused, parse_json

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# What a file holds has no type before it is looked at.

_MOST_BYTES = 4 << 30
_MOST_LINE, _MOST_LINES = 16 << 20, 2_000_000
_MOST_TARGETS = 100_000


class RefusedLine(Refused):
    def __init__(self, line: int, what: str) -> None:
        super().__init__(what)
        self.line = line


def means(files: Sequence[int]) -> dict[str, Any]:
    """How many lines there are, and the mean of each score that every line has. Refuses an id that comes twice."""
    ids: set[bytes] = set()
    sums: dict[str, list[float]] = {}
    number = 0
    for number, content in _lines(files[0]):
        identity, scores = _sample(number, content)
        ids.add(identity)
        if len(ids) != number:
            raise RefusedLine(number, "this id stands there twice")
        for name, value in scores.items():
            sums.setdefault(name, []).append(value)
    return {
        "count": number,
        "means": {name: math.fsum(values) / number for name, values in sums.items() if len(values) == number},
    }


def _lines(file: int) -> Iterator[tuple[int, Any]]:
    for number, line in enumerate(_raw_lines(file), 1):
        try:
            yield number, parse_json(line, strict=True)
        except (ValueError, RecursionError) as error:
            raise RefusedLine(number, f"is not valid JSON ({error})") from error
        except Refused as error:
            raise RefusedLine(number, str(error)) from error


def _raw_lines(file: int) -> Iterator[bytes]:
    os.lseek(file, 0, os.SEEK_SET)
    left = _MOST_BYTES
    with open(file, "rb", closefd=False) as opened:
        for number, line in enumerate(iter(lambda: opened.readline(_MOST_LINE + 1), b""), 1):
            left -= len(line)
            if len(line) > _MOST_LINE:
                raise RefusedLine(number, f"the line is larger than {_MOST_LINE >> 20} MiB")
            if left < 0 or number > _MOST_LINES:
                raise RefusedLine(number, f"the file has more than {_MOST_LINES:,} lines or 4 GiB")
            yield line


def _sample(number: int, content: Any) -> tuple[bytes, dict[str, float]]:
    if not isinstance(content, dict) or not isinstance(content.get("id"), str):
        raise RefusedLine(number, 'is not an object with an "id" string')
    scores = content.get("scores")
    if not isinstance(scores, dict):
        raise RefusedLine(number, 'has no "scores" object')
    found: dict[str, float] = {}
    for name, value in scores.items():
        wrong = isinstance(value, bool) or not isinstance(value, int | float)
        try:
            found[name] = math.nan if wrong else float(value)
        except OverflowError:  # 400 digits
            found[name] = math.nan
        if not math.isfinite(found[name]):
            raise RefusedLine(number, f"the score {name[:100]!r} is not a finite number")
    # A digest: ids are as long as the script makes them, and there may be millions.
    return hashlib.blake2b(content["id"].encode(errors="surrogatepass"), digest_size=16).digest(), found


def other_targets(files: Sequence[int]) -> tuple[int, int, int]:
    """How many samples of two files have one id and other targets, how many ids both have, and how many one."""
    found, before = _targets(files[0]), _targets(files[1])
    shared = found.keys() & before.keys()
    return sum(found[name] != before[name] for name in shared), len(shared), len(found.keys() ^ before.keys())


def scores_digest(files: Sequence[int]) -> str:
    """A digest of every sample's scores, without what may differ between runs; of a line without any, the line."""
    digest = hashlib.sha256()
    for line in _raw_lines(files[0]):
        try:
            content = json.loads(line)
        except (ValueError, RecursionError):
            digest.update(line)
            continue
        scores = content.get("scores") if isinstance(content, dict) else None
        digest.update(json.dumps(scores, sort_keys=True).encode())
    return digest.hexdigest()


def _targets(file: int) -> dict[str, bytes]:
    """A digest of each sample's target, of as many samples as are read in a moment."""
    found: dict[str, bytes] = {}
    for _, content in islice(_lines(file), _MOST_TARGETS):
        if isinstance(content, dict) and "target" in content:
            text = json.dumps(content["target"], sort_keys=True)
            found[str(content.get("id"))] = hashlib.blake2b(text.encode(), digest_size=8).digest()
    return found
