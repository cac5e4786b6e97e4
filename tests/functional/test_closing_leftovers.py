"""The closing contract, C6 to C9: nothing is left, whatever is cancelled; how a response and a request are let go."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest

import endwell
from endwell.connection.http1 import ClientConnection
from tests.support.closing import TLS, Server, client_sockets, fetch, outcome, passes, serving, trusting, until
from tests.support.peer import PeerConnection, ScriptedPeer, answer_fine, full_backlog, unix_path
from tests.support.tls import server_context


async def answer_then_stop_reading(conn: PeerConnection) -> None:
    """Answer one request, then never read again: no close_notify is seen, none is answered, no FIN is noticed."""
    await conn.read_request()
    await conn.answer()
    await asyncio.Event().wait()


def mine() -> set[asyncio.Task[Any]]:
    return asyncio.all_tasks()


# C6


@TLS
async def test_c6_idle_connections_are_gone_when_close_returns(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        await asyncio.gather(*(fetch(session, server.url("/chunked/3")) for _ in range(5)))
        assert len(server.client_ends()) > 1
        before = mine()
        report = await session.close()
        assert server.client_ends() == []
        assert mine() <= before
        assert report.clean
        assert report.closed == len(server.connections)


async def test_c6_tls_connections_say_goodbye() -> None:
    async def script(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.answer()
        assert await conn.closed_by_client() == "fin"
        assert conn.close_notify_seen

    async with ScriptedPeer(script, tls=server_context()) as peer:
        async with endwell.ClientSession(connector=trusting()) as session:
            await fetch(session, peer.url())
        assert client_sockets(peer.port) == []
        await peer.finished()


@pytest.mark.parametrize("number", [1, 5])
async def test_c6_peers_that_never_answer_close_notify_cost_ssl_shutdown_timeout(number: int) -> None:
    async with ScriptedPeer(answer_then_stop_reading, tls=server_context()) as peer:
        session = endwell.ClientSession(connector=trusting(ssl_shutdown_timeout=0.1))
        started = asyncio.get_running_loop().time()
        await asyncio.gather(*(fetch(session, peer.url()) for _ in range(number)))
        await session.close()
        assert client_sockets(peer.port) == []
        assert asyncio.get_running_loop().time() - started < 4, "they are waited for at once"


@TLS
@pytest.mark.parametrize("timeout", [0, 10], ids=["abort", "drain"])
async def test_c6_a_response_left_unread_just_before(timeout: float, tls: bool) -> None:
    """aiohttp leaves this socket open: its connection has left the pool's books, the transport still shuts down."""
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        async with session.get(server.url("/big")):
            pass
        await session.close(close_timeout=timeout)
        assert server.client_ends() == []


@TLS
async def test_c6_connections_with_force_close(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls, force_close=True))
        await fetch(session, server.url())
        await session.close()
        assert server.client_ends() == []


