"""In the user's interpreter: runs a model of Models/external/ in a process of its own, which answers inputs.

    python -I -B external_model.py FOLDER [HIDDEN …]

Standard library only, Python 3.9; `scoring/external.py` starts it. What is imported is `adapter.py`
of FOLDER, else `inference_sample.py`; it must offer `load(folder)` and `predict(model, inputs)`. Where the kernel has
Landlock, the HIDDEN folders can't be read any more (but FOLDER), and nothing but temporary files can be written.

Messages are a length of 8 bytes and so many bytes: lists of inputs come in pickled, answers go out as JSON.
"""

from __future__ import annotations

import ast
import importlib.util
import json
import os
import pickle
import struct
import sys
import traceback
from pathlib import Path
from typing import Any, BinaryIO

# pyright: reportUnknownVariableType=false, reportUnknownArgumentType=false
# What goes back and forth has no type before it is looked at.

SCRIPTS = ("adapter.py", "inference_sample.py")
OFFERED = ("load", "predict")


def main() -> int:
    folder, hidden = Path(sys.argv[1]).resolve(), [Path(name).resolve() for name in sys.argv[2:]]
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the model prints must not come between the answers
    sys.stdout = sys.stderr  # not buffered: whoever starts this process ends it by force
    temporary = [Path(os.environ["TMPDIR"])] if "TMPDIR" in os.environ else []  # the caller makes one for it alone
    problem = landlock().confine(hidden, (folder,), temporary)
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


def landlock() -> Any:
    """The module beside this file, by its place: `-I` leaves its folder off the search path, which is meant."""
    spec = importlib.util.spec_from_file_location("landlock", Path(__file__).with_name("landlock.py"))
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


if __name__ == "__main__":
    sys.exit(main())
