"""Jobs that start in an interpreter which waited for them: they see, do and leave what a cold start would have them.

What every executor promises is shown for warm starts in test_every_executor.py and test_sandbox.py.
"""

from __future__ import annotations

import importlib
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from progressive_training.loop.jobs import sandbox, view
from progressive_training.loop.jobs.backends import Backends
from progressive_training.loop.jobs.job import RESUME_VARIABLE, Job, Outcome
from progressive_training.loop.jobs.local import LocalExecutor
from progressive_training.loop.jobs.logs import tail
from progressive_training.loop.jobs.runner import attempt_files as files
from progressive_training.loop.jobs.runner import processes
from progressive_training.loop.jobs.warm.server_keeper import Keeper
from progressive_training.loop.jobs.warm.spare_folders import SPARES, remove_dead, resting
from progressive_training.loop.project.receipts import EvalReceipt, TrainReceipt
from progressive_training.loop.project.version import Version
from progressive_training.loop.store.paths import Workspace
from support.projects import EVALUATOR, STATE, TRAINER, Folder, connected

BASELINE = "02_train_baseline.py"
linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def wait_for(condition: Callable[[], bool], what: str, seconds: float = 30.0) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, f"waited {seconds} s for {what}"
        time.sleep(0.01)


PARTS = ("art", ".progressive-training", "Models/Artifacts/v001")


@dataclass
class Place:
    """A project with one writable folder, `art`, and the executors to compare."""

    root: Path
    keeper: Keeper = field(default_factory=Keeper)
    count: int = 0
    python: str = sys.executable

    @property
    def state(self) -> Path:
        return self.root / ".progressive-training"

    @property
    def executor(self) -> LocalExecutor:
        return LocalExecutor(keeper=lambda: self.keeper)

    def job(
        self,
        *arguments: str,
        options: tuple[str, ...] = (),
        confined: bool = True,
        imports: tuple[str, ...] | None = ("decimal",),
        env: dict[str, str] | None = None,
        number: int = 1,
    ) -> Job:
        confines = view.Confines(
            scratch=self.attempt(number) / files.SCRATCH,
            writable=(self.root / "art", self.root / "Models/Artifacts/v001"),
            readable=view.interpreter_folders(self.python),
            network=False,
        ).with_project(view.ProjectView(Workspace(self.root), "v1"))
        return Job(
            kind="train",
            version_id="v001",
            attempt=number,
            argv=(self.python, *options, *arguments),
            cwd=str(self.root),
            env={"PATH": os.defpath, "NOTE": "값", **(env or {})},
            timeout_seconds=60.0,
            wrapper=sandbox.wrapper(confines) if confined else (),
            max_file_bytes=1 << 30,
            imports=imports,
        )

    def wrapper(self, first: tuple[str, ...], number: int) -> tuple[str, ...]:
        """The wrapper of attempt 1 for another: it names the attempt's own temporary folder."""
        return tuple(word.replace("train-001/", f"train-{number:03d}/") for word in first)

    def attempt(self, number: int) -> Path:
        return self.state / "attempts" / "v001" / f"train-{number:03d}"

    def prepare(self, job: Job) -> None:
        """A spare for such a job waits, with its imports done."""
        self.executor.expect(lambda: [job], self.state)
        wait_for(lambda: [spare.ready for spare in resting(self.state)] == [True], "the spare")

    def run(self, job: Job) -> tuple[Outcome, str]:
        self.count += 1
        number = self.count
        folder = self.attempt(number)
        executor = self.executor
        executor.expect(lambda: (), self.state)
        executor.submit(folder, replace(job, attempt=number, wrapper=self.wrapper(job.wrapper, number)))
        wait_for(lambda: executor.poll(folder).state != "running", "the end of the job")
        status = executor.poll(folder)
        assert status.state == "finished" and status.outcome is not None, status
        return status.outcome, tail(folder / files.LOG, 1 << 20)

    def warm(self, job: Job) -> tuple[Outcome, str]:
        self.prepare(job)
        outcome, log = self.run(job)
        assert outcome.start == "warm"
        return outcome, log

    def cold(self, job: Job) -> tuple[Outcome, str]:
        outcome, log = self.run(replace(job, imports=None))
        assert outcome.start == "cold"
        return outcome, log

    def spare_pid(self) -> int:
        """Of the runner of the one spare."""
        wait_for(lambda: len(list(self.state.glob(f"{SPARES}/*/{files.RUNNER}"))) == 1, "the spare's identity")
        (path,) = self.state.glob(f"{SPARES}/*/{files.RUNNER}")
        return json.loads(path.read_text())["pid"]

    def spares(self) -> list[Path]:
        return list(self.state.glob(f"{SPARES}/*"))


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    root = (tmp_path / 'it\'s a "한글" folder $HOME').resolve()
    for name in PARTS:
        (root / name).mkdir(parents=True)
    made = Place(root)
    yield made
    made.keeper.close()
    wait_for(lambda: made.spares() == [], "the end of the spares")