async def test_c6_a_busy_tls_connection_whose_peer_is_silent() -> None:
    async def half(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await asyncio.Event().wait()

    async with ScriptedPeer(half, tls=server_context()) as peer:
        session = endwell.ClientSession(connector=trusting())
        task = asyncio.create_task(fetch(session, peer.url()))
        await until(lambda: session._core.busy() and session._core.busy()[0].step.name == "ANSWERED")
        await session.close(close_timeout=0.05)
        assert client_sockets(peer.port) == []
        assert isinstance(await outcome(task), endwell.ExchangeAbortedError)


async def test_c6_no_thread_of_a_resolver(monkeypatch: pytest.MonkeyPatch) -> None:
    from endwell.transport import resolver

    go_on = threading.Event()
    asked = threading.Event()

    def ask(host: str, port: int, family: int) -> Any:
        asked.set()
        go_on.wait(10)
        return resolver.ResolveError(host, port, "unknown")

    monkeypatch.setattr(resolver, "_ask_system", ask)
    monkeypatch.setattr(resolver, "default_resolver", lambda: resolver.ThreadedResolver)
    for timeout in (0, 0.05):
        go_on.clear()
        asked.clear()
        session = endwell.ClientSession()
        task = asyncio.create_task(fetch(session, "http://slow.example/"))
        await until(asked.is_set)
        asyncio.get_running_loop().call_later(0.1, go_on.set)
        await session.close(close_timeout=timeout)
        assert not [each for each in threading.enumerate() if "resolve" in each.name]
        assert isinstance(await outcome(task), endwell.ClientError)


@pytest.mark.parametrize("how", ["close", "exception", "cancelled close"])
async def test_c6_no_socket_of_a_resolver(how: str) -> None:
    """aiodns asks a name server that is silent; no UDP socket outlives the session."""
    import socket

    from endwell.resolver import AsyncResolver
    from endwell.transport import resolver as module

    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as silent, pytest.MonkeyPatch.context() as patch:
        silent.bind(("127.0.0.1", 0))
        address = f"127.0.0.1:{silent.getsockname()[1]}"
        patch.setattr(module, "default_resolver", lambda: lambda: AsyncResolver(nameservers=[address]))
        session = endwell.ClientSession()
        task = asyncio.create_task(fetch(session, "http://name.example/"))
        await until(lambda: client_sockets(silent.getsockname()[1]))
        if how == "close":
            await session.close(close_timeout=0.01)
        elif how == "exception":
            with pytest.raises(LookupError):
                async with session:
                    raise LookupError
        else:
            closing = asyncio.create_task(session.close())
            await passes()
            closing.cancel()
            await outcome(closing)
            await passes(5)
        assert client_sockets(silent.getsockname()[1]) == []
        assert isinstance(await outcome(task), endwell.ClientError)


@TLS
async def test_c6_no_timer(tls: bool) -> None:
    loop = asyncio.get_running_loop()
    timers: list[Any] = []
    if not hasattr(loop, "_scheduled"):
        return await passes()  # uvloop does not show its timers
    async with serving(tls=tls) as server:
        async with endwell.ClientSession(
            connector=trusting(tls), timeout=endwell.ClientTimeout(total=60, sock_read=30)
        ) as session:
            await fetch(session, server.url())
        timers = [each for each in loop._scheduled if not each.cancelled() and "endwell/src" in repr(each)]
    assert [each for each in timers if "endwell." in repr(each._callback)] == []
    return None


class Fixed(endwell.abc.AbstractResolver):
    """Knows one address for every name."""

    async def resolve(self, host: str, port: int = 0, family: Any = 0) -> list[endwell.abc.ResolveResult]:
        return [{"hostname": host, "host": "127.0.0.1", "port": port, "family": 2, "proto": 6, "flags": 0}]

    async def close(self) -> None:
        return


TRACES = [
    "on_request_start",
    "on_connection_create_start",
    "on_connection_create_end",
    "on_dns_resolvehost_start",
    "on_dns_resolvehost_end",
    "on_request_headers_sent",
    "on_request_end",
    "on_response_chunk_received",
]


@TLS
@pytest.mark.parametrize("name", TRACES)
async def test_c6_a_failing_trace_config_leaves_nothing(name: str, tls: bool) -> None:
    async def refuse(*_: Any) -> None:
        raise LookupError("not today")

    config = endwell.TraceConfig()
    getattr(config, name).append(refuse)
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(trace_configs=[config], connector=trusting(tls, resolver=Fixed()))
        with pytest.raises(LookupError):
            await fetch(session, server.url("/", "name.test"), server_hostname="localhost" if tls else None)
        assert session.connector._core.pool.in_use == 0
        report = await session.close()
        assert report.errors == []
        assert server.client_ends() == []


@TLS
@pytest.mark.parametrize("name", TRACES[:5])
async def test_c6_what_is_aborted_while_a_trace_config_is_told_goes_no_further(name: str, tls: bool) -> None:
    async def slow(*_: Any) -> None:
        reached.set()
        await go_on.wait()

    reached, go_on = asyncio.Event(), asyncio.Event()
    config = endwell.TraceConfig()
    getattr(config, name).append(slow)
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(trace_configs=[config], connector=trusting(tls, resolver=Fixed()))
        task = asyncio.create_task(
            fetch(session, server.url("/", "name.test"), server_hostname="localhost" if tls else None)
        )
        await reached.wait()
        await session.close(close_timeout=0)
        assert server.client_ends() == []
        go_on.set()
        assert isinstance(await outcome(task), endwell.ClientError | RuntimeError)
        await passes(5)
        assert server.requests == []
        assert server.client_ends() == []


# C7


@TLS
async def test_c7_cancelling_close_aborts_what_is_left_and_re_raises(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls))
        await asyncio.gather(*(fetch(session, server.url()) for _ in range(2)))
        task = asyncio.create_task(fetch(session, server.url("/slow")))
        owned = session.create_task(asyncio.Event().wait())
        await server.wait_in_flight(1)
        closing = asyncio.create_task(session.close(close_timeout=None))
        await passes()
        closing.cancel()
        assert isinstance(await outcome(closing), asyncio.CancelledError)
        assert session.closed
        error = await outcome(task)
        assert isinstance(error, endwell.ExchangeAbortedError)
        assert "cancelled" in error.reason
        assert isinstance(await outcome(owned), asyncio.CancelledError)
        await passes()
        assert server.client_ends() == []
        report = await session.close()
        assert len(report.aborted) == 2


