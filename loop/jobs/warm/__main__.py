"""The runner that waits with a spare, as a program: `python -I -S __main__.py <socket fd>`.

It runs in a bare interpreter that knows no package of ours, so the folder above is imported as `jobs`.
"""

import os
import sys
from importlib import import_module
from pathlib import Path

# Last, so that nothing of ours can shadow the standard library.
sys.path.append(str(Path(__file__).resolve().parents[2]))
code = import_module("jobs.warm.runner_main").main(sys.argv[1:])
# No clean-up can hang the exit: all that matters is on disk.
os._exit(code)
