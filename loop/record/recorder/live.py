"""How far this process is, for its runner to see while it goes on: a small file that is written over in place.

Asked for by a variable, and made once something trains. A mark ends one gap and begins the next: between training
batches, between validation batches, from an epoch's start to its first batch, and between these, where checkpoints are
written. A gap is held against its own kind: a step of a tenth of a second says nothing of how long a validation may be.
"""

from __future__ import annotations

import collections
import os
import statistics
import time

from .recording import Gap, Recorder

VARIABLE = "PROGRESSIVE_TRAINING_LIVE"
BYTES = 256
_SECONDS = 0.2  # between two writes, while the kind of the gap is the same
_USUAL_SECONDS = 1.0  # between two looks at what is usual


class Gaps:
    """How long the gaps of one kind were; the usual one is the median of the last."""

    def __init__(self) -> None:
        self.longest = 0.0
        self._last: collections.deque[float] = collections.deque(maxlen=64)
        self._usual: float | None = None
        self._asked = 0.0

    def add(self, seconds: float) -> None:
        self._last.append(seconds)
        if seconds > self.longest:
            self.longest = seconds

    def usual(self, now: float) -> float | None:
        if self._last and (self._usual is None or now - self._asked > _USUAL_SECONDS):
            self._usual, self._asked = statistics.median(self._last), now
        return self._usual


class Live:
    """The file of this process; others, and forks, have their own."""

    def __init__(self, recorder: Recorder) -> None:
        self._recorder = recorder
        self.begin()

    def begin(self) -> None:
        """Forgets what was: a forked child is a process of its own."""
        self._file: int | None = None
        self._marks = 0
        self._kind: Gap | None = None
        self._at = self._written = 0.0
        self._gaps: dict[Gap, Gaps] = {}

    def mark(self, kind: Gap) -> None:
        """The run goes on: a gap of this kind begins."""
        now = time.monotonic()
        if self._kind is not None:
            self._gaps[self._kind].add(now - self._at)
        elif kind == "training":
            self._open()
        else:
            return  # what only evaluates is not watched
        self._marks += 1
        self._at = now
        if kind != self._kind or now - self._written > _SECONDS:
            self._kind = kind
            self._write(now, kind)

    def end(self, diverged: bool = False) -> None:
        if self._kind is not None or diverged:
            if self._file is None:
                self._open()
            self._write(time.monotonic(), "outside", ended=True, diverged=diverged)

    def _open(self) -> None:
        name = f"{os.getpid()}-{time.time_ns():x}.live"
        path = os.path.join(self._recorder.folder, f"rank{self._recorder.rank}-{name}")
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o644)

    def _write(self, now: float, kind: Gap, *, ended: bool = False, diverged: bool = False) -> None:
        if kind not in self._gaps:
            self._gaps[kind] = Gaps()
        gaps = self._gaps[kind]
        usual = gaps.usual(now)
        text = (
            f'{{"marks":{self._marks},"kind":"{kind}","usual":{"null" if usual is None else f"{usual:.6f}"},'
            f'"longest":{gaps.longest:.6f},"ended":{str(ended).lower()},"diverged":{str(diverged).lower()}}}'
        )
        assert self._file is not None
        os.pwrite(self._file, text.ljust(BYTES).encode(), 0)
        self._written = now


def watch(recorder: Recorder) -> None:
    """Marks from now on, if the run's variable asks for it."""
    if not os.environ.get(VARIABLE):
        return
    live = Live(recorder)
    recorder.mark, recorder.end_live = recorder.guarded(live.mark), recorder.guarded(live.end)
    recorder.at_begin.append(live.begin)
