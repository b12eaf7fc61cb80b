"""A real Ray on this machine, in a network namespace of its own: `ray start` would listen on every address.

One process holds the cluster. It was given a socket that listens on the machine's loopback, moves into a namespace that
has nothing but a loopback, starts Ray there, and passes on what comes to the socket. When whoever made it ends, however
that is, it ends everything that lives in the namespace. Needs root, and Ray in `.venv/ray` (`make test` sees to that).
"""

from __future__ import annotations

import atexit
import ctypes
import fcntl
import os
import shutil
import signal
import socket
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[3]
START_SECONDS = 90.0
_PORT, _HEAD = 8265, 6379
_NEW_NETWORK = 0x40000000
_FLAGS_GET, _FLAGS_SET, _UP = 0x8913, 0x8914, 1
# What isn't needed for jobs, and how soon a lost node is noticed.
_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_enable_worker_prestart": "0",
    "RAY_health_check_initial_delay_ms": "500",
    "RAY_health_check_period_ms": "500",
    "RAY_health_check_failure_threshold": "3",
    "RAY_DISABLE_MEMORY_MONITOR": "1",
}


def ray_program() -> Path:
    """Ray's command: PROGRESSIVE_TRAINING_RAY, or what the Makefile has installed."""
    path = Path(os.environ.get("PROGRESSIVE_TRAINING_RAY", ROOT / ".venv/ray/bin/ray"))
    assert path.exists(), f"{path} is missing; `make test` installs it"
    return path


