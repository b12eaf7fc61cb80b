"""Every requirement has a test, and no test names one that does not exist."""

import ast
from collections.abc import Iterator
from pathlib import Path

from support.requirements import REQUIREMENTS

TESTS = Path(__file__).resolve().parent.parent


def named(source: str) -> Iterator[str]:
    """The IDs in every `pytest.mark.requirement(…)` of a test module."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith("mark.requirement"):
            yield from (str(argument.value) for argument in node.args if isinstance(argument, ast.Constant))


def test_every_requirement_has_a_test_and_no_test_names_an_unknown_one() -> None:
    shown = {name for path in TESTS.rglob("test_*.py") for name in named(path.read_text(encoding="utf-8"))}
    assert shown == REQUIREMENTS.keys()


def test_the_markers_are_found_on_functions_classes_and_modules() -> None:
    source = 'pytestmark = [pytest.mark.requirement("A1")]\n@pytest.mark.requirement("B1", "B2")\ndef test_x(): ...\n'
    assert set(named(source)) == {"A1", "B1", "B2"}
