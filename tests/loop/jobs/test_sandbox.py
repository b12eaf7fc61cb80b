"""User code in bubblewrap: what it can't reach, and that all else is as outside."""

import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from progressive_training.loop.errors import RunError
from progressive_training.loop.jobs import sandbox
from progressive_training.loop.jobs.job import Job, Outcome
from progressive_training.loop.jobs.local import LocalExecutor
from progressive_training.loop.jobs.logs import tail
from progressive_training.loop.jobs.placing import level
from progressive_training.loop.jobs.runner import attempt_files as files
from progressive_training.loop.jobs.runner import processes
from progressive_training.loop.project.receipts import EvalReceipt, TrainReceipt
from progressive_training.loop.project.version import Version
from progressive_training.loop.rules.execution import ExecutionConfig
from support.jobs import STAY, finish, wait_for
from support.programs import need
from support.projects import EVALUATOR, TRAINER, Folder, connected, edited
from support.warmed import Warmed

FAMILY = (
    STAY
    + """
if os.fork() == 0:
    if os.fork() == 0:
        os.setsid()
        if os.fork() == 0:
            stay("art/daemon")
        os._exit(0)
    stay("art/child")
"""
)
READY = "while not all(os.path.exists(f'art/{n}') for n in ('child', 'daemon')): time.sleep(0.01)\n"


@dataclass(frozen=True)
class Place:
    """A project whose only writable folder is `art`."""

    root: Path
    executor: LocalExecutor = field(default_factory=LocalExecutor)

    @property
    def attempt(self) -> Path:
        return self.root / ".progressive-training" / "attempts" / "v001" / "train-001"

    def job(self, script: str, *arguments: str, network: bool = False, grace: float = 10.0, note: str = "") -> Job:
        confines = sandbox.Confines(
            scratch=self.attempt / files.SCRATCH,
            writable=(self.root / "art",),
            readable=(*sandbox.interpreter_folders(sys.executable), self.root),
            network=network,
        )
        return Job(
            kind="train",
            version_id="v001",
            attempt=1,
            argv=(sys.executable, "-c", script, *arguments),
            cwd=str(self.root),
            env={"PATH": os.defpath, "NOTE": note},
            timeout_seconds=60.0,
            grace_seconds=grace,
            wrapper=sandbox.wrapper(confines),
        )

    def run(self, script: str, *arguments: str, note: str = "") -> Outcome:
        self.executor.submit(self.attempt, self.job(script, *arguments, note=note))
        return finish(self.executor, self.attempt)

    def said(self) -> str:
        return tail(self.attempt / files.LOG, 1 << 20)

    def left(self) -> list[str]:
        """The processes that carry the attempt's marker, wherever they went."""
        marker = json.loads((self.attempt / files.RUNNER).read_text())["marker"]
        return [processes.describe(process) for process in processes.Tree(marker).members()]


@pytest.fixture(params=[LocalExecutor, Warmed], ids=["cold", "warm"])
def place(request: pytest.FixtureRequest, tmp_path: Path) -> Place:
    root = (tmp_path / 'it\'s a "한글" folder $HOME').resolve()
    (root / "art").mkdir(parents=True)
    return Place(root, request.param())


