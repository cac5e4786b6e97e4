"""Retries as a client middleware: what may be sent again, when, and how often in all.

RFC 9110 sections 9.2.2 (idempotent methods) and 10.2.3 (``Retry-After``). Exported; given to a session:
``ClientSession(middlewares=[RetryMiddleware()])``. ``RetryPolicy`` and ``RetryBudget`` decide without I/O and without a
clock; ``RetryMiddleware`` acts on what they say.
"""

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterable
from inspect import isawaitable
from math import isfinite
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from endwell.client.errors import (
    AddressDeniedError,
    ClientConnectionError,
    ClientConnectorCertificateError,
    ClientConnectorError,
    ConnectionTimeoutError,
    ExchangeAbortedError,
    ServerFingerprintMismatch,
)
from endwell.client.middlewares import ClientHandlerType
from endwell.http import hdrs
from endwell.http.dates import parse_http_date

if TYPE_CHECKING:
    from endwell.client.request import ClientRequest
    from endwell.client.response import ClientResponse

__all__ = ("RetryBudget", "RetryEvent", "RetryMiddleware", "RetryPolicy")

IDEMPOTENT_METHODS: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"})
RETRY_STATUSES: Final = frozenset({408, 429, 500, 502, 503, 504})
# The connection was never there, so the request was never sent: any method may be tried again.
_UNSENT: Final = (ClientConnectorError, ConnectionTimeoutError)
# Trying again cannot help: the session is closing, or the peer is somebody else.
_FINAL: Final = (
    AddressDeniedError,
    ClientConnectorCertificateError,
    ExchangeAbortedError,
    ServerFingerprintMismatch,
)

_DEFAULT_BUDGET: Final[Any] = object()


def _seconds(name: str, value: float) -> float:
    if not isfinite(value) or value < 0:
        raise ValueError(f"{name} must be a number of seconds that is not negative, got {value!r}")
    return value


def _retry_after(text: str, date: str | None, now: float) -> float | None:
    """How many seconds ``Retry-After`` asks for; None when it says nothing that can be understood."""
    text = text.strip(" \t")
    if text.isascii() and text.isdigit():
        return float(text[:12])  # more digits than that are beyond every limit
    when = parse_http_date(text, now)
    if when is None:
        return None
    # By the server's own clock, if it tells: ours may be another.
    told = parse_http_date(date, now) if date else None
    return max(0.0, when - (now if told is None else told))


class RetryPolicy:
    """Decides whether and when a request is sent again.

    ``attempts``: how often it is sent at most, the first time included. ``methods``: those that may be repeated; others
    are repeated only after an error which shows that nothing was sent. ``statuses`` and ``exceptions``: after which of
    them; an exchange that the closing of its session aborted, a wrong certificate and a refused address are never
    repeated, nor is the plain ``TimeoutError`` of ``ClientTimeout.total``, unless they are listed as such.

    The wait before the n-th repetition is random between 0 and ``backoff * 2 ** (n - 1)`` seconds, at most
    ``max_backoff``; ``Retry-After`` is added to it. When the server asks for more than ``max_retry_after`` seconds, the
    request is not repeated: the caller gets the response and may decide. ``random`` gives numbers from 0 up to 1.
    """

    __slots__ = (
        "_random", "attempts", "backoff", "exceptions", "max_backoff", "max_retry_after", "methods", "statuses",
    )  # fmt: skip

    def __init__(
        self,
        *,
        attempts: int = 3,
        methods: Iterable[str] = IDEMPOTENT_METHODS,
        statuses: Iterable[int] = RETRY_STATUSES,
        exceptions: tuple[type[Exception], ...] = (ClientConnectionError,),
        backoff: float = 0.5,
        max_backoff: float = 30.0,
        max_retry_after: float = 60.0,
        random: Callable[[], float] | None = None,
    ) -> None:
        if attempts < 1:
            raise ValueError(f"attempts counts the first one too: it must be at least 1, got {attempts!r}")
        if isinstance(methods, str):
            raise TypeError(f"methods must be several, give ({methods!r},)")
        if random is None:
            import random as generator

            random = generator.random
        self.attempts = attempts
        self.methods = frozenset(method.upper() for method in methods)
        self.statuses = frozenset(statuses)
        self.exceptions = tuple(exceptions)
        self.backoff = _seconds("backoff", backoff)
        self.max_backoff = _seconds("max_backoff", max_backoff)
        self.max_retry_after = _seconds("max_retry_after", max_retry_after)
        self._random = random

    def decide(
        self,
        tried: int,
        method: str,
        *,
        status: int | None = None,
        error: BaseException | None = None,
        retry_after: str | None = None,
        date: str | None = None,
        now: float = 0.0,
    ) -> float | None:
        """The seconds to wait before the request is sent again, None when it is not.

        ``tried``: how often it was sent; then what came of it: ``status`` with the fields ``Retry-After`` and ``Date``,
        or ``error``. ``now``: seconds since the epoch.
        """
        if tried >= self.attempts or not self._retriable(method, status, error):
            return None
        ceiling = min(self.max_backoff, self.backoff * 2.0 ** min(tried - 1, 60))
        delay = self._random() * ceiling
        if retry_after is not None:
            asked = _retry_after(retry_after, date, now)
            if asked is not None:
                if asked > self.max_retry_after:
                    return None
                delay += asked
        return delay

    def _retriable(self, method: str, status: int | None, error: BaseException | None) -> bool:
        if error is None:
            return status in self.statuses and method.upper() in self.methods
        if not isinstance(error, self.exceptions):
            return False
        if isinstance(error, _FINAL) and type(error) not in self.exceptions:
            return False
        return method.upper() in self.methods or isinstance(error, _UNSENT)


