"""The reference is complete: every argument with its default, every public name, every exception, every limit."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

import endwell
from endwell.client import connector, exchange, links, session, sse, uploading
from endwell.client import digest_challenge as digest
from endwell.client.cookiejar import files, rules, store
from endwell.client.options import _ARGUMENTS, RequestOptions
from endwell.client.timeouts import DEFAULT_TIMEOUT, DEFAULT_WS_TIMEOUT
from endwell.connection import websocket
from endwell.http import codings, cookies
from endwell.http.multipart import reader, scanner
from endwell.lifetime import closing
from endwell.transport import address, resolver, tls
from endwell.wire.http1 import limits
from tests.docs.blocks import ROOT

REFERENCE = (ROOT / "docs/reference/client.md").read_text(encoding="utf-8")
_RATIO = f"{RequestOptions.decompress_ratio:g}"
_HOURS = tls.MAX_LIFETIME // 3600


def _default_of(section: str, name: str) -> str:
    """Return what a section of the reference says is the default of an argument, as it is written in its table."""
    text = REFERENCE.partition(f"\n## {section}\n")[2].partition("\n## ")[0]
    row = re.search(rf"^\| `{name}` \| ([^|]*) \|", text, re.MULTILINE)
    assert row is not None, f"docs/reference/client.md, {section}, has no row for {name}"
    return row[1].strip().replace("_", "")


def _parameters(of: Any) -> dict[str, Any]:
    return {name: parameter.default for name, parameter in inspect.signature(of).parameters.items()}


def _keyword_only(of: Any) -> dict[str, Any]:
    parameters = inspect.signature(of).parameters.values()
    return {each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY}


_WS = _keyword_only(endwell.ClientSession.ws_connect)
ARGUMENTS = [
    *(("Session", *item) for item in _parameters(endwell.ClientSession).items()),
    *(("Connectors", *item) for item in _parameters(endwell.TCPConnector).items()),
    *(("Requests", name, getattr(RequestOptions, name, None)) for name in _ARGUMENTS if not name.startswith("_")),
    *(("WebSockets", *item) for item in _WS.items()),
]


@pytest.mark.parametrize(("section", "name", "default"), ARGUMENTS, ids=[f"{s}-{n}" for s, n, _ in ARGUMENTS])
def test_reference_has_the_argument(section: str, name: str, default: Any) -> None:
    said = _default_of(section, name)
    if type(default) in (bool, float, int):
        assert said == f"`{default!r}`"


def _limit(what: str) -> str:
    text = REFERENCE.partition("\n## Limits\n")[2].partition("\n## ")[0]
    row = re.search(rf"^\| {re.escape(what)} \| ([^|]*) \|", text, re.MULTILINE)
    assert row is not None, f"the table of limits has no row for {what}"
    return row[1].strip()


@pytest.mark.parametrize(
    ("what", "limit"),
    [
        ("1xx responses before the final one", f"{limits.MAX_INFORMATIONAL}"),
        ("chunk extensions of one body, together", f"{limits.MAX_CHUNK_OVERHEAD >> 10} KiB"),
        ("trailers of one body, together", f"{limits.MAX_TRAILERS >> 10} KiB"),
        ("growth by content codings", f"{_RATIO} times, from {codings.RATIO_FLOOR >> 20} MiB on"),
        ("content codings of one body", f"{codings.MAX_CODINGS}"),
        ("unread rest of a body that is read away", f"{exchange.READ_AWAY >> 10} KiB, {exchange._READ_AWAY_TIME:g} s"),
        ("wait for `100 Continue`", f"{uploading._CONTINUE_TIME:g} s"),
        ("idle connection", f"{connector._KEEPALIVE:g} s"),
        ("request in all; connecting", f"{DEFAULT_TIMEOUT.total:g} s; {DEFAULT_TIMEOUT.sock_connect:g} s"),
        ("closing: work in flight", f"{session.DEFAULT_CLOSE_TIMEOUT:g} s"),
        ("closing: goodbyes and cancelled tasks", f"{closing.GOODBYE:g} s"),
        ("TLS goodbye", f"{connector._SSL_SHUTDOWN:g} s"),
        ("TLS sessions kept for resumption", f"{tls.MAX_SERVERS} servers for each context, {_HOURS} h"),
        ("addresses of one name; threads of `ThreadedResolver`", f"{resolver.MAX_ADDRESSES}; {resolver.MAX_THREADS}"),
        ("length of a host name", f"{address._MAX_HOST}"),
        (
            "cookies of a domain; in all; of one request",
            f"{store.MAX_PER_DOMAIN}; {store.MAX_IN_ALL}; {store.MAX_PER_REQUEST} in {store.MAX_FIELD_SIZE} bytes",
        ),
        ("a cookie; one attribute of it", f"{cookies.MAX_PAIR_SIZE} bytes; {cookies.MAX_ATTRIBUTE_SIZE} bytes"),
        ("life of a cookie", f"{rules.MAX_AGE // 86400} days"),
        ("file of a cookie jar", f"{files.MAX_FILE_SIZE >> 20} MiB"),
        (
            "parts of a multipart body; nesting; fields of a part",
            f"{reader.MAX_PARTS}; {reader.MAX_DEPTH}; {scanner.MAX_FIELDS} of {scanner.MAX_FIELD_SIZE} bytes",
        ),
        (
            "message of a WebSocket; such messages that nobody has received",
            f"{_WS['max_msg_size'] >> 20} MiB; {websocket._UNREAD >> 10} KiB, the server waits",
        ),
        (
            "answer to a close frame; at the end of the session",
            f"{DEFAULT_WS_TIMEOUT.ws_close:g} s; {websocket._GOING_AWAY:g} s",
        ),
        ("text before the first part", f"{scanner.MAX_PREAMBLE >> 10} KiB"),
        ("a compressed part, decoded", f"{endwell.BodyPartReader.max_decoded_size >> 20} MiB"),
        ("line of an event stream; event", f"{sse.MAX_LINE >> 20} MiB; {sse.MAX_EVENT >> 20} MiB"),
        ("`Link` fields", f"{links._MAX_SIZE >> 10} KiB, {links._MAX_LINKS} links"),
        (
            "Digest challenges of a response; parameters; value",
            f"{digest._MAX_CHALLENGES}; {digest._MAX_PARAMETERS}; {digest._MAX_VALUE} bytes",
        ),
    ],
)  # fmt: skip
def test_reference_has_the_limit(what: str, limit: str) -> None:
    assert _limit(what) == limit


def test_reference_names_everything_public() -> None:
    missing = [name for name in endwell.__all__ if not re.search(rf"\b{name}\b", REFERENCE)]
    assert missing == []


def test_reference_names_every_member_of_a_websocket() -> None:
    text = REFERENCE.partition("\n## WebSockets\n")[2].partition("\n## ")[0]
    members = {name for name in dir(endwell.ClientWebSocketResponse) if not name.startswith("_")} | {"protocol"}
    assert sorted(name for name in members if not re.search(rf"`[^`]*\b{name}\b[^`]*`", text)) == []
    for names in (endwell.WSMsgType, endwell.WSCloseCode):
        assert [each.name for each in names if not re.search(rf"`{each.name}`", text)] == []


def test_reference_draws_the_tree_of_exceptions() -> None:
    drawn = re.findall(r"^ *(\w+)\(([\w, ]+)\)", REFERENCE, re.MULTILINE)
    tree = {name: bases.split(", ") for name, bases in drawn if inspect.isclass(getattr(endwell, name, None))}
    real = {
        name: [base.__name__ for base in value.__bases__]
        for name in endwell.__all__
        if inspect.isclass(value := getattr(endwell, name)) and issubclass(value, Exception)
    }
    assert tree == real
