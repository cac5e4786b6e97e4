"""What a handler raises instead of returning a response: the family of `HTTPException`, and the errors of the server.

RFC 9110 section 15 (status codes), RFC 6585, RFC 7725 (451). Used by the router, the request and the handlers of users.

    HTTPException(Response, Exception)
      HTTPSuccessful
      HTTPRedirection
        HTTPMove            with the argument `location`
      HTTPError
        HTTPClientError
        HTTPServerError
    CleanupError(RuntimeError)
    PayloadAccessError(Exception)
    RequestPayloadError(Exception)
    NotAppKeyWarning(UserWarning)

The table further down has a line for each status.
"""
# ruff: noqa: D101, N818 -- each class of the table gets its documentation from its line; the names are aiohttp's

from __future__ import annotations

import warnings
from collections.abc import Iterable
from typing import Any, ClassVar

from yarl import URL

from endwell.http.fields import check_text
from endwell.http.typedefs import LooseHeaders, StrOrURL
from endwell.lifetime import caller
from endwell.server.appkey import NotAppKeyWarning
from endwell.server.response_head import reason_of
from endwell.server.whole import Response

# fmt: off
__all__ = (
    "CleanupError", "HTTPAccepted", "HTTPBadGateway", "HTTPBadRequest", "HTTPClientError", "HTTPConflict",
    "HTTPCreated", "HTTPError", "HTTPException", "HTTPExpectationFailed", "HTTPFailedDependency", "HTTPForbidden",
    "HTTPFound", "HTTPGatewayTimeout", "HTTPGone", "HTTPInsufficientStorage", "HTTPInternalServerError",
    "HTTPLengthRequired", "HTTPMethodNotAllowed", "HTTPMisdirectedRequest", "HTTPMove", "HTTPMovedPermanently",
    "HTTPMultipleChoices", "HTTPNetworkAuthenticationRequired", "HTTPNoContent", "HTTPNonAuthoritativeInformation",
    "HTTPNotAcceptable", "HTTPNotExtended", "HTTPNotFound", "HTTPNotImplemented", "HTTPNotModified", "HTTPOk",
    "HTTPPartialContent", "HTTPPaymentRequired", "HTTPPermanentRedirect", "HTTPPreconditionFailed",
    "HTTPPreconditionRequired", "HTTPProxyAuthenticationRequired", "HTTPRedirection", "HTTPRequestEntityTooLarge",
    "HTTPRequestHeaderFieldsTooLarge", "HTTPRequestRangeNotSatisfiable", "HTTPRequestTimeout", "HTTPRequestURITooLong",
    "HTTPResetContent", "HTTPSeeOther", "HTTPServerError", "HTTPServiceUnavailable", "HTTPSuccessful",
    "HTTPTemporaryRedirect", "HTTPTooManyRequests", "HTTPUnauthorized", "HTTPUnavailableForLegalReasons",
    "HTTPUnprocessableEntity", "HTTPUnsupportedMediaType", "HTTPUpgradeRequired", "HTTPUseProxy",
    "HTTPVariantAlsoNegotiates", "HTTPVersionNotSupported", "NotAppKeyWarning", "PayloadAccessError",
    "RequestPayloadError",
)
# fmt: on


class CleanupError(RuntimeError):
    """Several things failed while an application was shut down or cleaned up; all of them were run.

    Args:
        message: what was going on.
        exceptions: what was raised, in the order in which it happened.

    """

    def __init__(self, message: str, exceptions: Iterable[BaseException] = ()) -> None:
        self.exceptions: list[BaseException] = list(exceptions)
        super().__init__(message, self.exceptions)

    def __str__(self) -> str:
        return "; ".join([str(self.args[0]), *(f"{type(each).__name__}: {each}" for each in self.exceptions)])


class PayloadAccessError(Exception):
    """The body of a request was read after its request had ended."""


class RequestPayloadError(Exception):
    """The body of a request is broken: its framing, its coding, or the connection ended before it."""