class RayCluster:
    """Is up when made, with two processors. With a `token` it wants that of everyone."""

    def __init__(self, *, token: str = "") -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="ray"))  # short: Ray makes sockets in it
        # Ray can't start its own processes where the path of its interpreter has a space.
        (self.folder / "ray").symlink_to(ray_program().parent.parent)
        listener = socket.create_server(("127.0.0.1", 0))
        self.address = f"http://127.0.0.1:{listener.getsockname()[1]}"
        own = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}
        if token:
            own |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": token}
        with (self.folder / "out").open("wb") as said:
            self._holder = subprocess.Popen(
                [sys.executable, __file__, str(listener.fileno()), str(self.folder), str(self.folder / "ray/bin/ray")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=said,
                pass_fds=(listener.fileno(),),
                start_new_session=True,
                env=own,
            )
        listener.close()
        assert self._holder.stdout is not None
        if self._holder.stdout.readline() != b"up\n":
            told = (self.folder / "out").read_text()[-3000:]
            self.stop()
            raise AssertionError(f"Ray did not start: {told}")

    def stop(self) -> None:
        """Returns when nothing of it is left."""
        assert self._holder.stdin is not None
        self._holder.stdin.close()
        self._holder.wait(60)
        shutil.rmtree(self.folder, ignore_errors=True)

    def add_node(self, cpus: int) -> int:
        """Starts a second node with so many processors, and returns the process id of its raylet."""
        before = set(self._named("raylet"))
        assert self._holder.stdin is not None
        assert self._holder.stdout is not None
        self._holder.stdin.write(f"node {cpus}\n".encode())
        self._holder.stdin.flush()
        assert self._holder.stdout.readline() == b"node up\n", (self.folder / "out").read_text()[-3000:]
        (raylet,) = set(self._named("raylet")) - before
        return raylet

    def supervisor(self, job: str) -> int:
        """The process id of Ray's actor that looks after the job whose log's name holds `job`."""
        for pid in self._named("ray::JobSupervisor"):
            told = subprocess.run(["ls", "-l", f"/proc/{pid}/fd"], capture_output=True, text=True, check=False).stdout
            if f"supervisor-{job}.log" in told:
                return pid
        raise AssertionError(f"no supervisor of {job}")

    def processes(self) -> list[int]:
        """Everything that lives in its namespace but for the holder."""
        return _in_namespace(Path(f"/proc/{self._holder.pid}/ns/net").stat().st_ino, self._holder.pid)

    def _named(self, name: str) -> list[int]:
        return [pid for pid in self.processes() if Path(_command(pid)[0]).name.startswith(name)]


@cache
def ray() -> RayCluster:
    """The cluster of this process: started when it is first asked for, and ended with it."""
    from support.programs import ROOT, need

    need(ROOT)
    cluster = RayCluster()
    atexit.register(cluster.stop)
    return cluster


def on_ray(**asked: Any) -> Any:
    """An executor on this process's cluster, as a server that has just been started has it. `asked` is of Placement."""
    # Here, since the holder runs this file as a program.
    from progressive_training.loop.jobs.cluster.ray import Ray
    from progressive_training.loop.jobs.job import Placement
    from support.clusters.placed import Placed

    address = ray().address
    return Placed(Ray(address), Placement("ray", address=address, **asked))


# The holder


def hold(listener: socket.socket, folder: Path, program: Path) -> None:
    """Holds a cluster until its standard input ends. Says "up" when that answers."""
    if ctypes.CDLL(None, use_errno=True).unshare(_NEW_NETWORK) != 0:
        raise OSError(ctypes.get_errno(), "no network namespace of its own; run the tests as root")
    _loopback_up()
    me = os.getpid()
    os.environ.update(_ENVIRONMENT)
    try:
        head = _start(program, folder, "--head", f"--port={_HEAD}", "--num-cpus=2", *_DASHBOARD)
        _wait_for_answer(head)
        threading.Thread(target=_relay, args=(listener,), daemon=True).start()
        print("up", flush=True)
        for line in sys.stdin:
            _add_node(program, folder, int(line.split()[1]))
            print("node up", flush=True)
    finally:
        _end_all(Path("/proc/self/ns/net").stat().st_ino, me)
        shutil.rmtree(folder, ignore_errors=True)


_DASHBOARD = ("--include-dashboard=true", "--dashboard-host=127.0.0.1", f"--dashboard-port={_PORT}")


def _start(program: Path, folder: Path, *options: str) -> subprocess.Popen[bytes]:
    common = ("--block", "--num-gpus=0", "--object-store-memory=80000000", "--node-ip-address=127.0.0.1")
    command = (str(program.with_name("python")), str(program))  # by its own first line it would be the other path
    where = () if "--head" not in options else (f"--temp-dir={folder}/t",)
    return subprocess.Popen(
        # It ends with this process, however that ends.
        ["setpriv", "--pdeathsig", "TERM", *command, "start", *common, *where, "--disable-usage-stats", *options],
        stdin=subprocess.DEVNULL,
        stdout=sys.stderr,
        stderr=sys.stderr,
    )


def _add_node(program: Path, folder: Path, cpus: int) -> None:
    node = _start(program, folder, f"--address=127.0.0.1:{_HEAD}", f"--num-cpus={cpus}")
    known = f'"CPU": {cpus}.0'.encode()
    while known not in _get("/api/v0/nodes"):
        if node.poll() is not None:
            raise OSError("the node ended")
        time.sleep(0.1)


def _loopback_up() -> None:
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as some:
        asked = struct.pack("16sh22x", b"lo", 0)
        (flags,) = struct.unpack_from("h", fcntl.ioctl(some, _FLAGS_GET, asked), 16)
        fcntl.ioctl(some, _FLAGS_SET, struct.pack("16sh22x", b"lo", flags | _UP))


def _wait_for_answer(head: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + START_SECONDS
    # The list of jobs comes later than the version, and a job's agent later still.
    while not (_get("/api/jobs/") and b'"ALIVE"' in _get("/api/v0/nodes")):
        if head.poll() is not None or time.monotonic() >= deadline:
            raise OSError(f"it ended with {head.poll()}")
        time.sleep(0.1)


def _get(path: str) -> bytes:
    """An answer's body; nothing where there is no good one."""
    try:
        with socket.create_connection(("127.0.0.1", _PORT), 10) as line:
            token = os.environ.get("RAY_AUTH_TOKEN", "")
            line.sendall(f"GET {path} HTTP/1.0\r\nAuthorization: Bearer {token}\r\n\r\n".encode())
            whole = b"".join(iter(lambda: line.recv(65536), b""))
    except OSError:
        return b""
    head, _, body = whole.partition(b"\r\n\r\n")
    return body if b" 200 " in head[:20] else b""


def _relay(listener: socket.socket) -> None:
    while True:
        outside, _ = listener.accept()
        threading.Thread(target=_serve, args=(outside,), daemon=True).start()


def _serve(outside: socket.socket) -> None:
    try:
        inside = socket.create_connection(("127.0.0.1", _PORT), 10)
    except OSError:
        outside.close()
        return
    back = threading.Thread(target=_copy, args=(inside, outside), daemon=True)
    back.start()
    _copy(outside, inside)
    back.join()
    outside.close()
    inside.close()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(65536):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _end_all(namespace: int, me: int) -> None:
    while left := _in_namespace(namespace, me):
        for pid in left:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        time.sleep(0.02)


def _in_namespace(namespace: int, but: int) -> list[int]:
    def inside() -> Iterator[int]:
        for entry in Path("/proc").iterdir():
            with suppress(OSError, ValueError):
                pid = int(entry.name)
                if pid != but and (entry / "ns/net").stat().st_ino == namespace and _command(pid)[0]:
                    yield pid

    return list(inside())


def _command(pid: int) -> list[str]:
    """Nothing in it for one that has ended."""
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes().decode(errors="replace").split("\0")
    except OSError:
        return [""]


if __name__ == "__main__":
    hold(socket.socket(fileno=int(sys.argv[1])), Path(sys.argv[2]), Path(sys.argv[3]))
