"""The model behind `validation_step`: what it logs, what it puts out, and its answers to inputs alone."""

from __future__ import annotations

import contextlib
import inspect
import time
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torchmetrics import Metric

from ..errors import ScriptFault
from ..trees import Box, boxed, fields_of, leaves, spelled, unboxed
from .script import FitCall, own
from .tracing import Call, Meeting, Trace, are_records, mark, outputs_of, plain

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.

LOSS_NAMES = ("val_loss", "val/loss", "valid_loss", "valid/loss", "validation_loss", "validation/loss")
_BRIEF_SECONDS = 0.02
# What a call that is made in another way than the script's own may raise.
WRONG_CALL = (TypeError, ValueError, RuntimeError, LookupError, AttributeError, NotImplementedError)


class Probe:
    """Runs the model on batches that come as trees."""

    def __init__(self, call: FitCall, loader: int, device: torch.device, seed: Callable[[int], None]) -> None:
        # Before each batch, so that what is drawn at random is the same whoever asks, and for every version.
        self.seed, self.loader = seed, loader
        self.model, self.datamodule, self.device = call.model, call.datamodule, device
        self.precision = getattr(getattr(call.trainer, "precision_plugin", None), "val_step_context", None)
        if not own(self.model.validation_step):
            raise ScriptFault(
                f"{type(self.model).__name__} has no validation_step, so it has no validation loss. "
                "Next: add one, or write a 03_eval.py and use write_eval"
            )
        self.arity = len(inspect.signature(self.model.validation_step).parameters)
        self.speaks = own(self.model.predict_step)
        self.logged: dict[str, Any] = {}
        self.direct: dict[str, bool] = {}  # by reading: whether the module itself gives it, without validation_step
        self.model.log = lambda name, value, *_, **__: self.logged.update({name: value})
        self.model.log_dict = lambda values, *_, **__: self.logged.update(values.items())
        self._calls: dict[str, tuple[Any, list[Any], dict[str, Any]]] = {}

    # ------------------------------------------------------------ batches

    def on_device(self, batch: Any) -> Any:
        """Move a batch by the hooks that the datamodule or the model may have of its own."""

        def hook(name: str) -> Callable[..., Any]:
            from_data = getattr(self.datamodule, name, None)
            return from_data if from_data is not None and own(from_data) else getattr(self.model, name)

        batch = hook("on_before_batch_transfer")(batch, 0)
        batch = hook("transfer_batch_to_device")(batch, self.device, 0)
        return hook("on_after_batch_transfer")(batch, 0)

    def _within(self) -> Any:
        return self.precision() if self.precision is not None else contextlib.nullcontext()

    def _step(self, batch: Any, index: int) -> Any:
        self.logged.clear()
        with self._within():
            return self.model.validation_step(*(batch, index, self.loader)[: self.arity])

    # ------------------------------------------------------------ with the targets

    @torch.inference_mode()
    def judge(self, tree: Any, index: int, draw: int = 0) -> dict[str, Any]:
        """What `validation_step` logs and returns for a whole batch, with the random numbers of this draw."""
        self.seed(draw)
        returned = self._step(self.on_device(unboxed(tree)), index)
        logged = {name: number for name, value in self.logged.items() if (number := as_number(value)) is not None}
        return {"logged": logged, "loss": _loss(logged, returned), "names": sorted(self.logged)}

    def begin(self) -> None:
        """Forgets what validation_step kept of earlier batches, as its epoch's end does."""
        with contextlib.suppress(*WRONG_CALL):
            self.model.on_validation_epoch_end()
        for value in self.model.modules():
            if isinstance(value, Metric):
                value.reset()
        self.model.on_validation_start()
        self.model.on_validation_epoch_start()

    @torch.inference_mode()
    def end(self) -> dict[str, float]:
        """What is logged over all batches since `begin` by torchmetrics objects and at the epoch's end."""
        values: dict[str, float] = {}
        objects = {name: value for name, value in self.logged.items() if isinstance(value, Metric)}
        self.logged.clear()
        with contextlib.suppress(*WRONG_CALL):
            self.model.on_validation_epoch_end()
        for name, value in {**objects, **self.logged}.items():
            number = value.compute() if isinstance(value, Metric) else value
            if not isinstance(number, torch.Tensor) or number.numel() == 1:
                with contextlib.suppress(TypeError, ValueError):
                    values[name] = float(number)
        return values

    # ------------------------------------------------------------ what is judged

    def discover(self, tree: Any, *, tell: bool) -> dict[str, Any]:
        """Which tensors `validation_step` judges: outputs of modules, and meetings of outputs with targets.

        `tell`: with the targets that were met, which the scorer only asks for when it has handed them over.
        """
        try:
            trace, batch = self._traced(tree, marked=True)
        except WRONG_CALL:
            trace, batch = self._traced(tree, marked=False)
        calls = [self._call(number, call, batch) for number, call in enumerate(trace.calls)]
        return {
            "calls": [*calls, *self._predicted(tree)],
            "meetings": [_met(one, tell) for one in trace.meetings],
            "marked": trace.marked,
        }

    def _predicted(self, tree: Any) -> list[dict[str, Any]]:
        """The script's own `predict_step` as a call, where it gives a dict a sample."""
        found = self.answer(tree, "predict_step") if self.speaks else None
        outputs = {"predict_step": found} if are_records(found) else {}
        return [{"key": "predict_step", "entering": [], "direct": False, "outputs": outputs}] if outputs else []

    @torch.inference_mode()
    def _traced(self, tree: Any, *, marked: bool) -> tuple[Trace, Any]:
        self.seed(0)
        batch = self.on_device(unboxed(tree))
        marked_batch = _marked_leaves(batch) if marked else batch
        trace = Trace(self.model, marked)
        with trace:
            self._step(marked_batch, 0)
        return trace, batch

    def _call(self, number: int, call: Call, batch: Any) -> dict[str, Any]:
        """How the scorer is told of a module's call, and how the call can be made again of a batch alone."""
        places = [_place_of(value, batch) for value in call.args]
        named = {name: _place_of(value, batch) for name, value in call.kwargs.items()}
        key = f"{call.name or 'forward'}#{number}"
        self._calls[key] = (call.module, places, named)
        entering = [place[1] for place in (*places, *named.values()) if place[0] == "leaf"]
        direct = all(place[0] != "made" for place in (*places, *named.values()))
        outputs = {key + place: _told(one) for place, one in call.outputs.items()}
        self.direct.update(dict.fromkeys(outputs, direct))
        return {"key": key, "entering": entering, "direct": direct, "outputs": outputs}

    # ------------------------------------------------------------ from inputs alone

    def answer(self, tree: Any, reading: str, draw: int = 0) -> Any:
        """What the model puts out for a batch whose targets are blank, by the reading that was decided on."""
        self.seed(draw)
        return self._answer(tree, reading)

    @torch.inference_mode()
    def _answer(self, tree: Any, reading: str) -> Any:
        batch = self.on_device(unboxed(tree))
        if reading == "predict_step":
            parameters = len(inspect.signature(self.model.predict_step).parameters)
            with self._within():
                found = plain(self.model.predict_step(*(batch, 0)[:parameters]))
            return _told(found) if are_records(found) else boxed(found)
        if self.direct.get(reading):
            return _told(dict(outputs_of(self._again(batch, reading)))[_place(reading)])
        return self._from_step(batch, reading)

    def _again(self, batch: Any, reading: str) -> Any:
        module, places, named = self._calls[_key(reading)]
        args = [_value(place, batch) for place in places]
        with self._within():
            return module(*args, **{name: _value(place, batch) for name, place in named.items()})

    def _from_step(self, batch: Any, reading: str) -> Any:
        met = reading.startswith("met:")
        trace = Trace(self.model, met)
        with trace:
            self._step(_marked_leaves(batch) if met else batch, 0)
        if met:
            found = next((one.output for one in trace.meetings if f"met:{one.key}" == reading), None)
        else:
            number = int(_key(reading).rpartition("#")[2])
            found = trace.calls[number].outputs.get(_place(reading)) if number < len(trace.calls) else None
        if found is None:
            raise ScriptFault(f"validation_step gave no {reading} for one batch, though it did for the first one")
        return _told(found)

    def timed(self, tree: Any, reading: str, repeats: int) -> dict[str, Any]:
        """The answer to one request, after so many before it, and the seconds that it takes of a model that is warm."""
        for _ in range(repeats):
            self.answer(tree, reading)
        answer, seconds = self._timed(tree, reading)
        if seconds < _BRIEF_SECONDS:
            # This process has waited for the request, and others had the caches meanwhile: as long as that can matter.
            seconds = min(seconds, self._timed(tree, reading)[1])
        return {"answer": answer, "seconds": seconds}

    def _timed(self, tree: Any, reading: str) -> tuple[Any, float]:
        self.seed(0)
        began = time.perf_counter()
        answer = self._answer(tree, reading)
        return answer, time.perf_counter() - began


