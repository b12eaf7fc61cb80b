"""An external model, scored like a version: it is sent inputs and answers them; targets stay here."""

from __future__ import annotations

import contextlib
import json
import os
import pickle
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any, NoReturn

import numpy
import torch

from ..errors import EvalError
from ..formulas import Family
from .frozen import Frozen
from .measure import WARM_UP_REQUESTS, Request
from .output import raw_input
from .session import Session
from .walk import Loss, Scored, loss_by, single_batches

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.

CHUNK = 64  # inputs in one call of an external model's predict
RUNNER = Path(__file__).resolve().parents[1] / "external_model.py"


class External:
    """An external model in a process of its own."""

    def __init__(self, folder: Path, hidden: list[Path]) -> None:
        own_python = folder / ".venv" / "bin" / "python"
        python = str(own_python) if os.access(own_python, os.X_OK) else sys.executable
        self.name = folder.name
        self.scratch = tempfile.mkdtemp(prefix="external-")
        command = [python, "-I", "-B", str(RUNNER), str(folder), *map(str, hidden)]
        environment = {**os.environ, "TMPDIR": self.scratch}
        self.process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, env=environment, start_new_session=True
        )
        try:
            begun = self._reply("ended before it was loaded")
        except EvalError:
            self.close()
            raise
        self.script, self.not_hidden = str(begun["script"]), begun["not_hidden"]

    def ask(self, inputs: list[Any]) -> list[Any]:
        """One answer an input. Raises `EvalError` for another number, an exception of the model's, or its end."""
        data = pickle.dumps([encoded(value) for value in inputs])
        assert self.process.stdin is not None
        try:
            self.process.stdin.write(struct.pack(">Q", len(data)) + data)
            self.process.stdin.flush()
        except BrokenPipeError:
            pass  # its end is told below
        answers = self._reply("ended while it was asked")["answers"]
        if len(answers) != len(inputs):
            self.refuse(f"gave {len(answers)} answers to {len(inputs)} inputs")
        return answers

    def _reply(self, otherwise: str) -> dict[str, Any]:
        assert self.process.stdout is not None
        head = self.process.stdout.read(8)
        data = self.process.stdout.read(struct.unpack(">Q", head)[0]) if len(head) == 8 else b""
        if not data:
            self.process.kill()
            self.refuse(f"{otherwise} (exit code {self.process.wait()})")
        message = json.loads(data)
        if "error" in message:
            self.refuse(str(message["error"]))
        return message

    def refuse(self, what: str) -> NoReturn:
        raise EvalError(f"external model {self.name}: {what}. Next: see docs/contract.md, External models")

    def close(self) -> None:
        """End it with all that it started; nothing of it may be there when the score is written."""
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        for stream in (self.process.stdin, self.process.stdout):
            with contextlib.suppress(BrokenPipeError):
                if stream is not None:
                    stream.close()
        shutil.rmtree(self.scratch, ignore_errors=True)


def encoded(value: Any) -> Any:
    """Arrays as (mark, type, shape, bytes) within lists and dicts."""
    if isinstance(value, torch.Tensor):
        value = value.detach().cpu().numpy()
    if isinstance(value, numpy.ndarray):
        return ("array", value.dtype.str, value.shape, numpy.ascontiguousarray(value).tobytes())
    if isinstance(value, (list, tuple)):
        return [encoded(one) for one in value]
    if isinstance(value, dict):
        return {str(key): encoded(one) for key, one in value.items()}
    return value


def score_external(
    external: External, session: Session, family: Family, frozen: Frozen, reference: Scored
) -> tuple[Scored, frozenset[str]]:
    """Asks the model about every validation sample; `reference` is what a version got, for the targets and the loss.

    Returns what is scored, and the metrics that its answers can't tell.
    """
    if reference.members:
        external.refuse("it would have to be asked about each query's candidates together, which it can't be yet")
    count = len(reference.ids)
    inputs = [raw_input(tree, reference.how) for tree, _ in single_batches(session, [[row] for row in range(count)])]
    answers: list[Any] = []
    for first in range(0, count, CHUNK):
        answers += external.ask(inputs[first : first + CHUNK])
    own = {name for name, one in frozen.metrics.items() if one["kind"] == "script"}
    try:
        scored, left_out = _from_answers(answers, family, frozen, reference)
    except (TypeError, ValueError, RuntimeError, IndexError) as error:
        external.refuse(f"its answers can't be read ({error}); {_meant(family)}")
    return scored, frozenset({*left_out, *own})


def _meant(family: Family) -> str:
    return {
        "classification": "an answer is a class number, or a list of the probabilities of every class",
        "sequence": "an answer is the text that is read",
        "generation": "an answer is the text",
        "detection": "boxes of other models aren't read here yet",
    }.get(family.name, "an answer is a number, or a list of them")


def _from_answers(answers: list[Any], family: Family, frozen: Frozen, reference: Scored) -> tuple[Scored, set[str]]:
    if isinstance(reference.predicted, list) and all(isinstance(one, str) for one in reference.predicted):
        if not all(isinstance(one, str) for one in answers):
            raise ValueError("not every one is a text")
        return reference._replace(predicted=answers, loss=None, losses=None, loss_terms={}), {"loss"}
    numbers = torch.tensor(answers, dtype=torch.float32)
    if not bool(numbers.isfinite().all()):
        raise ValueError("not every one is finite")
    loss = frozen.server_loss
    predictions: Any = reference.predicted
    if family.name != "classification":
        predicted = numbers.reshape(len(answers), *predictions.shape[1:])
        return _with_losses(predicted, reference, family.losses.get(loss or ""), frozen.scale)
    classes = predictions.shape[1]
    if numbers.dim() == 1:
        if bool((numbers != numbers.long()).any()) or int(numbers.min()) < 0 or int(numbers.max()) >= classes:
            raise ValueError(f"a class number is a whole number in 0..{classes - 1}")
        predicted = torch.nn.functional.one_hot(numbers.long(), classes).float()
        scored, left_out = _with_losses(predicted, reference, None)
        ranked = {name for name in family.metrics if name.startswith(("auroc", "average_precision", "top", "ece"))}
        return scored, {*left_out, *ranked}
    if numbers.shape[1] != classes or bool((numbers < 0).any()) or bool(((numbers.sum(1) - 1).abs() > 1e-3).any()):
        raise ValueError(f"probabilities are {classes} numbers from 0 whose sum is 1")
    return _with_losses(numbers, reference, family.losses["nll of probabilities"] if loss else None, frozen.scale)


def _with_losses(predicted: Any, reference: Scored, formula: Any, scale: float = 1.0) -> tuple[Scored, set[str]]:
    """With the first version's loss where that is a formula of outputs and targets alone."""
    loss = loss_by(formula, predicted, reference.targets).times(scale) if formula else Loss(None, None, {})
    scored = reference._replace(
        predicted=predicted, loss=loss.value, losses=loss.each, script={}, loss_terms=loss.terms
    )
    return scored, set() if loss.value is not None else {"loss"}


def requests(external: External, session: Session, scored: Scored, indices: list[int]) -> dict[int, Request]:
    """These samples asked about one at a time, and how long each took."""
    found: dict[int, Request] = {}
    for number, (index, (tree, prepared)) in enumerate(
        zip(indices, single_batches(session, [[row] for row in indices]))
    ):
        for _ in range(WARM_UP_REQUESTS if number == 0 else 0):
            external.ask([raw_input(tree, scored.how)])
        began = time.perf_counter()
        answer = external.ask([raw_input(tree, scored.how)])[0]
        found[index] = Request(tree, answer, (prepared + time.perf_counter() - began) * 1000)
    return found
