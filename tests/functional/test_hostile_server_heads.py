"""Heads that are none, or too much of one: refused with the right status (RFC 9112 sections 2, 3, 5; RFC 9110 7.2)."""

from __future__ import annotations

import pytest

from endwell import web
from tests.support.raw import facing, refused

HOST = b"Host: a\r\n"
SPLITS = pytest.mark.parametrize("together", [True, False], ids=["together", "bytes"])


def cut(data: bytes, together: bool) -> list[bytes]:
    """Give the segments that are sent."""
    return [data] if together else [bytes([byte]) for byte in data]


BAD_LINES = {
    "HTTP/0.9": (b"GET /s3cr3t\r\n", 400),
    "HTTP/2.0": (b"GET / HTTP/2.0\r\n", 505),
    "HTTP/1.2": (b"GET / HTTP/1.2\r\n", 505),
    "HTTP/3": (b"GET / HTTP/3\r\n", 505),
    "HTTP/11": (b"GET / HTTP/11\r\n", (400, 505)),
    "HTTP/1.10": (b"GET / HTTP/1.10\r\n", (400, 505)),
    "the preface of HTTP/2": (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 505),
    "lower case": (b"GET / http/1.1\r\n", 400),
    "another protocol": (b"GET / FTP/1.1\r\n", 400),
    "no target": (b"GET HTTP/1.1\r\n", 400),
    "empty target": (b"GET  HTTP/1.1\r\n", 400),
    "no method": (b" / HTTP/1.1\r\n", 400),
    "two spaces": (b"GET  / HTTP/1.1\r\n", 400),
    "a tab": (b"GET\t/ HTTP/1.1\r\n", 400),
    "space at the end": (b"GET / HTTP/1.1 \r\n", 400),
    "space in the target": (b"GET /a s3cr3t HTTP/1.1\r\n", 400),
    "NUL in the target": (b"GET /\x00 HTTP/1.1\r\n", 400),
    "CR in the target": (b"GET /\r HTTP/1.1\r\n", 400),
    "bytes over 127 in the target": (b"GET /\xc3\xa9 HTTP/1.1\r\n", 400),
    "DEL in the target": (b"GET /\x7f HTTP/1.1\r\n", 400),
    "not a token": (b"G(T / HTTP/1.1\r\n", 400),
    "NUL in the method": (b"G\x00T / HTTP/1.1\r\n", 400),
    "a long method": (b"A" * 65 + b" / HTTP/1.1\r\n", 501),
    "LF alone": (b"GET / HTTP/1.1\n", 400),
    "LF before": (b"\nGET / HTTP/1.1\r\n", 400),
    "a response": (b"HTTP/1.1 200 OK\r\n", 400),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
    "five empty lines": (b"\r\n" * 5 + b"GET / HTTP/1.1\r\n", 400),
    "target of CONNECT is a path": (b"CONNECT / HTTP/1.1\r\n", 400),
    "target of CONNECT without a port": (b"CONNECT a HTTP/1.1\r\n", 400),
    "asterisk with GET": (b"GET * HTTP/1.1\r\n", 400),
    "authority with GET": (b"GET a:80 HTTP/1.1\r\n", 400),
    "relative path": (b"GET s3cr3t HTTP/1.1\r\n", 400),
    "other scheme": (b"GET ftp://a/ HTTP/1.1\r\n", 400),
    "no authority": (b"GET http:///s3cr3t HTTP/1.1\r\n", 400),
    "user information": (b"GET http://u:s3cr3t@a/ HTTP/1.1\r\n", 400),
    "unclosed bracket": (b"GET http://[::1/ HTTP/1.1\r\n", 400),
}


@SPLITS
@pytest.mark.parametrize(("line", "status"), BAD_LINES.values(), ids=BAD_LINES)
async def test_a_line_that_is_no_request_line_is_refused(
    line: bytes, status: int | tuple[int, ...], together: bool
) -> None:
    async with facing() as stage:
        await refused(stage, *cut(line + HOST + b"\r\n", together), status=status)
        assert not stage.calls


