"""In the user's interpreter: imports a job's packages, waits for the job, and becomes it as `python` would have run it.

Standard library only and Python 3.9. One file, since runner_spare.py sends its text to the user's interpreter, where
this package may be missing; wait() runs in a module of its own, so that `__main__` is free for the script.

What may be kept from before the job: modules of installed packages, as long as the job would import the very same files
in the same order. What may not: anything of the project (it may change until the job comes), memory of a device (others
want it), an import that fails or writes files (the job shall see that itself). In doubt the interpreter says that it is
unfit, and the job starts cold. Messages are lines of JSON, both ways:

    we get  {"imports": ["torch", "torch:nn", …], "root": the project}
    we say  {"ready": true} or {"unfit": why nobody may use this interpreter}
    we get  {"interpreter": […], "argv": […], "cwd": …, "env": {…}, "without": […], "writable": […],
             "recorder": the source that starts it, or null}
    we say  {"started": true} or {"unfit": why not for this job}
"""

from __future__ import annotations

import atexit
import gc
import importlib
import importlib.machinery
import importlib.util
import io
import json
import os
import signal
import sys
import time
import types
from typing import Any

_FOREIGN = frozenset({".venv", "venv", "site-packages", "dist-packages"})


class Unfit(Exception):
    """This interpreter may not be used, or not for this job."""


def wait(channel: int, base: set[str], fresh: dict[str, Any]) -> None:
    """Serves one job and never returns. The interpreter began with the modules `base`, and `fresh` as `__main__`."""
    if not (sys.flags.isolated or getattr(sys.flags, "safe_path", False)):
        del sys.path[0]  # the folder of this text, which is not the job's
    link = _Link(channel)
    order = link.receive()
    if order is None:
        os._exit(0)
    try:
        preloaded = _Preloaded(base)
        preloaded.load(order["imports"], order["root"])
        link.send({"ready": True})
        job = link.receive()
        if job is None:  # whoever would have given it is gone
            os._exit(0)
        preloaded.check(job)
        _settle(job)
    except Unfit as reason:
        link.send({"unfit": str(reason)})
        os._exit(0)
    link.send({"started": True})
    link.close()
    del link, order, preloaded
    _leave(_run(job["argv"], fresh))


class _Link:
    def __init__(self, channel: int) -> None:
        self._channel = channel
        os.set_inheritable(channel, False)

    def receive(self) -> dict[str, Any] | None:
        """The next message; None when the other end is closed."""
        line = b""
        while not line.endswith(b"\n"):
            data = os.read(self._channel, 1 << 16)
            if not data:
                return None
            line += data
        found: dict[str, Any] = json.loads(line)
        return found

    def send(self, message: dict[str, Any]) -> None:
        os.write(self._channel, json.dumps(message).encode() + b"\n")

    def close(self) -> None:
        os.close(self._channel)


class _Preloaded:
    """What was imported before the job, and whether the job would have found the same."""

    def __init__(self, base: set[str]) -> None:
        self._base = base
        self._files: dict[str, tuple[int, ...]] = {}
        self._folders: dict[str, set[str]] = {}

    def load(self, imports: list[str], root: str) -> None:
        """Imports in the given order, without the project's own modules. Raises: Unfit."""
        began = time.time_ns()
        self._folders = {path: _names(path) for path in sys.path if os.path.isdir(path) and not _is_own(path, root)}
        _load_all(imports, root)
        self._note_files(root, began)
        _require_no_device()

    def _note_files(self, root: str, began: int) -> None:
        """Notes the stamp of every module's file. Raises: Unfit for the project's own, or one written since `began`."""
        own: dict[str, bool] = {}  # by folder: to resolve the paths of thousands of files takes a tenth of a second
        for module in list(sys.modules.values()):
            file = getattr(module, "__file__", None)
            if isinstance(file, str) and os.path.isfile(file):
                self._files[file] = stamp = _stamp(file)
                folder = os.path.dirname(file)
                if folder not in own:
                    own[folder] = _is_own(folder, root)
                if _is_own(file, root) if os.path.islink(file) else own[folder]:
                    raise Unfit(f"an installed package imports the project's own {file}")
                if stamp[2] >= began:
                    raise Unfit(f"{file} was written meanwhile")

    def check(self, job: dict[str, Any]) -> None:
        """Raises: Unfit if a package was changed or installed since, or the project has a module of such a name."""
        for path, was in self._files.items():
            if _stamp(path) != was:
                raise Unfit(f"{path} changed after it was imported")
        for path, names in self._folders.items():
            if other := names ^ _names(path):
                raise Unfit(f"{min(other)} was installed or removed in {path}")
        taken = {name.partition(".")[0] for name in sys.modules.keys() - self._base}
        if clash := taken & _modules_in(_first_folder(job["argv"], job["cwd"])):
            raise Unfit(f"the project has its own {', '.join(sorted(clash))}, and a package imports another one")
        for folder in job["writable"]:  # none outside a sandbox
            if os.statvfs(folder).f_flag & os.ST_RDONLY or not os.access(folder, os.W_OK):
                raise Unfit(f"{folder} did not become writable in the sandbox")