def _key(reading: str) -> str:
    """`forward#0[1]` without the place in what the module returned."""
    head, _, rest = reading.partition("#")
    number = rest[: len(rest) - len(rest.lstrip("0123456789"))]
    return f"{head}#{number}"


def _place(reading: str) -> str:
    return reading[len(_key(reading)) :]


def _told(value: Any) -> Any:
    if are_records(value):
        return [{key: _told(one) for key, one in each.items() if isinstance(one, torch.Tensor)} for each in value]
    value = plain(value).detach().cpu()
    return value.float() if value.is_floating_point() and value.dtype != torch.float64 else value


def _met(one: Meeting, tell: bool) -> dict[str, Any]:
    paths = sorted((path for path in one.paths if path != "out"), key=spelled)
    target = _told(one.target) if tell else None
    return {"key": f"met:{one.key}", "output": _told(one.output), "paths": paths, "target": target}


def boxed_leaves(batch: Any) -> Any:
    """Like `boxed`, but tensors stay where they are."""
    if isinstance(batch, torch.Tensor):
        return batch
    found = boxed(batch) if not isinstance(batch, (list, tuple, dict)) else None
    if found is not None:
        return found
    items = batch.items() if isinstance(batch, dict) else enumerate(batch)
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        items = zip(fields_of(batch), batch)
    return Box("list", "", tuple((key, boxed_leaves(child)) for key, child in items))


