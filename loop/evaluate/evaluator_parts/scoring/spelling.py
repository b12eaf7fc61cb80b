"""What is written in a batch: the vocabulary of a version, its ways to spell, and where the targets are."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from ..errors import EvalError
from ..formulas import delimiter_of, spell
from ..trees import Box, at, count, is_texts, leaves, rows, shape

# pyright: reportUnknownMemberType=false, reportUnknownVariableType=false, reportUnknownArgumentType=false
# pyright: reportUnknownParameterType=false, reportMissingTypeArgument=false, reportUnknownLambdaType=false
# pyright: reportPrivateUsage=false
# What the script and torch hand over has no type here.

INPUT_KEYS = ("x", "input", "inputs", "image", "images", "pixel_values", "features", "audio", "input_values", "data")
TARGET_KEYS = ("text", "texts", "transcript", "transcripts", "y", "label", "labels", "target", "targets")
LENGTH_KEYS = ("target_lengths", "label_lengths", "targets_length", "labels_length", "lengths")
BLANKS = ("<blank>", "[blank]", "<ctc>", "<ctc_blank>", "_", "<pad>", "[PAD]", "")
VOCABULARY = "additional_assets/vocab.json"
_MARK = re.compile(r"<[^<>\s]+>|\[[^\[\]\s]+\]")


class Vocabulary(NamedTuple):
    """The token of each class; `blank` is CTC's; `joint` is what stands between tokens, `delimiter` between words.

    `silent`: whether tokens such as </s> and [SEP] say nothing.
    """

    tokens: list[str]
    blank: int
    delimiter: str | None = None
    joint: str = ""
    silent: bool = False

    def spell(self, classes: Iterable[int]) -> str:
        """The text of some classes; the blank, and padding outside of the vocabulary, say nothing."""
        known = range(len(self.tokens))
        found = [self.tokens[one] for one in classes if one in known and one != self.blank]
        found = [one for one in found if not (self.silent and _MARK.fullmatch(one))]
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


def spellings(vocabulary: Vocabulary | None, delimiter: str | None) -> list[Vocabulary | None]:
    """The ways in which tokens may make a text: with the vocabulary's own word delimiter, with none, with blanks.

    Where it has marks such as </s>, first without them, as tokenizers decode.
    """
    if vocabulary is None:
        return [None]
    if delimiter is not None:
        known = delimiter in vocabulary.tokens
        ways = [vocabulary._replace(delimiter=delimiter) if known else vocabulary._replace(joint=delimiter)]
    else:
        by_word = vocabulary._replace(delimiter=delimiter_of(vocabulary.tokens))
        ways = [by_word, vocabulary, vocabulary._replace(joint=" ")]
    if any(_MARK.fullmatch(one) for one in vocabulary.tokens if one not in BLANKS):
        ways = [*(one._replace(silent=True) for one in ways), *ways]
    return list({(one.delimiter, one.joint, one.silent): one for one in ways}.values())


class Parts(NamedTuple):
    """Where a batch has its targets: texts, or class numbers (n, length) or all in a row, and their lengths."""

    target: Any
    lengths: Any


def parts_of(tree: Any) -> Parts:
    """A dict by its usual keys; else (input, …, target, …, lengths): what follows the input is told by its make."""
    found = dict(leaves(tree))
    inputs: list[Any] = []
    if isinstance(tree, Box) and tree.kind in ("dict", "mapping"):
        inputs = [(key,) for key in INPUT_KEYS if (key,) in found][:1]
        target = next(((key,) for key in TARGET_KEYS if (key,) in found and (key,) not in inputs), None)
        if target is not None:
            return Parts(target, next(((key,) for key in LENGTH_KEYS if (key,) in found), None))
    rest = [one for one in found.items() if one[0] not in (inputs or list(found)[:1])]
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
    target: torch.Tensor = at(tree, parts.target)
    lengths: list[int] | None = None if parts.lengths is None else at(tree, parts.lengths).tolist()
    if target.dim() == 1:
        if lengths is None:
            raise EvalError(
                f"targets stand in a row ({shape(tree)}), and nothing says how many of them are a sample's. "
                "Next: put their lengths into the batch as target_lengths, or pad them to (n, length) (repair_version)"
            )
        return [row.tolist() for row in target.split(lengths)]
    return [(row if lengths is None else row[: lengths[index]]).tolist() for index, row in enumerate(target)]


def target_of(tree: Any, parts: Parts) -> Any:
    """The path of what is written there. Raises `EvalError` for a batch that has no such thing."""
    if parts.target is None:
        raise EvalError(
            f"no targets in a validation batch {shape(tree)}: expected texts, or class numbers with their lengths. "
            "Next: give batches as docs/contract.md says (repair_version), or write a 03_eval.py and use write_eval"
        )
    return parts.target


def size_of(tree: Any) -> int:
    """How many samples a batch holds."""
    parts = parts_of(tree)
    if parts.target is None:
        return count(tree) or 1
    target = at(tree, parts.target)
    if isinstance(target, torch.Tensor) and target.dim() == 1 and parts.lengths is not None:
        return len(at(tree, parts.lengths))
    return rows(target) or 1
