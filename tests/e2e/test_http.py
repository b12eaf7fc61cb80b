"""The server over HTTP: on loopback, for clients on this machine, and for no web page of elsewhere."""

import base64
import http.client
import json
import socket
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from mcp import Client
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Mount, Route
from starlette.testclient import TestClient

from progressive_training.loop.errors import LoopError
from progressive_training.server.addresses import host_and_port, is_loopback
from progressive_training.server.bearer_token import Token
from progressive_training.server.over_http import http_app
from support.e2e import BEARER, TOKEN, cli, endpoint, plain_failures, served
from support.projects import Agent, At, Folder

USUAL = {"Content-Type": "application/json", "Accept": "application/json, text/event-stream"}
INITIALIZE = json.dumps(
    {
        "jsonrpc": "2.0",
        "id": 1,
        "method": "initialize",
        "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "page", "version": "1"}},
    }
)


def initialized(host: str, port: int, **headers: str) -> int:
    """The HTTP status of a first request with the token and these headers."""
    connection = http.client.HTTPConnection(host, port, timeout=30)
    usual = {**USUAL, "Authorization": BEARER}
    connection.request("POST", "/mcp", INITIALIZE, {**usual, **headers})
    status = connection.getresponse().status
    connection.close()
    return status


def anonymous(port: int) -> int:
    """The HTTP status of a first request without a token."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request("POST", "/mcp", INITIALIZE, USUAL)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.anyio
@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_over_http_drives_the_loop(at: At, mode: str) -> None:
    folder = at("started")
    with served(folder) as port, plain_failures():
        async with Client(endpoint(port), mode=mode) as client:
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
        # Of this machine, and of another program on it.
        assert initialized(host, port, Origin=f"http://{host}:{port + 1}") == 403
        assert initialized(host, port, Origin="null") == 403
        assert initialized(host, port, Host=f"{host}:{port + 1}") == 421
        assert initialized(host, port, Host=host) == 421


def test_an_address_that_others_could_reach_is_not_served_without_a_token(folder: Folder) -> None:
    run = cli(folder.root, "serve", "--http", "0.0.0.0:8765")
    assert (run.code, run.out) == (1, "")
    assert "is not a loopback address, and whoever reaches these tools runs code here" in run.err
    assert "Next: serve on 127.0.0.1" in run.err and "--token-file" in run.err


@pytest.mark.parametrize("host", ["0.0.0.0", "192.168.0.10", "example.com", "::", "127.0.0.1.example.com", "loopback"])
def test_a_host_off_loopback_is_known_as_one(host: str) -> None:
    assert not is_loopback(host)


@pytest.mark.parametrize("address", ["127.0.0.1:8765", "[::1]:8765", "localhost:8765", "127.1.2.3:8765"])
def test_a_loopback_address_is_known_as_one(address: str) -> None:
    host, port = host_and_port(address)
    assert is_loopback(host) and port == 8765


@pytest.mark.parametrize(
    "address", ["127.0.0.1", "127.0.0.1:", "127.0.0.1:http", "127.0.0.1:0", "127.0.0.1:65536", ":8765", "127.0.0.1:²"]
)
def test_an_address_without_a_usable_host_and_port_is_refused(address: str) -> None:
    with pytest.raises(LoopError, match="is not HOST:PORT"):
        host_and_port(address)


def test_a_port_that_is_taken_is_told(folder: Folder) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        run = cli(folder.root, "serve", "--http", f"127.0.0.1:{taken.getsockname()[1]}")
    assert (run.code, run.out) == (1, "")
    assert "in use" in run.err and "Next: name another address or port" in run.err


def test_a_server_for_a_folder_that_is_not_there_does_not_start(tmp_path: Path) -> None:
    run = cli(tmp_path, "serve", "--project", "nowhere")
    assert (run.code, run.out) == (1, "")
    assert "there is no such project folder" in run.err and "Next: " in run.err


OTHER = f"Bearer {TOKEN[:-1]}z"


def token_file(folder: Folder, text: str = TOKEN, mode: int = 0o600) -> str:
    path = folder.root.parent / "token"
    path.write_text(text)
    path.chmod(mode)
    return str(path)


def looked(port: int, path: str, method: str = "GET", **headers: str) -> tuple[int, str, str | None]:
    """Status, body and challenge of one request."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    answer = response.status, response.read().decode(), response.getheader("WWW-Authenticate")
    connection.close()
    return answer


