"""What a user's file operations can make of a project, and somebody who then goes on by `next_step` alone.

A state is a stage of the loop, an operation and what it is done to. The walker makes the legal call that `next_step`
names; where that is refused it does what the error says, as a person would, and says it where that doesn't help.
"""

import os
import random
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from progressive_training import tools
from progressive_training.loop.errors import LoopError, UserDecision
from progressive_training.loop.project.integrity import accept_protocol, accept_rules
from progressive_training.loop.project.project import Project
from progressive_training.loop.project.state import Next

from .instant import Instant
from .projects import ACTION, ANALYSIS, EVALUATOR, STAGES, STATE, Folder, diff, edited

CHANGE = ("LEARNING_RATE = 0.2", "LEARNING_RATE = 0.5")
_SCRIPTS = ("02_train_baseline.py", "02_train_v001.py", "02_train_v002.py", "02_train_v003.py", "schedule.py")
_OTHERS = ("03_eval.py", "user_defined_rules.json", "04_final_report.py", "dataset/prepdata/v1/val.json")
_ARTIFACTS = ("best.ckpt", "last.ckpt", "spec.json", "eval_score.json", "result-analysis.md", "action-extract.md")
_FOLDERS = ("infer_samples", "logs", "_tests", "additional_assets")
_STATE = ("loop.json", "journal.jsonl", "receipts", "attempts", "authored", "snapshots", "scores", "lock")
_RECEIPTS = ("start.json", "train.json", "eval.json", "analysis.json", "action.json", "next.json")
TARGETS: tuple[str, ...] = (
    *_SCRIPTS,
    *_OTHERS,
    "Models",
    *(f"Models/Artifacts/{name}" for name in ("v001", "v002")),
    *(f"Models/Artifacts/v00{n}/{name}" for n in (1, 2) for name in (*_ARTIFACTS, *_FOLDERS)),
    "Models/Report",
    *(f"Models/Report/*/{name}" for name in ("leaderboard.csv", "final-analysis.md", "report.html", "Artifacts")),
    STATE,
    *(f"{STATE}/{name}" for name in _STATE),
    *(f"{STATE}/receipts/v00{n}/{name}" for n in (1, 2) for name in _RECEIPTS),
    f"{STATE}/receipts/report.json",
    *(f"{STATE}/{name}/v00{n}" for n in (1, 2) for name in ("receipts", "attempts", "snapshots")),
    *(f"{STATE}/attempts/v00{n}/train-001/{name}" for n in (1, 2) for name in ("verdict.json", "plan.json")),
    *(f"{STATE}/authored/02_train_v00{n}.py" for n in (1, 2)),
)


def remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _edit(path: Path) -> None:
    data = path.read_bytes()
    path.write_bytes(data.replace(b"0.2", b"0.25", 1) if b"0.2" in data and path.suffix == ".py" else data + b"\n# x\n")


def _link(path: Path) -> None:
    target = path.with_name(f"{path.name} elsewhere")
    path.rename(target)
    path.symlink_to(target)


def _as_folder(path: Path) -> None:
    remove(path)
    path.mkdir()


def _replace(path: Path) -> None:
    """By the other version's, as `cp` and `mv` do."""
    other = path.parent.parent / ("v001" if path.parent.name == "v002" else "v002") / path.name
    if other.is_file():
        shutil.copyfile(other, path)
    else:
        path.write_bytes(b"")


FILE_OPERATIONS: Mapping[str, Callable[[Path], object]] = {
    "rm": remove,
    "edit": _edit,
    "truncate": lambda path: path.write_bytes(b""),
    "mv": lambda path: path.rename(path.with_name(f"{path.name}.bak")),
    "link": _link,
    "folder": _as_folder,
    "cp": _replace,
}


def git(root: Path, *words: str) -> None:
    names = {f"GIT_{who}_{what}": "x@x" for who in ("AUTHOR", "COMMITTER") for what in ("NAME", "EMAIL")}
    command = ["git", "-c", "core.quotePath=off", "-c", "gc.auto=0", *words]
    subprocess.run(command, cwd=root, env={**os.environ, **names}, check=True, capture_output=True)


def _committed(root: Path, fresh: Path, *, ignored: str) -> None:
    """The history of a user who commits: the project as it was before the loop, then as it is."""
    aside = root.with_name(f"{root.name} aside")
    root.rename(aside)
    shutil.copytree(fresh, root)
    (root / ".gitignore").write_text(ignored)
    git(root, "init", "-q")
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "before the loop")
    shutil.copytree(aside, root, dirs_exist_ok=True, symlinks=True)
    shutil.rmtree(aside)


