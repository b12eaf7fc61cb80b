"""A run that leaves what can't be read has failed, says why, and is repaired like any other."""

import os
from collections.abc import Callable
from pathlib import Path

import pytest

from support.instant import Instant
from support.projects import At, connected

pytestmark = pytest.mark.anyio
_HPARAMS, _SPEC = "logs/version_0/hparams.yaml", "spec.json"
_LAUGHS = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [{f'*a{n - 1},' * 9}]" for n in range(1, 40))])


class Leaving(Instant):
    """Trains at once, and leaves one file otherwise than it should be."""

    def __init__(self, change: Callable[[Path], None]) -> None:
        self._change = change

    def _train(self, artifacts: Path) -> None:
        super()._train(artifacts)
        self._change(artifacts)


def _holding(name: str, text: str) -> Callable[[Path], None]:
    def change(artifacts: Path) -> None:
        (artifacts / name).write_text(text)

    return change


def _fifo(artifacts: Path) -> None:
    (artifacts / "spec.json").unlink()
    os.mkfifo(artifacts / "spec.json")


def _deep(artifacts: Path) -> None:
    artifacts.joinpath(*["d"] * 150).mkdir(parents=True)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (_holding(_HPARAMS, "max_epochs: 3\nday: 2026-02-30\n"), "hparams.yaml can't be read: ValueError: day"),
        (_holding(_HPARAMS, f"max_epochs: {'9' * 5_000}\n"), "hparams.yaml can't be read"),
        (_holding(_HPARAMS, "max_epochs: &it {it: *it}\n"), "hparams.yaml can't be read: it is nested"),
        (_holding(_HPARAMS, _LAUGHS), "hparams.yaml can't be read: it holds more"),
        (_holding(_SPEC, "[" * 50_000), "spec.json can't be read: it is nested"),
        (_holding(_SPEC, f'{{"n": {"9" * 5_000}}}'), "spec.json can't be read"),
        (_holding(_SPEC, " " * (17 << 20)), "spec.json can't be read: it is larger"),
        (_fifo, "spec.json"),
        (_deep, "nested deeper"),
    ],
)  # fmt: skip
async def test_it_has_failed_with_the_reason_and_the_next_call_repairs_it(
    at: At, change: Callable[[Path], None], named: str
) -> None:
    folder = at("started")
    async with connected(folder, executor=Leaving(change)) as agent:
        trained = await agent.call("run_train", version=1)
        assert trained["state"] == "failed", trained
        assert named in trained["failure"]["summary"]
        assert await agent.where() == ("repair", 1)
