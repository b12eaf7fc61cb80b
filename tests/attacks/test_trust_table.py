"""docs/trust.md says of each attack what the tests show of it."""

import subprocess
import sys

import trust_table


def test_the_documents_tables_are_those_of_the_tests() -> None:
    # In an interpreter of its own: here the order of rows would be that in which pytest has imported the test files.
    checked = subprocess.run([sys.executable, trust_table.__file__, "--check"], check=False)
    assert checked.returncode == 0, "run: python tests/attacks/trust_table.py"


def test_there_are_at_least_forty_attacks() -> None:
    assert int(trust_table.tables().split(" attacks: ")[0]) >= 40