def _whole(stage: str, shelf: Callable[[str], Path]) -> Mapping[str, Callable[[Path], Path | None]]:
    """The operations on a whole project; one that gives a path moves it there."""
    names = list(STAGES)
    before = names[max(0, names.index(stage) - 2)]
    after = names[min(len(names) - 1, names.index(stage) + 2)]
    fresh = shelf("fresh")

    def with_git(*commands: str, ignored: str = "", commit: bool = False) -> Callable[[Path], None]:
        def act(root: Path) -> None:
            _committed(root, fresh, ignored=ignored)
            if commit:
                git(root, "add", "-A")
                git(root, "commit", "-q", "-m", "the loop so far")
            for command in commands:
                git(root, *command.split())

        return act

    def state_of(other: str) -> Callable[[Path], None]:
        def act(root: Path) -> None:
            shutil.rmtree(root / STATE)
            shutil.copytree(shelf(other) / STATE, root / STATE, symlinks=True)

        return act

    def files_of(other: str) -> Callable[[Path], None]:
        def act(root: Path) -> None:
            for path in [one for one in root.iterdir() if one.name != STATE]:
                remove(path)
            for path in [one for one in shelf(other).iterdir() if one.name != STATE]:
                (shutil.copytree if path.is_dir() else shutil.copy2)(path, root / path.name)

        return act

    def copy(root: Path) -> Path:
        return Path(shutil.copytree(root, root.with_name("사본 copy"), symlinks=True))

    models = "Models/\n"
    return {
        "git checkout HEAD~1": with_git("checkout -q HEAD~1", commit=True),
        "git checkout HEAD~1, Models ignored": with_git("checkout -q HEAD~1", ignored=models, commit=True),
        "git checkout HEAD~1 -- .": with_git("checkout -q HEAD~1 -- .", commit=True),
        "git reset --hard HEAD~1": with_git("reset -q --hard HEAD~1", ignored=models, commit=True),
        "git checkout and back": with_git("checkout -q HEAD~1", "checkout -q -", commit=True),
        "git stash": with_git("stash -q"),
        "git stash -u": with_git("stash -q -u"),
        "git stash -u, Models ignored": with_git("stash -q -u", ignored=models),
        "git stash -u and pop": with_git("stash -q -u", "stash pop -q"),
        "git clean -fd": with_git("clean -q -fd"),
        "git clean -fd, Models ignored": with_git("clean -q -fd", ignored=models),
        "git clean -fdx": with_git("clean -q -fdx", ignored=models),
        "git clean -fdX": with_git("clean -q -fdX", ignored=models),
        "an older state put back": state_of(before),
        "a newer state put back": state_of(after),
        "older files put back": files_of(before),
        "files of a later time": files_of(after),
        "the project before the loop": files_of("fresh"),
        "cp -r": copy,
        "mv": lambda root: root.rename(root.with_name("다른 이름")),
    }


@dataclass(frozen=True)
class State:
    """One state: `targets` are empty for an operation on the whole project."""

    stage: str
    operation: str
    targets: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.stage}: {self.operation} {' + '.join(self.targets)}".rstrip()


