"""The tree of exceptions: as drawn, with aiohttp's texts and attributes, without secrets, and fit to be pickled."""

import copy
import inspect
import pickle
import re
import ssl
from typing import Any, NamedTuple

import pytest
from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from endwell.client import errors
from endwell.client.errors import (
    ClientConnectionResetError,
    ClientConnectorCertificateError,
    ClientConnectorDNSError,
    ClientConnectorError,
    ClientConnectorSSLError,
    ClientHttpProxyError,
    ClientOSError,
    ClientPayloadError,
    ClientProxyConnectionError,
    ClientResponseError,
    ClientSSLError,
    ConnectionTimeoutError,
    ContentCodingError,
    ContentTypeError,
    DecompressionLimitError,
    ExchangeAbortedError,
    InvalidURL,
    InvalidUrlClientError,
    InvalidUrlRedirectClientError,
    NonHttpUrlClientError,
    NonHttpUrlRedirectClientError,
    PoolTimeoutError,
    ServerDisconnectedError,
    ServerFingerprintMismatch,
    ServerTimeoutError,
    SessionClosedError,
    SocketTimeoutError,
    TooManyRedirects,
    UnixClientConnectorError,
    UploadAbortedError,
    WebSocketError,
    WSMessageTypeError,
    WSServerHandshakeError,
)
from endwell.client.request_info import RequestInfo, shown_url


class Key(NamedTuple):
    host: str = "example.com"
    port: int | None = 8080
    is_ssl: bool = True
    ssl: Any = True
    proxy: str = "http://user:secret@proxy"


HEADERS = CIMultiDictProxy(CIMultiDict({"Authorization": "Basic secret"}))
INFO = RequestInfo(URL("http://user:secret@example.com/"), "GET", HEADERS, URL("http://user:secret@example.com/#f"))
# Those of WebSockets are raised by the wire too.
HOMES = {errors.__name__, "endwell.wire.websocket.errors"}
REFUSED = OSError(111, "Connection refused")


def drawn() -> list[tuple[str, str, list[str], int]]:
    found = []
    stack: list[tuple[int, str]] = []
    for line in (errors.__doc__ or "").splitlines():
        match = re.fullmatch(r"( {4,})(\w+)\(([\w, ]+)\)( \+)?", line)
        if match:
            indent = len(match[1])
            while stack and stack[-1][0] >= indent:
                stack.pop()
            parent = stack[-1][1] if stack else ""
            stack.append((indent, match[2]))
            found.append((match[2], parent, match[3].split(", "), indent))
    return found


def test_the_drawing_has_every_class_under_each_of_its_parents() -> None:
    classes = {
        name: value
        for name, value in vars(errors).items()
        if inspect.isclass(value) and issubclass(value, Exception) and value.__module__ in HOMES
    }
    tree = drawn()
    assert {name for name, *_ in tree} == set(classes)
    for name, parent, bases, indent in tree:
        assert [base.__name__ for base in classes[name].__bases__] == bases
        assert parent in bases if indent > 4 else parent == ""
    for name, cls in classes.items():
        parents = {base.__name__ for base in cls.__bases__ if base.__name__ in classes}
        assert parents <= {parent for other, parent, *_ in tree if other == name} | {""}