class HTTPException(Response, Exception):
    """A response that is raised: ``raise web.HTTPNotFound(text="no such user")``.

    Args:
        headers: fields of the response.
        reason: the reason phrase; that of the status when None.
        body: *deprecated*, use `text`, or return a `Response`.
        text: the body; "404: Not Found" and the like when None, for statuses whose responses have a body.
        content_type: of `text`, text/plain when None.

    Raises:
        ValueError: `reason` has CR, LF or NUL, or the class has no status of its own.

    A class of your own says its status in the class statement, ``class Teapot(web.HTTPClientError, status=418): ...``,
    or by the attribute `status_code`, as in aiohttp.

    """

    status_code: ClassVar[int] = -1
    empty_body: ClassVar[bool] = False
    __http_exception__ = True

    def __init_subclass__(cls, *, status: int | None = None, empty: bool | None = None, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        if status is not None:
            cls.status_code = status
            if cls.__doc__ is None:
                cls.__doc__ = f"The response {status} ({cls.__name__.removeprefix('HTTP')})."
        if empty is not None:
            cls.empty_body = empty

    def __init__(
        self,
        *,
        headers: LooseHeaders | None = None,
        reason: str | None = None,
        body: Any = None,
        text: str | None = None,
        content_type: str | None = None,
    ) -> None:
        if body is not None:
            message = "the argument body of HTTP exceptions is deprecated: use text, or return a web.Response"
            at = caller()
            warnings.warn_explicit(message, DeprecationWarning, at.filename, at.lineno)
        if self.status_code < 100:
            message = (
                f"{type(self).__name__} stands for many statuses: raise one of its subclasses, or make a class of your"
                f" own, `class HTTPMine({type(self).__name__}, status=...)`"
            )
            raise ValueError(message)
        if reason is not None:
            check_text("The reason", reason)
        status = self.status_code
        if body is None and text is None and not self.empty_body:
            text = f"{status}: {reason_of(status) if reason is None else reason}"
        Response.__init__(
            self, status=status, reason=reason, headers=headers, body=body, text=text, content_type=content_type
        )
        Exception.__init__(self, self.reason)

    def __reduce__(self) -> tuple[Any, ...]:
        """Copy and pickle it by its attributes: the arguments of the subclasses are too different to call them."""
        return _rebuilt, (type(self), self.args), self.__dict__

    def __bool__(self) -> bool:
        """Be true, though it may hold no key of the user."""
        return True


def _rebuilt(cls: type[HTTPException], args: tuple[Any, ...]) -> HTTPException:
    return cls.__new__(cls, *args)


class HTTPError(HTTPException): ...


class HTTPRedirection(HTTPException): ...


class HTTPSuccessful(HTTPException): ...


class HTTPMove(HTTPRedirection):
    """A redirect: the response says where to go.

    Args:
        location: the URL for the field Location, relative or absolute; quoted as far as needed.
        headers, reason, body, text, content_type: see `HTTPException`.

    Raises:
        ValueError: there is no location, or it has CR, LF or NUL.

    """

    def __init__(
        self,
        location: StrOrURL,
        *,
        headers: LooseHeaders | None = None,
        reason: str | None = None,
        body: Any = None,
        text: str | None = None,
        content_type: str | None = None,
    ) -> None:
        if not location:
            message = f"{type(self).__name__} needs a location: the URL to which the client goes instead"
            raise ValueError(message)
        target = URL(check_text("The location", location)) if isinstance(location, str) else location
        super().__init__(headers=headers, reason=reason, body=body, text=text, content_type=content_type)
        self.headers["Location"] = str(target)
        self.location = location


class HTTPClientError(HTTPError): ...


class HTTPServerError(HTTPError): ...


# The table. `empty`: the response has no body (RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5).
# fmt: off
class HTTPOk(HTTPSuccessful, status=200): ...
class HTTPCreated(HTTPSuccessful, status=201): ...
class HTTPAccepted(HTTPSuccessful, status=202): ...
class HTTPNonAuthoritativeInformation(HTTPSuccessful, status=203): ...
class HTTPNoContent(HTTPSuccessful, status=204, empty=True): ...
class HTTPResetContent(HTTPSuccessful, status=205, empty=True): ...
class HTTPPartialContent(HTTPSuccessful, status=206): ...

class HTTPMultipleChoices(HTTPMove, status=300): ...
class HTTPMovedPermanently(HTTPMove, status=301): ...
class HTTPFound(HTTPMove, status=302): ...
class HTTPSeeOther(HTTPMove, status=303): ...
class HTTPNotModified(HTTPRedirection, status=304, empty=True): ...
class HTTPUseProxy(HTTPMove, status=305): ...
class HTTPTemporaryRedirect(HTTPMove, status=307): ...
class HTTPPermanentRedirect(HTTPMove, status=308): ...

class HTTPBadRequest(HTTPClientError, status=400): ...
class HTTPUnauthorized(HTTPClientError, status=401): ...
class HTTPPaymentRequired(HTTPClientError, status=402): ...
class HTTPForbidden(HTTPClientError, status=403): ...
class HTTPNotFound(HTTPClientError, status=404): ...
# 405 is below: it takes `method, allowed_methods`
class HTTPNotAcceptable(HTTPClientError, status=406): ...
class HTTPProxyAuthenticationRequired(HTTPClientError, status=407): ...
class HTTPRequestTimeout(HTTPClientError, status=408): ...
class HTTPConflict(HTTPClientError, status=409): ...
class HTTPGone(HTTPClientError, status=410): ...
class HTTPLengthRequired(HTTPClientError, status=411): ...
class HTTPPreconditionFailed(HTTPClientError, status=412): ...
# 413 is below: it takes `max_size, actual_size`
class HTTPRequestURITooLong(HTTPClientError, status=414): ...
class HTTPUnsupportedMediaType(HTTPClientError, status=415): ...
class HTTPRequestRangeNotSatisfiable(HTTPClientError, status=416): ...
class HTTPExpectationFailed(HTTPClientError, status=417): ...
class HTTPMisdirectedRequest(HTTPClientError, status=421): ...
class HTTPUnprocessableEntity(HTTPClientError, status=422): ...
class HTTPFailedDependency(HTTPClientError, status=424): ...
class HTTPUpgradeRequired(HTTPClientError, status=426): ...
class HTTPPreconditionRequired(HTTPClientError, status=428): ...
class HTTPTooManyRequests(HTTPClientError, status=429): ...
class HTTPRequestHeaderFieldsTooLarge(HTTPClientError, status=431): ...
# 451 is below: it takes `link`

class HTTPInternalServerError(HTTPServerError, status=500): ...
class HTTPNotImplemented(HTTPServerError, status=501): ...
class HTTPBadGateway(HTTPServerError, status=502): ...
class HTTPServiceUnavailable(HTTPServerError, status=503): ...
class HTTPGatewayTimeout(HTTPServerError, status=504): ...
class HTTPVersionNotSupported(HTTPServerError, status=505): ...
class HTTPVariantAlsoNegotiates(HTTPServerError, status=506): ...
class HTTPInsufficientStorage(HTTPServerError, status=507): ...
class HTTPNotExtended(HTTPServerError, status=510): ...
class HTTPNetworkAuthenticationRequired(HTTPServerError, status=511): ...
# fmt: on


class HTTPMethodNotAllowed(HTTPClientError, status=405):
    """The response 405: the resource exists, and does not have this method (RFC 9110 section 15.5.6).

    Args:
        method: that of the request.
        allowed_methods: the methods that the resource has, for the field Allow.
        headers, reason, body, text, content_type: see `HTTPException`.

    """

    def __init__(
        self,
        method: str,
        allowed_methods: Iterable[str],
        *,
        headers: LooseHeaders | None = None,
        reason: str | None = None,
        body: Any = None,
        text: str | None = None,
        content_type: str | None = None,
    ) -> None:
        super().__init__(headers=headers, reason=reason, body=body, text=text, content_type=content_type)
        self.method = method
        self.allowed_methods: set[str] = set(allowed_methods)
        self.headers["Allow"] = check_text("An allowed method", ",".join(sorted(self.allowed_methods)))


class HTTPRequestEntityTooLarge(HTTPClientError, status=413):
    """The response 413: the body of the request is larger than the server takes.

    Args:
        max_size: the limit, in bytes.
        actual_size: the size of the body as far as it is known, in bytes.
        kwargs: see `HTTPException`.

    """

    def __init__(self, max_size: float, actual_size: float = 0, **kwargs: Any) -> None:
        kwargs.setdefault("text", f"The body of this request may have {max_size} bytes at most.")
        super().__init__(**kwargs)
        self.max_size = max_size
        self.actual_size = actual_size


class HTTPUnavailableForLegalReasons(HTTPClientError, status=451):
    """The response 451: a legal demand forbids the answer (RFC 7725).

    Args:
        link: the URL of who demanded it, for the field Link; None when that is not said.
        headers, reason, body, text, content_type: see `HTTPException`.

    Raises:
        ValueError: `link` has CR, LF or NUL.

    """

    def __init__(
        self,
        link: StrOrURL | None,
        *,
        headers: LooseHeaders | None = None,
        reason: str | None = None,
        body: Any = None,
        text: str | None = None,
        content_type: str | None = None,
    ) -> None:
        self.link: URL | None = URL(check_text("The link", link)) if isinstance(link, str) else link
        super().__init__(headers=headers, reason=reason, body=body, text=text, content_type=content_type)
        if self.link is not None:
            self.headers["Link"] = f'<{self.link}>; rel="blocked-by"'
