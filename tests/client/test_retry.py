"""Retries: the policy and the budget as calculations, then the middleware that acts on them."""

import asyncio
import math
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict

from endwell.client.errors import (
    ClientConnectionError,
    ClientConnectorCertificateError,
    ClientConnectorError,
    ClientPayloadError,
    ConnectionTimeoutError,
    ExchangeAbortedError,
    ServerDisconnectedError,
    ServerFingerprintMismatch,
    SocketTimeoutError,
)
from endwell.client.retry import RetryBudget, RetryEvent, RetryMiddleware, RetryPolicy

KEY: Any = SimpleNamespace(host="h", port=80, is_ssl=False, ssl=True)
REFUSED = ClientConnectorError(KEY, OSError(111, "refused"))


def policy(**options: Any) -> RetryPolicy:
    return RetryPolicy(**{"random": lambda: 1.0, **options})


@pytest.mark.parametrize("status", [408, 429, 500, 502, 503, 504])
def test_statuses(status: int) -> None:
    assert policy().decide(1, "GET", status=status) == 0.5
    assert policy().decide(1, "POST", status=status) is None
    assert policy(statuses=[418]).decide(1, "GET", status=status) is None


@pytest.mark.parametrize("status", [200, 301, 404, 501, 505])
def test_statuses_that_stay(status: int) -> None:
    assert policy().decide(1, "GET", status=status) is None


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE", "get"])
def test_idempotent_methods(method: str) -> None:
    assert policy().decide(1, method, error=ServerDisconnectedError()) is not None
    assert policy(methods=["PATCH"]).decide(1, method, error=ServerDisconnectedError()) is None


def test_other_methods() -> None:
    assert policy().decide(1, "POST", error=ServerDisconnectedError()) is None
    assert policy(methods=["post"]).decide(1, "POST", error=ServerDisconnectedError()) is not None
    assert policy(methods=["post"]).decide(1, "POST", status=503) is not None


@pytest.mark.parametrize("error", [REFUSED, ConnectionTimeoutError()])
def test_what_was_never_sent_may_be_sent_again(error: Exception) -> None:
    assert policy().decide(1, "POST", error=error) is not None


@pytest.mark.parametrize(
    "error",
    [
        ExchangeAbortedError(),
        ClientConnectorCertificateError(KEY, ValueError("x")),
        ServerFingerprintMismatch(b"a", b"b", "h", 1),
        TimeoutError(),
        ClientPayloadError(),
        ValueError(),
        asyncio.CancelledError(),
    ],
    ids=lambda error: type(error).__name__,
)
def test_errors_that_stay(error: Exception) -> None:
    assert policy().decide(1, "GET", error=error) is None


def test_exceptions_can_be_chosen() -> None:
    chosen = policy(exceptions=(TimeoutError, ServerFingerprintMismatch))
    assert chosen.decide(1, "GET", error=TimeoutError()) is not None
    assert chosen.decide(1, "GET", error=SocketTimeoutError()) is not None
    assert chosen.decide(1, "GET", error=ServerFingerprintMismatch(b"a", b"b", "h", 1)) is not None
    assert chosen.decide(1, "GET", error=ServerDisconnectedError()) is None


def test_attempts_count_the_first_one() -> None:
    three = policy(attempts=3)
    assert [three.decide(tried, "GET", status=503) for tried in (1, 2, 3, 4)] == [0.5, 1.0, None, None]
    assert policy(attempts=1).decide(1, "GET", status=503) is None


def test_backoff_grows_to_its_ceiling() -> None:
    many = policy(attempts=10_000, backoff=1, max_backoff=10)
    assert [many.decide(tried, "GET", status=503) for tried in (1, 2, 3, 4, 5, 9000)] == [1, 2, 4, 8, 10, 10]


@given(random=st.floats(0, 1, exclude_max=True), tried=st.integers(1, 100))
def test_jitter_is_full(random: float, tried: int) -> None:
    delay = policy(attempts=1000, random=lambda: random).decide(tried, "GET", status=503)
    assert delay == random * min(30.0, 0.5 * 2.0 ** (tried - 1))


def test_the_usual_random_numbers() -> None:
    delays = {RetryPolicy().decide(1, "GET", status=503) for _ in range(20)}
    assert len(delays) > 1
    assert all(delay is not None and 0 <= delay <= 0.5 for delay in delays)