def _load_all(imports: list[str], root: str) -> None:
    """Imports in order, up to the first that has to wait for the job. Raises: Unfit."""
    # A third of a large import is spent in looking for garbage; frozen, the modules are never looked through again.
    gc.disable()
    for item in imports:
        if not _load(item, root):
            break
    gc.freeze()
    gc.enable()


def _load(item: str, root: str) -> bool:
    """Does what one leading statement of a script does; False where it and what follows have to wait for the job.

    `name`, `name:attribute` import; with `?` before, the script goes on where that fails. `NAME=value` sets a variable.
    """
    if "=" in item:
        name, _, value = item.partition("=")
        os.environ[name] = value
        return True
    module, _, attribute = item.lstrip("?").partition(":")
    try:
        if (origin := _origin(module.partition(".")[0])) is not None and _is_own(origin, root):
            return False
        found = importlib.import_module(module)
        if attribute and not hasattr(found, attribute):
            importlib.import_module(f"{module}.{attribute}")
    except ImportError:
        return item.startswith("?")
    except Exception as error:
        raise Unfit(f"importing {module} fails: {type(error).__name__}: {error}") from None
    return True


def _origin(package: str) -> str | None:
    """The file that importing it would run first, if that is known."""
    try:
        spec = importlib.util.find_spec(package)
    except (ImportError, ValueError):  # ValueError: it is imported, and has none
        return None
    known = spec is not None and spec.origin is not None and os.path.isabs(spec.origin)  # else "built-in", "frozen"
    return spec.origin if spec is not None and known else None


def _is_own(file: str, root: str) -> bool:
    inside = os.path.relpath(os.path.realpath(file), os.path.realpath(root)).split(os.sep)
    return inside[0] != os.pardir and not _FOREIGN.intersection(inside)


def _stamp(path: str) -> tuple[int, ...]:
    """What changes when a file is replaced or written; empty for none."""
    try:
        found = os.stat(path)
    except OSError:
        return ()
    return (found.st_ino, found.st_size, found.st_mtime_ns)


def _names(folder: str) -> set[str]:
    """What lies in a folder of packages; an upgrade changes it too, since the version is part of a name."""
    try:
        return set(os.listdir(folder)) - {"__pycache__"}
    except OSError:
        return set()


def _require_no_device() -> None:
    """Raises: Unfit. Memory of a device must not be held by somebody who waits."""
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        raise Unfit("the imports start CUDA, which would hold memory of the device")


def _modules_in(folder: str | None) -> set[str]:
    """The names that an import would find in this folder before it looks at installed packages."""
    if folder is None:
        return set()
    suffixes = tuple(importlib.machinery.all_suffixes())
    found: set[str] = set()
    with os.scandir(folder) as entries:
        for entry in entries:
            if entry.name.endswith(suffixes) or os.path.isfile(os.path.join(entry.path, "__init__.py")):
                found.add(entry.name.partition(".")[0])
    return found


def _first_folder(argv: list[str], cwd: str) -> str | None:
    """Where the script's imports are looked for first, as the interpreter would say it; None in isolated mode."""
    if sys.flags.isolated or getattr(sys.flags, "safe_path", False):
        return None
    return cwd if argv[0] == "-c" else os.path.dirname(os.path.realpath(os.path.join(cwd, argv[0])))


def _settle(job: dict[str, Any]) -> None:
    """The process becomes the job's: folder, variables, search path, and what modules remember of these."""
    os.chdir(job["cwd"])
    for name in job["without"]:
        os.environ.pop(name, None)
    os.environ.update(job["env"])
    folder = _first_folder(job["argv"], job["cwd"])
    if folder is not None:
        sys.path.insert(0, "" if job["argv"][0] == "-c" else folder)
    importlib.invalidate_caches()
    if hasattr(sys, "orig_argv"):
        sys.orig_argv = [*job["interpreter"], *job["argv"]]
    process: Any = sys.modules.get("multiprocessing.process")
    if process is not None:
        process.ORIGINAL_DIR = os.getcwd()
    if job["recorder"] is not None:
        _record(job["recorder"])


