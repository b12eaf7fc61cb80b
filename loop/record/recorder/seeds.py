"""Which seeds were set, by what, where in the user's own code, in their order."""

from __future__ import annotations

import functools
import os
import sys
from typing import Any

from .recording import Recorder
from .sources import OURS, is_library

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownLambdaType=false, reportPrivateUsage=false
# What the script and torch hand over has no type here.

_MAX_SEEDS = 300
_MAX_FRAMES = 60
_WRAPPERS = ("_compile.py", "eval_frame.py")  # of torch's, around functions that its compiler leaves out
_seeding: list[str] = []


def watch_random(recorder: Recorder, random: Any) -> None:
    _wrap(recorder, random, "random", ("seed", "setstate"))


def watch_numpy(recorder: Recorder, random: Any) -> None:
    _wrap(recorder, random, "numpy.random", ("seed", "set_state", "default_rng"))


def watch_torch(recorder: Recorder, torch: Any) -> None:
    _wrap(recorder, torch.random, "torch", ("manual_seed", "seed", "set_rng_state"), torch)
    _wrap(recorder, torch.cuda, "torch.cuda", ("manual_seed", "manual_seed_all", "set_rng_state", "seed", "seed_all"))


def states() -> dict[str, Any]:
    """What the generators hold now: torch's seed as it is, and a digest of each whole state. Draws nothing."""
    found: dict[str, Any] = {}
    torch: Any = sys.modules.get("torch")
    if torch is not None:
        found["torch_seed"] = torch.initial_seed()
        found["torch"] = _digest(torch.get_rng_state().numpy().tobytes())
    random: Any = sys.modules.get("random")
    if random is not None:
        found["random"] = _digest(repr(random.getstate()).encode())
    numpy: Any = sys.modules.get("numpy.random")
    if numpy is not None:
        state = numpy.get_state()
        found["numpy"] = _digest(state[1].tobytes() + repr(state[2:]).encode())
    return found


def _wrap(recorder: Recorder, module: Any, package: str, names: tuple[str, ...], also: Any = None) -> None:
    for name in names:
        original = getattr(module, name, None)
        if original is None:
            continue
        wrapped = _noting(recorder, f"{package}.{name}", original)
        setattr(module, name, wrapped)
        if also is not None and getattr(also, name, None) is original:
            setattr(also, name, wrapped)


def _noting(recorder: Recorder, name: str, original: Any) -> Any:
    note = recorder.guarded(_note)

    @functools.wraps(original)
    def seeding(*args: Any, **kwargs: Any) -> Any:
        if _seeding:  # one that another calls: torch's own for its devices
            return original(*args, **kwargs)
        _seeding.append(name)
        try:
            result = original(*args, **kwargs)
        finally:
            _seeding.clear()
        note(recorder, name, args, kwargs, result)
        return result

    return seeding


def _note(recorder: Recorder, name: str, args: Any, kwargs: Any, result: Any) -> None:
    by, where = _caller()
    if where is None:  # a library that draws for itself while it is imported
        return
    given = args[0] if args else next(iter(kwargs.values()), None)
    value = int(given) if isinstance(given, int) else result if name.endswith(".seed") else None
    new = {"call": name, "value": value if isinstance(value, int) else None, "seeded": given is not None}
    new = {**new, "by": by, "where": where, "section": len(recorder.sections)}
    for known in recorder.seeds[-8:]:
        if all(known[key] == value for key, value in new.items()):
            known["times"] += 1
            return
    if len(recorder.seeds) < _MAX_SEEDS:
        recorder.seeds.append({**new, "times": 1})


def _caller() -> tuple[str | None, str | None]:
    """The library's function that the user's code called, if not the seeding itself; file and line of that call."""
    frame: Any = sys._getframe(2)
    by = None
    for _ in range(_MAX_FRAMES):
        if frame is None:
            return by, None
        file = frame.f_code.co_filename
        if not file.startswith(OURS):
            if file.startswith("<frozen importlib"):
                return by, None
            if not is_library(file):
                return by, f"{os.path.basename(file)}:{frame.f_lineno}"
            by = by if file.endswith(_WRAPPERS) else frame.f_code.co_name
        frame = frame.f_back
    return by, None


def _digest(data: bytes) -> str:
    import hashlib  # not for children that train nothing

    return hashlib.blake2b(data, digest_size=8).hexdigest()
