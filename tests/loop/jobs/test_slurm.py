"""Jobs on a real Slurm of two nodes; what every executor promises is shown for it in test_every_executor.py."""

from __future__ import annotations

import json
import os
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from progressive_training.loop.errors import RunError
from progressive_training.loop.jobs.cluster import slurm_answers, submission
from progressive_training.loop.jobs.cluster.slurm import Slurm
from progressive_training.loop.jobs.executor import Executor
from progressive_training.loop.jobs.job import Job, JobStatus, Placement
from progressive_training.loop.jobs.logs import tail
from progressive_training.loop.jobs.runner import attempt_files as files
from progressive_training.loop.project.failures import process_failure
from support.clusters.slurm import SlurmCluster, fill, on_slurm, slurm
from support.jobs import FAMILY, STAY, alive, finish, job, pid_in, run, submit_and_die, wait_for

SAVES = STAY + "signal.signal(signal.SIGTERM, lambda *_: (print('saved', flush=True), exit(5))); stay('script')"


@pytest.fixture
def cluster() -> Iterator[SlurmCluster]:
    running = slurm()
    yield running
    running.drain()


@pytest.fixture
def work(tmp_path: Path) -> Path:
    folder = tmp_path / 'it\'s a "한글" folder 100%j # $HOME'
    folder.mkdir()
    return folder


def id_of(attempt: Path) -> str:
    return json.loads((attempt / submission.ACCEPTED).read_text())["id"]


def ended(executor: Executor, attempt: Path) -> JobStatus:
    wait_for(lambda: executor.poll(attempt).state != "running", "the end of the job")
    return executor.poll(attempt)


# What is asked for


def test_the_submit_script_says_in_its_head_what_is_asked_for(cluster: SlurmCluster, attempt: Path, work: Path) -> None:
    asked = Placement("slurm", 0, 4, 1.5, 90.5, 2, 2, "low", "my-lab", "long", ("--hold", '--comment=a "b" \\ c'))
    executor = on_slurm()
    executor.submit(attempt, replace(job(work, "pass"), placement=asked))
    lines = (attempt / submission.SCRIPT).read_text().splitlines()
    assert lines[0] == "#!/bin/bash"
    name = json.loads((attempt / files.BATCH).read_text())["name"]
    output = str(attempt / submission.OUTPUT).replace("%", "%%").replace('"', '\\"')
    assert lines[1:18] == [
        f"#SBATCH --job-name={name}",
        f'#SBATCH --output="{output}"',
        "#SBATCH --chdir=/",
        "#SBATCH --export=NONE",
        "#SBATCH --no-requeue",
        "#SBATCH --nodes=2",
        "#SBATCH --ntasks-per-node=2",
        "#SBATCH --cpus-per-task=2",
        "#SBATCH --mem=1536M",
        "#SBATCH --time=91",
        "#SBATCH --partition=low",
        "#SBATCH --account=my-lab",
        "#SBATCH --qos=long",
        "#SBATCH --hold",
        '#SBATCH --comment="a \\"b\\" \\\\ c"',
        "",
        f"folder={submission.shlex.quote(str(attempt))}",
    ]
    told = cluster.call("scontrol", "--oneliner", "show", "job", id_of(attempt))
    for said in (
        "NumNodes=2",
        "CPUs/Task=2",
        "MinMemoryNode=1.50G",
        "TimeLimit=01:31:00",
        "Requeue=0",
        "Account=my-lab",
    ):
        assert said in told
    assert 'Comment=a "b" \\ c' in told
    assert executor.poll(attempt).waiting is not None


def test_a_gpu_that_is_asked_for_is_the_jobs_alone(cluster: SlurmCluster, attempt: Path, work: Path) -> None:
    plain = job(work, "import os; print(os.environ['CUDA_VISIBLE_DEVICES'], os.environ['SLURM_JOB_ID'])")
    executor = on_slurm(gpus=1, cpus=1, memory_gb=0.5)
    run(executor, attempt, replace(plain, inherits=("CUDA_*", "SLURM_*")))
    assert tail(attempt / files.LOG).split() == ["0", id_of(attempt)]


