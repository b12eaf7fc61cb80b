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
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from progressive_training.loop.errors import RunError
from progressive_training.loop.jobs import sandbox, view
from progressive_training.loop.jobs.job import Job, Outcome
from progressive_training.loop.jobs.local import LocalExecutor
from progressive_training.loop.jobs.logs import tail
from progressive_training.loop.jobs.placing import level, mounts
from progressive_training.loop.jobs.runner import attempt_files as files
from progressive_training.loop.jobs.runner import processes
from progressive_training.loop.project.receipts import EvalReceipt, TrainReceipt
from progressive_training.loop.project.version import Version
from progressive_training.loop.record.parts import Opened
from progressive_training.loop.rules.execution import ExecutionConfig
from progressive_training.loop.store.paths import Workspace
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

    def confines(self, *, network: bool = False) -> view.Confines:
        own = self.root / ".progressive-training" / "own"
        found = view.Confines(
            scratch=self.attempt / files.SCRATCH,
            writable=(self.root / "art", own) if own.exists() else (self.root / "art",),
            readable=view.interpreter_folders(sys.executable),
            network=network,
        )
        return found.with_project(view.ProjectView(Workspace(self.root), "v1", (self.root / "Models/Artifacts/v001",)))

    def job(self, script: str, *arguments: str, network: bool = False, grace: float = 10.0, note: str = "") -> Job:
        return Job(
            kind="train",
            version_id="v001",
            attempt=1,
            argv=(sys.executable, "-c", script, *arguments),
            cwd=str(self.root),
            env={"PATH": os.defpath, "NOTE": note},
            timeout_seconds=60.0,
            grace_seconds=grace,
            wrapper=sandbox.wrapper(self.confines(network=network)),
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
    for name in ("art", ".progressive-training", "Models/Artifacts/v001"):
        (root / name).mkdir(parents=True)
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
        (place.root / name).parent.mkdir(parents=True, exist_ok=True)
        (place.root / name).write_text("precious")
    home = Path(sys.prefix) / "lib"
    targets = (
        *("02_train_v001.py", "Models/Artifacts/v001/eval_score.json", ".progressive-training/receipts/v001/eval.json"),
        *(str(place.attempt / files.RESULT), str(place.attempt / files.JOB), str(home / "planted.py")),
        *("/etc/planted", "/usr/planted", "/planted", "/proc/sys/vm/overcommit_memory", "/sys/kernel/mm/ksm/run"),
    )
    place.run(TRY, "art/best.ckpt", "/tmp/notes", "/dev/shm/shared", "/proc/self/comm", *targets)
    found = json.loads(place.said())
    assert [found.pop(name) for name in list(found)[:4]] == ["written"] * 4, "CUDA needs the last one"
    # Of the loop's own and of other versions there is nothing to be written.
    assert set(found.values()) <= {"OSError 30", "PermissionError 13", "FileNotFoundError 2"}, found
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
        for name in ("art", ".progressive-training", "Models/Artifacts/v001"):
            (place.root / name).mkdir(parents=True)
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
    """A home with secrets, by no name that anybody could have thought of; not in /tmp, where it would be hidden anyway.

    A socket of a program of the same user lies in it.
    """
    folder = Path(tempfile.mkdtemp(dir="/var/tmp")).resolve()
    for name in (".env", ".config/tool-of-2031/token", "notes.txt", ".cache/hub/weights"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text("canary-key")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(folder / "agent.sock"))
        server.listen()
        yield folder
    shutil.rmtree(folder)


SEARCH = """
import glob, os, socket, sys
found = []
for place in sys.argv[1:]:
    for folder, _, names in os.walk(place):
        for name in names:
            try:
                found.append(open(os.path.join(folder, name)).read())
            except (OSError, ValueError):
                pass
    try:
        socket.socket(socket.AF_UNIX).connect(os.path.join(place, "agent.sock"))
        found.append("canary-socket")
    except OSError:
        pass
print(found, sorted(name for name in os.listdir("/") if os.path.isdir("/" + name)))
"""


def test_nothing_of_a_home_or_another_folder_of_the_machine_is_there_sockets_included(place: Place, home: Path) -> None:
    (place.root / "link").symlink_to(home / "notes.txt")
    with variables(HOME=str(home)):
        place.run(SEARCH, str(home), str(place.root), "/var", "/home", "/opt", "/run")
    assert place.said().startswith("[] ") and "'var'" not in place.said()


def test_of_the_project_only_what_is_this_jobs_is_there(place: Place) -> None:
    for name in (
        *(".env", ".env.local", ".progressive-training/receipts/v001/train.json", "Models/Artifacts/v002/best.ckpt"),
        *("Models/Report/v001-v002/report.html", "dataset/prepdata/v2/train.json", "dataset/prepdata/all.json"),
    ):
        (place.root / name).parent.mkdir(parents=True, exist_ok=True)
        (place.root / name).write_text("canary")
    for name in ("utils.py", "dataset/prepdata/v1/train.json", "Models/Artifacts/v001/best.ckpt"):
        (place.root / name).parent.mkdir(parents=True, exist_ok=True)
        (place.root / name).write_text(f"is read: {name}")
    (place.root / ".progressive-training/own").mkdir()
    place.run(SEARCH + "open('.progressive-training/own/left', 'w').close()\n", str(place.root))
    assert "canary" not in place.said()
    assert place.said().count("is read") == 3, place.said()
    assert (place.root / ".progressive-training/own/left").exists()


def test_a_data_set_on_another_disk_is_seen_where_its_links_lead_and_its_neighbours_are_not(place: Place) -> None:
    disk = place.root.parent / "another disk"
    for name in ("v1/train.json", "pictures/1.png", "v2/train.json"):
        (disk / name).parent.mkdir(parents=True, exist_ok=True)
        (disk / name).write_text("canary" if "v2" in name else "is read")
    (disk / "v1" / "pictures").symlink_to("../pictures")
    (place.root / "dataset/prepdata").mkdir(parents=True)
    (place.root / "dataset/prepdata/v1").symlink_to(disk / "v1")
    (place.root / "dataset/prepdata/v2").symlink_to(disk / "v2")
    read = "print(open('dataset/prepdata/v1/train.json').read(), open('dataset/prepdata/v1/pictures/1.png').read())"
    place.run(SEARCH + read, str(disk), str(place.root / "dataset"))
    assert place.said().endswith("is read is read\n") and "canary" not in place.said()


def test_what_a_job_wanted_of_this_machine_is_found_unless_the_loop_hides_it_on_purpose(
    place: Place, home: Path
) -> None:
    for name in (".env", "Models/Artifacts/v002/best.ckpt"):
        (place.root / name).parent.mkdir(parents=True, exist_ok=True)
        (place.root / name).write_text("")
    (place.root / "pictures").symlink_to(home / ".config")
    opened = Opened(
        read={str(place.root / "pictures/tool-of-2031/token"): 1, str(place.root / ".env"): 1, "/etc/passwd": 1},
        folders={str(place.root / "Models/Artifacts/v002"): 1, "/nowhere": 2},
        looked_through=(str(home), "/a\0b", "/" + "x" * 1000, "relative"),
        made=(str(home / ".cache/hub"), str(home / ".cache/not-there")),
    )
    with variables(HOME=str(home)):
        found = place.confines().out_of_sight(opened)
    assert found == (home / ".config/tool-of-2031", home / ".cache/hub")


def test_what_the_rules_mount_is_seen_and_read_only(place: Place, home: Path) -> None:
    assert mounts(ExecutionConfig(mounts=(str(home / ".cache"),))) == (home / ".cache",)
    with pytest.raises(RunError, match="isn't there"):
        mounts(ExecutionConfig(mounts=(str(home / "없음"),)))
    for wrong in ("/", "~/", "cache", "/data/../etc"):
        with pytest.raises(ValueError, match="whole path"):
            ExecutionConfig(mounts=(wrong,))


KEYRING = """
import ctypes, os
call = ctypes.CDLL(None, use_errno=True).syscall
numbers = {"x86_64": (248, 250), "aarch64": (217, 219)}[os.uname().machine]
key = call(numbers[0], b"user", b"canary", b"canary-key", 10, -4)
text = ctypes.create_string_buffer(100)
read = call(numbers[1], 11, call(numbers[1], 10, -4, b"user", b"canary", 0), text, 100, 0)
print(key > 0, text.value)
"""


def test_no_keyring_of_the_user_is_there_to_be_read(place: Place) -> None:
    outside = subprocess.run([sys.executable, "-c", KEYRING], capture_output=True, text=True, check=True).stdout
    assert outside == "True b'canary-key'\n", "the kernel of this machine has no keyrings to be kept from a job"
    place.run(KEYRING)
    assert place.said() == "False b''\n"


def test_no_program_gets_the_rights_of_its_owner(place: Place) -> None:
    place.run("print([line for line in open('/proc/self/status') if line.startswith('NoNewPrivs')])")
    assert "NoNewPrivs:\\t1" in place.said()


def test_more_files_than_it_may_leave_end_a_job_with_the_reason(place: Place) -> None:
    job = place.job("[open(f'art/{n}', 'w').close() for n in range(300)]")
    place.executor.submit(place.attempt, replace(job, watched=(str(place.root / "art"),), max_files=200))
    outcome = finish(place.executor, place.attempt)
    assert outcome.reason == "limit"
    assert outcome.detail == "it left more than 200 files; execution_config.max_files allows no more"


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
    assert (found.kind, found.lacks) == ("landlock", "bubblewrap is not installed"), found
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
            assert "bubblewrap doesn't work here: bwrap: No permissions to create new" in level(ExecutionConfig()).name
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
        (f"{V001}/eval_score.json", "evaluation output", f"training created or changed {V001}/eval_score.json"),
        (f"{V001[:-1]}9/eval_score.json", "code error", "No such file or directory"),
        ("schedule.py", "code error", "Read-only file system: 'schedule.py'"),
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
        assert words in failure["summary"]
        assert name != "schedule.py" or "artifact folder and TMPDIR" in failure["advice"]


@pytest.mark.anyio
@pytest.mark.parametrize("mounted", [False, True])
async def test_what_isnt_mounted_fails_a_training_with_the_way_to_mount_it_and_then_is_there(
    folder: Folder, home: Path, mounted: bool
) -> None:
    wanted = home / ".cache/hub/weights"
    folder.set_rules(execution_config=REQUIRED | ({"mounts": [str(wanted.parent)]} if mounted else {}))
    reading = f"    import torch\n    open({str(wanted)!r}).read()\n    save_logs(rows)\n"
    folder.write(BASELINE, edited(TRAINER, ("    save_logs(rows)\n", reading)))
    async with connected(folder) as agent:
        await agent.call("start_loop")
        if mounted:
            assert (await agent.train())["state"] == "done"
            return
        failure = await agent.failed_training("code error")
        assert f"it wanted {wanted.parent}" in failure["advice"] and "execution_config.mounts" in failure["advice"]


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