def test_off_loopback_only_who_sends_the_token_to_an_allowed_name_is_heard(folder: Folder) -> None:
    options = ("--token-file", token_file(folder, f"{TOKEN}\n"), "--allowed-host", "gpu.example")
    with served(folder, "0.0.0.0", *options) as port:
        assert anonymous(port) == 401
        assert initialized("127.0.0.1", port, Authorization=OTHER) == 401
        assert initialized("127.0.0.1", port, Authorization=TOKEN) == 401
        assert initialized("127.0.0.1", port, Authorization=BEARER) == 200
        assert initialized("127.0.0.1", port, Authorization=BEARER, Host=f"gpu.example:{port}") == 200
        assert initialized("127.0.0.1", port, Authorization=BEARER, Host="gpu.example") == 200
        assert initialized("127.0.0.1", port, Authorization=BEARER, Host=f"gpu.example:{port + 1}") == 421
        assert initialized("127.0.0.1", port, Authorization=BEARER, Host=f"other.example:{port}") == 421
        assert initialized("127.0.0.1", port, Authorization=BEARER, Origin="https://gpu.example") == 200
        assert initialized("127.0.0.1", port, Authorization=BEARER, Origin="https://other.example") == 403


def test_a_token_in_the_environment_is_honoured_on_loopback_and_health_tells_nothing_more(folder: Folder) -> None:
    with served(folder) as port:
        assert anonymous(port) == 401
        assert initialized("127.0.0.1", port) == 200
        status, body, _ = looked(port, "/healthz", Host="a-load-balancer")
        assert (status, json.loads(body)) == (200, {"status": "ok", "version": version("progressive-training")})
        status, body, challenge = looked(port, "/mcp")
        assert (status, challenge) == (401, 'Bearer realm="progressive-training"')
        assert TOKEN not in body and str(folder.root) not in body


def test_a_browser_may_look_with_the_token_as_password_and_do_nothing_else(folder: Folder) -> None:
    password = base64.b64encode(f"anybody:{TOKEN}".encode()).decode()
    with served(folder) as port:
        assert looked(port, "/nothing")[::2] == (401, 'Basic realm="progressive-training"')
        assert looked(port, "/nothing", Authorization=f"Basic {password}")[0] == 404
        for wrong in (f"Basic {password[:-4]}", "Basic ???", "Basic", "Digest x"):
            assert looked(port, "/nothing", Authorization=wrong)[0] == 401
        assert looked(port, "/nothing", "POST", Authorization=f"Basic {password}")[0] == 401
        assert initialized("127.0.0.1", port, Authorization=f"Basic {password}") == 401


@pytest.mark.parametrize(
    ("text", "mode", "told"),
    [
        ("short", 0o600, "the token has fewer than 32 characters"),
        (TOKEN, 0o604, "other users may read or change the token"),
        (TOKEN, 0o602, "other users may read or change the token"),
        (f"{TOKEN} {TOKEN}", 0o600, "more than printable ASCII"),
    ],
)
@pytest.mark.whole(but=1)
def test_a_token_that_is_no_secret_is_refused(folder: Folder, text: str, mode: int, told: str) -> None:
    run = cli(folder.root, "serve", "--http", "127.0.0.1:8765", "--token-file", token_file(folder, text, mode))
    assert (run.code, run.out) == (1, "")
    assert told in run.err and "Next: " in run.err and text not in run.err


def test_a_token_file_that_is_not_there_is_told(folder: Folder) -> None:
    run = cli(folder.root, "serve", "--http", "127.0.0.1:8765", "--token-file", "../nowhere")
    assert run.code == 1
    assert "nowhere: the token can't be read: No such file" in run.err


def test_what_is_for_http_only_is_refused_on_stdio(folder: Folder) -> None:
    run = cli(folder.root, "serve", "--allowed-host", "gpu.example")
    assert run.code == 1
    assert "are for HTTP" in run.err


def test_more_routes_are_served_under_the_same_checks(folder: Folder) -> None:
    def page(request: Request) -> Response:
        return PlainTextResponse("the page")

    app = http_app(
        folder.project(),
        "127.0.0.1",
        1,
        token=Token.of(TOKEN, "here"),
        routes=[Mount("/", routes=[Route("/page", page)])],
    )
    with TestClient(app, base_url="http://127.0.0.1:1") as client:
        assert client.get("/page").status_code == 401
        assert client.get("/page", headers={"Authorization": BEARER}).text == "the page"
        assert client.get("/page", headers={"Authorization": BEARER, "Host": "rebound.example:1"}).status_code == 421
        assert client.get("/healthz").json()["status"] == "ok"
