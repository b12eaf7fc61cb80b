"""Who may call a server on loopback: whoever can read the user's own token, which user code and other users can't."""

import json
import os
import stat
import subprocess
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mcp import Client

from support.e2e import cli, ended, endpoint, free_port, listens, plain_failures, started, until
from support.projects import FOLDER_NAME, STATE, TRAINER, Agent, Folder, edited, make_project

_NOBODY = 65534
# What a training can look at, and a call without a token. Where the server and its file are it is told.
LOOKS = """
    import glob, os, urllib.error, urllib.request
    where = json.loads(Path("where.json").read_text())
    seen = [repr(dict(os.environ))]
    for path in (where["file"], *glob.glob("/proc/*/environ"), *glob.glob("/proc/*/cmdline")):
        try:
            seen.append(Path(path).read_bytes().decode(errors="replace"))
        except OSError:
            pass
    print("seen:", repr(seen))
    try:
        urllib.request.urlopen(where["url"], data=b"{}")
    except urllib.error.HTTPError as error:
        print("the server answered", error.code)
"""


@pytest.fixture
def home() -> Iterator[Path]:
    """A home folder that other users could enter, and which isn't below /tmp, where a sandbox has another one."""
    with tempfile.TemporaryDirectory(dir="/var/tmp") as made:
        Path(made).chmod(0o755)
        yield Path(made)


def of(home: Path) -> dict[str, Any]:
    return {"HOME": str(home), "XDG_CONFIG_HOME": ""}


def own(home: Path) -> Path:
    return home / ".config" / "progressive-training" / "token"


def test_a_server_on_loopback_makes_a_token_once_that_only_its_user_can_read(folder: Folder, home: Path) -> None:
    tokens: list[str] = []
    for _ in range(2):
        port = free_port()
        with started(folder.root, "serve", "--http", f"127.0.0.1:{port}", more=of(home)) as server:
            until(lambda: listens(port) or server.poll() is not None, "the server's port")  # noqa: B023
            tokens.append(own(home).read_text().strip())
            url = f"http://127.0.0.1:{port}/mcp"
            with pytest.raises(urllib.error.HTTPError) as refused:
                urllib.request.urlopen(url, data=b"{}")
            assert refused.value.code == 401
            assert refused.value.headers["WWW-Authenticate"] == 'Bearer realm="progressive-training"'
            told = json.loads(refused.value.read())["error_description"]
            assert "progressive-training token" in told and "progressive-training setup CLIENT --http" in told
            page = urllib.request.Request(f"http://127.0.0.1:{port}/", headers={"Authorization": f"Bearer {tokens[0]}"})
            assert urllib.request.urlopen(page).status == 200
            server.terminate()
            said = ended(server).err
            assert str(own(home)) in said and tokens[0] not in said
    assert tokens[0] == tokens[1] and len(tokens[0]) >= 43
    assert stat.S_IMODE(own(home).stat().st_mode) == 0o600 and stat.S_IMODE(own(home).parent.stat().st_mode) == 0o700
    assert [one.name for one in own(home).parent.iterdir()] == ["token"]
    assert cli(folder.root, "token", **of(home)).out == f"{tokens[0]}\n"


def test_the_configuration_folder_may_be_another(tmp_path: Path) -> None:
    run = cli(tmp_path, "token", XDG_CONFIG_HOME=str(tmp_path / "설정"))
    assert (tmp_path / "설정" / "progressive-training" / "token").read_text() == run.out


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can be another user")
def test_another_user_of_this_machine_can_not_read_it(tmp_path: Path, home: Path) -> None:
    assert cli(tmp_path, "token", **of(home)).code == 0
    for opened in (False, True):  # the folder keeps them out, and so does the file
        if opened:
            own(home).parent.chmod(0o755)
            own(home).parent.parent.chmod(0o755)
        done = subprocess.run(["cat", str(own(home))], user=_NOBODY, capture_output=True, encoding="utf-8", cwd="/")
        assert (done.returncode, done.stdout) == (1, "") and "Permission denied" in done.stderr


@pytest.mark.parametrize("file", [None, "secret"])
def test_a_token_in_the_project_is_refused(folder: Folder, file: str | None) -> None:
    folder.write("secret", "x" * 43)
    folder.path("secret").chmod(0o600)
    options = () if file is None else ("--token-file", file)
    run = cli(folder.root, "serve", "--http", "127.0.0.1:8765", *options, XDG_CONFIG_HOME=str(folder.root))
    assert run.code == 1 and "the token lies in the project, where trainings can read it" in run.err


@pytest.mark.anyio
async def test_a_training_with_a_network_neither_finds_the_token_nor_is_heard_without_it(
    tmp_path: Path, home: Path
) -> None:
    trainer = edited(TRAINER, ("def main():\n", f"def main():{LOOKS}"))
    folder, port = make_project(tmp_path / FOLDER_NAME, trainer=trainer), free_port()
    folder.set_rules(execution_config={"network": True, "sandbox": "require"})
    folder.write("where.json", json.dumps({"file": str(own(home)), "url": f"http://127.0.0.1:{port}/mcp"}))
    with started(folder.root, "serve", "--http", f"127.0.0.1:{port}", more=of(home)) as server, plain_failures():
        until(lambda: listens(port) or server.poll() is not None, "the server's port")
        token = own(home).read_text().strip()
        async with Client(endpoint(port, f"Bearer {token}")) as client:
            agent = Agent(client, folder)
            await agent.call("start_loop")
            await agent.train()
    log = folder.read(f"{STATE}/attempts/v001/train-001/log.txt")
    assert "seen:" in log and "PATH" in log and "the server answered 401" in log
    assert token not in log
