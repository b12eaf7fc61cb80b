"""A real Slurm on this machine: its own munged, slurmctld, and two nodes, in a folder and on ports of their own.

Needs Debian's slurmctld, slurmd, slurm-client and munge, and no systemd. Node names differ from cluster to cluster, so
that several can run side by side.
"""

import atexit
import os
import pwd
import secrets
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from functools import cache
from pathlib import Path
from typing import Any

from progressive_training.loop.jobs.cluster.slurm import Slurm
from progressive_training.loop.jobs.job import Placement
from support.clusters.placed import Placed
from support.jobs import wait_for
from support.programs import SLURM, found, need

# `low` gives way to `high`; a job asks for a share of memory, or two wouldn't fit on a node.
_CONF = """
ClusterName=progressive
SlurmctldHost={host}(127.0.0.1)
SlurmctldPort={ports[0]}
SlurmUser={user}
SlurmdUser={user}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
CommunicationParameters=NoCtldInAddrAny,NoInAddrAny
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool-%n
SlurmctldPidFile={folder}/slurmctld.pid
SlurmdPidFile={folder}/%n.pid
SlurmctldLogFile={folder}/slurmctld.log
SlurmdLogFile={folder}/%n.log
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
JobAcctGatherType=jobacct_gather/none
AccountingStorageType=accounting_storage/none
SwitchType=switch/none
MpiDefault=none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
DefMemPerNode=100
SlurmdParameters=config_overrides
GresTypes=gpu
SchedulerParameters=bf_interval=1,sched_min_interval=0,batch_sched_delay=0
PreemptType=preempt/partition_prio
PreemptMode=CANCEL
ReturnToService=2
KillWait={kill_wait}
MinJobAge=300
NodeName={nodes[0]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[1]} CPUs=2 RealMemory=4000 Gres=gpu:1
NodeName={nodes[1]} NodeHostname={host} NodeAddr=127.0.0.1 Port={ports[2]} CPUs=2 RealMemory=4000 Gres=gpu:1
PartitionName=low Nodes=ALL Default=YES MaxTime=1-0 DefaultTime=10 State=UP PriorityTier=1
PartitionName=high Nodes=ALL MaxTime=1-0 DefaultTime=10 State=UP PriorityTier=10 PreemptMode=OFF
PartitionName=short Nodes=ALL MaxTime=2 State=UP PriorityTier=1
"""


