"""Where the fault tests work, and the drivers that make their calls."""

import tempfile
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from support.faults.injection import Driver, Fault, driver
from support.faults.sweep import Bench
from support.programs import need

_MEMORY = Path("/dev/shm")


@pytest.fixture(scope="session")
def room(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """In memory where that is to be had: no kill of a process can show what fsync is for, and it costs the most."""
    if not _MEMORY.is_dir():
        yield tmp_path_factory.mktemp("faults")
        return
    with tempfile.TemporaryDirectory(prefix="faults-", dir=_MEMORY) as folder:
        yield Path(folder)


@pytest.fixture(scope="session")
def plain() -> Iterator[Driver]:
    with driver() as made:
        yield made


@pytest.fixture(scope="session")
def bench(room: Path, plain: Driver) -> Iterator[Callable[[Fault], Bench]]:
    """`bench("EIO")`: the cases, with that fault injected."""
    need("strace")
    made: dict[Fault, Bench] = {}
    with ExitStack() as stack:

        def of(fault: Fault) -> Bench:
            if fault not in made:
                folder = room / fault
                folder.mkdir()
                made[fault] = Bench(folder, plain, stack.enter_context(driver(fault, folder / "log")), fault)
            return made[fault]

        yield of
