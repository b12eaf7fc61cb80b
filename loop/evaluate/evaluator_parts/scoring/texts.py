"""Texts that are read: one sample at a time, as a service does, so that nothing is padded but by the data itself."""

from __future__ import annotations

import json
import math
import statistics
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..errors import EvalError
from ..formulas import Family, Formula, ctc_loss, delimiter_of, greedy, spell, variants
from ..trees import Box, at, count, digest, is_texts, leaves, rows, shape, texts
from .acceptance import Decided, Settings, higher, own_words, some_batches
from .frozen import Frozen
from .reading import Comparison, Own, Reading, blanked, compared, entering, matches, readings, secret
from .session import Session
from .walk import How, Scored, single_batches

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.

INPUT_KEYS = ("x", "input", "inputs", "image", "images", "pixel_values", "features", "audio", "input_values", "data")
TARGET_KEYS = ("text", "texts", "transcript", "transcripts", "y", "label", "labels", "target", "targets")
LENGTH_KEYS = ("target_lengths", "label_lengths", "targets_length", "labels_length", "lengths")
BLANKS = ("<blank>", "[blank]", "<ctc>", "<ctc_blank>", "_", "<pad>", "[PAD]", "")
VOCABULARY = "additional_assets/vocab.json"
_SPOKEN = "predict_step"
_CTC = [(f"ctc{'' if by_length else ' summed'}", by_length) for by_length in (True, False)]


class Vocabulary(NamedTuple):
    """The token of each class; `blank` is CTC's; `joint` is what stands between tokens, `delimiter` between words."""

    tokens: list[str]
    blank: int
    delimiter: str | None = None
    joint: str = ""

    def spell(self, classes: Iterable[int]) -> str:
        """The text of some classes; the blank, and padding outside of the vocabulary, say nothing."""
        known = range(len(self.tokens))
        found = [self.tokens[one] for one in classes if one in known and one != self.blank]
        if self.joint:
            return self.joint.join(found)
        return spell(found, self.delimiter)


def read_vocabulary(artifacts: Path) -> Vocabulary | None:
    """The version's vocab.json: a list of tokens in the order of their classes, or an object token -> class."""
    path = artifacts / VOCABULARY
    if not path.is_file():
        return None
    content = json.loads(path.read_text(encoding="utf-8"))
    if isinstance(content, dict):
        ordered = [token for place in range(len(content)) for token, one in content.items() if one == place]
        content = ordered if len(ordered) == len(content) else None
    if not isinstance(content, list) or not all(isinstance(token, str) for token in content):
        raise EvalError(f"{VOCABULARY} is neither a list of tokens nor an object token -> class. Next: write one")
    if len(set(content)) < len(content):
        raise EvalError(f"{VOCABULARY} has one token for several classes, so errors between them would not show")
    blanks = [index for index, token in enumerate(content) if token in BLANKS]
    if len(blanks) != 1:
        raise EvalError(f"{VOCABULARY} names {len(blanks)} blanks ({', '.join(BLANKS[:3])}, …). Next: name exactly one")
    return Vocabulary(content, blanks[0])


class Parts(NamedTuple):
    """Where a batch has its targets: texts, or class numbers (n, length) or all in a row, and their lengths."""

    target: Any
    lengths: Any


def parts_of(tree: Any) -> Parts:
    """A dict by its keys; a tuple as (input, …, target, …, lengths): what follows the input is told by its make."""
    found = dict(leaves(tree))
    if isinstance(tree, Box) and tree.kind in ("dict", "mapping"):
        inputs = [(key,) for key in INPUT_KEYS if (key,) in found][:1]
        target = next(((key,) for key in TARGET_KEYS if (key,) in found and (key,) not in inputs), None)
        return Parts(target, next(((key,) for key in LENGTH_KEYS if (key,) in found), None))
    rest = list(found.items())[1:]
    written = [path for path, leaf in rest if is_texts(leaf)]
    whole = [(path, leaf) for path, leaf in rest if isinstance(leaf, torch.Tensor) and not leaf.is_floating_point()]
    padded, flat = ([one for one in whole if one[1].dim() == dims] for dims in (2, 1))
    if written:
        return Parts(written[-1], None)
    if padded:
        path, leaf = padded[0]
        fits = [one for one, other in flat if len(other) == len(leaf) and int(other.max()) <= leaf.shape[1]]
        return Parts(path, fits[-1] if fits else None)
    pairs = [
        (row, one) for row, in_a_row in flat for one, other in flat if one != row and int(other.sum()) == len(in_a_row)
    ]
    return Parts(*(pairs[-1] if pairs else (None, None)))