def test_nothing_of_the_servers_environment_reaches_the_node(
    cluster: SlurmCluster, attempt: Path, work: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("CANARY_API_KEY", "SLURM_CANARY", "SBATCH_CANARY", "SPANK_CANARY"):
        monkeypatch.setenv(name, "secret-canary")
    monkeypatch.setenv("SBATCH_PARTITION", "no-such-partition")
    seen = work / "of the node"
    executor = on_slurm(setup=(f"env > {submission.shlex.quote(str(seen))}", "export MADE='two words'; unset HOME"))
    script = "import os; print(sorted(os.environ)); print(os.environ['MADE'], os.environ['SLURM_JOB_ID'])"
    run(executor, attempt, replace(job(work, script), inherits=("PATH", "SLURM_*")))
    assert "canary" not in seen.read_text().lower()
    assert "CANARY" not in tail(attempt / files.LOG)
    assert tail(attempt / files.LOG).splitlines()[1] == f"two words {id_of(attempt)}"
    environments = [path.read_text() for path in cluster.folder.rglob("environment")]
    assert not any("canary" in text for text in environments)


@pytest.mark.parametrize("name", ["100%j %% folder", "back\\slash"])
def test_slurms_own_words_reach_the_folder_whatever_it_is_called(
    cluster: SlurmCluster, tmp_path: Path, name: str
) -> None:
    (tmp_path / name).mkdir()
    attempt = tmp_path / name / "attempt"
    executor = on_slurm(setup=("echo from the script",))
    assert run(executor, attempt, job(tmp_path, "raise SystemExit(4)")).rc == 4
    # A backslash has another meaning for sbatch, which no quotes can take away.
    said = "" if "\\" in name else "from the script\n"
    assert tail(attempt / submission.OUTPUT) == said


# Refusals


@pytest.mark.parametrize(
    ("asked", "told"),
    [
        ({"partition": "nope"}, ("no partition nope", "slurm.partition to one of: low, high, short")),
        ({"gpus": 3}, ("no node of the partition has that much", "another slurm.partition: low, high, short")),
        ({"memory_gb": 9000.0}, ("no node of the partition has that much", "less in resources")),
        ({"extra": ("--nonsense=1",)}, ("an option was not understood", "slurm.extra", "nonsense")),
        ({"extra": ("--constraint=a100",)}, ("Invalid feature specification",)),
        ({"extra": ("--licenses=matlab",)}, ("Invalid license specification", "slurm.extra")),
    ],
)
def test_a_refusal_says_what_is_wrong_and_leaves_the_folder_usable(
    cluster: SlurmCluster, attempt: Path, work: Path, asked: dict[str, object], told: tuple[str, ...]
) -> None:
    with pytest.raises(RunError) as refused:
        on_slurm(**asked).submit(attempt, job(work, "pass"))
    assert "Next: " in str(refused.value)
    for words in told:
        assert words in str(refused.value)
    with pytest.raises(RunError, match="no job was submitted"):
        on_slurm().poll(attempt)
    on_slurm(extra=("--hold",)).submit(attempt, job(work, "pass"))


def test_missing_commands_are_named(attempt: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = on_slurm()
    monkeypatch.setenv("PATH", str(work))
    with pytest.raises(RunError, match=r"this machine has no sbatch\nNext: .*login node"):
        executor.submit(attempt, job(work, "pass"))


def test_a_machine_without_a_cluster_is_told_apart(attempt: Path, work: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    executor = on_slurm()
    (work / "slurm.conf").write_text("")
    monkeypatch.setenv("SLURM_CONF", str(work / "slurm.conf"))
    with pytest.raises(RunError, match=r"belongs to no cluster.*\nNext: .*SLURM_CONF"):
        executor.submit(attempt, job(work, "pass"))


# Waiting


def test_a_queued_job_says_why_it_waits_its_place_and_when_it_may_start(
    cluster: SlurmCluster, attempt: Path, work: Path
) -> None:
    fill(cluster)
    second = attempt.with_name("002")
    executor = on_slurm(cpus=2, minutes=5.0)
    for folder in (attempt, second):
        executor.submit(folder, job(work, "pass"))
    assert "waits in Slurm's queue: PENDING" in (executor.poll(attempt).waiting or "")
    expected = (
        "PENDING (Resources): no node is free for it yet, place 1 of 2, starts about 2",
        "PENDING (Priority): other jobs come first, place 2 of 2, starts about 2",
    )

    def as_told() -> bool:
        asked = on_slurm()  # as a server that comes later; its answers are its own
        said = [asked.poll(folder).waiting or "" for folder in (attempt, second)]
        return all(part in text for part, text in zip(expected, said, strict=True))

    wait_for(as_told, "Slurm's reasons, places and estimates")
    other = on_slurm()
    status = other.cancel(attempt)
    assert status.outcome is not None
    assert (status.state, status.outcome.reason) == ("finished", "cancelled")
    assert other.poll(second).state == "running"


def test_what_can_never_begin_says_so(cluster: SlurmCluster, attempt: Path, work: Path) -> None:
    executor = on_slurm(partition="short", minutes=30.0)
    executor.submit(attempt, job(work, "pass"))
    wait_for(lambda: "PartitionTimeLimit" in (on_slurm().poll(attempt).waiting or ""), "Slurm's reason")
    status = on_slurm().poll(attempt)
    told = status.waiting or ""
    assert status.waiting_for == "other_request"
    assert "it won't begin: cancel it and ask for less in resources (minutes)" in told


# Ends that are not the script's own


def test_a_preempted_job_may_save_and_is_nobodys_fault(cluster: SlurmCluster, attempt: Path, work: Path) -> None:
    node = cluster.nodes[0]
    fill(cluster, "high", cluster.nodes[1])
    executor = on_slurm(cpus=2)
    executor.submit(attempt, job(work, SAVES))
    pid = pid_in(work / "script")
    fill(cluster, "high", node)
    status = ended(executor, attempt)
    assert not alive(pid)
    assert tail(attempt / files.LOG).startswith("saved\n")
    failure = process_failure(status.outcome, "", limit_minutes=None, requested=False, detail=status.detail)
    assert failure is not None
    assert (failure.kind, failure.summary) == ("killed", "Slurm ended it: PREEMPTED")


def test_a_job_that_somebody_else_cancels_is_no_wish_of_ours(cluster: SlurmCluster, attempt: Path, work: Path) -> None:
    executor = on_slurm()
    executor.submit(attempt, job(work, FAMILY + "stay('script')"))
    pids = [pid_in(work / name) for name in ("script", "child", "grandchild", "daemon")]
    cluster.call("scancel", id_of(attempt))
    status = ended(executor, attempt)
    assert not any(alive(pid) for pid in pids)
    failure = process_failure(status.outcome, "", limit_minutes=None, requested=False)
    assert failure is not None
    assert (failure.kind, failure.summary) == ("killed", "Slurm ended it: CANCELLED")


def test_a_lost_node_is_told_and_nobodys_fault(cluster: SlurmCluster, attempt: Path, work: Path) -> None:
    node = cluster.nodes[0]
    executor = on_slurm(extra=(f"--nodelist={node}",))
    executor.submit(attempt, job(work, FAMILY + "stay('script')"))
    pids = [pid_in(work / name) for name in ("script", "child", "grandchild", "daemon")]
    with cluster.lost(node):
        status = ended(executor, attempt)
        assert not any(alive(pid) for pid in pids)
    assert (status.state, status.detail) == ("lost", "Slurm: node failed (NODE_FAIL (NodeDown))")
    failure = process_failure(status.outcome, "", limit_minutes=None, requested=False, detail=status.detail)
    assert failure is not None and failure.kind == "lost"


def test_a_folder_that_the_node_does_not_see_as_we_do_is_told(cluster: SlurmCluster, attempt: Path, work: Path) -> None:
    executor = on_slurm(extra=("--hold",))
    executor.submit(attempt, job(work, "pass"))
    second = attempt.with_name("002")
    executor.submit(second, job(work, "pass"))
    (attempt / submission.TOKEN).write_text("of another folder\n")
    second.rename(work / "away")
    cluster.call("scontrol", "release", id_of(attempt), id_of(work / "away"))
    status = ended(executor, attempt)
    assert status.state == "lost" and status.detail is not None
    assert f"does not see {attempt} as the server does" in status.detail
    assert "file system that the nodes share" in status.detail
    number = id_of(work / "away")
    wait_for(lambda: "FAILED" in cluster.call("squeue", "-h", "--states=all", "-j", number, "-o", "%T"), "its end")
    (work / "away").rename(second)
    status = ended(on_slurm(), second)
    assert status.state == "lost" and status.detail is not None
    assert "the project has to lie on a file system that the nodes share" in status.detail


# Servers and controllers that go away


def test_a_job_outlives_the_server_that_submitted_it(cluster: SlurmCluster, attempt: Path, work: Path) -> None:
    wait = "import os, time\nwhile not os.path.exists('go'): time.sleep(0.01)\nraise SystemExit(7)"
    submit_and_die(attempt, replace(job(work, wait), placement=Placement("slurm")))
    another = on_slurm()
    wait_for((attempt / files.HEARTBEAT).exists, "its beginning")
    assert another.poll(attempt).state == "running"
    (work / "go").touch()
    assert finish(another, attempt).rc == 7


def test_a_job_whose_number_was_never_noted_is_found_by_its_name(
    cluster: SlurmCluster, attempt: Path, work: Path
) -> None:
    on_slurm().submit(attempt, job(work, STAY + "stay('script')"))
    number = id_of(attempt)
    (attempt / submission.ACCEPTED).unlink()
    assert on_slurm().poll(attempt).state == "running"
    assert id_of(attempt) == number
    pid = pid_in(work / "script")
    (attempt / submission.ACCEPTED).unlink()
    outcome = on_slurm().cancel(attempt).outcome
    assert outcome is not None and outcome.reason == "cancelled"
    assert not alive(pid)


def test_a_job_that_never_came_to_slurm_is_lost(cluster: SlurmCluster, attempt: Path, work: Path) -> None:
    run(on_slurm(), attempt, job(work, "pass"))
    (attempt / submission.ACCEPTED).unlink()
    record = json.loads((attempt / files.BATCH).read_text())
    (attempt / files.BATCH).write_text(json.dumps(record | {"name": "never-seen"}))
    assert on_slurm().poll(attempt).state == "finished"  # its result is there
    (attempt / files.RESULT).unlink()
    status = on_slurm().poll(attempt)
    assert (status.state, status.detail) == ("lost", "Slurm knows nothing of the job any more, and it left no result")


def test_a_job_that_came_after_the_last_look_is_found_and_not_taken_for_lost(
    cluster: SlurmCluster, attempt: Path, work: Path
) -> None:
    another = Slurm(clock=lambda: 0.0)
    assert another.find("nobody-s") is None
    on_slurm().submit(attempt, replace(job(work, "pass"), placement=Placement("slurm", extra=("--hold",))))
    assert another.find(json.loads((attempt / files.BATCH).read_text())["name"]) == id_of(attempt)


def test_a_job_that_was_given_up_as_lost_never_begins(cluster: SlurmCluster, attempt: Path, work: Path) -> None:
    executor = on_slurm()
    script = "import pathlib; pathlib.Path('ran').touch()"
    executor.submit(attempt, replace(job(work, script), placement=Placement("slurm", extra=("--hold",))))
    number, record = id_of(attempt), json.loads((attempt / files.BATCH).read_text())
    (attempt / submission.ACCEPTED).unlink()
    (attempt / files.BATCH).write_text(json.dumps(record | {"name": "on-its-way"}))
    assert executor.poll(attempt).state == "lost"
    executor.cancel(attempt)  # as a Step does before it starts another attempt
    cluster.call("scontrol", "release", number)
    wait_for(
        lambda: "PENDING" not in cluster.call("squeue", "-h", "--states=all", "-j", number, "-o", "%T"), "its turn"
    )
    wait_for(lambda: "RUNNING" not in cluster.call("squeue", "-h", "--states=all", "-j", number, "-o", "%T"), "its end")
    assert not (work / "ran").exists()
    assert not (attempt / files.RUNNER).exists()


def test_what_slurm_has_forgotten_is_judged_by_its_result(cluster: SlurmCluster, attempt: Path, work: Path) -> None:
    run(on_slurm(), attempt, job(work, "raise SystemExit(3)"))
    (attempt / submission.ACCEPTED).write_text('{"id": "999999"}')
    assert finish(on_slurm(), attempt).rc == 3


def test_another_users_job_is_asked_for_alone(cluster: SlurmCluster) -> None:
    options = ("--parsable", "--uid=nobody", "--output=/dev/null", "--chdir=/", "--comment=a JobState=RUNNING")
    number = cluster.call("sbatch", *options, "--wrap", "exit 3").strip()
    scheduler = Slurm()
    wait_for(lambda: (seen := scheduler.look(number)) is not None and seen.state == "ended", "its end")
    seen = scheduler.look(number)
    assert seen is not None and (seen.ending, seen.exit_code) == ("by itself", 3)


def test_while_the_controller_is_away_jobs_go_on_and_the_answer_says_so(
    cluster: SlurmCluster, attempt: Path, work: Path
) -> None:
    executor = on_slurm()
    wait = "import os, time\nprint('begun', flush=True)\nwhile not os.path.exists('go'): time.sleep(0.01)"
    executor.submit(attempt, job(work, wait))
    wait_for(lambda: tail(attempt / files.LOG) == "begun\n", "its beginning")
    cluster.stop_controller()
    try:
        with pytest.raises(RunError, match=r"doesn't answer.*\nNext: jobs that it has taken go on"):
            on_slurm().poll(attempt)
        (work / "go").touch()
        wait_for((attempt / files.RESULT).exists, "its result")
    finally:
        cluster.start_controller()
    assert finish(executor, attempt).rc == 0


# How often Slurm is asked


@pytest.fixture
def counted(work: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A file that gets a line for each call of one of Slurm's commands."""
    calls = work / "calls"
    calls.touch()
    programs = work / "bin"
    programs.mkdir()
    for name in ("sbatch", "squeue", "scontrol", "sacct", "scancel"):
        program = programs / name
        program.write_text(f'#!/bin/sh\necho "{name} $*" >> "$(dirname "$0")/../calls"\nexec /usr/bin/{name} "$@"\n')
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{programs}:{os.environ['PATH']}")
    return calls


def test_one_question_serves_all_jobs_and_is_asked_ever_less(cluster: SlurmCluster, work: Path, counted: Path) -> None:
    now = [0.0]
    scheduler = Slurm(clock=lambda: now[0])
    placement = Placement("slurm", extra=("--hold",))
    script = work / "submit.sh"
    jobs: list[str] = []
    for number in range(3):
        head = scheduler.header(f"job-{number}", work / "out", placement)
        script.write_text(f"#!/bin/bash\n{head}sleep 600\n")
        jobs.append(scheduler.submit(f"job-{number}", script, placement))
    counted.write_text("")

    def looks(seconds: int) -> list[int]:
        """When it was asked within these seconds, in which all jobs are looked at twenty times a second."""
        asked: list[int] = []
        for step in range(seconds * 20):
            now[0] += 0.05
            before = counted.stat().st_size
            assert {scheduler.look(job) for job in jobs} != {None}
            if counted.stat().st_size > before:
                asked.append(step)
        return asked

    assert len(looks(60)) <= 10
    assert [line.split(maxsplit=2)[:2] for line in counted.read_text().splitlines()].count(["squeue", "--me"]) <= 10
    assert len(looks(60)) == 4  # every 15 s
    cluster.call("scancel", jobs[0])
    asked = looks(60)
    seen = scheduler.look(jobs[0])
    assert seen is not None and seen.state == "ended"
    assert asked[1] - asked[0] <= 21  # news bring it back to a second
    assert asked[-1] - asked[-2] > 200
    lines = counted.read_text().splitlines()
    assert not any(line.startswith(("scontrol", "sacct")) for line in lines)


def test_an_ended_job_is_asked_about_no_more(cluster: SlurmCluster, work: Path, attempt: Path, counted: Path) -> None:
    executor = on_slurm()
    run(executor, attempt, job(work, "pass"))
    counted.write_text("")
    for _ in range(50):
        assert executor.poll(attempt).state == "finished"
    assert counted.read_text() == ""


# Words


@pytest.mark.parametrize(
    ("state", "reason", "status", "expected"),
    [
        ("PENDING", "Resources", "0", ("queued", None, None)),
        ("CONFIGURING", "None", "0", ("queued", None, None)),
        ("REQUEUED", "None", "0", ("queued", None, None)),
        ("RUNNING", "None", "0", ("running", None, None)),
        ("COMPLETING", "None", "0", ("running", None, None)),
        ("SUSPENDED", "None", "0", ("running", None, None)),
        ("COMPLETED", "None", "0:0", ("ended", "by itself", 0)),
        ("FAILED", "NonZeroExitCode", "1792", ("ended", "by itself", 7)),
        ("FAILED", "NonZeroExitCode", "7:0", ("ended", "by itself", 7)),
        ("FAILED", "RaisedSignal:9(Killed)", "0:9", ("ended", "by itself", 137)),
        ("FAILED", "JobLaunchFailure", "4021", ("ended", "by itself", submission.NOT_SHARED)),
        ("CANCELLED by 1000", "", "0:15", ("ended", "cancelled", 143)),
        ("TIMEOUT", "TimeLimit", "15", ("ended", "timeout", 143)),
        ("DEADLINE", "DeadLine", "0", ("ended", "timeout", 0)),
        ("PREEMPTED", "None", "15", ("ended", "preempted", 143)),
        ("NODE_FAIL", "NodeDown", "1", ("ended", "node failed", 129)),
        ("BOOT_FAIL", "None", "", ("ended", "node failed", None)),
        ("OUT_OF_MEMORY", "OutOfMemory", "0:125", ("ended", "out of memory", 253)),
    ],
)
def test_slurms_states_in_the_loops_words(state: str, reason: str, status: str, expected: tuple[object, ...]) -> None:
    seen = slurm_answers.seen(state, reason, exit_status=status, ends="2026-01-02T03:04:05")
    assert (seen.state, seen.ending, seen.exit_code) == expected
    assert seen.word.startswith(state)
    assert (seen.ended_at is not None) is (seen.state == "ended")


def test_the_accounting_is_asked_for_what_has_left_the_queue(cluster: SlurmCluster, work: Path, counted: Path) -> None:
    # Debian's Slurm without a database has no accounting; this one answers as the manual of sacct says.
    sacct = work / "bin" / "sacct"
    sacct.write_text("#!/bin/sh\necho '999999|CANCELLED by 1000|0:15|2026-01-02T03:04:05'\n")
    seen = Slurm().look("999999")
    assert seen is not None and (seen.state, seen.ending) == ("ended", "cancelled")
    assert Slurm().find("never-seen") == "999999"


def test_a_job_for_slurm_survives_its_json(work: Path) -> None:
    original = replace(job(work, "pass"), placement=Placement("slurm", 1, 2, 0.5, 10, 2, 2, extra=("--x",)))
    assert Job.from_json(original.to_json()) == original
