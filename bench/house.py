"""Whether a reader finds their way: entries a folder, who takes (project, cur), imports inside functions, layers.

    python bench/house.py [--at CHECKOUT] [--list] [--json]

What is counted, in our packages (agents, loop, pages, prompts, server, tools; a checkout may lack some):

entries     files and folders that lie in a package, and in a folder of templates and the like; __init__.py, py.typed
            and caches left out, __main__.py counted: a reader meets it
(project, cur)  functions, inner ones and methods too, with parameters of both names
own imports inside functions    statements that import a module of ours. `if TYPE_CHECKING:` at module level isn't
            inside a function. The first count, 88, took a statement once for each function around it: so does the
            figure in brackets.
            Those of the recorder are counted apart: it runs in the user's interpreter, in each Python that a job
            starts, and reads only what this process needs; a server never imports it.
lines       of Python files, blank lines and comments too
rooms       a package at the top, and each module or package that lies in loop/ · an arrow: a room imports another, for
            types too · arrows back: as few as must go until no circle of rooms is left; then the same for what lies
            in each single package
contracts   import-linter's, as that checkout's pyproject.toml has them

What is true of a checkout depends on its files alone: nothing of it is imported. Ends with 0 whatever it finds.
"""

import argparse
import ast
import json
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import grimp

ROOT = Path(__file__).resolve().parent.parent
TOP = ("agents", "loop", "pages", "prompts", "server", "tools")
_NAME = "progressive_training"
_UNSEEN = {"__init__.py", "py.typed", "__pycache__"}
# tests/repository/test_house.py holds those that are reached.
LIMITS = {"entries": 14, "project_cur": 10, "lazy": 15, "lazy_in_recorder": 6, "lines": 27_000}
_RECORDER = "loop/record/recorder/"
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Lazy:
    """An import of ours inside `depth` functions."""

    file: str
    line: int
    statement: str
    depth: int


@dataclass(frozen=True)
class Function:
    file: str
    line: int
    name: str


@dataclass(frozen=True)
class House:
    """What was counted; paths are relative to the checkout."""

    entries: dict[str, int]
    entries_elsewhere: dict[str, int]
    project_cur: tuple[Function, ...]
    lazy: tuple[Lazy, ...]
    lazy_in_recorder: tuple[Lazy, ...]
    lines: dict[str, int]
    files: int
    rooms: int
    arrows: int
    arrows_back: tuple[str, ...]
    arrows_back_inside: tuple[str, ...]
    contracts: dict[str, bool]


def measure(root: Path) -> House:
    """Raises `SyntaxError` for a file that isn't Python, and what grimp raises for imports that it can't follow."""
    tops = [name for name in TOP if (root / name).is_dir()]
    sources = [path for name in tops for path in sorted((root / name).rglob("*.py"))]
    trees = {path: ast.parse(path.read_bytes()) for path in sources}
    graph = import_graph(root, tops)
    rooms = room_graph(graph)
    lazy = [found for path, tree in trees.items() for found in lazy_imports(tree, path, root)]
    # loop/__init__.py imports nothing and is no room.
    names = {module for module in rooms.modules if module not in ("rooms", "rooms.loop")}
    return House(
        entries=entries(root, tops, packages=True),
        entries_elsewhere=entries(root, tops, packages=False),
        project_cur=tuple(found for path, tree in trees.items() for found in takes_both(tree, shown(path, root))),
        lazy=tuple(each for each in lazy if not each.file.startswith(_RECORDER)),
        lazy_in_recorder=tuple(each for each in lazy if each.file.startswith(_RECORDER)),
        lines=lines(sources, root),
        files=len(sources),
        rooms=len(names),
        arrows=rooms.count_imports(),
        arrows_back=breakers(rooms, "rooms"),
        arrows_back_inside=tuple(back for package in packages(graph) for back in breakers(graph, package)),
        contracts=contracts(root),
    )


def shown(path: Path, root: Path) -> str:
    return path.relative_to(root).as_posix()


def entries(root: Path, tops: Iterable[str], *, packages: bool) -> dict[str, int]:
    """How many entries each package has, or each other folder, most first."""
    counted: dict[str, int] = {}
    for name in tops:
        for folder, folders, files in os.walk(root / name):
            folders[:] = [each for each in folders if each not in _UNSEEN]
            if ("__init__.py" in files) == packages:
                counted[shown(Path(folder), root)] = len(folders) + sum(file not in _UNSEEN for file in files)
    return dict(sorted(counted.items(), key=lambda item: (-item[1], item[0])))


def takes_both(tree: ast.Module, file: str) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, _Function):
            parameters = {each.arg for each in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)}
            if {"project", "cur"} <= parameters:
                yield Function(file, node.lineno, node.name)


def lazy_imports(tree: ast.Module, path: Path, root: Path) -> Iterator[Lazy]:
    def below(node: ast.AST, depth: int) -> Iterator[Lazy]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import | ast.ImportFrom) and depth and is_ours(child):
                yield Lazy(shown(path, root), child.lineno, ast.unparse(child), depth)
            yield from below(child, depth + isinstance(child, _Function))

    return below(tree, 0)


def is_ours(node: ast.Import | ast.ImportFrom) -> bool:
    if isinstance(node, ast.ImportFrom):
        return node.level > 0 or (node.module or "").partition(".")[0] == _NAME
    return any(each.name.partition(".")[0] == _NAME for each in node.names)


def lines(sources: Iterable[Path], root: Path) -> dict[str, int]:
    """Lines a package: the top ones, and those that lie in loop/ (its loose files together, as `loop`)."""
    counted: Counter[str] = Counter()
    for path in sources:
        inner = shown(path.parent, root).split("/")
        package = "/".join(inner[:2] if inner[0] == "loop" else inner[:1])
        counted[package] += len(path.read_bytes().splitlines())
    return dict(sorted(counted.items()))