def classes_of(tree: Any, parts: Parts) -> list[list[int]]:
    """The class numbers of each sample's target."""
    target = at(tree, parts.target)
    lengths = None if parts.lengths is None else at(tree, parts.lengths)
    if target.dim() == 1:
        return [row.tolist() for row in target.split(lengths.tolist())]
    return [(row if lengths is None else row[: int(lengths[index])]).tolist() for index, row in enumerate(target)]


def texts_of(tree: Any, parts: Parts, vocabulary: Vocabulary | None) -> list[str]:
    """What is written in each sample."""
    if parts.target is None:
        raise EvalError(
            f"no targets in a validation batch {shape(tree)}: expected texts, or class numbers with their lengths. "
            "Next: give batches as docs/contract.md says (repair_version), or write a 03_eval.py and use write_eval"
        )
    target = at(tree, parts.target)
    if is_texts(target):
        return texts(target)
    if vocabulary is None:
        raise EvalError(
            f"targets are class numbers, and {VOCABULARY} is missing. Next: let the script write it (repair_version)"
        )
    return [vocabulary.spell(one) for one in classes_of(tree, parts)]


class Reader:
    """Reads samples of a version: by `predict_step` if the script has one, else by greedy CTC."""

    def __init__(self, session: Session, vocabulary: Vocabulary | None, settings: Settings) -> None:
        self._session, self.vocabulary, self._settings = session, vocabulary, settings
        self.how: How | None = None

    def prepare(self, tree: Any) -> How:
        """Decides by a first sample how all are asked."""
        parts = parts_of(tree)
        hidden = [path for path in parts if path is not None]
        if self._session.speaks and self._settings.output in (None, _SPOKEN):
            self.how = How(_SPOKEN, tuple(hidden), (), parts.target)
            return self.how
        found = self._session.model(op="discover", batch=tree, tell=False)
        made = [
            one
            for one in readings(found, count(tree) or 1) + _frames(found)
            if matches(one.output, self._settings.output)
        ]
        reading = next((one for one in made if self._is_frames(one.first)), None)
        if reading is None:
            named = "is missing" if self.vocabulary is None else f"has {len(self.vocabulary.tokens)} tokens"
            shapes = ", ".join(f"{one.output} {list(one.first.shape)}" for one in made[:4]) or "none"
            raise EvalError(
                f"no output scores every class of each frame (outputs of one sample: {shapes}), and {VOCABULARY} "
                f"{named}. Next: let the script write all its classes there, the blank as <blank>, or give it a "
                "predict_step that returns texts (repair_version)"
            )
        inputs = entering(found)
        direct = any(reading.output in call["outputs"] and call["direct"] for call in found["calls"])
        hidden = (
            secret(tree, 1, inputs, parts.target, hidden, direct=False)
            if not direct
            else [path for path, leaf in leaves(tree) if path not in inputs and rows(leaf) is not None]
        )
        self.how = How(reading.output, tuple(hidden), tuple(inputs), parts.target)
        return self.how

    def answer(self, tree: Any) -> Any:
        """One sample's text, or its frames (frames, classes)."""
        how = self.how or self.prepare(tree)
        return self.read(self._session.model(op="answer", batch=blanked(tree, how.hidden), reading=how.output))

    def read(self, found: Any) -> Any:
        assert self.how is not None
        return _said(found, self.how)

    def spelled(self, answer: Any, vocabulary: Vocabulary | None) -> str:
        if isinstance(answer, str):
            return answer
        assert vocabulary is not None
        return vocabulary.spell(greedy(answer, vocabulary.blank))

    def _is_frames(self, value: torch.Tensor) -> bool:
        fits = value.dim() == 3 and 1 in value.shape[:2] and self.vocabulary is not None
        return fits and value.shape[2] == len(self.vocabulary.tokens) and value.is_floating_point()


