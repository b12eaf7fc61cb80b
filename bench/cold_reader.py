"""Can somebody who has seen no code say where a function lies? Draws functions, and scores the guesses.

    python bench/cold_reader.py --seed 7 > sheet.txt                    the tree, and 40 functions without their files
    python bench/cold_reader.py --seed 7 --check answers.txt            how many files and folders were guessed

The sheet is all that the reader gets: names of folders and files, and of each function its name and first nine lines.
Answers are lines of a number and a path, as `12 loop/train/curves.py`; one that is missing counts as wrong. The same
seed draws the same functions of the same checkout only: check against the commit that the sheet was made of. `--at`
takes another checkout. Functions are drawn alike, long or short, methods too; inner ones and __dunders__ are left out.
"""

import argparse
import ast
import random
import re
import textwrap
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
TOP = ("agents", "loop", "pages", "prompts", "server", "tools")
_SHOWN_LINES = 9


@dataclass(frozen=True)
class Drawn:
    file: str
    name: str
    lines: str

    @property
    def folder(self) -> str:
        return self.file.rpartition("/")[0]


def files(root: Path) -> list[Path]:
    return sorted(path for top in TOP for path in (root / top).rglob("*.py"))


def functions(root: Path) -> Iterator[Drawn]:
    for path in files(root):
        text = path.read_text(encoding="utf-8")
        for name, node in named(ast.parse(text)):
            lines = text.splitlines()[node.lineno - 1 : node.end_lineno][:_SHOWN_LINES]
            yield Drawn(path.relative_to(root).as_posix(), name, textwrap.dedent("\n".join(lines)))


def named(tree: ast.Module) -> Iterator[tuple[str, ast.FunctionDef | ast.AsyncFunctionDef]]:
    """The functions of a module and the methods of its classes."""
    for node in tree.body:
        inner = node.body if isinstance(node, ast.ClassDef) else [node]
        owner = f"{node.name}." if isinstance(node, ast.ClassDef) else ""
        for each in inner:
            if isinstance(each, ast.FunctionDef | ast.AsyncFunctionDef) and not each.name.startswith("__"):
                yield f"{owner}{each.name}", each


def draw(root: Path, seed: int, count: int) -> list[Drawn]:
    found = list(functions(root))
    return random.Random(seed).sample(found, min(count, len(found)))


def tree(root: Path) -> Iterator[str]:
    """Folders and names of files, a line a folder."""
    names: dict[str, list[str]] = {}
    for path in files(root):
        if path.name != "__init__.py":
            names.setdefault(path.parent.relative_to(root).as_posix(), []).append(path.stem)
    for folder, stems in names.items():
        yield textwrap.fill(f"{folder + '/':<28} {'  '.join(stems)}", 80, subsequent_indent=" " * 29)


def sheet(root: Path, drawn: Sequence[Drawn]) -> Iterator[str]:
    yield "In which file of this tree does each function lie? Answer with lines of a number and a path.\n"
    yield from tree(root)
    for number, one in enumerate(drawn, 1):
        yield f"\n[{number}] {one.name}\n{textwrap.indent(one.lines, '    ')}"


def answers(text: str) -> dict[int, str]:
    """Raises `SystemExit` for a line that is no answer."""
    found: dict[int, str] = {}
    for line in filter(None, map(str.strip, text.splitlines())):
        match = re.fullmatch(r"\[?(\d+)[\]:.)]*\s+(\S+)", line)
        if match is None:
            raise SystemExit(f"{line!r} is no answer: write a number and a path, as `12 loop/train/curves.py`")
        path = match[2].removeprefix("./")
        found[int(match[1])] = path if path.endswith(".py") else f"{path}.py"
    return found


def score(drawn: Sequence[Drawn], guessed: Mapping[int, str]) -> Iterator[str]:
    in_file = in_folder = 0
    for number, one in enumerate(drawn, 1):
        guess = guessed.get(number, "nothing.py")
        in_file += guess == one.file
        in_folder += guess.rpartition("/")[0] == one.folder
        if guess != one.file:
            right = "folder right" if guess.rpartition("/")[0] == one.folder else "folder wrong"
            yield f"[{number}] {one.name}: {one.file}, guessed {guess} ({right})"
    yield f"{in_file} files and {in_folder} folders right of {len(drawn)}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seed", type=int, default=0, help="another one each time that somebody reads (default 0)")
    parser.add_argument("--count", type=int, default=40)
    parser.add_argument("--at", type=Path, default=ROOT, metavar="CHECKOUT")
    parser.add_argument("--check", type=Path, metavar="ANSWERS")
    asked = parser.parse_args()
    root = asked.at.resolve()
    drawn = draw(root, asked.seed, asked.count)
    if asked.check is None:
        print("\n".join(sheet(root, drawn)))
    else:
        print("\n".join(score(drawn, answers(asked.check.read_text(encoding="utf-8")))))


if __name__ == "__main__":
    main()