# The same as cold

SHOW = """
import gc, json, os, resource, signal, sys, threading
def handlers():
    return {name.name: str(signal.getsignal(name)) for name in signal.Signals}
print(json.dumps({
    "name": __name__, "file": globals().get("__file__"), "spec": str(__spec__), "package": __package__,
    "cached": globals().get("__cached__", "none"), "doc": __doc__, "loader": str(type(__loader__)),
    "builtins": str(type(__builtins__)), "names": sorted(name for name in globals() if name.startswith("__")),
    "main": sys.modules["__main__"].__dict__ is globals(),
    "argv": sys.argv, "orig_argv": sys.orig_argv, "path": sys.path, "flags": str(sys.flags),
    "executable": sys.executable,
    "folder": os.getcwd(), "handlers": handlers(), "thread": threading.current_thread().name,
    "variables": {**os.environ, "TMPDIR": "", "PROGRESSIVE_TRAINING_ATTEMPT": ""},
    "limits": [resource.getrlimit(getattr(resource, name)) for name in dir(resource) if name.startswith("RLIMIT_")],
    "descriptors": sorted(os.listdir("/proc/self/fd")), "session": os.getsid(0) == os.getpid(), "umask": os.umask(0o22),
    "collects": [gc.isenabled(), gc.get_threshold(), gc.get_debug()],
    "pwd": os.environ.get("PWD"), "prefix": [sys.prefix, sys.base_prefix], "recursion": sys.getrecursionlimit(),
}))
"""
CAPABILITIES = """
kept = ("Cap", "NoNew", "Uid", "Groups", "Seccomp")
print([line for line in open("/proc/self/status") if line.startswith(kept)])
"""


@linux
@pytest.mark.parametrize("confined", [True, False])
@pytest.mark.parametrize("options", [(), ("-I", "-B")])
def test_a_script_finds_its_interpreter_as_a_cold_start_leaves_it(
    place: Place, confined: bool, options: tuple[str, ...]
) -> None:
    (place.root / "script.py").write_text(SHOW + CAPABILITIES)
    job = place.job("script.py", "-x", "두 말", options=options, confined=confined, env={"PYTHONHASHSEED": "7"})
    (_, warm), (_, cold) = place.warm(job), place.cold(job)
    assert json.loads(warm.splitlines()[0]) == json.loads(cold.splitlines()[0])
    assert warm == cold


ENDS = {
    "an exception": (
        "def inner():\n    raise ValueError('한글')\n"
        "try:\n    inner()\nexcept ValueError as error:\n    raise KeyError(1) from error"
    ),
    "a syntax error": "x = (\n",
    "a wrong indent": "def f():\nreturn 1\n",
    "the end": "print('done')",
    "a code": "raise SystemExit(300)",
    "a code below zero": "raise SystemExit(-1)",
    "a huge code": "raise SystemExit(1 << 40)",
    "a text": "import sys; sys.exit('왜')",
    "no code": "raise SystemExit",
    "an interrupt": "raise KeyboardInterrupt",
    "an error in an exit handler": "import atexit\n@atexit.register\ndef last(): raise ValueError('late')",
    "a thread that goes on": (
        "import threading, time\nthreading.Thread(target=lambda: (time.sleep(.2), print('late'))).start()\n"
        "print('soon')"
    ),
    "an executor that goes on": (
        "import concurrent.futures as c, time\nc.ThreadPoolExecutor().submit(lambda: (time.sleep(.2), print('late')))"
    ),
    "a file that is not closed": "file = open('art/left', 'w'); file.write('x' * 100); me = [file]; me.append(me)",
    "a hook of its own": "import sys\nsys.excepthook = lambda *what: print('mine', what[0].__name__)\n1 / 0",
    "an exit in a thread": "import threading\nt = threading.Thread(target=exit); t.start(); t.join()\nprint('after')",
    "an exit without handlers": "import os, atexit; atexit.register(print, 'no'); os._exit(4)",
    "a closed stdout": "import sys; sys.stdout.close()",
    "a warning": "import warnings; warnings.warn('old'); print(__import__('decimal').Decimal(1) / 3)",
    "a name from a lost module": "import lost_module",
    "a process that is forked": (
        "import os\nif os.fork() == 0: raise SystemExit(3)\nprint(os.waitstatus_to_exitcode(os.wait()[1]))"
    ),
    "processes that are spawned": (
        "import multiprocessing as m\ndef f(x): return x * 2\n"
        "if __name__ == '__main__':\n"
        "    with m.get_context('spawn').Pool(1) as pool: print(pool.map(f, [1, 2]))"
    ),
    "an object that is pickled": (
        "import pickle\nclass A: pass\nprint(type(pickle.loads(pickle.dumps(A()))) is A, A.__module__)"
    ),
    "a stack": "import inspect\ndef f(): return inspect.getsource(f)\nprint(f())",
    "lines in an encoding of its own": "# -*- coding: cp949 -*-\nprint('\udcc7\udcd1')",
}  # fmt: skip


