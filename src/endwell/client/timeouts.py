"""How long a call may take: ``ClientTimeout``, ``ClientWSTimeout`` and the rounding of long deadlines.

Used by ``client/session``, ``client/options`` and ``client/websocket``. No clock here: ``now`` is an argument.
"""

from math import ceil, isfinite
from typing import Any, Final, NoReturn

__all__ = ("DEFAULT_TIMEOUT", "DEFAULT_WS_TIMEOUT", "ClientTimeout", "ClientWSTimeout", "ceil_deadline")


def _checked(owner: str, name: str, seconds: Any) -> Any:
    """``seconds`` if it is a timeout: None, or a finite number that is not negative (or infinity: off)."""
    if seconds is None:
        return None
    if isinstance(seconds, bool) or not isinstance(seconds, (int, float)):
        raise TypeError(f"{owner}: {name} must be a number of seconds or None, not {type(seconds).__name__}")
    if seconds != seconds or seconds < 0:  # noqa: PLR0124 - NaN
        raise ValueError(f"{owner}: {name} must not be negative or NaN, got {seconds!r}; None or 0 turns it off")
    return seconds if isfinite(seconds) else None


class _Frozen:
    """A value of named numbers: compared, hashed and shown by them, and never changed."""

    __slots__: tuple[str, ...] = ()

    def _values(self) -> tuple[Any, ...]:
        return tuple(getattr(self, name) for name in self.__slots__)

    def __setattr__(self, name: str, value: object) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} cannot be changed: make another one with {name}=...")

    def __delattr__(self, name: str) -> NoReturn:
        raise AttributeError(f"{type(self).__name__} cannot be changed")

    def __eq__(self, other: object) -> bool:
        if type(other) is not type(self):
            return NotImplemented
        return self._values() == other._values()

    def __hash__(self) -> int:
        return hash((type(self), *self._values()))

    def __repr__(self) -> str:
        inner = ", ".join(f"{name}={getattr(self, name)!r}" for name in self.__slots__)
        return f"{type(self).__name__}({inner})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), self._values()

    def __copy__(self) -> "_Frozen":
        return self

    def __replace__(self, **changes: Any) -> Any:
        """``copy.replace(timeout, total=5)`` (Python 3.13)."""
        return type(self)(**{**dict(zip(self.__slots__, self._values(), strict=True)), **changes})


class ClientTimeout(_Frozen):
    """The time limits of a request, in seconds; None and 0 mean without limit.

    ``total``: the whole call, redirects, retries and the reading of the body included; ``connect``: from the wish for
    a connection to having it, the wait in the pool's queue included; ``sock_read``: between two reads from the peer;
    ``sock_connect``: one dialling of a peer. A deadline of more than ``ceil_threshold`` seconds is rounded up to a
    whole second of the loop's clock, so that many of them fall together.

    Raises TypeError for what is not a number and ValueError for a negative one or NaN. Cannot be changed; can be
    compared, hashed and pickled.
    """

    __slots__ = ("total", "connect", "sock_read", "sock_connect", "ceil_threshold")  # noqa: RUF023 - order of arguments

    total: float | None
    connect: float | None
    sock_read: float | None
    sock_connect: float | None
    ceil_threshold: float

    def __init__(
        self,
        total: float | None = None,
        connect: float | None = None,
        sock_read: float | None = None,
        sock_connect: float | None = None,
        ceil_threshold: float = 5,
    ) -> None:
        put = object.__setattr__
        put(self, "total", _checked("ClientTimeout", "total", total))
        put(self, "connect", _checked("ClientTimeout", "connect", connect))
        put(self, "sock_read", _checked("ClientTimeout", "sock_read", sock_read))
        put(self, "sock_connect", _checked("ClientTimeout", "sock_connect", sock_connect))
        if ceil_threshold is None:
            raise TypeError("ClientTimeout: ceil_threshold must be a number of seconds, not None")
        _checked("ClientTimeout", "ceil_threshold", ceil_threshold)
        put(self, "ceil_threshold", ceil_threshold)


class ClientWSTimeout(_Frozen):
    """The time limits of a WebSocket, in seconds; None and 0 mean without limit.

    ``ws_receive``: for the next message; ``ws_close``: for the peer's answer to our close frame.
    """

    __slots__ = ("ws_receive", "ws_close")  # noqa: RUF023 - order of arguments

    ws_receive: float | None
    ws_close: float | None

    def __init__(self, ws_receive: float | None = None, ws_close: float | None = None) -> None:
        object.__setattr__(self, "ws_receive", _checked("ClientWSTimeout", "ws_receive", ws_receive))
        object.__setattr__(self, "ws_close", _checked("ClientWSTimeout", "ws_close", ws_close))


DEFAULT_TIMEOUT: Final = ClientTimeout(total=5 * 60, sock_connect=30)
DEFAULT_WS_TIMEOUT: Final = ClientWSTimeout(ws_close=10.0)


def ceil_deadline(now: float, seconds: float, threshold: float) -> float:
    """The time of the loop's clock at which a limit of ``seconds`` that starts ``now`` is over.

    Above ``threshold`` seconds it is rounded up to a whole second.
    """
    deadline = now + seconds
    return float(ceil(deadline)) if seconds > threshold else deadline
