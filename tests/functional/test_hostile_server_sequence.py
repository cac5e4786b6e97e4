"""Requests one behind another: what runs, in which order, and how much is taken ahead (RFC 9112 section 9)."""

from __future__ import annotations

import asyncio
import socket

import pytest

from endwell import web
from tests.support.raw import RawClient, Stage, facing, passes, refused, until
from tests.support.tls import server_context

SPLITS = pytest.mark.parametrize("together", [True, False], ids=["together", "apart"])


def get(target: str = "/", *fields: str, version: str = "1.1") -> bytes:
    """Give a request."""
    return "\r\n".join([f"GET {target} HTTP/{version}", "Host: a", *fields, "", ""]).encode()


GARBAGE = {
    "no request": b"s3cr3t garbage\r\n\r\n",
    "NUL": b"\x00" * 10,
    "a bad field": b"GET /smuggled HTTP/1.1\r\nHost: a\r\nA : s3cr3t\r\n\r\n",
    "bad framing": b"POST /smuggled HTTP/1.1\r\nHost: a\r\nContent-Length: s3cr3t\r\n\r\n",
    "a body nobody announced": b"a=b&c=s3cr3t",
}


@SPLITS
@pytest.mark.parametrize("garbage", GARBAGE.values(), ids=GARBAGE)
@pytest.mark.parametrize("method", ["GET", "POST", "slow"])
async def test_a_request_before_garbage_is_answered_and_then_nothing_more_runs(
    garbage: bytes, method: str, together: bool
) -> None:
    calls = []
    go_on = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.Response:
        calls.append(request.raw_path)
        if request.raw_path == "/slow":
            await go_on.wait()
        return web.Response(body=await request.read())

    first = get("/slow") if method == "slow" else get("/get")
    if method == "POST":
        first = b"POST /post HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok"
    async with facing(handler) as stage:
        client = await stage.connect()
        await client.send(*([first + garbage] if together else [first, garbage]))
        go_on.set()
        answer = await client.answer()
        assert (answer.status, answer.closes) == (200, False)
        await client.send(get("/smuggled"))
        answers = await client.answers()
        assert [(answer.status, answer.closes) for answer in answers] == [(400, True)]
        assert len(calls) == 1
        assert len(said := stage.said()) == 1
        assert "400" in said[0]
        assert "s3cr3t" not in said[0]


LAST = {
    "close": get("/first", "Connection: close"),
    "close in a list": get("/first", "Connection: foo,  Close ,bar"),
    "close on another line": get("/first", "Connection: keep-alive", "Connection: close"),
    "HTTP/1.0": get("/first", version="1.0"),
    "HTTP/1.0 with close": get("/first", "Connection: keep-alive, close", version="1.0"),
    "CONNECT": b"CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n",
    "with a body": b"POST /first HTTP/1.1\r\nHost: a\r\nConnection: close\r\nContent-Length: 2\r\n\r\nok",
}


@SPLITS
@pytest.mark.parametrize("first", LAST.values(), ids=LAST)
async def test_a_request_after_one_that_said_close_does_not_run(first: bytes, together: bool) -> None:
    second = get("/smuggled")
    async with facing() as stage:
        client = await stage.connect()
        await client.send(*([first + second] if together else [first, second]))
        answers = await client.answers()
        assert len(answers) == 1
        assert len(stage.calls) == 1


@SPLITS
@pytest.mark.parametrize("how", ["force_close", "field", "write", "error"])
async def test_a_request_after_an_answer_that_said_close_does_not_run(how: str, together: bool) -> None:
    calls = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        calls.append(request.raw_path)
        if how == "error":
            raise RuntimeError
        response = web.StreamResponse() if how == "write" else web.Response(text="fine")
        if how == "field":
            response.headers["Connection"] = "close"
        else:
            response.force_close()
        if how == "write":
            await response.prepare(request)
            await response.write(b"fine")
        return response

    async with facing(handler, alive=False) as stage:
        client = await stage.connect()
        await client.send(*([get("/1") + get("/2")] if together else [get("/1"), get("/2")]))
        answers = await client.answers()
        assert [answer.closes for answer in answers] == [True]
        assert calls == ["/1"]
        assert len(stage.said()) == (how == "error")


