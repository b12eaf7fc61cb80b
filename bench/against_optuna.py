"""What a training buys: the best validation score after 10 trainings, offline agent beside Optuna (random and TPE).

    python bench/against_optuna.py [--trainings 10] [--seeds 10] [--datasets digits diabetes] [--rows FILE]
    python bench/against_optuna.py --first-seed 101 --seeds 20        seeds that nothing was chosen by

Resumable: each finished search is a line of bench/out/against_optuna.jsonl and is not run again (--fresh forgets them),
so that it can run in pieces and for hours. A search is one method on one data set with one seed, which is the seed of
training, of the sampler, and in the rules.

All train the examples' own scripts, executed in this process as they would run on their own: same data, epochs and
batches. The offline agent's side calls what its driver calls, diagnosis and playbook, on scripts, curves and scores; a
diverged training counts, and so does its repair. Where the playbook has nothing left, it stops early. Optuna searches
the hyper-parameters that the playbook can change, begins with the baseline as well, and its TPE with 4 random trials
(its default of 10 would make 10 trainings all random).
"""

import argparse
import contextlib
import importlib
import io
import json
import math
import random
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from peers import OPTUNA, OUT
from rows import Row, add_rows_option, write_rows

from progressive_training.agents.offline.diagnosis import Curves, Scores, diagnose
from progressive_training.agents.offline.playbook import Past, moves
from progressive_training.loop.rules.reading import Rules, read_rules
from progressive_training.loop.store.tree import Tree
from progressive_training.loop.train.curves import read_curves

EXAMPLES = Path(__file__).resolve().parent.parent / "examples"
RESULTS = OUT.parent / "against_optuna.jsonl"
ARTIFACTS = "Models/Artifacts/baseline"
METHODS = ("offline agent", "Optuna random", "Optuna TPE")


class Example(NamedTuple):
    """`hidden` is the baseline's width; `score` makes the metric of the best epoch's values."""

    metric: str
    higher_is_better: bool
    hidden: int
    learning_rate: float
    score: Callable[["Trained", Path], float]


class Trained(NamedTuple):
    """A training's curves, and each logged value at the epoch of the lowest validation loss: that of best.ckpt."""

    curves: Curves
    at_best: dict[str, float]


def accuracy(trained: Trained, root: Path) -> float:
    return trained.at_best.get("val_accuracy", math.nan)


def rmse(trained: Trained, root: Path) -> float:
    """In the target's own unit; the script's loss is in units of its variance."""
    target = json.loads((root / "dataset/prepdata/v1/stats.json").read_text(encoding="utf-8"))["target"]
    return math.sqrt(trained.at_best.get("val_loss", math.nan)) * target["std"]


DATASETS = {
    "digits": Example("accuracy", True, 32, 0.005, accuracy),
    "diabetes": Example("rmse", False, 16, 0.003, rmse),
}


def train(root: Path, text: str) -> Trained:
    """Executes the script as a program of its own."""
    shutil.rmtree(root / "Models", ignore_errors=True)
    path = root / "02_train_baseline.py"
    path.write_text(text, encoding="utf-8")
    before = list(sys.argv)
    sys.argv = [str(path)]
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            exec(compile(text, str(path), "exec"), {"__name__": "__main__", "__file__": str(path)})
    finally:
        sys.argv = before
    found = read_curves(Tree(root), ARTIFACTS)
    assert found is not None, "the script wrote metrics.csv"
    curves = Curves(found.epochs, found.train_loss, found.val_loss)
    known = [(loss, place) for place, loss in enumerate(found.val_loss) if loss is not None and math.isfinite(loss)]
    if not known or found.not_finite:
        return Trained(curves, {})
    place = min(known)[1]
    return Trained(curves, {name: value for name, all_ in found.series.items() if (value := all_[place]) is not None})


def project(folder: Path, name: str, seed: int) -> tuple[Path, str, Rules]:
    """A copy of the example, its baseline with that seed, and the rules with it."""
    root = folder / f"{name}-{seed}"
    shutil.copytree(EXAMPLES / name, root, ignore=shutil.ignore_patterns("__pycache__"), dirs_exist_ok=True)
    rules, own = root / "user_defined_rules.json", {"seed": seed, "rehearse": False}
    rules.write_text(json.dumps({**json.loads(rules.read_text(encoding="utf-8")), **own}), encoding="utf-8")
    text = (EXAMPLES / name / "02_train_baseline.py").read_text(encoding="utf-8")
    return root, edited(text, ("SEED = 42\n", f"SEED = {seed}\n")), read_rules(root)


def by_agent(root: Path, text: str, rules: Rules, example: Example, seed: int, trainings: int) -> list[float | None]:
    """The score of each training, None for one that diverged."""
    made: list[float | None] = []
    scripts, changes, scores = [text], list[str](), list[float | None]()
    for _ in range(trainings):
        trained = train(root, scripts[-1])
        score = example.score(trained, root) if trained.at_best else None
        made.append(score)
        if score is None:
            past, verdict = Past((scripts[-1],)), "diverged"
            repair = next((move for move in moves(past, verdict, rules.fixed) if "learning rate" in move.change), None)
            if repair is None:
                break
            scripts[-1] = repair.new_text
            continue
        scores.append(score)
        told = Scores(example.metric, tuple(scores), example.higher_is_better)
        past = Past(tuple(scripts), told.best, tuple(changes))
        move = next(moves(past, diagnose(trained.curves, told).verdict, rules.fixed), None)
        if move is None:
            break
        scripts.append(move.new_text)
        changes.append(move.change)
    return made


