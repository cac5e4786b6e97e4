"""Whom trusted proxies say a request is from: which address of a list, which scheme, which host."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.server.proxied import _KEPT_MAX, MAX_HOPS, Proxied, TrustedProxies
from endwell.server.settings import TRUSTED_FIELDS, core_settings
from endwell.wire.http1.limits import Limits
from endwell.wire.http1.request_head import parse_request_head

ALL = ("Forwarded", "X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host")
TRUSTED = ("127.0.0.1", "10.0.0.0/8", "2001:db8::/32")
CLIENT = "203.0.113.9"


class Connection:
    """One that comes from `peer`: a tuple, or what asyncio and uvloop say of a Unix socket."""

    def __init__(self, peer: Any) -> None:
        self.extra = {"peername": peer, "sockname": ("127.0.0.1", 80) if isinstance(peer, tuple) else "/run/socket"}

    def get_extra_info(self, name: str, default: Any = None) -> Any:
        return self.extra.get(name, default)


PROXY = Connection(("127.0.0.1", 50000))


def head_of(*lines: str) -> Any:
    return parse_request_head("\r\n".join(("GET / HTTP/1.1", "Host: own", *lines, "", "")).encode("latin-1"), Limits())


def origin(*lines: str, peer: Connection = PROXY, trusted: Any = TRUSTED, fields: Any = ALL) -> Proxied | None:
    return TrustedProxies(trusted, fields).origin(peer, head_of(*lines))


def client(*lines: str, **kwargs: Any) -> Any:
    found = origin(*lines, **kwargs)
    return None if found is None else found.client


@pytest.mark.parametrize(
    ("field", "address", "port"),
    [
        (CLIENT, CLIENT, 0),
        (f" {CLIENT}\t", CLIENT, 0),
        (f"{CLIENT}:8080", CLIENT, 8080),
        ("2001:DB9:0::1", "2001:db9::1", 0),
        ("[2001:db9::1]", "2001:db9::1", 0),
        ("[2001:db9::1]:443", "2001:db9::1", 443),
        ("::ffff:203.0.113.9", CLIENT, 0),
        ("::1", "::1", 0),
        # the right-most that is no proxy, never the left-most
        (f"8.8.8.8, {CLIENT}", CLIENT, 0),
        (f"8.8.8.8, {CLIENT}, 10.1.2.3", CLIENT, 0),
        (f"10.9.9.9,8.8.8.8,{CLIENT},10.1.2.3,127.0.0.1,2001:db8::7", CLIENT, 0),
        (f"127.0.0.1, {CLIENT}", CLIENT, 0),
        (f"{CLIENT}, ::ffff:10.1.2.3", CLIENT, 0),
        (f"{CLIENT}, [2001:db8::1]:3128, 10.0.0.1:80", CLIENT, 0),
        # each has vouched for the one before
        ("10.1.2.3", "10.1.2.3", 0),
        ("10.1.2.3, 10.4.5.6", "10.1.2.3", 0),
        # what is no address ends the walk
        (f"nonsense, {CLIENT}", CLIENT, 0),
        (f"{CLIENT}, unknown, 10.1.2.3", "10.1.2.3", 0),
        (f"{CLIENT}, , 10.1.2.3,", CLIENT, 0),
    ],
)  # fmt: skip
def test_the_client_of_a_list(field: str, address: str, port: int) -> None:
    assert client(f"X-Forwarded-For: {field}") == (address, port)


@pytest.mark.parametrize(
    "field",
    [
        "", ",", "unknown", "_hidden", "nonsense", "example.org", "localhost", f"{CLIENT}, unknown", f"{CLIENT}, _x",
        "203.0.113", "203.0.113.256", "203.0.113.09", "0x7f.0.0.1", "2130706433", "203.0.113.9.", "203.0.113.9:",
        "203.0.113.9:65536", "203.0.113.9:-1", "203.0.113.9:80:80", "203.0.113.9 ; x", "203.0.113.9/24", "1.2.3.4 5",
        "[203.0.113.9]", "[::1", "::1]", "[::1]:", "[]", ":", "::1::2", "fe80::1%eth0", "[fe80::1%25eth0]", "::g",
        '"203.0.113.9"', "\u00b2\u00b3.0.0.1", "203.0.113.9\u00a0", "1" * 5000, ":" * 5000, "[" * 5000,
    ],
)  # fmt: skip
def test_what_is_no_address_leaves_the_peer(field: str) -> None:
    assert origin(f"X-Forwarded-For: {field}") is None


@pytest.mark.parametrize(
    ("field", "address", "port"),
    [
        (f"for={CLIENT}", CLIENT, 0),
        (f'For="{CLIENT}:8080"', CLIENT, 8080),
        (f'for="{CLIENT}:_port"', CLIENT, 0),
        ('for="[2001:db9::1]"', "2001:db9::1", 0),
        ('for="[2001:db9::1]:443"; by=10.0.0.1', "2001:db9::1", 443),
        (f"for=8.8.8.8, for={CLIENT};proto=http;by=_me, for=10.0.0.1", CLIENT, 0),
        (f'for=8.8.8.8;host="a,b", for={CLIENT}', CLIENT, 0),
        (f"for={CLIENT}, for=unknown, for=10.0.0.1", "10.0.0.1", 0),
        (f"for={CLIENT}, proto=http, for=10.0.0.1", "10.0.0.1", 0),
        # a quote that somebody leaves open swallows nothing
        (f'for=", for={CLIENT};proto=https', CLIENT, 0),
        (f'for="8.8.8.8, for={CLIENT};host="example.org"', CLIENT, 0),
        (f'", for={CLIENT}', CLIENT, 0),
    ],
)
def test_the_client_of_forwarded(field: str, address: str, port: int) -> None:
    assert client(f"Forwarded: {field}", "X-Forwarded-For: 8.8.4.4") == (address, port)


@pytest.mark.parametrize("field", ["for=unknown", "for=_hidden", "for", "=", '"', f"for={CLIENT}, for=unknown", "x=y"])
def test_forwarded_without_an_address_leaves_the_peer(field: str) -> None:
    assert origin(f"Forwarded: {field}") is None


def test_several_fields_are_one_list() -> None:
    assert client("X-Forwarded-For: 8.8.8.8", "A: b", f"x-forwarded-for: {CLIENT}, 10.0.0.1") == (CLIENT, 0)
    assert client("Forwarded: for=8.8.8.8", f"forwarded: for={CLIENT}") == (CLIENT, 0)


SAID = "X-Forwarded-For: " + CLIENT


@pytest.mark.parametrize(
    ("peer", "trusted", "believed"),
    [
        (("127.0.0.1", 5), "127.0.0.1", True),
        (("127.0.0.2", 5), "127.0.0.1", False),
        (("127.0.0.2", 5), " 10.0.0.0/8 , 127.0.0.0/8 ", True),
        (("::ffff:127.0.0.1", 5, 0, 0), ["127.0.0.1"], True),
        (("127.0.0.1", 5), ["::ffff:127.0.0.1"], True),
        (("10.200.0.1", 5), ["::ffff:10.0.0.0/104"], True),
        (("11.200.0.1", 5), ["::ffff:10.0.0.0/104"], False),
        (("::1", 5, 0, 0), ["127.0.0.1"], False),
        (("::1", 5, 0, 0), ["::1"], True),
        (("2001:db8::5", 5, 0, 0), {"2001:db8::/32"}, True),
        (("2001:db9::5", 5, 0, 0), {"2001:db8::/32"}, False),
        (("fe80::1%eth0", 5, 0, 2), ["fe80::/10"], True),
        (("192.0.2.1", 5), "*", True),
        (("192.0.2.1", 5), "unix", False),
        ("", "unix", True),
        (b"", "unix", True),
        ("", "*", True),
        ("", "127.0.0.1,::1", False),
        (None, "unix", True),
    ],
)
def test_who_is_believed(peer: Any, trusted: Any, believed: bool) -> None:
    assert (client(SAID, peer=Connection(peer), trusted=trusted) == (CLIENT, 0)) is believed


def test_a_connection_that_is_gone_is_no_unix_socket() -> None:
    gone = Connection(None)
    gone.extra.clear()
    assert origin(SAID, peer=gone, trusted="unix,127.0.0.1,*") is None


def test_every_peer_is_trusted_and_not_every_address() -> None:
    """With ``*`` the left-most address would be whatever the client has written."""
    stranger = Connection(("192.0.2.1", 5))
    assert client("X-Forwarded-For: 8.8.8.8, " + CLIENT, peer=stranger, trusted="*") == (CLIENT, 0)
    lists = f"X-Forwarded-For: 8.8.8.8, {CLIENT}, 10.0.0.1"
    assert client(lists, peer=stranger, trusted="*") == ("10.0.0.1", 0)
    assert client(lists, peer=stranger, trusted="*,10.0.0.0/8") == (CLIENT, 0)


@pytest.mark.parametrize(
    ("addresses", "said", "scheme"),
    [
        (CLIENT, "https", "https"),
        (CLIENT, "HTTPS", "https"),
        (CLIENT, "http", "http"),
        (CLIENT, "wss", "https"),
        (CLIENT, "ws", "http"),
        (CLIENT, "gopher", None),
        (CLIENT, "https;", None),
        (CLIENT, "https" * 1000, None),
        (CLIENT, "", None),
        ("", "https", "https"),
        ("unknown", "https", "https"),
        (CLIENT, "https, http", "http"),  # somebody's, then the proxy's
        (f"8.8.8.8, {CLIENT}", "https, http", "http"),
        (f"8.8.8.8, {CLIENT}", "https", "https"),
        (f"{CLIENT}, 10.0.0.1", "https, http", "https"),  # two proxies: TLS ended at the first
        (f"8.8.8.8, {CLIENT}, 10.0.0.1", "http, https, http", "https"),
        (f"{CLIENT}, 10.0.0.1", "http, https, http", "http"),
    ],
)
def test_the_scheme(addresses: str, said: str, scheme: str | None) -> None:
    found = origin(f"X-Forwarded-For: {addresses}", f"X-Forwarded-Proto: {said}")
    assert (None if found is None else found.scheme) == scheme


def test_the_scheme_and_host_of_forwarded_are_those_beside_the_client() -> None:
    field = f"for=8.8.8.8;proto=http;host=a, for={CLIENT};proto=https;host=b, for=10.0.0.1;proto=http;host=c"
    assert origin(f"Forwarded: {field}") == ((CLIENT, 0), "https", "b")
    assert origin("Forwarded: for=unknown;proto=https") == (None, "https", None)
    assert origin("Forwarded: proto=https;for=_x;host=y") == (None, "https", "y")
    assert origin("Forwarded: for=10.0.0.1;proto=https, for=10.0.0.2;proto=http") == (("10.0.0.1", 0), "https", None)


@pytest.mark.parametrize(
    ("said", "host"),
    [
        ("example.org", "example.org"),
        ("example.org:8443", "example.org:8443"),
        ("[::1]:80", "[::1]:80"),
        ("evil.example, example.org", "example.org"),
        ("", None),
        ("user@example.org", None),
        ("example.org/path", None),
        ("exam ple.org", None),
        ("example.org:0", None),
        ("example.org:99999", None),
        ("[::1", None),
        (":80", None),
        ("xn--\u00fc", None),
        ("a" * 301, None),
    ],
)
def test_the_host(said: str, host: str | None) -> None:
    found = origin(f"X-Forwarded-Host: {said}")
    assert (None if found is None else found.host) == host


def test_what_is_not_asked_for_is_not_read() -> None:
    """A proxy passes on what it does not set: by default neither Forwarded nor the host is believed."""
    lies = ("Forwarded: for=8.8.8.8;proto=https;host=evil.example", "X-Forwarded-Host: evil.example")
    assert TRUSTED_FIELDS == ("X-Forwarded-For", "X-Forwarded-Proto")
    assert origin(*lies, fields=TRUSTED_FIELDS) is None
    assert origin(*lies, SAID, fields=TRUSTED_FIELDS) == ((CLIENT, 0), None, None)
    assert origin(*lies, SAID, "X-Forwarded-Proto: https", fields="x-forwarded-for") == ((CLIENT, 0), None, None)
    assert origin(*lies, SAID, fields="FORWARDED") == (("8.8.8.8", 0), "https", "evil.example")


NOISE = st.text(
    st.characters(min_codepoint=0x20, max_codepoint=0xFF, exclude_characters="\x7f"), max_size=60
) | st.text('",;=\\ :[]1.forunknow_', max_size=60)


@given(NOISE)
def test_nothing_that_a_client_writes_outweighs_its_proxy(noise: str) -> None:
    lines = (f"X-Forwarded-For: {noise}, {CLIENT}", f"X-Forwarded-Proto: {noise}, https")
    assert origin(*lines, fields=TRUSTED_FIELDS) == ((CLIENT, 0), "https", None)
    line = f'Forwarded: {noise}, for={CLIENT};proto=https;host="own:80"'
    assert origin(line) == ((CLIENT, 0), "https", "own:80")


@given(NOISE, NOISE)
def test_nothing_fails(one: str, two: str) -> None:
    origin(f"X-Forwarded-For: {one}", f"X-Forwarded-Proto: {two}", f"X-Forwarded-Host: {two}")
    origin(f"Forwarded: {one}", f"Forwarded: {two}")


def test_long_lists_are_read_up_to_a_bound() -> None:
    junk = ", ".join(["1.2.3.4"] * 800)
    assert client(f"X-Forwarded-For: {junk}, {CLIENT}") == (CLIENT, 0)
    assert client(f"X-Forwarded-For: {CLIENT}" + ", 10.0.0.1" * (MAX_HOPS - 1)) == (CLIENT, 0)
    assert client(f"X-Forwarded-For: {CLIENT}" + ", 10.0.0.1" * MAX_HOPS) == ("10.0.0.1", 0)
    quotes = 'for="' + "x," * 2000
    assert client(f"Forwarded: {quotes}", f"Forwarded: for={CLIENT}") == (CLIENT, 0)
    assert client(f'Forwarded: {quotes}"') is None


def test_what_is_kept_is_bounded() -> None:
    proxies = TrustedProxies(TRUSTED, TRUSTED_FIELDS)
    for number in range(_KEPT_MAX + 10):
        address = f"100.64.{number // 256}.{number % 256}"
        found = proxies.origin(PROXY, head_of(f"X-Forwarded-For: {address}"))
        assert found is not None
        assert found.client == (address, 0)
    assert len(proxies._read) <= _KEPT_MAX
    assert len(proxies._known) <= _KEPT_MAX
    long = f"X-Forwarded-For: {'1.2.3.4, ' * 100}{CLIENT}"
    before = len(proxies._read)
    for _ in range(2):
        assert proxies.origin(PROXY, head_of(long)) == ((CLIENT, 0), None, None)
    assert len(proxies._read) == before


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("localhost", "not resolved"),
        ("10.0.0.1/8", "host bits"),
        ("10.0.0.0/33", "'10.0.0.0/33' names no proxy"),
        ("", "'' names no proxy"),
        ("0.0.0.0/0", "every address"),
        ("::/0", "every address"),
        ("::ffff:0:0/96", "every address"),
        ("10.*", "names no proxy"),
        (10, "names no proxy"),
    ],
)
def test_what_names_no_proxy_is_refused(name: Any, text: str) -> None:
    with pytest.raises(ValueError, match=text.replace("*", r"\*")):
        TrustedProxies([name], TRUSTED_FIELDS)


def test_fields_that_nobody_knows_are_refused() -> None:
    with pytest.raises(ValueError, match=r"'x-real-ip': the fields that can be trusted are forwarded, x-forwarded-for"):
        core_settings(trusted_proxies="127.0.0.1", trusted_fields=["X-Real-IP"])


@pytest.mark.parametrize("nobody", [None, "", (), []])
def test_it_is_off_when_nobody_is_trusted(nobody: Any) -> None:
    assert core_settings(trusted_proxies=nobody)["proxies"] is None
    assert core_settings()["proxies"] is None