def states(shelf: Callable[[str], Path], seed: int, count: int) -> list[State]:
    """So many different ones by chance: some of whole projects, some of two files at once; all that can be done."""
    rng, found = random.Random(seed), dict[State, None]()
    whole = [State(stage, name) for stage in STAGES for name in _whole(stage, shelf)]
    found.update(dict.fromkeys(rng.sample(whole, min(len(whole), count // 3))))
    while len(found) < count:
        stage, operation = rng.choice(list(STAGES)), rng.choice(list(FILE_OPERATIONS))
        targets = tuple(sorted(rng.sample(TARGETS, rng.choice((1, 1, 1, 2)))))
        paths = [_matching(shelf(stage), target) for target in targets]
        if all(path is not None and _can(operation, path) for path in paths):
            found[State(stage, operation, targets)] = None
    return list(found)


def _matching(root: Path, target: str) -> Path | None:
    return next(iter(sorted(root.glob(target))), None)


def _can(operation: str, path: Path) -> bool:
    return path.is_file() or operation in ("rm", "mv", "link")


def bring_about(state: State, root: Path, shelf: Callable[[str], Path]) -> Path:
    """The project in that state, in `root`; where it lies then."""
    shutil.copytree(shelf(state.stage), root, symlinks=True)
    if not state.targets:
        return _whole(state.stage, shelf)[state.operation](root) or root
    for path in [_matching(root, target) for target in state.targets]:
        if path is not None and (path.exists() or path.is_symlink()):
            FILE_OPERATIONS[state.operation](path)
    return root


@dataclass
class Walker:
    """Goes on with a project by what `next_step` and errors say, and nothing else; `backup` is the user's own."""

    root: Path
    backup: Path
    said: list[str] = field(default_factory=list)
    """Each call and refusal, for who reads why it got stuck."""

    def walk(self, steps: int = 24) -> str | None:
        """Until the loop is over, or `steps` calls did something. What is wrong, or None."""
        refused = 0
        while steps:
            project = Project(self.root, executor=Instant())
            try:
                found = tools.next_step(project)
                if found.next is None:
                    return None if found.phase == "done" else f"no legal call in phase {found.phase}"
                result = self._made(project, found.next)
            except LoopError as error:
                self.said.append(f"refused [{error.code}]: {error}")
                refused += 1
                if not error.hint:
                    return f"a refusal names no way out: {error}"
                if refused > 6 or not self._follows(project, error):
                    return f"no way out works: {error}"
            except Exception as error:  # noqa: BLE001 - it is what is looked for
                return f"internal error: {type(error).__name__}: {error} at {_place(error)}"
            else:
                self.said.append(f"{found.next.tool}: {result.state}, {result.message[:80]!r} -> {result.phase}")
                steps, refused = steps - 1, 0
        return None

    def _made(self, project: Project, following: Next) -> tools.StepResult:
        named = {step.name: step.function for step in tools.STEPS}
        arguments = dict(following.arguments)
        if following.tool == "write_analysis":
            return named[following.tool](project, **arguments, **ANALYSIS)
        if following.tool == "write_action":
            where = "LEARNING_RATE" if CHANGE[0] in self._script(arguments["version"])[1] else "START"
            action = {**ACTION, "change": f"another {where}", "where": [where]}
            return named[following.tool](project, **arguments, **action)
        if following.tool == "author_next_version" and (not following.adopts or self._was_refused(following)):
            return named[following.tool](project, **arguments, diff=self._diff(arguments["version"]))
        if following.tool == "repair_version":
            return named[following.tool](project, **arguments, root_cause="x", change_summary="x")
        if following.tool == "run_eval" and not (self.root / "03_eval.py").is_file():
            named["write_eval"](project, EVALUATOR)
        return named[following.tool](project, **arguments)

    def _was_refused(self, following: Next) -> bool:
        return bool(self.said) and self.said[-1].startswith("refused")

    def _script(self, version: int) -> tuple[str, str]:
        """A version's script and its text, as the brief shows it, wherever it lies."""
        folder, name = Folder(self.root), f"02_train_v{version:03d}.py"
        return name, folder.read(name if folder.path(name).exists() else f"{STATE}/authored/{name}")

    def _diff(self, version: int) -> str:
        name, text = self._script(version)
        start = next(line for line in text.splitlines() if line.startswith("START = "))
        change = CHANGE if CHANGE[0] in text else (start, f"START = {float(start[8:]) - 0.01:.3g}")
        return diff(text, edited(text, change), name)

    def _follows(self, project: Project, error: LoopError) -> bool:
        """Does what the refusal says; False where that was done before, or is nothing that can be done."""
        if self.said.count(self.said[-1]) > 2:
            return False
        if isinstance(error, UserDecision):
            (accept_rules if error.subject == "rules" else accept_protocol)(project)
            return True
        hint, where = error.hint or "", error.where or ""
        if "without" in hint and "diff" in hint:
            return True
        if copied := re.search(r"copy (\S+) back over (?:it|(\S+?))[;.,]?(?: |$)", hint):
            target = self.root / (copied[2] or where)
            remove(target)
            shutil.copyfile(self.root / copied[1], target)
            return True
        if deleted := re.search(r"delete (it|\S+?)[:;,]?(?: |$)", hint):
            remove(self.root / (where if deleted[1] == "it" else deleted[1]))
            return True
        if "move it away" in hint or "remove" in hint:
            remove(self.root / where)
            return True
        if "put" in hint or "restore" in hint or "correct" in hint:
            return self._restored(where)
        if "write_eval" in hint:
            tools.write_eval(project, EVALUATOR)
            return True
        return "call " in hint or "send " in hint

    def _restored(self, where: str) -> bool:
        """From the user's backup."""
        where = re.sub(r"(:\d+)+$", "", where.removeprefix(f"{self.root}/"))
        kept = self.backup / where
        if not where or not kept.exists():
            return False
        remove(self.root / where)
        (self.root / where).parent.mkdir(parents=True, exist_ok=True)
        (shutil.copytree if kept.is_dir() else shutil.copyfile)(kept, self.root / where)
        return True


def _place(error: BaseException) -> str:
    trace, last = error.__traceback__, ""
    while trace is not None:
        name = trace.tb_frame.f_code.co_filename
        if "/tests/" not in name and "site-packages" not in name:
            last = f"{Path(name).name}:{trace.tb_lineno}"
        trace = trace.tb_next
    return last