def _said(found: Any, how: How) -> Any:
    """One sample's text, or its frames (frames, classes), from what the model's process answered."""
    if how.output != _SPOKEN:
        return found[0] if found.shape[0] == 1 else found[:, 0]
    if not is_texts(found) or len(found.items) != 1:
        raise EvalError(
            f"predict_step gave {shape(found)} for one sample. Next: return a list of one text (repair_version)"
        )
    return found.items[0][1]


def read_one(found: Any, how: How, vocabulary: Vocabulary | None) -> Any:
    """One request's text or frames."""
    del vocabulary
    return _said(found, how)


def _frames(found: dict[str, Any]) -> list[Reading]:
    """Outputs with the frames first, which don't have the samples as rows."""
    return [
        Reading(key, "", one, ())
        for call in reversed(found["calls"])
        for key, one in reversed(list(call["outputs"].items()))
    ]


def first_texts(
    session: Session, family: Family, wanted: list[str], settings: Settings, vocabulary: Vocabulary | None
) -> tuple[Frozen, Scored, list[dict]]:
    """Decides how texts are spelled and read, and scores the first version so."""
    trees = some_batches(session)
    sizes = [_size(tree) for tree in trees]
    session.model(op="load")
    own = own_words(session, trees, sizes)
    answers, classes, written, losses, inputs = _walk(session, reader := Reader(session, vocabulary, settings), own)
    spellings = _spellings(vocabulary, settings)
    tried = [
        _compared(family, wanted, settings, sizes, answers, classes, written, one, own, reader) for one in spellings
    ]
    best = max(
        tried, key=lambda one: sum(c.standing == "same" for c in one[1]) - sum(c.standing == "other" for c in one[1])
    )
    spelling, comparisons = best
    _require(comparisons, own, sizes, reader, spelling, answers, classes, written)
    decided = Decided(
        family,
        Reading(reader.how.output, "", torch.empty(0), ()),
        reader.how.target,
        [],
        [],
        False,
        None,
        comparisons,
        own,
    )
    metrics = {
        one.metric: {"kind": "server", "name": one.formula.name, "said": one.said, "standing": one.standing}
        if one.formula is not None
        else {"kind": "script", "name": one.said, "higher": higher(one, session.monitors)}
        for one in comparisons
        if one.formula is not None or one.said
    }
    loss = _loss(answers, classes, losses, vocabulary)
    targets = _written(classes, written, spelling)
    frozen = Frozen(
        family=family.name,
        output=reader.how.output,
        via="",
        target=tuple(reader.how.target),
        loss=loss,
        metrics=metrics,
        delimiter=json.dumps([spelling.delimiter, spelling.joint]) if spelling else None,
        targets=targets,
        inputs=inputs,
        random_inputs=False,
        ids=session.ids(len(targets)),
        formula="",
    )
    scored = _scored(session, frozen, reader, answers, losses, classes, spelling, own if losses else None)
    if scored.script or (loss or {}).get("kind") == "script":
        frozen = frozen._replace(formula=session.model(op="formula")["digest"])
    return frozen, scored, _notes(decided)


def later_texts(
    session: Session, family: Family, frozen: Frozen, vocabulary: Vocabulary | None
) -> tuple[Scored, list[dict]]:
    """Reads a version's samples as the first one's were. Raises `EvalError` where it answers for other texts."""
    session.model(op="load")
    reader = Reader(session, vocabulary, Settings())
    answers, classes, written, losses, inputs = _walk(session, reader, None)
    spelling = None
    if vocabulary is not None and frozen.delimiter is not None:
        delimiter, joint = json.loads(frozen.delimiter)
        spelling = vocabulary._replace(delimiter=delimiter, joint=joint)
    targets = _written(classes, written, spelling)
    other = [n for n, pair in enumerate(zip(targets, frozen.targets)) if pair[0] != pair[1]]
    if len(targets) != len(frozen.targets) or other:
        raise EvalError(
            f"{len(other) or abs(len(targets) - len(frozen.targets))} of {len(frozen.targets)} validation samples are "
            "not there, or have other targets than in the first version: such scores don't compare. Next: keep the "
            "validation set, its order and its targets as they were (repair_version)"
        )
    notes = []
    changed = sum(one != before for one, before in zip(inputs, frozen.inputs))
    if changed:
        notes.append({"key": "other_inputs", "differing": changed, "count": len(frozen.inputs)})
    scored = _scored(session, frozen, reader, answers, losses, classes, spelling, None)
    if frozen.formula and session.model(op="formula")["digest"] != frozen.formula:
        raise EvalError(
            "a number is by the script's own formula, and this version computes it by other code than the first one. "
            "Next: leave validation_step and what it calls as they were (repair_version); only the user may change the "
            "evaluation protocol"
        )
    return scored, notes


