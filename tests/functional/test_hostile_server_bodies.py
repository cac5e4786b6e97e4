"""Bodies that are too large, broken, or built to cost: limits, 400, 413 and 415, never 500 (RFC 9110 section 8)."""

from __future__ import annotations

import asyncio
import functools
import gzip
import zlib
from collections.abc import Awaitable, Callable

import pytest

from endwell import web
from endwell.http.multipart import MultipartReader
from tests.support.raw import Answer, Stage, facing, passes, until

MEBI = 2**20
ZEROS = bytes(MEBI)
SIZE = 256 * MEBI  # what each bomb would become

Reader = Callable[[web.BaseRequest], Awaitable[object]]


def post(body: bytes, *fields: str, chunked: bool = False, target: str = "/") -> bytes:
    """Give a request with this body, after which the connection is closed."""
    frame = "Transfer-Encoding: chunked" if chunked else f"Content-Length: {len(body)}"
    head = "\r\n".join([f"POST {target} HTTP/1.1", "Host: a", "Connection: close", *fields, frame, "", ""]).encode()
    return head + (b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body) if chunked else body)


def reading(read: Reader) -> Callable[[web.BaseRequest], Awaitable[web.Response]]:
    """Give a handler that reads the body so, and says what it found."""

    async def handler(request: web.BaseRequest) -> web.Response:
        if request.method == "GET":
            return web.Response()
        return web.Response(text=repr(await read(request))[:200])

    return handler


async def one(stage: Stage, *pieces: bytes) -> Answer:
    """Give the one answer."""
    (answer,) = await stage.ask(*pieces)
    return answer


async def all_chunks(request: web.BaseRequest) -> int:
    """Read the body as it comes; return its size."""
    size = 0
    async for data in request.content.iter_any():
        size += len(data)
    return size


