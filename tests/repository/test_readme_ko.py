"""README.ko.md says what README.md says: the same sections, code, links and pictures."""

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ENGLISH, KOREAN = ((ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "README.ko.md"))
_BLOCK = re.compile(r"^```(\w*)\n(.*?)^```", re.MULTILINE | re.DOTALL)


def headings(text: str) -> list[str]:
    return re.findall(r"^(#+) ", _BLOCK.sub("", text), re.MULTILINE)


def code(text: str) -> list[tuple[str, list[str]]]:
    """Each block's language and lines, without comments: those are translated."""
    return [
        (language, [re.sub(r"\s+# .*", "", line).rstrip() for line in block.splitlines()])
        for language, block in _BLOCK.findall(text)
    ]


def links(text: str) -> set[str]:
    return set(re.findall(r"\]\(([^)]+)\)", text)) | set(re.findall(r'src="([^"]+)"', text))


def names(text: str) -> list[str]:
    """What stands in the first cell of each table's row, where it is code."""
    return re.findall(r"^\| (`[^|]+`) \|", text, re.MULTILINE)


def test_the_sections_are_the_same() -> None:
    assert headings(KOREAN) == headings(ENGLISH)


def test_the_code_is_the_same_but_for_its_comments() -> None:
    assert code(KOREAN) == code(ENGLISH)


def test_links_and_pictures_are_the_same() -> None:
    assert links(KOREAN) - {"README.md"} == links(ENGLISH) - {"README.ko.md"}
    assert "](README.ko.md)" in ENGLISH and "](README.md)" in KOREAN


def test_rules_and_tools_are_the_same() -> None:
    assert names(KOREAN) == names(ENGLISH)


def test_figures_are_the_same() -> None:
    figures = re.compile(r"0\.\d{4}|(?<!\d)\d{3}(?!\d)")
    assert sorted(figures.findall(KOREAN)) == sorted(figures.findall(ENGLISH))
