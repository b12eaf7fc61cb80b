"""The user's values in the settings files that v001 reads: set in copies of v001's own, never in the user's files."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ..errors import ProjectError
from ..script.config_files import ConfigFile, config_files, copy_name, naming
from ..script.fixed import Extra, Fixed, agrees
from ..script.folding import UNRESOLVED
from ..script.places import Setting
from ..script.source import Script
from ..script.synonyms import speaks_of, synonyms
from ..store.tree import Tree
from ..text import Told
from .config_values import Leaf, Path, leaves, with_values
from .finding import Finding, asked

_CLASS = ("class_path", "_target_")
_TRAINING = re.compile(r"^(train|training|trainer|fit)$", re.I)


@dataclass
class Copies:
    """`script` names the `files`; `stated` are the rules that some file gives a value, `asked` those left to the user."""

    script: str
    files: dict[str, str] = field(default_factory=dict[str, str])
    applied: list[str] = field(default_factory=list[str])
    findings: list[Finding] = field(default_factory=list[Finding])
    stated: set[str] = field(default_factory=set[str])
    asked: set[str] = field(default_factory=set[str])


def copied(
    script: Script, modules: Sequence[Script], tree: Tree, rules: Sequence[Fixed], extra: Extra, version: str
) -> Copies:
    """Sets what the rules fix in copies of the files that the script names, and has it name the copies.

    A file in which every value already is the rule's stays as it is. What a local module reads can't be set so: it is
    said. Raises `ProjectError` for a file of a copy's name with other text.
    """
    made = Copies(script.text)
    for file in config_files(script, tree.root):
        _copy(made, file, tree, rules, extra, version, script.name)
    for module in modules:
        for file in config_files(module, tree.root):
            _tell(made, file, tree, rules, extra, module.name)
    return made


def _copy(
    made: Copies, file: ConfigFile, tree: Tree, rules: Sequence[Fixed], extra: Extra, version: str, name: str
) -> None:
    text, found = _read(tree, file.path)
    meant = {rule: _meant(rule, found, rules, extra, file.path, made) for rule in rules}
    wrong = {
        leaf.path: (leaf, rule) for rule, places in meant.items() for leaf in places if not agrees(rule, leaf.value)
    }
    if not wrong:
        return
    copy, done = copy_name(file.path, version), {path: rule.value for path, (_, rule) in wrong.items()}
    try:
        new = with_values(file.path, text, done)
    except ValueError:
        made.findings += [
            _unset(file.path, leaf, rule, Told("it can't be set in place")) for leaf, rule in wrong.values()
        ]
        return
    if tree.kind(copy) is not None and tree.read(copy) != new.encode():
        raise ProjectError("exists already, with other text", where=copy, hint="move it away, then call again")
    current = Script.parse(made.script, name)
    here = next(one for one in config_files(current, tree.root) if one.path == file.path)
    made.script = naming(current, here, copy)
    made.files[copy] = new
    told = [f"{dotted(leaf.path)}: {leaf.value!r} -> {rule.value!r} ({rule.rule})" for leaf, rule in wrong.values()]
    made.applied += [f"{file.path} -> {copy}", *(f"{copy}, {line}" for line in told)]
    issue = Told(
        "{file} states other values than you fixed; v001 reads {copy} instead", {"file": file.path, "copy": copy}
    )
    made.findings.append(Finding(issue, "; ".join(told)))


def _tell(made: Copies, file: ConfigFile, tree: Tree, rules: Sequence[Fixed], extra: Extra, module: str) -> None:
    _, found = _read(tree, file.path)
    why = Told("{module} reads it, and only a file that the script itself names is copied", {"module": module})
    for rule in rules:
        for leaf in _meant(rule, found, rules, extra, file.path, made):
            if not agrees(rule, leaf.value):
                made.findings.append(_unset(file.path, leaf, rule, why))


def _unset(file: str, leaf: Leaf, rule: Fixed, why: Told) -> Finding:
    values = {"file": file, "key": dotted(leaf.path), "found": leaf.value, "rule": rule.rule, "value": rule.value}
    return Finding(
        Told(
            "{file} states {key} = {found!r}, but {rule} = {value!r}; each run is measured for it: {why}",
            {**values, "why": why},
        )
    )


def _read(tree: Tree, path: str) -> tuple[str, tuple[Leaf, ...]]:
    """The file's text and values; no values where it can't be read as what its name says."""
    try:
        text = tree.read_following(path).decode()
        return text, leaves(path, text)
    except (OSError, ValueError):
        return "", ()


def _meant(
    rule: Fixed, found: Sequence[Leaf], rules: Sequence[Fixed], extra: Extra, file: str, made: Copies
) -> list[Leaf]:
    """The values that the rule means. Where several differ, the one of the training's own, if that is clear."""
    classes = {leaf.path[:-1]: str(leaf.value) for leaf in found if leaf.path and leaf.path[-1] in _CLASS}
    names = synonyms(rule.name, extra)
    about = [leaf for leaf in found if leaf.value is not UNRESOLVED and speaks_of(_setting(leaf, classes), names)]
    about = [leaf for leaf in about if leaf.value is not None or rule.value is not None]
    if rule.role:
        about = [leaf for leaf in about if _is_of(leaf, rule.role)]
    else:
        roles = [other.role for other in rules if other.role and other.name in names]
        about = [leaf for leaf in about if not any(_is_of(leaf, role) for role in roles)]
    if about:
        made.stated.add(rule.rule)
    if len({repr(leaf.value) for leaf in about}) < 2:
        return about
    main = _main(rule, about)
    apart = [leaf for leaf in about if leaf not in main]
    if apart:
        made.asked.add(rule.rule)
        made.findings.append(
            asked(
                rule,
                [(f"{file}, {dotted(leaf.path)}", leaf.value, dotted(leaf.path)) for leaf in apart],
                some=bool(main),
            )
        )
    return main


def _main(rule: Fixed, about: Sequence[Leaf]) -> list[Leaf]:
    if same := [leaf for leaf in about if agrees(rule, leaf.value)]:
        return same
    depth = min(len(leaf.path) for leaf in about)
    top = [leaf for leaf in about if len(leaf.path) == depth]
    training = [leaf for leaf in about if any(_TRAINING.match(str(part)) for part in leaf.path[:-1])]
    return next((one for one in (training, top) if len(one) == 1), [])


def _setting(leaf: Leaf, classes: Mapping[Path, str]) -> Setting:
    """The value as a field of a script would be: `optimizer: {lr: 0.1}`, or below the class that is made with it."""
    *above, name = (str(part) for part in leaf.path) if leaf.path else ("",)
    parents = tuple(part for part in above if not part.isdigit())
    holder = leaf.path[:-2] if parents[-1:] == ("init_args",) else leaf.path[:-1]
    made = classes.get(holder, "").rpartition(".")[2]
    context = (*parents, made) if made else parents
    name = "seed" if name == "seed_everything" else name
    return Setting(
        name,
        leaf.value,
        "field",
        made or (parents[-1] if parents else None),
        ".".join(parents),
        0,
        True,
        leaf.start,
        leaf.end,
        context,
    )


def _is_of(leaf: Leaf, role: str) -> bool:
    above = dotted(leaf.path[:-1])
    return above == role or above.endswith(f".{role}")


def dotted(path: Path) -> str:
    return ".".join(map(str, path))