def _size(tree: Any) -> int:
    parts = parts_of(tree)
    if parts.target is None:
        return count(tree) or 1
    target = at(tree, parts.target)
    if isinstance(target, torch.Tensor) and target.dim() == 1 and parts.lengths is not None:
        return len(at(tree, parts.lengths))
    return rows(target) or 1


def _walk(session: Session, reader: Reader, own: Own | None) -> tuple[list, list, list, list | None, list]:
    """Each sample's answer, its target's class numbers or text, the loss that the script gives it, and a digest."""
    answers, classes, written, inputs = [], [], [], []
    samples = session.about["samples"]
    if samples is None:
        samples = sum(_size(tree) for tree, _ in session.batches())
    losses: list[float] | None = [] if own is not None else None
    for tree, _ in single_batches(session, list(range(samples))):
        parts = parts_of(tree)
        if parts.target is None:
            texts_of(tree, parts, reader.vocabulary)
        answers.append(reader.answer(tree))
        is_written = is_texts(at(tree, parts.target))
        classes.append(None if is_written else classes_of(tree, parts)[0])
        written.append(texts(at(tree, parts.target))[0] if is_written else None)
        hidden = [path for path in parts if path is not None]
        paths = [path for path, leaf in leaves(tree) if path not in hidden and rows(leaf) is not None]
        inputs.append(digest(tree, paths, 0, 1))
        if losses is not None:
            step, error = session.tried(op="judge", batch=tree, index=len(answers) - 1)
            if error is not None:
                raise EvalError(
                    f"validation_step fails on a batch of one sample (number {len(answers) - 1}): {error}. "
                    "Next: let it take any batch size (repair_version)"
                )
            losses = [*losses, step["loss"]["value"]] if step["loss"] else None
    if not answers:
        raise EvalError("the validation loader gave 0 samples, expected at least one. Next: check its collate_fn")
    return answers, classes, written, losses, inputs


def _spellings(vocabulary: Vocabulary | None, settings: Settings) -> list[Vocabulary | None]:
    """The ways in which tokens may make a text: with the vocabulary's own word delimiter, with none, with blanks."""
    if vocabulary is None:
        return [None]
    if settings.delimiter is not None:
        one = settings.delimiter
        return [vocabulary._replace(delimiter=one) if one in vocabulary.tokens else vocabulary._replace(joint=one)]
    ways = [vocabulary._replace(delimiter=delimiter_of(vocabulary.tokens)), vocabulary, vocabulary._replace(joint=" ")]
    return list({(one.delimiter, one.joint): one for one in ways}.values())


def _written(classes: list, written: list, spelling: Vocabulary | None) -> list[str]:
    if any(one is not None for one in classes) and spelling is None:
        raise EvalError(
            f"targets are class numbers, and {VOCABULARY} is missing. Next: let the script write it (repair_version)"
        )
    return [text if numbers is None else spelling.spell(numbers) for numbers, text in zip(classes, written)]


def _compared(
    family, wanted, settings, sizes, answers, classes, written, spelling, own, reader
) -> tuple[Any, list[Comparison]]:
    """The wanted metrics under one spelling, over the batches that the script was asked about."""
    said = [reader.spelled(one, spelling) for one in answers]
    right = _written(classes, written, spelling)
    parts, first = ([], []), 0
    for size in sizes:
        parts[0].append(said[first : first + size])
        parts[1].append(right[first : first + size])
        first += size
    found = []
    for name in wanted:
        tried: list[Formula] = [] if settings.formula == "script" else variants(family, name)
        found.append(compared(name, tried, parts[0], parts[1], family, own, None))
    return spelling, found