def _place_of(value: Any, batch: Any) -> tuple[str, Any]:
    """("leaf", path) of the batch's leaf that a module was given, ("constant", value), or ("made", None)."""
    if isinstance(value, torch.Tensor):
        for path, leaf in leaves(boxed_leaves(batch)):
            if leaf is value or (isinstance(leaf, torch.Tensor) and _same_memory(leaf, value)):
                return ("leaf", path)
        return ("made", None)
    if isinstance(value, (list, tuple)) and len(value) in _records_in(batch):
        places = [_place_of(one, batch) for one in value]
        listed = {path[:-1] for kind, path in places if kind == "leaf"}
        whole = len(listed) == 1 and [path[-1] for _, path in places if path] == list(range(len(places)))
        return ("leaf", listed.pop()) if whole else ("made", None)
    return ("constant", value) if isinstance(value, (bool, int, float, str, type(None))) else ("made", None)


def _records_in(batch: Any) -> set[int]:
    """How many dicts the lists of dicts in a batch have: where there are such, an input may be a list as well."""
    parts = batch.values() if isinstance(batch, Mapping) else batch if isinstance(batch, (list, tuple)) else ()
    return {len(one) for one in parts if are_records(one)}


def _same_memory(one: torch.Tensor, other: torch.Tensor) -> bool:
    return (
        one.shape == other.shape
        and one.stride() == other.stride()
        and one.data_ptr() == other.data_ptr()
        and one.dtype == other.dtype
        and bool(one.numel())
    )


def _value(place: tuple[str, Any], batch: Any) -> Any:
    if place[0] != "leaf":
        return place[1]
    for key in place[1]:
        batch = batch[key] if isinstance(key, int) or isinstance(batch, Mapping) else getattr(batch, key)
    return batch


def _marked_leaves(batch: Any, path: tuple[Any, ...] = ()) -> Any:
    """The batch with each tensor marked by its path; objects that can't be made again are left as they are."""
    if isinstance(batch, torch.Tensor):
        return mark(batch, frozenset({path}))
    if are_records(batch):
        marks = frozenset({path})
        return type(batch)(
            {key: mark(one, marks) if isinstance(one, torch.Tensor) else one for key, one in each.items()}
            for each in batch
        )
    if isinstance(batch, tuple) and hasattr(batch, "_fields"):
        return type(batch)(*(_marked_leaves(one, (*path, key)) for key, one in zip(fields_of(batch), batch)))
    if type(batch) in (list, tuple):
        return type(batch)(_marked_leaves(one, (*path, index)) for index, one in enumerate(batch))
    if isinstance(batch, dict):
        marked = {key: _marked_leaves(one, (*path, key)) for key, one in batch.items()}
        return marked if type(batch) is dict else type(batch)(marked)
    data: Any = getattr(batch, "data", None)
    if isinstance(data, dict):  # a BatchEncoding
        with contextlib.suppress(TypeError):
            return type(batch)({key: _marked_leaves(one, (*path, key)) for key, one in data.items()})
    return batch


def as_number(value: Any) -> float | None:
    """A logged value of this batch; None where it has none (a torchmetrics object that was only updated)."""
    if isinstance(value, Metric):
        value = getattr(value, "_forward_cache", None)
    if isinstance(value, torch.Tensor) and value.numel() != 1:
        return None
    try:
        return None if value is None else float(value)
    except (TypeError, ValueError):
        return None


def _loss(logged: dict[str, float], returned: Any) -> dict[str, Any] | None:
    """The model's own loss of one batch, and its name: logged as validation loss, else what is returned."""
    for name in LOSS_NAMES:
        if name in logged:
            return {"name": name, "value": logged[name]}
    similar = [name for name in logged if "loss" in name.lower() and "val" in name.lower()]
    if isinstance(returned, dict):
        returned = next((returned[key] for key in ("loss", *LOSS_NAMES) if key in returned), None)
    if len(similar) != 1 and isinstance(returned, torch.Tensor) and returned.numel() == 1:
        return {"name": "", "value": float(returned)}
    for name in (*similar, "loss"):
        if name in logged:
            return {"name": name, "value": logged[name]}
    return None
