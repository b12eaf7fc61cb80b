"""What a person sees while a training runs: a live display on a terminal, and nothing that garbles a file."""

import os
import pty
import re
import select
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from support.e2e import GATED_TRAINER, PATIENCE_SECONDS, PROGRAM, cli, environment
from support.projects import EVALUATOR, FOLDER_NAME, Folder, edited, make_project

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")
# Its curves are there before it comes to the gate, as Lightning's are in mid-training.
WITH_CURVES = edited(
    GATED_TRAINER,
    ("    while not Path", "    save_logs(rows)\n    while not Path"),
)

# An external model is scored until the test opens its gate.
_AT_THE_GATE = """\
for word in __import__("sys").argv:
    while word.startswith("--external=") and not Path(word.partition("=")[2], "gate").exists():
        time.sleep(0.01)
"""


@pytest.fixture
def gated(tmp_path: Path) -> Iterator[Folder]:
    made = make_project(tmp_path / FOLDER_NAME, trainer=WITH_CURVES)
    made.write("03_eval.py", EVALUATOR)
    assert cli(made.root, "start").code == 0
    yield made
    made.write("gate", "")
    made.end_jobs()


class Screen:
    """A terminal of 80 columns with one command on it."""

    def __init__(self, process: "subprocess.Popen[bytes]", handle: int) -> None:
        self.process = process
        self._handle = handle
        self.raw = ""

    @property
    def text(self) -> str:
        return _CONTROL.sub("", self.raw).replace("\r", "\n")

    def until(self, condition: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not condition():
            assert time.monotonic() < deadline, f"this never came: {what}\n{self.text[-2000:]}"
            if select.select([self._handle], [], [], 0.05)[0]:
                self._read()

    def end(self) -> int:
        self.until(lambda: self.process.poll() is not None, "its end")
        while select.select([self._handle], [], [], 0)[0] and self._read():
            pass
        return self.process.returncode

    def _read(self) -> bool:
        try:
            data = os.read(self._handle, 65536)
        except OSError:  # the last one on the other side has left
            data = b""
        self.raw += data.decode(errors="replace")
        return bool(data)


@contextmanager
def on_screen(folder: Path, *arguments: str) -> Iterator[Screen]:
    ours, theirs = pty.openpty()
    process = subprocess.Popen(
        [*PROGRAM, *arguments],
        cwd=folder,
        env=environment(TERM="xterm-256color"),
        stdin=theirs,
        stdout=theirs,
        stderr=theirs,
        start_new_session=True,
    )
    os.close(theirs)
    try:
        yield Screen(process, ours)
    finally:
        process.kill()
        process.wait()
        os.close(ours)


@pytest.mark.parametrize("command", [["train"], ["run"]])
@pytest.mark.whole(but=1)
def test_a_terminal_shows_epochs_the_newest_values_and_the_best_so_far(gated: Folder, command: list[str]) -> None:
    with on_screen(gated.root, *command, *(["--versions", "1"] if command == ["run"] else [])) as screen:
        screen.until(lambda: "epoch 3/3" in screen.text, "the present epoch")
        screen.until(lambda: "none is scored yet" in screen.text, "the best so far")
        assert "v001 training ━" in screen.text and "val_loss" in screen.text
        assert max(len(line) for line in screen.text.split("\n")) <= 80
        gated.write("gate", "")
        assert screen.end() == 0, screen.text
    ending = {"train": "Next: progressive-training eval", "run": "Best: v001. Report: "}[command[0]]
    assert ending in screen.text


@pytest.mark.whole
def test_a_terminal_shows_what_the_report_scores_while_an_agent_drives(gated: Folder) -> None:
    waiting = edited(EVALUATOR, ("parser = ", _AT_THE_GATE + "parser = "))
    gated.write("03_eval.py", waiting)
    gated.write("Models/external/knn/inference_sample.py", "def load(folder): ...\n\ndef predict(model, inputs): ...\n")
    gated.write("gate", "")
    with on_screen(gated.root, "run", "--versions", "1") as screen:
        screen.until(lambda: "scoring external model knn" in screen.text, "the external model that is scored")
        gated.write("Models/external/knn/gate", "")
        assert screen.end() == 0, screen.text


@pytest.mark.parametrize("command", [["train", "--quiet"], ["train", "--json"], ["run", "--quiet", "--versions", "1"]])
@pytest.mark.whole(but=1)
def test_quiet_and_json_show_no_progress_on_a_terminal_either(gated: Folder, command: list[str]) -> None:
    gated.write("gate", "")
    with on_screen(gated.root, *command) as screen:
        assert screen.end() == 0, screen.text
    assert "training ━" not in screen.text and "of at most" not in screen.text


@pytest.mark.whole
def test_run_says_its_result_as_json_and_nothing_else(gated: Folder) -> None:
    gated.write("gate", "")
    run = cli(gated.root, "run", "--versions", "1", "--json")
    assert (run.code, run.err) == (0, "")
    assert run.json["best"] == "v001" and run.json["folder"]
