"""The server's reference is complete: every argument with its default, public name, member, status and limit."""

from __future__ import annotations

import inspect
import re
from typing import Any

import pytest

from endwell import test_utils, web
from endwell.connection import serving, websocket
from endwell.http.multipart import reader, scanner
from endwell.lifetime import closing
from endwell.server import form, proxied, router
from endwell.server.access_log import _NAMED, _PLAIN, AccessLogger
from endwell.server.settings import core_settings
from endwell.testing.servers import SHUTDOWN_TIMEOUT
from endwell.transport import listener
from endwell.wire.http1 import limits
from tests.docs.blocks import ROOT

REFERENCE = (ROOT / "docs/reference/web.md").read_text(encoding="utf-8")


def _section(name: str) -> str:
    text = REFERENCE.partition(f"\n## {name}\n")[2].partition("\n## ")[0]
    assert text, f"docs/reference/web.md has no section {name}"
    return text


def _cell(section: str, what: str) -> str:
    """Return the second cell of a row."""
    row = re.search(rf"^\| {re.escape(what)} \| ([^|]*) \|", _section(section), re.MULTILINE)
    assert row is not None, f"docs/reference/web.md, {section}, has no row for {what}"
    return row[1].strip()


def _parameters(of: Any, *, without: tuple[str, ...] = ()) -> dict[str, Any]:
    parameters = inspect.signature(of).parameters.values()
    return {
        each.name: each.default for each in parameters if each.kind is each.KEYWORD_ONLY and each.name not in without
    }


SETTINGS = _parameters(core_settings)
WS = _parameters(web.WebSocketResponse)
ARGUMENTS = [
    *(("Application", *item) for item in _parameters(web.Application).items()),
    *(("Routes", *item) for item in _parameters(router.UrlDispatcher.add_static).items()),
    *(("Handlers and middlewares", *item) for item in _parameters(web.normalize_path_middleware).items()),
    *(("Response", *item) for item in _parameters(web.Response).items()),
    *(("WebSockets", *item) for item in WS.items()),
    *(("Running", *item) for item in _parameters(web.run_app, without=tuple(SETTINGS)).items()),
    *(("Settings", *item) for item in SETTINGS.items()),
]


@pytest.mark.parametrize(("section", "name", "default"), ARGUMENTS, ids=[f"{s}-{n}" for s, n, _ in ARGUMENTS])
def test_reference_has_the_argument(section: str, name: str, default: Any) -> None:
    said = _cell(section, f"`{name}`")
    if default is None or type(default) in (bool, float, int):
        assert said == f"`{default!r}`"


def test_no_setting_is_told_that_there_is_not() -> None:
    assert set(re.findall(r"^\| `(\w+)` \|", _section("Settings"), re.MULTILINE)) == set(SETTINGS)


def test_run_app_and_a_runner_differ_by_what_is_said() -> None:
    differing = {
        name: default for name, default in _parameters(web.run_app).items() if SETTINGS.get(name, default) != default
    }
    assert differing == {"keepalive_timeout": 75.0}
    assert "`run_app` has 75" in _section("Settings")
    assert f"`shutdown_timeout={SHUTDOWN_TIMEOUT!r}`" in _section("Tests")


@pytest.mark.parametrize("module", [web, test_utils], ids=["web", "test_utils"])
def test_reference_names_everything_public(module: Any) -> None:
    assert [name for name in module.__all__ if not re.search(rf"\b{name}\b", REFERENCE)] == []


