"""A handler that is a class with a method for each method of HTTP (RFC 9110 section 9). Routes take it as a handler."""

from __future__ import annotations

from collections.abc import Generator
from typing import TYPE_CHECKING, Any, NoReturn

from endwell.http import hdrs
from endwell.server.abc import AbstractView

if TYPE_CHECKING:
    from endwell.server.response import StreamResponse

__all__ = ("View",)


class View(AbstractView):
    """Answers a request with the coroutine method of the request's method: ``async def get(self)`` answers GET.

    A method that the class does not have is answered with 405 and a field ``Allow`` of those it has. Nothing is done
    for HEAD: write ``head = get`` where it is wanted.
    """

    def __await__(self) -> Generator[Any, None, StreamResponse]:
        return self._answer().__await__()

    async def _answer(self) -> StreamResponse:
        # Only the known methods: a peer must not choose which attribute is called.
        method = self.request.method
        answer = getattr(self, method.lower(), None) if method in hdrs.METH_ALL else None
        if answer is None:
            self._raise_allowed_methods()
        response: StreamResponse = await answer()
        return response

    def _raise_allowed_methods(self) -> NoReturn:
        from endwell.server.errors import HTTPMethodNotAllowed

        raise HTTPMethodNotAllowed(
            self.request.method, {method for method in hdrs.METH_ALL if hasattr(self, method.lower())}
        )
