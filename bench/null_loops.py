"""Loops in which no version is better than another: how often does each rule claim a win, and what does it overlook?

    python bench/null_loops.py [--loops 1000] [--versions 20] [--samples 1000] [--accuracy 0.9] [--changed 0.07]

Each validation sample has a chance of its own to be solved, and a retraining draws every outcome anew: two versions
then differ on `--changed` of the samples, as two seeds of one script do (0.07 of 1,000: a seed sd of 0.6 points).
Labels are made by the functions of loop/judge/noise that `judge` calls; a 0/1 score needs no interval.
"""

import argparse
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from progressive_training.loop.judge.noise.thresholds import (
    counted_looks,
    label_of,
    mcnemar_p,
    mcnemar_threshold,
    threshold,
)

Outcomes = NDArray[np.bool_]


@dataclass(frozen=True)
class World:
    versions: int
    samples: int
    accuracy: float
    changed: float

    def difficulties(self, rng: np.random.Generator) -> NDArray[np.float64]:
        """Each sample's chance to be solved: Beta, with the mean and the changes that are asked for."""
        ratio = self.changed / 2 / (self.accuracy * (1 - self.accuracy))
        if not 0 < ratio < 1:
            raise SystemExit("--changed must lie between 0 and 2 · accuracy · (1 − accuracy)")
        size = ratio / (1 - ratio)
        return rng.beta(size * self.accuracy, size * (1 - self.accuracy), self.samples)

    def train(self, chances: NDArray[np.float64], rng: np.random.Generator, gain: float = 0.0) -> Outcomes:
        """One version's outcomes; `gain` is its true advantage, spread over the samples that it may still win."""
        solved = rng.random(self.samples) < chances
        luck = rng.random(self.samples)
        if gain >= 0:
            return solved | (luck < gain / (1 - self.accuracy))
        return solved & (luck >= -gain / self.accuracy)


@dataclass(frozen=True)
class Pair:
    """A new version against an older one."""

    gained: int
    lost: int
    n: int
    looks: int
    seed_sd: float | None = None
    repeats: int | None = None
    selected: bool = False

    @property
    def delta(self) -> float:
        return (self.gained - self.lost) / self.n

    @property
    def se(self) -> float:
        return math.sqrt(((self.gained + self.lost) / self.n - self.delta**2) / (self.n - 1))

    def bound(self, looks: int) -> float:
        return threshold(self.se, looks=looks, units=self.n, seed_sd=self.seed_sd, repeats=self.repeats)

    def label(self) -> str:
        """As `judge` labels a 0/1 score."""
        looks = counted_looks(self.looks, delta=self.delta, selected=self.selected)
        exact = mcnemar_threshold(self.gained + self.lost, self.n, looks=looks)
        alone = mcnemar_p(self.gained, self.lost) < 0.05
        if self.seed_sd is not None:
            exact, alone = max(exact, self.bound(looks)), alone and abs(self.delta) > self.bound(1)
        return label_of(self.delta, exact, uncorrected=alone)


def pair(new: Outcomes, old: Outcomes, looks: int) -> Pair:
    return Pair(int((new & ~old).sum()), int((old & ~new).sum()), len(new), looks)


Wins = Callable[[Pair], bool]
RULES: dict[str, Wins] = {
    "best so far: any higher score": lambda pair: pair.delta > 0,
    "Ladder: delta > SE": lambda pair: pair.delta > pair.se,
    "95 % each time: delta > 1.96 SE": lambda pair: pair.delta > 1.959964 * pair.se,
    "delta > z(1 − 0.05/2K) SE": lambda pair: pair.delta > pair.bound(pair.looks),
    "significant (exact, corrected)": lambda pair: pair.delta > 0 and pair.label() == "significant",
}


def champion(loop: Sequence[Outcomes], wins: Wins) -> tuple[bool, float]:
    """Whether a rule that keeps its own best claims a win, and the score of the version that it ends with."""
    best, claimed = loop[0], False
    for version in loop[1:]:
        if wins(pair(version, best, len(loop))):
            best, claimed = version, True
    return claimed, float(best.mean())


def claims(loop: Sequence[Outcomes], seed_sd: float | None = None, repeats: int | None = None) -> set[str]:
    """What the labels of a loop claim, against each reference that a version is shown beside."""
    found: set[str] = set()
    best = 0
    for cur in range(1, len(loop)):
        for reference, index in (("parent", cur - 1), ("best so far", best), ("v001", 0)):
            compared = replace(
                pair(loop[cur], loop[index], len(loop)),
                seed_sd=seed_sd,
                repeats=repeats,
                selected=reference == "best so far",
            )
            if compared.label() == "significant":
                found.add(f"{reference} {'better' if compared.delta > 0 else 'worse'}")
        if loop[cur].mean() > loop[best].mean():
            best = cur
    return found


def null_loops(world: World, loops: int, rng: np.random.Generator) -> None:
    ends: dict[str, list[tuple[bool, float]]] = {name: [] for name in RULES}
    found: list[set[str]] = []
    for _ in range(loops):
        chances = world.difficulties(rng)
        loop = [world.train(chances, rng) for _ in range(world.versions)]
        for name, wins in RULES.items():
            ends[name].append(champion(loop, wins))
        found.append(claims(loop))
    print(f"{'rule':<34} {'a false win':>12} {'optimism of the winner':>24}")
    for name, rows in ends.items():
        optimism = 100 * (np.mean([score for _, score in rows]) - world.accuracy)
        print(f"{name:<34} {np.mean([claimed for claimed, _ in rows]):>12.1%} {optimism:>+17.2f} points")
    print(f"\n{'label significant against':<34} {'better':>12} {'worse':>12} {'either':>12}")
    for reference in ("parent", "best so far", "v001"):
        print_claims(reference, found, (reference,))
    print_claims("any of the three", found, ("parent", "best so far", "v001"))


