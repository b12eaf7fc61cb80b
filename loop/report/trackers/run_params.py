"""A run's parameters: what the version's script certainly sets, and what the rules fix."""

from collections.abc import Sequence

from ...project.version import Version
from ...rules.reading import Rules
from ...script import Script, decode_script
from ...script.settings import UNRESOLVED, Setting, Value, settings
from ...text import clean

Param = str | int | float | bool | None
MOST = 300
_MOST_CHARACTERS = 250
_SEEDERS = ("seed_everything", "manual_seed", "set_seed")


def params(version: Version, rules: Rules) -> dict[str, Param]:
    """By name, as Python names it: `LEARNING_RATE`, `Config.lr`, `Trainer.max_epochs`; `fixed.…` is what the rules fix.

    A name that is set to several values has them all, in the order of the script. Raises `ScriptError`.
    """
    found: dict[str, list[Value]] = {}
    for setting in settings(_script(version)):
        name = _name(setting)
        if name is not None and setting.value is not UNRESOLVED:
            values = found.setdefault(name, [])
            if not any(value is setting.value or repr(value) == repr(setting.value) for value in values):
                values.append(setting.value)
    own = {name: _one(values) for name, values in list(found.items())[:MOST]}
    return own | {f"fixed.{fixed.rule}": _plain(fixed.value) for fixed in rules.fixed}


def _script(version: Version) -> Script:
    """As it was trained; as it is now where there is no snapshot of that."""
    name = version.script_name
    try:
        data = version.project.workspace.tree.read(f"{version.snapshot}/{name}")
    except FileNotFoundError:
        return version.script(authored=False)
    return Script.parse(decode_script(data, name), name)


def _name(setting: Setting) -> str | None:
    """What a person would call it; None for what is no setting of the training, such as a file's encoding."""
    match setting.kind:
        case "constant" if setting.symbol == setting.name and setting.name != "VERSION":
            return setting.name
        case "field" if setting.symbol.endswith(f".{setting.name}"):
            return setting.symbol
        case "default" if setting.symbol.endswith(".__init__"):
            return f"{setting.symbol.removesuffix('.__init__')}.{setting.name}"
        case "argparse" | "override":
            return setting.name
        case "keyword" | "positional" if _tells(setting.callee):
            return f"{setting.callee}.{setting.name}"
        case _:
            return None


def _tells(callee: str | None) -> bool:
    """Classes are what is configured: optimisers, loaders, the trainer."""
    return callee is not None and (callee[:1].isupper() or callee in _SEEDERS)


def _one(values: Sequence[Value]) -> Param:
    if len(values) == 1:
        return _plain(values[0])
    return clean(", ".join(str(value) for value in values), _MOST_CHARACTERS)


def _plain(value: object) -> Param:
    if value is None or isinstance(value, bool | int | float):
        return value
    return clean(str(value), _MOST_CHARACTERS)
