"""Whatever happens to the recorder, the run goes on; whatever happens to the run, its facts so far are there."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from loop.record.conftest import COMMON, LIGHTNING, Record

from progressive_training.loop.record import injection
from progressive_training.loop.record.ranks import run_facts


def test_a_run_that_is_killed_leaves_the_facts_of_its_finished_epochs(record: Record) -> None:
    script = """
import glob, signal
class Dies(Model):
    def on_train_epoch_start(self):
        facts = json.load(open(glob.glob("facts/*.json")[0]))
        rows = facts["sections"][0]["epochs"]["rows"]
        if sum(row.get("whole", False) for row in rows) >= 3:
            os.kill(os.getpid(), signal.SIGKILL)
t = trainer(100_000)
t.fit(Dies(), *loaders())
"""
    done = record(LIGHTNING + script)
    assert done.code == -signal.SIGKILL
    fit = done.run.fits[0]
    assert not done.run.ended and fit.first.end is None
    assert fit.epochs_run >= 3 and fit.steps == 7 * fit.epochs_run


def test_a_user_s_own_sitecustomize_runs_all_the_same(record: Record) -> None:
    files = {"sitecustomize.py": "import os\nos.environ['MINE'] = 'ran'\n"}
    script = "say(mine=os.environ.get('MINE'), file=sys.modules['sitecustomize'].__file__, path=sys.path)\n"
    own = {"PYTHONPATH": "."}
    without, with_it = (
        record(COMMON + script, files=files, env=own, recorder=False),
        record(COMMON + script, files=files, env=own),
    )
    path, moved = (dict(one.said[0])["path"] for one in (without, with_it))
    assert moved == [*path[1:], path[0]]
    assert [{**one.said[0], "path": None} for one in (with_it, without)] == [{**without.said[0], "path": None}] * 2
    assert with_it.said[0]["mine"] == "ran"
    assert with_it.run.first is not None and not with_it.run.problems


def test_garbage_over_the_facts_is_replaced_while_the_run_lasts_and_a_problem_after_it(record: Record) -> None:
    spoil = "import glob\nfor path in glob.glob('facts/*'):\n    open(path, 'w').write('{\"schema\": 1, ')\n"
    spoils = "class Spoils(Model):\n    def on_train_epoch_end(self):\n" + "".join(
        f"        {line}\n" for line in spoil.splitlines()
    )
    done = record(LIGHTNING + spoils + "t = trainer()\nt.fit(Spoils(), *loaders())\n")
    assert done.code == 0 and not done.run.problems and done.run.fits[0].epochs_run == 3
    done = record(LIGHTNING + "t = trainer(1)\nt.fit(Model(), *loaders())\n" + spoil + "os._exit(0)\n")
    assert done.code == 0 and not done.run.processes
    assert all("is no facts file" in problem.error for problem in done.run.problems) and done.run.problems


def test_a_folder_that_can_t_be_written_costs_the_facts_and_nothing_else(record: Record) -> None:
    script = "import shutil\nshutil.rmtree('facts')\nt = trainer(1)\nt.fit(Model(), *loaders())\nsay(done=1)\n"
    done = record(LIGHTNING + script)
    assert done.code == 0 and done.said == [{"done": 1}]
    assert [problem.what for problem in done.run.problems] == ["facts"]


def test_a_watch_that_fails_is_a_problem_and_the_run_goes_on(record: Record) -> None:
    script = """
class Odd(TensorDataset):
    def __len__(self):
        if sys._getframe(1).f_code.co_name == "_length":
            raise ArithmeticError("no length for you")
        return 40
data = samples(40, 1)
for inputs, labels in DataLoader(Odd(*data.tensors), 8):
    say(size=len(inputs))