async def test_http_1_0_keeps_the_connection_only_when_both_say_so() -> None:
    async with facing() as stage:
        client = await stage.connect()
        for _ in range(2):
            await client.send(get("/", "Connection: keep-alive", version="1.0"))
            assert (await client.answer()).get("connection") == "keep-alive"


async def test_pipelined_requests_run_one_after_another_and_are_answered_in_order() -> None:
    calls: list[str] = []
    running = most = 0
    gates = {f"/{number}": asyncio.Event() for number in range(0, 10, 3)}

    async def handler(request: web.BaseRequest) -> web.Response:
        nonlocal running, most
        running += 1
        most = max(most, running)
        calls.append(request.raw_path)
        if request.raw_path in gates:
            await gates[request.raw_path].wait()
        running -= 1
        return web.Response(text=request.raw_path)

    async with facing(handler) as stage:
        client = await stage.connect()
        await client.send(b"".join(get(f"/{number}") for number in range(10)))
        for gate in reversed(gates.values()):
            gate.set()
            await passes()
        assert [(await client.answer()).body for _ in range(10)] == [b"/%d" % number for number in range(10)]
        assert most == 1
        assert calls[:10] == [f"/{number}" for number in range(10)]


async def test_pipelined_requests_with_bodies_that_nobody_reads_are_answered_in_order() -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        return web.Response(text=request.raw_path)

    def post(number: int, body: bytes) -> bytes:
        return b"POST /%d HTTP/1.1\r\nHost: a\r\nContent-Length: %d\r\n\r\n%b" % (number, len(body), body)

    async with facing(handler) as stage:
        client = await stage.connect()
        inner = get("/smuggled")
        data = b"".join(post(number, inner * number) for number in range(10))
        await client.send(*(data[start : start + 100] for start in range(0, len(data), 100)))
        assert [(await client.answer()).body for _ in range(10)] == [b"/%d" % number for number in range(10)]


async def test_a_client_that_pipelines_leaves_the_others_their_turn() -> None:
    calls: list[str] = []

    async def handler(request: web.BaseRequest) -> web.Response:
        calls.append(request.raw_path)
        return web.Response(text=request.raw_path)

    async with facing(handler) as stage:
        many, other = await stage.connect(), await stage.connect()
        for client in (many, other):
            await client.send(get("/first"))
            await client.answer()
        assert many.send_now(get("/many") * 3000) > 50_000
        other.send_now(get("/other"))
        assert (await other.answer()).status == 200
        assert calls.index("/other") < 1000


async def flood(stage: Stage, client: RawClient, block: bytes) -> int:
    """Send until the server takes no more; return how many bytes it has taken."""
    await until(lambda: stage.server.core.connections)
    (connection,) = stage.server.core.connections
    data, sent = b"", 0
    while connection.transport is not None and connection.transport.is_reading():
        data = data or block
        went = client.send_now(data)
        sent, data = sent + went, data[went:]
        await asyncio.sleep(0)
    return sent


MEBI = 2**20