@TLS
async def test_c7_a_timeout_around_close(tls: bool) -> None:
    async with serving(tls=tls) as server:
        session = endwell.ClientSession(connector=trusting(tls), close_timeout=None)
        task = asyncio.create_task(fetch(session, server.url("/slow")))
        await server.wait_in_flight(1)
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.05):
                await session.close()
        assert isinstance(await outcome(task), endwell.ExchangeAbortedError)
        await passes()
        assert server.client_ends() == []


@TLS
async def test_c7_cancelling_the_drain_of_a_block(tls: bool) -> None:
    async with serving(tls=tls) as server:
        tasks: list[Any] = []

        async def body() -> None:
            async with endwell.ClientSession(connector=trusting(tls), close_timeout=None) as session:
                tasks.append(asyncio.create_task(fetch(session, server.url("/slow"))))
                await server.wait_in_flight(1)

        task = asyncio.create_task(body())
        await until(lambda: tasks and len(server.in_flight) == 1)
        await passes(5)
        task.cancel()
        assert isinstance(await outcome(task), asyncio.CancelledError)
        assert isinstance(await outcome(tasks[0]), endwell.ExchangeAbortedError)
        await passes()
        assert server.client_ends() == []


# C8


@TLS
@pytest.mark.parametrize("path", ["/bytes/60000", "/chunked/5"])
async def test_c8_a_small_unread_rest_is_read_away(path: str, tls: bool) -> None:
    async with serving(tls=tls) as server:
        async with endwell.ClientSession(connector=trusting(tls, limit=1)) as session:
            for _ in range(3):
                async with session.get(server.url(path)):
                    pass
        assert len(server.connections) == 1


@TLS
async def test_c8_a_large_one_costs_the_connection(tls: bool) -> None:
    async with serving(tls=tls) as server:
        async with endwell.ClientSession(connector=trusting(tls, limit=1)) as session:
            for _ in range(2):
                async with session.get(server.url("/big")):
                    pass
        assert len(server.connections) == 2


