"""The YAML, JSON and TOML files that a script names, found without running it."""

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from .source import Script
from .syntax import last_name
from .version import bound_once, literals, path_parts, written_in_place

CONFIG_SUFFIXES = (".yaml", ".yml", ".json", ".toml")
_OPTION = re.compile(r"^--?[\w.-]+=")
_COPY = re.compile(r"_v\d{3,}$")
# Data and artifacts are no settings; what the loop pins of them, it pins otherwise.
_ELSEWHERE = ("dataset", "Models", ".progressive-training", ".venv")
_WRITERS = ("save", "dump", "write_text", "write_bytes", "to_json", "to_yaml", "savetxt")
_MOST_BYTES = 1_000_000


@dataclass(frozen=True)
class ConfigFile:
    """A file below the project's root, and the literals of the script that name it."""

    path: str
    literals: tuple[ast.Constant, ...]


def config_files(script: Script, root: Path) -> tuple[ConfigFile, ...]:
    """Every settings file that a literal of the script names: `open("a.yaml")`, `HERE / "conf" / "a.json"`, an option's
    default, `"--config=a.yaml"`, Hydra's `config_name`.

    Relative paths are looked up in `root`, where scripts run, and beside the script. Left out: what the script also
    writes, data and artifacts, files above 1 MB. Not found: names that are computed.
    """
    written = _written(script.tree)
    found: dict[str, list[ast.Constant]] = {}
    spoiled: set[str] = set()
    for literal, name in _names(script.tree):
        path = _existing(root, PurePosixPath(script.name).parent, name)
        if path is None:
            continue
        if id(literal) in written:
            spoiled.add(path)
        elif written_in_place(script, literal) and literal not in found.setdefault(path, []):
            found[path].append(literal)
    return tuple(ConfigFile(path, tuple(found[path])) for path in sorted(found) if path not in spoiled)


def versions_copies(script: Script, root: Path) -> tuple[str, ...]:
    """Those files that bear a version's name, `config_v001.yaml`: they are part of the version, as its modules are."""
    return tuple(one.path for one in config_files(script, root) if _COPY.search(PurePosixPath(one.path).stem))


def copy_name(path: str, version: str) -> str:
    """`conf/train.yaml` -> `conf/train_v001.yaml`."""
    file = PurePosixPath(path)
    return file.with_name(f"{_COPY.sub('', file.stem)}_{version}{file.suffix}").as_posix()


def naming(script: Script, file: ConfigFile, name: str) -> str:
    """The script's text with `name`, of the same folder, in place of that file's; every other byte stays."""
    old, new = PurePosixPath(file.path), PurePosixPath(name)
    edits: list[tuple[int, int, str]] = []
    for literal in file.literals:
        source, value = script.source(literal), str(literal.value)
        before, after = (old.name, new.name) if value.endswith(old.name) else (old.stem, new.stem)
        wanted = after.join(value.rsplit(before, 1))
        edited = after.join(source.rsplit(before, 1))
        if ast.literal_eval(edited) != wanted:
            edited = repr(wanted)
        edits.append((*script.span(literal), edited))
    return script.edited(edits)


def _names(tree: ast.Module) -> Iterator[tuple[ast.Constant, str]]:
    """Each literal that ends a path, with that path as far as it is known."""
    for node in literals(tree):
        if isinstance(node, ast.Constant):
            yield node, _OPTION.sub("", str(node.value))
    known = bound_once(tree)
    for node in ast.walk(tree):
        if isinstance(node, ast.BinOp | ast.Call):
            parts = list(path_parts(node, known, 0))
            unknown = max((index for index, (name, _) in enumerate(parts) if name is None), default=-1)
            tail = parts[unknown + 1 :]
            if tail and (literal := tail[-1][1]) is not None:
                yield literal, "/".join(str(name) for name, _ in tail)
    yield from _of_hydra(tree)


def _of_hydra(tree: ast.Module) -> Iterator[tuple[ast.Constant, str]]:
    """`hydra.main(config_path="conf", config_name="train")`: the file is conf/train.yaml."""
    given = [
        (keyword.arg, keyword.value, str(keyword.value.value))
        for node in ast.walk(tree)
        if isinstance(node, ast.Call)
        for keyword in node.keywords
        if isinstance(keyword.value, ast.Constant) and isinstance(keyword.value.value, str)
    ]
    folders = [value for name, _, value in given if name == "config_path"]
    for name, literal, value in given:
        if name == "config_name":
            for folder in folders or ["."]:
                yield literal, f"{folder}/{value.removesuffix('.yaml')}.yaml"


def _existing(root: Path, home: PurePosixPath, name: str) -> str | None:
    if not name.endswith(CONFIG_SUFFIXES) or "\0" in name or len(name) > 500:
        return None
    for folder in dict.fromkeys((PurePosixPath(), home)):
        path = folder / name
        if path.is_absolute() or ".." in path.parts or path.parts[0] in _ELSEWHERE:
            continue
        try:
            if (root / path).is_file() and (root / path).stat().st_size <= _MOST_BYTES:
                return path.as_posix()
        except OSError:  # a name that the file system doesn't take
            continue
    return None


def _written(tree: ast.Module) -> set[int]:
    """The literals within calls that write a file."""
    found: set[int] = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _writes(node):
            found.update(id(inner) for inner in ast.walk(node) if isinstance(inner, ast.Constant))
    return found


def _writes(node: ast.Call) -> bool:
    if last_name(node.func) in _WRITERS:
        return True
    modes = [*node.args, *(keyword.value for keyword in node.keywords if keyword.arg == "mode")]
    return last_name(node.func) == "open" and any(
        isinstance(mode, ast.Constant)
        and isinstance(mode.value, str)
        and re.fullmatch(r"[wax][bt+]*|r\+[bt]?", mode.value)
        for mode in modes
    )
