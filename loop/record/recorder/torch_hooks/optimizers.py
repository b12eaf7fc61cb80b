"""What each optimizer really used: read at every step that it takes, not where the script sets it."""

from __future__ import annotations

import functools
import sys
import weakref
from typing import Any

from ..recording import Recorder
from . import rehearsal

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportPrivateUsage=false
# What the script and torch hand over has no type here.

_MAX_OPTIMIZERS = 32  # of one section
_MAX_GROUPS = 64
_NO_SETTINGS = frozenset({"params", "lr", "weight_decay", "initial_lr", "param_names"})

# The classes of the schedulers that were made for an optimizer.
_schedulers: weakref.WeakKeyDictionary[Any, list[str]] = weakref.WeakKeyDictionary()
_UNSEEN = object()


class Span:
    """The values that something took: the first, the lowest, the highest, the last, and how often it changed."""

    def __init__(self, value: float) -> None:
        self.first = self.lowest = self.highest = self.last = value
        self.changes = 0

    def add(self, value: float) -> None:
        if value != self.last:
            self.changes += 1
            self.last = value
            self.lowest, self.highest = min(self.lowest, value), max(self.highest, value)

    def listed(self) -> dict[str, Any]:
        return {**vars(self)}


class Group:
    """One parameter group."""

    def __init__(self, group: dict[str, Any]) -> None:
        self.tensors = len(group["params"])
        self.parameters = sum(parameter.numel() for parameter in group["params"])
        self.settings = {name: value for name, value in group.items() if name not in _NO_SETTINGS}
        self.spans: dict[str, Span] = {}
        self.lr: Any = _UNSEEN
        self.weight_decay: Any = _UNSEEN

    def note(self, group: dict[str, Any]) -> None:
        for name in ("lr", "weight_decay"):
            value = group.get(name)
            # The same number is nothing new; a tensor may hold another one than before.
            setattr(self, name, value if value is None or type(value) in (float, int) else _UNSEEN)
            number = _number(value)
            if number is None:
                continue
            if name in self.spans:
                self.spans[name].add(number)
            else:
                self.spans[name] = Span(number)

    def listed(self) -> dict[str, Any]:
        spans = {name: span.listed() for name, span in self.spans.items()}
        return {"tensors": self.tensors, "parameters": self.parameters, "settings": self.settings, **spans}


class Used:
    """An optimizer in one section."""

    def __init__(self, optimizer: Any) -> None:
        self.optimizer = weakref.ref(optimizer)
        self.steps = 0
        self._class = type(optimizer).__name__
        self._module = type(optimizer).__module__
        self._groups: list[Group] = []
        self._left_out = 0
        # A step of its own, one of the base class, which does nothing, and one more that it may call.
        self.nested = sum("step" in vars(base) for base in type(optimizer).__mro__) > 2
        self._schedulers = _schedulers.setdefault(optimizer, [])

    def note(self, optimizer: Any) -> None:
        groups = optimizer.param_groups
        if len(groups) != len(self._groups):
            self._groups += [Group(group) for group in groups[len(self._groups) : _MAX_GROUPS]]
            self._left_out = max(0, len(groups) - _MAX_GROUPS)
        for known, group in zip(self._groups, groups):
            if group.get("lr") is not known.lr or group.get("weight_decay") is not known.weight_decay:
                known.note(group)

    def listed(self) -> dict[str, Any]:
        return {
            "class": self._class,
            "module": self._module,
            "steps": self.steps,
            "groups": [group.listed() for group in self._groups],
            "groups_left_out": self._left_out,
            "schedulers": list(self._schedulers),
        }


def watch(recorder: Recorder, torch: Any) -> None:
    """Hooks into every optimizer's step, and notes the schedulers."""
    base: Any = sys.modules["torch.optim.optimizer"]  # torch.optim deletes the name
    note_before, note_after = recorder.guarded(_note_before), recorder.guarded(_note_after)
    compiling = getattr(getattr(torch, "compiler", None), "is_compiling", lambda: False)

    def before(optimizer: Any, args: Any, kwargs: Any) -> None:
        if not compiling():
            note_before(recorder, optimizer)

    def after(optimizer: Any, args: Any, kwargs: Any) -> None:
        if not compiling():
            note_after(recorder, optimizer)

    base.register_optimizer_step_pre_hook(before)
    base.register_optimizer_step_post_hook(after)
    _hook_all(torch)
    _watch_schedulers(recorder, torch)


