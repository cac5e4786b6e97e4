"""How a response is framed: the whole matrix of statuses, methods, versions and sizes."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from endwell.server.response_framing import Framing, frame, is_bodiless, parse_length, say_connection

STATUSES = (100, 101, 103, 200, 204, 205, 206, 299, 304, 404, 500)
METHODS = ("GET", "HEAD", "POST", "CONNECT")


def expected(status: int, method: str, minor: int, size: int | None, chunked: bool) -> tuple[Framing, dict[str, str]]:
    """The table of the module, written once more as plainly as can be; for connections that are kept."""
    if status in (101, 204, 304):
        return Framing(0, False, True), {}
    if status < 200:
        return Framing(0, False, False), {}
    if status == 205:
        return Framing(0, False, True), {"Content-Length": "0"}
    if method == "CONNECT" and status < 300:
        return Framing(None, False, False), {}
    if method == "HEAD":
        return Framing(0, False, True), {"Content-Length": str(size)} if size and not chunked else {}
    if minor == 1 and (chunked or size is None):
        return Framing(None, True, True), {"Transfer-Encoding": "chunked"}
    if size is None:
        return Framing(None, False, False), {}
    return Framing(size, False, True), {"Content-Length": str(size)}


@pytest.mark.parametrize(("status", "method"), list(product(STATUSES, METHODS)))
@pytest.mark.parametrize("minor", [0, 1])
def test_matrix(status: int, method: str, minor: int) -> None:
    for size, chunked, kept in product((None, 0, 5), (False, True), (False, True)):
        fields: CIMultiDict[str] = CIMultiDict()
        framing = frame(fields, status=status, method=method, minor=minor, size=size, chunked=chunked, keep_alive=kept)
        wanted, wanted_fields = expected(status, method, minor, size, chunked)
        assert framing == wanted._replace(keep_alive=kept and wanted.keep_alive), (size, chunked, kept)
        assert dict(fields) == wanted_fields, (size, chunked, kept)


@given(
    status=st.integers(100, 599),
    method=st.sampled_from(METHODS),
    minor=st.sampled_from([0, 1]),
    size=st.none() | st.integers(0, 10**6),
    chunked=st.booleans(),
    length=st.none() | st.integers(0, 100),
    wish=st.booleans(),
)
def test_never_two_readings(
    status: int, method: str, minor: int, size: int | None, chunked: bool, length: int | None, wish: bool
) -> None:
    fields: CIMultiDict[str] = CIMultiDict()
    if length is not None:
        fields.add("content-length", str(length))
        fields.add("Content-Length", "7")
    if wish:
        fields.add("transfer-encoding", "Chunked ")
    framing = frame(fields, status=status, method=method, minor=minor, size=size, chunked=chunked, keep_alive=True)
    assert len(fields.getall("Content-Length", [])) + len(fields.getall("Transfer-Encoding", [])) <= 1
    assert framing.chunked == ("Transfer-Encoding" in fields)
    if framing.chunked:
        assert minor == 1
    if is_bodiless(status, method):
        assert framing.length == 0
    elif framing.length is not None:
        assert fields["Content-Length"] == str(framing.length)
    else:
        assert framing.chunked or not framing.keep_alive


def test_head_may_state_a_length_of_its_own() -> None:
    fields = CIMultiDict({"Content-Length": "0"})
    frame(fields, status=200, method="HEAD", minor=1, size=0, chunked=False, keep_alive=True)
    assert dict(fields) == {"Content-Length": "0"}


@pytest.mark.parametrize("wish", [["gzip, chunked"], ["identity"], ["chunked", "chunked"], ["\x0bchunked"], [""]])
def test_other_transfer_codings_are_refused(wish: list[str]) -> None:
    fields = CIMultiDict([("Transfer-Encoding", value) for value in wish])
    with pytest.raises(ValueError, match="enable_chunked_encoding"):
        frame(fields, status=200, method="GET", minor=1, size=None, chunked=False, keep_alive=True)


@pytest.mark.parametrize("text", ["", "-1", "+5", "5_0", "5,5", "0x5", "٣", "5 5", "1" * 19, "abc"])
def test_lengths_that_are_none(text: str) -> None:
    with pytest.raises(ValueError, match="not a number of bytes"):
        parse_length(text)


def test_length() -> None:
    assert parse_length(" 17 ") == 17


@pytest.mark.parametrize(
    ("given_options", "status", "minor", "keep", "options", "kept"),
    [
        ([], 200, 1, True, None, True),
        ([], 200, 1, False, "close", False),
        ([], 200, 0, True, "keep-alive", True),
        ([], 200, 0, False, None, False),
        (["close"], 200, 1, True, "close", False),
        (["X-Hop, Close"], 200, 1, True, "X-Hop, Close", False),
        (["close"], 200, 0, False, "close", False),
        (["keep-alive"], 200, 1, False, "close", False),
        (["Keep-Alive", "X-Hop"], 200, 1, False, "X-Hop, close", False),
        (["upgrade"], 200, 1, True, "upgrade", True),
        (["upgrade"], 426, 1, False, "upgrade, close", False),
        (["upgrade"], 101, 1, False, "upgrade", False),
    ],
)
def test_connection(
    given_options: list[str], status: int, minor: int, keep: bool, options: str | None, kept: bool
) -> None:
    fields = CIMultiDict([("Connection", option) for option in given_options])
    assert say_connection(fields, status, minor, keep_alive=keep) is kept
    assert fields.get("Connection") == options
    assert len(fields) <= 1
