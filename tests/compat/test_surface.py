"""The public surface: names, parameters and members of aiohttp's documented API, checked against endwell.

The facts are in `surface.json` (see `collect.py`). Parameters of ours may be added, keyword-only and with a default;
what aiohttp deprecates may be missing, and is listed in `surface.json` so that it is missing on purpose.
"""

from __future__ import annotations

import importlib
import inspect
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

import endwell
from endwell import abc, test_utils, web
from endwell.server.settings import core_settings
from tests.compat.collect import default, find, member

SURFACE = json.loads(Path(__file__).with_name("surface.json").read_text("utf-8"))
DEPRECATED = SURFACE["deprecated"]


@pytest.mark.parametrize("name", SURFACE["names"])
def test_the_name_exists(name: str) -> None:
    assert hasattr(endwell, name)
    assert name in endwell.__all__


@pytest.mark.parametrize("name", SURFACE["web names"])
def test_the_name_of_the_server_exists(name: str) -> None:
    assert hasattr(web, name)
    assert name in web.__all__


@pytest.mark.parametrize("module", SURFACE["modules"])
def test_the_module_has_its_names(module: str) -> None:
    ours = importlib.import_module(f"endwell.{module}")
    missing = [name for name in SURFACE["modules"][module] if not hasattr(ours, name)]
    assert missing == []


@pytest.mark.parametrize("module", [endwell, abc, test_utils, web], ids=lambda module: module.__name__)
def test_every_name_we_export_exists(module: Any) -> None:
    assert [name for name in module.__all__ if not hasattr(module, name)] == []
    assert len(set(module.__all__)) == len(module.__all__)


@pytest.mark.parametrize("path", [path for path in SURFACE["signatures"] if path != "ClientSession._request"])
def test_the_signature(path: str) -> None:
    theirs = {p["name"]: p for p in SURFACE["signatures"][path] if not p["kind"].startswith("VAR_")}
    exempt = {*DEPRECATED["*"], *DEPRECATED.get(path, [])}
    signature = inspect.signature(find(endwell, path)).parameters
    ours = {name: p for name, p in signature.items() if name != "self"}
    takes_any = any(p.kind is p.VAR_KEYWORD for p in ours.values())
    problems = []
    for name, want in theirs.items():
        if name not in ours:
            if name not in exempt and not (takes_any and want["kind"] == "KEYWORD_ONLY"):
                problems.append(f"{name} is missing")
            continue
        kind = ours[name].kind.name
        if kind != want["kind"] and not (want["kind"] == "KEYWORD_ONLY" and kind == "POSITIONAL_OR_KEYWORD"):
            problems.append(f"{name} is {kind}, not {want['kind']}")
        have = default(ours[name].default)
        expected = {key: value for key, value in want.items() if key not in ("name", "kind")}
        if name not in exempt and not _same_default(have, expected):
            problems.append(f"{name} has the default {have}, not {expected}")
    assert problems == []
    positional = [name for name, want in theirs.items() if want["kind"].startswith("POSITIONAL")]
    ours_positional = [name for name, p in ours.items() if p.kind.name.startswith("POSITIONAL")]
    assert [name for name in ours_positional if name in positional] == [n for n in positional if n in ours]
    assert ours_positional[: len(positional)] == [n for n in positional if n in ours]
    for name, p in ours.items():
        if name not in theirs and not p.kind.name.startswith("VAR_"):
            assert p.default is not p.empty, f"{name} is ours and has no default"


def _same_default(have: dict[str, Any], expected: dict[str, Any]) -> bool:
    # A sentinel says "not given", and so may whatever we take for it.
    if expected == {"sentinel": True}:
        return "required" not in have
    if expected == {"required": True}:
        return True
    if expected == {"callable": True}:
        return "value" not in have and "required" not in have
    return have == expected


def test_a_runner_takes_every_setting_of_a_server() -> None:
    app = web.Application()
    signature = inspect.signature(core_settings).parameters
    for setting in SURFACE["server settings"]:
        name = setting["name"]
        if name in {"manager", *DEPRECATED["*"]}:
            continue
        web.AppRunner(app, **{name: setting.get("value", signature[name].default)} if name in signature else {name: 5})
        if name in signature:
            expected = {key: value for key, value in setting.items() if key not in ("name", "kind")}
            assert _same_default(default(signature[name].default), expected), name
    with pytest.raises(TypeError, match="nonsense"):
        web.AppRunner(app, nonsense=1)


VERBS = ["get", "options", "head", "post", "put", "patch", "delete", "request"]


