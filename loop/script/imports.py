"""Which of a project's own files a script imports, found without importing any of them."""

import ast
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from .source import Script, kept_with_script, read_script

_FOREIGN = frozenset({".venv", "venv", "site-packages", "dist-packages", "__pycache__", "node_modules", ".git"})


def local_imports(
    script_path: Path, root: Path, *, ends_at: Callable[[Path], bool] = lambda _: False
) -> tuple[Path, ...]:
    """Every .py file below `root` that the script imports, directly or through others, sorted; itself left out.

    Follows `import`, `from … import` (relative ones and package __init__ files too) and `importlib.import_module` or
    `__import__` of a literal, wherever they stand. Names are looked up beside the script, in `root`, and in folders
    that the script puts on `sys.path` by literals. Never a file that really lies outside `root` or in an
    environment. Where `ends_at` is true of a file, what it imports isn't looked for. Not guaranteed: modules whose
    names are computed, entry points, and files that are only opened.

    Raises: ScriptError when a local module can't be parsed; ProjectError when one can't be read.
    """
    finder = Finder(root, [root])
    home = script_path.parent
    if finder.holds(home):
        finder.bases.insert(0, home)
    seen: dict[Path, Path] = {script_path.resolve(): script_path}
    waiting = [(script_path, _package_of(script_path, finder.bases))]
    while waiting:
        path, package = waiting.pop()
        if ends_at(path):
            continue
        script = read_script(path, path.relative_to(root).as_posix())
        finder.bases += [folder for folder in _path_additions(script, path.parent, root) if finder.holds(folder)]
        for request in _requests(script, package):
            for found in finder.find(request):
                if (real := found.resolve()) not in seen:
                    seen[real] = found
                    waiting.append((found, _package_of(found, finder.bases)))
    return tuple(sorted(path for path in seen.values() if path != script_path))


def code_files(script: str, root: Path, *, ends_at: Callable[[Path], bool] = lambda _: False) -> tuple[str, ...]:
    """All of a script's code as paths below `root`: the script first, then its local modules in order.

    Raises like `local_imports`.
    """
    found = local_imports(root / script, root, ends_at=ends_at)
    return (script, *(path.relative_to(root).as_posix() for path in found))


@dataclass(frozen=True)
class Request:
    """`module` is a dotted absolute name; `names` are what may be submodules of it; `star` asks for its __all__."""

    module: str
    names: tuple[str, ...] = ()
    star: bool = False


@dataclass
class Finder:
    """Looks for modules among the files of a project. `bases` are the folders where names are looked up, in order."""

    root: Path
    bases: list[Path]

    def holds(self, path: Path) -> bool:
        real, root = path.resolve(), self.root.resolve()
        return real.is_relative_to(root) and not _FOREIGN.intersection(real.relative_to(root).parts)

    def find(self, request: Request) -> Iterator[Path]:
        """The files that importing it runs, packages first; nothing for a module of somebody else's."""
        parts = request.module.split(".")
        # Names from import_module("…") may hold anything.
        if any(not part or "/" in part or "\\" in part for part in parts):
            return
        # A folder without __init__ is a namespace package: a module or package further down the path goes before it.
        candidates = [base for base in self.bases if self._module(base / parts[0])]
        candidates += [base for base in self.bases if _is_folder(base / parts[0])]
        if not candidates:
            return
        base = candidates[0]
        for depth in range(1, len(parts) + 1):
            yield from self._module(base.joinpath(*parts[:depth]))
        names = request.names
        if request.star and _is_file(init := base.joinpath(*parts, "__init__.py")) and self.holds(init):
            names = _listed(read_script(init, init.relative_to(self.root).as_posix()).tree)
        for name in names:
            yield from self._module(base.joinpath(*parts) / name)

    def _module(self, stem: Path) -> tuple[Path, ...]:
        """The package or module file of that name, or nothing."""
        for path in (stem / "__init__.py", stem.with_name(f"{stem.name}.py")):
            if _is_file(path) and self.holds(path):
                return (path,)
        return ()


# Kept, here and below: an evaluator of a thousand lines is asked for its imports several times in each Step.
@kept_with_script
def _requests(script: Script, package: str) -> tuple[Request, ...]:
    return tuple(_requests_in(script.tree, package))


def _requests_in(tree: ast.Module, package: str) -> Iterator[Request]:
    for node in ast.walk(tree):
        match node:
            case ast.Import(names=aliases):
                for alias in aliases:
                    yield Request(alias.name)
            case ast.ImportFrom(module=module, names=aliases, level=level):
                names = tuple(alias.name for alias in aliases if alias.name != "*")
                star = len(names) != len(aliases)
                if absolute := _absolute(module or "", level, package):
                    yield Request(absolute, names, star)
                elif level == 0 or module:
                    continue
                else:
                    for name in names:
                        yield Request(name)
            case ast.Call(
                func=ast.Name(id="import_module" | "__import__") | ast.Attribute(attr="import_module"),
                args=[ast.Constant(value=str(dotted)), *_],
            ):
                level = len(dotted) - len(dotted.lstrip("."))
                if absolute := _absolute(dotted.lstrip("."), level, package):
                    yield Request(absolute)
            case _:
                pass


def _absolute(module: str, level: int, package: str) -> str:
    if level == 0:
        return module
    parts = package.split(".") if package else []
    if level - 1 > len(parts):
        return ""
    kept = parts[: len(parts) - (level - 1)]
    return ".".join([*kept, *([module] if module else [])])


def _package_of(path: Path, bases: list[Path]) -> str:
    """The dotted package that a file's relative imports start from, under the nearest base that holds it."""
    folder = path.parent
    relative = [folder.relative_to(base).parts for base in bases if folder.is_relative_to(base)]
    return ".".join(min(relative, key=len)) if relative else ""


def _path_additions(script: Script, home: Path, root: Path) -> Iterator[Path]:
    for text in _path_texts(script):
        yield from (base / text for base in (home, root) if _is_folder(base / text))


@kept_with_script
def _path_texts(script: Script) -> tuple[str, ...]:
    """What the script adds to `sys.path`, as far as that is literal: each part, and all parts together."""
    return tuple(_path_texts_in(script.tree))


def _path_texts_in(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        match node:
            case ast.Call(
                func=ast.Attribute(
                    value=ast.Attribute(value=ast.Name(id="sys"), attr="path"), attr="insert" | "append" | "extend"
                ),
                args=args,
            ):
                words = [item for arg in args for item in ast.walk(arg) if isinstance(item, ast.Constant)]
                words.sort(key=lambda word: (word.lineno, word.col_offset))
                texts = [word.value for word in words if isinstance(word.value, str)]
                yield from dict.fromkeys([*texts, str(Path(*texts))] if texts else [])
            case _:
                pass


def _listed(tree: ast.Module) -> tuple[str, ...]:
    """The literal names of a module's `__all__`."""
    for statement in tree.body:
        match statement:
            case ast.Assign(targets=[ast.Name(id="__all__")], value=ast.List(elts=items) | ast.Tuple(elts=items)):
                values = [item.value for item in items if isinstance(item, ast.Constant)]
                return tuple(value for value in values if isinstance(value, str))
            case _:
                pass
    return ()


def _is_folder(path: Path) -> bool:
    # A name out of a script may be longer than the file system takes, which `is_dir` raises.
    try:
        return path.is_dir()
    except OSError:
        return False


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False