def null_losses(world: World, loops: int, rng: np.random.Generator) -> None:
    """The same for a loss, whose few hard samples weigh most: the rule by SE, since no exact test is at hand."""
    claimed: dict[str, set[str]] = {"parent": set(), "best so far": set(), "v001": set()}
    for number in range(loops):
        logits = rng.normal(3, 2, world.samples) + rng.normal(0, 1, (world.versions, world.samples))
        losses = np.log1p(np.exp(-logits))
        for cur in range(1, world.versions):
            best = int(losses[:cur].mean(axis=1).argmin())
            for reference, index in (("parent", cur - 1), ("best so far", best), ("v001", 0)):
                differences = losses[index] - losses[cur]
                delta, se = float(differences.mean()), float(differences.std(ddof=1)) / math.sqrt(world.samples)
                looks = counted_looks(world.versions, delta=delta, selected=reference == "best so far")
                if abs(delta) > threshold(se, looks=looks, units=world.samples):
                    claimed[reference].add(f"{number} {'better' if delta > 0 else 'worse'}")
    for reference, found in claimed.items():
        rates = [sum(name.endswith(kind) for name in found) / loops for kind in ("better", "worse")]
        either = len({name.split()[0] for name in found}) / loops
        print(f"{'a loss, ' + reference:<34} " + " ".join(f"{rate:>12.1%}" for rate in (*rates, either)))


def print_claims(title: str, found: list[set[str]], references: tuple[str, ...]) -> None:
    kinds = ("better",), ("worse",), ("better", "worse")
    rates = [
        np.mean([any(f"{name} {kind}" in one for name in references for kind in wanted) for one in found])
        for wanted in kinds
    ]
    print(f"{title:<34} " + " ".join(f"{rate:>12.1%}" for rate in rates))


def seed_floor(world: World, loops: int, rng: np.random.Generator, *, sd: float, repeats: int) -> None:
    """Retrainings whose true accuracy differs by luck: what the seed-noise floor is for."""
    plain, floored = "parent or best so far", f"the same, floor from {repeats} repeats"
    found: dict[str, list[set[str]]] = {plain: [], floored: []}
    for _ in range(loops):
        chances = world.difficulties(rng)
        loop = [world.train(chances, rng, rng.normal(0, sd)) for _ in range(world.versions)]
        again = [float(world.train(chances, rng, rng.normal(0, sd)).mean()) for _ in range(repeats)]
        found[plain].append(claims(loop))
        found[floored].append(claims(loop, float(np.std(again, ddof=1)), repeats))
    for name, rows in found.items():
        print_claims(name, rows, ("parent", "best so far"))


def power(world: World, pairs: int, rng: np.random.Generator) -> None:
    """How often one look out of K finds a true gain, alone and with a floor from the sd of repeated trainings."""
    columns = ("significant", "suggestive", "floor, R=10", "floor, R=5")
    print(f"{'a true gain of':<34} " + " ".join(f"{name:>12}" for name in columns))
    for gain in (0.0, 0.01, 0.02, 0.05):
        counts: dict[str, int] = dict.fromkeys(columns, 0)
        for _ in range(pairs):
            chances = world.difficulties(rng)
            compared = pair(world.train(chances, rng, gain), world.train(chances, rng), world.versions)
            again = [float(world.train(chances, rng).mean()) for _ in range(10)]
            label = compared.label() if compared.delta > 0 else "noise"
            counts["significant"] += label == "significant"
            counts["suggestive"] += label in ("significant", "suggestive")
            for repeats in (10, 5):
                sd = float(np.std(again[:repeats], ddof=1))
                floored = replace(compared, seed_sd=sd, repeats=repeats)
                counts[f"floor, R={repeats}"] += compared.delta > 0 and floored.label() == "significant"
        print(f"{100 * gain:+.0f} points{'':<25} " + " ".join(f"{count / pairs:>12.1%}" for count in counts.values()))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loops", type=int, default=1000)
    parser.add_argument("--versions", type=int, default=20, help="K, the number of looks")
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--accuracy", type=float, default=0.9)
    parser.add_argument("--changed", type=float, default=0.07, help="share of samples that a retraining changes")
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    world = World(args.versions, args.samples, args.accuracy, args.changed)
    rng = np.random.default_rng(args.seed)
    started = time.perf_counter()
    print(f"{args.loops} loops of {args.versions} versions without any difference, {args.samples} samples\n")
    null_loops(world, args.loops, rng)
    null_losses(world, args.loops, rng)
    for sd in (0.003, 0.006):
        title = f"plus training luck of sd {100 * sd:.1f} points"
        print(f"\n{title:<34} {'better':>12} {'worse':>12} {'either':>12}")
        seed_floor(world, args.loops, rng, sd=sd, repeats=5)
    print("\nhow often one look out of K finds a true gain (suggestive: or more; floor: significant beyond seed noise)")
    power(world, args.loops, rng)
    print(f"\n{time.perf_counter() - started:.0f} s")


if __name__ == "__main__":
    main()