def test_exports() -> None:
    public = {name for name, *_ in drawn()} | {"RequestInfo", "shown_url"}
    assert set(errors.__all__) == public


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (ClientResponseError(INFO, ()), "0, message='', url='http://example.com/#f'"),
        (ClientResponseError(INFO, (), status=404, message="No"), "404, message='No', url='http://example.com/#f'"),
        (ContentTypeError(INFO, (), status=200, message="x"), "200, message='x', url='http://example.com/#f'"),
        (TooManyRedirects(INFO, ()), "0, message='', url='http://example.com/#f'"),
        (ClientResponseError(None, ()), "0, message='', url=None"),  # type: ignore[arg-type] # tests of users do it
        (
            ClientConnectorError(Key(), REFUSED),
            "Cannot connect to host example.com:8080 ssl:default [Connection refused]",
        ),
        (
            ClientConnectorDNSError(Key(ssl=False), OSError(None, "Name or service not known")),
            "Cannot connect to host example.com:8080 ssl:False [Name or service not known]",
        ),
        (
            ClientConnectorError(Key(), OSError("Multiple exceptions: a, b")),
            "Cannot connect to host example.com:8080 ssl:default [Multiple exceptions: a, b]",
        ),
        (
            ClientConnectorError(Key(), TimeoutError()),
            "Cannot connect to host example.com:8080 ssl:default [TimeoutError]",
        ),
        (
            ClientConnectorSSLError(Key(), ssl.SSLError(1, "bad record")),
            "Cannot connect to host example.com:8080 ssl:default [bad record]",
        ),
        (
            ClientConnectorCertificateError(Key(), ssl.SSLCertVerificationError("expired")),
            "Cannot connect to host example.com:8080 ssl:True [SSLCertVerificationError: ('expired',)]",
        ),
        (
            ClientConnectorCertificateError(Key(is_ssl=False), ValueError("wrong name")),
            "Cannot connect to host example.com:8080 ssl:False [ValueError: ('wrong name',)]",
        ),
        (
            UnixClientConnectorError("/run/x", Key(), REFUSED),
            "Cannot connect to unix socket /run/x ssl:default [Connection refused]",
        ),
        (ServerDisconnectedError(), "Server disconnected"),
        (ServerDisconnectedError("gone"), "gone"),
        (
            ServerFingerprintMismatch(b"\x01", b"\x02", "h", 1),
            "the certificate of h:1 has the SHA-256 fingerprint 02, expected 01",
        ),
        (ServerTimeoutError("late"), "late"),
        (ClientOSError(1, "x"), "[Errno 1] x"),
        (InvalidURL("http://x"), "http://x"),
        (InvalidUrlClientError("http://x", "bad port"), "http://x - bad port"),
        (InvalidUrlRedirectClientError(URL("http://user:secret@x/"), "why"), "http://x/ - why"),
        (NonHttpUrlClientError("ftp://user:secret@x"), "ftp://x"),
        (NonHttpUrlRedirectClientError(URL("ftp://x")), "ftp://x"),
        (WebSocketError(1002, "bad frame"), "bad frame"),
        (SessionClosedError(), "Session is closed"),
        (SessionClosedError(closed_at="app.py:7"), "Session is closed (closed at app.py:7)"),
        (ExchangeAbortedError(), "the exchange was aborted"),
        (ExchangeAbortedError(reason="closed at app.py:7"), "the exchange was aborted: closed at app.py:7"),
        (PoolTimeoutError("the pool is full"), "the pool is full"),
        (PoolTimeoutError("full", holders=("GET a", "GET b")), "full, held by: GET a; GET b"),
        (PoolTimeoutError("full", holders=tuple("abcdefg")), "full, held by: a; b; c; d; e; and 2 more"),
    ],
    ids=lambda value: type(value).__name__ if isinstance(value, Exception) else "",
)
def test_texts(error: Exception, text: str) -> None:
    assert str(error) == text


SAMPLES = [
    ClientResponseError(INFO, (), status=404, message="No", headers=HEADERS),
    WSServerHandshakeError(INFO, (), status=403, message="No", headers=HEADERS),
    ClientHttpProxyError(INFO, (), status=407, message="No", headers=CIMultiDict(HEADERS)),
    ClientConnectorError(Key(), REFUSED),
    ClientConnectorDNSError(Key(), REFUSED),
    ClientProxyConnectionError(Key(), REFUSED),
    ClientSSLError(Key(), REFUSED),
    ClientConnectorSSLError(Key(), ssl.SSLError(1, "x")),
    ClientConnectorCertificateError(Key(), ssl.SSLCertVerificationError("x")),
    UnixClientConnectorError("/run/x", Key(), REFUSED),
    ServerDisconnectedError("x"),
    ServerFingerprintMismatch(b"a", b"b", "h", 1),
    ConnectionTimeoutError("x"),
    PoolTimeoutError("x", holders=("a", "b")),
    SocketTimeoutError("x"),
    ClientConnectionResetError("x"),
    ClientOSError(1, "x"),
    ExchangeAbortedError("x", reason="y"),
    ClientPayloadError("x"),
    ContentCodingError("x", coding="gzip"),
    DecompressionLimitError("x", coding="gzip", limit=5),
    UploadAbortedError("x"),
    InvalidURL("http://user:secret@x", "why"),
    InvalidUrlRedirectClientError("http://user:secret@x"),
    NonHttpUrlClientError("ftp://user:secret@x"),
    NonHttpUrlRedirectClientError(URL("ftp://user:secret@x")),
    WebSocketError(1002, "x"),
    WSMessageTypeError("x"),
    SessionClosedError(closed_at="app.py:7"),
]
by_type = pytest.mark.parametrize("error", SAMPLES, ids=lambda error: type(error).__name__)