@pytest.mark.parametrize("end", list(ENDS))
@pytest.mark.whole(but=8)
def test_a_script_ends_with_the_output_and_the_code_of_a_cold_start(place: Place, end: str) -> None:
    (place.root / "script.py").write_bytes(ENDS[end].encode(errors="surrogateescape"))
    job = place.job("script.py")
    found: list[tuple[Outcome, str, str]] = []
    for start in (place.warm, place.cold):
        outcome, log = start(job)
        left = place.root / "art" / "left"
        found.append((outcome, log, left.read_text() if left.exists() else ""))
        left.unlink(missing_ok=True)
    (warm, warm_log, warm_left), (cold, cold_log, cold_left) = found
    assert (warm.rc, warm.signal, warm.reason, warm.killed) == (cold.rc, cold.signal, cold.reason, cold.killed)
    address = re.compile(r" at 0x[0-9a-f]+>")
    assert (address.sub("", warm_log), warm_left) == (address.sub("", cold_log), cold_left)


def test_a_script_that_is_not_there_fails_as_ever(place: Place) -> None:
    job = place.job("lost.py")
    (warm, warm_log), (cold, cold_log) = place.warm(job), place.cold(job)
    assert (warm.rc, warm_log) == (cold.rc, cold_log)
    assert warm.rc == 2


def test_what_imports_print_stands_in_the_log_before_what_the_script_prints(place: Place) -> None:
    (place.root / "script.py").write_text("import this\nprint('script')")
    job = place.job("script.py", imports=("this",))
    assert place.warm(job)[1] == place.cold(job)[1]


def test_the_variable_of_one_attempt_reaches_the_script_and_no_spare_is_made_with_it(place: Place) -> None:
    script = f"import os; print(os.environ['{RESUME_VARIABLE}'])"
    place.prepare(place.job("-c", script))
    outcome, log = place.run(place.job("-c", script, env={RESUME_VARIABLE: "last.ckpt"}))
    assert (outcome.start, log) == ("warm", "last.ckpt\n")


# As tight as cold

PROBE = """
import ctypes, json, os, pathlib, socket, sys
found = {}
for name in sys.argv[1:]:
    try:
        pathlib.Path(name).write_text("x")
        found[name] = "written"
    except OSError as error:
        found[name] = error.errno
libc = ctypes.CDLL(None, use_errno=True)
found["mount"] = [libc.mount(None, b"/", None, 32, None), libc.umount2(b"art", 2)]
found["mount"] += [libc.mount(b"/", b"/run", None, 4096, None)]
found["others"] = sum(name.isdigit() for name in os.listdir("/proc"))
opened = (os.path.basename(os.path.realpath(f"/proc/self/fd/{n}")) for n in os.listdir("/proc/self/fd"))
found["opened"] = sorted(name.partition(":")[0] for name in opened)
try:
    socket.create_connection(("127.0.0.1", int(os.environ["PORT"])), timeout=2)
    found["network"] = "reached"
except OSError as error:
    found["network"] = type(error).__name__
mounts = [line.split() for line in open("/proc/self/mountinfo")]
found["mounts"] = sorted({words[4] + " " + words[5].split(",")[0] for words in mounts})
print(json.dumps(found))
"""


