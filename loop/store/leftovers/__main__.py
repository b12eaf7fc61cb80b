"""The helper as a program: `python -I -S __main__.py <socket fd> <folder of PyYAML>`.

It runs in a bare interpreter that knows no package of ours, so this folder is imported as `leftovers`.
"""

import sys
from importlib import import_module
from pathlib import Path

# Last, so that nothing of ours can shadow the standard library.
sys.path += [str(Path(__file__).resolve().parents[1]), sys.argv[2]]
import_module("leftovers.helper").main(int(sys.argv[1]))