@pytest.mark.parametrize("verb", VERBS)
async def test_every_verb_takes_every_argument_of_a_request(verb: str) -> None:
    exempt = {*DEPRECATED["*"], *DEPRECATED["ClientSession._request"]}
    target = ("GET", "http://127.0.0.1:1/") if verb == "request" else ("http://127.0.0.1:1/",)
    refused = []
    async with endwell.ClientSession() as session:
        for parameter in SURFACE["signatures"]["ClientSession._request"]:
            if parameter["kind"] != "KEYWORD_ONLY" or parameter["name"] in exempt:
                continue
            value = parameter["value"] if "value" in parameter else endwell.ClientTimeout()
            try:
                with pytest.raises(endwell.ClientConnectorError):
                    await getattr(session, verb)(*target, **{parameter["name"]: value})
            except TypeError as error:
                refused.append(str(error))
    assert refused == []


def test_the_modules_are_there_after_a_plain_import() -> None:
    modules = "abc client_exceptions hdrs resolver tracing typedefs"
    code = f"import endwell\nfor name in {modules!r}.split(): getattr(endwell, name)"
    subprocess.run([sys.executable, "-c", code], check=True)


@pytest.mark.parametrize("verb", VERBS)
async def test_an_argument_nobody_knows_is_refused(verb: str) -> None:
    async with endwell.ClientSession() as session:
        target = ("GET", "http://127.0.0.1:1/") if verb == "request" else ("http://127.0.0.1:1/",)
        with pytest.raises(TypeError, match="nonsense"):
            await getattr(session, verb)(*target, nonsense=1)


async def test_what_a_verb_returns_can_be_awaited_and_entered() -> None:
    async with endwell.ClientSession() as session:
        returned = session.get("http://127.0.0.1:1/")
        for name in ("__await__", "__aenter__", "__aexit__", "send", "throw", "close"):
            assert hasattr(returned, name), name
        returned.close()


@pytest.mark.parametrize(
    ("cls", "name", "kind"),
    [(cls, name, kind) for cls, members in SURFACE["members"].items() for name, kind in members.items()],
)
def test_the_member(cls: str, name: str, kind: str) -> None:
    owner = find(endwell, cls)
    have = member(owner, name)
    if kind == "attribute":
        assert have == "attribute"
        # What only an instance has is named in its slots or annotations, or set by one of its methods.
        methods = [value for c in owner.__mro__ for value in vars(c).values() if inspect.isfunction(value)]
        sources = [method.__code__.co_names for method in methods]
        annotated = {key for c in owner.__mro__ for key in getattr(c, "__annotations__", {})}
        assert hasattr(owner, name) or name in annotated or any(name in names for names in sources)
        return
    assert callable(getattr(owner, name))
    if kind == "coroutine" and have != "coroutine":
        returns = str(inspect.signature(getattr(owner, name)).return_annotation)
        assert any(word in returns for word in ("Awaitable", "Coroutine", "Future")), f"returns {returns}"
    if kind == "function" and name != "close":  # a close() that is awaited can tell more than one that is not
        assert have == "function"


TREE = """
    ClientError(Exception)
    ClientResponseError(ClientError)
    ContentTypeError(ClientResponseError)
    WSServerHandshakeError(ClientResponseError)
    ClientHttpProxyError(ClientResponseError)
    TooManyRedirects(ClientResponseError)
    ClientConnectionError(ClientError)
    ClientConnectionResetError(ClientConnectionError, ConnectionResetError)
    ClientOSError(ClientConnectionError, OSError)
    ClientConnectorError(ClientOSError)
    ClientConnectorDNSError(ClientConnectorError)
    ClientProxyConnectionError(ClientConnectorError)
    ClientSSLError(ClientConnectorError)
    ClientConnectorSSLError(ClientSSLError, SSLError)
    ClientConnectorCertificateError(ClientSSLError)
    ServerConnectionError(ClientConnectionError)
    ServerDisconnectedError(ServerConnectionError)
    ServerTimeoutError(ServerConnectionError, TimeoutError)
    ConnectionTimeoutError(ServerTimeoutError)
    SocketTimeoutError(ServerTimeoutError)
    ServerFingerprintMismatch(ServerConnectionError)
    ClientPayloadError(ClientError)
    UploadAbortedError(ClientError)
    InvalidURL(ClientError, ValueError)
    InvalidUrlClientError(InvalidURL)
    InvalidUrlRedirectClientError(InvalidUrlClientError, RedirectClientError)
    NonHttpUrlRedirectClientError(NonHttpUrlClientError, RedirectClientError)
    RedirectClientError(ClientError)
    NonHttpUrlClientError(ClientError)
    ExchangeAbortedError(ClientConnectionError)
    SessionClosedError(RuntimeError)
    PoolTimeoutError(ConnectionTimeoutError)
    ContentCodingError(ClientPayloadError)
    DecompressionLimitError(ContentCodingError)
"""


@pytest.mark.parametrize("line", TREE.split("\n")[1:-1], ids=lambda line: line.split("(")[0].strip())
def test_the_tree_of_exceptions(line: str) -> None:
    name, _, bases = line.strip().removesuffix(")").partition("(")
    have = [base.__name__ for base in getattr(endwell, name).__mro__]
    assert set(bases.split(", ")) <= set(have)
