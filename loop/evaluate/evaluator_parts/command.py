"""The command line of 03_eval.py: one version or external model is scored, and the numbers are left in a folder."""

from __future__ import annotations

import argparse
import os
import re
import shutil
import sys
import tempfile
import traceback
from pathlib import Path
from typing import Any, NamedTuple

from .confinement import keep_to_itself
from .errors import SCRIPT_AT_FAULT, EvalError, ScriptFault
from .formulas import FAMILIES, Family, family_of
from .project_copy import LEFT_OUT, make_stage
from .scoring import disorder, external, frozen, hardest, measure, output, reader, spelling, texts, versions
from .scoring.measure import MetricRow, Request
from .scoring.session import Session, scratch
from .scoring.walk import Scored
from .tasks import SERVED, loader_of
from .trees import together
from .version.process import Order, seed_everything

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.

PROTOCOL = Path(".progressive-training") / "protocol"


class Constants(NamedTuple):
    """What 03_eval.py states at its top."""

    task_type: str
    metrics: list[str]
    primary_metric: str | None
    samples: int
    seed: int
    dataset_id: str
    output: str | None
    target: str | None
    delimiter: str | None
    formula: str | None
    loader: str | None = None
    higher: str | None = None
    lower: str | None = None

    @property
    def wanted(self) -> list[str]:
        """What is scored besides the loss, in order and without repeats."""
        names = [*self.metrics, *([self.primary_metric] if self.primary_metric else [])]
        return [name for name in dict.fromkeys(names) if name != "loss"]

    @property
    def settings(self) -> measure.Settings:
        return measure.Settings(
            self.output, self.target, self.delimiter, self.formula, _named(self.higher), _named(self.lower)
        )

    @property
    def scored_loader(self) -> str | None:
        """The number or name of the validation loader that is scored. Raises `EvalError` where several are named."""
        named = {number for name in self.wanted if (number := loader_of(name)[1]) is not None}
        if self.loader is None and len(named) > 1:
            raise EvalError(
                f"metrics of several validation loaders are asked for ({', '.join(sorted(named))}), and one is scored. "
                "Next: name those of one in eval_config, or write a 03_eval.py with write_eval(source=…)"
            )
        return self.loader if self.loader is not None else next(iter(named), None)


def _named(names: str | None) -> tuple[str, ...]:
    return tuple(one.strip() for one in (names or "").split(",") if one.strip())


def main(constants: Constants, script: Path) -> int:
    """Scores as the command line says; the exit code. What goes wrong is printed as the last line."""
    options = read_options(constants, script)
    try:
        if options.source is not None:
            print(evaluate(constants, options, options.source.resolve()))
            return 0
        with tempfile.TemporaryDirectory(prefix="eval-") as folder:
            try:
                print(evaluate(constants, options, stage_by_hand(options, Path(folder).resolve())))
            finally:
                os.chdir(options.project)
        return 0
    except EvalError as error:
        message, code = str(error), SCRIPT_AT_FAULT if isinstance(error, ScriptFault) else 1
    except Exception as error:  # noqa: BLE001 - a fault of ours; it says where
        traceback.print_exc()
        last = traceback.extract_tb(error.__traceback__)[-1]
        code = 1
        message = (
            f"{type(error).__name__}: {error} ({Path(last.filename).name}, line {last.lineno}); the traceback is "
            "above. Next: correct the training script, or write a 03_eval.py for it and use write_eval"
        )
    sys.stdout.flush()
    print(f"03_eval.py: error: {' '.join(message.split())}", file=sys.stderr)
    return code


def read_options(constants: Constants, script: Path) -> Any:
    parser = argparse.ArgumentParser(prog="03_eval.py", description="Score one version on the whole validation set.")
    parser.add_argument("--version", required=True, help="such as v001")
    parser.add_argument("--project", type=Path, default=script.parent, help="default: this file's folder")
    parser.add_argument("--source", type=Path, help="staged copy of the version's code (default: make one)")
    parser.add_argument("--checkpoint", type=Path, help="default: the version's Models/Artifacts/…/best.ckpt")
    parser.add_argument("--out", type=Path, help="default: the version's _tests/eval_by_hand/")
    parser.add_argument("--samples", type=int, default=constants.samples, help="how many are written out to look at")
    parser.add_argument("--seed", type=int, default=constants.seed)
    parser.add_argument("--script-seed", type=int, help="what random numbers the script begins with (default: --seed)")
    parser.add_argument("--dataset-id", default=constants.dataset_id)
    parser.add_argument("--device", choices=("auto", "cpu", "cuda"), default="auto")
    parser.add_argument(
        "--fit", type=int, default=1, help="which Trainer.fit of the script left best.ckpt (default: 1)"
    )
    parser.add_argument("--protocol", type=Path, help="what the first version decided (default: the loop's, if any)")
    parser.add_argument("--external", type=Path, help="a folder of Models/external/, to score it instead of --version")
    parser.add_argument("--shuffle-weights", action="store_true", help="spoil the weights: the score has to change")
    options = parser.parse_args()
    if not re.fullmatch(r"v\d{3,}", options.version):
        parser.error(f"--version {options.version!r} isn't of the form v001")
    options.project = options.project.resolve()
    artifacts = options.project / "Models" / "Artifacts" / options.version
    options.checkpoint = (options.checkpoint or artifacts / "best.ckpt").absolute()
    options.external = options.external and options.external.absolute()
    by_hand = artifacts / "_tests" / "eval_by_hand"
    options.out = (options.out or (by_hand / options.external.name if options.external else by_hand)).resolve()
    # The loop says where; by hand it is the loop's own, if there is one.
    options.protocol = options.protocol or (options.project / PROTOCOL if options.source is None else None)
    options.task_type = constants.task_type
    options.artifacts = artifacts
    return options


