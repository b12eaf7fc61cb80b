"""Draws docs/architecture.svg: the way of the data, Step by Step, over the rooms that all of them use.

    python bench/architecture.py            writes the picture anew
    python bench/architecture.py --check    ends with 1 where the picture isn't what this program draws

What is drawn is the short list below. It is held to the tree: a Step's file must exist, and its tool must import it;
the rooms above and below are read from import-linter's layers in pyproject.toml.
"""

import argparse
import ast
import html
import sys
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PICTURE = ROOT / "docs" / "architecture.svg"
_WIDTH, _HEIGHT = 1098, 540
_BOX, _TALL, _GAP, _LEFT = 190, 84, 29, 16
_ROWS = (150, 320)


@dataclass(frozen=True)
class Stage:
    """A Step, where it is drawn (column, row), the file that does it, and what it leaves."""

    tool: str
    file: str
    leaves: str
    column: int
    row: int


STAGES = (
    Stage("start_loop", "loop/author/start.py", "02_train_v001.py", 0, 0),
    Stage("run_train", "loop/train/training.py", "best.ckpt, metrics.csv", 1, 0),
    Stage("run_eval", "loop/evaluate/evaluation.py", "eval_score.json", 2, 0),
    Stage("write_analysis", "loop/judge/analysis.py", "result-analysis.md", 3, 0),
    Stage("final_report", "loop/report/final.py", "Models/Report/, best bundle", 4, 0),
    Stage("write_action", "loop/author/action.py", "action-extract.md", 2, 1),
    Stage("author_next_version", "loop/author/next_version.py", "02_train_v002.py", 1, 1),
)
# The lowest of the rooms that the Steps are; what lies below it serves them all.
_LOWEST = "train"
_STYLE = """
text { font: 13px sans-serif; fill: #1f2328; text-anchor: middle }
.tool { font-weight: bold }
.file { font: 11px monospace; fill: #0550ae }
.note { font-size: 12px; fill: #59636e }
rect { fill: #f6f8fa; stroke: #8c959f; rx: 6 }
.strip { fill: #eef4ff; stroke: #b6c7e3 }
path { fill: none; stroke: #59636e; stroke-width: 1.6; marker-end: url(#head) }
"""


def layers() -> list[list[str]]:
    """The rooms from the top down, as import-linter holds them; a list of one level's."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    contracts = tomllib.loads(text)["tool"]["importlinter"]["contracts"]
    found = next(each for each in contracts if each["type"] == "layers" and "containers" not in each)["layers"]
    return [[room.strip().removeprefix("progressive_training.") for room in level.split("|")] for level in found]


def require_true() -> None:
    """Raises `SystemExit` for a Step whose file is elsewhere, or isn't what its tool calls."""
    rooms = {room for level in layers() for room in level}
    for stage in STAGES:
        module = stage.file.removesuffix(".py").replace("/", ".")
        if not (ROOT / stage.file).is_file() or module.rpartition(".")[0] not in rooms:
            raise SystemExit(f"{stage.file} is no file in a room of the tree: mend STAGES in bench/architecture.py")
        if module not in imported(ROOT / "tools" / f"{stage.tool}.py"):
            raise SystemExit(f"tools/{stage.tool}.py doesn't import {stage.file}: mend STAGES in bench/architecture.py")


