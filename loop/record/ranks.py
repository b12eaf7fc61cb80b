"""The facts of several processes as those of one run."""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from . import facts
from .facts import ProcessFacts, Section
from .parts import Opened, Problem, Seed, StandsIn


class Fit(NamedTuple):
    """A fit, a tuner's trial or an evaluation over all ranks. `first` is the lowest rank's, which speaks for all."""

    first: Section
    ranks: tuple[Section, ...]
    world_size: int

    @property
    def epochs_run(self) -> int:
        return self.first.epochs_run

    @property
    def steps(self) -> int:
        return self.first.steps

    @property
    def batch_sizes(self) -> Mapping[int, int]:
        """(Samples that one rank was handed at once → how often), of all ranks."""
        return _sizes(self.ranks)

    @property
    def usual_batch(self) -> int | None:
        """The size that most batches of one rank had; the larger of two."""
        return max(self.batch_sizes, key=lambda size: (self.batch_sizes[size], size), default=None)

    @property
    def batches_per_step(self) -> float | None:
        """Batches of one rank to each step of its optimizers, over the whole fit."""
        steps = self.first.steps // max(1, len(self.first.optimizers))
        return self.first.batches / steps if steps else None

    @property
    def samples_per_epoch(self) -> int | None:
        """Of all ranks, in the first whole epoch."""
        whole = [next((row.samples for row in one.epochs.rows if row.whole), None) for one in self.ranks]
        return sum(row for row in whole if row is not None) if whole and None not in whole else None

    @property
    def forward_ratio(self) -> float | None:
        """The most samples that the model was given for one sample of a batch."""
        seen = [row.samples / row.batch for one in self.ranks for row in one.forwards if row.batch]
        return max(seen, default=None)


class RunFacts(NamedTuple):
    """What one run did.

    `fits`, `trials` (a tuner's) and `evaluations` (validate, test, predict) are in their order. `loops`: what each rank
    trained outside of any trainer, the lowest rank's first. `ended`: every process that trained ended of itself; of
    all, if none trained.
    """

    fits: tuple[Fit, ...]
    trials: tuple[Fit, ...]
    evaluations: tuple[Fit, ...]
    loops: tuple[Section, ...]
    seeds: tuple[Seed, ...]
    opened: Opened
    processes: tuple[ProcessFacts, ...]
    world_size: int
    ended: bool
    problems: tuple[Problem, ...]

    @property
    def stands_in(self) -> tuple[StandsIn, ...]:
        """The project's files that ran since a library asked for a module of their name, each once."""
        return tuple({one.file: one for process in self.processes for one in process.stands_in}.values())

    @property
    def first(self) -> ProcessFacts | None:
        """The process that speaks for the run: the lowest rank that trained, else the first that left anything."""
        return min(self.processes, key=lambda one: (not one.trained, one.rank, one.began), default=None)


def run_facts(folder: Path) -> RunFacts:
    """What all processes of a run left in `folder`. Never raises for what lies there."""
    return merged(*facts.read(folder))


def merged(processes: Sequence[ProcessFacts], unread: Sequence[Problem] = ()) -> RunFacts:
    trained = [one for one in processes if one.trained]
    world_size = max((one.world_size for one in trained), default=1)
    problems = [*unread, *(problem for one in processes for problem in one.problems)]
    ranks = {one.rank for one in trained}
    if not processes and not unread:
        problems.append(Problem(what="facts", error="no process left any"))
    if trained and world_size <= 65536 and (missing := sorted(set(range(world_size)) - ranks)):
        problems.append(Problem(what="ranks", error=f"of {world_size} ranks {missing[:10]} left no facts"))
    fits = _aligned(trained, ("fit",), problems)
    return RunFacts(
        fits=fits,
        trials=_aligned(trained, ("tuner",), problems),
        evaluations=_aligned(processes, ("validate", "test", "predict"), problems),
        loops=tuple(
            one.script
            for one in sorted(trained, key=lambda one: one.rank)
            if one.script is not None and one.script.steps
        ),
        seeds=tuple(seed for one in trained or processes if one.rank == min(ranks, default=0) for seed in one.seeds),
        opened=_all_opened(processes),
        processes=tuple(processes),
        world_size=world_size,
        ended=bool(processes) and all(one.ended for one in trained or processes),
        problems=tuple(problems),
    )


def _aligned(processes: Sequence[ProcessFacts], kinds: tuple[str, ...], problems: list[Problem]) -> tuple[Fit, ...]:
    """The nth of each rank belong together. A spawning launcher starts each rank anew for every fit."""
    by_rank: dict[int, list[Section]] = {}
    for one in processes:
        found = [section for section in one.sections if section.kind in kinds]
        if found:
            by_rank.setdefault(one.rank, []).extend(found)
    counts = {len(sections) for sections in by_rank.values()}
    if len(counts) > 1:
        problems.append(Problem(what="ranks", error=f"they differ in how often they ran {' or '.join(kinds)}"))
    fits: list[Fit] = []
    for number in range(max(counts, default=0)):
        sections = tuple(by_rank[rank][number] for rank in sorted(by_rank) if number < len(by_rank[rank]))
        size = sections[0].settings.world_size if sections[0].settings is not None else len(sections)
        fits.append(Fit(sections[0], sections, size))
    return tuple(fits)


def _sizes(sections: Sequence[Section]) -> Mapping[int, int]:
    found: Counter[int] = Counter()
    for section in sections:
        for size, count in section.batch_sizes.items():
            if size.isascii() and size.isdigit() and len(size) < 12:
                found[int(size)] += count
    return found


def _all_opened(processes: Sequence[ProcessFacts]) -> Opened:
    def added(counts: Sequence[Mapping[str, int]]) -> Mapping[str, int]:
        total: Counter[str] = Counter()
        for one in counts:
            total.update(one)
        return total

    every = [one.opened for one in processes]
    return Opened(
        read=added([one.read for one in every]),
        weights=tuple(dict.fromkeys(path for one in every for path in one.weights)),
        written=added([one.written for one in every]),
        folders=added([one.folders for one in every]),
        looked_through=tuple(dict.fromkeys(path for one in every for path in one.looked_through)),
        made=tuple(dict.fromkeys(path for one in every for path in one.made)),
    )
