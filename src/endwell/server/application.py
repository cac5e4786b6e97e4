"""A web application: routes, middlewares, what it keeps, and what happens at its start and end (closing.md C13).

Used by users, and by the runner: `startup`, `freeze`, `_make_request` and `_handle`, `shutdown`, `cleanup`.
"""

from __future__ import annotations

import asyncio
import enum
import logging
import warnings
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar, cast

from aiosignal import Signal
from frozenlist import FrozenList

from endwell.server.abc import AbstractMatchInfo, AbstractRouter
from endwell.server.app_state import AppState
from endwell.server.cleanup import CleanupContext, Failures
from endwell.server.middlewares import Handler, Middleware, build_chain, check_middleware
from endwell.server.request import BaseRequest, Request
from endwell.server.router import UrlDispatcher, UrlMappingMatchInfo

if TYPE_CHECKING:
    from endwell.server.response import StreamResponse
    from endwell.server.router import AbstractRoute, AbstractRouteDef, MatchedSubAppResource, PrefixedSubAppResource
    from endwell.server.runner import Server
    from endwell.server.seams import RequestExchange

__all__ = ("Application", "web_logger")

T = TypeVar("T")
R = TypeVar("R", bound="PrefixedSubAppResource")
TaskStarter: TypeAlias = "Callable[[Coroutine[Any, Any, T], str | None], asyncio.Task[T]]"

web_logger: Final = logging.getLogger("endwell.web")
# Routes are made when the application is; this is for resources of users that make one for each request.
_CHAINS_MAX: Final = 10_000


class _Stage(enum.Enum):
    """Where an application is in its life. `startup` begins a new life at each stage."""

    NEW = enum.auto()
    STARTED = enum.auto()
    SHUT = enum.auto()
    ENDED = enum.auto()


class _Below:
    """A callback that stands in a signal for an application below: its own callbacks are called then."""

    __slots__ = ("_method",)

    def __init__(self, method: Callable[[], Awaitable[None]]) -> None:
        self._method = method

    def __call__(self, app: Application) -> Awaitable[None]:
        return self._method()

    def __repr__(self) -> str:
        return f"<{self._method!r}>"


