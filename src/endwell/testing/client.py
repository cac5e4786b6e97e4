"""`TestClient`: a session of its own with a test server of its own; paths are relative to the server.

Used by users' tests, by `testing.case` and by the fixtures of the pytest plugin.
"""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import TYPE_CHECKING, Any, ClassVar, Final, Generic, NoReturn, Self, TypeVar, overload

from endwell.client.context import RequestContext
from endwell.client.cookiejar import AbstractCookieJar, CookieJar
from endwell.client.session import ClientSession
from endwell.client.websocket import ClientWebSocketResponse, WebSocketContext
from endwell.server.request import BaseRequest, Request
from endwell.testing.servers import BaseTestServer, TestServer

if TYPE_CHECKING:
    from yarl import URL

    from endwell.client.response import ClientResponse
    from endwell.http.typedefs import StrOrURL
    from endwell.server.application import Application

__all__ = ("TestClient",)

_KEPT: Final = 100
"""Responses above which those that have ended are let go of."""

RequestT = TypeVar("RequestT", bound=BaseRequest)
AppT = TypeVar("AppT", bound="Application | None")


class TestClient(Generic[RequestT, AppT]):
    """Makes requests to a test server, which it starts and closes.

    Use it as ``async with TestClient(TestServer(app)) as client``, or `start_server` and `close` it.

    Args:
        server: started or not.
        cookie_jar: by default one that keeps the cookies of IP addresses, too.
        loop: not used: the session belongs to the loop that runs when it is first needed.
        **kwargs: see `ClientSession`; they are looked at when the session is made.

    """

    __test__: ClassVar = False  # not a class with tests, whatever its name says to pytest

    @overload
    def __init__(
        self: TestClient[Request, Application],
        server: TestServer,
        *,
        cookie_jar: AbstractCookieJar | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        **kwargs: Any,
    ) -> None: ...

    @overload
    def __init__(
        self: TestClient[BaseRequest, None],
        server: BaseTestServer,
        *,
        cookie_jar: AbstractCookieJar | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        **kwargs: Any,
    ) -> None: ...

    def __init__(
        self,
        server: BaseTestServer,
        *,
        cookie_jar: AbstractCookieJar | None = None,
        loop: asyncio.AbstractEventLoop | None = None,
        **kwargs: Any,
    ) -> None:
        if not isinstance(server, BaseTestServer):
            message = f"TestClient takes a TestServer, not {type(server).__name__}; write: TestClient(TestServer(app))"
            raise TypeError(message)
        self._server = server
        self._cookie_jar = CookieJar(unsafe=True) if cookie_jar is None else cookie_jar
        self._session_arguments = kwargs
        self._session: ClientSession | None = None
        self._closed = False
        self._responses: list[ClientResponse] = []
        self._websockets: list[ClientWebSocketResponse] = []

    def __repr__(self) -> str:
        return f"<{type(self).__name__} {'closed' if self._closed else 'of'} {self._server!r}>"

    async def start_server(self) -> None:
        """Start the server, if it does not run yet. If that fails the client is closed.

        Raises:
            RuntimeError: the client was closed.
            OSError: the address can't be had.

        """
        started = False
        try:
            _ = self.session  # refuses arguments that there are not before anything is started
            await self._server.start_server()
            started = True
        finally:
            if not started:
                await self.close()

    @property
    def host(self) -> str:
        """The server's address."""
        return self._server.host

    @property
    def port(self) -> int | None:
        """The server's port, None as long as it does not listen."""
        return self._server.port

    @property
    def server(self) -> BaseTestServer:
        """The server."""
        return self._server

    @property
    def app(self) -> AppT:
        """The application that is served, None for a handler."""
        app: AppT = getattr(self._server, "app", None)  # type: ignore[assignment]  # None is AppT then: see __init__
        return app

    @property
    def session(self) -> ClientSession:
        """The session, made on first use.

        Raises:
            RuntimeError: there is none yet, and no running event loop; or the client was closed before there was one.

        """
        if self._session is None:
            if self._closed:
                message = f"{self!r} has no session any more"
                raise RuntimeError(message)
            self._session = ClientSession(cookie_jar=self._cookie_jar, **self._session_arguments)
        return self._session

    def make_url(self, path: StrOrURL) -> URL:
        """Give the URL of a path on the server. See `BaseTestServer.make_url`."""
        return self._server.make_url(path)

    # Requests

    def request(self, method: str, path: StrOrURL, **kwargs: Any) -> RequestContext:
        """Make a request to a path on the server. See `ClientSession.request`.

        A test may leave the response as it is: what it did not read is dealt with when the client is closed.
        """
        return self._kept(self.session.request(method, self.make_url(path), **kwargs))

    def get(self, path: StrOrURL, **kwargs: Any) -> RequestContext:
        """Make a GET request. See `request`."""
        return self._kept(self.session.get(self.make_url(path), **kwargs))

    def post(self, path: StrOrURL, **kwargs: Any) -> RequestContext:
        """Make a POST request. See `request`."""
        return self._kept(self.session.post(self.make_url(path), **kwargs))

    def options(self, path: StrOrURL, **kwargs: Any) -> RequestContext:
        """Make an OPTIONS request. See `request`."""
        return self._kept(self.session.options(self.make_url(path), **kwargs))

    def head(self, path: StrOrURL, **kwargs: Any) -> RequestContext:
        """Make a HEAD request. See `request`."""
        return self._kept(self.session.head(self.make_url(path), **kwargs))

    def put(self, path: StrOrURL, **kwargs: Any) -> RequestContext:
        """Make a PUT request. See `request`."""
        return self._kept(self.session.put(self.make_url(path), **kwargs))

    def patch(self, path: StrOrURL, **kwargs: Any) -> RequestContext:
        """Make a PATCH request. See `request`."""
        return self._kept(self.session.patch(self.make_url(path), **kwargs))

    def delete(self, path: StrOrURL, **kwargs: Any) -> RequestContext:
        """Make a DELETE request. See `request`."""
        return self._kept(self.session.delete(self.make_url(path), **kwargs))

    def ws_connect(self, path: StrOrURL, **kwargs: Any) -> WebSocketContext:
        """Open a WebSocket to a path on the server. See `ClientSession.ws_connect`.

        A test may leave it open: it is closed with the client.
        """
        return WebSocketContext(self._keep_websocket(self.session.ws_connect(self.make_url(path), **kwargs)))

    async def _keep_websocket(self, opening: WebSocketContext) -> ClientWebSocketResponse:
        ws = await opening
        if len(self._websockets) >= _KEPT:
            self._websockets = [each for each in self._websockets if not each.closed]
        self._websockets.append(ws)
        return ws

    def _kept(self, request: RequestContext) -> RequestContext:
        return RequestContext(self._keep(request))

    async def _keep(self, request: RequestContext) -> ClientResponse:
        """Keep the response until the client is closed: one that is collected before it was read would be a leak."""
        response = await request
        if not response.closed:
            if len(self._responses) >= _KEPT:
                self._responses = [each for each in self._responses if not each.closed]
            self._responses.append(response)
        return response

    # The end

    async def close(self) -> None:
        """Close the session, then the server; when it returns both have ended. Idempotent.

        Requests in flight finish, for up to the `close_timeout` of the session. A second caller awaits the first.
        Cancelled, it still closes the server.
        """
        self._closed = True
        try:
            if self._session is not None:
                await self._session.close()
        finally:
            self._responses.clear()
            self._websockets.clear()
            await self._server.close()

    def __enter__(self) -> NoReturn:
        message = "Use async with instead: async with TestClient(TestServer(app)) as client"
        raise TypeError(message)

    def __exit__(self, *exc: object) -> None:
        """Never called: `__enter__` raises."""

    async def __aenter__(self) -> Self:
        await self.start_server()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # What is in flight when a test fails is not waited for: the session's own block says how it ends.
        try:
            if self._session is not None:
                await self._session.__aexit__(kind, error, trace)
        finally:
            await self.close()
