"""Writes the tables of docs/trust.md from the attacks that the tests register.

python tests/attacks/trust_table.py [--check]
"""

import importlib
import re
import sys
from collections.abc import Sequence
from pathlib import Path

HERE = Path(__file__).resolve().parent
DOCUMENT = HERE.parent.parent / "docs" / "trust.md"
MODULES = (
    *("test_bent_values", "test_bypassing_rules", "test_bypassing_rules_in_runs", "test_more_than_one_action"),
    *("test_faking_scores", "test_scoring_oneself", "test_tampering", "test_paths_and_text"),
)
OPEN, CLOSE = "<!-- attacks: written by tests/attacks/trust_table.py -->", "<!-- /attacks -->"


def tables() -> str:
    """Every chapter's attacks as one Markdown table each."""
    # pytest has imported the test files under these names; run as a script, their folders must be on the path.
    sys.path[:0] = [folder for folder in (str(HERE), str(HERE.parent)) if folder not in sys.path]
    for name in MODULES:
        importlib.import_module(name)
    from support.attacks import ATTACKS

    count = sum(map(len, ATTACKS.values()))
    stopped = sum(one.outcome == "stopped" for attacks in ATTACKS.values() for one in attacks)
    parts = [f"{count} attacks: {stopped} stopped, {count - stopped} detected."]
    for chapter in sorted(ATTACKS, key=_order):
        rows = [(one.title, f"`{one.step}`", one.outcome, one.says) for one in ATTACKS[chapter]]
        parts += [f"### {chapter}", _table(rows)]
    return "\n\n".join(parts)


def _order(chapter: str) -> int:
    return ("The user's rules", "One action", "The score", "Paths and text").index(chapter)


def _table(rows: Sequence[tuple[str, str, str, str]]) -> str:
    lines = ["| attack | at | outcome | what the agent is told there, in part |", "|---|---|---|---|"]
    return "\n".join([*lines, *(f"| {' | '.join(map(_cell, row))} |" for row in rows)])


def _cell(text: str) -> str:
    return re.sub(r"([|*<>])", r"\\\1", " ".join(text.split())) if "`" not in text else text


def written(document: str) -> str:
    """The document with its tables as they ought to be."""
    before, _, rest = document.partition(OPEN)
    _, _, after = rest.partition(CLOSE)
    return f"{before}{OPEN}\n\n{tables()}\n\n{CLOSE}{after}"


def main() -> int:
    before = DOCUMENT.read_text(encoding="utf-8")
    made = written(before)
    if sys.argv[1:] == ["--check"]:
        return int(made != before)
    DOCUMENT.write_text(made, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
