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
from ..script.synonyms import is_for_evaluation, speaks_of, synonyms
from ..store.tree import Tree
from ..text import Told
from .config_values import Leaf, Path, leaves, with_values
from .finding import Finding, asked

_CLASS = ("class_path", "_target_")
_TRAINING = re.compile(r"train|training|trainer|fit", re.I)
_Wrong = Mapping[Path, tuple[Leaf, Fixed]]


@dataclass(frozen=True)
class Copies:
    """`script` names the `files`. `stated` are the rules that some file gives a value; `asked` are set in none, since
    several values differ and only the user can say which is meant.
    """

    script: str
    files: Mapping[str, str]
    applied: tuple[str, ...]
    findings: tuple[Finding, ...]
    stated: frozenset[str]
    asked: frozenset[str]


def copied(
    script: Script, modules: Sequence[Script], tree: Tree, rules: Sequence[Fixed], extra: Extra, version: str
) -> Copies:
    """Sets what the rules fix in copies of the files that the script names, and has it name the copies.

    A file in which every value already is the rule's stays as it is. What a local module reads can't be set so: it is
    said. Raises `ProjectError` for a file of a copy's name with other text.
    """
    made = _Making(tree, rules, extra, version, script)
    for file in config_files(script, tree.root):
        made.copy(file)
    for module in modules:
        for file in config_files(module, tree.root):
            made.tell(file, module.name)
    findings = tuple({str(finding): finding for finding in made.findings}.values())
    return Copies(
        made.script.text, made.files, tuple(made.applied), findings, frozenset(made.stated), frozenset(made.asked)
    )


@dataclass
class _Making:
    tree: Tree
    rules: Sequence[Fixed]
    extra: Extra
    version: str
    script: Script
    files: dict[str, str] = field(default_factory=dict[str, str])
    applied: list[str] = field(default_factory=list[str])
    findings: list[Finding] = field(default_factory=list[Finding])
    stated: set[str] = field(default_factory=set[str])
    asked: set[str] = field(default_factory=set[str])

    def copy(self, file: ConfigFile) -> None:
        text, wrong = self.read(file.path)
        if not wrong:
            return
        try:
            edited = with_values(file.path, text, {path: rule.value for path, (_, rule) in wrong.items()})
        except ValueError:
            self.unset(file.path, wrong, Told("it can't be set in place"))
            return
        name = copy_name(file.path, self.version)
        if self.tree.kind(name) is not None and self.tree.read(name) != edited.encode():
            raise ProjectError("exists already, with other text", where=name, hint="move it away, then call again")
        # The literals have moved with each copy before.
        here = next(one for one in config_files(self.script, self.tree.root) if one.path == file.path)
        self.script = Script.parse(naming(self.script, here, name), self.script.name)
        self.files[name] = edited
        told = [
            f"{dotted(path)}: {leaf.value!r} -> {rule.value!r} ({rule.rule})" for path, (leaf, rule) in wrong.items()
        ]
        self.applied += [f"{file.path} -> {name}", *(f"{name}, {line}" for line in told)]
        issue = Told("{file} states other values than you fixed; v001 reads {copy}", {"file": file.path, "copy": name})
        self.findings.append(Finding(issue, "; ".join(told)))

    def tell(self, file: ConfigFile, module: str) -> None:
        _, wrong = self.read(file.path)
        why = Told("{module} reads it, and only what the script itself names is copied", {"module": module})
        self.unset(file.path, wrong, why)

    def unset(self, file: str, wrong: _Wrong, why: Told) -> None:
        for path, (leaf, rule) in wrong.items():
            values = {"file": file, "key": dotted(path), "found": leaf.value, "rule": rule.rule, "value": rule.value}
            issue = Told("{file} states {key} = {found!r}, but {rule} = {value!r}; each run is measured for it", values)
            self.findings.append(Finding(issue, why))

    def read(self, path: str) -> tuple[str, _Wrong]:
        """The file's text, and the values in it that a rule means and that are not the rule's; none of a file that
        can't be read as what its name says.
        """
        try:
            text = self.tree.read_following(path).decode()
            found = leaves(path, text)
        except (OSError, ValueError):
            self.findings.append(Finding(Told("{file} can't be read, so nothing is set in it", {"file": path})))
            return "", {}
        meant = [(leaf, rule) for rule in self.rules for leaf in self.meant(rule, found, path)]
        return text, {leaf.path: (leaf, rule) for leaf, rule in meant if not agrees(rule, leaf.value)}

    def meant(self, rule: Fixed, found: Sequence[Leaf], file: str) -> Sequence[Leaf]:
        """The values that the rule means. Where several differ, the one of the training's own, if that is clear."""
        about = self.about(rule, found)
        if about:
            self.stated.add(rule.rule)
        if len({repr(leaf.value) for leaf in about}) < 2:
            return about
        main = _main(rule, about)
        if not main:
            self.asked.add(rule.rule)
        if apart := [leaf for leaf in about if leaf not in main]:
            places = [(f"{file}, {dotted(leaf.path)}", leaf.value, dotted(leaf.path)) for leaf in apart]
            self.findings.append(asked(rule, places, some=bool(main)))
        return main

    def about(self, rule: Fixed, found: Sequence[Leaf]) -> list[Leaf]:
        names = synonyms(rule.name, self.extra)
        classes = {leaf.path[:-1]: str(leaf.value) for leaf in found if leaf.path and leaf.path[-1] in _CLASS}
        known = [leaf for leaf in found if leaf.path and leaf.value is not UNRESOLVED]
        about = [leaf for leaf in known if speaks_of(_setting(leaf, classes), names)]
        if rule.role:
            return [leaf for leaf in about if _is_of(leaf, rule.role)]
        return [leaf for leaf in about if not any(_is_of(leaf, role) for role in rule.others)]


def _main(rule: Fixed, about: Sequence[Leaf]) -> list[Leaf]:
    if same := [leaf for leaf in about if agrees(rule, leaf.value)]:
        return same
    depth = min(len(leaf.path) for leaf in about)
    top = [leaf for leaf in about if len(leaf.path) == depth]
    training = [leaf for leaf in about if any(_TRAINING.fullmatch(str(part)) for part in leaf.path[:-1])]
    return next((one for one in (training, top) if len(one) == 1), list[Leaf]())


def _setting(leaf: Leaf, classes: Mapping[Path, str]) -> Setting:
    """The value as a field of a script would be: `optimizer: {lr: 0.1}`, or below the class that is made with it."""
    *above, name = map(str, leaf.path)
    parents = tuple(part for part in above if not part.isdigit())
    # `training: {val: {batch_size: 64}}` is about the validation: the nearest name says it.
    about = [index for index, part in enumerate(parents) if is_for_evaluation((part,))]
    near = parents[about[-1] :] if about else parents
    holder = leaf.path[:-2] if parents[-1:] == ("init_args",) else leaf.path[:-1]
    made = (classes.get(holder, "").rpartition(".")[2],) if holder in classes else ()
    return Setting(
        # LightningCLI's own name of it.
        name="seed" if name == "seed_everything" else name,
        value=leaf.value,
        kind="field",
        callee=next(iter((*made, *reversed(parents))), None),
        symbol=".".join(near),
        line=0,
        editable=True,
        start=leaf.start,
        end=leaf.end,
        context=(*near, *made),
    )


def _is_of(leaf: Leaf, role: str) -> bool:
    return f".{dotted(leaf.path[:-1])}".endswith(f".{role}")


def dotted(path: Path) -> str:
    """`train.optimizers.0.lr`."""
    return ".".join(map(str, path))
