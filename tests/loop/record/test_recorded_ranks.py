"""Ranks are recorded whoever starts them, and read as one run."""

import pytest
from loop.record.conftest import LIGHTNING, Record, Recorded

GLOO = {"GLOO_SOCKET_IFNAME": "lo", "MASTER_ADDR": "127.0.0.1"}
FIT = """
if __name__ == "__main__":
    model, t = Model(), trainer(2, devices=2, strategy=STRATEGY)
    t.fit(model, *loaders(10))
"""


def expect_two_ranks(done: Recorded, fits: int = 1) -> None:
    assert done.code == 0, done.output
    assert not done.run.problems, done.run.problems
    assert len(done.run.fits) == fits and done.run.world_size == 2
    for fit in done.run.fits:
        assert fit.world_size == len(fit.ranks) == 2
        assert (fit.epochs_run, fit.usual_batch, fit.samples_per_epoch) == (2, 10, 100)
        assert [one.steps for one in fit.ranks] == [10, 10]
        assert [one.loaders_of("train")[0].distinct_indices for one in fit.ranks] == [50, 50]
        assert fit.forward_ratio == 1.0
    assert {one.rank for one in done.run.processes if one.trained} == {0, 1}


@pytest.mark.whole
def test_ranks_that_lightning_starts_as_scripts_are_one_run(record: Record) -> None:
    done = record(LIGHTNING + FIT.replace("STRATEGY", "'ddp'"), env=GLOO)
    expect_two_ranks(done)
    assert done.run.fits[0].first.settings is not None
    assert done.run.fits[0].first.settings.strategy == "DDPStrategy"


@pytest.mark.whole
def test_ranks_that_are_spawned_anew_for_each_fit_are_aligned(record: Record) -> None:
    again = FIT + "    trainer(2, devices=2, strategy=STRATEGY).fit(model, *loaders(10))\n"
    expect_two_ranks(record(LIGHTNING + again.replace("STRATEGY", "'ddp_spawn'"), env=GLOO), fits=2)


def test_forked_ranks_leave_facts_of_their_own(record: Record) -> None:
    expect_two_ranks(record(LIGHTNING + FIT.replace("STRATEGY", "'ddp_fork'"), env=GLOO))


@pytest.mark.whole
def test_torchrun_s_ranks_are_one_run(record: Record) -> None:
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")
    expect_two_ranks(record(LIGHTNING + FIT.replace("STRATEGY", "'ddp'"), env=GLOO, launcher=launcher))


def test_a_rank_without_facts_is_a_problem(record: Record) -> None:
    ran = LIGHTNING + "os.environ.pop('PYTHONPATH', None)\n" + FIT.replace("STRATEGY", "'ddp'")
    done = record(ran, env=GLOO)
    assert done.code == 0, done.output
    assert [problem.what for problem in done.run.problems] == ["ranks"] and "[1]" in done.run.problems[0].error


def test_a_child_that_trains_nothing_leaves_nothing(record: Record) -> None:
    script = """
import multiprocessing
def work():
    torch.manual_seed(3)
if __name__ == "__main__":
    for method in ("fork", "spawn"):
        child = multiprocessing.get_context(method).Process(target=work)
        child.start()
        child.join()
    t = trainer(1)
    t.fit(Model(), *loaders())
"""
    done = record(LIGHTNING + script)
    assert done.code == 0 and len(done.run.processes) == 1 and not done.run.problems
    assert not any(seed.call == "torch.manual_seed" and seed.value == 3 for seed in done.run.seeds)
