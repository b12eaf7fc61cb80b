"""What a call costs in a long loop, counted in files opened: no more than in a short one."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.whole(shown_by="tests/loop/store/test_cache.py")  # what keeps a long loop cheap
_VERSIONS = 40
_TESTS = Path(__file__).resolve().parents[1]
_STEPS = (
    "next_step",
    "run_train",
    "run_train, collected",
    "run_eval",
    "run_eval, collected",
    "write_analysis",
    "write_action",
    "author_next_version",
)


@pytest.fixture(scope="module")
def calls(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """Every call of a loop of 40 versions with real jobs in the sandbox, and what it cost."""
    command = [sys.executable, "-B", "-m", "support.faults.long_loop", str(tmp_path_factory.mktemp("long") / "p")]
    done = subprocess.run(
        [*command, str(_VERSIONS), "local"],
        cwd=_TESTS,
        env={**os.environ, "PYTHONPATH": str(_TESTS)},
        stdout=subprocess.PIPE,
        encoding="utf-8",
        check=True,
    )
    return [json.loads(line) for line in done.stdout.splitlines()]


def test_a_long_loop_keeps_no_descriptor_and_little_memory(calls: list[dict[str, Any]]) -> None:
    assert [call["tool"] for call in calls[-2:]] == ["final_report", "next_step"]
    assert max(call["version"] or 0 for call in calls) == _VERSIONS
    # Each Step imports its part of the loop at its first call, and the few scripts that are kept parsed are there after
    # some versions: from then on there is room for 10 MB in a thousand, and for what an allocator asks for at a time.
    settled = [call for call in calls[:-2] if call["version"] and call["version"] > 10]
    assert len({call["descriptors"] for call in settled}) == 1
    assert settled[-1]["resident"] - settled[0]["resident"] < 3_000_000


@pytest.mark.parametrize("tool", _STEPS)
def test_what_a_step_opens_does_not_grow_with_the_versions(calls: list[dict[str, Any]], tool: str) -> None:
    opened = {call["version"]: call["opened"] for call in calls if call["tool"] == tool and call["version"]}
    # The youngest records are read each time, so that the number goes up and down with the machine's pace.
    assert min(opened[number] for number in range(34, 40)) <= 1.5 * max(opened[number] for number in range(4, 10))
