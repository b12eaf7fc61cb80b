"""The user's own token: made once, and refused where it may be no secret."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from progressive_training.loop.errors import LoopError
from progressive_training.server.bearer_token import own_token

NOBODY = 65534


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "설정 folder" / "progressive-training" / "token"


def put(file: Path, text: str, mode: int = 0o600) -> None:
    file.parent.mkdir(parents=True)
    file.write_text(text)
    file.chmod(mode)


def test_servers_that_start_at_once_agree_on_one(file: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        assert len(set(pool.map(own_token, [file] * 32))) == 1
    assert [one.name for one in file.parent.iterdir()] == ["token"]


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        ("x" * 43, 0o640, "another user may know or have put the token there"),
        ("x" * 43, 0o602, "another user may know or have put the token there"),
        ("short", 0o600, "the token has fewer than 32 characters"),
        ("", 0o600, "the token has fewer than 32 characters"),
        ("암호" * 30, 0o600, "more than printable ASCII"),
    ],
)
def test_a_file_that_keeps_no_secret_is_named_with_a_way_out(file: Path, text: str, mode: int, told: str) -> None:
    put(file, text, mode)
    with pytest.raises(LoopError, match="Next: remove it: the next start makes another") as refused:
        own_token(file)
    assert str(refused.value).startswith(f"{file}: ") and told in str(refused.value)
    file.unlink()
    assert len(own_token(file)) == 43


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give a file away")
def test_a_file_that_somebody_else_put_there_is_refused(file: Path) -> None:
    put(file, "x" * 43)
    os.chown(file, NOBODY, -1)
    with pytest.raises(LoopError, match="another user may know or have put the token there"):
        own_token(file)


def test_neither_a_link_nor_a_pipe_is_read_and_a_folder_that_can_not_be_made_is_told(file: Path) -> None:
    put(file, "x" * 43)
    file.rename(file.with_name("elsewhere"))
    file.symlink_to("elsewhere")
    with pytest.raises(LoopError, match="the token can't be kept there"):
        own_token(file)
    file.unlink()
    os.mkfifo(file)
    with pytest.raises(LoopError, match="is not a file"):
        own_token(file)
    with pytest.raises(LoopError, match="--token-file"):
        own_token(file / "below" / "token")