@linux
def test_a_warm_script_can_write_reach_and_do_no_more_than_a_cold_one(place: Place) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = str(server.getsockname()[1])
        targets = (
            "art/best.ckpt",
            "Models/Artifacts/v001/best.ckpt",
            "/tmp/notes",
            "Models/Artifacts/v002/best.ckpt",
            "02_train_v001.py",
            ".progressive-training/forged",
            "/var/tmp/x",
            "/etc/x",
        )
        job = place.job("-c", PROBE + CAPABILITIES, *targets, env={"PORT": port})
        (_, warm), (_, cold) = place.warm(job), place.cold(job)
    found, expected = json.loads(warm.splitlines()[0]), json.loads(cold.splitlines()[0])
    stage = [line for line in found["mounts"] if f"/{SPARES}/" in line]
    assert stage == [line for line in stage if line.endswith(" ro")], "an empty folder of the spare's is seen, no more"
    found["mounts"] = [line for line in found["mounts"] if line not in stage]
    assert found == expected
    assert warm.splitlines()[1] == cold.splitlines()[1]
    assert [found[name] for name in targets] == ["written", "written", "written", 2, 30, 30, 2, 30]
    assert (found["mount"], found["others"], found["network"]) == ([-1, -1, -1], 2, "ConnectionRefusedError")


@linux
def test_the_waiting_interpreter_can_write_nothing_but_its_temporary_folder(place: Place) -> None:
    (place.root / "art" / "x").write_text("mine")
    place.prepare(place.job("-c", ""))
    marker = json.loads(next(place.state.glob(f"{SPARES}/*/{files.RUNNER}")).read_text())["marker"]
    here = Path("/proc/self/ns/pid").readlink()
    carriers = [process.pid for process in processes.Tree(marker).members()]
    waiting = [pid for pid in carriers if Path(f"/proc/{pid}/ns/pid").readlink() != here]
    assert len(waiting) == 2, "pid 1 and the interpreter"
    for pid in waiting:
        mounts = [line.split() for line in Path(f"/proc/{pid}/mountinfo").read_text().splitlines()]
        writable = {words[4] for words in mounts if words[5].startswith("rw")}
        assert not [path for path in writable if path.startswith(str(place.root.parent.parent))]
        effective = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if "CapEff" in line)
        assert int(effective.split()[1], 16) in (0, 2), "as root what belongs to others may be opened"


NOBODY = 65534


