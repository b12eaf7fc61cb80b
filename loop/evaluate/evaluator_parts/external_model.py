"""In the user's interpreter: runs a model of Models/external/ in a process of its own, which answers inputs.

    python -I -B external_model.py FOLDER [HIDDEN …]

Standard library only, Python 3.9; `scoring/external.py` starts its text. What is imported is `adapter.py`
of FOLDER, else `inference_sample.py`; it must offer `load(folder)` and `predict(model, inputs)`. Where the kernel has
Landlock, the HIDDEN folders can't be read any more (but FOLDER), and nothing but temporary files can be written.

Messages are a length of 8 bytes and so many bytes: lists of inputs come in pickled, answers go out as JSON.
"""

from __future__ import annotations

import ast
import ctypes
import importlib.util
import json
import os
import pickle
import stat
import struct
import sys
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# What goes back and forth has no type before it is looked at.

SCRIPTS = ("adapter.py", "inference_sample.py")
OFFERED = ("load", "predict")

# The kernel's own numbers (linux/landlock.h); the system calls have the same ones on every architecture.
_CREATE, _ADD, _RESTRICT, _NO_NEW_PRIVILEGES = 444, 445, 446, 38
_EXECUTE, _WRITE, _READ, _LIST, _TRUNCATE = 1 << 0, 1 << 1, 1 << 2, 1 << 3, 1 << 14
_ON_FILES = _EXECUTE | _WRITE | _READ | _TRUNCATE
_LOOK = _EXECUTE | _READ | _LIST


def main() -> int:
    folder, hidden = Path(sys.argv[1]).resolve(), [Path(name).resolve() for name in sys.argv[2:]]
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the model prints must not come between the answers
    sys.stdout = sys.stderr  # not buffered: whoever starts this process ends it by force
    problem = confine(folder, hidden)
    try:
        script = script_of(folder)
        predict, model = opened(folder, script)
    except BaseException as error:  # noqa: BLE001 - the model's own, whatever it is
        traceback.print_exc()
        send(answers, {"error": said(error)})
        return 1
    send(answers, {"script": script, "not_hidden": problem})
    while (inputs := receive(sys.stdin.buffer)) is not None:
        try:
            send(answers, {"answers": list(predict(model, inputs))})
        except BaseException as error:  # noqa: BLE001 - likewise
            traceback.print_exc()
            send(answers, {"error": "predict raised " + said(error)})
            return 1
    return 0


def script_of(folder: Path) -> str:
    """The file that offers both functions, found out without running it. Raises LookupError or SyntaxError."""
    present = [name for name in SCRIPTS if (folder / name).is_file()]
    if not present:
        raise LookupError("it has neither " + " nor ".join(SCRIPTS))
    bound = names_in(ast.parse((folder / present[0]).read_bytes(), present[0]))
    lacking = [name + "()" for name in OFFERED if name not in bound]
    if lacking:
        raise LookupError(present[0] + " offers no " + " and no ".join(lacking))
    return present[0]


def names_in(tree: ast.Module) -> set[str]:
    """What a module binds at its top level."""
    found: set[str] = set()
    for node in tree.body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)):
            found.add(node.name)
        elif isinstance(node, (ast.Import, ast.ImportFrom)):
            found.update(alias.asname or alias.name for alias in node.names)
        elif isinstance(node, ast.Assign):
            found.update(target.id for target in node.targets if isinstance(target, ast.Name))
    return found


def opened(folder: Path, script: str) -> tuple[Any, Any]:
    """The model's `predict`, and the model as its `load` gives it. Its folder is the working folder."""
    os.chdir(folder)
    sys.path.insert(0, str(folder))
    spec = importlib.util.spec_from_file_location(Path(script).stem, folder / script)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module.predict, module.load(folder)


def said(error: BaseException) -> str:
    return type(error).__name__ + ": " + " ".join(str(error).split())[:500]


def send(stream: BinaryIO, message: Any) -> None:
    data = json.dumps(message, default=plain).encode()
    stream.write(struct.pack(">Q", len(data)) + data)
    stream.flush()


def plain(value: Any) -> Any:
    """Arrays and tensors of any library as lists and numbers."""
    if hasattr(value, "tolist"):
        return value.tolist()
    raise TypeError("an answer is a " + type(value).__name__ + ", which is no text, number or list of numbers")


def receive(stream: BinaryIO) -> list[Any] | None:
    """The next list of inputs; None at the end."""
    head = stream.read(8)
    if len(head) < 8:
        return None
    return [decoded(value) for value in pickle.loads(stream.read(struct.unpack(">Q", head)[0]))]


def decoded(value: Any) -> Any:
    """Arrays come as ("array", dtype, shape, bytes), so that the two processes may have different numpys."""
    if isinstance(value, tuple):
        import numpy

        return numpy.frombuffer(bytearray(value[3]), dtype=value[1]).reshape(value[2])
    if isinstance(value, list):
        return [decoded(one) for one in value]
    if isinstance(value, dict):
        return {key: decoded(one) for key, one in value.items()}
    return value


def confine(folder: Path, hidden: list[Path]) -> str | None:
    """Lets this process see no more of `hidden` than `folder`, and write temporary files only; why not, if it can't."""
    if sys.platform != "linux":
        return "Landlock needs Linux"
    library = ctypes.CDLL(None, use_errno=True)
    version = library.syscall(_CREATE, None, 0, 1)
    if version < 1:
        return "this kernel has no Landlock"
    handled = (1 << 13) - 1 | (1 << 13 if version >= 2 else 0) | (_TRUNCATE if version >= 3 else 0)
    rules = library.syscall(_CREATE, ctypes.byref(ctypes.c_uint64(handled)), 8, 0)
    if rules < 0:
        return "no Landlock rules can be made: " + os.strerror(ctypes.get_errno())
    for path in [*around(Path("/"), hidden), folder, Path(sys.prefix), Path(sys.base_prefix)]:
        allow(library, rules, path, _LOOK)
    if "TMPDIR" in os.environ:  # the caller makes one for this process alone
        allow(library, rules, Path(os.environ["TMPDIR"]), handled)
    allow(library, rules, Path("/dev"), handled)
    if library.prctl(_NO_NEW_PRIVILEGES, 1, 0, 0, 0) or library.syscall(_RESTRICT, rules, 0):
        return "Landlock can't be used here: " + os.strerror(ctypes.get_errno())
    os.close(rules)
    return None


def around(place: Path, hidden: list[Path]) -> Iterator[Path]:
    """Everything below `place` that is neither hidden nor on the way to it. Links are left out: their targets count."""
    try:
        entries = [entry for entry in place.iterdir() if not entry.is_symlink()]
    except OSError:
        return
    for entry in entries:
        if entry in hidden:
            continue
        if any(entry in path.parents for path in hidden):
            yield from around(entry, hidden)
        else:
            yield entry


def allow(library: ctypes.CDLL, rules: int, path: Path, rights: int) -> None:
    try:
        handle = os.open(path, os.O_PATH | os.O_CLOEXEC)
    except OSError:
        return  # what can't be opened can't be read either
    try:
        if not stat.S_ISDIR(os.fstat(handle).st_mode):
            rights &= _ON_FILES
        library.syscall(_ADD, rules, 1, struct.pack("<Qi", rights, handle), 0)
    finally:
        os.close(handle)


if __name__ == "__main__":
    sys.exit(main())
