"""Handlers that fail, and what clients or handlers put into a response: no traceback, no second response, no secret."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable

import pytest

from endwell import web
from tests.support.raw import Answer, facing, passes, until
from tests.support.tls import client_context, server_context

GET = b"GET /s HTTP/1.1\r\nHost: a\r\nCookie: s3cr3t\r\nAuthorization: s3cr3t\r\n\r\n"


class TroubleError(Exception):
    """What handlers raise here."""


async def wait_then_raise(_: web.BaseRequest) -> web.Response:
    await asyncio.sleep(0)
    raise TroubleError("about: <b>this</b>")


async def raise_at_once(_: web.BaseRequest) -> web.Response:
    raise TroubleError("about: <b>this</b>")


async def give_none(_: web.BaseRequest) -> None:
    return None


async def give_text(_: web.BaseRequest) -> str:
    return "Trouble about: <b>this</b>"


async def exhaust_the_stack(request: web.BaseRequest) -> web.Response:
    return await exhaust_the_stack(request)


FAILING = (wait_then_raise, raise_at_once, give_none, give_text, exhaust_the_stack)


@pytest.mark.parametrize("debug", [False, True], ids=["", "debug"])
@pytest.mark.parametrize("failing", FAILING)
async def test_a_handler_that_raises_gives_500(failing: Callable[..., object], debug: bool) -> None:
    """With the traceback in the log; in the answer only in debug mode, and then as text."""
    async with facing(failing, debug=debug, alive=False) as stage:
        client = await stage.connect()
        await client.send(GET)
        answer = await client.answer()
        assert answer.status == 500
        assert answer.closes
        assert await client.closed() == "fin"
        shows = b"Traceback" in answer.body
        assert shows == debug
        assert b"<b>this" not in answer.body
        if not debug:
            assert b"Trouble" not in answer.body
            assert b"handler" not in answer.body
        (said,) = stage.said()
        assert "Traceback" in said
        assert "s3cr3t" not in said


@pytest.mark.parametrize("how", ["chunked", "length", "1.0"])
async def test_a_response_that_breaks_off_does_not_look_whole(how: str) -> None:
    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        response = web.StreamResponse()
        if how == "length":
            response.content_length = 100
        await response.prepare(request)
        await response.write(b"begun")
        await asyncio.sleep(0)
        raise TroubleError

    async with facing(handler, alive=False) as stage:
        client = await stage.connect()
        await client.send(GET.replace(b"1.1", b"1.0") if how == "1.0" else GET)
        answer = await client.answer()
        assert answer.status == 200
        assert not answer.complete
        await client.closed()
        (said,) = stage.said()
        assert "Trouble" in said
        assert "s3cr3t" not in said


async def test_a_handler_that_raises_closes_what_it_opened() -> None:
    """Its `async with` blocks end, the files of its form are closed, tasks it started are owned by the server."""
    closed: list[str] = []
    files = []

    async def work() -> None:
        await asyncio.sleep(0)
        closed.append("task")

    class Opened:
        async def __aenter__(self) -> None: ...

        async def __aexit__(self, *_: object) -> None:
            await asyncio.sleep(0)
            closed.append("block")

    async def handler(request: web.BaseRequest) -> web.Response:
        request.create_task(work())
        async with Opened():
            form = await request.post()
            files.append(form["f"].file)
            raise TroubleError

    form = b'--B\r\nContent-Disposition: form-data; name="f"; filename="x"\r\n\r\n' + b"x" * 10**6 + b"\r\n--B--"
    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Type: multipart/form-data; boundary=B\r\nContent-Length: %d\r\n\r\n"
    async with facing(handler, alive=False) as stage:
        (answer,) = await stage.ask(head % len(form) + form)
        assert answer.status == 500
        await until(lambda: len(closed) == 2)
        assert [file.closed for file in files] == [True]
        assert len(stage.said()) == 1


async def test_errors_of_many_clients_do_not_end_the_server() -> None:
    async def handler(request: web.BaseRequest) -> web.Response:
        if request.raw_path == "/fine":
            return web.Response()
        raise TroubleError

    async with facing(handler) as stage:
        for _ in range(50):
            (answer,) = await stage.ask(GET)
            assert answer.status == 500
        assert len(stage.said()) == 50


# What a handler passes on, unchecked, as clients make it: with a line of its own, and a response behind it.
SPLIT = "x\r\nSet-Cookie: evil=1\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
BAD_TEXTS = (SPLIT, "x\ny: z", "x\ry", "x\0y", "\r\n", "x\r\n")


def by_header(text: str) -> web.StreamResponse:
    return web.Response(headers={"X": text})


def by_header_later(text: str) -> web.StreamResponse:
    response = web.Response()
    response.headers["X"] = text
    return response


def by_header_added(text: str) -> web.StreamResponse:
    response = web.Response()
    response.headers.add("Content-Type", text)
    return response


def by_name(text: str) -> web.StreamResponse:
    return web.Response(headers={text: "x"})


def by_reason(text: str) -> web.StreamResponse:
    return web.Response(reason=text)


def by_status(text: str) -> web.StreamResponse:
    response = web.Response()
    response.set_status(200, text)
    return response


def by_content_type(text: str) -> web.StreamResponse:
    return web.Response(content_type="text/" + text)


def by_content_type_later(text: str) -> web.StreamResponse:
    response = web.Response()
    response.content_type = text
    return response


def by_charset(text: str) -> web.StreamResponse:
    response = web.Response(content_type="text/plain")
    response.charset = text
    return response


def by_cookie(text: str) -> web.StreamResponse:
    response = web.Response()
    response.set_cookie("a", "b", path=text)
    return response


def by_cookie_name(text: str) -> web.StreamResponse:
    response = web.Response()
    response.set_cookie(text, "b")
    return response


def by_cookie_domain(text: str) -> web.StreamResponse:
    response = web.Response()
    response.set_cookie("a", "b", domain=text)
    return response


def by_deleted_cookie(text: str) -> web.StreamResponse:
    response = web.Response()
    response.del_cookie(text)
    return response


def by_etag(text: str) -> web.StreamResponse:
    response = web.Response()
    response.etag = text
    return response


def by_error(text: str) -> web.StreamResponse:
    raise web.HTTPBadRequest(headers={"X": text})


def by_error_reason(text: str) -> web.StreamResponse:
    raise web.HTTPBadRequest(reason=text)


def by_redirect_headers(text: str) -> web.StreamResponse:
    raise web.HTTPFound("/x", headers={"X": text})


def by_allow(text: str) -> web.StreamResponse:
    raise web.HTTPMethodNotAllowed("GET", [text])


def by_location_header(text: str) -> web.StreamResponse:
    return web.Response(status=302, headers={"Location": text})


def by_stream(text: str) -> web.StreamResponse:
    return web.StreamResponse(headers={"X": text})


def by_file(text: str) -> web.StreamResponse:
    return web.FileResponse(__file__, headers={"X": text})


def with_cookie(text: str) -> web.StreamResponse:
    response = web.Response()
    response.set_cookie("a", text)
    return response


WAYS = (
    by_header, by_header_later, by_header_added, by_name, by_reason, by_status, by_content_type, by_content_type_later,
    by_charset, by_cookie, by_cookie_name, by_cookie_domain, by_deleted_cookie, by_etag, by_error, by_error_reason,
    by_redirect_headers, by_allow, by_location_header, by_stream, by_file,
)  # fmt: skip


async def pipelined(make: Callable[[str], web.StreamResponse], text: str) -> tuple[list[Answer], list[str]]:
    """Ask for a response that is made with this text; return all answers and what was logged."""

    async def handler(_: web.BaseRequest) -> web.StreamResponse:
        return make(text)

    async with facing(handler, alive=False) as stage:
        answers = await stage.ask(GET)
        return answers, stage.said()


@pytest.mark.parametrize("text", BAD_TEXTS)
@pytest.mark.parametrize("make", WAYS)
async def test_line_breaks_and_nul_never_leave_a_response(make: Callable[[str], web.StreamResponse], text: str) -> None:
    answers, said = await pipelined(make, text)
    assert [answer.status for answer in answers] == [500]
    assert not answers[0].get("set-cookie")
    assert b"evil" not in answers[0].body
    assert said


@pytest.mark.parametrize("text", BAD_TEXTS)
@pytest.mark.parametrize(
    "make",
    [
        web.HTTPFound,
        lambda text: web.HTTPFound("/" + text),
        lambda text: web.Response(text=text),
        lambda text: web.json_response({text: text}),
        with_cookie,
    ],
    ids=["redirect", "redirect to a path", "text", "json", "value of a cookie"],
)
async def test_where_line_breaks_are_quoted_or_content_they_split_nothing(
    make: Callable[[str], web.StreamResponse], text: str
) -> None:
    def answer(text: str) -> web.StreamResponse:
        response = make(text)
        response.force_close()
        if isinstance(response, web.HTTPException):
            raise response
        return response

    answers, _ = await pipelined(answer, text)
    assert len(answers) == 1
    assert answers[0].status in (200, 302, 500)
    cookie = answers[0].get("set-cookie")
    assert cookie is None or cookie.startswith("a=")
    assert answers[0].complete


async def test_fields_set_by_a_signal_or_middleware_are_checked_too() -> None:
    async def prepare(_: web.BaseRequest, response: web.StreamResponse) -> None:
        response.headers["X"] = SPLIT

    async def handler(_: web.BaseRequest) -> web.Response:
        return web.Response(text="fine")

    app = web.Application()
    app.on_response_prepare.append(prepare)
    app.router.add_get("/s", handler)
    async with facing(app, alive=False) as stage:
        client = await stage.connect()
        await client.send(GET)
        answers = await client.answers()
        assert [answer.status for answer in answers] == [500]
        assert all(answer.get("set-cookie") is None for answer in answers)
        assert stage.said()


async def test_the_access_log_has_one_line_for_each_request_whatever_is_in_it() -> None:
    """Escape sequences and line ends of a client do not get into the log as such."""
    lines = []

    class Keep(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            lines.append(record.getMessage())

    logger = logging.Logger("access")  # noqa: LOG001  # of this test alone
    logger.addHandler(Keep())
    fields = b'User-Agent: a\x85b\xe2\x80\xa8c" - \xff\r\nReferer: http://a/\xc2\x9b31m\r\n'
    async with facing(access_log=logger) as stage:
        await stage.ask(b"GET /%0d%0aevil HTTP/1.1\r\nHost: a\r\nConnection: close\r\n" + fields + b"\r\n")
        assert len(lines) == 1
        assert lines[0].isprintable()
        assert "%0d%0aevil" in lines[0]


async def test_clients_that_leave_are_no_error() -> None:
    started = asyncio.Event()

    async def handler(request: web.BaseRequest) -> web.StreamResponse:
        if request.raw_path == "/fine":
            return web.Response()
        response = web.StreamResponse()
        await response.prepare(request)
        started.set()
        while True:
            await response.write(b"x" * 2**16)
            await asyncio.sleep(0)

    async with facing(handler) as stage:
        for reset in (True, False):
            started.clear()
            client = await stage.connect()
            await client.send(GET)
            await started.wait()
            if reset:
                client.reset()
            else:
                client.sock.close()
            await until(lambda: not stage.server.core.work)
        await passes()
        assert stage.said() == []


async def test_expectations_are_answered_once() -> None:
    """100 only to who asked, only before the body, never in HTTP/1.0, and 417 to other wishes of an application."""

    async def handler(request: web.Request) -> web.Response:
        return web.Response(body=await request.read())

    app = web.Application()
    app.router.add_post("/", handler)
    head = b"POST / HTTP/1.%b\r\nHost: a\r\nConnection: %b\r\nContent-Length: 2\r\nExpect: %b\r\n\r\n"
    async with facing(app) as stage:
        client = await stage.connect()
        await client.send(head % (b"1", b"x", b"100-continue"))
        assert (await client.answer()).status == 100
        await client.send(b"ok")
        assert (await client.answer()).body == b"ok"
        await client.send(head % (b"0", b"keep-alive", b"100-continue"), b"ok")
        assert (await client.answer()).body == b"ok"
        await client.send(head % (b"1", b"x", b"s3cr3t"))
        assert (await client.answer()).status == 417


async def test_a_body_that_was_not_asked_for_is_not_taken_for_a_request() -> None:
    """The client waits for 100 and is refused: it may send the body or not, so the connection ends."""

    async def handler(request: web.BaseRequest) -> web.Response:
        return web.Response(status=401 if request.method == "POST" else 200)

    head = b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 60\r\nExpect: 100-continue\r\n\r\n"
    async with facing(handler) as stage:
        client = await stage.connect()
        await client.send(head)
        answer = await client.answer()
        assert (answer.status, answer.closes) == (401, True)
        await client.send(b"GET /smuggled HTTP/1.1\r\nHost: a\r\n\r\n")
        assert await client.answers() == []


async def test_what_is_refused_can_be_read_over_tls_too() -> None:
    """TLS cannot say that it has nothing more to send and go on reading; the answer arrives all the same."""
    async with facing(tls=server_context(), lingering_time=0.4, alive=False) as stage:
        for data in (b"s3cr3t\r\n\r\n", b"GET / HTTP/1.1\r\nHost: a\r\nA : s3cr3t\r\n\r\n" + b"x" * 100_000):
            reader, writer = await asyncio.open_connection("127.0.0.1", stage.server.port, ssl=client_context())
            writer.write(data)
            answer = await reader.read()
            assert answer.startswith(b"HTTP/1.1 400 Bad Request\r\n")
            assert b"\r\nConnection: close\r\n" in answer
            head, _, body = answer.partition(b"\r\n\r\n")
            assert b"\r\nContent-Length: %d" % len(body) in head
            writer.close()
            await writer.wait_closed()
            assert len(stage.said()) == 1