@contextmanager
def variables(**values: str) -> Iterator[None]:
    """Variables of this process, the server's."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@pytest.fixture(autouse=True)
def bubblewrap() -> None:
    need("bwrap")


def test_bubblewrap_works_here() -> None:
    assert sandbox.problem() is None, f"{sandbox.problem()}; these tests need it: {sandbox.INSTALL}"


# As outside


@pytest.mark.parametrize("code", [0, 1, 3, 127, 137, 143, 255])
def test_an_exit_code_is_the_scripts_own_and_never_taken_for_a_signal(place: Place, code: int) -> None:
    outcome = place.run(f"raise SystemExit({code})")
    assert (outcome.rc, outcome.signal, outcome.reason, outcome.killed) == (code, None, "exited", ())


@pytest.mark.parametrize("name", ["SIGSEGV", "SIGKILL", "SIGTERM"])
def test_a_death_by_signal_is_named(place: Place, name: str) -> None:
    outcome = place.run(f"import os, signal; os.kill(os.getpid(), signal.{name})")
    assert (outcome.rc, outcome.signal_name, outcome.reason) == (None, name, "exited")


def test_arguments_folder_environment_and_input_arrive_as_they_are(place: Place) -> None:
    script = (
        "import json, os, sys; print(json.dumps([sys.argv[1:], os.getcwd(), os.environ['NOTE'], sys.stdin.read()]))"
    )
    arguments = ("-x", "two words", 'it\'s "$HOME" `id` \\', "한글", "line\nbreak", "")
    place.run(script, *arguments, note="값 = 'x'\n")
    assert json.loads(place.said()) == [list(arguments), str(place.root), "값 = 'x'\n", ""]


def test_time_and_memory_of_all_processes_within_are_counted(place: Place) -> None:
    outcome = place.run(
        "import os, time\nkept = b'x' * 200_000_000\n"
        "if os.fork() == 0:\n while time.process_time() < 0.4: pass\nelse: os.wait()"
    )
    assert outcome.cpu_seconds is not None and outcome.cpu_seconds >= 0.4
    assert outcome.peak_memory_bytes is not None and 200_000_000 < outcome.peak_memory_bytes < 260_000_000


def test_a_cancelled_script_may_save_keeps_its_exit_code_and_leaves_nobody(place: Place) -> None:
    saving = "import sys\nsignal.signal(signal.SIGTERM, lambda *_: (print('saved'), sys.exit(5)))\n"
    place.executor.submit(place.attempt, place.job(STAY + saving + "stay('art/script')"))
    wait_for((place.root / "art/script").exists, "the script")
    outcome = place.executor.cancel(place.attempt).outcome
    assert outcome is not None
    assert (outcome.rc, outcome.reason, outcome.killed) == (5, "cancelled", ())
    assert place.said() == "saved\n"
    assert place.left() == []


def test_a_cancelled_family_ends_on_the_first_word(place: Place) -> None:
    place.executor.submit(place.attempt, place.job(FAMILY + "stay('art/script')"))
    for name in ("script", "child", "daemon"):
        wait_for((place.root / "art" / name).exists, name)
    outcome = place.executor.cancel(place.attempt).outcome
    assert outcome is not None
    assert (outcome.signal_name, outcome.killed) == ("SIGTERM", ())
    assert place.left() == []


def test_a_script_that_ignores_the_request_is_killed_and_named(place: Place) -> None:
    script = STAY + "signal.signal(signal.SIGTERM, signal.SIG_IGN); stay('art/script')"
    place.executor.submit(place.attempt, place.job(script, grace=0.2))
    wait_for((place.root / "art/script").exists, "the script")
    outcome = place.executor.cancel(place.attempt).outcome
    assert outcome is not None
    assert (outcome.reason, outcome.signal_name, len(outcome.killed)) == ("cancelled", "SIGKILL", 1)
    assert place.left() == []


def test_leftovers_of_a_script_that_ended_are_ended_and_listed(place: Place) -> None:
    outcome = place.run(FAMILY + READY)
    assert (outcome.rc, len(outcome.killed)) == (0, 2), outcome
    assert not any("bwrap" in text for text in outcome.killed)
    assert place.left() == []


def test_a_helper_that_ends_just_after_its_script_is_no_leftover(place: Place) -> None:
    assert place.run("import os, time\nif os.fork() == 0: time.sleep(0.1); print('done')").killed == ()
    assert place.said() == "done\n"


def test_a_runner_that_is_killed_takes_everybody_within_along(place: Place) -> None:
    place.executor.submit(place.attempt, place.job(FAMILY + "stay('art/script')"))
    for name in ("script", "child", "daemon"):
        wait_for((place.root / "art" / name).exists, name)
    assert len(place.left()) >= 3
    os.kill(json.loads((place.attempt / files.RUNNER).read_text())["pid"], signal.SIGKILL)
    wait_for(lambda: place.left() == [], "the kernel to end all of it")  # nobody swept
    assert place.executor.poll(place.attempt).state == "lost"


def test_what_cannot_start_is_refused_with_the_reason_and_the_folder_stays_usable(place: Place) -> None:
    (place.root / "broken").write_text("no format that a kernel knows")
    (place.root / "broken").chmod(0o755)
    job = place.job("pass")
    broken = Job.from_json(json.dumps(json.loads(job.to_json()) | {"argv": ["./broken"]}))
    with pytest.raises(RunError, match="Exec format error"):
        place.executor.submit(place.attempt, broken)
    wrapper = [word.replace(str(place.root / "art"), str(place.root / "없음")) for word in job.wrapper]
    unbound = Job.from_json(json.dumps(json.loads(job.to_json()) | {"wrapper": wrapper}))
    with pytest.raises(RunError, match=r"the sandbox did not start: bwrap: .*No such file"):
        place.executor.submit(place.attempt, unbound)
    assert place.run("raise SystemExit(6)").rc == 6
    assert place.left() == []


# Confined

TRY = """
import json, pathlib, sys
found = {}
for name in sys.argv[1:]:
    try:
        pathlib.Path(name).write_text("x")
        found[name] = "written"
    except OSError as error:
        found[name] = type(error).__name__ + " " + str(error.errno)
