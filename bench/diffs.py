"""How many spoilt diffs are applied rightly, refused, or applied silently wrong.

    python bench/diffs.py --n 600

Cases whose place the diff no longer says must be refused, and are counted by themselves.
"""

import argparse
import importlib.util
import sys
import time
from collections import Counter
from pathlib import Path
from types import ModuleType
from typing import Literal

from progressive_training.loop.author.patch import apply_patch, parse_diff
from progressive_training.loop.errors import DiffError

SUPPORT = Path(__file__).resolve().parent.parent / "tests" / "support"
Outcome = Literal["right", "refused", "wrong"]


def load(name: str) -> ModuleType:
    """A module of tests/support, which is no package."""
    spec = importlib.util.spec_from_file_location(name, SUPPORT / f"{name}.py")
    if spec is None or spec.loader is None:
        raise SystemExit(f"{SUPPORT / name}.py is missing")
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


def outcome(text: str, diff: str, truth: str) -> tuple[Outcome, str]:
    """What becomes of a diff, with the reason where it is refused."""
    try:
        patches = parse_diff(diff)
        if len(patches) != 1:
            return "refused", f"{len(patches)} files"
        applied = apply_patch(text, patches[0], name="train.py")
    except DiffError as error:
        return "refused", str(error)
    return ("right" if applied.text == truth else "wrong"), ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=600, help="number of cases")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--scripts", type=Path, help="a folder of .py files to edit, in place of the built-in ones")
    parser.add_argument("--show", choices=["refused", "wrong"], help="print the cases of this outcome")
    args = parser.parse_args()
    corpus = load("diff_corpus")
    scripts: dict[str, str] = load("training_scripts").SCRIPTS
    if args.scripts:
        found = {path.name: path.read_text(encoding="utf-8") for path in sorted(args.scripts.glob("*.py"))}
        scripts = {name: text for name, text in found.items() if len(text) > 1500 and text.endswith("\n")}

    by_damage: Counter[tuple[str, str]] = Counter()
    total: Counter[str] = Counter()
    started = time.perf_counter()
    for case in corpus.corpus(args.n, seed=args.seed, scripts=scripts):
        result, why = outcome(case.text, case.diff, case.truth)
        kind = (
            result
            if case.determined
            else {"refused": "must refuse: did", "right": "must refuse: guessed right"}.get(result, result)
        )
        total[kind] += 1
        if args.show == result and (case.determined or result == "wrong"):
            print(f"=== {result} {case.damage}\n{case.diff}\n--- {why}\n")
        for damage in case.damage if case.determined else ():
            by_damage[damage, result] += 1
    seconds = time.perf_counter() - started

    print(f"{'damage':28}{'right':>8}{'refused':>9}{'wrong':>7}")
    for damage in sorted({name for name, _ in by_damage}):
        print(
            f"{damage:28}"
            + f"{by_damage[damage, 'right']:8}{by_damage[damage, 'refused']:9}{by_damage[damage, 'wrong']:7}"
        )
    determined = total["right"] + total["refused"] + total["wrong"]
    print(
        f"\nthe diff says where: {determined} cases, {total['right']} right "
        f"({total['right'] / max(1, determined):.1%}), {total['refused']} refused, {total['wrong']} wrong"
    )
    print(f"it does not: {total['must refuse: did']} refused, {total['must refuse: guessed right']} guessed right")
    print(f"{1000 * seconds / args.n:.2f} ms a case")
    return 1 if total["wrong"] else 0


if __name__ == "__main__":
    sys.exit(main())