class RetryBudget:
    """Bounds the retries of all requests together, so that they don't bury a server that is already in trouble.

    A bucket of tokens: each request puts in ``ratio`` of one, each second ``per_second``, each retry takes one; at most
    ``burst`` lie in it, and so many do at the start. May be shared by several middlewares. ``now`` is any clock in
    seconds that does not go backwards.
    """

    __slots__ = ("_last", "_tokens", "burst", "per_second", "ratio")

    def __init__(self, ratio: float = 0.2, *, per_second: float = 1.0, burst: float = 20.0) -> None:
        for name, value in (("ratio", ratio), ("per_second", per_second), ("burst", burst)):
            if not isfinite(value) or value < 0:
                raise ValueError(f"{name} must not be negative, infinite or NaN, got {value!r}")
        self.ratio = ratio
        self.per_second = per_second
        self.burst = burst
        self._tokens = float(burst)
        self._last: float | None = None

    def _refill(self, now: float, more: float) -> None:
        if self._last is not None and now > self._last:
            more += (now - self._last) * self.per_second
        self._last = now
        self._tokens = min(self.burst, self._tokens + more)

    def request(self, now: float) -> None:
        """Count a request (not a retry)."""
        self._refill(now, self.ratio)

    def take(self, now: float) -> bool:
        """Take the token for one retry; False: there is none, do not retry."""
        self._refill(now, 0.0)
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True


class RetryEvent(NamedTuple):
    """What ``on_retry`` is told: the request will be sent again after ``delay`` seconds.

    ``tried``: how often it was sent so far; ``status`` of the response or ``error``, the other one is None.
    """

    request: "ClientRequest"
    tried: int
    delay: float
    status: int | None
    error: BaseException | None


class RetryMiddleware:
    """Sends a request again after a failure that may pass.

    The keyword arguments are those of ``RetryPolicy``, unless a ``policy`` is given. ``budget``: a ``RetryBudget`` for
    all requests through this object, None for none. ``on_retry``: called with a ``RetryEvent`` before each wait; may be
    a coroutine function.

    A body that can be sent only once is not sent again. A response that is not the last is released. What comes of the
    last attempt is returned or raised as it is. The waits count for the caller's time limit. Cancelled, it stops
    waiting and sends nothing more.
    """

    def __init__(
        self,
        *,
        policy: RetryPolicy | None = None,
        budget: RetryBudget | None = _DEFAULT_BUDGET,
        on_retry: Callable[[RetryEvent], Awaitable[None] | None] | None = None,
        **options: Any,
    ) -> None:
        if policy is not None and options:
            raise TypeError(f"give either policy or its arguments, not both: {', '.join(options)}")
        self.policy = RetryPolicy(**options) if policy is None else policy
        self.budget = RetryBudget() if budget is _DEFAULT_BUDGET else budget
        self._on_retry = on_retry

    async def __call__(self, request: "ClientRequest", handler: ClientHandlerType) -> "ClientResponse":
        """Send ``request`` as often as the policy and the budget allow."""
        policy = self.policy
        clock = asyncio.get_running_loop().time
        if self.budget is not None:
            self.budget.request(clock())
        tried = 0
        while True:
            tried += 1
            try:
                response = await handler(request)
            except policy.exceptions as error:
                delay = policy.decide(tried, request.method, error=error)
                if delay is None or not self._allowed(request, clock()):
                    raise
                await self._pause(RetryEvent(request, tried, delay, None, error))
                continue
            status = response.status
            if status not in policy.statuses:
                return response
            delay = policy.decide(
                tried,
                request.method,
                status=status,
                retry_after=response.headers.get(hdrs.RETRY_AFTER),
                date=response.headers.get(hdrs.DATE),
                now=time.time(),
            )
            if delay is None or not self._allowed(request, clock()):
                return response
            response.release()
            await self._pause(RetryEvent(request, tried, delay, status, None))

    def _allowed(self, request: "ClientRequest", now: float) -> bool:
        if getattr(request.body, "consumed", False):
            return False
        return self.budget is None or self.budget.take(now)

    async def _pause(self, event: RetryEvent) -> None:
        if self._on_retry is not None:
            told = self._on_retry(event)
            if isawaitable(told):
                await told
        await asyncio.sleep(event.delay)