print(json.dumps(found))
"""


def test_only_the_versions_folder_and_the_temporary_one_can_be_written(place: Place) -> None:
    for name in ("Models/Artifacts/v001/eval_score.json", ".progressive-training/receipts/v001/eval.json"):
        (place.root / name).parent.mkdir(parents=True)
        (place.root / name).write_text("precious")
    home = Path(sys.prefix) / "lib"
    targets = (
        *("02_train_v001.py", "Models/Artifacts/v001/eval_score.json", ".progressive-training/receipts/v001/eval.json"),
        *(str(place.attempt / files.RESULT), str(place.attempt / files.JOB), str(home / "planted.py")),
        *("/etc/planted", "/var/tmp/planted", "/proc/sys/vm/overcommit_memory", "/sys/kernel/mm/ksm/run"),
    )
    place.run(TRY, "art/best.ckpt", "/tmp/notes", "/dev/shm/shared", "/proc/self/comm", *targets)
    found = json.loads(place.said())
    assert [found.pop(name) for name in list(found)[:4]] == ["written"] * 4, "CUDA needs the last one"
    assert set(found.values()) <= {"OSError 30", "PermissionError 13"}, found
    assert (place.root / "art/best.ckpt").read_text() == "x"
    assert (place.root / "Models/Artifacts/v001/eval_score.json").read_text() == "precious"
    assert not (place.attempt / files.SCRATCH).exists()


def test_a_read_only_mount_cannot_be_made_writable_again(place: Place) -> None:
    script = (
        "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
        "print(libc.mount(None, b'/', None, 32, None), libc.umount2(b'/tmp', 2), libc.unshare(0x20000))"
    )
    place.run(script)
    assert place.said() == "-1 -1 -1\n"


@pytest.mark.skipif(not Path("/dev/shm").is_dir(), reason="there is no memory file system")
@pytest.mark.parametrize("executor", [LocalExecutor, Warmed])
def test_a_project_in_shared_memory_is_seen_though_the_rest_of_it_is_hidden(
    executor: Callable[[], LocalExecutor],
) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as folder:
        place = Place(Path(folder) / "한글", executor())
        (place.root / "art").mkdir(parents=True)
        (place.root / "03_eval.py").write_text("is read")
        script = "import os; open('art/x', 'w').close(); print(open('03_eval.py').read(), os.listdir('/dev/shm'))"
        outcome = place.run(script)
        assert (outcome.rc, place.said()) == (0, f"is read ['{Path(folder).name}']\n")
        assert (place.root / "art" / "x").exists()
        place.executor.close()


def test_nobody_elses_temporary_files_are_seen(place: Place) -> None:
    with tempfile.NamedTemporaryFile(dir="/tmp", prefix="secret-") as file:
        place.run("import os, sys; print(os.path.exists(sys.argv[1]), os.environ['TMPDIR'])", file.name)
    assert place.said() == "False /tmp\n"


@pytest.fixture
def home() -> Iterator[Path]:
    """A home with secrets; not in /tmp, where it would be hidden anyway."""
    folder = Path(tempfile.mkdtemp(dir="/var/tmp")).resolve()
    (folder / ".ssh").mkdir()
    (folder / ".ssh/id_ed25519").write_text("canary-key")
    (folder / "really.netrc").write_text("canary-key")
    (folder / ".netrc").symlink_to(folder / "really.netrc")
    (folder / ".cache").mkdir()
    (folder / ".cache/weights").write_text("useful")
    yield folder
    shutil.rmtree(folder)


def test_keys_in_the_users_home_are_hidden_and_the_rest_can_be_read(place: Place, home: Path) -> None:
    script = """
