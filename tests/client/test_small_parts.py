"""Route, links, the core's checks, the upload tracker, and the boundary of exceptions: each a small file of its own."""

from __future__ import annotations

import errno

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

import endwell
from endwell.client.core import checked_base, merge_headers
from endwell.client.links import parse_links
from endwell.client.mapping import public_error
from endwell.client.options import RequestOptions
from endwell.client.route import Route, find_route
from endwell.client.upload import UploadTracker
from endwell.http.codings import CodingError, DecodedTooLargeError
from endwell.http.url import target_of
from endwell.transport.proxy import Credentials
from endwell.wire.http1 import ProtocolError, TruncatedError

PLAIN = target_of("http://a.example/x")
SECURE = target_of("https://a.example/x")

# route.py


def test_the_direct_way():
    route = Route(PLAIN)
    assert (route.tunnel, route.absolute_form, route.server_hostname) == (False, False, "a.example")
    assert route.key == PLAIN.key
    assert (route.connection_key.host, route.connection_key.port, route.connection_key.is_ssl) == (
        "a.example",
        80,
        False,
    )


@pytest.mark.parametrize(
    ("target", "proxy", "tunnel"),
    [
        (PLAIN, "http://p:1", False),
        (SECURE, "http://p:1", True),
        (PLAIN, "https://p:1", False),
        (SECURE, "https://p:1", True),
        (PLAIN, "socks5://p:1", True),
    ],
)
def test_by_a_proxy(target, proxy, tunnel):
    route = Route(target, proxy=URL(proxy))
    assert (route.tunnel, route.absolute_form) == (tunnel, not tunnel)
    assert (route.proxy_key.host, route.proxy_key.port) == ("p", 1)


WAYS = {
    "direct": {},
    "unchecked": {"ssl": False},
    "named": {"server_hostname": "b.example"},
    "proxy": {"proxy": URL("http://p:1")},
    "other proxy": {"proxy": URL("http://p:2")},
    "credentials": {"proxy": URL("http://p:1"), "credentials": Credentials("a", "b")},
    "other credentials": {"proxy": URL("http://p:1"), "credentials": Credentials("a", "c")},
    "fields": {"proxy": URL("http://p:1"), "proxy_headers": CIMultiDict({"X": "y"})},
}


def test_connections_that_go_another_way_are_not_shared():
    keys = {name: Route(SECURE, **way).key for name, way in WAYS.items()}
    assert len(set(keys.values())) == len(keys)
    assert keys == {name: Route(SECURE, **way).key for name, way in WAYS.items()}
    assert Route(SECURE).key != Route(PLAIN).key


def test_a_plain_proxy_is_one_peer_for_all_origins():
    other = target_of("http://b.example/")
    assert Route(PLAIN, proxy=URL("http://p:1")).key == Route(other, proxy=URL("http://p:1")).key
    assert Route(PLAIN, proxy=URL("socks5://p:1")).key != Route(other, proxy=URL("socks5://p:1")).key


def test_credentials_become_a_field_for_the_proxy_and_are_not_shown():
    route = Route(SECURE, proxy=URL("http://p:1"), credentials=Credentials("user", "hunter2"))
    assert route.proxy_headers["Proxy-Authorization"] == "Basic dXNlcjpodW50ZXIy"
    shown = repr(route.connection_key) + repr(route.proxy_key) + str(route.proxy_key)
    assert "hunter2" not in shown
    assert "dXNlcjpodW50ZXIy" not in shown


def test_a_field_of_the_user_beats_the_credentials():
    own = CIMultiDict({"proxy-authorization": "Bearer x"})
    route = Route(SECURE, proxy=URL("http://p:1"), credentials=Credentials("a", "b"), proxy_headers=own)
    assert route.proxy_headers.getall("Proxy-Authorization") == ["Bearer x"]
    assert own.getall("Proxy-Authorization") == ["Bearer x"]


async def test_the_way_is_found_from_the_arguments_and_the_environment(monkeypatch):
    monkeypatch.setenv("http_proxy", "http://user:pass@env:3128")
    monkeypatch.setenv("no_proxy", "none.example")
    options = RequestOptions()
    async with endwell.ClientSession() as session:
        assert find_route(PLAIN, options, session).proxy is None
        given = find_route(PLAIN, options.merged({"proxy": "http://u:p@given:1"}), session)
        assert (given.proxy, given.credentials) == (URL("http://given:1"), Credentials("u", "p"))
    async with endwell.ClientSession(trust_env=True) as session:
        found = find_route(PLAIN, options, session)
        assert (found.proxy, found.credentials) == (URL("http://env:3128"), Credentials("user", "pass"))
        assert find_route(target_of("http://none.example/"), options, session).proxy is None
        assert find_route(PLAIN, options.merged({"proxy": "http://given:1"}), session).proxy == URL("http://given:1")
        for wrong in ("ftp://p:1", "p:1", "/p"):
            with pytest.raises(ValueError, match="proxy"):
                find_route(PLAIN, options.merged({"proxy": wrong}), session)


# links.py

BASE = URL("http://a.example/x/y")


def links(*values: str) -> list[tuple[str, dict]]:
    return [(key, {name: str(value) for name, value in found.items()}) for key, found in parse_links(values, BASE)]


