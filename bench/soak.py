"""Is anything ever lost? Every write of every Step stopped, servers and runners killed at random, clients that collide.

    python bench/soak.py [--sweep K] [--faults F …] [--only STEP] [--trials N] [--rounds N] [--clients N] [--jobs N]
        [--first SEED]

`--sweep K` stops each mutating Step at every K-th of its writes by each of `--faults` (1: every one, 0: leave out).
`--trials` are loops over stdio in which a server, a runner, both or the client goes at random moments.
`--rounds` are loops of which `--clients` processes make every call at once. The exit code is 1 if anything was lost.
Needs strace. Works in /dev/shm where there is one.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tests"))

from support.faults.cases import CASES, Case
from support.faults.injection import FAULTS, Fault, driver
from support.faults.storm import VICTIMS, Storm, clients_at_once, storm
from support.faults.sweep import Bench, Trial

MEMORY = Path("/dev/shm")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    for name, default in (("sweep", 1), ("trials", 1000), ("rounds", 200), ("clients", 16), ("jobs", 2), ("first", 0)):
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--faults", nargs="+", choices=FAULTS, default=FAULTS)
    parser.add_argument("--only", default="", help="the sweep's Steps whose name has this in it")
    asked = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="soak-", dir=MEMORY if MEMORY.is_dir() else None) as folder:
        room = Path(folder)
        problems: list[str] = []
        with ProcessPoolExecutor(asked.jobs) as pool:
            if asked.sweep:
                cases = [case for case in CASES if asked.only in case.name]
                pairs = [(fault, case.name) for case in cases for fault in asked.faults]
                problems += told_sweep(cases, asked.faults, pool.map(partial(swept, room, asked.sweep), pairs))
            if asked.trials:
                seeds = range(asked.first, asked.first + asked.trials)
                problems += told_storms(pool.map(partial(stormed, room), seeds))
            if asked.rounds:
                problems += told_clients(pool.map(partial(collided, room, asked.clients), range(asked.rounds)))
    for problem in problems:
        print(f"LOST  {problem}")
    sys.exit(1 if problems else 0)


@dataclass(frozen=True)
class Swept:
    """One case under one fault: how many writes it has, and what came of stopping it at some of them."""

    writes: int
    trials: list[Trial]


def swept(room: Path, every: int, pair: tuple[Fault, str]) -> Swept:
    fault, case = pair[0], next(case for case in CASES if case.name == pair[1])
    folder = room / f"{fault}-{CASES.index(case)}"
    folder.mkdir()
    with driver() as plain, driver(fault, folder / "log") as traced:
        bench = Bench(folder, plain, traced, fault)
        reference = bench.reference(case)
        points = reference.points[(every - 1) // 2 :: every]
        trials = [bench.trial(case, reference, point) for point in points]
    shutil.rmtree(folder)
    return Swept(len(reference.points), trials)


def told_sweep(cases: Sequence[Case], faults: Sequence[Fault], found: Iterable[Swept]) -> list[str]:
    print(
        f"\n{'Step, stopped at its writes':38}{'writes':>8}" + "".join(f"{fault:>14}" for fault in faults), flush=True
    )
    problems: list[str] = []
    totals, all_writes = [[0, 0] for _ in faults], 0
    results = iter(found)
    for case in cases:
        row = [next(results) for _ in faults]
        cells = ""
        for fault, one, total in zip(faults, row, totals, strict=True):
            bad = [trial for trial in one.trials if trial.problems or not trial.hit]
            total[0] += len(bad)
            total[1] += len(one.trials)
            cells += f"{f'{len(bad)} of {len(one.trials)}':>14}"
            problems += [f"{case.name}, {fault} at {trial.point}: {trial.problems or 'was not hit'}" for trial in bad]
        all_writes += row[0].writes
        print(f"{case.name:38}{row[0].writes:>8}{cells}", flush=True)
    print(
        f"{'neither before nor after':38}{all_writes:>8}" + "".join(f"{f'{bad} of {all_}':>14}" for bad, all_ in totals)
    )
    return problems


def stormed(room: Path, seed: int) -> Storm:
    folder = room / f"storm-{seed}"
    try:
        return storm(folder, seed)
    except AssertionError as error:
        return Storm(problems=[f"seed {seed}: {error}"])
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def told_storms(storms: Iterable[Storm]) -> list[str]:
    began = time.monotonic()
    kills: Counter[str] = Counter()
    trials = lost = orphans = doubled = other = 0
    problems: list[str] = []
    for trials, one in enumerate(storms, 1):
        kills.update(one.kills)
        lost += not one.finished
        orphans += len(one.orphans)
        doubled += any("versions" in problem for problem in one.problems)
        other += bool(one.problems)
        problems += one.problems + [f"process {pid} was left" for pid in one.orphans]
        if trials % 20 == 0:
            print(
                f"  {trials} loops, {sum(kills.values())} kills, {len(problems)} problems", file=sys.stderr, flush=True
            )
    print(f"\n{'loops over stdio':38}{trials:>8}")
    for victim in VICTIMS:
        print(f"{'  gone: ' + victim:38}{kills[victim]:>8}")
    for name, value in (
        ("loops lost", lost),
        ("orphans", orphans),
        ("duplicated versions", doubled),
        ("loops with anything wrong", other),
        ("seconds", round(time.monotonic() - began)),
    ):
        print(f"{name:38}{value:>8}", flush=True)
    return problems


def collided(room: Path, clients: int, number: int) -> list[str]:
    folder = room / f"clients-{number}"
    try:
        with driver() as plain:
            return clients_at_once(folder, plain, clients)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def told_clients(found: Iterable[list[str]]) -> list[str]:
    rounds = bad = 0
    problems: list[str] = []
    for rounds, one in enumerate(found, 1):
        bad += bool(one)
        problems += one
        if rounds % 20 == 0:
            print(f"  {rounds} loops of colliding clients, {bad} bad", file=sys.stderr, flush=True)
    print(f"\n{'loops of colliding clients':38}{rounds:>8}\n{'with anything wrong':38}{bad:>8}", flush=True)
    return problems


if __name__ == "__main__":
    main()