def imported(tool: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(tool.read_text(encoding="utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level == 2:
            found |= {f"{node.module}", *(f"{node.module}.{name.name}" for name in node.names)}
    return found


def picture() -> str:
    return "\n".join(parts()) + "\n"


def parts() -> Iterator[str]:
    yield f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {_WIDTH} {_HEIGHT}" role="img">'
    yield "<title>The way of a version from the user's rules to the report, and the rooms that every Step uses</title>"
    yield f"<style>{_STYLE}</style>"
    yield '<defs><marker id="head" markerWidth="8" markerHeight="8" refX="7" refY="4" orient="auto">'
    yield '<path d="M0,0 L8,4 L0,8 z" style="fill:#59636e;stroke:none;marker-end:none"/></marker></defs>'
    yield f'<rect width="{_WIDTH}" height="{_HEIGHT}" style="fill:#ffffff;stroke:none"/>'
    callers = "server: MCP, command line, dashboard  ·  agents: drive the loop without a person"
    yield from strip(16, callers, "they call one function a Step, in tools/")
    yield from user_files()
    for stage in STAGES:
        yield from box(stage)
    yield from arrows()
    yield from ground()
    yield "</svg>"


def user_files() -> Iterator[str]:
    x = _LEFT + _BOX / 2
    yield text(x, 88, "user_defined_rules.json", "file")
    yield text(x, 104, "02_train_baseline.py, dataset/", "file")
    yield arrow(f"M{x},112 V{_ROWS[0] - 4}")
    x = left(3) + _BOX / 2
    yield text(x, _ROWS[0] - 12, "the agent judges, the server fills the facts", "note")


def box(stage: Stage) -> Iterator[str]:
    x, y = left(stage.column), _ROWS[stage.row]
    yield f'<rect x="{x}" y="{y}" width="{_BOX}" height="{_TALL}"/>'
    yield text(x + _BOX / 2, y + 25, stage.tool, "tool")
    yield text(x + _BOX / 2, y + 46, stage.file, "file")
    yield text(x + _BOX / 2, y + 68, f"→ {stage.leaves}", "note")


def arrows() -> Iterator[str]:
    """Along the upper row, down from the analysis to the one action, and back up to the next training."""
    upper, lower = (row + _TALL / 2 for row in _ROWS)
    for column in range(4):
        yield arrow(f"M{left(column) + _BOX},{upper} H{left(column + 1) - 3}")
    down = left(3) + _BOX / 2
    yield arrow(f"M{down},{_ROWS[0] + _TALL} V{lower} H{left(2) + _BOX + 3}")
    yield text(down + 8, lower + 20, "exactly one action a version", "note")
    yield arrow(f"M{left(2)},{lower} H{left(1) + _BOX + 3}")
    up = left(1) + _BOX / 2
    yield arrow(f"M{up},{_ROWS[1]} V{_ROWS[0] + _TALL + 3}")
    middle = (_ROWS[0] + _TALL + _ROWS[1]) / 2 + 4
    yield text(up + 82, middle, "the next version: one diff", "note")
    yield text(left(4) + _BOX / 2, _ROWS[0] + _TALL + 24, "after the last version", "note")


def ground() -> Iterator[str]:
    """Everything below the Steps' rooms, from the top down."""
    levels = layers()
    below = levels[next(at for at, level in enumerate(levels) if level == [f"loop.{_LOWEST}"]) + 1 :]
    names = " → ".join(" | ".join(room.removeprefix("loop.") for room in level) for level in below)
    yield from strip(_ROWS[1] + _TALL + 32, names, "what every Step uses, in loop/: a room imports those to its right")
    yield text(_WIDTH / 2, _HEIGHT - 22, "prompts: what a model reads  ·  pages: what people read", "note")


def strip(y: float, names: str, says: str) -> Iterator[str]:
    yield f'<rect class="strip" x="{_LEFT}" y="{y}" width="{_WIDTH - 2 * _LEFT}" height="50"/>'
    yield text(_WIDTH / 2, y + 21, names, "tool")
    yield text(_WIDTH / 2, y + 40, says, "note")


def left(column: int) -> int:
    return _LEFT + column * (_BOX + _GAP)


def text(x: float, y: float, words: str, kind: str) -> str:
    return f'<text class="{kind}" x="{x:g}" y="{y:g}">{html.escape(words)}</text>'


def arrow(path: str) -> str:
    return f'<path d="{path}"/>'


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true")
    asked = parser.parse_args()
    require_true()
    if not asked.check:
        PICTURE.write_text(picture(), encoding="utf-8")
    elif not PICTURE.is_file() or PICTURE.read_text(encoding="utf-8") != picture():
        sys.exit("docs/architecture.svg is not what is drawn now: run python bench/architecture.py")


if __name__ == "__main__":
    main()
