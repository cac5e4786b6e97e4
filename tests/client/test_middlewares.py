"""A row of middlewares: their order, and what each may do."""

from types import SimpleNamespace
from typing import Any

from endwell.client.middlewares import build_client_middlewares


def marking(tag: str, log: list[str]) -> Any:
    async def middleware(request: Any, handler: Any) -> Any:
        log.append(f"{tag} in")
        response = await handler(request)
        log.append(f"{tag} out")
        return response

    return middleware


async def answer(request: Any) -> Any:
    request.calls += 1
    return request.calls


def request() -> Any:
    return SimpleNamespace(calls=0)


async def test_the_first_one_is_outermost() -> None:
    log: list[str] = []
    handler = build_client_middlewares(answer, [marking("a", log), marking("b", log)])
    assert await handler(request()) == 1
    assert log == ["a in", "b in", "b out", "a out"]


def test_no_middlewares_no_wrapping() -> None:
    assert build_client_middlewares(answer, ()) is answer


async def test_the_handler_may_be_called_again() -> None:
    log: list[str] = []

    async def twice(request: Any, handler: Any) -> Any:
        await handler(request)
        return await handler(request)

    handler = build_client_middlewares(answer, [twice, marking("inner", log)])
    assert await handler(request()) == 2
    assert log == ["inner in", "inner out"] * 2
    assert await handler(request()) == 2


async def test_a_middleware_may_answer_by_itself() -> None:
    async def own(request: Any, handler: Any) -> Any:
        return "own"

    sent = request()
    assert await build_client_middlewares(answer, [own])(sent) == "own"
    assert sent.calls == 0