@pytest.mark.parametrize(
    ("retry_after", "date", "delay"),
    [
        ("7", None, 7.5),
        (" 7 ", None, 7.5),
        ("0", None, 0.5),
        ("60", None, 60.5),
        ("61", None, None),
        ("9" * 5000, None, None),
        ("-5", None, 0.5),
        ("soon", None, 0.5),
        ("\u0667", None, 0.5),
        ("1.5", None, 0.5),
        ("Sun, 06 Nov 1994 08:49:57 GMT", None, 20.5),
        ("Sun, 06 Nov 1994 08:49:17 GMT", None, 0.5),
        ("Sun, 06 Nov 1994 09:49:37 GMT", None, None),
        ("Sun, 06 Nov 1994 09:49:37 GMT", "Sun, 06 Nov 1994 09:49:35 GMT", 2.5),
        ("Sun, 06 Nov 1994 08:49:57 GMT", "yesterday", 20.5),
    ],
)
def test_retry_after(retry_after: str, date: str | None, delay: float | None) -> None:
    now = 784111777.0  # Sun, 06 Nov 1994 08:49:37 GMT
    assert policy().decide(1, "GET", status=503, retry_after=retry_after, date=date, now=now) == delay


@pytest.mark.parametrize(
    "options",
    [{"attempts": 0}, {"backoff": -1}, {"max_backoff": math.nan}, {"max_retry_after": math.inf}, {"backoff": math.inf}],
)
def test_bad_policies(options: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        RetryPolicy(**options)


def test_a_single_method_is_not_several() -> None:
    with pytest.raises(TypeError, match=r"give \('GET',\)"):
        RetryPolicy(methods="GET")


# -- the budget --------------------------------------------------------------------------------------------------------


def test_the_budget_allows_a_share_of_the_requests() -> None:
    budget = RetryBudget(0.25, per_second=0, burst=2)
    assert [budget.take(0) for _ in range(3)] == [True, True, False]
    taken = 0
    for _ in range(400):
        budget.request(0)
        taken += budget.take(0)
    assert taken == 100


def test_the_budget_has_a_floor() -> None:
    budget = RetryBudget(0, per_second=2, burst=3)
    assert [budget.take(10) for _ in range(4)] == [True] * 3 + [False]
    assert [budget.take(11) for _ in range(3)] == [True, True, False]
    assert [budget.take(1000) for _ in range(4)] == [True] * 3 + [False]
    assert not budget.take(5)  # a clock that goes back gives nothing


@given(
    st.lists(st.tuples(st.booleans(), st.floats(0, 5)), max_size=100),
    st.floats(0, 1),
    st.floats(0, 3),
    st.integers(0, 5),
)
def test_the_budget_is_never_exceeded(steps: Any, ratio: float, per_second: float, burst: int) -> None:
    budget = RetryBudget(ratio, per_second=per_second, burst=burst)
    now = requests = taken = 0.0
    for is_request, pause in steps:
        now += pause
        if is_request:
            requests += 1
            budget.request(now)
        else:
            taken += budget.take(now)
    assert taken <= burst + ratio * requests + per_second * now + 1e-6


@pytest.mark.parametrize("options", [{"ratio": -1}, {"per_second": math.nan}, {"burst": math.inf}])
def test_bad_budgets(options: Any) -> None:
    with pytest.raises(ValueError, match=next(iter(options))):
        RetryBudget(**options)


# -- the middleware ----------------------------------------------------------------------------------------------------


class Request:
    def __init__(self, method: str = "GET", body: Any = b"") -> None:
        self.method = method
        self.body = body


class Response:
    def __init__(self, status: int, **fields: str) -> None:
        self.status = status
        self.headers = CIMultiDict({name.replace("_", "-"): value for name, value in fields.items()})
        self.released = False

    def release(self) -> None:
        self.released = True


class Server:
    """Answers by its script; the last step is repeated."""

    def __init__(self, *script: Any) -> None:
        self.script = list(script)
        self.calls = 0

    async def __call__(self, request: Any) -> Any:
        await asyncio.sleep(0)
        step = self.script[min(self.calls, len(self.script) - 1)]
        self.calls += 1
        if isinstance(step, BaseException):
            raise step
        return step


def middleware(**options: Any) -> RetryMiddleware:
    return RetryMiddleware(**{"backoff": 0, **options})


async def send(retry: RetryMiddleware, server: Server, **options: Any) -> Any:
    return await retry(Request(**options), server)  # type: ignore[arg-type] # it has what a middleware needs


async def test_until_it_goes_well() -> None:
    rows = [Response(503), ServerDisconnectedError(), Response(200)]
    server = Server(*rows)
    assert await send(middleware(), server) is rows[2]
    assert server.calls == 3
    assert rows[0].released  # type: ignore[union-attr] # it is a Response
    assert not rows[2].released  # type: ignore[union-attr] # it is a Response


async def test_the_last_response_is_returned_as_it_is() -> None:
    rows = [Response(503), Response(502), Response(500)]
    server = Server(*rows)
    assert await send(middleware(), server) is rows[2]
    assert [row.released for row in rows] == [True, True, False]


async def test_the_last_error_is_raised_as_it_is() -> None:
    errors = [ServerDisconnectedError(str(number)) for number in range(3)]
    with pytest.raises(ServerDisconnectedError) as caught:
        await send(middleware(), Server(*errors))
    assert caught.value is errors[2]


async def test_nothing_is_done_where_nothing_can_be() -> None:
    for step in (Response(200), Response(404), Response(503)):
        server = Server(step)
        assert await send(middleware(), server, method="POST") is step
        assert (server.calls, step.released) == (1, False)
    server = Server(ClientPayloadError("x"))
    with pytest.raises(ClientPayloadError):
        await send(middleware(), server)
    assert server.calls == 1


async def test_a_body_that_is_gone_is_not_sent_again() -> None:
    for consumed, calls in ((True, 1), (False, 3)):
        server = Server(Response(503))
        response = await send(middleware(), server, method="PUT", body=SimpleNamespace(consumed=consumed))
        assert (response.status, server.calls) == (503, calls)
    server = Server(ServerDisconnectedError())
    with pytest.raises(ServerDisconnectedError):
        await send(middleware(), server, method="PUT", body=SimpleNamespace(consumed=True))
    assert server.calls == 1


async def test_all_requests_share_the_budget() -> None:
    retry = middleware(budget=RetryBudget(0.0, per_second=0, burst=3), attempts=10)
    server = Server(Response(503))
    for _ in range(5):
        assert (await send(retry, server)).status == 503
    assert server.calls == 5 + 3
    server = Server(ServerDisconnectedError())
    with pytest.raises(ServerDisconnectedError):
        await send(retry, server)
    assert server.calls == 1


async def test_without_a_budget() -> None:
    server = Server(Response(503))
    await send(middleware(budget=None, attempts=200), server)
    assert server.calls == 200


async def test_a_storm_is_bounded_by_default() -> None:
    retry, server = middleware(attempts=10), Server(Response(503))
    for _ in range(100):
        await send(retry, server)
    # 100 requests, 20 retries saved up, 20 % of the requests (but no more saved up than those 20), and one a second.
    assert 135 <= server.calls < 200


async def test_the_hook_is_told() -> None:
    told: list[RetryEvent] = []
    error = ClientConnectionError("x")
    await send(middleware(on_retry=told.append), Server(Response(503), error, Response(200)))
    assert [(event.tried, event.delay, event.status, event.error) for event in told] == [
        (1, 0.0, 503, None),
        (2, 0.0, None, error),
    ]
    assert told[0].request.method == "GET"


async def test_the_hook_may_be_a_coroutine_function() -> None:
    told = []

    async def hook(event: RetryEvent) -> None:
        await asyncio.sleep(0)
        told.append(event.tried)

    await send(middleware(on_retry=hook), Server(Response(503), Response(200)))
    assert told == [1]


async def test_what_the_hook_raises_ends_it() -> None:
    def hook(event: RetryEvent) -> None:
        raise LookupError("stop")

    first = Response(503)
    with pytest.raises(LookupError, match="stop"):
        await send(middleware(on_retry=hook), Server(first, Response(200)))
    assert first.released


async def test_retry_after_is_read_from_the_response() -> None:
    told: list[RetryEvent] = []
    first = Response(503, Retry_After="Sun, 06 Nov 1994 08:49:37 GMT", Date="Sun, 06 Nov 1994 08:49:37 GMT")
    last = Response(503, Retry_After="3600")
    server = Server(first, last)
    assert await send(middleware(on_retry=told.append), server) is last
    assert server.calls == 2
    assert [event.delay for event in told] == [0.0]
    assert not last.released


async def test_cancelled_it_sends_nothing_more() -> None:
    waiting = asyncio.Event()
    server = Server(Response(503))
    retry = middleware(backoff=1000, random=lambda: 1.0, max_backoff=1000, on_retry=lambda event: waiting.set())
    task = asyncio.ensure_future(send(retry, server))
    await waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert server.calls == 1


def test_policy_or_its_arguments() -> None:
    chosen = policy()
    assert RetryMiddleware(policy=chosen).policy is chosen
    assert RetryMiddleware(attempts=7).policy.attempts == 7
    with pytest.raises(TypeError, match="not both: attempts"):
        RetryMiddleware(policy=chosen, attempts=7)
    with pytest.raises(TypeError):
        RetryMiddleware(atempts=7)
