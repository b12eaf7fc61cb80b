"""In the runner: what a job takes of this machine's NVIDIA GPUs, by a look a second through the driver's library.

Standard library only: the runner's interpreter knows no package. On a machine without a GPU nothing is loaded. The
library (NVML) measures a GPU as a whole: other programs on it count as well.
"""

import os
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

LOOK_SECONDS = 1.0
_DRIVERS = ("/dev/nvidiactl", "/dev/nvidia0", "/dev/dxg")  # dxg: Windows' subsystem for Linux
_LIBRARY = "libnvidia-ml.so.1"
_END_SECONDS = 0.5  # a driver that hangs must not hold up a result
_LEAST_BYTES = 32 << 20  # a context takes hundreds of MiB; a change of less is somebody else's


class Look(NamedTuple):
    """One GPU at one moment; `busy` is the share of the last moments in which it computed, 0 to 1."""

    used_bytes: int
    busy: float


class Use(NamedTuple):
    """`peak_memory_bytes` is by what the used memory of all GPUs grew; `utilisation` is a mean, of those it grew on."""

    peak_memory_bytes: int
    utilisation: float


Read = Callable[[], Sequence[Look]]


class Watch:
    """Looks from a thread of its own, from now until `end`."""

    def __init__(self, open_read: Callable[[], Read | None]) -> None:
        """`open_read` is called in that thread: to load a driver's library may take a second."""
        self._open = open_read
        self._looks: list[Sequence[Look]] = []
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._watch, daemon=True)
        self._thread.start()

    def end(self) -> Use | None:
        """Ends the watch; None where the job took no GPU, or nothing could be measured."""
        self._ended.set()
        self._thread.join(_END_SECONDS)
        return summary(list(self._looks))

    def _watch(self) -> None:
        read = self._open()
        while read is not None:
            try:
                self._looks.append(read())
            except OSError:
                return
            if self._ended.wait(LOOK_SECONDS):
                return


def watch(env: Mapping[str, str]) -> Watch | None:
    """Watches the GPUs that a job with these variables may use; None where there is no driver for any."""
    if not any(os.path.exists(path) for path in _DRIVERS):  # noqa: PTH110 - cheaper, and it runs for every job
        return None
    visible = env.get("CUDA_VISIBLE_DEVICES")
    return Watch(lambda: _nvml(visible))


def summary(looks: Sequence[Sequence[Look]]) -> Use | None:
    """The use over some looks, of which the first is from before the job had begun to use any GPU."""
    if len(looks) < 2:
        return None
    places = range(len(looks[0]))
    grown = [[max(0, look[place].used_bytes - looks[0][place].used_bytes) for place in places] for look in looks]
    taken = [place for place in places if max(row[place] for row in grown) >= _LEAST_BYTES]
    if not taken:
        return None
    peak = max(sum(row[place] for place in taken) for row in grown)
    busy = [look[place].busy for look in looks[1:] for place in taken]
    return Use(peak, sum(busy) / len(busy))


def chosen(visible: str | None, count: int) -> list[int | str]:
    """The indices or UUIDs that CUDA_VISIBLE_DEVICES names, of `count` GPUs; all where it isn't set.

    Indices are taken as the driver's own; CUDA may count others where GPUs of several kinds are in one machine.
    """
    if visible is None:
        return list(range(count))
    found: list[int | str] = []
    for name in (part.strip() for part in visible.split(",")):
        if name.isascii() and name.isdigit() and int(name) < count:
            found.append(int(name))
        elif name.startswith("GPU-"):
            found.append(name)
        else:
            break  # as CUDA does it: what comes after an invalid one isn't visible
    return found


def _nvml(visible: str | None) -> Read | None:
    """Reads the chosen GPUs; None where the library says no."""
    import ctypes

    class Memory(ctypes.Structure):
        _fields_ = [("total", ctypes.c_ulonglong), ("free", ctypes.c_ulonglong), ("used", ctypes.c_ulonglong)]

    class Utilization(ctypes.Structure):
        _fields_ = [("gpu", ctypes.c_uint), ("memory", ctypes.c_uint)]

    try:
        library = ctypes.CDLL(_LIBRARY)
    except OSError:
        return None
    count = ctypes.c_uint()
    if library.nvmlInit_v2() or library.nvmlDeviceGetCount_v2(ctypes.byref(count)):
        return None
    handles: list[ctypes.c_void_p] = []
    for device in chosen(visible, count.value):
        handle = ctypes.c_void_p()
        if isinstance(device, int):
            failed = library.nvmlDeviceGetHandleByIndex_v2(device, ctypes.byref(handle))
        else:
            failed = library.nvmlDeviceGetHandleByUUID(device.encode(), ctypes.byref(handle))
        if not failed:
            handles.append(handle)

    def read() -> list[Look]:
        looks: list[Look] = []
        for handle in handles:
            memory, utilization = Memory(), Utilization()
            if library.nvmlDeviceGetMemoryInfo(handle, ctypes.byref(memory)):
                raise OSError("NVML gives no memory")
            # Some virtual GPUs measure none: then it counts as idle.
            library.nvmlDeviceGetUtilizationRates(handle, ctypes.byref(utilization))
            looks.append(Look(memory.used, utilization.gpu / 100))
        return looks

    return read
