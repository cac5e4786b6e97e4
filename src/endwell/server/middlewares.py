"""Middlewares: functions around the handlers of an application, and the chain that is made of them.

The chain of a route is made once and kept by the application. Used by `application`, and by users for `middleware` and
`normalize_path_middleware`.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Iterator, Sequence
from functools import partial, update_wrapper
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar

from endwell.server.errors import HTTPMove, HTTPPermanentRedirect
from endwell.server.router.patterns import safe_path

if TYPE_CHECKING:
    from endwell.server.application import Application
    from endwell.server.request import Request
    from endwell.server.response import StreamResponse

__all__ = ("Handler", "Middleware", "build_chain", "check_middleware", "middleware", "normalize_path_middleware")

Handler: TypeAlias = "Callable[[Request], Awaitable[StreamResponse]]"
Middleware: TypeAlias = "Callable[[Request, Handler], Awaitable[StreamResponse]]"

M = TypeVar("M", bound=Callable[..., Any])

_SLASHES: Final = re.compile("//+")


def middleware(f: M) -> M:
    """Mark ``async def f(request, handler)``, or a class whose instances are called like that, as a middleware."""
    f.__middleware_version__ = 1  # type: ignore[attr-defined]  # the mark that aiohttp's decorator sets, too
    return f


def check_middleware(each: Middleware) -> None:
    """Refuse what the decorator has not marked: it may be a factory of the old style, which takes other arguments.

    Raises:
        TypeError: says what to write.

    """
    if getattr(each, "__middleware_version__", None) != 1:
        message = (
            f"{each!r} is not marked as a middleware: write `@web.middleware` above `async def f(request, handler)`;"
            " factories of the old style, `async def f(app, handler)`, do not work"
        )
        raise TypeError(message)


def build_chain(handler: Handler, apps: Sequence[Application]) -> Handler:
    """Put the middlewares of the applications, from the outermost to the one with the route, around a handler."""
    if not any(app.middlewares for app in apps):
        return handler
    for app in reversed(apps):
        for each in reversed(app.middlewares):
            around: Callable[..., Awaitable[StreamResponse]] = each
            handler = update_wrapper(partial(around, handler=handler), handler)
        if len(apps) > 1:
            handler = update_wrapper(_with_current_app(app, handler), handler)
    return handler


def _with_current_app(app: Application, handler: Handler) -> Handler:
    """Have `request.app` be the application whose middlewares run."""

    async def switch(request: Request) -> StreamResponse:
        match_info = request.match_info
        before = match_info._current_app
        match_info._current_app = app
        try:
            return await handler(request)
        finally:
            match_info._current_app = before

    return switch


def normalize_path_middleware(
    *,
    append_slash: bool = True,
    remove_slash: bool = False,
    merge_slashes: bool = True,
    redirect_class: type[HTTPMove] = HTTPPermanentRedirect,
) -> Middleware:
    """Make a middleware that redirects a request without a route to the path that has one.

    Args:
        append_slash: try the path with a slash at its end.
        remove_slash: try it without the slash at its end.
        merge_slashes: try it with rows of slashes made one, also together with one of the other two.
        redirect_class: what is raised when a path has a route. The query goes along.

    Raises:
        ValueError: `append_slash` and `remove_slash` are both True.

    The Location always begins with exactly one slash, so that it stays at this server: ``//evil.example`` and
    ``/\\evil.example`` are names of other hosts to browsers.

    """
    if append_slash and remove_slash:
        message = "append_slash and remove_slash are both True: each would undo what the other did; choose one"
        raise ValueError(message)

    def candidates(path: str) -> Iterator[str]:
        """Yield what to try: with its slashes merged, with its end changed, with both."""
        ends_with_slash = path.endswith("/")
        merged = _SLASHES.sub("/", path)
        changed = append_slash if not ends_with_slash else remove_slash
        if merge_slashes:
            yield merged
        if changed:
            yield path + "/" if append_slash else path[:-1]
            if merge_slashes:
                yield merged + "/" if append_slash else merged[:-1]

    @middleware
    async def normalize(request: Request, handler: Handler) -> StreamResponse:
        if request.match_info.http_exception is not None:
            path, mark, query = _origin_form(request).partition("?")
            for candidate in candidates(path):
                local = "/" + candidate.lstrip("/\\")
                if local != path and await _has_route(request, local + mark + query):
                    raise redirect_class(local + ("?" + query if query else ""))
        return await handler(request)

    return normalize


def _origin_form(request: Request) -> str:
    """Give path and query as they were sent; those of the absolute form without the origin."""
    target = request.raw_path
    return target if target.startswith("/") else request.rel_url.raw_path_qs


async def _has_route(request: Request, target: str) -> bool:
    router = request.app.router
    # A request whose body was read can't be cloned: with a router of ours there is no need to.
    found = router._lookup(request.method, safe_path(target.partition("?")[0]), request)
    if found is None:
        found = await router.resolve(request.clone(rel_url=target))
    return found.http_exception is None