class Application(AppState):
    """A web application.

    It is a mapping, for what the application keeps: ``app[KEY] = value`` with a ``KEY = web.AppKey("name", Type)``.

    Args:
        logger: for the application's own code; what fails in a clean-up beside another error is written there.
        router: *deprecated*, a router of one's own.
        middlewares: see `middleware`; the first one is the outermost.
        handler_args: arguments for the server, which a runner merges with its own.
        client_max_size: bytes of a request's body that `read`, `text`, `json` and `post` take; 0 for no limit.
        client_max_fields: fields of a form that `post` takes, and parts of `multipart`; 0 for no limit.
        loop: *deprecated*, not used.
        debug: *deprecated*, not used.

    """

    def __init__(
        self,
        *,
        logger: logging.Logger = web_logger,
        router: UrlDispatcher | None = None,
        middlewares: Iterable[Middleware] = (),
        handler_args: Mapping[str, Any] | None = None,
        client_max_size: int = 1024**2,
        client_max_fields: int = 1000,
        loop: asyncio.AbstractEventLoop | None = None,
        debug: Any = ...,
    ) -> None:
        for name, given in (("loop", loop is not None), ("debug", debug is not ...), ("router", router is not None)):
            if given:
                warnings.warn(f"the argument {name} of Application is deprecated", DeprecationWarning, stacklevel=2)
        if router is None:
            router = UrlDispatcher()
        elif not isinstance(cast("object", router), AbstractRouter):
            message = f"the router of an Application is an AbstractRouter, not {type(router).__name__}"
            raise TypeError(message)
        super().__init__()
        self.logger = logger
        self._router = router
        self._middlewares: FrozenList[Middleware] = FrozenList(middlewares)
        self._handler_args = handler_args
        self._client_max_size = client_max_size
        self._client_max_fields = client_max_fields
        usual = (Request._client_max_size, Request._client_max_fields)
        self._has_usual_limits = (client_max_size, client_max_fields) == usual
        self._loop = loop
        self._debug = debug
        self._pre_frozen = False
        self._stage = _Stage.NEW
        self._subapps: list[Application] = []
        self._parent: Application | None = None
        self._tasks: TaskStarter[Any] | None = None
        self._on_response_prepare: Signal[Request, StreamResponse] = Signal(self)
        self._on_startup: Signal[Application] = Signal(self)
        self._on_shutdown: Signal[Application] = Signal(self)
        self._on_cleanup: Signal[Application] = Signal(self)
        self._cleanup_ctx = CleanupContext()
        # For `_handle`: what finds a route without waiting, `apps` of the usual request, and the middlewares around the
        # handlers, None when there are none.
        self._find = router._find if isinstance(router, UrlDispatcher) else _find_nothing
        self._alone = (self,)
        self._chains: dict[AbstractRoute | Application, Handler] | None = None

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        message = (
            f"{cls.__qualname__} is a subclass of web.Application, which is not made for that: keep what it adds under"
            " keys, app[web.AppKey(...)]"
        )
        warnings.warn(message, DeprecationWarning, stacklevel=3)  # above ABCMeta

    def __call__(self) -> Application:
        """Give the application itself, for servers that call a factory."""
        return self

    def __repr__(self) -> str:
        return f"<Application {id(self):#x}>"

    # Parts

    @property
    def loop(self) -> asyncio.AbstractEventLoop | None:
        """The event loop that was given. Deprecated: use ``asyncio.get_running_loop()``."""
        warnings.warn(
            "Application.loop is deprecated: use asyncio.get_running_loop()", DeprecationWarning, stacklevel=2
        )
        return self._loop

    @property
    def debug(self) -> Any:
        """What was given as `debug`. Deprecated: use ``asyncio.get_running_loop().get_debug()``."""
        message = "Application.debug is deprecated: use asyncio.get_running_loop().get_debug()"
        warnings.warn(message, DeprecationWarning, stacklevel=2)
        return self._debug

    @property
    def router(self) -> UrlDispatcher:
        """What finds the handler of a request."""
        return self._router

    @property
    def middlewares(self) -> FrozenList[Middleware]:
        """The middlewares, the outermost first."""
        return self._middlewares

    @property
    def on_response_prepare(self) -> Signal[Request, StreamResponse]:
        """``async def f(request, response)`` are called before the head of a response is sent."""
        return self._on_response_prepare

    @property
    def on_startup(self) -> Signal[Application]:
        """``async def f(app)`` are called when the application starts, after its cleanup contexts are entered."""
        return self._on_startup

    @property
    def on_shutdown(self) -> Signal[Application]:
        """``async def f(app)`` are called when the server begins to stop, before it waits for its requests."""
        return self._on_shutdown

    @property
    def on_cleanup(self) -> Signal[Application]:
        """``async def f(app)`` are called at the end, after the cleanup contexts are left."""
        return self._on_cleanup

    @property
    def cleanup_ctx(self) -> CleanupContext:
        """Async generators with one ``yield``, or async context managers, around the life of the application."""
        return self._cleanup_ctx

    # Setting up

    @property
    def pre_frozen(self) -> bool:
        """Whether routes, middlewares and signals can't be changed any more."""
        return self._pre_frozen

    def pre_freeze(self) -> None:
        """Freeze routes, middlewares and signals, here and in the applications below. Idempotent.

        Raises:
            TypeError: one of the middlewares is not marked as one.

        """
        if self._pre_frozen:
            return
        for each in self._middlewares:
            check_middleware(each)
        self._pre_frozen = True
        self._middlewares.freeze()
        self._router.freeze()
        for signal in (self._on_response_prepare, self._on_startup, self._on_shutdown, self._on_cleanup):
            signal.freeze()
        self._cleanup_ctx.freeze()
        for subapp in self._subapps:
            subapp.pre_freeze()
        if self._middlewares or any(subapp._chains is not None for subapp in self._subapps):
            self._chains = {}

    @property
    def frozen(self) -> bool:
        """Whether the mapping should not be changed any more."""
        return self._frozen

    def freeze(self) -> None:
        """Do `pre_freeze`, and warn of later changes of the mapping. Idempotent; the runner does it after `startup`."""
        if self._frozen:
            return
        self.pre_freeze()
        self._frozen = True
        for subapp in self._subapps:
            subapp.freeze()

    def _set_loop(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self._loop = loop

    def add_routes(self, routes: Iterable[AbstractRouteDef]) -> list[AbstractRoute]:
        """Add routes made with `get`, `post`, `static` ... or those of a `RouteTableDef`; return them."""
        return self._router.add_routes(routes)

    def add_subapp(self, prefix: str, subapp: Application) -> PrefixedSubAppResource:
        """Serve the paths below `prefix` by another application, which starts and ends with this one.

        The other one can't be changed afterwards, except for its mapping.

        Raises:
            RuntimeError: one of the two is frozen, or `subapp` is below an application already, or it is this one.
            TypeError, ValueError: `prefix` is no string, or does not name a path.

        """
        from endwell.server.router import PrefixedSubAppResource

        if not isinstance(prefix, str):
            message = f"the prefix of a sub-application is a string such as '/admin', not {type(prefix).__name__}"
            raise TypeError(message)
        prefix = prefix.rstrip("/")
        if not prefix.startswith("/"):
            message = f"the prefix of a sub-application begins with a slash and has more behind it, not {prefix!r}"
            raise ValueError(message)
        self._check_below(subapp)
        return self._add_below(subapp, PrefixedSubAppResource(prefix, subapp))

    def add_domain(self, domain: str, subapp: Application) -> MatchedSubAppResource:
        """Serve the requests to a host, ``"example.org"`` or ``"*.example.org"``, by another application.

        The same application can be added for several domains.

        Raises:
            RuntimeError: as in `add_subapp`.
            TypeError, ValueError: `domain` is no string, or no domain.

        """
        from endwell.server.router import Domain, MaskDomain, MatchedSubAppResource

        if not isinstance(domain, str):
            message = f"the domain of a sub-application is a string, not {type(domain).__name__}"
            raise TypeError(message)
        rule = MaskDomain(domain) if "*" in domain else Domain(domain)
        self._check_below(subapp, again=True)
        return self._add_below(subapp, MatchedSubAppResource(rule, subapp))

    def _check_below(self, subapp: Application, *, again: bool = False) -> None:
        if self._pre_frozen:
            raise RuntimeError("cannot add a sub-application to an application that is frozen: add it before the start")
        if subapp is self:
            raise RuntimeError("an application cannot be below itself")
        if subapp.frozen or (subapp._parent is not None and not (again and subapp._parent is self)):
            raise RuntimeError("cannot add a frozen application: it runs, or is below an application already")

    def _add_below(self, subapp: Application, resource: R) -> R:
        self._router.register_resource(resource)
        if subapp._parent is None:
            subapp._parent = self
            subapp.pre_freeze()
            self._subapps.append(subapp)
            self._on_startup.append(_Below(subapp._start))
            self._on_shutdown.append(_Below(subapp.shutdown))
        return resource

    def make_handler(self, **kwargs: Any) -> Server:
        """Make a `web.Server` of this application. Deprecated: use `web.AppRunner`, which starts and ends it, too."""
        warnings.warn("Application.make_handler is deprecated: use web.AppRunner", DeprecationWarning, stacklevel=2)
        from endwell.server.runner import Server

        self.freeze()
        handle = cast("Callable[[BaseRequest], Awaitable[StreamResponse]]", self._handle)  # of what _make_request makes
        return Server(handle, request_factory=self._make_request, **{**(self._handler_args or {}), **kwargs})

    # Its life

    async def startup(self) -> None:
        """Enter the cleanup contexts, then call the callbacks of `on_startup`, in order; those below when they come up.

        Raises:
            Exception: what one of them raised. What had started is cleaned up before; what fails in that is logged.

        Cancelled, it cleans up in the same way.
        """
        try:
            await self._start()
        except (Exception, asyncio.CancelledError) as error:
            failures = Failures()
            await self._clean(failures, only_started=True)
            failures.log(self.logger, f"cleaning up {self!r}, which could not start")
            if failures.cancelled is not None:
                raise failures.cancelled from error
            raise

    async def _start(self) -> None:
        self._stage = _Stage.STARTED
        self._on_startup.freeze()
        await self._cleanup_ctx._enter(self)
        await self._on_startup.send(self)

    async def shutdown(self) -> None:
        """Call the callbacks of `on_shutdown`, here and below, each of them whatever the others raise.

        Raises:
            Exception: what one of them raised.
            CleanupError: what several of them raised.

        Cancelled, it calls no more of them: `cleanup` still has to come. After a first call it does nothing.
        """
        if self._stage in (_Stage.SHUT, _Stage.ENDED):
            return
        self._stage = _Stage.SHUT
        failures = Failures()
        for callback in self._on_shutdown:
            await failures.run(callback, self)
            if failures.cancelled is not None:
                break
        failures.end(self.logger, f"shutting down {self!r}")

    async def cleanup(self) -> None:
        """Clean up what was started, the last first: the applications below, the cleanup contexts, `on_cleanup`.

        The contexts are left in the reverse order; the callbacks of `on_cleanup` are called in theirs. Each is run
        whatever the others do.

        Raises:
            Exception: what one of them raised.
            CleanupError: what several of them raised.

        Cancelled, it runs the rest and goes on with the cancellation. After a first call it does nothing.
        """
        failures = Failures()
        await self._clean(failures)
        failures.end(self.logger, f"cleaning up {self!r}")

    async def _clean(self, failures: Failures, *, only_started: bool = False) -> None:
        if self._stage is _Stage.ENDED or (only_started and self._stage is _Stage.NEW):
            return
        self._stage = _Stage.ENDED
        for subapp in reversed(self._subapps):
            await subapp._clean(failures, only_started=only_started)
        await self._cleanup_ctx._leave(failures)
        for callback in self._on_cleanup:
            await failures.run(callback, self)

    def create_task(self, coro: Coroutine[Any, Any, T], *, name: str | None = None) -> asyncio.Task[T]:
        """Start a task that the server owns: its end awaits the task, then cancels it (closing.md C4).

        Args:
            coro: what the task runs.
            name: see `asyncio.create_task`.

        Raises:
            RuntimeError: no server runs this application (yet). Not in aiohttp.

        """
        root = self
        while root._parent is not None:
            root = root._parent
        if root._tasks is None:
            coro.close()
            message = (
                "app.create_task() needs a server that owns the task: call it in on_startup, a cleanup context or a"
                " handler, after web.run_app() or a web.AppRunner has begun to set the application up"
            )
            raise RuntimeError(message)
        return root._tasks(coro, name)

    # What the server calls for each request

    def _make_request(self, exchange: RequestExchange) -> Request:
        if self._has_usual_limits:
            return Request(exchange)
        return Request(exchange, client_max_size=self._client_max_size, client_max_fields=self._client_max_fields)

    def _has_prepare_hooks(self) -> bool:
        """Whether a callback of this application, or of one below, wants to see responses before they are sent."""
        return bool(self._on_response_prepare) or any(app._has_prepare_hooks() for app in self._subapps)

    def _handle(self, request: Request) -> Awaitable[StreamResponse]:
        """Find what answers a request, and call it. What the router raises is raised here.

        No coroutine: on the usual path it gives that of the handler itself, and a layer less for each of its steps.
        """
        if request._head.expects or not self._pre_frozen:
            return self._handle_slowly(request)
        match_info = self._find(request)
        if match_info is None:
            return self._handle_slowly(request)
        # What add_app() and freeze() would do, once for each request.
        if match_info._current_app is None:
            match_info._current_app = self
            match_info._apps = self._alone
        else:
            match_info._apps = (self, *match_info._apps)
        match_info._frozen = True
        request._match_info = match_info
        if self._chains is None:
            return match_info._route._handler(request)
        return self._chain(match_info)(request)

    async def _handle_slowly(self, request: Request) -> StreamResponse:
        """Do the same with a router that has to be awaited, or for a client that expects something."""
        self.pre_freeze()
        match_info = cast("AbstractMatchInfo", await self._router.resolve(request))
        if not isinstance(match_info, AbstractMatchInfo):
            message = f"{self._router!r} found {type(match_info).__name__}, not an AbstractMatchInfo"
            raise TypeError(message)
        match_info.add_app(self)
        match_info.freeze()
        request._match_info = cast("UrlMappingMatchInfo", match_info)
        if request._head.expects:
            response = await match_info.expect_handler(request)
            if response is not None:
                return response
        if self._chains is None:
            handler = match_info.handler
        elif isinstance(match_info, UrlMappingMatchInfo):
            handler = self._chain(match_info)
        else:
            handler = build_chain(match_info.handler, match_info.apps)
        return await handler(request)

    def _chain(self, match_info: UrlMappingMatchInfo) -> Handler:
        """Give the handler with the middlewares around it, made once for each route, and once for what has none."""
        assert self._chains is not None
        nothing_found = match_info.http_exception is not None
        key = match_info.current_app if nothing_found else match_info.route
        chain = self._chains.get(key)
        if chain is None:
            chain = build_chain(_refuse if nothing_found else match_info.handler, match_info.apps)
            if len(self._chains) < _CHAINS_MAX:
                self._chains[key] = chain
        return chain


def _find_nothing(request: Request) -> None:
    """Find nothing without waiting: only a router of a user knows."""
    return


async def _refuse(request: Request) -> StreamResponse:
    """Answer a request for which nothing was found."""
    error = request.match_info.http_exception
    assert error is not None
    raise error