@pytest.mark.parametrize(
    ("section", "of"),
    [
        ("Application", web.Application),
        ("Routes", web.UrlDispatcher),
        ("Routes", web.RouteTableDef),
        ("Request", web.Request),
        ("Response", web.Response),
        ("Response", web.EventStreamResponse),
        ("WebSockets", web.WebSocketReady),
        ("Running", web.AppRunner),
        ("Running", web.TCPSite),
        ("Tests", test_utils.TestServer),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_reference_names_every_member(section: str, of: type) -> None:
    inherited = set(dir(dict)) | set(dir(tuple))
    text = _section(section)
    members = {name for name in dir(of) if not name.startswith("_")} - inherited
    assert sorted(name for name in members if not re.search(rf"`[^`]*\b{name}\b[^`]*`", text)) == []


def test_reference_names_what_a_websocket_has_beside_any_response() -> None:
    text = _section("WebSockets")
    members = {name for name in dir(web.WebSocketResponse) if not name.startswith("_")} - set(dir(web.StreamResponse))
    assert sorted(name for name in members if not re.search(rf"`{name}\b[^`]*`", text)) == []


def test_reference_has_the_table_of_statuses() -> None:
    told = re.findall(r"^\| (\d{3}) \| `(\w+)` \| `(\w+)` \|", _section("Errors"), re.MULTILINE)
    real = [
        (str(value.status_code), name, value.__base__.__name__)
        for name in web.__all__
        if inspect.isclass(value := getattr(web, name))
        and issubclass(value, web.HTTPException)
        and value.status_code > 0
    ]
    assert told == sorted(real)


def test_reference_draws_the_tree_of_errors() -> None:
    drawn = re.findall(r"^ *(\w+)\(([\w, ]+)\)", _section("Errors").partition("```text")[2], re.MULTILINE)
    tree = {name: bases.split(", ") for name, bases in drawn if inspect.isclass(getattr(web, name, None))}
    real = {
        name: [base.__name__ for base in value.__bases__]
        for name in web.__all__
        if inspect.isclass(value := getattr(web, name))
        and issubclass(value, BaseException)
        and getattr(value, "status_code", -1) < 0
    }
    assert tree == real


def test_reference_has_the_atoms_of_the_access_log() -> None:
    text = _section("Access log")
    assert AccessLogger.LOG_FORMAT in text
    atoms = {*_PLAIN, "%%", *(f"%{{{'NAME' if kind == 'e' else 'Name'}}}{kind}" for kind in _NAMED)}
    assert set(re.findall(r"`(%[^`]+)`", text)) - {AccessLogger.LOG_FORMAT} == atoms


@pytest.mark.parametrize(
    ("what", "limit"),
    [
        ("length of a method; empty lines before a request", f"{limits.MAX_METHOD}; {limits.MAX_EMPTY_LINES}"),
        ("chunk extensions of one body, together", f"{limits.MAX_CHUNK_OVERHEAD >> 10} KiB"),
        ("trailers of one body, together", f"{limits.MAX_TRAILERS >> 10} KiB"),
        ("bytes of further requests that are taken before an answer is sent", f"{serving._HELD >> 10} KiB"),
        ("unread rest of a body that is read away to keep the connection", f"{serving.READ_AWAY >> 10} KiB"),
        ("body that is read as a whole", f"{web.Request._client_max_size >> 20} MiB; 413"),
        ("fields of a form, parts of a `multipart()` body", f"{web.Request._client_max_fields}; 413"),
        ("addresses of `X-Forwarded-For` or `Forwarded` that are looked at, from the right", f"{proxied.MAX_HOPS}"),
        ("file of a form in memory; beyond, it is on disk", f"{form.SPOOL_SIZE >> 20} MiB"),
        (
            "nesting of a multipart body; fields of a part",
            f"{reader.MAX_DEPTH}; {scanner.MAX_FIELDS} of {scanner.MAX_FIELD_SIZE} bytes",
        ),
        ("handshake of TLS", f"{listener.HANDSHAKE_TIMEOUT:g} s"),
        (
            "message of a WebSocket; such messages that nobody has received",
            f"{WS['max_msg_size'] >> 20} MiB, 1009; {websocket._UNREAD >> 10} KiB, the client waits",
        ),
        (
            "answer to a close frame; when the server ends",
            f"{WS['timeout']:g} s; {websocket._GOING_AWAY:g} s",
        ),
        ("end: what is under way", f"{_parameters(web.run_app)['shutdown_timeout']:g} s"),
        ("end: goodbyes and cancelled tasks", f"{closing.GOODBYE:g} s"),
    ],
)  # fmt: skip
def test_reference_has_the_limit(what: str, limit: str) -> None:
    assert _cell("Limits", what) == limit