def _require(comparisons, own, sizes, reader, spelling, answers, classes, written) -> None:
    wrong = [one for one in comparisons if one.standing == "other"]
    if not wrong:
        return
    told = "; ".join(
        f"{one.metric}: {one.ours:.6g} by us, and validation_step logs {one.said} = {one.own:.6g}" for one in wrong
    )
    pairs = zip([reader.spelled(one, spelling) for one in answers[:2]], _written(classes, written, spelling)[:2])
    shown = "; ".join(f"read {one[:40]!r}, written {other[:40]!r}" for one, other in pairs)
    raise EvalError(
        f"not the script's own score on the same {sum(sizes)} samples: {told}. For example {shown}. Next: name what "
        'stands between words by write_eval(settings={"delimiter": …}), or take the script\'s own formula by '
        'write_eval(settings={"formula": "script"}), or correct validation_step with repair_version, or write a '
        "03_eval.py with write_eval(source=…)"
    )


def _loss(
    answers: list, classes: list, losses: list[float] | None, vocabulary: Vocabulary | None
) -> dict[str, Any] | None:
    """CTC's formula where it gives the script's losses of single samples, else the script's own."""
    if losses is None:
        return None
    if vocabulary is not None and not any(isinstance(one, str) for one in answers) and None not in classes:
        for name, by_length in _CTC:
            found = ctc_loss(vocabulary.blank, by_length)(answers, classes).tolist()
            if all(math.isclose(one, other, rel_tol=1e-4, abs_tol=1e-6) for one, other in zip(found, losses)):
                return {"kind": "server", "name": name, "by_length": by_length}
    return {"kind": "script", "name": ""}


def _scored(session, frozen: Frozen, reader: Reader, answers, losses, classes, spelling, own) -> Scored:
    said = [reader.spelled(one, spelling) for one in answers]
    kind = (frozen.loss or {}).get("kind")
    if kind == "server":
        losses = ctc_loss(reader.vocabulary.blank, frozen.loss["by_length"])(answers, classes).tolist()
    script: dict[str, float] = {}
    wanted = {name: one["name"] for name, one in frozen.metrics.items() if one["kind"] == "script"}
    if wanted or (kind == "script" and losses is None):
        losses_, script = _by_the_script(session, len(said), wanted)
        losses = losses_ if kind == "script" else losses
    loss = statistics.fmean(losses) if losses else None
    return Scored(said, frozen.targets, said, loss, losses, script, frozen.ids, reader.how)


def read_again(session: Session, frozen: Frozen, scored: Scored, reader: Reader) -> Scored:
    """The same set with the weights as they are now."""
    answers, classes, _, losses, _ = _walk(session, reader, None)
    spelling = reader.vocabulary
    if spelling is not None and frozen.delimiter is not None:
        delimiter, joint = json.loads(frozen.delimiter)
        spelling = spelling._replace(delimiter=delimiter, joint=joint)
    return _scored(session, frozen, reader, answers, losses, classes, spelling, None)._replace(ids=scored.ids)


def _by_the_script(
    session: Session, samples: int, wanted: dict[str, str]
) -> tuple[list[float] | None, dict[str, float]]:
    """What the script's own validation logs, asked about one sample at a time: means, and the epoch's end."""
    session.model(op="begin")
    steps = [
        session.model(op="judge", batch=tree, index=index)
        for index, (tree, _) in enumerate(single_batches(session, list(range(samples))))
    ]
    own = Own(steps, session.model(op="end"), [1] * len(steps))
    values = {name: own.mean(said) for name, said in wanted.items()}
    return own.losses, {name: value for name, value in values.items() if value is not None}


def _notes(decided: Decided) -> list[dict]:
    keys = {
        "same": "same_as_script",
        "batches": "mean_of_batches",
        "unsaid": "script_says_nothing",
        "script": "script_formula",
    }
    return [
        {
            "key": keys.get(one.standing, "other_than_script"),
            "metric": one.metric,
            "ours": one.ours,
            "own": one.own,
            "name": one.said,
        }
        for one in decided.comparisons
    ]
