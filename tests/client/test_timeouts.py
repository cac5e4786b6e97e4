"""The time limits as values, and the rounding of deadlines."""

import copy
import math
import pickle
import sys
from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.client.timeouts import DEFAULT_TIMEOUT, DEFAULT_WS_TIMEOUT, ClientTimeout, ClientWSTimeout, ceil_deadline


def test_defaults() -> None:
    assert repr(ClientTimeout()) == (
        "ClientTimeout(total=None, connect=None, sock_read=None, sock_connect=None, ceil_threshold=5)"
    )
    assert ClientTimeout(total=300, sock_connect=30) == DEFAULT_TIMEOUT
    assert ClientWSTimeout(None, 10.0) == DEFAULT_WS_TIMEOUT
    assert repr(ClientWSTimeout()) == "ClientWSTimeout(ws_receive=None, ws_close=None)"


def test_positions() -> None:
    timeout = ClientTimeout(1, 2, 3, 4, 6)
    assert (timeout.total, timeout.connect, timeout.sock_read, timeout.sock_connect) == (1, 2, 3, 4)
    assert timeout.ceil_threshold == 6


def test_values() -> None:
    assert ClientTimeout(total=5) == ClientTimeout(5)
    assert ClientTimeout(total=5) != ClientTimeout(connect=5)
    assert ClientTimeout() != ClientWSTimeout()
    assert ClientTimeout() != object()
    assert len({ClientTimeout(5), ClientTimeout(5), ClientTimeout(6)}) == 2


@pytest.mark.parametrize("value", [ClientTimeout(1, 2, 3, 4, 6), ClientWSTimeout(1, 2)])
def test_copies(value: Any) -> None:
    assert copy.copy(value) is value
    assert copy.deepcopy(value) == value
    assert pickle.loads(pickle.dumps(value)) == value


def test_replace() -> None:
    timeout = ClientTimeout(1, 2)
    assert timeout.__replace__(total=3) == ClientTimeout(3, 2)
    if sys.version_info >= (3, 13):
        assert copy.replace(timeout, connect=None) == ClientTimeout(1)
    with pytest.raises(TypeError):
        timeout.__replace__(totl=3)


@pytest.mark.parametrize("value", [ClientTimeout(), ClientWSTimeout()])
@pytest.mark.parametrize("name", ["total", "ws_close", "other"])
def test_frozen(value: Any, name: str) -> None:
    with pytest.raises(AttributeError, match="cannot be changed"):
        setattr(value, name, 1)
    with pytest.raises(AttributeError, match="cannot be changed"):
        delattr(value, name)


@pytest.mark.parametrize("name", ["total", "connect", "sock_read", "sock_connect", "ceil_threshold"])
@pytest.mark.parametrize("bad", [-1, -0.001, math.nan, -math.inf])
def test_bad_numbers(name: str, bad: float) -> None:
    with pytest.raises(ValueError, match=f"ClientTimeout: {name} must not be negative or NaN"):
        ClientTimeout(**{name: bad})


@pytest.mark.parametrize("name", ["total", "connect", "sock_read", "sock_connect", "ceil_threshold"])
@pytest.mark.parametrize("bad", ["5", True, Fraction(1), [], object()])
def test_no_numbers(name: str, bad: Any) -> None:
    with pytest.raises(TypeError, match=f"ClientTimeout: {name} must be a number of seconds"):
        ClientTimeout(**{name: bad})


def test_the_threshold_is_a_number() -> None:
    with pytest.raises(TypeError, match="ceil_threshold must be a number"):
        ClientTimeout(ceil_threshold=None)  # type: ignore[arg-type] # that is the point


def test_bad_websocket_limits() -> None:
    with pytest.raises(ValueError, match="ClientWSTimeout: ws_receive"):
        ClientWSTimeout(-1)
    with pytest.raises(TypeError, match="ClientWSTimeout: ws_close"):
        ClientWSTimeout(ws_close="1")  # type: ignore[arg-type] # that is the point


def test_infinity_is_off() -> None:
    assert ClientTimeout(total=math.inf).total is None


def test_zero_is_kept() -> None:
    assert ClientTimeout(total=0).total == 0


@given(now=st.floats(0, 1e9), seconds=st.floats(0, 1e6), threshold=st.floats(0, 1e3))
def test_ceil_deadline(now: float, seconds: float, threshold: float) -> None:
    deadline = ceil_deadline(now, seconds, threshold)
    if seconds > threshold:
        assert deadline == int(deadline)
        assert now + seconds <= deadline <= now + seconds + 1
    else:
        assert deadline == now + seconds
