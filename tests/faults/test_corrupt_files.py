"""Each file of a project, damaged in every way: a call says what is wrong or goes on rightly; none hangs or crashes."""

import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from support.faults.cases import Call, do
from support.faults.injection import Driver
from support.projects import ANALYSIS, EVALUATOR, FOLDER_NAME, Folder, make_project


def _cut(path: Path, outside: Path) -> None:
    del outside
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def _emptied(path: Path, outside: Path) -> None:
    del outside
    path.write_bytes(b"")


def _garbage(path: Path, outside: Path) -> None:
    del outside
    path.write_bytes(b"\xff\xfe\x00\x00 {]" * 20)


def _other_json(path: Path, outside: Path) -> None:
    del outside
    path.write_text('[{"seq": "one", "record": null}, NaN]\n')


def _nested(path: Path, outside: Path) -> None:
    del outside
    path.write_text("[" * 50_000)


def _gone(path: Path, outside: Path) -> None:
    del outside
    path.unlink()


def _folder(path: Path, outside: Path) -> None:
    del outside
    path.unlink()
    (path / "inner").mkdir(parents=True)


def _fifo(path: Path, outside: Path) -> None:
    del outside
    path.unlink()
    os.mkfifo(path)


def _link(path: Path, outside: Path) -> None:
    """The same content, outside the project."""
    shutil.copy(path, outside / "file")
    path.unlink()
    path.symlink_to(outside / "file")


def _folder_link(path: Path, outside: Path) -> None:
    shutil.copytree(path, outside / "folder", symlinks=True)
    shutil.rmtree(path)
    path.symlink_to(outside / "folder")


_FILE_DAMAGES = (_cut, _emptied, _garbage, _other_json, _nested, _gone, _folder, _fifo, _link)
_CALLS: dict[str, tuple[Call, ...]] = {
    "evaluating": (do("next_step"), do("cancel_run", version=1), do("run_eval", version=1)),
    "analysis": (do("next_step"), do("write_analysis", version=1, **ANALYSIS)),
    "author": (
        do("without_pictures"),
        do("next_step"),
        do("run_train", version=1),
        do("run_eval", version=1),
        do("author_next_version", version=1, diff="--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"),
        do("final_report", stop_reason="enough"),
    ),
}
# Where a phase's calls look that the others' don't; the whole project for the phase with most calls.
_WHERE = {
    "evaluating": (".progressive-training/attempts/v001/eval-001/",),
    "analysis": (".progressive-training/scores/", "Models/"),
    "author": ("",),
}
# A whole project's files are so many that only the other phases' are among the fast tests.
_PHASES = ["evaluating", "analysis", pytest.param("author", marks=pytest.mark.whole)]
_LEAST = {"evaluating": 10, "analysis": 8, "author": 35}


@pytest.fixture(scope="module")
def made(room: Path, plain: Driver) -> Callable[[str], Folder]:
    """A project in the phase, before anything is damaged."""
    found: dict[str, Folder] = {}

    def of(phase: str) -> Folder:
        if phase not in found:
            folder = make_project(room / f"sound {phase}" / FOLDER_NAME)
            folder.set_rules(execution_config={"sandbox": "off"})
            first = "evaluate" if phase == "evaluating" else phase
            _made(plain, folder, "forking", do("until", phase=first))
            if phase == "evaluating":
                calls = (do("write_eval", source=EVALUATOR), do("run_eval", version=1), do("wait"))
                _made(plain, folder, "deferred", *calls)
            found[phase] = folder
        return found[phase]

    return of


@pytest.mark.parametrize("damage", _FILE_DAMAGES, ids=lambda damage: damage.__name__.strip("_"))
@pytest.mark.parametrize("phase", _PHASES)
def test_a_damaged_file_is_named_or_made_again(
    made: Callable[[str], Folder], room: Path, plain: Driver, phase: str, damage: Callable[[Path, Path], None]
) -> None:
    sound = made(phase)
    below = (path.relative_to(sound.root) for path in sound.root.rglob("*") if path.is_file())
    files = sorted(path for path in below if path.as_posix().startswith(_WHERE[phase]))
    assert len(files) >= _LEAST[phase], files
    wrong = [
        f"{relative}: {problem}"
        for relative in files
        for problem in _wrong(sound, room, plain, phase, relative, damage)
    ]
    assert wrong == [], "\n".join(wrong)


@pytest.mark.parametrize("phase", _PHASES)
def test_a_folder_that_became_a_link_out_of_the_project_is_refused(
    made: Callable[[str], Folder], room: Path, plain: Driver, phase: str
) -> None:
    sound = made(phase)
    found = (path for path in sound.root.rglob("*") if path.is_dir() and not path.is_symlink())
    folders = sorted(path.relative_to(sound.root) for path in found)
    wrong = [
        f"{relative}: {problem}"
        for relative in folders
        if relative.parts[0] != "dataset"  # a data set may live elsewhere
        for problem in _wrong(sound, room, plain, phase, relative, _folder_link)
    ]
    assert wrong == []


def _made(plain: Driver, folder: Folder, executor: str, *calls: Call) -> None:
    reply = plain.call(folder.root, calls, executor=executor)
    assert len(reply.answers) == len(calls) and all(answer["ok"] for answer in reply.answers), reply


def _wrong(
    sound: Folder, room: Path, plain: Driver, phase: str, relative: Path, damage: Callable[[Path, Path], None]
) -> Iterator[str]:
    here = room / "damaged"
    shutil.rmtree(here, ignore_errors=True)
    outside = here / "outside"
    outside.mkdir(parents=True)
    root = here / FOLDER_NAME
    shutil.copytree(sound.root, root, symlinks=True)
    damage(root / relative, outside)
    before = _contents(outside)
    reply = plain.call(root, _CALLS[phase])
    if reply.status != 0 or len(reply.answers) != len(_CALLS[phase]):
        yield f"ended with {reply.status}: it hung, or was killed"
    for call, answer in zip(_CALLS[phase], reply.answers, strict=False):
        if "crash" in answer:
            yield f"{call['do']}: {answer['crash'][-700:]}"
    if _contents(outside) != before:
        yield "something outside the project was changed"


def _contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
