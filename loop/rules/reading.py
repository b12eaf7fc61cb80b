"""Reads user_defined_rules.json and user_instruction.md, what the user fixed; never writes them (C1, C2)."""

import hashlib
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

from pydantic import BaseModel, JsonValue, ValidationError

from ..errors import RulesError
from ..script.fixed import Fixed, with_others
from ..store.paths import INSTRUCTION_FILE, RULES_FILE
from ..store.tree import Tree
from ..text import describe
from .json_places import place_of_constant, place_of_repeated_key, place_of_value
from .schema import RulesFile, TrainingConfig

_FORMAT_HINT = f"correct {RULES_FILE} (the README shows an example); the loop never writes this file"


@dataclass(frozen=True)
class Rules:
    """The user's rules and instruction as they are on disk now."""

    file: RulesFile
    instruction: str | None
    rules_path: Path | None
    rules_sha256: str | None
    instruction_sha256: str | None

    @property
    def fixed(self) -> tuple[Fixed, ...]:
        """What training must use: every scalar of training_config, and the seed if the user gave one (T1)."""
        values = self.file.training_config.model_extra or {}
        rules = [
            Fixed(rule=f"training_config.{key}", name=key.rpartition(".")[2], value=value, role=key.rpartition(".")[0])
            for key, value in values.items()
            if value is None or isinstance(value, bool | int | float | str)
        ]
        if "seed" in self.file.model_fields_set:
            rules.append(Fixed(rule="seed", name="seed", value=self.file.seed))
        return with_others(rules, self.file.synonyms)

    @property
    def metric_names(self) -> tuple[str, ...]:
        """Loss first, then `eval_config.metrics`, each once (E1)."""
        return tuple(dict.fromkeys(("loss", *self.file.eval_config.metrics)))

    @property
    def defaults(self) -> tuple[str, ...]:
        """The settings that the user left to us, as `section.key = value`."""
        return tuple(_defaults(self.file, ""))

    @property
    def unknown(self) -> tuple[str, ...]:
        """Keys that we keep and show but don't understand."""
        return tuple(_unknown(self.file, ""))


def read_rules(project: Path, skill_folders: Sequence[Path] = ()) -> Rules:
    """Reads both files from the project's root, else from the first skill folder that has them (C1).

    Absent files mean no constraints. Raises `RulesError` naming file, line and column for a malformed one.
    """
    rules_path, rules_bytes = _find(RULES_FILE, project, skill_folders)
    text_path, text_bytes = _find(INSTRUCTION_FILE, project, skill_folders)
    file = RulesFile() if rules_bytes is None else parse_rules(rules_bytes, str(rules_path))
    return Rules(
        file=file,
        instruction=None if text_bytes is None else _decode(text_bytes, str(text_path)),
        rules_path=rules_path,
        rules_sha256=None if rules_bytes is None else hashlib.sha256(rules_bytes).hexdigest(),
        instruction_sha256=None if text_bytes is None else hashlib.sha256(text_bytes).hexdigest(),
    )


def parse_rules(data: bytes, where: str) -> RulesFile:
    """Raises `RulesError` with line and column for what is not JSON, a key twice, NaN, a value of a wrong type.

    Text that is not UTF-8 is refused as well.
    """
    text = _decode(data, where)

    def refuse(what: str, place: str | None) -> NoReturn:
        raise RulesError(what, where=f"{where}:{place}" if place else where, hint=_FORMAT_HINT)

    def pairs(items: list[tuple[str, JsonValue]]) -> dict[str, JsonValue]:
        found: dict[str, JsonValue] = {}
        for key, value in items:
            if key in found:
                refuse(f'the key "{key}" stands there twice', place_of_repeated_key(text))
            found[key] = value
        return found

    def constant(name: str) -> NoReturn:
        refuse(f"{name} is not a JSON number", place_of_constant(text))

    try:
        content = json.loads(text, object_pairs_hook=pairs, parse_constant=constant)
    except json.JSONDecodeError as error:
        place = f"{where}:{error.lineno}:{error.colno}"
        raise RulesError(f"not valid JSON: {error.msg}", where=place, hint=_FORMAT_HINT) from error
    except RecursionError as error:
        raise RulesError("nested too deeply", where=where, hint=_FORMAT_HINT) from error
    try:
        file = RulesFile.model_validate_json(json.dumps(content))
    except ValidationError as error:
        refuse(describe(error, "there is no such key"), place_of_value(text, error.errors(include_url=False)[0]["loc"]))
    computed = dict.fromkeys(("loss", *file.eval_config.metrics, file.eval_config.primary_metric))
    for name in file.loop_config.target or {}:
        if name not in computed:
            what = f"loop_config.target names {name!r}, which is not computed: name one of {', '.join(computed)}"
            refuse(f"{what}, or add it to eval_config.metrics", place_of_value(text, ("loop_config", "target", name)))
    return file


def _find(name: str, project: Path, skill_folders: Sequence[Path]) -> tuple[Path | None, bytes | None]:
    for folder in (project, *skill_folders):
        try:
            return folder / name, Tree(folder).read(name)
        except FileNotFoundError:
            continue
    return None, None


def _decode(data: bytes, where: str) -> str:
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise RulesError("is UTF-16", where=where, hint="save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise RulesError(f"is not UTF-8 (byte {error.start})", where=where, hint="save it as UTF-8") from error


def _defaults(section: BaseModel, prefix: str) -> Iterator[str]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel):
            yield from _defaults(value, f"{prefix}{name}.")
        elif name not in section.model_fields_set:
            shown = json.dumps(value, ensure_ascii=False)
            yield f"{prefix}{name} = {shown}"


def _unknown(section: BaseModel, prefix: str) -> Iterator[str]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        if isinstance(value, BaseModel) and not isinstance(value, TrainingConfig):
            yield from _unknown(value, f"{prefix}{name}.")
    if not isinstance(section, TrainingConfig):
        yield from (f"{prefix}{name}" for name in section.model_extra or {})
