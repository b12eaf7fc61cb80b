"""What is said of a job's use of GPUs. The driver's own library is asked on a machine that has one: bench/gpu.py."""

import threading

import pytest

from progressive_training.loop.jobs.runner.gpu import Look, Use, Watch, chosen, summary, watch

_GIB = 1 << 30


def looks(*rows: tuple[tuple[float, float], ...]) -> list[list[Look]]:
    """Rows of (GiB used, busy), a pair a GPU."""
    return [[Look(int(used * _GIB), busy) for used, busy in row] for row in rows]


def test_memory_is_what_grew_at_the_peak_and_utilisation_is_the_mean_since() -> None:
    found = summary(looks(((1.0, 0.0),), ((3.0, 0.5),), ((6.0, 1.0),), ((2.0, 0.0),)))
    assert found == Use(5 * _GIB, 0.5)


def test_a_gpu_that_the_job_left_alone_is_not_averaged_in() -> None:
    assert summary(looks(((1.0, 0.0), (4.0, 1.0)), ((3.0, 0.8), (4.0, 1.0)))) == Use(2 * _GIB, 0.8)


def test_the_peak_of_several_gpus_is_that_of_one_moment() -> None:
    found = summary(looks(((0.0, 0), (0.0, 0)), ((4.0, 1), (1.0, 1)), ((1.0, 1), (3.0, 1))))
    assert found == Use(5 * _GIB, 1.0)


@pytest.mark.parametrize("rows", [(), (((1.0, 0.0),),), (((1.0, 0.5),), ((1.0, 0.5),)), ((), ())])
def test_a_job_without_a_gpu_has_no_use(rows: tuple[tuple[tuple[float, float], ...], ...]) -> None:
    assert summary(looks(*rows)) is None


@pytest.mark.parametrize(
    ("visible", "found"),
    [
        (None, [0, 1, 2, 3]),
        ("", []),
        ("-1", []),
        ("NoDevFiles", []),
        ("2,0", [2, 0]),
        ("GPU-8932f937", ["GPU-8932f937"]),
        ("1,9,0", [1]),
    ],
)
def test_the_gpus_that_a_job_may_use_are_those_that_cuda_would_show_it(
    visible: str | None, found: list[int | str]
) -> None:
    assert chosen(visible, 4) == found


def test_a_watch_looks_until_its_end() -> None:
    rows = iter(looks(((1.0, 0.0),), ((3.0, 1.0),)))
    looked = threading.Event()

    def read() -> list[Look]:
        looked.set()
        return next(rows)

    watching = Watch(lambda: read)
    assert looked.wait(60)
    assert watching.end() is None  # one look tells of no growth


def test_a_driver_that_fails_or_hangs_costs_no_result() -> None:
    def fails() -> list[Look]:
        raise OSError("the GPU has fallen off the bus")

    assert Watch(lambda: fails).end() is None
    assert Watch(lambda: None).end() is None
    never = threading.Event()

    def hangs() -> None:
        never.wait()

    assert Watch(hangs).end() is None
    never.set()


def test_a_machine_with_or_without_gpus_can_be_asked() -> None:
    watching = watch({"CUDA_VISIBLE_DEVICES": ""})
    assert watching is None or watching.end() is None