@pytest.mark.parametrize(
    ("field", "expected"),
    [
        ('<z>; rel="next"', [("next", {"rel": "next", "url": "http://a.example/x/z"})]),
        ("<z>; rel=next", [("next", {"rel": "next", "url": "http://a.example/x/z"})]),
        ("<http://b.example/>", [("http://b.example/", {"url": "http://b.example/"})]),
        ("<a>;rel=one,<b>;rel=two", [("one", None), ("two", None)]),
        ('<a>; title="x, y; z"; rel="one", <b>; rel=two', [("one", None), ("two", None)]),
        ('<a?b=c,d>; rel="one"', [("one", {"rel": "one", "url": "http://a.example/x/a?b=c,d"})]),
        ("", []),
        ("nonsense", []),
        ("nonsense, <b>; rel=two", [("two", None)]),
        ("<unfinished", []),
        ("<a>; rel", [("", None)]),
        ("<>; rel=self", [("self", {"rel": "self", "url": "http://a.example/x/y"})]),
    ],
)
def test_links(field, expected):
    got = links(field)
    assert [key for key, _ in got] == [key for key, _ in expected]
    for (_, found), (_, wanted) in zip(got, expected, strict=True):
        assert wanted is None or found == wanted


def test_several_fields_are_one_list():
    assert [key for key, _ in links("<a>; rel=one", "<b>; rel=two")] == ["one", "two"]


@given(st.text('<>,;=" ab\t\\', max_size=60))
def test_any_link_field_is_read_to_its_end(field):
    for key, found in parse_links([field], BASE):
        assert isinstance(key, str)
        assert isinstance(found["url"], URL)


def test_a_hostile_link_field_is_bounded():
    assert len(links("<a>; rel=x," * 100_000)) <= 500
    for hostile in (
        "<" * 60_000,
        "<a>" + ";a=" * 30_000,
        '<a>; b="' + "\\" * 60_000,
        "," * 60_000,
        "<a>;" + " " * 60_000,
    ):
        links(hostile)


# core.py


def test_given_fields_are_put_over_others():
    session = CIMultiDict([("A", "1"), ("A", "2"), ("B", "3")])
    merged = merge_headers(session, [("a", "4"), ("A", "5"), ("C", "6")])
    assert sorted(merged.items()) == [("A", "5"), ("B", "3"), ("C", "6"), ("a", "4")]
    assert session.getall("A") == ["1", "2"]
    assert list(merge_headers(None, {"X": "y"}).items()) == [("X", "y")]
    assert list(merge_headers(None, CIMultiDict([("X", "1"), ("x", "2")])).items()) == [("X", "1"), ("x", "2")]
    assert not merge_headers(None, None)


def test_base_urls():
    assert checked_base(None) is None
    assert checked_base("http://a.example") == URL("http://a.example")
    assert checked_base(URL("http://a.example/x/")) == URL("http://a.example/x/")
    for wrong in ("x", "/x/", "http://a.example/x", ""):
        with pytest.raises(ValueError, match="base_url"):
            checked_base(wrong)


# upload.py


async def test_an_upload_tracker():
    tracker = UploadTracker()
    assert (tracker.attempts, tracker.bytes_written) == (0, 0)
    tracker._begin(None, 5)
    first = tracker.upload_complete
    assert not first.done()
    assert "open" in repr(tracker)
    assert tracker.bytes_written == 5
    tracker._end(None)
    assert first.done()
    assert await first is None
    assert "5 bytes in attempt 1, ended" in repr(tracker)


async def test_a_second_attempt_begins_anew():
    tracker = UploadTracker()
    tracker._begin(None, 5)
    tracker._end(endwell.UploadAbortedError("cut"))
    aborted = tracker.upload_complete
    tracker._begin(None)
    assert (tracker.attempts, tracker.bytes_written) == (2, 0)
    tracker._end(None)
    tracker._end(endwell.UploadAbortedError("too late"))
    assert await tracker.upload_complete is None
    with pytest.raises(endwell.UploadAbortedError, match="cut"):
        await aborted


# mapping.py


class Exchange:
    request_info = None

    def describe(self) -> str:
        return "GET http://a.example/"


@pytest.mark.parametrize(
    ("low", "public"),
    [
        (TruncatedError("x"), endwell.ServerDisconnectedError),
        (TruncatedError("x", "start"), endwell.ServerDisconnectedError),
        (TruncatedError("x", "body"), endwell.ClientPayloadError),
        (ProtocolError("x"), endwell.ClientResponseError),
        (ProtocolError("x", "body"), endwell.ClientPayloadError),
        (CodingError("gzip", "x"), endwell.ClientPayloadError),
        (DecodedTooLargeError("gzip", 10), endwell.ClientPayloadError),
        (ConnectionResetError(errno.ECONNRESET, "reset"), endwell.ClientOSError),
        (OSError(errno.EPIPE, "pipe"), endwell.ClientOSError),
    ],
)
def test_low_errors_become_public_ones(low, public):
    error = public_error(low, Exchange())
    assert isinstance(error, public)
    assert error.__cause__ is low
    if not isinstance(error, endwell.ClientResponseError):
        assert "http://a.example/" in str(error)


@pytest.mark.parametrize(
    "error",
    [TimeoutError(), endwell.ClientError("x"), endwell.ServerTimeoutError(), KeyboardInterrupt(), LookupError()],
)
def test_others_pass_as_they_are(error):
    assert public_error(error, Exchange()) is error


def test_a_time_out_of_the_operating_system_is_an_os_error():
    error = public_error(TimeoutError(errno.ETIMEDOUT, "timed out"), Exchange())
    assert isinstance(error, endwell.ClientOSError)
    assert error.errno == errno.ETIMEDOUT