async def test_a_client_that_pipelines_and_never_reads_is_held_up() -> None:
    """It is not served on, what it sent ahead and what it was answered is bounded; when it reads, all goes on."""
    calls = 0

    async def handler(request: web.BaseRequest) -> web.Response:
        nonlocal calls
        calls += 1
        return web.Response(body=b"x" * 10_000)

    async with facing(handler) as stage:
        client = await stage.connect(receive=4096, send=4096)
        request = get("/" + "a" * 100)
        sent = await flood(stage, client, request * 500)
        (connection,) = stage.server.core.connections
        assert connection.transport is not None
        await until(lambda: connection._writable is not None)
        assert connection.transport.get_write_buffer_size() < MEBI
        assert len(connection._held) + len(connection._reader.rest) < MEBI
        before = calls
        await passes(50)
        assert calls == before
        assert calls * 10_000 < 20 * MEBI
        assert sent < 20 * MEBI
        for _ in range(sent // len(request)):
            assert len((await client.answer()).body) == 10_000
        assert calls >= sent // len(request)


async def test_a_client_that_pipelines_behind_a_slow_handler_is_held_up() -> None:
    calls = 0
    gate = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.Response:
        nonlocal calls
        calls += 1
        await gate.wait()
        return web.Response(text="fine")

    async with facing(handler) as stage:
        client = await stage.connect(send=4096)
        request = get("/" + "a" * 100)
        sent = await flood(stage, client, request * 500)
        assert calls == 1
        (connection,) = stage.server.core.connections
        assert len(connection._held) + len(connection._reader.rest if connection._reader else b"") < MEBI
        gate.set()
        for _ in range(sent // len(request)):
            assert (await client.answer()).status == 200


async def test_a_client_that_never_reads_its_answers_is_dropped() -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        return web.Response(body=b"x" * 10_000)

    async with facing(handler, send_timeout=0.05) as stage:
        client = await stage.connect(receive=4096, send=4096)
        await flood(stage, client, get() * 500)
        await until(lambda: not stage.server.core.connections)


@pytest.mark.parametrize("how", ["whole", "stream", "endless"])
async def test_a_client_that_never_reads_the_last_answer_is_dropped(how: str) -> None:
    """Neither a response that is sent whole, nor a handler that writes on, waits for such a client for ever."""
    ended = []

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if how == "whole":
            return web.Response(body=bytes(32 * MEBI))
        response = web.StreamResponse()
        await response.prepare(request)
        try:
            for _ in range(1000 if how == "stream" else 10**9):
                await response.write(bytes(MEBI))
        finally:
            ended.append(True)
        return response

    async with facing(handler, send_timeout=0.05, alive=False) as stage:
        client = await stage.connect(receive=4096)
        await client.send(get("/", "Connection: close"))
        await until(lambda: not stage.server.core.connections)
        await until(lambda: len(ended) == (how != "whole"))


async def test_what_is_written_for_a_client_that_does_not_read_is_bounded() -> None:
    """The handler waits in `write`."""
    written = 0

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        nonlocal written
        response = web.StreamResponse()
        await response.prepare(request)
        while True:
            await response.write(b"x" * 2**16)
            written += 2**16

    async with facing(handler, alive=False) as stage:
        client = await stage.connect(receive=4096)
        await client.send(get())
        await until(lambda: stage.server.core.connections)
        (connection,) = stage.server.core.connections
        await until(lambda: connection._writable is not None)
        await passes(50)
        before = written
        await passes(50)
        assert written == before
        assert connection.unsent() < MEBI
        client.reset()
        await until(lambda: not stage.server.core.work)


async def test_a_client_that_reads_slowly_is_not_dropped() -> None:
    """As long as it reads at all: the limit is on standing still. Time is what `expire` is told."""

    async def handler(request: web.BaseRequest) -> web.Response:
        request.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**16)
        return web.Response(body=bytes(16 * MEBI))

    async with facing(handler, send_timeout=1000, alive=False) as stage:
        client = await stage.connect(receive=65536)
        await client.send(get("/", "Connection: close"))
        loop = asyncio.get_running_loop()
        (connection,) = stage.server.core.connections
        assert connection.unsent()
        now = loop.time()
        for _ in range(5):
            before = connection.unsent()
            while connection.unsent() == before:
                assert await loop.sock_recv(client.sock, 2**16)
            now += 1001
            connection.expire(now)
            assert stage.server.core.connections
        connection.expire(now + 1001)
        await until(lambda: not stage.server.core.connections)


async def test_half_closed_clients_are_answered_and_end() -> None:
    async with facing() as stage:
        for data in (get(), get() + b"GET /half HT", b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\nok"):
            client = await stage.connect()
            await client.send(data)
            client.half_close()
            assert [answer.status for answer in await client.answers()][:1] == [200]
        for data in (b"", b"GET / HT", b"\r\n"):
            client = await stage.connect()
            await client.send(data)
            client.half_close()
            assert await client.closed() == "fin"
        await until(lambda: not stage.server.core.connections)
        stage.said()


@pytest.mark.parametrize("asks", ["before", "after"])
async def test_a_client_that_speaks_no_more_may_have_gone(asks: str) -> None:
    """That looks the same; so who waits for it is told, whether the client had ended its side before that or not."""
    heard = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.Response:
        if asks == "before":
            heard.set()
        else:
            await heard.wait()
        await request.wait_for_disconnection()
        await request.wait_for_disconnection()
        return web.Response(text="noticed")

    async with facing(handler, alive=False) as stage:
        client = await stage.connect()
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        if asks == "before":
            await heard.wait()
        client.half_close()
        (connection,) = stage.server.core.connections
        await until(lambda: connection.exchange is None or not connection.exchange.keep_alive)
        heard.set()
        assert (await client.answer()).body == b"noticed"
        assert await client.closed() == "fin"


async def test_a_half_closed_client_that_pipelines_is_not_lingered_for() -> None:
    """The request under way is answered; then the connection ends, for nothing more can come from this client."""
    gate = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.Response:
        await gate.wait()
        return web.Response(text=request.raw_path)

    async with facing(handler, lingering_time=1000) as stage:
        client = await stage.connect()
        await client.send(get("/1") + get("/2") + get("/3"))
        client.half_close()
        await passes(20)
        gate.set()
        assert [(answer.status, answer.body) for answer in await client.answers()] == [(200, b"/1")]
        await until(lambda: not stage.server.core.connections)


async def test_a_client_that_resets_is_no_trouble() -> None:
    gate = asyncio.Event()
    gone = []

    async def handler(request: web.BaseRequest) -> web.Response:
        if request.raw_path == "/fine":
            return web.Response()
        try:
            await request.read()
        finally:
            gone.append(request.raw_path)
        await gate.wait()
        return web.Response(body=b"x" * MEBI)

    async with facing(handler) as stage:
        for data in (get("/wait"), b"POST /body HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nok"):
            client = await stage.connect()
            await client.send(data)
            await until(lambda: any(each.exchange for each in stage.server.core.connections))
            client.reset()
            await until(lambda: not stage.server.core.connections)
        gate.set()
        await until(lambda: not stage.server.core.work)
        assert gone == ["/wait", "/body"]
        assert stage.said() == []


async def test_the_number_of_requests_of_one_connection_is_limited() -> None:
    async with facing(keepalive_requests=3) as stage:
        client = await stage.connect()
        await client.send(get("/1"), get("/2"), get("/3") + get("/4"))
        answers = await client.answers()
        assert [answer.closes for answer in answers] == [False, False, True]
        assert [target for _, target, _ in stage.calls] == ["/1", "/2", "/3"]


async def test_no_more_connections_than_the_limit_are_served() -> None:
    async with facing(max_connections=3, alive=False) as stage:
        clients = [await stage.connect() for _ in range(3)]
        for client in clients:
            await client.send(get())
            assert (await client.answer()).status == 200
        for _ in range(5):
            further = await stage.connect()
            await further.send(get("/further"))
            assert await further.closed() in ("fin", "rst")
        assert len(stage.calls) == 3
        said = stage.said()
        assert said
        assert all("max_connections" in line for line in said)
        for client in clients[:2]:
            client.sock.close()
        await until(lambda: len(stage.server.core.connections) == 1)
        assert [answer.status for answer in await stage.ask(get("/", "Connection: close"))] == [200]


async def test_handshakes_that_do_not_end_count_as_connections() -> None:
    async with facing(max_connections=3, tls=server_context(), alive=False) as stage:
        clients = [await stage.connect() for _ in range(3)]
        await until(lambda: len(stage.server.core.handshakes) == 3)
        further = await stage.connect()
        assert await further.closed() in ("fin", "rst")
        assert len(stage.said()) == 1
        for client in clients:
            await client.send(b"s3cr3t")
        await until(lambda: not stage.server.core.handshakes)
        assert stage.said() == []


async def test_a_refused_request_leaves_others_alone() -> None:
    """What one client does wrong is nothing to another, whose request is under way."""
    gate = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.Response:
        await gate.wait()
        return web.Response(text="fine")

    async with facing(handler) as stage:
        client = await stage.connect()
        await client.send(get())
        for _ in range(10):
            await refused(stage, b"s3cr3t\r\n\r\n")
        gate.set()
        assert (await client.answer()).body == b"fine"
