"""docs/trust.md says of each attack what the tests show of it."""

from trust_table import DOCUMENT, tables, written


def test_the_documents_tables_are_those_of_the_tests() -> None:
    document = DOCUMENT.read_text(encoding="utf-8")
    assert document == written(document), "run: python tests/attacks/trust_table.py"


def test_there_are_at_least_forty_attacks() -> None:
    assert int(tables().split(" attacks: ")[0]) >= 40