def _record(source: str) -> None:
    """What follows is recorded, though torch was imported before. Raises: Unfit, for a cold start to say why."""
    try:
        exec(compile(source, "<recorder>", "exec", dont_inherit=True), {"__name__": "progressive_training_start"})
    except Exception as error:
        raise Unfit(f"the recorder doesn't start: {type(error).__name__}: {error}") from None


def _run(argv: list[str], fresh: dict[str, Any]) -> int:
    """Runs the program in a new `__main__`; its exit code."""
    main = types.ModuleType("__main__")
    main.__dict__.update(fresh)
    sys.modules["__main__"] = main
    inline = argv[0] == "-c"
    program, sys.argv = argv[1] if inline else argv[0], ["-c", *argv[2:]] if inline else argv
    try:
        if inline:
            code = compile(program, "<string>", "exec", dont_inherit=True)
        else:
            path = os.path.abspath(program)
            loader = importlib.machinery.SourceFileLoader("__main__", path)
            main.__dict__.update(__file__=path, __cached__=None, __loader__=loader)
            code = compile(_source(path), path, "exec", dont_inherit=True)
        exec(code, main.__dict__)
    except SystemExit as end:
        return _exit_code(end.code)
    except BaseException:
        return _uncaught()
    return 0


def _source(path: str) -> bytes:
    try:
        with io.open_code(path) as file:
            return file.read()
    except OSError as error:
        said = f"{sys.executable}: can't open file {path!r}: [Errno {error.errno}] {error.strerror}"
        sys.stderr.write(f"{said}\n")
        raise SystemExit(2) from None


def _exit_code(value: object) -> int:
    if value is None:
        return 0
    if isinstance(value, int):
        return value & 0xFF if -(1 << 63) <= value < 1 << 63 else 0xFF
    sys.stderr.write(f"{value}\n")
    return 1


def _uncaught() -> int:
    """Prints the exception as the interpreter would, without the frames of this module; the exit code."""
    kind, error, where = sys.exc_info()
    while where is not None and where.tb_frame.f_code.co_filename == __file__:
        where = where.tb_next
    if kind is None or error is None:
        return 1
    sys.last_type, sys.last_value, sys.last_traceback = kind, error, where
    if sys.version_info >= (3, 12):
        sys.last_exc = error.with_traceback(where)
    sys.excepthook(kind, error.with_traceback(where), where)
    return -signal.SIGINT if issubclass(kind, KeyboardInterrupt) else 1


def _leave(code: int) -> None:
    """Ends the process as the interpreter would, up to the point where it takes itself apart, which takes a second."""
    threading: Any = sys.modules.get("threading")
    exit_handlers: Any = atexit
    for step in (getattr(threading, "_shutdown", None), exit_handlers._run_exitfuncs):
        try:
            if step is not None:
                step()
        except BaseException as error:
            sys.excepthook(type(error), error, error.__traceback__)
    if not _flushed(sys.stdout):
        code = code or 120
    _flushed(sys.stderr)
    # What only the script holds goes, so that what it never closed is written to its end. Files come first: the
    # collector may close one before the text above it is handed down.
    _flush_files()
    sys.excepthook = sys.unraisablehook = _say_nothing
    if threading is not None:
        threading.excepthook = _say_nothing
    main = sys.modules.get("__main__")
    if main is not None:
        for name in [name for name in main.__dict__ if name != "__builtins__"]:
            main.__dict__[name] = None
    gc.collect()
    _flush_files()
    if code < 0:
        signal.signal(-code, signal.SIG_DFL)
        os.kill(os.getpid(), -code)
    os._exit(code)


def _flush_files() -> None:
    files = [thing for thing in gc.get_objects() if issubclass(type(thing), io.IOBase)]
    for file in sorted(files, key=lambda one: not isinstance(one, io.TextIOBase)):
        _flushed(file)


def _say_nothing(*_: object) -> None:
    """Takes the hooks' place while the script's objects are taken apart: what breaks then is nobody's fault."""


def _flushed(file: Any) -> bool:
    """Whether nothing was left to write, or it could be written."""
    try:
        if file is not None and not file.closed:
            file.flush()
    except Exception:
        return False
    return True
