"""What must be on the disk before a receipt says that it is there: no kill of a process can show that."""

import re
import subprocess
from pathlib import Path

from support.e2e import PROGRAM, cli, environment
from support.programs import need
from support.projects import FOLDER_NAME, STATE, make_project

# Threads interleave. One that failed would have raised, and there would be no receipt.
_SYNCED = re.compile(r"fsync\(\d+<((?:[^>\\]|\\.)*)>(?:\) += 0| <unfinished)")


def test_a_finished_training_is_on_the_disk_before_its_receipt_is(tmp_path: Path) -> None:
    need("strace")
    folder = make_project(tmp_path / FOLDER_NAME)
    assert cli(folder.root, "start").code == 0
    log = tmp_path / "log"
    trace = ["strace", "-f", "--seccomp-bpf", "-y", "-s", "4096", "-e", "trace=?rename,renameat,?renameat2,fsync"]
    command = [*trace, "-o", str(log), *PROGRAM, "train", "--quiet"]
    subprocess.run(command, cwd=folder.root, env=environment(), check=True, capture_output=True)
    text = log.read_text(encoding="ascii")
    receipt = re.search(r'rename\w*\(.*receipts/v001>, "train\.json"', text)
    assert receipt is not None, text[-2000:]
    artifacts = folder.path("Models/Artifacts/v001")
    synced = {Path(_decoded(path)) for path in _SYNCED.findall(text[: receipt.start()])}
    lacking = {path for path in (artifacts, *artifacts.rglob("*")) if "_tests" not in path.parts} - synced
    assert lacking == set()
    assert folder.path(f"{STATE}/receipts/v001") in {Path(_decoded(path)) for path in _SYNCED.findall(text)}


def _decoded(text: str) -> str:
    return text.encode("ascii").decode("unicode_escape").encode("latin-1").decode()
