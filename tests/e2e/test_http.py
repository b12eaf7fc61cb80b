"""The server over HTTP: on loopback, for clients on this machine, and for no web page of elsewhere."""

import http.client
import json
import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from mcp import Client

from progressive_training.loop.errors import LoopError
from progressive_training.server.serving import loopback
from support.e2e import cli, ended, plain_failures, started, until
from support.projects import Agent, At, Folder

INITIALIZE = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "page", "version": "1"}},
    }
)


def free_port(host: str = "127.0.0.1") -> int:
    with socket.create_server((host, 0)) as listening:
        return listening.getsockname()[1]


@contextmanager
def served(folder: Folder, host: str = "127.0.0.1") -> Iterator[int]:
    port = free_port(host)

    def answers() -> bool:
        with socket.socket() as probe:
            return probe.connect_ex((host, port)) == 0

    with started(folder.root, "serve", "--http", f"{host}:{port}") as server:
        until(lambda: answers() or server.poll() is not None, "the server's port")
        assert server.poll() is None, ended(server).err
        yield port


def initialized(host: str, port: int, **headers: str) -> int:
    """The HTTP status of a first request with these headers."""
    connection = http.client.HTTPConnection(host, port, timeout=30)
    usual = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
    connection.request("POST", "/mcp", INITIALIZE, {**usual, **headers})
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_over_http_drives_the_loop(at: At, mode: str) -> None:
    folder = at("started")
    with served(folder) as port, plain_failures():
        async with Client(f"http://127.0.0.1:{port}/mcp", mode=mode) as client:
            agent = Agent(client, folder)
            assert (await agent.call("read_rules"))["phase"] == "train"
            assert (await agent.train())["state"] == "done"
            assert await agent.where() == ("evaluate", 1)
    assert folder.path("Models/Artifacts/v001/best.ckpt").exists()


@pytest.mark.parametrize(
    "host",
    [
        "127.0.0.1",
        pytest.param("127.0.0.2", marks=pytest.mark.skipif(sys.platform != "linux", reason="has no such address")),
    ],
)
def test_what_a_web_page_of_elsewhere_sends_is_refused(folder: Folder, host: str) -> None:
    with served(folder, host) as port:
        assert initialized(host, port) == 200
        assert initialized(host, port, Origin=f"http://{host}:{port}") == 200
        assert initialized(host, port, Host=f"rebound.example:{port}") == 421
        assert initialized(host, port, Origin="https://page.example") == 403
        assert initialized(host, port, Origin=f"http://{host}.page.example:{port}") == 403


def test_an_address_that_others_could_reach_is_not_served(folder: Folder) -> None:
    run = cli(folder.root, "serve", "--http", "0.0.0.0:8765")
    assert (run.code, run.out) == (1, "")
    assert "is not a loopback address, and whoever reaches these tools runs code here" in run.err
    assert "Next: serve on 127.0.0.1" in run.err


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.10", "example.com", "[::]", "", "127.0.0.1.example.com"])
def test_a_host_off_loopback_is_refused(host: str) -> None:
    with pytest.raises(LoopError, match="is not a loopback address"):
        loopback(f"{host}:8765")


@pytest.mark.parametrize("address", ["127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:0", "127.0.0.1:65536"])
def test_an_address_without_a_usable_port_is_refused(address: str) -> None:
    with pytest.raises(LoopError, match="is not HOST:PORT"):
        loopback(address)


def test_a_port_that_is_taken_is_told(folder: Folder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = cli(folder.root, "serve", "--http", f"127.0.0.1:{taken.getsockname()[1]}")
    assert (run.code, run.out) == (1, "")
    assert "in use" in run.err and "Next: name another port" in run.err


def test_a_server_for_a_folder_that_is_not_there_does_not_start(tmp_path: Path) -> None:
    run = cli(tmp_path, "serve", "--project", "nowhere")
    assert (run.code, run.out) == (1, "")
    assert "there is no such project folder" in run.err and "Next: " in run.err
