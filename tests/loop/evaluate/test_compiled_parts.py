"""What is compiled beside the locked machinery is of these sources and of nobody else."""

import subprocess
import sys
from pathlib import Path

from progressive_training.loop.evaluate.evaluator_files import compile_parts, write_parts
from progressive_training.loop.store.tree import Tree


def imported(root: Path) -> str:
    """What an isolated interpreter says while it imports one module of the machinery."""
    load = f"import sys; sys.path.append({str(root / 'evaluator_parts')!r}); import tasks; print(tasks.SERVED)"
    command = [sys.executable, "-I", "-B", "-v", "-c", load]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout + done.stderr


def test_an_evaluation_compiles_nothing_and_runs_no_compiled_file_that_somebody_left(tmp_path: Path) -> None:
    root = tmp_path / "나의 project"
    root.mkdir()
    tree = Tree(root)
    write_parts(tree)
    compile_parts(tree)
    ours = sorted((root / "evaluator_parts").rglob("*.pyc"))
    assert "matches" in imported(root) and "code object from" in imported(root)
    assert len(ours) == len(list((root / "evaluator_parts").rglob("*.py")))

    other = next(path for path in ours if path.name.startswith("tasks."))
    right = other.read_bytes()
    other.write_bytes(right[:16] + next(path for path in ours if path.name.startswith("errors.")).read_bytes()[16:])
    (other.parent / "late.cpython-39.pyc").write_bytes(b"")
    compile_parts(tree)
    assert other.read_bytes() == right and not (other.parent / "late.cpython-39.pyc").exists()

    source = root / "evaluator_parts" / "tasks.py"
    source.write_text(source.read_text() + "\nSERVED = 'another source'\n")
    assert "another source" in imported(root)
