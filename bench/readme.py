"""The README's tool table, made from the tools.

python bench/readme.py            rewrites README.md
python bench/readme.py --check    exits with 1 if it differs
"""

import sys
from inspect import getdoc
from pathlib import Path

from progressive_training.tools import STEPS

README = Path(__file__).resolve().parent.parent / "README.md"
_OPEN = "<!-- tools: made from the code by `python bench/readme.py`; a test compares -->\n"
_CLOSE = "<!-- /tools -->"


def table() -> str:
    lines = ["| tool | what it does |", "|---|---|"]
    lines += [f"| `{step.name}` | {' '.join((getdoc(step.function) or '').split())} |" for step in STEPS]
    return "\n".join(lines) + "\n"


def with_table(text: str) -> str:
    before, _, rest = text.partition(_OPEN)
    return f"{before}{_OPEN}{table()}{_CLOSE}{rest.partition(_CLOSE)[2]}"


def main() -> None:
    text = README.read_text(encoding="utf-8")
    made = with_table(text)
    if "--check" in sys.argv:
        sys.exit(made != text)
    README.write_text(made, encoding="utf-8")


if __name__ == "__main__":
    main()
