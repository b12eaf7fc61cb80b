"""The loop's own evaluator as files of the project: 03_eval.py, and the folder of its machinery beside it."""

from collections.abc import Iterator
from pathlib import Path

from ..project.project import Project
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


def drop_compiled(tree: Tree) -> None:
    """What runs is the source, which is locked, and never a compiled file that somebody left beside it."""
    folders = [EVALUATOR_PARTS]
    for folder in folders:
        for name in tree.names(folder):
            if name == "__pycache__":
                tree.remove(f"{folder}/{name}")
            elif tree.kind(f"{folder}/{name}") == "folder":
                folders.append(f"{folder}/{name}")


def is_the_loops_own(text: str) -> bool:
    """Whether a 03_eval.py uses the machinery, and so takes its options."""
    return f"from {EVALUATOR_PARTS}." in text


def takes_protocol(project: Project) -> bool:
    """Whether the project's evaluator is the loop's own, with its machinery beside it."""
    tree = project.workspace.tree
    if not tree.is_file(EVAL_SCRIPT) or not tree.is_file(f"{EVALUATOR_PARTS}/command.py"):
        return False
    return is_the_loops_own(tree.read(EVAL_SCRIPT).decode("utf-8", "replace"))
