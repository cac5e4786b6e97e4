from __future__ import annotations

import asyncio
import ssl

import pytest
from yarl import URL

import endwell
from endwell.client.options import DEFAULT_DECOMPRESS_LIMIT, RequestOptions, check_ssl, sentinel

DEFAULTS = RequestOptions()


def test_what_is_not_given_comes_from_the_session():
    session = DEFAULTS.merged({"max_redirects": 3, "read_bufsize": 1000})
    call = session.merged({"allow_redirects": False})
    assert (call.max_redirects, call.read_bufsize, call.allow_redirects) == (3, 1000, False)
    assert (session.allow_redirects, DEFAULTS.max_redirects) == (True, 10)


def test_the_defaults():
    """api.md section 1."""
    assert DEFAULTS.timeout.total == 300
    assert DEFAULTS.timeout.sock_connect == 30
    assert (DEFAULTS.read_bufsize, DEFAULTS.max_redirects, DEFAULTS.max_headers) == (2**18, 10, 128)
    assert (DEFAULTS.max_line_size, DEFAULTS.max_field_size) == (8190, 8190)
    assert (DEFAULTS.auto_decompress, DEFAULTS.allow_redirects, DEFAULTS.ssl) == (True, True, True)
    assert DEFAULTS.decompress_limit == DEFAULT_DECOMPRESS_LIMIT
    assert repr(sentinel) == "<not given>"


def test_an_argument_that_there_is_not():
    with pytest.raises(TypeError, match="no argument 'timout'"):
        DEFAULTS.merged({"timout": 3})


def test_data_and_json_exclude_each_other():
    with pytest.raises(ValueError, match="data and json"):
        DEFAULTS.merged({"data": b"", "json": {}})
    assert DEFAULTS.merged({"data": None, "json": {}}).json == {}


def test_time_outs():
    own = endwell.ClientTimeout(total=3)
    assert DEFAULTS.merged({"timeout": own}).timeout is own
    assert DEFAULTS.merged({"timeout": sentinel}).timeout is DEFAULTS.timeout
    assert DEFAULTS.merged({"timeout": None}).timeout == endwell.ClientTimeout()
    with pytest.warns(DeprecationWarning, match="ClientTimeout"):
        assert DEFAULTS.merged({"timeout": 5}).timeout == endwell.ClientTimeout(total=5)


@pytest.mark.parametrize("name", ["read_bufsize", "max_line_size", "max_field_size", "max_headers"])
def test_sizes(name):
    assert getattr(DEFAULTS.merged({name: 17}), name) == 17
    assert getattr(DEFAULTS.merged({name: None}), name) == getattr(DEFAULTS, name)
    for wrong in (0, -1, "17", 1.5):
        with pytest.raises(ValueError, match=name):
            DEFAULTS.merged({name: wrong})


def test_limits_follow_their_arguments():
    limits = DEFAULTS.merged({"max_headers": 5}).merged({"max_line_size": 100}).limits
    assert (limits.fields, limits.line_size, limits.field_size) == (5, 100, 8190)
    assert DEFAULTS.merged({"max_redirects": 1}).limits is DEFAULTS.limits


def test_max_redirects_is_a_number():
    for value in ("3", 3.0):
        with pytest.raises(TypeError, match="max_redirects must be a whole number"):
            DEFAULTS.merged({"max_redirects": value})
    assert DEFAULTS.merged({"max_redirects": None}).max_redirects == 0, "no limit, as in aiohttp"


@pytest.mark.parametrize(
    "name", ["auto_decompress", "raise_for_status", "proxy", "proxy_auth", "proxy_headers", "middlewares"]
)
def test_none_is_not_given(name):
    session = DEFAULTS.merged({"proxy": "http://p:1", "auto_decompress": False, "middlewares": (len,)})
    assert getattr(session.merged({name: None}), name) == getattr(session, name)


def test_a_proxy_becomes_a_url():
    assert DEFAULTS.merged({"proxy": "http://p:8080"}).proxy == URL("http://p:8080")


def test_ssl():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    pin = endwell.Fingerprint(b"x" * 32)
    for value in (True, False, context, pin):
        assert DEFAULTS.merged({"ssl": value}).ssl is value
        check_ssl(value)
    assert DEFAULTS.merged({"ssl": None}).ssl is True
    for wrong in ("yes", 1, b"x" * 32):
        with pytest.raises(TypeError, match="SSLContext, Fingerprint, or bool"):
            DEFAULTS.merged({"ssl": wrong})


def test_the_arguments_that_ssl_replaced():
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    with pytest.warns(DeprecationWarning, match="verify_ssl"):
        assert DEFAULTS.merged({"verify_ssl": False}).ssl is False
    with pytest.warns(DeprecationWarning, match="ssl_context"):
        assert DEFAULTS.merged({"ssl_context": context}).ssl is context
    with pytest.warns(DeprecationWarning, match="fingerprint"):
        assert DEFAULTS.merged({"fingerprint": b"x" * 32}).ssl == endwell.Fingerprint(b"x" * 32)
    assert DEFAULTS.merged({"verify_ssl": None, "fingerprint": None, "ssl_context": None}).ssl is True