@by_type
@pytest.mark.parametrize("twin_of", [copy.copy, copy.deepcopy, lambda error: pickle.loads(pickle.dumps(error))])
def test_copies_and_pickles(error: Exception, twin_of: Any) -> None:
    twin = twin_of(error)
    assert type(twin) is type(error)
    assert (str(twin), repr(twin)) == (str(error), repr(error))
    assert repr(twin.args) == repr(error.args)
    assert twin.__dict__.keys() == error.__dict__.keys()
    if isinstance(error, ClientResponseError):
        assert twin.request_info == INFO
        assert twin.headers == HEADERS
    if isinstance(error, OSError):
        assert twin.errno == error.errno
        assert twin.strerror == error.strerror


@by_type
def test_no_secret_is_shown(error: Exception) -> None:
    assert "secret" not in str(error)
    assert "secret" not in repr(error)


def test_a_pickle_leaves_the_history_out_and_a_copy_keeps_it() -> None:
    history = (lambda: None,)  # stands for a response: not to be pickled
    error = TooManyRedirects(INFO, history)
    assert copy.copy(error).history is history
    assert copy.copy(error).args == (INFO, history)
    twin = pickle.loads(pickle.dumps(error))
    assert twin.history == ()
    assert twin.args == (INFO, ())


def test_code_is_deprecated() -> None:
    with pytest.warns(DeprecationWarning, match="use status"):
        error = ClientResponseError(INFO, (), code=400)
    assert error.status == 400
    with pytest.warns(DeprecationWarning, match="use status"):
        assert error.code == 400
    with pytest.warns(DeprecationWarning, match="use status"):
        error.code = 401
    assert error.status == 401
    with pytest.raises(ValueError, match="both were given"):
        ClientResponseError(INFO, (), code=400, status=400)


def test_attributes() -> None:
    error = ClientConnectorError(Key(ssl=False), REFUSED)
    assert (error.host, error.port, error.ssl, error.os_error) == ("example.com", 8080, False, REFUSED)
    assert (error.errno, error.strerror) == (111, "Connection refused")
    certificate = ClientConnectorCertificateError(Key(), ValueError("x"))
    assert repr(certificate.certificate_error) == "ValueError('x')"
    assert isinstance(certificate.os_error, OSError)
    assert UnixClientConnectorError("/run/x", Key(), REFUSED).path == "/run/x"
    url = InvalidURL("http://user:secret@x", "why")
    assert (url.url, url.description) == ("http://user:secret@x", "why")
    assert InvalidURL("x").description is None
    assert WebSocketError(1002, "x").code == 1002
    assert ExchangeAbortedError("x").reason == "x"
    assert PoolTimeoutError(holders=("a",)).holders == ("a",)
    assert DecompressionLimitError("x", limit=5).limit == 5
    assert isinstance(SocketTimeoutError(), TimeoutError)


def test_request_info() -> None:
    plain = RequestInfo(URL("http://x/"), "GET", HEADERS)
    assert plain.real_url is plain.url
    assert plain._fields == ("url", "method", "headers", "real_url")
    assert repr(INFO) == (
        "RequestInfo(url='http://example.com/', method='GET', headers=<1 fields, not shown>, "
        "real_url='http://example.com/#f')"
    )
    assert pickle.loads(pickle.dumps(INFO)) == INFO
    assert isinstance(pickle.loads(pickle.dumps(INFO)).headers, CIMultiDictProxy)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("http://x/", "http://x/"),
        ("http://user:pw@x/?q=a@b", "http://x/?q=a@b"),
        ("http://user:p@w@x/", "http://x/"),
        ("http://user@[::1", "http://[::1"),
        ("http://[::1]:80/a@b", "http://[::1]:80/a@b"),
        ("http://user:pw/more@x/", "http://x/"),
        ("http://x:80/a@b", "http://x:80/a@b"),
        ("//user:pw@x/", "//x/"),
        ("user:pw@x/", "***@x/"),
        ("user:pw@x//a", "***@x//a"),
        ("http:/user:pw@x/a", "***@x/a"),
        ("/users/@me", "/users/@me"),
        ("", ""),
        (URL("http://user:pw@x/"), "http://x/"),
    ],
)
def test_shown_url(url: str | URL, shown: str) -> None:
    assert shown_url(url) == shown