@pytest.fixture
def public() -> Iterator[Path]:
    """A folder that everybody may use, unlike those of tests."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp")).resolve()
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


def interpreter_for_all() -> str:
    for path in (sys.executable, "/usr/bin/python3", "/usr/local/bin/python3"):
        try:
            command = [path, "-I", "-S", "-c", "import socket, json, ctypes"]
            if subprocess.run(command, user=NOBODY, capture_output=True, cwd="/", check=False).returncode == 0:
                return path
        except OSError:  # it lies where nobody else may look
            continue
    raise AssertionError("an ordinary user of this machine has no Python")


@linux
@pytest.mark.skipif(os.geteuid() != 0, reason="an ordinary user runs all the others")
def test_an_ordinary_user_has_warm_starts_in_the_sandbox_as_well(place: Place, public: Path) -> None:
    """In a fork that becomes one: its runner is a copy of ours that everybody may read."""
    shutil.copytree(Path(str(processes.__file__)).parents[2], public / "copied_package" / "loop")
    (public / "copied_package" / "__init__.py").touch()
    sys.path.insert(0, str(public))
    executor = importlib.import_module("copied_package.loop.jobs.local").LocalExecutor
    keeper = importlib.import_module("copied_package.loop.jobs.warm.server_keeper").Keeper()
    job_of = importlib.import_module("copied_package.loop.jobs.job").Job.from_json
    sys.path.remove(str(public))
    root, python = public / "project", interpreter_for_all()
    for folder in (root, *(root / name for name in (".progressive-training", "Models", "Models/Artifacts", *PARTS))):
        folder.mkdir(exist_ok=True)
        folder.chmod(0o777)
    theirs = Place(root, python=python)
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.setgroups([])
            os.setresgid(NOBODY, NOBODY, NOBODY)
            os.setresuid(NOBODY, NOBODY, NOBODY)
            os.environ["HOME"] = "/nonexistent"
            made = theirs.job("-c", PROBE + CAPABILITIES, "art/x", "y", "/tmp/z", env={"PORT": "1"})
            job = job_of(made.to_json())
            told: list[str] = []
            for number in (1, 2):
                local = executor(python, keeper=lambda: keeper)
                if number == 1:
                    local.expect(lambda: [job], theirs.state)
                    wait_for(lambda: [one.ready for one in resting(theirs.state)] == [True], "the spare")
                else:
                    local.expect(list, theirs.state)
                local.submit(theirs.attempt(number), replace(job, wrapper=theirs.wrapper(job.wrapper, number)))
                wait_for(lambda n=number, e=local: e.poll(theirs.attempt(n)).state != "running", "the end")
                status = local.poll(theirs.attempt(number))
                told += [str(status.outcome and status.outcome.start), tail(theirs.attempt(number) / files.LOG)]
            os.write(writer, json.dumps(told).encode())
        except BaseException:  # noqa: BLE001 - pytest must not go on in two processes
            traceback.print_exc()
        finally:
            os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as answer:
        how, warm, not_how, cold = json.loads(answer.read())
    os.waitpid(child, 0)
    assert (how, not_how) == ("warm", "cold: no spare was waiting")
    found = json.loads(warm.splitlines()[0])
    assert [found[name] for name in ("art/x", "y", "/tmp/z", "mount")] == ["written", 30, "written", [-1, -1, -1]]
    assert warm.splitlines()[1] == cold.splitlines()[1]
    assert found | {"mounts": 0} == json.loads(cold.splitlines()[0]) | {"mounts": 0}


# Cold, and why


def without(place: Place, job: Job, other: Job) -> str:
    place.prepare(job)
    outcome, _ = place.run(other)
    assert outcome.rc == 0
    return outcome.start


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"env": {"OMP_NUM_THREADS": "3"}}, "cold: its spare was made with other variables (OMP_NUM_THREADS)"),
        ({"options": ("-B",)}, "cold: its spare was made with another interpreter"),
        ({"confined": False}, "cold: its spare was made with another sandbox"),
        ({"imports": ("fractions", "decimal")}, "cold: its spare had imported what the script doesn't"),
        ({"imports": ()}, "cold: its spare had imported what the script doesn't"),
        ({"imports": None}, "cold"),
    ],
)
def test_a_job_that_needs_another_interpreter_starts_cold_and_says_in_what(
    place: Place, change: dict[str, object], words: str
) -> None:
    assert without(place, place.job("-c", ""), place.job("-c", "", **change)).startswith(words)  # pyright: ignore[reportArgumentType]


def test_a_job_that_imports_more_than_the_spare_starts_warm(place: Place) -> None:
    more = place.job("-c", "import decimal, fractions", imports=("decimal", "fractions"))
    assert without(place, place.job("-c", ""), more) == "warm"


def test_a_program_that_is_no_python_script_starts_cold(place: Place) -> None:
    program = replace(place.job("-c", ""), argv=("/bin/true",))
    assert without(place, place.job("-c", ""), program) == "cold: it is no Python script"


@dataclass
class Package:
    """An installed package, found through a variable; `job` imports it."""

    folder: Path
    place: Place

    def write(self, text: str) -> None:
        self.folder.mkdir(exist_ok=True)
        (self.folder / "some_package.py").write_text(text)

    def job(self, script: str = "import some_package; print(some_package.VALUE)") -> Job:
        (self.place.root / "script.py").write_text(script)
        return self.place.job("script.py", imports=("some_package",), env={"PYTHONPATH": str(self.folder)})


@pytest.fixture
def package(place: Place, tmp_path: Path) -> Package:
    made = Package(tmp_path / "installed", place)
    made.write("VALUE = 1")
    old = 1_600_000_000
    os.utime(made.folder / "some_package.py", (old, old))
    return made


def unconfined(job: Job) -> Job:
    """Packages of a test lie in /tmp, which a sandbox hides."""
    return replace(job, wrapper=())


def test_the_spare_has_done_what_the_script_begins_with_in_its_order(place: Place, package: Package) -> None:
    package.write("import os, sys\nVALUE = os.environ.get('SET'), 'os' in sys.modules, 'decimal' in sys.modules")
    imports = ("sys", "os", "?lost", "SET=first", "some_package:VALUE", "SET=then", "decimal")
    script = "import os, sys; print(sys.modules['some_package'].VALUE, 'decimal' in sys.modules, os.environ['SET'])"
    assert place.warm(replace(unconfined(package.job(script)), imports=imports))[1] == (
        "('first', True, False) True then\n"
    )
    stopped = replace(
        unconfined(package.job("import sys; print('decimal' in sys.modules)")), imports=("lost", "decimal")
    )
    assert place.warm(stopped)[1] == "False\n"


def test_a_package_that_changed_since_is_imported_anew(place: Place, package: Package) -> None:
    job = unconfined(package.job())
    assert place.warm(job)[1] == "1\n"
    place.prepare(job)
    package.write("VALUE = 2")
    outcome, log = place.run(job)
    assert (outcome.start.partition(" changed ")[0], log) == (f"cold: {package.folder}/some_package.py", "2\n")


def test_a_package_that_was_installed_since_is_seen(place: Place, package: Package) -> None:
    job = unconfined(
        package.job("try:\n    import other\n    print('there')\nexcept ImportError:\n    print('not there')")
    )
    place.prepare(job)
    (package.folder / "other.py").write_text("")
    outcome, log = place.run(job)
    assert (outcome.start, log) == (f"cold: other.py was installed or removed in {package.folder}", "there\n")


def test_a_module_of_the_project_with_the_name_of_an_imported_one_is_the_scripts(
    place: Place, package: Package
) -> None:
    job = unconfined(package.job())
    (place.root / "some_package.py").write_text("VALUE = 'own'")
    place.prepare(job)
    outcome, log = place.run(job)
    assert log == "own\n"
    assert outcome.start.startswith("cold: the project has its own some_package")


def test_the_projects_own_packages_are_not_imported_before_the_script_runs(place: Place) -> None:
    (place.root / "src").mkdir()
    (place.root / "src" / "own_package.py").write_text("import os; VALUE = os.path.exists('art/now')")
    (place.root / "script.py").write_text("open('art/now', 'w').close()\nimport own_package; print(own_package.VALUE)")
    job = place.job("script.py", imports=("decimal", "own_package"), env={"PYTHONPATH": str(place.root / "src")})
    assert place.warm(job)[1] == "True\n"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("raise ValueError('broken')", "cold: importing some_package fails: ValueError: broken"),
        ("import os; print('last word'); os._exit(1)", "cold: its interpreter has died: last word"),
    ],
)
def test_a_package_that_can_not_be_imported_ahead_leaves_it_to_the_script_and_is_not_tried_again(
    place: Place, package: Package, text: str, words: str
) -> None:
    package.write(text)
    os.utime(package.folder / "some_package.py", (1_600_000_000, 1_600_000_000))
    job = unconfined(package.job("print('ran')"))
    place.executor.expect(lambda: [job], place.state)
    wait_for(lambda: place.spares() != [], "the spare")
    wait_for(lambda: place.spares() == [], "the end of the spare")
    outcome, log = place.run(job)
    assert (outcome.start, log) == (words, "ran\n")
    place.executor.expect(lambda: [job], place.state)
    assert place.spares() == []


# Nobody is left, nothing runs twice


def gone(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] in "ZX"
    except FileNotFoundError:
        return True


def clear(place: Place) -> None:
    """The folder of a spare whose runner was killed goes as soon as its lock is free."""

    def gone_or_dead() -> bool:
        remove_dead(place.state / SPARES)
        return place.spares() == []

    wait_for(gone_or_dead, "the dead spare's lock")


KEEP = """
import json, sys
from pathlib import Path
from progressive_training.loop.jobs.job import Job
from progressive_training.loop.jobs.warm.server_keeper import Keeper
from progressive_training.loop.jobs.local import LocalExecutor
keeper = Keeper(idle_seconds=float(sys.argv[3]))
executor = LocalExecutor(keeper=lambda: keeper)
executor.expect(lambda: [Job.from_json(sys.argv[1])], Path(sys.argv[2]))
print("kept", flush=True)
sys.stdin.read()
"""


def members(place: Place) -> list[int]:
    told = json.loads(next(place.state.glob(f"{SPARES}/*/{files.RUNNER}")).read_text())
    return [told["pid"], *(process.pid for process in processes.Tree(told["marker"]).members())]


@linux
@pytest.mark.parametrize("confined", [True, False])
@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_spare_ends_with_its_server_however_that_ends(place: Place, number: signal.Signals, confined: bool) -> None:
    job = place.job("-c", "", confined=confined).to_json()
    command = [sys.executable, "-c", KEEP, job, str(place.state), "600"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdout is not None and server.stdout.readline() == b"kept\n"
        place.spare_pid()
        pids = members(place)
        assert len(pids) >= 2
        server.send_signal(number)
        server.wait()
    wait_for(lambda: all(gone(pid) for pid in pids), "the end of the spare")
    wait_for(lambda: place.spares() == [], "its folder to go")


def test_a_spare_that_is_not_needed_ends_by_itself(place: Place) -> None:
    place.keeper = Keeper(idle_seconds=0.5)
    place.prepare(place.job("-c", ""))
    wait_for(lambda: place.spares() == [], "its end")
    outcome, log = place.run(place.job("-c", "print(1)"))
    assert (outcome.start, log) == ("cold: its spare had ended", "1\n")


@linux
@pytest.mark.parametrize("whom", ["runner", "interpreter"])
def test_a_spare_that_was_killed_is_replaced_by_a_cold_start(place: Place, whom: str) -> None:
    place.prepare(place.job("-c", ""))
    runner = place.spare_pid()
    pids = members(place)
    os.kill(runner if whom == "runner" else pids[-1], signal.SIGKILL)
    wait_for(lambda: all(gone(pid) for pid in pids), "the end of the others")
    outcome, log = place.run(place.job("-c", "print(1)"))
    assert (outcome.start.startswith("cold: its "), log) == (True, "1\n")
    clear(place)
    place.prepare(place.job("-c", ""))


@linux
def test_a_runner_that_stops_in_the_middle_of_a_start_is_killed_and_the_job_starts_cold(place: Place) -> None:
    place.keeper = Keeper(start_seconds=0.5)
    place.prepare(place.job("-c", ""))
    runner = place.spare_pid()
    os.kill(runner, signal.SIGSTOP)
    outcome, log = place.run(place.job("-c", "print(1)"))
    assert (outcome.start, log) == ("cold: its spare died when it was given the job", "1\n")
    assert gone(runner)
    clear(place)


@linux
@pytest.mark.parametrize("moment", range(8))
@pytest.mark.whole(but=2)
def test_a_spare_that_is_killed_while_it_is_given_a_job_loses_it_or_leaves_it_and_never_runs_it_twice(
    place: Place, moment: int
) -> None:
    job = place.job("-c", "import os; os.write(os.open('art/runs', os.O_WRONLY | os.O_CREAT | os.O_APPEND), b'ran ')")
    place.prepare(job)
    killer = threading.Timer(moment * 0.004, os.kill, (place.spare_pid(), signal.SIGKILL))
    executor, folder = place.executor, place.attempt(1)
    executor.expect(lambda: (), place.state)
    killer.start()
    executor.submit(folder, job)
    killer.join()
    wait_for(lambda: executor.poll(folder).state != "running", "the end of the job")
    status = executor.poll(folder)
    runs = place.root / "art" / "runs"
    ran = runs.read_text() if runs.exists() else ""
    assert status.outcome is not None
    assert (status.state, ran) in (("finished", "ran "), ("lost", "ran "), ("lost", ""))
    assert status.state == "lost" or status.outcome.start.startswith(("warm", "cold: its spare "))
    clear(place)


GIVE = f"{KEEP}executor.submit(Path(sys.argv[4]), Job.from_json(sys.argv[1]))"


@linux
@pytest.mark.parametrize("moment", [*range(8), "the spare doesn't answer"])
def test_a_server_that_is_killed_while_it_gives_a_job_to_a_spare_has_it_run_once_or_never(
    place: Place, moment: int | str
) -> None:
    job = place.job("-c", "import os; os.write(os.open('art/runs', os.O_WRONLY | os.O_CREAT | os.O_APPEND), b'ran ')")
    folder, runs = place.attempt(1), place.root / "art" / "runs"
    command = [sys.executable, "-c", GIVE, job.to_json(), str(place.state), "600", str(folder)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as server:
        assert server.stdin is not None and server.stdout is not None and server.stdout.readline() == b"kept\n"
        wait_for(lambda: [spare.ready for spare in resting(place.state)] == [True], "the spare")
        runner, pids = place.spare_pid(), members(place)
        if isinstance(moment, int):
            killer = threading.Timer(moment * 0.002, server.kill)
            killer.start()
            server.stdin.close()
            killer.join()
        else:
            os.kill(runner, signal.SIGSTOP)
            server.stdin.close()
            # It has sent all, and waits to hear that the script runs.
            wait_for(lambda: (folder / files.JOB).exists() and sleeps(server.pid), "the server to wait")
            server.kill()
            server.wait()
            os.kill(runner, signal.SIGCONT)
    wait_for(lambda: all(gone(pid) for pid in pids), "the end of all of it")
    wait_for(lambda: place.spares() == [], "its folder to go")
    state = place.executor.poll(folder).state if (folder / files.JOB).exists() else "never submitted"
    found = state, runs.read_text() if runs.exists() else ""
    assert found == ("finished", "ran ") or (moment in range(8) and found in (("lost", ""), ("never submitted", "")))


def sleeps(pid: int) -> bool:
    return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "S"


@linux
def test_the_end_of_a_job_that_started_warm_leaves_no_process_and_no_folder(place: Place) -> None:
    place.prepare(place.job("-c", ""))
    pids = members(place)
    script = "import subprocess, sys; subprocess.Popen(['sleep', '600'], start_new_session=True)"
    outcome, _ = place.run(place.job("-c", script))
    assert outcome.start == "warm" and len(outcome.killed) == 1
    wait_for(lambda: all(gone(pid) for pid in pids), "the end of all of it")
    assert place.spares() == []


def test_little_memory_means_no_spare(place: Place) -> None:
    place.keeper = Keeper(least_free_bytes=1 << 60)
    place.executor.expect(lambda: [place.job("-c", "")], place.state)
    assert place.spares() == []
    assert place.run(place.job("-c", ""))[0].start == "cold: no spare was waiting"


def test_there_is_one_spare_of_a_kind_and_a_changed_expectation_replaces_it(place: Place) -> None:
    place.prepare(place.job("-c", ""))
    first = place.spare_pid()
    place.executor.expect(lambda: [place.job("-c", "other")], place.state)
    assert place.spare_pid() == first
    place.executor.expect(lambda: [place.job("-c", "", imports=("fractions",))], place.state)
    wait_for(lambda: len(place.spares()) == 1 and place.spare_pid() != first, "another spare")
    assert [spare.kind for spare in resting(place.state)] == ["train"]
    assert all((spare.memory_bytes or 0) > 1 << 20 for spare in resting(place.state))


# In the loop


@pytest.mark.anyio
async def test_from_its_first_run_on_a_loop_starts_warm_and_the_receipts_say_so(folder: Folder) -> None:
    folder.write(BASELINE, "import pydantic\n" + TRAINER)
    project = folder.project().kept_warm()
    async with connected(folder, executor=project.executor) as agent:
        await agent.call("start_loop")
        assert (await agent.train())["state"] == "done"
        await agent.call("write_eval", source=EVALUATOR)
        assert (await agent.score())["state"] == "done"
    trained, scored = Version(project, 1).receipt(TrainReceipt), Version(project, 1).receipt(EvalReceipt)
    assert trained is not None and scored is not None
    assert (trained.start, scored.start) == ("warm", "warm")
    kinds = {spare.kind for spare in resting(folder.root / STATE)}
    assert kinds <= {"train", "eval"} and kinds
    assert any("waiting now: for " in check["detail"] for check in doctor_says(folder))
    assert isinstance(project.executor, Backends)
    project.executor.close()
    wait_for(lambda: list(resting(folder.root / STATE)) == [], "the end of the spares")


class Expecting(LocalExecutor):
    """Notes what kinds of jobs it is told to expect."""

    def __init__(self) -> None:
        super().__init__()
        self.kinds: list[list[str]] = []

    def expect(self, jobs: Callable[[], Sequence[Job]], state: Path) -> None:
        self.kinds.append([job.kind for job in jobs() if job.imports])


@pytest.mark.anyio
async def test_of_the_last_version_only_its_evaluation_is_expected_and_nothing_after_it(folder: Folder) -> None:
    folder.set_rules(loop_config={"max_versions": 2})
    folder.write(BASELINE, "import pydantic\n" + TRAINER)
    executor = Expecting()
    async with connected(folder, executor=executor) as agent:
        await agent.call("start_loop")
        assert (await agent.train())["state"] == "done"
        await agent.call("write_eval", source=EVALUATOR)
        assert (await agent.score())["state"] == "done"
        assert executor.kinds == [["train", "eval"], ["eval", "train"], ["train", "eval"]]
        await agent.analyse()
        await agent.act()
        await agent.author()
        assert (await agent.train(2))["state"] == "done"
        assert (await agent.score(2))["state"] == "done"
    assert executor.kinds[3:] == [["eval"], []]


@pytest.mark.anyio
async def test_warm_starts_can_be_turned_off(folder: Folder) -> None:
    folder.set_rules(execution_config={"warm_start": False})
    folder.write(BASELINE, "import pydantic\n" + TRAINER)
    project = folder.project().kept_warm()
    async with connected(folder, executor=project.executor) as agent:
        await agent.call("start_loop")
        assert (await agent.train())["state"] == "done"
        await agent.call("write_eval", source=EVALUATOR)
        assert (await agent.score())["state"] == "done"
    scored = Version(project, 1).receipt(EvalReceipt)
    assert scored is not None and scored.start == "cold"
    assert not (folder.root / STATE / SPARES).exists()
    assert any("off: execution_config.warm_start" in check["detail"] for check in doctor_says(folder))


def doctor_says(folder: Folder) -> list[dict[str, str]]:
    command = [sys.executable, "-m", "progressive_training.server", "doctor", "--json", "--project", str(folder.root)]
    return json.loads(subprocess.run(command, capture_output=True, text=True, check=False).stdout)
