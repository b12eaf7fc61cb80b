"""What a call costs in a long loop, counted in files opened: it may grow with the versions, and only in proportion."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

_VERSIONS = 60
_TESTS = Path(__file__).resolve().parents[1]
# Files that a call opens for each version that is there: to see that its score and its weights are untouched.
_MOST_A_VERSION = {
    "run_train": 120,
    "run_eval": 60,
    "write_analysis": 60,
    "write_action": 40,
    "author_next_version": 50,
}


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Every call of a loop of 60 versions, and what it cost."""
    command = [sys.executable, "-B", "-m", "support.faults.long_loop", str(tmp_path_factory.mktemp("long") / "p")]
    done = subprocess.run(
        [*command, str(_VERSIONS)],
        cwd=_TESTS,
        env={**os.environ, "PYTHONPATH": str(_TESTS)},
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_long_loop_keeps_no_descriptor_and_little_memory(calls: list[dict[str, Any]]) -> None:
    assert calls[-1]["tool"] == "final_report"
    assert max(call["version"] or 0 for call in calls) == _VERSIONS
    settled = calls[10:]  # what is imported late is there by then
    assert len({call["descriptors"] for call in settled}) == 1
    assert settled[-1]["resident"] - settled[0]["resident"] < 10_000_000


@pytest.mark.parametrize("tool", list(_MOST_A_VERSION))
def test_what_a_step_opens_grows_in_proportion_to_the_versions_at_most(calls: list[dict[str, Any]], tool: str) -> None:
    opened = {call["version"]: call["opened"] for call in calls if call["tool"] == tool}
    early, middle, late = opened[5], opened[30], opened[55]
    assert late - early <= 50 * _MOST_A_VERSION[tool]
    assert late - middle <= 1.2 * (middle - early), "no faster than the number of versions"
