"""The styles in which people state a training's settings."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

VALUES: Mapping[str, Any] = {"seed": 42, "epochs": 3, "batch_size": 4, "lr": 0.2, "start": 1.0, "margin": 0.0}
NAMES: Mapping[str, tuple[str, ...]] = {
    "seed": ("seed", "random_seed", "SEED"),
    "epochs": ("epochs", "max_epochs", "num_epochs", "n_epochs"),
    "batch_size": ("batch_size", "train_batch_size", "bs"),
    "lr": ("lr", "learning_rate", "base_lr"),
    "start": ("start", "initial", "first_guess"),
    "margin": ("margin", "slack", "offset"),
}


@dataclass(frozen=True)
class Style:
    """How a script states its settings: the text, how code reads one, and the symbol that holds it."""

    name: str
    text: str
    read: Callable[[str], str]
    symbol: Callable[[str], str]
    parameter: str
    make: str
    imports: str = ""
    modules: Mapping[str, str] = field(default_factory=dict[str, str])


def constants(names: Mapping[str, str]) -> Style:
    text = "".join(f"{names[key].upper()} = {value}\n" for key, value in VALUES.items())
    return Style("constants", text, lambda key: names[key].upper(), lambda key: names[key].upper(), "", "")


def a_dataclass(names: Mapping[str, str]) -> Style:
    fields = "".join(f"    {names[key]}: {type(value).__name__} = {value}\n" for key, value in VALUES.items())
    return Style(
        "dataclass",
        f"@dataclass\nclass Config:\n{fields}",
        lambda key: f"cfg.{names[key]}",
        lambda key: f"Config.{names[key]}",
        "cfg",
        "    cfg = Config()\n",
        "from dataclasses import dataclass\n",
    )


def argparse(names: Mapping[str, str]) -> Style:
    options = "".join(
        f'    parser.add_argument("--{names[key].replace("_", "-")}", type={type(value).__name__}, default={value})\n'
        for key, value in VALUES.items()
    )
    text = f"def parse():\n    parser = argparse.ArgumentParser()\n{options}    return parser.parse_args()\n"
    return Style(
        "argparse",
        text,
        lambda key: f"args.{names[key]}",
        lambda key: "parse",
        "args",
        "    args = parse()\n",
        "import argparse\n",
    )


def a_dictionary(names: Mapping[str, str]) -> Style:
    items = "".join(f'    "{names[key]}": {value},\n' for key, value in VALUES.items())
    return Style(
        "dictionary",
        f"CONFIG = {{\n{items}}}\n",
        lambda key: f'config["{names[key]}"]',
        lambda key: "CONFIG",
        "config",
        "    config = dict(CONFIG)\n",
    )


def modules(names: Mapping[str, str]) -> Style:
    """Settings in the script, the step in a package of the project."""
    plain = constants(names)
    return Style(
        "local modules",
        plain.text,
        plain.read,
        plain.symbol,
        "",
        "",
        "from parts.steps import clipped\n",
        {
            "parts/__init__.py": "",
            "parts/steps.py": "def clipped(value, most=1.0):\n    return max(-most, min(most, value))\n",
        },
    )


STYLES = (constants, a_dataclass, argparse, a_dictionary, modules)
