import asyncio
import socket
from typing import Any

import pytest

from endwell.transport.address import ResolveResult
from endwell.transport.dns_cache import DnsCache
from endwell.transport.errors import ResolveError
from tests.transport.network import passes


def _answer(*hosts: str) -> list[ResolveResult]:
    return [ResolveResult(hostname="a", host=h, port=80, family=socket.AF_INET, proto=6, flags=0) for h in hosts]


def _hosts(found: list[ResolveResult] | None) -> list[str]:
    return [each["host"] for each in found or []]


def test_answers_rotate_and_expire() -> None:
    cache = DnsCache(ttl=10)
    cache.put("a", 80, _answer("1", "2", "3"), now=100)
    assert [_hosts(cache.get("a", 80, now=100 + i))[0] for i in range(4)] == ["1", "2", "3", "1"]
    assert _hosts(cache.get("a", 80, now=109.9)) == ["2", "3", "1"]
    assert cache.get("a", 80, now=110) is None
    assert len(cache) == 0


def test_bounds() -> None:
    cache = DnsCache(ttl=None, max_size=2)
    for name in "abc":
        cache.put(name, 80, _answer("1"), now=0)
    assert cache.get("a", 80, now=0) is None
    assert cache.get("c", 80, now=1e9) is not None
    cache.clear("c", 80)
    assert cache.get("c", 80, now=0) is None
    cache.clear()
    assert len(cache) == 0
    with pytest.raises(ValueError):
        cache.clear("a")
    with pytest.raises(ValueError):
        DnsCache(max_size=0)
    never = DnsCache(ttl=0)
    never.put("a", 80, _answer("1"), now=0)
    assert never.get("a", 80, now=0) is None


class Asking:
    """A resolver whose answers come when they are told to."""

    def __init__(self) -> None:
        self.questions: list[asyncio.Future[list[ResolveResult]]] = []

    async def __call__(self) -> list[ResolveResult]:
        self.questions.append(asyncio.get_running_loop().create_future())
        return await self.questions[-1]


def _share(cache: DnsCache, ask: Asking, count: int) -> list[Any]:
    return [asyncio.create_task(cache.share("a", 80, ask, lambda: 0.0)) for _ in range(count)]


async def test_one_lookup_for_all() -> None:
    cache, ask = DnsCache(), Asking()
    tasks = _share(cache, ask, 5)
    await passes()
    assert cache._flights
    ask.questions[0].set_result(_answer("1"))
    assert [_hosts(each) for each in await asyncio.gather(*tasks)] == [["1"]] * 5
    assert len(ask.questions) == 1
    assert not cache._flights
    assert _hosts(cache.get("a", 80, 0)) == ["1"]


async def test_a_failure_goes_to_all_as_their_own() -> None:
    cache, ask = DnsCache(), Asking()
    tasks = _share(cache, ask, 3)
    await passes()
    ask.questions[0].set_exception(ResolveError("a", 80, "unknown"))
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    assert [type(each) for each in outcomes] == [ResolveError] * 3
    assert len(set(map(id, outcomes))) == 3
    assert not cache._flights


@pytest.mark.parametrize("gone", [(0,), (0, 1), (1,), (0, 2), (0, 1, 2)])
async def test_whoever_is_cancelled_the_others_get_their_answer(gone: tuple[int, ...]) -> None:
    cache, ask = DnsCache(), Asking()
    tasks = _share(cache, ask, 4)
    await passes()
    for index in gone:
        tasks[index].cancel()
        await passes()
    assert ask.questions[-1].cancelled() is False
    ask.questions[-1].set_result(_answer("1"))
    outcomes = await asyncio.gather(*tasks, return_exceptions=True)
    for index, outcome in enumerate(outcomes):
        assert isinstance(outcome, asyncio.CancelledError) if index in gone else _hosts(outcome) == ["1"]


async def test_cancelled_in_the_moment_of_taking_over() -> None:
    cache, ask = DnsCache(), Asking()
    tasks = _share(cache, ask, 3)
    await passes()
    tasks[0].cancel()
    tasks[1].cancel()  # its turn comes in the same pass
    await passes(6)
    ask.questions[-1].set_result(_answer("1"))
    assert _hosts(await tasks[2]) == ["1"]
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not cache._flights


async def test_all_cancelled_leaves_nothing() -> None:
    cache, ask = DnsCache(), Asking()
    tasks = _share(cache, ask, 3)
    await passes()
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert not cache._flights