class SlurmCluster:
    """Is up when made. `kill_wait` is Slurm's time between TERM and KILL, in seconds."""

    def __init__(self, *, kill_wait: int = 12) -> None:
        need(*SLURM)
        self._ends = ExitStack()
        self.folder = Path(tempfile.mkdtemp(prefix="slurm-"))
        self._ends.callback(shutil.rmtree, self.folder, ignore_errors=True)
        self.folder.chmod(0o755)  # munged wants its socket to be in everyone's reach
        mark = secrets.token_hex(3)
        self.nodes = (f"n{mark}a", f"n{mark}b")
        self.conf = self.folder / "slurm.conf"
        self._daemons: dict[str, subprocess.Popen[bytes]] = {}
        self.conf.write_text(
            _CONF.format(
                host=socket.gethostname().partition(".")[0],
                user=pwd.getpwuid(os.getuid()).pw_name,
                folder=self.folder,
                ports=_free_ports(3),
                nodes=self.nodes,
                kill_wait=kill_wait,
            )
        )
        (self.folder / "gres.conf").write_text("Name=gpu File=/dev/null\n")
        (self.folder / "state").mkdir()
        self._ends.callback(self._stop)
        try:
            self._start()
        except BaseException as error:
            error.add_note("\n".join(f"{path.name}: {path.read_text()[-2000:]}" for path in self.folder.glob("*.out")))
            self._ends.close()
            raise

    def stop(self) -> None:
        """Ends its jobs and itself, and removes its folder."""
        self._ends.close()

    def call(self, *command: str) -> str:
        """What one of Slurm's commands prints."""
        environment = {"PATH": os.environ["PATH"], "SLURM_CONF": str(self.conf)}
        ended = subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=60, cwd="/", check=False
        )
        assert ended.returncode == 0, f"{command}: {ended.stderr}"
        return ended.stdout

    def drain(self) -> None:
        """Ends all of its jobs."""
        self.call("scancel", "--me")
        wait_for(lambda: self.call("squeue", "--noheader") == "", "an empty queue")

    @contextmanager
    def lost(self, node: str) -> Iterator[None]:
        """As if the node lost its power: what runs there is killed, and Slurm told that it is down. It comes back."""
        daemon = self._daemons.pop(node)
        _kill(daemon.pid)
        daemon.wait()
        for pid in self._steps(node):
            _kill(pid)
        self.call("scontrol", "update", f"nodename={node}", "state=down", "reason=lost")
        try:
            yield
        finally:
            self._start_node(node)
            wait_for(lambda: self._state(node) == "idle" or self._resumed(node), f"node {node}")

    def stop_controller(self) -> None:
        daemon = self._daemons.pop("slurmctld")
        daemon.terminate()
        daemon.wait(30)

    def start_controller(self) -> None:
        self._daemon("slurmctld", "slurmctld", "-D")
        wait_for(self._answers, "slurmctld")

    def _start(self) -> None:
        key = self.folder / "munge.key"
        key.touch(mode=0o600)
        key.write_bytes(os.urandom(128))
        names = {name: f"--{name.replace('_', '-')}-file={self.folder}/munge.{name}" for name in ("pid", "seed", "log")}
        socket_file = self.folder / "munge.socket"
        self._daemon("munged", "munged", "-F", f"--socket={socket_file}", f"--key-file={key}", *names.values())
        wait_for(socket_file.exists, "munged")
        self._daemon("slurmctld", "slurmctld", "-D", "-i")
        for node in self.nodes:
            self._start_node(node)
        wait_for(lambda: self._answers() and all(self._state(node) == "idle" for node in self.nodes), "Slurm")

    def _start_node(self, node: str) -> None:
        self._daemon(node, "slurmd", "-D", "-N", node)

    def _resumed(self, node: str) -> bool:
        with suppress(AssertionError):  # it is refused to one that is coming back already
            self.call("scontrol", "update", f"nodename={node}", "state=resume")
        return False

    def _daemon(self, name: str, program: str, *arguments: str) -> None:
        path = found(program)
        assert path is not None
        with (self.folder / f"{name}.out").open("ab") as said:
            self._daemons[name] = subprocess.Popen(
                # It ends with this process, however that ends.
                ["setpriv", "--pdeathsig", "TERM", path, *arguments],
                env={"PATH": os.environ["PATH"], "SLURM_CONF": str(self.conf)},
                stdin=subprocess.DEVNULL,
                stdout=said,
                stderr=said,
                cwd=self.folder,
                start_new_session=True,
            )

    def _stop(self) -> None:
        if "slurmctld" in self._daemons and self._answers():
            self.call("scancel", "--me")  # or a job would begin while the others are killed
        for node in self.nodes:
            for pid in self._steps(node):
                _kill(pid)
        for daemon in self._daemons.values():
            daemon.kill()  # it would take seconds to write down what is removed with it
            daemon.wait()

    def _answers(self) -> bool:
        environment = {"PATH": os.environ["PATH"], "SLURM_CONF": str(self.conf)}
        return subprocess.run(["scontrol", "ping"], env=environment, capture_output=True, check=False).returncode == 0

    def _state(self, node: str) -> str:
        return self.call("sinfo", "--noheader", f"--nodes={node}", "--format=%T").split("\n")[0]

    def _steps(self, node: str) -> list[int]:
        """Every process of the jobs on the node, and Slurm's own that watch over them."""
        parents = {int(entry.name): _parent(entry) for entry in Path("/proc").iterdir() if entry.name.isdigit()}
        mark = f"SLURMD_NODENAME={node}".encode()
        marked = {pid for pid in parents if mark in _read(Path(f"/proc/{pid}/environ")).split(b"\0")}
        marked |= {parents[pid] for pid in marked if _is_step(parents[pid])}
        while more := {pid for pid, parent in parents.items() if parent in marked} - marked:
            marked |= more
        return sorted(marked)


@cache
def slurm() -> SlurmCluster:
    """The cluster of this process: started when it is first asked for, and ended with it. SLURM_CONF leads to it."""
    cluster = SlurmCluster()
    atexit.register(cluster.stop)
    os.environ["SLURM_CONF"] = str(cluster.conf)
    return cluster


def on_slurm(**asked: Any) -> Placed:
    """An executor on this process's cluster, as a server that has just been started has it. `asked` is of Placement."""
    slurm()
    return Placed(Slurm(), Placement("slurm", **asked))


def fill(cluster: SlurmCluster, partition: str = "low", node: str | None = None) -> None:
    """Every processor of the node, or of all, has somebody else's job on it. `high` drives away what is in `low`."""
    for name in cluster.nodes if node is None else (node,):
        options = ("--cpus-per-task=2", f"--partition={partition}", f"--nodelist={name}", "--output=/dev/null")
        cluster.call("sbatch", *options, "--no-requeue", "--wrap", "sleep 600")
        query = ("squeue", "--noheader", "--states=RUNNING", "--name=wrap", f"--nodelist={name}", "--format=%i")
        wait_for(lambda asked=query: cluster.call(*asked) != "", f"node {name} to be taken")


def _free_ports(count: int) -> Sequence[int]:
    with ExitStack() as held:
        sockets = [held.enter_context(socket.socket()) for _ in range(count)]
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:  # it has ended
        return b""


def _parent(process: Path) -> int:
    """0 for one that has ended."""
    fields = _read(process / "stat").rpartition(b")")[2].split()
    return int(fields[1]) if fields else 0


def _is_step(pid: int) -> bool:
    return _read(Path(f"/proc/{pid}/cmdline")).startswith(b"slurmstepd")


def _kill(pid: int) -> None:
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
