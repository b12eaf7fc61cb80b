"""The runner as a program: `python -I -S __main__.py <folder> [lock fd] [why]`, or `--spare <socket fd>`.

It runs in a bare interpreter that knows no package of ours, so this folder is imported as `running`.
"""

import os
import sys
from importlib import import_module
from pathlib import Path

# Last, so that nothing of ours can shadow the standard library.
sys.path.append(str(Path(__file__).resolve().parents[1]))
code = import_module("running.runner").main(sys.argv[1:])
# No clean-up can hang the exit: all that matters is on disk.
os._exit(code)