nn.Linear(2, 2)
"""
    done = record(COMMON + script)
    assert done.code == 0 and [said["size"] for said in done.said] == [8] * 5
    assert done.run.problems and "ArithmeticError: no length for you" in done.run.problems[0].error


def test_an_import_that_fails_fails_as_it_would(record: Record) -> None:
    files = {"torch.py": "raise ImportError('no torch today')\n"}
    script = "try:\n    import torch\nexcept ImportError as error:\n    print('SAID', '\"' + str(error) + '\"')\n"
    done = record(script, files=files, env={"PYTHONPATH": "."})
    assert done.code == 0 and list(done.said) == ["no torch today"]


def test_a_child_that_is_no_training_and_an_isolated_one_are_left_alone(record: Record) -> None:
    script = "import subprocess, sys\nfor option in ('-c', '-Ic'):\n    subprocess.run([sys.executable, option, ''])\n"
    done = record(script)
    assert done.code == 0 and not done.run.processes and done.output == ""


@pytest.mark.parametrize("late", [False, True], ids=["before imports", "after imports"])
def test_a_warm_interpreter_is_recorded_from_install_on(tmp_path: Path, late: bool) -> None:
    facts = tmp_path / "기록 facts"
    facts.mkdir()
    install = injection.late_install(facts)
    fit = (
        LIGHTNING.split("import lightning as L\n")[1]
        + "L.seed_everything(3)\nt = trainer()\nt.fit(Model(), *loaders())\n"
    )
    parts = (
        ["import lightning as L\nimport torch, numpy.random", install] if late else [install, "import lightning as L"]
    )
    env = {**os.environ, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [sys.executable, "-c", "\n".join([*parts, fit])],
        env=env,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    run = run_facts(facts)
    assert not run.problems and (run.fits[0].epochs_run, run.fits[0].steps, run.fits[0].usual_batch) == (3, 21, 16)
    assert [seed.call for seed in run.seeds if seed.by == "seed_everything"]


def test_the_recorder_runs_from_a_copy_of_itself(tmp_path: Path) -> None:
    facts = tmp_path / "facts"
    facts.mkdir()
    placed = injection.place(tmp_path / "복사 copy")
    env = {**os.environ, **injection.variables(os.environ, facts, recorder=placed)}
    subprocess.run([sys.executable, "-c", "import torch; torch.manual_seed(5)"], env=env, check=True)
    assert run_facts(facts).seeds[0].value == 5


def test_facts_that_the_script_writes_itself_take_nothing_from_those_that_were_measured(record: Record) -> None:
    script = """
import glob
t = trainer(2)
t.fit(Model(), *loaders())
forged = {"schema": 1, "pid": 1, "ended": True}
epochs = {"count": 1, "rows": [{"epoch": 0, "whole": True}]}
fit = {"kind": "fit", "began": 0, "seconds": 1, "batches": 7, "epochs": epochs}
for path in glob.glob("facts/*.json"):
    open(path, "w").write(json.dumps(forged))
open("facts/rank0-forged.json", "w").write(json.dumps({**forged, "sections": [fit]}))
open("facts/torn.json", "w").write('{"schema": 1, "pid"')
"""
    done = record(LIGHTNING + script)
    assert done.code == 0, done.output
    assert sorted((fit.epochs_run, fit.steps) for fit in done.run.fits) == [(1, 0), (2, 14)]
    assert [problem.what for problem in done.run.problems] == ["torn.json"]


def test_a_file_of_the_project_never_takes_the_place_of_an_installed_package(record: Record) -> None:
    script = """
        import sys, yaml, own
        assert sys.path[-1] == __file__.rpartition("/")[0], sys.path
        """
    done = record(script, files=dict.fromkeys(("yaml.py", "own.py"), "print(__name__, 'RAN')\n"))
    assert (done.code, done.output) == (0, "own RAN\n")


def test_a_library_that_asks_for_a_file_of_the_project_is_named_with_it(record: Record) -> None:
    script = """
        import pandas, own, torch
        try:
            pandas.DataFrame({"a": [1]}).to_markdown()
        except TypeError:
            pass
        """
    files = {"tabulate.py": "__version__ = '9'\ntabulate = 1\n", "own.py": ""}
    done = record(script, files=files)
    (one,) = done.run.stands_in
    assert (one.file, one.by.rpartition("-packages/")[2]) == (
        str(done.folder / "tabulate.py"),
        "pandas/compat/_optional.py",
    )
