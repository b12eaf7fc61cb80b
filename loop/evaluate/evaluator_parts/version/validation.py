"""The script's validation data, whole and in its own order, handed over batch by batch."""

from __future__ import annotations

import contextlib
import io
import time
from collections.abc import Callable, Iterable, Iterator
from typing import Any, NamedTuple

from torch.utils.data import BatchSampler, DataLoader, IterableDataset, RandomSampler, SequentialSampler, Subset

from ..errors import ScriptFault
from ..trees import boxed
from ..wire.messages import Channel
from .script import FitCall, own

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.


class Validation(NamedTuple):
    """The whole validation set in its own order; `dataset` is None where single items can't be asked for."""

    loader: Iterable[Any]
    dataset: Any
    collate: Callable[[list[Any]], Any]
    loaders: int = 1  # how many the script has; this one is `number` among them, and called `name`
    number: int = 0
    name: str = "0"


def validation_set(call: FitCall, wanted: str | None = None) -> Validation:
    """Find the script's validation loader and make it complete: no shuffling, no sampler, no dropped batch.

    Of several it is the `wanted` one, by number or name, or the first. Raises `ScriptFault` where there is none.
    """
    loader = call.val_dataloaders
    if loader is None:
        source = call.model if call.datamodule is None else call.datamodule
        # Lightning's own default raises; a script that has none is told so below.
        loader = source.val_dataloader() if own(getattr(source, "val_dataloader", None)) else None
    loader = getattr(loader, "iterables", loader)  # a CombinedLoader
    listed = dict(enumerate(loader)) if isinstance(loader, (list, tuple)) else {}
    several = loader if isinstance(loader, dict) else listed
    names = [str(name) for name in several]
    places = {**{str(place): place for place in range(len(names))}, **{name: place for place, name in enumerate(names)}}
    number = places.get(wanted or "0", 0 if not several and wanted in (None, "0") else None)
    if number is None or loader is None or (isinstance(loader, (list, tuple, dict)) and not loader):
        there = f"{len(several)} ({', '.join(names)})" if several else "no" if loader is None else "one"
        raise ScriptFault(
            f"the training script has {there} validation loaders{f', and {wanted} is to be scored' if wanted else ''}. "
            'Next: name one by write_eval(settings={"loader": …}), or by a metric such as "val_acc/dataloader_idx_1", '
            "or let the script have it (repair_version)"
        )
    return whole(list(several.values())[number] if several else loader)._replace(
        loaders=max(1, len(several)), number=number, name=names[number] if several else "0"
    )


def whole(loader: Any) -> Validation:
    """All of a loader's samples, in their own order."""
    if not isinstance(loader, DataLoader):
        return Validation(loader, None, list)
    dataset, collate = loader.dataset, loader.collate_fn
    if isinstance(dataset, IterableDataset) or loader.batch_sampler is None:
        return Validation(DataLoader(dataset, loader.batch_size, collate_fn=collate), None, collate)
    dataset = without_sampler(loader)
    batch_size = loader.batch_size or getattr(loader.batch_sampler, "batch_size", None) or 32
    return Validation(DataLoader(dataset, batch_size, shuffle=False, collate_fn=collate), dataset, collate)


def without_sampler(loader: Any) -> Any:
    """The dataset, or where a sampler picks some of it (a split made by sampler), those samples in dataset order."""
    plain = type(loader.batch_sampler) is BatchSampler
    sampler: Any = loader.sampler if plain else (index for batch in loader.batch_sampler for index in batch)
    if plain and isinstance(sampler, (SequentialSampler, RandomSampler)):
        return loader.dataset
    if plain and len(sampler) * getattr(sampler, "num_replicas", 1) >= len(loader.dataset):
        return loader.dataset
    chosen = sorted({int(index) for index in sampler})
    return loader.dataset if len(chosen) == len(loader.dataset) else Subset(loader.dataset, chosen)


def sample_ids(dataset: Any, count: int) -> list[str]:
    """A sample's id is its place in the underlying dataset, so that versions that split it otherwise don't pair up."""
    ids = list(range(count))
    while isinstance(dataset, Subset):
        ids, dataset = [int(dataset.indices[index]) for index in ids], dataset.dataset
    return [str(index) for index in (ids if len(set(ids)) == count else range(count))]


def serve(validation: Validation, channel: Channel, seed: Callable[[int], None]) -> None:
    """Answers the scorer: `about`, `batches` and `singles` (which begin a walk), and `next`, until it hangs up.

    `draw` says which random numbers a walk has.
    """
    walk: Iterator[Any] = iter(())
    while True:
        request = channel.receive()
        operation = request["op"]
        if operation == "about":
            channel.send(_about(validation))
        elif operation == "ids":
            channel.send(sample_ids(validation.dataset, request["count"]))
        elif operation == "batches":
            seed(request["draw"])
            walk = iter(validation.loader)
        elif operation == "singles":
            seed(0)
            walk = _singles(validation, request["members"])
        elif operation == "next":
            channel.send(_next(walk))


def _about(validation: Validation) -> dict[str, Any]:
    dataset = validation.dataset
    place = {"loaders": validation.loaders, "loader": validation.number, "named": validation.name}
    return {"samples": None if dataset is None else len(dataset), **place}


def _singles(validation: Validation, members: list[list[int]]) -> Iterator[Any]:
    for some in members:
        yield validation.collate([validation.dataset[index] for index in some])


def _next(walk: Iterator[Any]) -> dict[str, Any]:
    """The next batch, and the seconds that it took to prepare it."""
    began = time.perf_counter()
    # What a data set prints for each sample is nobody's business here.
    with contextlib.redirect_stdout(io.StringIO()):
        try:
            batch = next(walk)
        except StopIteration:
            return {"end": True}
    seconds = time.perf_counter() - began
    return {"batch": boxed(batch), "seconds": seconds}