def _hook_all(torch: Any) -> None:
    """torch hooks a class's step when the first of it is made: one whose subclass alone is made stays unseen inside."""
    optimizer = torch.optim.Optimizer
    for kind in vars(torch.optim).values():
        known = isinstance(kind, type) and issubclass(kind, optimizer) and kind is not optimizer
        if known and "step" in vars(kind) and not getattr(kind.step, "hooked", None):  # type: ignore[attr-defined]
            kind.step = optimizer.profile_hook_step(kind.step)  # type: ignore[attr-defined]
            kind.step.hooked = True  # type: ignore[attr-defined]


def _watch_schedulers(recorder: Recorder, torch: Any) -> None:
    for name in ("LRScheduler", "ReduceLROnPlateau"):
        kind = getattr(torch.optim.lr_scheduler, name, None)
        if kind is not None:
            kind.__init__ = _noting(recorder, kind.__init__)


def _noting(recorder: Recorder, start: Any) -> Any:
    def note(scheduler: Any, optimizer: Any) -> None:
        known = _schedulers.setdefault(optimizer, [])
        if type(scheduler).__name__ not in known and len(known) < 16:
            known.append(type(scheduler).__name__)

    guarded = recorder.guarded(note)

    @functools.wraps(start)
    def __init__(self: Any, *args: Any, **kwargs: Any) -> None:
        guarded(self, args[0] if args else kwargs.get("optimizer"))
        start(self, *args, **kwargs)

    return __init__


def _note_before(recorder: Recorder, optimizer: Any) -> None:
    used = _used(recorder, optimizer)
    if used is not None:
        used.note(optimizer)


def _note_after(recorder: Recorder, optimizer: Any) -> None:
    used = _used(recorder, optimizer)
    if used is None:
        return
    used.note(optimizer)
    if not used.nested or not _is_inner(optimizer):
        used.steps += 1
        recorder.after_step(optimizer)
        if recorder.section.trainer is None:
            recorder.mark("training")
            recorder.tick()
            if rehearsal.now is not None:
                rehearsal.count_step(recorder)


def _is_inner(optimizer: Any) -> bool:
    """Whether this step is part of another step of the same optimizer: a subclass's, which calls its parent's."""
    frame: Any = sys._getframe()
    wrappers = 0
    for _ in range(30):
        if frame is None:
            break
        if frame.f_code.co_name == "wrapper" and frame.f_locals.get("self") is optimizer:
            wrappers += 1
        frame = frame.f_back
    return wrappers > 1


def _used(recorder: Recorder, optimizer: Any) -> Used | None:
    section = recorder.section
    found = section.used
    if found is not None and found.optimizer() is optimizer:
        return found
    known = section.optimizers
    found = known.get(id(optimizer))
    if found is None or found.optimizer() is not optimizer:
        if len(known) >= _MAX_OPTIMIZERS:
            return None
        if found is not None:
            known[id(found)] = found
        found = known[id(optimizer)] = Used(optimizer)
        _note_rank(recorder)
        recorder.end_with_child()
    section.used = found
    return found


def _note_rank(recorder: Recorder) -> None:
    """A process that was spawned learns only from its group which rank it is."""
    group: Any = sys.modules.get("torch.distributed")
    if group is not None and group.is_available() and group.is_initialized():
        recorder.rank, recorder.world_size = group.get_rank(), group.get_world_size()


def _number(value: Any) -> float | None:
    """None for what lies on a device: to read it would wait for that."""
    if isinstance(value, (int, float)):
        return float(value)
    device = getattr(value, "device", None)
    if getattr(device, "type", None) == "cpu" and value.numel() == 1:
        return float(value)
    return None