import os, sys
found = []
for folder, _, names in os.walk(sys.argv[1]):
    for name in names:
        try:
            found.append(open(os.path.join(folder, name)).read())
        except OSError:
            pass
print(sorted(found), os.listdir(sys.argv[1] + "/.ssh"))
"""
    (place.root / "link").symlink_to(home / ".ssh/id_ed25519")
    with variables(HOME=str(home)):
        place.run(script + "print(os.path.exists('link'))", str(home))
        assert sandbox.links_out((place.root,)) == ()
    assert "canary" not in place.said()
    assert "useful" in place.said() and place.said().endswith("[]\nFalse\n")


CANARY = "sk-canary-71c0"
LOOK = f"""
import os, pathlib
seen = [str(dict(os.environ))]
for path in [*pathlib.Path("/proc").glob("[0-9]*/environ"), *pathlib.Path("/proc").glob("[0-9]*/cmdline")]:
    try:
        seen.append(path.read_text(errors="replace"))
    except OSError:
        pass
assert len(seen) >= 3
print("{CANARY[:3]}" + "{CANARY[3:]}" in "".join(seen), sum(p.name.isdigit() for p in pathlib.Path("/proc").iterdir()))
"""


def test_a_key_of_the_server_is_seen_nowhere_and_no_other_process_is(place: Place) -> None:
    holder = subprocess.Popen(
        [sys.executable, "-c", "import sys; sys.stdin.read()"], env={"KEY": CANARY}, stdin=subprocess.PIPE
    )
    try:
        with variables(SOME_API_KEY=CANARY):
            place.run(LOOK)
    finally:
        holder.communicate()
    assert place.said() == "False 2\n"  # pid 1 and the script


SERVE_AND_CALL = """
import socket, sys, threading
server = socket.create_server(("127.0.0.1", 0))
threading.Thread(target=lambda: server.accept()[0].sendall(b"inside")).start()
print(socket.create_connection(server.getsockname()).recv(10).decode())
try:
    print(socket.create_connection(("127.0.0.1", int(sys.argv[1])), timeout=5).recv(10).decode())
except OSError as error:
    print(type(error).__name__)
"""


@pytest.mark.parametrize(("network", "reached"), [(False, "ConnectionRefusedError"), (True, "outside")])
def test_the_network_is_off_unless_the_rules_allow_it_and_loopback_works_within(
    place: Place, network: bool, reached: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        server.settimeout(30)
        place.executor.submit(place.attempt, place.job(SERVE_AND_CALL, str(server.getsockname()[1]), network=network))
        if network:
            server.accept()[0].sendall(b"outside")
        wait_for(lambda: place.executor.poll(place.attempt).state != "running", "the end of the job")
    assert place.said() == f"inside\n{reached}\n"


# What the rules ask for


def test_without_bubblewrap_auto_says_why_and_require_refuses_and_says_how_to_get_it(tmp_path: Path) -> None:
    with variables(PATH=str(tmp_path)):
        sandbox.problem.cache_clear()
        try:
            found = level(ExecutionConfig())
            with pytest.raises(RunError) as refused:
                level(ExecutionConfig(sandbox="require"))
        finally:
            sandbox.problem.cache_clear()
    assert (found.confined, found.name) == (False, "none: bubblewrap is not installed")
    assert "apt install bubblewrap" in str(refused.value)
    assert level(ExecutionConfig(sandbox="require")).name == "bubblewrap"
    assert level(ExecutionConfig(sandbox="require", network=True)).name == "bubblewrap, network allowed"
    assert level(ExecutionConfig(sandbox="off")).name.startswith("none: execution_config.sandbox is off")


def test_a_bubblewrap_that_fails_is_quoted(tmp_path: Path) -> None:
    fake = tmp_path / "bwrap"
    fake.write_text("#!/bin/sh\necho 'bwrap: No permissions to create new namespace' >&2\nexit 1\n")
    fake.chmod(0o755)
    with variables(PATH=f"{tmp_path}:{os.environ['PATH']}"):
        sandbox.problem.cache_clear()
        try:
            assert level(ExecutionConfig()).name == (
                "none: bubblewrap doesn't work here: bwrap: No permissions to create new namespace"
            )
        finally:
            sandbox.problem.cache_clear()


V001 = "Models/Artifacts/v001"
BASELINE = "02_train_baseline.py"
REQUIRED = {"sandbox": "require"}


@pytest.mark.anyio
async def test_a_whole_version_is_trained_and_scored_inside_and_its_receipts_say_so(folder: Folder) -> None:
    folder.set_rules(execution_config=REQUIRED)
    folder.path("dataset").rename(folder.root.parent / "another disk")
    folder.path("dataset").symlink_to(folder.root.parent / "another disk")
    async with connected(folder) as agent:
        await agent.call("start_loop")
        assert (await agent.train())["state"] == "done"
        # It tries to raise its own result, and to write beside the version that it scores.
        meddling = """
