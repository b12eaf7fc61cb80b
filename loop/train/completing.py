"""What a finished training left out for want of form is found or written here: nothing trained is wiped for that (T2).

A best checkpoint has another name, `last.ckpt` is a link, nobody saved hyper-parameters or wrote a spec.json: the
recorder knows the files and the values. Each thing done is said, for the receipt.
"""

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from ..project.version import Version
from ..record.facts import Section
from ..record.parts import SavedBest
from ..record.ranks import RunFacts
from ..store.leftovers.reading import as_object, read
from .artifacts import has_content, links
from .curves import log_folder


def complete(version: Version, facts: RunFacts) -> tuple[str, ...]:
    """Does so in the version's artifact folder, and says what; done again, it finds everything and says nothing.

    Raises `UnsafePath`, `Unreadable`.
    """
    return (*_checkpoints(version, facts), *_logs(version, facts), *_spec(version, facts), *_assets(version))


def _checkpoints(version: Version, facts: RunFacts) -> Iterator[str]:
    tree, artifacts = version.project.workspace.tree, version.artifacts
    best = next(left_files(version, (saver.best_model_path for saver in _savers(facts))), None)
    last = next(left_files(version, (saver.last_model_path for saver in _savers(facts))), None)
    for name, found in (("best.ckpt", best), ("last.ckpt", last)):
        place = f"{artifacts}/{name}"
        if tree.kind(place) == "link":
            target = next(left_files(version, [str(_target(tree.path(place)))]), None)
            if target is not None:
                tree.remove(place)
                tree.copy(target, place)
                yield f"{name} was a link to {_shown(target, artifacts)}, which it is now a copy of"
        elif tree.kind(place) is None and found is not None:
            tree.copy(found, place)
            yield f"{name} is {_shown(found, artifacts)}, which the script's ModelCheckpoint named so"
        elif tree.kind(place) is None and name == "last.ckpt" and best and has_content(tree, f"{artifacts}/best.ckpt"):
            tree.copy(f"{artifacts}/best.ckpt", place)
            yield "last.ckpt is a copy of best.ckpt: the script's ModelCheckpoint kept no other"


def _savers(facts: RunFacts) -> Iterator[SavedBest]:
    """The newest fit's first, and those before that monitor something."""
    for fit in reversed(facts.fits):
        yield from sorted(fit.first.checkpoints, key=lambda saver: saver.monitor is None)


def _target(link: Path) -> Path:
    return link.parent / os.readlink(link)  # noqa: PTH115 - the text itself: it is not followed any further


def left_files(version: Version, paths: Iterable[str | None]) -> Iterator[str]:
    """Those that are plain files in the version's artifact folder, relative to the project."""
    tree, root = version.project.workspace.tree, version.project.workspace.root
    for path in paths:
        whole = os.path.normpath(root / path) if path else ""
        for base in dict.fromkeys((root, root.resolve())):
            relative = whole.removeprefix(f"{base}/")
            if relative.startswith(f"{version.artifacts}/") and tree.is_file(relative):
                yield relative
                break


def _logs(version: Version, facts: RunFacts) -> Iterator[str]:
    tree = version.project.workspace.tree
    folder = log_folder(tree, version.artifacts) or f"{version.artifacts}/logs/version_0"
    where = folder.removeprefix(f"{version.artifacts}/")
    fit = _last_fit(facts)
    if fit is not None and fit.metrics.rows and tree.kind(f"{folder}/metrics.csv") is None:
        tree.write(f"{folder}/metrics.csv", _metrics_csv(fit))
        yield f"{where}/metrics.csv holds what was recorded: the script wrote none"
    if tree.kind(f"{folder}/hparams.yaml") is None and tree.kind(f"{folder}/metrics.csv") is not None:
        tree.write(f"{folder}/hparams.yaml", _hparams_yaml(fit, facts))
        yield f"{where}/hparams.yaml holds what was measured: the script saved no hyper-parameters"


def _last_fit(facts: RunFacts) -> Section | None:
    return facts.fits[-1].first if facts.fits else next(iter(facts.loops), None)


def _metrics_csv(fit: Section) -> bytes:
    names = sorted({name for row in fit.metrics.rows for name in row.values})
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["epoch", "step", *names])
    for row in fit.metrics.rows:
        values = (row.values.get(name) for name in names)
        table.writerow([row.epoch, row.step, *("" if value is None else repr(value) for value in values)])
    return text.getvalue().encode()


def _measured(fit: Section | None, facts: RunFacts) -> dict[str, object]:
    """The values of the run under the names that rules have; what the module's own hyper-parameters say comes first."""
    if fit is None:
        return {}
    found: dict[str, object] = dict(fit.settings.hyper_parameters) if fit.settings is not None else {}
    if fit.settings is not None:
        found |= {"max_epochs": fit.settings.max_epochs, "precision": fit.settings.precision}
        found |= {"parameters": fit.settings.parameters, "trainable_parameters": fit.settings.trainable}
    loader = next((one for one in fit.loaders if one.role == "train" or one.backwards), None)
    found |= {"batch_size": loader.batch_size} if loader is not None else {}
    for optimizer in fit.optimizers[:1]:
        found["optimizer"] = optimizer.kind
        for group in optimizer.groups[:1]:
            found |= {"learning_rate": group.lr.highest} if group.lr is not None else {}
            found |= {"weight_decay": group.weight_decay.last} if group.weight_decay is not None else {}
    seed = next((one.value for one in facts.seeds if one.section == 0 and one.value is not None), None)
    return found | ({"seed": seed} if seed is not None else {})


def _hparams_yaml(fit: Section | None, facts: RunFacts) -> bytes:
    import yaml

    head = "# Measured while it trained, by progressive-training: the script saved no hyper-parameters.\n"
    return (head + yaml.safe_dump(_measured(fit, facts), allow_unicode=True)).encode()


def _spec(version: Version, facts: RunFacts) -> Iterator[str]:
    tree, artifacts = version.project.workspace.tree, version.artifacts
    beside = tree.names(f"{artifacts}/additional_assets")
    if tree.kind(f"{artifacts}/spec.json") is None:
        fit, process = _last_fit(facts), facts.first
        spec = {
            "version": version.id,
            "written_by": "progressive-training: the script wrote no spec.json",
            "module": fit.settings.module if fit is not None and fit.settings is not None else None,
            "measured": _measured(fit, facts),
            "python": process.python if process is not None else None,
            "packages": dict(process.packages) if process is not None else {},
            "additional_assets": beside or "not_required",
        }
        tree.write(f"{artifacts}/spec.json", (json.dumps(spec, ensure_ascii=False, indent=2) + "\n").encode())
        yield "spec.json holds what was measured: the script wrote none"
    if not beside and "additional_assets" not in (as_object(read(tree, "json", f"{artifacts}/spec.json")) or {}):
        yield "additional_assets/ is empty, and spec.json says nothing of it: taken as not required"


def _assets(version: Version) -> Iterator[str]:
    """A link to another artifact becomes a copy of it: the bundle is made of files, and follows no link."""
    tree, artifacts = version.project.workspace.tree, version.artifacts
    for place in links(version):
        target = next(left_files(version, [str(_target(tree.path(place)))]), None)
        if target is not None:
            tree.remove(place)
            tree.copy(target, place)
            yield f"{_shown(place, artifacts)} was a link to {_shown(target, artifacts)}, which it is now a copy of"


def _shown(relative: str, artifacts: str) -> str:
    return relative.removeprefix(f"{artifacts}/")