# Beside the Host: fields that are none (section 5).
BAD_FIELDS = {
    "space before the colon": b"A : s3cr3t\r\n",
    "tab before the colon": b"A\t: s3cr3t\r\n",
    "folded": b"A: b\r\n s3cr3t\r\n",
    "folded with a tab": b"A: b\r\n\ts3cr3t\r\n",
    "begins with a space": b" A: s3cr3t\r\n",
    "no colon": b"s3cr3t\r\n",
    "no name": b": s3cr3t\r\n",
    "name with a space": b"A s3cr3t: b\r\n",
    "name with NUL": b"A\x00: s3cr3t\r\n",
    "name with bytes over 127": b"\xc3\xa9: s3cr3t\r\n",
    "name in quotes": b'"s3cr3t": b\r\n',
    "NUL": b"A: b\x00s3cr3t\r\n",
    "bare CR": b"A: b\rs3cr3t: c\r\n",
    "bare CR at the end": b"A: s3cr3t\r\r\n",
    "bare LF": b"A: s3cr3t\n",
    "control character": b"A: \x01s3cr3t\r\n",
    "escape sequence": b"A: \x1b[31ms3cr3t\r\n",
    "DEL": b"A: s3cr3t\x7f\r\n",
}


@SPLITS
@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
@pytest.mark.parametrize("fields", BAD_FIELDS.values(), ids=BAD_FIELDS)
async def test_bad_fields_are_refused(fields: bytes, first: bool, together: bool) -> None:
    lines = fields + HOST if first else HOST + fields
    async with facing() as stage:
        await refused(stage, *cut(b"GET / HTTP/1.1\r\n" + lines + b"\r\n", together))
        assert not stage.calls


BAD_HOSTS = {
    "missing": b"",
    "twice": HOST + HOST,
    "two": HOST + b"Host: b\r\n",
    "list": b"Host: a, b\r\n",
    "path": b"Host: a/b\r\n",
    "query": b"Host: a?b\r\n",
    "fragment": b"Host: a#b\r\n",
    "user information": b"Host: user:s3cr3t@a\r\n",
    "white space": b"Host: a b\r\n",
    "control character": b"Host: a\x01b\r\n",
    "bytes over 127": "Host: \u00e9\r\n".encode(),
    "backslash": b"Host: a\\b\r\n",
    "quotes": b'Host: "a"\r\n',
    "angle brackets": b"Host: <script>\r\n",
    "port of 0": b"Host: a:0\r\n",
    "port of 65536": b"Host: a:65536\r\n",
    "port of 10^30": b"Host: a:1%b\r\n" % (b"0" * 30),
    "negative port": b"Host: a:-1\r\n",
    "port with a sign": b"Host: a:+80\r\n",
    "port of other digits": "Host: a:\u0668\u0660\r\n".encode(),
    "two ports": b"Host: a:80:80\r\n",
    "only a port": b"Host: :80\r\n",
    "unclosed bracket": b"Host: [::1\r\n",
    "unopened bracket": b"Host: ::1]\r\n",
    "IPv6 without brackets": b"Host: ::1\r\n",
    "empty brackets": b"Host: []\r\n",
    "not IPv6": b"Host: [1.2.3.4]\r\n",
    "too many groups": b"Host: [1:2:3:4:5:6:7:8:9]\r\n",
    "two gaps": b"Host: [1::2::3]\r\n",
    "zone id": b"Host: [fe80::1%25eth0]\r\n",
    "bare zone id": b"Host: [fe80::1%eth0]\r\n",
    "future address": b"Host: [v1.a]\r\n",
    "text behind the bracket": b"Host: [::1]a\r\n",
    "bad percent": b"Host: a%zz\r\n",
    "bad Punycode": b"Host: xn--\xff.example\r\n",
    "A-label that is none": b"Host: xn--a-ecp.ru.xn--\r\n",
}


@SPLITS
@pytest.mark.parametrize("fields", BAD_HOSTS.values(), ids=BAD_HOSTS)
async def test_a_missing_repeated_or_invalid_host_is_refused(fields: bytes, together: bool) -> None:
    async with facing() as stage:
        await refused(stage, *cut(b"GET / HTTP/1.1\r\n" + fields + b"\r\n", together))
        await refused(stage, *cut(b"GET http://good/ HTTP/1.1\r\n" + fields + b"\r\n", together))
        assert not stage.calls