READ: dict[str, Reader] = {
    "read": lambda request: request.read(),
    "text": lambda request: request.text(),
    "json": lambda request: request.json(),
    "post": lambda request: request.post(),
}


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize("how", READ)
async def test_a_body_over_the_limit_is_refused_and_the_client_can_read_that(how: str, chunked: bool) -> None:
    """Also the client that sends all of it first, a hundred times what is allowed."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=repr(await READ[how](request)))

    app = web.Application(client_max_size=100_000)
    app.router.add_post("/", handler)
    fields = ["Content-Type: application/x-www-form-urlencoded"]
    async with facing(app) as stage:
        client = await stage.connect()
        sending = asyncio.create_task(client.send(post(b"1" * 10**7, *fields, chunked=chunked)))
        answer = await client.answer()
        await sending
        assert (answer.status, answer.closes, answer.complete) == (413, True, True)
        assert await client.closed() == "fin"
        assert (await one(stage, post(b"1" * 100_001, *fields, chunked=chunked))).status == 413
        if how == "read":
            assert (await one(stage, post(b"1" * 100_000, *fields, chunked=chunked))).status == 200


async def test_after_a_small_body_over_the_limit_the_connection_serves_on() -> None:
    async def handler(request: web.Request) -> web.Response:
        return web.Response(text=repr(await request.read()))

    app = web.Application(client_max_size=10)
    app.router.add_post("/", handler)
    async with facing(app) as stage:
        client = await stage.connect()
        for status in (413, 200, 413):
            body = b"x" * (10 if status == 200 else 1000)
            await client.send(post(body).replace(b"Connection: close\r\n", b""))
            answer = await client.answer()
            assert (answer.status, answer.closes) == (status, False)


@functools.cache
def bomb(coding: str) -> bytes:
    if coding == "br":
        compressor = pytest.importorskip("brotli").Compressor(quality=1)
        parts = [compressor.process(ZEROS) for _ in range(SIZE // MEBI)]
        return b"".join(parts) + bytes(compressor.finish())
    if coding == "zstd":
        zstd = pytest.importorskip("backports.zstd").ZstdCompressor(level=1)
        parts = [zstd.compress(ZEROS) for _ in range(SIZE // MEBI)]
        return b"".join(parts) + bytes(zstd.flush())
    packer = zlib.compressobj(1, wbits=31)
    once = b"".join(packer.compress(ZEROS) for _ in range(SIZE // MEBI)) + packer.flush()
    return once if coding == "gzip" else gzip.compress(once)


BOMBS = pytest.mark.parametrize("coding", ["gzip", "br", "zstd", "gzip, gzip"])


@BOMBS
@pytest.mark.parametrize("how", READ)
async def test_reading_a_bomb_is_stopped_at_the_limit(how: str, coding: str) -> None:
    decoded = []

    async def read(request: web.BaseRequest) -> object:
        try:
            return await READ[how](request)
        finally:
            decoded.append(request._exchange.body.decoder.total_out)

    async with facing(reading(read)) as stage:
        fields = ["Content-Type: application/x-www-form-urlencoded", f"Content-Encoding: {coding}"]
        assert (await one(stage, post(bomb(coding), *fields))).status == 413
        assert decoded[0] <= 2 * MEBI


@BOMBS
async def test_a_bomb_that_is_read_piece_by_piece_is_stopped(coding: str) -> None:
    seen = 0

    async def read(request: web.BaseRequest) -> None:
        nonlocal seen
        async for data in request.content.iter_any():
            seen += len(data)

    async with facing(reading(read)) as stage:
        answer = await one(stage, post(bomb(coding), f"Content-Encoding: {coding}"))
        assert (answer.status, answer.closes) == (413, True)
        assert seen <= 16 * MEBI
        assert len(stage.said()) == 1


async def test_the_decoded_size_is_limited() -> None:
    """A growth that is allowed, and still more than may come out."""
    body = gzip.compress(bytes(range(256)) * 4000)
    async with facing(reading(all_chunks), decompress_limit=10**6, decompress_ratio=None) as stage:
        assert (await one(stage, post(body, "Content-Encoding: gzip"))).status == 413
        assert len(stage.said()) == 1
        body = gzip.compress(bytes(range(256)) * 3000)
        assert (await one(stage, post(body, "Content-Encoding: gzip"))).body == b"768000"


@BOMBS
async def test_a_bomb_nobody_reads_is_not_inflated(coding: str) -> None:
    decoded = []

    async def handler(request: web.BaseRequest) -> web.Response:
        if request.method == "POST":
            decoded.append(request._exchange.body.decoder)
        return web.Response(text="no")

    async with facing(handler) as stage:
        assert (await one(stage, post(bomb(coding), f"Content-Encoding: {coding}"))).body == b"no"
        assert decoded[0].total_out == 0


async def test_a_tower_of_codings_is_refused() -> None:
    for coding in (", ".join(["gzip"] * 30), "gzip,,gzip, gzip,identity, gzip,gzip,gzip"):
        async with facing() as stage:
            answer = await one(stage, post(b"s3cr3t", f"Content-Encoding: {coding}"))
            assert (answer.status, answer.closes) == (415, True)
            assert not stage.calls
            (said,) = stage.said()
            assert "s3cr3t" not in said


BROKEN = {
    "not gzip": ("gzip", b"s3cr3t"),
    "half of it": ("gzip", gzip.compress(b"s3cr3t" * 1000)[:-20]),
    "bad checksum": ("gzip", gzip.compress(b"s3cr3t")[:-8] + bytes(8)),
    "not deflate": ("deflate", b"\xff" * 20),
    "not br": ("br", b"\xff" * 20),
    "not zstd": ("zstd", b"\xff" * 20),
    "twice, and was once": ("gzip, gzip", gzip.compress(b"s3cr3t")),
}


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
@pytest.mark.parametrize(("coding", "body"), BROKEN.values(), ids=BROKEN)
async def test_a_corrupt_coding_is_the_clients_fault(coding: str, body: bytes, chunked: bool) -> None:
    for read in (READ["read"], READ["text"], READ["json"], all_chunks):
        async with facing(reading(read)) as stage:
            answer = await one(stage, post(body, f"Content-Encoding: {coding}", chunked=chunked))
            assert (answer.status, answer.closes) == (400, True)
            (said,) = stage.said()
            assert "s3cr3t" not in said
            assert "Traceback" not in said


BAD_TEXTS = {
    "unknown charset": ("text", "text/plain; charset=s3cr3t", b"ok", 415),
    "a codec that is no charset": ("text", "text/plain; charset=rot13", b"ok", 415),
    "a codec of bytes": ("text", "text/plain; charset=zlib", zlib.compress(b"ok"), 415),
    "quadratic codec": ("text", "text/plain; charset=punycode", b"ok", 415),
    "idna": ("text", "text/plain; charset=idna", b"ok", 415),
    "escapes": ("text", "text/plain; charset=unicode_escape", b"ok", 415),
    "NUL in the charset": ("text", "text/plain; charset=a%00", b"ok", 415),
    "path in the charset": ("text", "text/plain; charset=../../etc/passwd", b"ok", 415),
    "long charset": ("text", "text/plain; charset=" + "a" * 4000, b"ok", 415),
    "not in the charset": ("text", "text/plain; charset=utf-8", b"\xff\xfe", 400),
    "not UTF-8": ("text", "text/plain", b"\xc3", 400),
    "not ASCII": ("text", "text/plain; charset=us-ascii", b"\xc3\xa9", 400),
    "odd UTF-16": ("text", "text/plain; charset=utf-16", b"abc", 400),
    "not JSON": ("json", "application/json", b"{", 400),
    "empty JSON": ("json", "application/json", b"", 400),
    "deep JSON": ("json", "application/json", b"[" * 100_000, 400),
    "deep objects": ("json", "application/json", b'{"a":' * 100_000, 400),
    "a number of 100,000 digits": ("json", "application/json", b"9" * 100_000, 400),
    "JSON in a bad charset": ("json", "application/json; charset=s3cr3t", b"{}", 415),
    "JSON that is not UTF-8": ("json", "application/json", b'"\xff"', 400),
    "form in a bad charset": ("post", "application/x-www-form-urlencoded; charset=s3cr3t", b"a=b", 415),
    "form that is not UTF-8": ("post", "application/x-www-form-urlencoded", b"a=\xff", 400),
    "form of a thousand fields": ("post", "application/x-www-form-urlencoded", b"&".join([b"a=b"] * 1001), 413),
    "form of nothing but ampersands": ("post", "application/x-www-form-urlencoded", b"&" * 10**6, 413),
}


@pytest.mark.parametrize(("how", "kind", "body", "status"), BAD_TEXTS.values(), ids=BAD_TEXTS)
async def test_what_is_not_what_it_says_is_the_clients_fault(how: str, kind: str, body: bytes, status: int) -> None:
    async with facing(reading(READ[how])) as stage:
        answer = await one(stage, post(body, f"Content-Type: {kind}"))
        assert answer.status == status
        assert stage.said() == []


def part(*fields: bytes, body: bytes = b"x") -> bytes:
    return b"--B\r\n" + b"".join(field + b"\r\n" for field in fields) + b"\r\n" + body + b"\r\n"


NAME = b'Content-Disposition: form-data; name="a"'
FILE = b'Content-Disposition: form-data; name="a"; filename="b"'
FORM = "multipart/form-data; boundary=B"
BAD_FORMS = {
    "no boundary": ("multipart/form-data", part(NAME) + b"--B--", 400),
    "empty boundary": ("multipart/form-data; boundary=", part(NAME) + b"--B--", 400),
    "long boundary": ("multipart/form-data; boundary=" + "B" * 71, part(NAME) + b"--B--", 400),
    "not there": (FORM, b"s3cr3t", 400),
    "empty": (FORM, b"", 400),
    "no end": (FORM, part(NAME), 400),
    "cut in the fields": (FORM, b"--B\r\nContent-Disp", 400),
    "cut in the body": (FORM, b"--B\r\n" + NAME + b"\r\n\r\ns3cr3t", 400),
    "no colon": (FORM, part(b"s3cr3t") + b"--B--", 400),
    "NUL in a field": (FORM, part(NAME, b"A: \0s3cr3t") + b"--B--", 400),
    "no name": (FORM, part(b"Content-Disposition: form-data") + b"--B--", 400),
    "no disposition": (FORM, part(b"A: b") + b"--B--", 400),
    "long field": (FORM, part(NAME, b"A: " + b"b" * 10_000) + b"--B--", 400),
    "field without end": (FORM, b"--B\r\nA: " + b"b" * 100_000, 400),
    "many fields": (FORM, part(NAME, *[b"A: b"] * 1000) + b"--B--", 400),
    "a thousand parts": (FORM, part(NAME) * 1001 + b"--B--", 413),
    "a thousand empty files": (FORM, part(FILE, body=b"") * 1001 + b"--B--", 413),
    "nested": (FORM, part(NAME, b"Content-Type: multipart/mixed; boundary=C", body=b"--C--") + b"--B--", 400),
    "long preamble": (FORM, b"s3cr3t\r\n" * 20_000 + part(NAME) + b"--B--", 400),
    "boundaries without end": (FORM, b"--B\r\n" * 20_000, 400),
    "almost boundaries": (FORM, b"--B\r\n" + NAME + b"\r\n\r\n" + b"\r\n--" * 200_000, 400),
    "dashes": (FORM, b"-" * 10**6, 400),
    "line ends": (FORM, b"\r\n" * 500_000, 400),
    "bad charset": (FORM, part(NAME, b"Content-Type: text/plain; charset=s3cr3t") + b"--B--", 415),
    "not in its charset": (FORM, part(NAME, body=b"\xff") + b"--B--", 400),
    "unknown transfer coding": (FORM, part(NAME, b"Content-Transfer-Encoding: s3cr3t") + b"--B--", 415),
    "bad base64": (FORM, part(NAME, b"Content-Transfer-Encoding: base64", body=b"A") + b"--B--", 400),
    "unknown coding": (FORM, part(NAME, b"Content-Encoding: s3cr3t") + b"--B--", 200),  # not looked at in forms
    "bad gzip": (FORM, part(NAME, b"Content-Encoding: gzip", body=b"ok") + b"--B--", 200),
    "long name": (FORM, part(NAME[:-1] + b"a" * 9000 + b'"') + b"--B--", 400),
    "disposition floods": (FORM, part(NAME + b"; a=b" * 1500) + b"--B--", (200, 400)),
    "continuations": (FORM, part(NAME + b"".join(b"; f*%d=a" % n for n in range(900))) + b"--B--", (200, 400)),
}


@pytest.mark.filterwarnings("ignore::endwell.http.disposition.BadContentDispositionParam")
@pytest.mark.filterwarnings("ignore::endwell.http.disposition.BadContentDispositionHeader")
@pytest.mark.parametrize("how", ["post", "multipart"])
@pytest.mark.parametrize(("kind", "body", "status"), BAD_FORMS.values(), ids=BAD_FORMS)
async def test_multipart_floods_and_faults_are_the_clients_fault(
    kind: str, body: bytes, status: int | tuple[int, ...], how: str
) -> None:
    async def read_parts(request: web.BaseRequest) -> int:
        count = 0
        async for each in await request.multipart():
            count += 1
            if not isinstance(each, MultipartReader):
                await each.read(decode=True)
        return count

    async with facing(reading(read_parts if how == "multipart" else READ["post"])) as stage:
        answer = await one(stage, post(body, f"Content-Type: {kind}"))
        allowed = (200, 400, 413, 415) if how == "multipart" else (status if isinstance(status, tuple) else (status,))
        assert answer.status in allowed
        said = stage.said()
        assert len(said) <= 1
        assert not any("s3cr3t" in line or "Traceback" in line for line in said)


@pytest.mark.parametrize("most", [5, 2000, 0])
async def test_the_number_of_parts_is_limited_as_that_of_the_fields_of_a_form(most: int) -> None:
    async def read(request: web.Request) -> web.Response:
        parts = [part async for part in await request.multipart()]
        return web.Response(text=str(len(parts)))

    app = web.Application(client_max_size=0, client_max_fields=most)
    app.router.add_post("/", read)
    async with facing(app) as stage:
        for number in (most or 3000, (most or 3000) + 1):
            answer = await one(stage, post(part(NAME) * number + b"--B--", f"Content-Type: {FORM}"))
            if number <= (most or number):
                assert (answer.status, answer.body) == (200, b"%d" % number)
            else:
                assert answer.status == 413
                (said,) = stage.said()
                assert "TooManyPartsError" in said


async def test_a_bomb_in_a_part_is_stopped() -> None:
    async def read(request: web.BaseRequest) -> int:
        size = 0
        async for each in await request.multipart():
            assert not isinstance(each, MultipartReader)
            size += len(await each.read(decode=True))
        return size

    async with facing(reading(read)) as stage:
        body = part(NAME, b"Content-Encoding: gzip", body=bomb("gzip")) + b"--B--"
        assert (await one(stage, post(body, f"Content-Type: {FORM}"))).status == 413
        assert len(stage.said()) <= 1


@pytest.mark.parametrize("chunked", [False, True], ids=["length", "chunked"])
async def test_a_body_that_nobody_reads_is_held_within_bounds(chunked: bool) -> None:
    gate = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.Response:
        if request.method == "POST":
            await gate.wait()
            return web.Response(text=str(await all_chunks(request)))
        return web.Response()

    async with facing(handler, read_bufsize=2**16) as stage:
        client = await stage.connect()
        sending = asyncio.create_task(client.send(post(bytes(16 * MEBI), chunked=chunked)))
        await until(lambda: any(each.exchange for each in stage.server.core.connections))
        (connection,) = stage.server.core.connections
        body = connection.exchange.incoming
        await until(lambda: body.paused)
        await passes(50)
        assert body.size < MEBI
        assert not sending.done()
        gate.set()
        assert (await client.answer()).body == b"%d" % (16 * MEBI)
        await sending


async def test_many_tiny_chunks_cost_no_quadratic_time() -> None:
    """200,000 chunks of a byte: quadratic work would take minutes and hang here."""
    body = b"1\r\nx\r\n" * 200_000 + b"0\r\n\r\n"
    head = b"POST / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with facing() as stage:
        assert (await one(stage, head + body)).status == 200
        assert stage.calls == [("POST", "/", b"x" * 200_000)]


async def test_tiny_chunks_that_nobody_reads_are_held_within_bounds() -> None:
    """The client is made to wait; what waits with it is counted in pieces too, for each of them costs memory."""
    gate = asyncio.Event()
    size = 0

    async def handler(request: web.BaseRequest) -> web.Response:
        nonlocal size
        if request.method == "POST":
            await gate.wait()
            size = await all_chunks(request)
        return web.Response()

    async with facing(handler) as stage:
        client = await stage.connect()
        block = b"2\r\nxx\r\n" * 10_000
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
        sending = asyncio.create_task(client.send(*[block] * 30, b"0\r\n\r\n"))
        await until(lambda: any(each.exchange for each in stage.server.core.connections))
        (connection,) = stage.server.core.connections
        body = connection.exchange.body
        await until(lambda: body.paused)
        await passes(20)
        assert len(body._raw) < 100_000
        gate.set()
        assert (await client.answer()).status == 200
        await sending
        assert size == 2 * 10_000 * 30


COOKIES = {
    "quotes": b'a="' + b"\\" * MEBI,
    "quoted pairs": b'a="' + b'\\"' * (MEBI // 2),
    "octal": b'a="' + b"\\101" * (MEBI // 4),
    "semicolons": b";" * MEBI,
    "equals": b"=" * MEBI,
    "pairs": b"a=b;" * (MEBI // 4),
    "blanks": b"a=b" + b" " * MEBI + b"c",
    "commas": b"a=b," * (MEBI // 4),
    "one name": b"a" * MEBI,
}


@pytest.mark.parametrize("cookies", COOKIES.values(), ids=COOKIES)
async def test_cookies_are_read_in_linear_time(cookies: bytes) -> None:
    """A mebibyte, which the limits of a head forbid unless they are raised: quadratic work would hang here."""

    async def handler(request: web.BaseRequest) -> web.Response:
        return web.Response(text=str(len(request.cookies)))

    async with facing(handler, max_field_size=2 * MEBI) as stage:
        head = b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\nCookie: " + cookies + b"\r\n\r\n"
        assert (await one(stage, head)).status == 200