@pytest.mark.parametrize(
    ("given", "plain", "direct"),
    [
        ({}, True, True),
        ({"timeout": None, "max_redirects": 1, "params": "a=b", "data": b"x"}, True, True),
        ({"headers": {}}, False, True),
        ({"cookies": {}}, False, True),
        ({"skip_auto_headers": ()}, False, True),
        ({"compress": True}, False, True),
        ({"expect100": True}, False, True),
        ({"proxy": "http://p"}, False, False),
        ({"ssl": False}, False, False),
        ({"server_hostname": "x"}, False, False),
    ],
)
def test_which_calls_may_take_the_short_way(given, plain, direct):
    options = DEFAULTS.merged(given)
    assert (options.plain, options.direct) == (plain, direct)


def test_cookies_and_credentials_of_a_call_are_left_behind():
    call = DEFAULTS.merged({"cookies": {"a": "b"}, "headers": {"X": "y"}, "max_redirects": 2})
    other = call.without_cookies()
    assert (other.cookies, other.auth, other.headers, other.max_redirects) == (None, None, {"X": "y"}, 2)
    assert call.cookies == {"a": "b"}


# What sessions and connectors refuse


@pytest.mark.parametrize(
    ("kwargs", "error", "text"),
    [
        ({"base_url": "/path/"}, ValueError, "absolute"),
        ({"base_url": "http://a/b"}, ValueError, "trailing slash"),
        ({"timeout": 5}, ValueError, "ClientTimeout"),
        ({"version": (2, 0)}, ValueError, "version"),
        ({"close_timeout": -1}, ValueError, "close_timeout"),
        ({"close_timeout": float("nan")}, ValueError, "close_timeout"),
        ({"read_bufsize": 0}, ValueError, "read_bufsize"),
        ({"max_headers": -1}, ValueError, "max_headers"),
        ({"headers": {"A": "b\r\nC: d"}}, ValueError, "CR, LF or NUL"),
        ({"headers": {"A\n": "b"}}, ValueError, "token"),
        ({"headers": {"A": 1}}, TypeError, "strings"),
    ],
)
async def test_what_a_session_refuses(kwargs, error, text):
    with pytest.raises(error, match=text):
        endwell.ClientSession(**kwargs)


def test_a_session_wants_a_running_loop():
    with pytest.raises(RuntimeError, match="loop"):
        endwell.ClientSession()
    with pytest.raises(RuntimeError, match="loop"):
        endwell.TCPConnector()


async def test_a_loop_that_is_not_running_is_refused():
    other = asyncio.new_event_loop()
    try:
        with pytest.raises(RuntimeError, match="loop"):
            endwell.ClientSession(loop=other)
    finally:
        other.close()


async def test_the_time_outs_of_a_session_exclude_each_other():
    with pytest.raises(ValueError, match="together"):
        endwell.ClientSession(timeout=endwell.ClientTimeout(), conn_timeout=1)
    with pytest.warns(DeprecationWarning, match="conn_timeout"):
        session = endwell.ClientSession(conn_timeout=1)
    assert (session.timeout.connect, session.timeout.total) == (1, 300)
    await session.close()
    with pytest.warns(DeprecationWarning, match="read_timeout"):
        session = endwell.ClientSession(read_timeout=2)
    assert session.timeout.total == 2
    await session.close()


@pytest.mark.parametrize(
    ("kwargs", "error", "text"),
    [
        ({"limit": -1}, ValueError, "limit"),
        ({"limit": None}, ValueError, "limit"),
        ({"limit_per_host": -1}, ValueError, "limit_per_host"),
        ({"force_close": True, "keepalive_timeout": 5}, ValueError, "keepalive_timeout"),
        ({"ssl": "yes"}, TypeError, "SSLContext"),
        ({"ssl": False, "fingerprint": b"x" * 32}, ValueError, "mutually exclusive"),
        ({"dns_cache_max_size": 0}, ValueError, "dns_cache_max_size"),
    ],
)
async def test_what_a_connector_refuses(kwargs, error, text):
    with pytest.raises(error, match=text):
        endwell.TCPConnector(**kwargs)


async def test_the_cache_of_names_is_cleared_by_host_and_port():
    async with endwell.TCPConnector() as connector:
        connector.clear_dns_cache()
        connector.clear_dns_cache("a.example", 80)
        for args in (("a.example",), (None, 80)):
            with pytest.raises(ValueError, match="host and port"):
                connector.clear_dns_cache(*args)


async def test_what_a_connector_says_of_itself():
    async with endwell.TCPConnector(limit=7, limit_per_host=2, force_close=True, use_dns_cache=False) as connector:
        assert (connector.limit, connector.limit_per_host, connector.force_close) == (7, 2, True)
        assert (connector.use_dns_cache, connector.family, connector.closed) == (False, 0, False)
        assert connector.allowed_protocol_schema_set >= {"http", "https"}
    assert connector.closed
    async with endwell.UnixConnector("/nowhere") as unix:
        assert unix.path == "/nowhere"
        assert unix.allowed_protocol_schema_set >= {"http", "unix"}


def test_named_pipes_need_windows():
    with pytest.raises(RuntimeError, match="Windows"):
        endwell.NamedPipeConnector("x")