def stage_by_hand(options: Any, folder: Path) -> Path:
    """Stage the version from its snapshot, or where it has none, from the project's present code."""
    snapshot = options.project / ".progressive-training" / "snapshots" / options.version
    if not snapshot.is_dir():
        snapshot = folder / "code"
        for here, folders, files in os.walk(options.project):
            kept = [name for name in folders if name not in LEFT_OUT | {"Models"}]
            folders[:] = [name for name in kept if not (Path(here) / name / "pyvenv.cfg").exists()]
            for file in (Path(here) / name for name in files if name.endswith(".py")):
                if not file.match("02_train_*.py") or file.stem == f"02_train_{options.version}":
                    copy = snapshot / file.relative_to(options.project)
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    shutil.copyfile(file, copy)
    make_stage(options.project, snapshot, folder / "stage")
    return folder / "stage"


def evaluate(constants: Constants, options: Any, stage: Path) -> str:
    """Score, write the three outputs, and return a line that says how it went; eval_score.json is written last."""
    family = family_of(constants.task_type)
    if family is None or family.name not in SERVED:
        raise EvalError(
            f"task_type {constants.task_type!r} is none that can be scored here. "
            "Next: write a 03_eval.py for this task and hand it over with write_eval"
        )
    script = stage / f"02_train_{options.version}.py"
    if not script.is_file():
        raise EvalError(f"{script} is missing. Next: check --version, and --source if it is given")
    if not options.checkpoint.exists():
        raise EvalError(f"{options.checkpoint} is missing. Next: train this version first")
    seed_everything(options.seed)
    with Session(order_of(options, stage, script, constants.scored_loader)) as session:
        keep_to_itself()
        # Only now: the version's processes are forks, and have what was known before.
        decided = frozen.load(options.protocol)
        return _scored(constants, options, family, decided, session)


def order_of(options: Any, stage: Path, script: Path, loader: str | None) -> Order:
    """What the version's processes may see: never the loop's state, other versions or the score to be."""
    project, artifacts = options.project, options.artifacts
    others = [one for one in _entries(artifacts.parent) if one != artifacts] if artifacts.parent.is_dir() else []
    prepared = project / "dataset" / "prepdata"
    sets = [one for one in _entries(prepared) if one.name != options.dataset_id]
    hidden = [
        project / ".progressive-training",
        project / "Models" / "Report",
        project / ".env",
        *others,
        *sets,
        options.out,
        *([options.protocol] if options.protocol else []),
    ]
    data = [project, *(one.resolve() for one in (prepared, prepared / options.dataset_id) if one.exists())]
    return Order(
        script=script,
        checkpoint=options.checkpoint,
        fit=options.fit,
        loader=loader,
        seed=options.seed,
        script_seed=options.seed if options.script_seed is None else options.script_seed,
        device=options.device,
        scratch=scratch(),
        hidden=tuple(one for one in hidden if one.exists()),
        data=tuple(data),
        kept=tuple(one for one in (stage, artifacts, options.checkpoint) if one.exists()),
    )


def _entries(folder: Path) -> list[Path]:
    return sorted(folder.iterdir()) if folder.is_dir() else []


class Evaluation(NamedTuple):
    """One version's set, scored by what was decided."""

    options: Any
    family: Family
    decided: frozen.Frozen
    scored: Scored
    wanted: list[str]

    @property
    def shown(self) -> list[int]:
        """The samples to look at."""
        return output.drawn(self.options, len(self.scored.ids))

    @property
    def requests(self) -> list[int]:
        """The samples that are asked about alone: those to look at, and the first ones, for the latency."""
        return sorted({*self.shown, *range(min(len(self.scored.ids), measure.LATENCY_REQUESTS))})