def import_graph(root: Path, tops: Iterable[str]) -> grimp.ImportGraph:
    # .links holds the checkout's packages under their common name; first, so that they hide the installed ones. That
    # works in a process that has imported none of them: the tests call this program instead of importing it.
    sys.path.insert(0, str(root / ".links"))
    try:
        return grimp.build_graph(*(f"{_NAME}.{name}" for name in tops), cache_dir=None)
    finally:
        sys.path.remove(str(root / ".links"))


def room(module: str) -> str:
    """The room that a module lies in, as a name in `room_graph`."""
    parts = module.split(".")[1:3]
    return "rooms." + "_".join(parts if parts[0] == "loop" else parts[:1])


def room_graph(graph: grimp.ImportGraph) -> grimp.ImportGraph:
    """The rooms as the modules of one package, so that grimp can say what is in their circles."""
    rooms = grimp.ImportGraph()
    rooms.add_module("rooms")
    for module in graph.modules:
        rooms.add_module(room(module))
    for module in graph.modules:
        for other in graph.find_modules_directly_imported_by(module):
            if room(module) != room(other):
                rooms.add_import(importer=room(module), imported=room(other))
    return rooms


def packages(graph: grimp.ImportGraph) -> list[str]:
    """Packages in whose insides there can be a circle; loop/ itself is what `room_graph` shows."""
    return sorted(
        module for module in graph.modules if module != f"{_NAME}.loop" and len(graph.find_children(module)) > 1
    )


def breakers(graph: grimp.ImportGraph, package: str) -> tuple[str, ...]:
    found = graph.nominate_cycle_breakers(package)
    return tuple(sorted(f"{plain(importer)} -> {plain(imported)}" for importer, imported in found))


def plain(module: str) -> str:
    return module.removeprefix("rooms.").removeprefix(f"{_NAME}.").replace("loop_", "loop.")


def contracts(root: Path) -> dict[str, bool]:
    """Each contract's name and whether it is kept. Raises `SystemExit` with what the linter says if it can't tell."""
    command = [sys.executable, "-c", "from importlinter.cli import lint_imports_command as lint; lint()", "--no-cache"]
    env = {**os.environ, "PYTHONPATH": str(root / ".links"), "COLUMNS": "400", "NO_COLOR": "1"}
    done = subprocess.run(command, cwd=root, env=env, capture_output=True, encoding="utf-8", check=False)
    said = re.findall(r"^(.+) (KEPT|BROKEN)\b.*$", done.stdout, re.MULTILINE)
    if not said:
        raise SystemExit(f"import-linter gave no result in {root}:\n{done.stdout[-2000:]}{done.stderr[-2000:]}")
    return {name: word == "KEPT" for name, word in said}


def report(house: House, listed: bool) -> Iterator[str]:
    yield from figure("most entries of a package", max(house.entries.values()), LIMITS["entries"])
    yield from (f"    {count:3}  {folder}/" for folder, count in house.entries.items() if count > LIMITS["entries"])
    yield from figure("most entries of a folder of templates", max(house.entries_elsewhere.values(), default=0))
    yield from figure("functions that take (project, cur)", len(house.project_cur), LIMITS["project_cur"])
    yield from by_file(house.project_cur) if listed else ()
    yield from figure("own imports inside functions", len(house.lazy), LIMITS["lazy"])
    yield f"    (inner functions' counted twice: {sum(each.depth for each in house.lazy)})"
    yield from by_file(house.lazy) if listed else ()
    yield from figure("the recorder's", len(house.lazy_in_recorder), LIMITS["lazy_in_recorder"])
    yield from by_file(house.lazy_in_recorder) if listed else ()
    yield from figure(f"lines of Python in {house.files} files", sum(house.lines.values()), LIMITS["lines"])
    yield from (f"    {count:6,}  {package}" for package, count in house.lines.items())
    yield from figure("rooms", house.rooms)
    yield from figure("arrows between rooms", house.arrows)
    yield from figure("arrows back between rooms", len(house.arrows_back), 0)
    yield from (f"    {arrow}" for arrow in house.arrows_back)
    yield from figure("imports that close a circle in a package", len(house.arrows_back_inside), 0)
    yield from (f"    {arrow}" for arrow in house.arrows_back_inside)
    yield from figure("contracts broken", sum(not kept for kept in house.contracts.values()), 0)
    yield from (f"    {'kept  ' if kept else 'BROKEN'}  {name}"[:80] for name, kept in house.contracts.items())


def figure(what: str, count: int, limit: int | None = None) -> Iterator[str]:
    wanted = "" if limit is None else f"at most {limit:,}{'' if count <= limit else '  ABOVE'}"
    yield f"{what:<44}{count:>8,}   {wanted}".rstrip()


def by_file(found: Sequence[Lazy | Function]) -> Iterator[str]:
    for each in found:
        what = each.name if isinstance(each, Function) else each.statement
        where = f"    {each.file}:{each.line}  "
        yield f"{where}{what}" if len(where) + len(what) <= 80 else f"{where}{what}"[:79] + "…"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--at", type=Path, default=ROOT, metavar="CHECKOUT", help="another checkout of this project")
    parser.add_argument("--list", action="store_true", help="name the functions and imports that are counted")
    parser.add_argument("--json", action="store_true", help="everything, names included, as JSON")
    asked = parser.parse_args()
    house = measure(asked.at.resolve())
    print(
        json.dumps({"limits": LIMITS, **asdict(house)}, indent=1)
        if asked.json
        else "\n".join(report(house, asked.list))
    )


if __name__ == "__main__":
    main()
