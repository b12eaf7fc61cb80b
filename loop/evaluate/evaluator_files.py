"""The loop's own evaluator as files of the project: 03_eval.py, and the folder of its machinery beside it."""

import ast
import contextlib
import hashlib
import marshal
from collections.abc import Iterator
from functools import lru_cache
from importlib.util import MAGIC_NUMBER, cache_from_source, source_hash
from pathlib import Path

from ..project.project import Project
from ..store import journal
from ..store.paths import EVAL_SCRIPT, EVALUATOR_PARTS
from ..store.tree import Tree

_HERE = Path(__file__).resolve().parent / EVALUATOR_PARTS


def parts() -> Iterator[tuple[str, bytes]]:
    """The machinery's files, by their path below the folder that 03_eval.py lies in."""
    for path in sorted(_HERE.rglob("*.py")):
        yield f"{EVALUATOR_PARTS}/{path.relative_to(_HERE).as_posix()}", path.read_bytes()


def write_parts(tree: Tree, folder: str = "") -> None:
    """Puts the machinery beside a 03_eval.py in `folder`, in place of what was there."""
    beside = f"{folder}/" if folder else ""
    tree.remove(f"{beside}{EVALUATOR_PARTS}")
    for name, data in parts():
        tree.write(f"{beside}{name}", data)


def compile_parts(tree: Tree) -> None:
    """Puts the machinery compiled beside its locked sources, and leaves there no compiled file of anybody else's.

    It is for an interpreter of this one's version; any other compiles the sources itself, each time.
    """
    folders = [EVALUATOR_PARTS]
    for folder in folders:
        made: dict[str, bytes] = {}
        for name in tree.names(folder):
            place = f"{folder}/{name}"
            if name.endswith(".py"):
                made[Path(cache_from_source(name)).name] = _compiled(str(tree.path(place)), tree.read(place))
            elif name != "__pycache__" and tree.kind(place) == "folder":
                folders.append(place)
        cache = f"{folder}/__pycache__"
        if _held(tree, cache) != made:
            tree.remove(cache)
            for name, data in made.items():
                tree.write(f"{cache}/{name}", data, durable=False)


def _held(tree: Tree, folder: str) -> dict[str, bytes] | None:
    """What lies there; None where that isn't files alone."""
    if tree.kind(folder) != "folder":
        return None
    names = tree.names(folder)
    if any(tree.kind(f"{folder}/{name}") != "file" for name in names):
        return None
    return {name: tree.read(f"{folder}/{name}") for name in names}


@lru_cache(maxsize=256)
def _compiled(path: str, source: bytes) -> bytes:
    """A compiled module as Python keeps it, good for this very source (PEP 552)."""
    code = compile(source, path, "exec", dont_inherit=True)
    return MAGIC_NUMBER + (3).to_bytes(4, "little") + source_hash(source) + marshal.dumps(code)


def shape_of(source: str) -> str | None:
    """A digest of a script's code without the values that it states at its top; None for what is no Python."""
    try:
        tree = ast.parse(source)
    except (SyntaxError, ValueError):
        return None
    for one in tree.body:
        if isinstance(one, ast.Assign) and all(isinstance(name, ast.Name) for name in one.targets):
            with contextlib.suppress(ValueError, TypeError):
                ast.literal_eval(one.value)
                one.value = ast.Constant(None)
    return hashlib.sha256(ast.dump(tree).encode()).hexdigest()


def is_the_loops_own(project: Project, source: str) -> bool:
    """Whether a 03_eval.py is one that the loop wrote, but for what it states at its top, and so takes its options."""
    events = [one.detail for one in journal.events(project.workspace) if one.event == "evaluator_written"]
    if not any("shape" in one for one in events):  # a project of an earlier release, or a copy without its journal
        return f"from {EVALUATOR_PARTS}." in source
    shape = shape_of(source)
    return shape is not None and any(one.get("shape") == shape for one in events)


def takes_protocol(project: Project) -> bool:
    """Whether the project's evaluator is the loop's own, with its machinery beside it."""
    tree = project.workspace.tree
    if not tree.is_file(EVAL_SCRIPT) or not tree.is_file(f"{EVALUATOR_PARTS}/command.py"):
        return False
    return is_the_loops_own(project, tree.read(EVAL_SCRIPT).decode("utf-8", "replace"))
