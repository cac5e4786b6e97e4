"""What a verb returns: something to await, and something to enter."""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine, Generator
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from endwell.client.response import ClientResponse
    from endwell.client.session import ClientSession

__all__ = ("RequestContext", "SessionRequestContext")


class RequestContext(Coroutine[Any, Any, "ClientResponse"]):
    """``await session.get(url)`` gives the response; ``async with`` also lets it go at the end of the block."""

    __slots__ = ("_coro", "_response")

    def __init__(self, coro: Coroutine[Any, Any, ClientResponse]) -> None:
        self._coro = coro

    def __await__(self) -> Generator[Any, None, ClientResponse]:
        return self._coro.__await__()

    async def __aenter__(self) -> ClientResponse:
        self._response = response = await self._coro
        return response

    def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: object
    ) -> Awaitable[None]:
        return self._response._leave(failed=kind is not None)

    def send(self, value: Any) -> Any:
        """See `collections.abc.Coroutine`."""
        return self._coro.send(value)

    def throw(self, *args: Any) -> Any:
        """See `collections.abc.Coroutine`."""
        return self._coro.throw(*args)

    def close(self) -> None:
        """See `collections.abc.Coroutine`."""
        self._coro.close()


class SessionRequestContext(RequestContext):
    """What `endwell.request` returns: the session that was made for it is closed with the response."""

    __slots__ = ("_session",)

    def __init__(self, coro: Coroutine[Any, Any, ClientResponse], session: ClientSession) -> None:
        super().__init__(coro)
        self._session = session

    def __await__(self) -> Generator[Any, None, ClientResponse]:
        return self._whole().__await__()

    async def __aenter__(self) -> ClientResponse:
        done = False
        try:
            response = await super().__aenter__()
            done = True
        finally:
            if not done:
                await self._session.close()
        return response

    async def __aexit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: object) -> None:
        try:
            await super().__aexit__(kind, error, trace)
        finally:
            await self._session.close()

    async def _whole(self) -> ClientResponse:
        """Read the body before the session goes: nothing but the response is left in the user's hands."""
        try:
            response = await self._coro
            await response.read()
            return response
        finally:
            await self._session.close()
