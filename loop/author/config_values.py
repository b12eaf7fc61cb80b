"""The values in a YAML, JSON or TOML text, and how one is set in place: comments, order and formatting stay."""

import json
import re
import tomllib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import cast

import yaml

from ..rules.json_places import scalars
from ..script.fixed import Scalar
from ..script.folding import UNRESOLVED, Value

Path = tuple[str | int, ...]
_PROBE = "progressive-training probe"
_TOML_PAIR = re.compile(
    r"""(?:[A-Za-z0-9_-]+|"[^"\n]*"|'[^'\n]*')[ \t]*=[ \t]*("[^"\n]*"|'[^'\n]*'|[^\s,\]}\[{#"']+)"""
)
_YAML_MARKS = re.compile(r"(?:[&!]\S*\s+)*")
_MOST_TOML_VALUES = 400  # each is found by reading the text once more


@dataclass(frozen=True)
class Leaf:
    """One value of a file. `start` and `end` are its offsets in characters; `value` is UNRESOLVED where it is none that
    a rule could fix: a date, a tag of the user's own, an interpolation.
    """

    path: Path
    value: Value
    start: int
    end: int


def leaves(name: str, text: str) -> tuple[Leaf, ...]:
    """Every scalar of the file, in the order of the text; one that several keys lead to, once.

    Raises: ValueError for a text that is not what the name's ending says, or several documents.
    """
    try:
        found = _FORMATS[PurePosixPath(name).suffix].leaves(text)
        ordered = sorted(found, key=lambda leaf: (leaf.start, len(leaf.path)))
    except (yaml.YAMLError, RecursionError) as error:
        raise ValueError(str(error)) from error
    return tuple({leaf.start: leaf for leaf in reversed(ordered)}.values())[::-1]


def with_values(name: str, text: str, values: Mapping[Path, Scalar]) -> str:
    """The text with those leaves set; nothing else of it changes, which is proved by reading it again.

    Raises: ValueError where that can't be done.
    """
    form, before = _FORMATS[PurePosixPath(name).suffix], leaves(name, text)
    edited = text
    for leaf in reversed(before):
        if leaf.path in values:
            gap = " " if leaf.start == leaf.end and not text[: leaf.start].endswith((" ", "\n")) else ""
            edited = edited[: leaf.start] + gap + form.spelled(values[leaf.path]) + edited[leaf.end :]
    wanted = {leaf.path: values.get(leaf.path, leaf.value) for leaf in before}
    if {leaf.path: leaf.value for leaf in leaves(name, edited)} != wanted:
        raise ValueError("the value can't be set in place")
    return edited


@dataclass(frozen=True)
class _Format:
    leaves: Callable[[str], Iterator[Leaf]]
    spelled: Callable[[Scalar], str]


def _plain(value: object) -> Value:
    if isinstance(value, str) and "${" in value:
        return UNRESOLVED
    return value if isinstance(value, bool | int | float | str | None) else UNRESOLVED


def _yaml_leaves(text: str) -> Iterator[Leaf]:
    root = cast("yaml.Node | None", yaml.compose(text, Loader=yaml.SafeLoader))  # pyright: ignore[reportUnknownMemberType]
    if root is not None:
        yield from _yaml_below(root, (), text, ())


def _yaml_below(node: yaml.Node, path: Path, text: str, above: tuple[yaml.Node, ...]) -> Iterator[Leaf]:
    if node in above:  # an anchor within itself
        return
    match node:
        case yaml.MappingNode():
            for key, value in cast("list[tuple[yaml.Node, yaml.Node]]", node.value):
                part = () if key.value == "<<" else (str(key.value),)
                yield from _yaml_below(value, (*path, *part), text, (*above, node))
        case yaml.SequenceNode():
            for index, value in enumerate(cast("list[yaml.Node]", node.value)):
                yield from _yaml_below(value, (*path, index), text, (*above, node))
        case _:
            start, end = node.start_mark.index, node.end_mark.index
            marks = _YAML_MARKS.match(text, start, end)
            yield Leaf(path, _yaml_value(node), marks.end() if marks else start, end)


def _yaml_value(node: yaml.Node) -> Value:
    try:
        return _plain(yaml.SafeLoader("").construct_object(node))  # pyright: ignore[reportUnknownMemberType, reportUnknownArgumentType]
    except (yaml.YAMLError, ValueError):
        return UNRESOLVED


def _yaml_spelled(value: Scalar) -> str:
    # PyYAML's own habit: 1e-05 would be read back as text, 1.0e-05 is a number.
    return yaml.safe_dump(value, allow_unicode=True, width=10_000).removesuffix("\n").removesuffix("\n...")


def _json_leaves(text: str) -> Iterator[Leaf]:
    json.loads(text)
    for path, start, end in scalars(text):
        yield Leaf(path, _plain(json.loads(text[start:end])), start, end)


def _toml_leaves(text: str) -> Iterator[Leaf]:
    """Each value is found by what reading the text gives with another in its place."""
    data = dict(_flat(tomllib.loads(text), ()))
    pairs = list(_TOML_PAIR.finditer(text))
    for pair in pairs if len(pairs) <= _MOST_TOML_VALUES else ():
        start, end = pair.span(1)
        try:
            probed = dict(_flat(tomllib.loads(f'{text[:start]}"{_PROBE}"{text[end:]}'), ()))
        except tomllib.TOMLDecodeError:
            continue
        changed = [path for path, value in probed.items() if value == _PROBE]
        if len(changed) == 1 and probed.keys() == data.keys():
            yield Leaf(changed[0], _plain(data[changed[0]]), start, end)


def _flat(value: object, path: Path) -> Iterator[tuple[Path, object]]:
    match value:
        case dict():
            for key, inner in cast("dict[str, object]", value).items():
                yield from _flat(inner, (*path, key))
        case list():
            for index, inner in enumerate(cast("list[object]", value)):
                yield from _flat(inner, (*path, index))
        case _:
            yield path, value


def _toml_spelled(value: Scalar) -> str:
    if value is None:
        raise ValueError("TOML has no null")
    return json.dumps(value, ensure_ascii=False)


_YAML = _Format(_yaml_leaves, _yaml_spelled)
_FORMATS: Mapping[str, _Format] = {
    ".yaml": _YAML,
    ".yml": _YAML,
    ".json": _Format(_json_leaves, lambda value: json.dumps(value, ensure_ascii=False)),
    ".toml": _Format(_toml_leaves, _toml_spelled),
}