for name in ("Models/Artifacts/v001/eval_score.json", ".progressive-training/receipts/v001/train.json", "note"):
    try:
        (Path(arguments.project) / name).write_text("forged")
        raise SystemExit("it could write " + name)
    except OSError:
        pass
"""
        source = edited(EVALUATOR, ("OUT = Path(arguments.out)\n", "OUT = Path(arguments.out)\n" + meddling))
        await agent.call("write_eval", source=source)
        assert (await agent.score())["state"] == "done"
    for receipt in (
        Version(folder.project(), 1).receipt(TrainReceipt),
        Version(folder.project(), 1).receipt(EvalReceipt),
    ):
        assert receipt is not None and receipt.sandbox == "bubblewrap"


@pytest.mark.anyio
async def test_an_interpreter_that_is_named_by_way_of_another_folder_is_found_inside(
    folder: Folder, tmp_path: Path
) -> None:
    (tmp_path / "beside").mkdir()
    roundabout = f"{tmp_path}/beside/{'../' * len((tmp_path / 'beside').parts[1:])}{sys.executable[1:]}"
    folder.set_rules(execution_config=REQUIRED | {"python": roundabout})
    async with connected(folder) as agent:
        await agent.call("start_loop")
        assert (await agent.train())["state"] == "done"


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("name", "kind", "words"),
    [
        (f"{V001[:-1]}9/eval_score.json", "evaluation output", "eval_score.json"),
        ("schedule.py", "code error", "schedule.py"),
    ],
)
async def test_a_training_that_writes_where_it_may_not_fails_with_the_reason(
    folder: Folder, name: str, kind: str, words: str
) -> None:
    folder.set_rules(execution_config=REQUIRED)
    folder.path(f"{V001[:-1]}9").mkdir(parents=True)
    folder.write(
        BASELINE,
        edited(TRAINER, ("    save_logs(rows)\n", f"    Path({name!r}).write_text('')\n    save_logs(rows)\n")),
    )
    async with connected(folder) as agent:
        await agent.call("start_loop")
        failure = await agent.failed_training(kind)
        assert "Read-only file system" in failure["summary"] and words in failure["summary"]
        assert kind != "code error" or "artifact folder and TMPDIR" in failure["advice"]
    assert folder.read("schedule.py")


@pytest.mark.anyio
async def test_a_sandbox_that_is_required_and_missing_starts_nothing_and_wipes_nothing(
    folder: Folder, tmp_path: Path
) -> None:
    folder.set_rules(execution_config=REQUIRED)
    folder.write(f"{V001}/best.ckpt", "mine")
    async with connected(folder) as agent:
        await agent.call("start_loop")
        folder.write(f"{V001}/best.ckpt", "mine")
        (tmp_path / "empty").mkdir()
        with variables(PATH=str(tmp_path / "empty")):
            sandbox.problem.cache_clear()
            try:
                assert "apt install bubblewrap" in await agent.refused("run_train", version=1)
            finally:
                sandbox.problem.cache_clear()
        assert folder.read(f"{V001}/best.ckpt") == "mine"
        assert (await agent.train())["state"] == "done"
