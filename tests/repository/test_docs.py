"""What the README and the docs say is what the code does."""

import importlib.util
import json
import re
import shlex
import subprocess
from pathlib import Path

import pytest

from progressive_training.loop.rules.reading import parse_rules
from progressive_training.server.cli.main import opened
from progressive_training.server.cli.options import parser

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
PAGES = sorted([*ROOT.glob("*.md"), *ROOT.glob("docs/*.md"), *ROOT.glob("skill/*.md")])


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


def commands(name: str) -> list[list[str]]:
    lines = "\n".join(blocks("bash")).splitlines()
    parts = [shlex.split(line, comments=True) for line in lines]
    return [words[words.index(name) :] for words in parts if name in words]


def tracked() -> list[Path]:
    listed = subprocess.run(["git", "ls-files"], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    return [ROOT / line for line in listed.splitlines()]


def test_the_tool_table_of_the_readme_is_made_from_the_tools() -> None:
    spec = importlib.util.spec_from_file_location("readme", ROOT / "bench" / "readme.py")
    assert spec is not None and spec.loader is not None
    readme = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(readme)
    assert readme.with_table(README) == README, "run: python bench/readme.py"


def test_the_rules_that_the_readme_shows_are_valid_and_know_every_key() -> None:
    shown = [block for block in blocks("json") if "loop_config" in block]
    assert len(shown) == 1
    rules = parse_rules(shown[0].encode(), "README.md")
    assert not rules.model_extra
    assert rules.training_config.model_extra == json.loads(shown[0])["training_config"]


def test_every_rule_that_the_readme_explains_exists() -> None:
    for key in re.findall(r"^\| `(\w+_config)\.(\w+)`", README, re.MULTILINE):
        section, name = key
        rules = parse_rules(b"{}", "defaults")
        assert name in type(getattr(rules, section)).model_fields, f"{section}.{name} is in the README only"


@pytest.mark.parametrize("words", commands("progressive-training"), ids=" ".join)
def test_every_command_line_of_the_readme_is_understood(words: list[str]) -> None:
    assert callable(opened(parser().parse_args(words[1:]).door))


def test_the_make_targets_of_the_readme_exist_and_are_ten_at_most() -> None:
    made = re.findall(r"^([\w-]+):.*##", (ROOT / "Makefile").read_text(), re.MULTILINE)
    named = {word for words in commands("make") for word in words[1:]}
    named |= {word for found in re.findall(r"`make ([a-z -]+)`", README) for word in found.split()}
    assert named and named <= set(made)
    assert len(made) <= 10


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_relative_link_of_the_docs_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\(([^)#\s]+)", page.read_text(encoding="utf-8")):
        if "://" not in target:
            assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_program_and_module_that_the_docs_name_exists(page: Path) -> None:
    for path in re.findall(
        r"`(?:python )?((?:bench|loop|server|tools|prompts|tests|docs)/[\w/.-]+\.\w+)", page.read_text()
    ):
        assert (ROOT / path).exists(), f"{page.name} names {path}"


def test_no_path_of_a_developers_machine_and_no_registry_host_is_committed() -> None:
    forbidden = re.compile(
        rb"/work/(?:main|shared|\.library)|/tmp/v/|/opt/(?:wheels|pypi)|files\.pythonhosted|pypi\.org"
    )
    own = Path(__file__).resolve()
    found = [path for path in tracked() if path.is_file() and path != own and forbidden.search(path.read_bytes())]
    assert not found
