"""Subscriptions to loop://status, over every transport and in both protocol eras."""

import contextlib
import json
import sys
import warnings
from collections.abc import AsyncIterator, Callable
from typing import Any

import anyio
import pytest
from mcp import Client, StdioServerParameters
from mcp.shared.exceptions import MCPDeprecationWarning
from mcp_types import ResourceUpdatedNotification

from progressive_training.server.changes import look
from progressive_training.server.protocol.status_subscriptions import StatusWatch
from support.e2e import PROGRAM, TOKEN, ended, endpoint, free_port, listens, plain_failures, served, started, until
from support.projects import At, Folder, connected

pytestmark = pytest.mark.anyio
STATUS = "loop://status"


@contextlib.asynccontextmanager
async def reached(folder: Folder, transport: str, **options: Any) -> AsyncIterator[Client]:
    """A client of a server process, by this transport."""
    with plain_failures(), contextlib.ExitStack() as stack:
        where: Any = StdioServerParameters(
            command=sys.executable, args=[*PROGRAM[1:], "serve", "--project", str(folder.root)]
        )
        if transport == "http":
            where = endpoint(await anyio.to_thread.run_sync(stack.enter_context, served(folder)))
        async with Client(where, read_timeout_seconds=60, **options) as client:
            yield client


async def phase(client: Client) -> str:
    return json.loads((await client.read_resource(STATUS, cache_mode="bypass")).contents[0].text)["phase"]  # type: ignore[union-attr]


async def trained_elsewhere(folder: Folder) -> None:
    """Another server of the same project trains the version."""
    async with connected(folder) as other:
        assert (await other.train())["state"] == "done"


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_who_listens_to_the_status_is_told_what_another_server_did(at: At, transport: str) -> None:
    folder = at("started")
    async with reached(folder, transport) as client, client.listen(resource_subscriptions=[STATUS]) as heard:
        assert await phase(client) == "train"
        async with anyio.create_task_group() as tasks:
            tasks.start_soon(trained_elsewhere, folder)
            with anyio.fail_after(60):
                async for event in heard:
                    assert getattr(event, "uri", None) == STATUS
                    if await phase(client) == "evaluate":
                        break


@pytest.mark.parametrize("transport", ["stdio", "http"])
async def test_an_older_client_that_subscribed_is_told_until_it_unsubscribes(at: At, transport: str) -> None:
    folder, heard = at("started"), anyio.Event()

    async def hear(message: Any) -> None:
        if isinstance(message, ResourceUpdatedNotification):
            assert message.params.uri == STATUS
            heard.set()

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        async with reached(folder, transport, mode="legacy", message_handler=hear) as client:
            assert client.server_capabilities.resources is not None
            assert client.server_capabilities.resources.subscribe
            await client.subscribe_resource(STATUS)
            async with anyio.create_task_group() as tasks:
                tasks.start_soon(trained_elsewhere, folder)
                with anyio.fail_after(60):
                    await heard.wait()
            await client.unsubscribe_resource(STATUS)
            assert await phase(client) == "evaluate"


async def test_a_client_that_listens_does_not_keep_the_server_from_ending(at: At) -> None:
    folder, port = at("started"), free_port()
    more = {"PROGRESSIVE_TRAINING_TOKEN": TOKEN}
    with started(folder.root, "serve", "--http", f"127.0.0.1:{port}", more=more) as server:
        await anyio.to_thread.run_sync(until, lambda: listens(port) or server.poll() is not None, "the port")
        async with Client(endpoint(port)) as client, client.listen(resource_subscriptions=[STATUS]):
            server.terminate()
            await anyio.to_thread.run_sync(ended, server)


async def until_watching(watch: StatusWatch, expected: bool) -> None:
    with anyio.fail_after(20):
        while watch.watching is not expected:
            await anyio.sleep(0.01)


async def test_nothing_is_watched_unless_somebody_listens_and_no_longer_than_that(at: At) -> None:
    from progressive_training.server.app import build_server

    server = build_server(at("started").project())
    watch = server._subscriptions  # pyright: ignore[reportPrivateUsage]
    assert isinstance(watch, StatusWatch) and not watch.watching
    with plain_failures(), warnings.catch_warnings():
        warnings.simplefilter("ignore", MCPDeprecationWarning)
        async with Client(server) as client:
            async with client.listen(resource_subscriptions=[STATUS]):
                await until_watching(watch, True)
            await until_watching(watch, False)
        async with Client(server, mode="legacy") as older:
            await older.subscribe_resource("loop://leaderboard")
            assert not watch.watching
            await older.subscribe_resource(STATUS)
            await older.subscribe_resource(STATUS)
            assert watch.watching
            await older.unsubscribe_resource(STATUS)
            assert not watch.watching
            await older.subscribe_resource(STATUS)
        await until_watching(watch, False)


CHANGES: dict[str, Callable[[Folder], Any]] = {
    "the rules": lambda folder: folder.set_rules(loop_config={"max_versions": 77}),
    "the instruction": lambda folder: folder.write("user_instruction.md", "Keep it small."),
    "the journal": lambda folder: folder.write(
        ".progressive-training/journal.jsonl", folder.read(".progressive-training/journal.jsonl") + "\n"
    ),
    "a job's end": lambda folder: folder.write(".progressive-training/attempts/v001/train-001/result.json", "{}"),
}


@pytest.mark.parametrize("what", CHANGES)
def test_what_a_subscriber_would_see_makes_another_state(at: At, what: str) -> None:
    folder = at("started")
    folder.write(".progressive-training/attempts/v001/train-001/job.json", "{}")
    before = look(folder.project()).state
    assert look(folder.project()).state == before
    CHANGES[what](folder)
    assert look(folder.project()).state != before
