"""TensorBoard event files, one folder a version, written anew as a whole: nothing in TensorBoard can be changed."""

import os
import struct
import time
from collections.abc import Iterator, Mapping
from importlib import import_module
from pathlib import Path
from typing import Any, Protocol

from ...evaluate.infer_samples import kind_of
from ...rules.schema import TensorboardConfig
from ...store.paths import ARTIFACTS, EXTERNAL, REPORTS, STATE
from ...store.tree import Tree
from .tracker import Remember, Unreachable, package
from .version_as_run import File, RunView

_SUFFIX = ".progressive-training"
_LOOPS_OWN = tuple(tuple(name.split("/")) for name in ("dataset", ARTIFACTS, EXTERNAL, REPORTS, STATE))
_MOST_DOCUMENT = 64 * 1024


class _Message(Protocol):
    """A protocol buffer."""

    def SerializeToString(self) -> bytes: ...


class TensorboardFiles:
    """A run is the folder of its version: however often it is written, it is one run."""

    def __init__(self, config: TensorboardConfig, root: Path) -> None:
        """Raises `Unreachable` if tensorboardX is missing, or the folder is one of the loop's own."""
        package("tensorboard")
        self._folder = Path(os.path.normpath(root / Path(config.log_dir).expanduser()))
        self._is_inside = self._folder.is_relative_to(root)
        parts = self._folder.relative_to(root).parts if self._is_inside else ()
        if any(parts[: len(own)] == own for own in _LOOPS_OWN):
            raise Unreachable(
                "is a folder of the loop's own",
                where=f"tracking_config.tensorboard.log_dir {config.log_dir}",
                hint="give another one",
            )

    @property
    def target(self) -> str:
        return str(self._folder)

    def send(
        self, tree: Tree, run: RunView, run_id: str | None, parts: Mapping[str, str], remember: Remember
    ) -> tuple[str, ...]:
        """See `Tracker`. The new file is there whole before older ones go; a reader in between takes the newer one."""
        # A folder outside of the project may be shared by several.
        home = self._folder if self._is_inside else self._folder / f"{run.project}-{run.loop[:8]}"
        folder = home / run.version_id
        folder.mkdir(parents=True, exist_ok=True)
        new = folder / f"events.out.tfevents.{time.time():.6f}{_SUFFIX}"
        staged = folder / f".new{_SUFFIX}"
        writer: Any = import_module("tensorboardX.record_writer").RecordWriter(str(staged))
        try:
            for event in _events(tree, run):
                writer.write(event.SerializeToString())
            writer.flush()
        finally:
            writer.close()
        staged.replace(new)
        for old in folder.glob(f"events.out.tfevents.*{_SUFFIX}"):
            if old != new:
                old.unlink(missing_ok=True)
        remember(str(folder), {})
        return ()


def _events(tree: Tree, run: RunView) -> Iterator[_Message]:
    protos, summaries = import_module("tensorboardX.proto.event_pb2"), import_module("tensorboardX.summary")
    ended = run.ended_ms / 1000
    yield protos.Event(wall_time=ended, file_version="brain.Event:2")
    # What a reader has taken from an older file of this run is void from here on.
    start = protos.SessionLog(status=protos.SessionLog.START)
    yield protos.Event(wall_time=ended, step=0, session_log=start)
    params = {name: str(value) if value is None else value for name, value in run.params.items()}
    for summary in summaries.hparams(params, dict(run.score)):
        yield protos.Event(wall_time=ended, summary=summary)
    for tag, text in _texts(tree, run):
        yield protos.Event(wall_time=ended, step=run.score_step, summary=summaries.text(tag, text))
    for curve in run.curves:
        for place, (epoch, value) in enumerate(curve.points):
            at = run.epoch_ms(place, len(curve.points)) / 1000
            yield _scalar(curve.name, value, epoch, at)
    for name, value in run.score.items():
        yield _scalar(name, value, run.score_step, ended)
    for file in run.files:
        if (picture := _png(tree, file)) is not None:
            value = _proto("Summary").Value(tag=file.name, image=picture)
            summary = _proto("Summary")(value=[value])
            yield protos.Event(wall_time=ended, step=run.score_step, summary=summary)


def _scalar(tag: str, value: float, step: int, at: float) -> _Message:
    summary = _proto("Summary")
    event = import_module("tensorboardX.proto.event_pb2").Event
    return event(wall_time=at, step=step, summary=summary(value=[summary.Value(tag=tag, simple_value=value)]))


def _proto(name: str) -> Any:
    return getattr(import_module("tensorboardX.proto.summary_pb2"), name)


def _texts(tree: Tree, run: RunView) -> Iterator[tuple[str, str]]:
    yield "action", run.note
    yield (
        "about",
        "\n".join(f"- {name.removeprefix('progressive_training.')}: {text}" for name, text in run.tags.items()),
    )
    for file in run.files:
        if file.name.startswith("documents/"):
            yield file.name, tree.read(file.source).decode(errors="replace")[:_MOST_DOCUMENT]


def _png(tree: Tree, file: File) -> object | None:
    if "pictures/" not in file.name:
        return None
    data = tree.read(file.source)
    if kind_of(data) != "image/png" or len(data) < 24:
        return None
    width, height = struct.unpack(">II", data[16:24])
    return _proto("Summary").Image(width=width, height=height, colorspace=3, encoded_image_string=data)