def by_optuna(method: str) -> Callable[..., list[float | None]]:
    def search(root: Path, text: str, rules: Rules, example: Example, seed: int, trainings: int) -> list[float | None]:
        optuna: Any = importlib.import_module("optuna")  # not among our requirements
        optuna.logging.set_verbosity(optuna.logging.ERROR)
        samplers = optuna.samplers
        random_first = samplers.RandomSampler(seed=seed)
        sampler = random_first if method == "Optuna random" else samplers.TPESampler(seed=seed, n_startup_trials=4)
        study = optuna.create_study(direction="maximize" if example.higher_is_better else "minimize", sampler=sampler)
        study.enqueue_trial(
            {"optimizer": "SGD", "lr_sgd": example.learning_rate, "hidden": example.hidden, "weight_decay": 0.0}
            | {"dropout": 0.0, "norm": False, "cosine": False, "clip": False, "smoothing": 0.0}
        )
        made: list[float | None] = []

        def objective(trial: Any) -> float:
            trained = train(root, configured(text, suggested(trial, example), example))
            score = example.score(trained, root) if trained.at_best else None
            made.append(score)
            if score is None:
                raise optuna.TrialPruned
            return score

        study.optimize(objective, n_trials=trainings)
        return made

    return search


def suggested(trial: Any, example: Example) -> dict[str, Any]:
    """What the playbook's moves reach, as one space."""
    optimizer = trial.suggest_categorical("optimizer", ["SGD", "SGD with momentum", "AdamW"])
    # The playbook goes up to 1 with SGD, where most trainings diverge: nobody would let Optuna waste its trials there.
    name, most = ("lr_adamw", 0.01) if optimizer == "AdamW" else ("lr_sgd", 0.1)
    rate = trial.suggest_float(name, 1e-4, most, log=True)
    return {
        "optimizer": optimizer,
        "lr": rate,
        "hidden": trial.suggest_categorical("hidden", [8, 16, 32, 64, 128, 256]),
        "weight_decay": trial.suggest_categorical("weight_decay", [0.0, 5e-4, 0.01, 0.05, 0.15]),
        "dropout": trial.suggest_categorical("dropout", [0.0, 0.2, 0.3, 0.4, 0.5]),
        "norm": trial.suggest_categorical("norm", [False, True]),
        "cosine": trial.suggest_categorical("cosine", [False, True]),
        "clip": trial.suggest_categorical("clip", [False, True]),
        "smoothing": trial.suggest_categorical("smoothing", [0.0, 0.05]) if example.metric == "accuracy" else 0.0,
    }


def configured(text: str, given: dict[str, Any], example: Example) -> str:
    """The baseline with these hyper-parameters, written as the playbook would write them."""
    name = "AdamW" if given["optimizer"] == "AdamW" else "SGD"
    more = f", weight_decay={given['weight_decay']!r}" + (", momentum=0.9" if "momentum" in given["optimizer"] else "")
    after = "            nn.ReLU(),\n"
    layers = "            nn.BatchNorm1d(hidden_size),\n" * given["norm"] + after
    layers += f"            nn.Dropout({given['dropout']!r}),\n" * bool(given["dropout"])
    optimizer = f"torch.optim.{name}(self.parameters(), lr=self.hparams.learning_rate{more})"
    returned = f"        return {optimizer}\n"
    if given["cosine"]:
        returned = (
            f"        optimizer = {optimizer}\n"
            "        scheduler = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=self.trainer.max_epochs)\n"
            '        return {"optimizer": optimizer, "lr_scheduler": scheduler}\n'
        )
    text = edited(
        text,
        (f"LEARNING_RATE = {example.learning_rate}\n", f"LEARNING_RATE = {given['lr']!r}\n"),
        (f"HIDDEN_SIZE = {example.hidden}\n", f"HIDDEN_SIZE = {given['hidden']}\n"),
        (after, layers),
        ("        return torch.optim.SGD(self.parameters(), lr=self.hparams.learning_rate)\n", returned),
        (
            "    trainer = L.Trainer(\n",
            "    trainer = L.Trainer(\n" + "        gradient_clip_val=1.0,\n" * given["clip"],
        ),
    )
    if not given["smoothing"]:
        return text
    loss = "loss = F.cross_entropy(self(inputs), labels)"
    return edited(text, (loss, f"{loss[:-1]}, label_smoothing={given['smoothing']!r})"))


def edited(text: str, *edits: tuple[str, str]) -> str:
    for old, new in edits:
        assert text.count(old) == 1, f"the example has changed: {old!r} stands there {text.count(old)} times"
        text = text.replace(old, new)
    return text