@TLS
async def test_c8_an_endless_one_is_not_read(tls: bool) -> None:
    async def endless(conn: PeerConnection) -> None:
        await conn.read_request()
        await conn.send(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            await conn.send(b"400\r\n" + bytes(1024) + b"\r\n")

    async with (
        ScriptedPeer(endless, answer_fine, tls=server_context() if tls else None) as peer,
        endwell.ClientSession(connector=trusting(tls)) as session,
    ):
        async with session.get(peer.url()):
            pass
        assert await fetch(session, peer.url()) == b"fine"
        assert len(peer.connections) == 2


@TLS
async def test_c8_leaving_sends_the_rest_of_the_request(tls: bool) -> None:
    async def early(conn: PeerConnection) -> None:
        head = await conn.read_head()
        await conn.answer(b"got it")
        bodies.append(await conn.read_exactly(int(head.get("Content-Length") or 0)))
        await answer_fine(conn)

    async def body() -> Any:
        yield b"first"
        await answered.wait()
        for _ in range(50):
            yield b"x" * 1000

    bodies: list[bytes] = []
    answered = asyncio.Event()
    async with ScriptedPeer(early, tls=server_context() if tls else None) as peer:
        async with endwell.ClientSession(connector=trusting(tls)) as session:
            async with session.post(peer.url(), data=body(), headers={"Content-Length": "50005"}) as response:
                assert await response.read() == b"got it"
                answered.set()
            assert await fetch(session, peer.url()) == b"fine"
            assert len(bodies[0]) == 50005
        assert len(peer.connections) == 1


@TLS
@pytest.mark.parametrize("how", ["close", "exception"])
async def test_c8_unless_the_peer_wants_no_more_or_the_block_failed(how: str, tls: bool) -> None:
    async def early(conn: PeerConnection) -> None:
        await conn.read_head()
        await conn.answer(b"no", *(["Connection: close"] if how == "close" else []))
        await conn.closed_by_client()

    async def body() -> Any:
        try:
            yield b"first"
            await asyncio.Event().wait()
        finally:
            finalised.set()

    finalised = asyncio.Event()
    async with (
        ScriptedPeer(early, tls=server_context() if tls else None) as peer,
        endwell.ClientSession(connector=trusting(tls)) as session,
    ):

        async def ask() -> None:
            async with session.post(peer.url(), data=body()) as response:
                assert await response.read() == b"no"
                if how == "exception":
                    raise LookupError

        result = await outcome(asyncio.create_task(ask()))
        assert isinstance(result, LookupError if how == "exception" else type(None))
        await finalised.wait()
        await passes()
        assert client_sockets(peer.port) == []


# C9

PHASES = ["queued", "connecting", "handshake", "resolving", "waiting", "body", "uploading"]


class _Phase:
    """A session with one slot, and a request of it that stands still in one phase."""

    def __init__(self, session: Any, server: Server) -> None:
        self.session = session
        self.server = server

    def in_use(self) -> int:
        return int(self.session.connector._core.pool.in_use)


@TLS
@pytest.mark.parametrize("ending", ["cancelled", "timeout"])
@pytest.mark.parametrize("phase", PHASES)
async def test_c9_the_slot_is_free_at_once_and_the_next_in_line_wakes(phase: str, ending: str, tls: bool) -> None:
    stopped = asyncio.Event()

    async def body() -> Any:
        try:
            yield b"x"
            await asyncio.Event().wait()
        finally:
            stopped.set()

    class Names(endwell.abc.AbstractResolver):
        async def resolve(self, host: str, port: int = 0, family: Any = 0) -> Any:
            return await asyncio.Event().wait()

        async def close(self) -> None:
            pass

    kwargs: dict[str, Any] = {"resolver": Names()} if phase == "resolving" else {}
    scheme = "https" if tls else "http"
    async with serving(tls=tls) as server, ScriptedPeer(answer_then_stop_reading) as peer:
        with full_backlog() as port:
            urls = {
                "connecting": f"{scheme}://127.0.0.1:{port}/",
                "handshake": peer.url(scheme="https"),
                "resolving": f"{scheme}://name.example/",
                "body": server.url("/stuck"),
                "uploading": server.url("/sink"),
            }
            async with endwell.ClientSession(connector=trusting(limit=1, **kwargs)) as session:
                holder = None
                if phase == "queued":
                    holder = asyncio.create_task(fetch(session, server.url("/slow")))
                    await server.wait_in_flight(1)
                options: dict[str, Any] = {}
                if ending == "timeout":
                    options["timeout"] = endwell.ClientTimeout(total=0.15)
                if phase == "uploading":
                    options["data"] = body()
                url = urls.get(phase, server.url("/slow"))

                async def ask() -> bytes:
                    method = "POST" if phase == "uploading" else "GET"
                    async with session.request(method, url, **options) as response:
                        return await response.read()

                first = asyncio.create_task(ask())
                await passes(20)
                if phase in {"waiting", "body", "uploading"}:
                    await until(lambda: server.in_flight or first.done())
                second = asyncio.create_task(fetch(session, server.url()))
                await passes(3)
                assert not first.done()
                assert not second.done()
                if ending == "cancelled":
                    first.cancel()
                error = await outcome(first)
                assert isinstance(error, asyncio.CancelledError if ending == "cancelled" else TimeoutError)
                if holder is not None:
                    server.release.set()
                    assert await holder == b"released"
                assert await second == b"hello"
                if phase == "uploading":
                    await stopped.wait()
                assert session.connector._core.pool.in_use == 0
                assert len(session._core.work) == 0
                idle = [each for each in session.connector._core.children or () if isinstance(each, ClientConnection)]
                assert len(idle) == 1


@pytest.mark.parametrize("after", range(12))
async def test_c9_cancelled_after_any_number_of_passes(after: int) -> None:
    """TLS to the last byte, cancelled at each step of the way: nothing of it may stay."""
    async with serving(tls=True) as server:
        async with endwell.ClientSession(connector=trusting(limit=1)) as session:
            task = asyncio.create_task(fetch(session, server.url("/chunked/2")))
            await passes(after * 2)
            task.cancel()
            await outcome(task)
            assert await fetch(session, server.url()) == b"hello"
            assert session.connector._core.pool.in_use == 0
            assert len(session._core.work) == 0
        assert server.client_ends() == []


# Unix


async def test_c6_connections_of_a_unix_connector(tmp_path: Any) -> None:
    path = unix_path(tmp_path)
    async with Server(path=path) as server:
        session = endwell.ClientSession(connector=endwell.UnixConnector(path))
        assert await fetch(session, "http://localhost/") == b"hello"
        assert len(server.client_ends()) == 1
        task = asyncio.create_task(fetch(session, "http://localhost/slow"))
        await server.wait_in_flight(1)
        await session.close(close_timeout=0)
        assert server.client_ends() == []
        assert isinstance(await outcome(task), endwell.ExchangeAbortedError)
