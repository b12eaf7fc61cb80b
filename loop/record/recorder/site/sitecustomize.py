"""Starts the recorder in each interpreter that has this folder on PYTHONPATH, then runs the user's sitecustomize.

Syntax and modules of Python 3.9, nothing heavy: every child that is a Python runs it, also those that train nothing.
"""

import importlib.machinery
import importlib.util
import os
import sys

_HERE = os.path.dirname(os.path.abspath(__file__))
_NAME = "progressive_training_recorder"
FOLDER = "PROGRESSIVE_TRAINING_FACTS"


def _record(folder: str) -> None:
    package = os.path.dirname(_HERE)
    spec = importlib.util.spec_from_file_location(
        _NAME, os.path.join(package, "__init__.py"), submodule_search_locations=[package]
    )
    if spec is None or spec.loader is None:
        raise ImportError(package)
    module = importlib.util.module_from_spec(spec)
    sys.modules[_NAME] = module
    spec.loader.exec_module(module)
    module.install(folder, begun=False)


def _complain(folder: str, error: Exception) -> None:
    """The recorder can't start: that is a fact too. Where even this can't be written, the missing file says it."""
    import json

    problem = {"what": "the recorder could not start", "error": type(error).__name__ + ": " + str(error)[:300]}
    name = f"rank0-unstarted-{os.getpid()}.json"
    try:
        with open(os.path.join(folder, name), "w") as file:
            json.dump({"schema": 1, "pid": os.getpid(), "problems": [problem]}, file)
    except OSError:
        return


def _give_way() -> None:
    """Runs the sitecustomize that would have run without us. What it raises is raised, as it would have been."""
    spec = importlib.machinery.PathFinder.find_spec("sitecustomize", sys.path)
    if spec is None or spec.loader is None:
        return
    module = importlib.util.module_from_spec(spec)
    sys.modules["sitecustomize"] = module
    spec.loader.exec_module(module)


sys.path[:] = [path for path in sys.path if os.path.abspath(path) != _HERE]
if os.environ.get(FOLDER):
    try:
        _record(os.environ[FOLDER])
    except Exception as failure:  # noqa: BLE001 - a training must run whatever is wrong with us
        _complain(os.environ[FOLDER], failure)
_give_way()