def best_of(values: Sequence[float | None], example: Example) -> float:
    known = [value for value in values if value is not None]
    return max(known) if example.higher_is_better else min(known)


def read_results() -> list[dict[str, Any]]:
    if not RESULTS.is_file():
        return []
    return [json.loads(line) for line in RESULTS.read_text(encoding="utf-8").splitlines()]


def key(result: dict[str, Any]) -> tuple[str, str, int, int]:
    return result["dataset"], result["method"], result["seed"], result["trainings"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--trainings", type=int, default=10)
    parser.add_argument("--seeds", type=int, default=10, help="how many")
    parser.add_argument("--first-seed", type=int, default=1)
    parser.add_argument("--datasets", nargs="+", choices=tuple(DATASETS), default=list(DATASETS))
    parser.add_argument("--fresh", action="store_true", help="forget all earlier results")
    add_rows_option(parser)
    asked = parser.parse_args()
    RESULTS.parent.mkdir(parents=True, exist_ok=True)
    if asked.fresh:
        RESULTS.unlink(missing_ok=True)
    searches: dict[str, Callable[..., list[float | None]]] = {"offline agent": by_agent}
    if OPTUNA.installed:
        # Behind everything of ours: only what is missing here comes from there.
        sys.path += [str(path) for path in (OUT / OPTUNA.name / "lib").glob("python*/site-packages")]
        searches |= {method: by_optuna(method) for method in METHODS[1:]}
    else:
        print("Optuna is absent (python bench/peers.py --install)")
    seeds = range(asked.first_seed, asked.first_seed + asked.seeds)
    done = {key(result) for result in read_results()}
    planned = [
        (name, method, seed)
        for seed in seeds
        for name in asked.datasets
        for method in searches
        if (name, method, seed, asked.trainings) not in done
    ]
    with tempfile.TemporaryDirectory(prefix="optuna-") as folder:
        for number, (name, method, seed) in enumerate(planned, 1):
            root, text, rules = project(Path(folder), name, seed)
            random.seed(seed)
            start = time.perf_counter()
            values = searches[method](root, text, rules, DATASETS[name], seed, asked.trainings)
            result = {"dataset": name, "method": method, "seed": seed, "trainings": asked.trainings, "values": values}
            with RESULTS.open("a", encoding="utf-8") as file:
                file.write(json.dumps(result) + "\n")
            best = best_of(values, DATASETS[name])
            seconds = time.perf_counter() - start
            told = f"{name}, {method}, seed {seed}: best {best:.4f} of {len(values)} trainings ({seconds:.0f} s)"
            print(f"[{number}/{len(planned)}] {told}", flush=True)
    write_rows(asked.rows, report(asked.trainings, seeds, asked.datasets))


def report(trainings: int, seeds: range, datasets: Sequence[str]) -> list[Row]:
    results = [one for one in read_results() if one["trainings"] == trainings and one["seed"] in seeds]
    rows: list[Row] = []
    print(f"\n{f'best of {trainings} trainings':<36}{'median':>9}{'quartiles':>20}{'worst .. best':>20}   seeds")
    for name in datasets:
        example, middles, by_seed = DATASETS[name], dict[str, float](), dict[str, dict[int, float]]()
        for method in METHODS:
            found = [one for one in results if (one["dataset"], one["method"]) == (name, method)]
            by_seed[method] = {one["seed"]: best_of(one["values"], example) for one in found}
            best = sorted(by_seed[method].values())
            if len(best) < 2:
                continue
            low, middle, high = statistics.quantiles(best, n=4, method="inclusive")
            middles[method] = middle
            spread = f"{low:.4g} .. {high:.4g}"
            ends = (
                f"{best[0]:.4g} .. {best[-1]:.4g}" if example.higher_is_better else f"{best[-1]:.4g} .. {best[0]:.4g}"
            )
            label = f"{name} {example.metric}, {method}"
            print(f"{label:<36}{middle:>9.4g}{spread:>20}{ends:>20}   {len(best)}")
        ours = middles.get("offline agent")
        for method in METHODS[1:]:
            if ours is not None and method in middles:
                print(f"{name}, offline agent beside {method}: {compared(by_seed, method, example)}")
                what = f"(g) best {example.metric} on {name} after {trainings} trainings, {len(seeds)} seeds"
                what += f" from {seeds[0]} on" * (seeds[0] != 1)
                target = "not behind" if method == "Optuna TPE" else ""
                rows.append(Row(what, f"{ours:.4g}", f"{method} {middles[method]:.4g}", "", target))
    return rows


def compared(by_seed: dict[str, dict[int, float]], method: str, example: Example) -> str:
    """With how many seeds the agent is ahead of `method`, and behind it."""
    ours, theirs = by_seed["offline agent"], by_seed[method]
    sign = 1 if example.higher_is_better else -1
    more = [sign * (ours[seed] - theirs[seed]) for seed in ours.keys() & theirs.keys()]
    return f"better / worse with {sum(one > 0 for one in more)} / {sum(one < 0 for one in more)} of {len(more)} seeds"


if __name__ == "__main__":
    main()