def _scored(constants: Constants, options: Any, family: Family, decided: frozen.Frozen | None, session: Session) -> str:
    wanted, first = constants.wanted, decided is None
    reads = family.name in ("sequence", "generation")
    vocabulary = spelling.read_vocabulary(options.artifacts) if reads else None
    if decided is None and reads:
        decided, scored, notes = texts.first_texts(session, family, wanted, constants.settings, vocabulary)
    elif decided is None:
        decided, scored, notes = versions.first_score(session, family, wanted, constants.settings)
    elif reads:
        scored, notes = texts.later_texts(session, decided, vocabulary)
    else:
        scored, notes = versions.later_score(session, FAMILIES[decided.family], decided)
    family = FAMILIES[decided.family]
    if session.not_hidden:
        notes.append({"key": "not_confined", "reason": session.not_hidden})
    if session.about["loaders"] > 1:
        about = {name: session.about[name] for name in ("loader", "named")}
        notes.append({"key": "several_loaders", "count": session.about["loaders"], **about})
    if options.shuffle_weights:
        session.model(op="disorder", time=0)
        if _is_read(scored):
            scored = texts.read_again(session, decided, scored, vocabulary)
        else:
            scored = versions.read_again(session, family, decided, scored)
    options.out.mkdir(parents=True, exist_ok=True)
    made = Evaluation(options, family, decided, scored, wanted)
    if options.external is not None:
        return _external(made, session)
    return _version(made, session, notes, vocabulary, first=first)


def _version(
    made: Evaluation,
    session: Session,
    notes: list[dict[str, Any]],
    vocabulary: spelling.Vocabulary | None,
    *,
    first: bool,
) -> str:
    family, scored, loss_name = made.family, made.scored, made.decided.server_loss
    rows = measure.measure(made.options.version, family, made.decided, made.wanted, scored)

    def read(found: Any) -> Any:
        """The prediction that one request's output means."""
        if _is_read(scored):
            return reader.read_one(found, scored.how)
        return versions.read_one(family, found, scored, loss_name)

    found = measure.requests(session, scored, made.requests, read, made.shown)
    worst = hardest.chosen(rows, len(scored.ids)) if made.options.samples else []
    # Asked apart: how long they take is no part of the latency.
    hard = measure.requests(session, scored, worst, read, worst)
    decided = made.decided
    if not made.options.shuffle_weights:
        told = texts.asked_again(session, decided, scored, vocabulary) if _is_read(scored) else None
        asked = told or disorder.of_outputs(session, family, decided, scored)
        wanted = [row.name for row in rows]
        decided, more = disorder.tried(session, family, decided, scored, asked, wanted, first=first)
        notes += more
    session.close()
    if not decided.random_inputs:  # alone a sample gets other random numbers
        notes += versions.depends_on_batch(scored, found)
    formulas = {row.name: row.by for row in rows}
    output.write_json(
        made.options.out / "evaluation.json",
        {
            "notes": notes,
            "formulas": formulas,
            "means": scored.means,
            "loader": session.about["loader"],
            "inputs": together(decided.inputs) if first else "",
        },
    )
    frozen.save(decided, made.options.out)
    return _publish(made, made.options.version, rows, found, hard)


def _external(made: Evaluation, session: Session) -> str:
    options = made.options
    model = external.External(options.external, hidden_from_externals(options))
    try:
        scored, left_out = external.score_external(model, session, made.family, made.decided, made.scored)
        rows = measure.measure(model.name, made.family, made.decided, made.wanted, scored, left_out)
        found = external.requests(model, session, scored, made.requests)
    finally:
        model.close()
    session.close()
    output.write_json(options.out / "external.json", {"script": model.script, "not_hidden": model.not_hidden})
    return _publish(made._replace(scored=scored), model.name, rows, found, {})


def _is_read(scored: Scored) -> bool:
    """Whether what was put out is texts."""
    predicted = scored.predicted
    return isinstance(predicted, list) and bool(predicted) and isinstance(predicted[0], str)


def _publish(
    made: Evaluation, name: str, rows: list[MetricRow], found: dict[int, Request], hard: dict[int, Request]
) -> str:
    """Writes the samples and, last of all, the score; a line that says how it went."""
    options, scored = made.options, made.scored
    answers = [made.family.answer(one) for one in scored.predicted]
    scores = output.write_samples(options.out, scored, rows, answers)
    hardest.write(options.out, scored, hard, answers)
    output.write_infer_samples(options, name, made.family, scored, found, scores)
    latency = measure.latency_ms(found)
    output.write_score(options.out, options.dataset_id, rows, len(scored.ids), latency)
    numbers = ", ".join(f"{row.name} {row.value:.6g}" for row in rows)
    return f"{name}: {len(scored.ids)} samples, {numbers}, latency {latency:.2f} ms -> {options.out}"


def hidden_from_externals(options: Any) -> list[Path]:
    """What an external model has no business with: the project with its stage, the data set, and the score to be."""
    data = options.project / "dataset" / "prepdata" / options.dataset_id
    linked = [entry.resolve() for entry in data.iterdir() if entry.is_symlink()] if data.is_dir() else []
    return [options.project, data.resolve(), *linked, Path.cwd(), options.out]