GOOD_HOSTS = {
    "name": (b"Example.org", "example.org", None),
    "port": (b"a:8080", "a", 8080),
    "IPv4": (b"127.0.0.1:80", "127.0.0.1", None),
    "IPv6": (b"[::1]", "::1", None),
    "IPv6 with a port": (b"[2001:db8::1]:65535", "2001:db8::1", 65535),
    "empty port": (b"a:", "a", None),
    "underscore": (b"a_b", "a_b", None),
    "percent": (b"a%20b", "a%20b", None),
    "punycode": (b"xn--bcher-kva.example", "b\xfccher.example", None),
}


@pytest.mark.parametrize(("given", "host", "port"), GOOD_HOSTS.values(), ids=GOOD_HOSTS)
async def test_hosts_of_any_good_form_make_a_url(given: bytes, host: str, port: int | None) -> None:
    seen = []

    async def handler(request: web.BaseRequest) -> web.Response:
        seen.append((request.host, request.url.host, request.url.explicit_port))
        return web.Response()

    async with facing(handler) as stage:
        await stage.ask(b"GET / HTTP/1.1\r\nConnection: close\r\nHost: " + given + b"\r\n\r\n")
        assert seen[0] == (given.decode(), host, port)


async def test_an_absolute_target_overrides_the_host_but_never_sets_the_scheme() -> None:
    seen = []

    async def handler(request: web.BaseRequest) -> web.Response:
        seen.append((request.host, request.scheme, request.secure, str(request.url), request.path))
        return web.Response()

    async with facing(handler) as stage:
        for scheme in (b"http", b"https", b"HTTPS"):
            target = scheme + b"://b.example:81/p?q=1"
            await stage.ask(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            assert seen.pop() == ("b.example:81", "http", False, "http://b.example:81/p?q=1", "/p")
            assert not seen


# Everything a handler may look at is looked at, for whatever a target or a field can be: never a 500.
ODD_TARGETS = (
    b"//", b"///a", b"//[::1", b"//a@b/c", b"/%", b"/%zz", b"/%00", b"/%ff%fe", b"/..", b"/../../etc", b"/a/./b", b"/?",
    b"/?a=%ff&b=%&=&&c", b"/#f", b"/a#b?c", b"/:80", b"/a:b", b"/;a=b", b"/\\..\\", b"/{x}", b'/"<>', b"/%2f%2e%2e",
    b"http://a", b"http://a?b", b"http://a#b", b"HTTP://A:80/%2f", b"http://[::1]:1/", b"/http://b/",
    b"/" + b"%41" * 1000, b"/?" + b"&" * 4000, b"/?" + b"a=" * 2000,
)  # fmt: skip
ODD_FIELDS = (
    b"Cookie: " + b"=;" * 2000, b'Cookie: a="' + b"\\" * 4000, b"Cookie: " + b"a=b;" * 1000, b"Cookie: \xff\xfe=\xff",
    b"Cookie: __proto__=1; $Version=1; a", b"Content-Type: ;;;==", b"Content-Type: a/b; charset=" + b'"' * 2000,
    b"Content-Type: \xff/\xff; charset=\xff", b"Content-Type: text/plain; charset=rot13", b"If-Match: " + b'W/"' * 1000,
    b'If-None-Match: "' + b"," * 4000, b"If-Modified-Since: Mon, 99 Foo 99999 99:99:99 GMT",
    b"If-Modified-Since: Sun, 06 Nov 0000 08:49:37 GMT", b"If-Unmodified-Since: " + b"9" * 4000,
    b"If-Range: \xff", b"Forwarded: " + b"for=" * 1000, b'Forwarded: for="' + b"\\" * 4000, b"Forwarded: ;;,,==",
    b"Accept-Encoding: " + b"a;q=" * 1000, b"Accept-Encoding: gzip;q=nan, br;q=inf, *;q=-1", b"Expect: 100-continue",
    b"Expect: s3cr3t", b"Upgrade: h2c\r\nConnection: Upgrade, HTTP2-Settings\r\nHTTP2-Settings: AAA",
    b"Connection: " + b"," * 4000, b"Authorization: s3cr3t", b"X-Forwarded-Host: evil", b"A:", b"A: \t ",
)  # fmt: skip


async def look_at_everything(request: web.BaseRequest) -> web.Response:
    """Read each attribute of the request, and answer compressed."""
    for name in (
        "version", "method", "url", "rel_url", "scheme", "secure", "host", "remote", "path", "path_qs", "raw_path",
        "query", "query_string", "headers", "raw_headers", "cookies", "content_type", "charset", "content_length",
        "if_match", "if_none_match", "if_modified_since", "if_unmodified_since", "if_range", "forwarded", "keep_alive",
        "body_exists",
    ):  # fmt: skip
        getattr(request, name)
    repr(request)
    str(request.url)
    str(request.url.human_repr())
    if request.method == "POST":
        await request.post()
    response = web.Response(text="x" * 2000)
    response.enable_compression()
    return response


@pytest.mark.parametrize("as_app", [True, False], ids=["application", "handler"])
async def test_odd_targets_and_fields_are_no_fault_of_the_server(as_app: bool) -> None:
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", look_at_everything)
    async with facing(app if as_app else look_at_everything) as stage:
        for method in (b"GET", b"HEAD", b"POST"):
            requests = [(target, b"A: b") for target in ODD_TARGETS] + [(b"/s", field) for field in ODD_FIELDS]
            for target, field in requests:
                end = b"Connection: close\r\n" if b"Connection:" not in field else b""
                head = method + b" " + target + b" HTTP/1.1\r\n" + HOST + field + b"\r\n" + end + b"\r\n"
                client = await stage.connect()
                await client.send(head)
                answer = await client.answer(method.decode())
                assert answer.status in (200, 404, 417), (target, field, answer)
                client.half_close()
                await client.closed()
        assert stage.said() == []


LIMITS = {
    "long request line": (b"GET /" + b"a" * 200 + b" HTTP/1.1\r\n" + HOST + b"\r\n", 414),
    "request line without end": (b"GET /" + b"a" * 20_000, 414),
    "long field": (b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"s3cr3t" * 40 + b"\r\n\r\n", 431),
    "field without end": (b"GET / HTTP/1.1\r\n" + HOST + b"A: " + b"s3cr3t" * 4000, 431),
    "name without end": (b"GET / HTTP/1.1\r\n" + HOST + b"A" * 20_000, 431),
    "many fields": (b"GET / HTTP/1.1\r\n" + HOST + b"A:b\r\n" * 20 + b"\r\n", 431),
    "fields without end": (b"GET / HTTP/1.1\r\n" + HOST + b"A:b\r\n" * 5000, 431),
}


@SPLITS
@pytest.mark.parametrize(("data", "status"), LIMITS.values(), ids=LIMITS)
async def test_size_and_number_of_fields_are_limited(data: bytes, status: int, together: bool) -> None:
    async with facing(max_line_size=150, max_field_size=120, max_headers=10) as stage:
        await refused(stage, *cut(data[:2000], together), data[2000:], status=status)
        assert not stage.calls


async def test_what_is_within_the_limits_by_a_byte_is_served() -> None:
    line = b"GET /" + b"a" * 50 + b" HTTP/1.1"
    field = b"A: " + b"b" * 50
    data = line + b"\r\n" + HOST + b"Connection: close\r\n" + field + b"\r\n\r\n"
    async with facing(max_line_size=len(line) + 1, max_field_size=len(field) + 1, max_headers=3) as stage:
        assert [answer.status for answer in await stage.ask(data)] == [200]


async def test_a_head_within_the_default_limits_takes_a_bounded_number_of_bytes() -> None:
    """128 fields of 8190 bytes: a mebibyte at most, and then 431."""
    async with facing() as stage:
        client = await stage.connect()
        sent = 0
        await client.send(b"GET / HTTP/1.1\r\n" + HOST)
        while client.sock.fileno() >= 0 and sent < 1000 and not stage.server.core.logger.handlers[0].records:
            await client.send(b"A: " + b"s3cr3t" * 1300 + b"\r\n")
            sent += 1
        assert sent <= 130
        answers = await client.answers()
        assert [answer.status for answer in answers] == [431]
        said = stage.said()
        assert len(said) == 1
        assert "s3cr3t" not in said[0]
