"""One call of a verb: its hops, from the URL that was asked to the response that is handed over.

The shortest way through is that of a plain GET that meets an idle connection; everything else is a step aside.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Awaitable
from typing import TYPE_CHECKING, Any, Final

from multidict import CIMultiDict
from yarl import URL

from endwell.client.attempts import refuse_unless_admitted, send
from endwell.client.auth import BasicAuth, netrc_auth
from endwell.client.core import merge_headers
from endwell.client.errors import (
    ClientPayloadError,
    InvalidUrlClientError,
    InvalidUrlRedirectClientError,
    NonHttpUrlClientError,
    TooManyRedirects,
    UploadAbortedError,
)
from endwell.client.middlewares import build_client_middlewares
from endwell.client.outgoing import Outgoing, outgoing_of
from endwell.client.redirects import REDIRECTS, Redirect, decide, strip_fields
from endwell.client.request import FRAMING, check_method
from endwell.client.response import ClientResponse
from endwell.client.timeouts import ceil_deadline
from endwell.client.tracing import Trace, make_trace
from endwell.http import hdrs
from endwell.http.typedefs import StrOrURL
from endwell.http.url import Target, known_target, target_of
from endwell.lifetime import NEVER, State

if TYPE_CHECKING:
    from endwell.client.options import RequestOptions
    from endwell.client.request import ClientRequest
    from endwell.client.session import ClientSession
    from endwell.lifetime import Origin, Owner

__all__ = ("perform", "resend")

_VERBS: Final = frozenset({"GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE"})
_HTTP: Final = frozenset({"http", "https"})
_OPEN: Final = State.OPEN
_running_loop: Final = asyncio.get_running_loop


async def perform(
    session: ClientSession, method: str, url: StrOrURL, given: dict[str, Any], origin: Origin | None
) -> ClientResponse:
    """Do what a verb asks for, with the arguments `given`. See `ClientSession.request`."""
    options = session._defaults.merged(given) if given else session._defaults
    core = session._core
    if core.state is not _OPEN or _running_loop() is not core.loop:
        refuse_unless_admitted(session)
    if method not in _VERBS:
        method = check_method(method)
    if options.params is None and session._base_url is None:
        target = known_target(url) or _target(session, url, options)
    else:
        target = _target(session, url, options)
    now = core.loop.time()
    timeout = options.timeout
    due = ceil_deadline(now, timeout.total, timeout.ceil_threshold) if timeout.total else NEVER
    response = outgoing = None
    if options.plain and session._plain and not target.credentials and not options.middlewares:
        # The short way: nothing of the head but its body is of this call.
        if options.data is not None or options.json is not None:
            outgoing = outgoing_of(options, session)
        request = session._request_class(session, method, target, options, origin, now, due)
        if request.prepare_plain(outgoing):
            response = await send(request)
            if response.status not in REDIRECTS and not (options.raise_for_status or session._raise_for_status):
                return response
    traces = make_trace(session, session._trace_configs, options.trace_request_ctx) if session._trace_configs else None
    call = _Call(session, method, options, origin=origin, now=now, due=due, traces=traces)
    call.outgoing = outgoing
    if traces is None:
        return await call.run(target, response)
    return await call.run_traced(target, traces)


async def resend(session: ClientSession, request: ClientRequest, fields: CIMultiDict[str]) -> ClientResponse:
    """Ask once more what a request asked, with other fields."""
    core = session._core
    if core.state is not State.OPEN or session._loop_moved():
        refuse_unless_admitted(session)
    now = core.loop.time()
    timeout = request.options.timeout
    due = ceil_deadline(now, timeout.total, timeout.ceil_threshold) if timeout.total else NEVER
    call = _Call(
        session, request.method, request.options, origin=request.origin, now=now, due=due, traces=request.traces
    )
    call.fields = fields
    call.outgoing = request.outgoing
    return await call.run(request.target)


def _target(session: ClientSession, url: StrOrURL, options: RequestOptions) -> Target:
    """Find out where a call goes.

    Raises:
        InvalidURL: and its kin, when nothing can be sent there.

    """
    try:
        if session._base_url is not None:
            parsed = session._base_url.join(url if isinstance(url, URL) else URL(url))
            if options.params is not None:
                parsed = parsed.extend_query(options.params)
            target = target_of(parsed)
        elif options.params is not None:
            target = target_of((url if isinstance(url, URL) else URL(url)).extend_query(options.params))
        else:
            target = target_of(url)
    except (ValueError, TypeError) as error:
        if isinstance(error, TypeError) and (options.params is not None or not isinstance(url, (str, URL))):
            raise  # it is about the parameters, or about what is no URL
        try:
            scheme = URL(url).scheme
        except ValueError:
            scheme = ""
        if scheme and scheme not in session._schemes:
            raise NonHttpUrlClientError(url) from error
        raise InvalidUrlClientError(url, str(error)) from error
    if target.url.scheme not in _HTTP and target.url.scheme not in session._schemes:
        raise NonHttpUrlClientError(url)
    return target


class _Call:
    """The state of one call between its hops."""

    __slots__ = (
        "_left", "auth", "due", "fields", "history", "method", "now", "options", "origin", "outgoing", "session",
        "traces",
    )  # fmt: skip

    def __init__(
        self,
        session: ClientSession,
        method: str,
        options: RequestOptions,
        *,
        origin: Origin | None,
        now: float,
        due: float,
        traces: Trace | None,
    ) -> None:
        self.session = session
        self.method = method
        self.options = options
        self.origin = origin
        self.now = now
        self.due = due
        self.traces = traces
        self.auth: BasicAuth | None = options.auth
        self.fields: CIMultiDict[str] | None = None
        self.outgoing: Outgoing | None = None
        self.history: list[ClientResponse] = []
        self._left = False  # whether a redirect has led to another origin

    async def run(self, target: Target, response: ClientResponse | None = None) -> ClientResponse:
        """Run all hops; `response` is that of the first one when it is there already."""
        session, options = self.session, self.options
        if response is None:
            if self.fields is None and not (options.plain and session._plain):
                defaults = session._plain_fields(options.skip_auto_headers)
                self.fields = merge_headers(defaults, options.headers)
            if self.outgoing is None:
                self.outgoing = outgoing_of(options, session)
        done = False
        going = _Going(self) if options.middlewares else None
        try:
            response = await self._hops(target, response)
            done = True
        finally:
            if going is not None:
                going.owner.work_ended(going)
            if not done:
                await self._failed()
        if self.outgoing is not None:
            sender = self.outgoing.sender or response._exchange
            await _or_close(response, sender.close_body(self.outgoing))
        check = options.raise_for_status
        if check is None:
            check = session._raise_for_status
        if check is True:
            response.raise_for_status()
        elif check:
            checked = False
            try:
                await check(response)
                checked = True
            finally:
                if not checked:
                    response.release()
        return response

    async def _failed(self) -> None:
        """Let go of the body of a call that has no response."""
        if self.options.upload_tracker is not None:
            self.options.upload_tracker._end(UploadAbortedError("The request failed before its body was sent"))
        if self.outgoing is not None:
            await self.outgoing.end()

    async def run_traced(self, target: Target, traces: Trace) -> ClientResponse:
        """Run, and tell the trace configs of start, end and failure."""
        headers = merge_headers(self.session._plain_fields(), self.options.headers)
        await traces.send_request_start(self.method, target.url, headers)
        response = None
        try:
            response = await self.run(target)
        finally:
            error = sys.exc_info()[1]
            if response is None and error is not None:
                await traces.send_request_exception(self.method, target.url, headers, error)
        await _or_close(response, traces.send_request_end(response.method, response.url, headers, response))
        return response

    async def _hops(self, target: Target, response: ClientResponse | None) -> ClientResponse:
        """Go from hop to hop; return the last response."""
        while True:
            options = self.options
            if response is None:
                request = self._request(target)
                if options.middlewares:
                    try:
                        response = await build_client_middlewares(send, options.middlewares)(request)
                    finally:
                        self._take_body(request)
                else:
                    response = await send(request)
            response._history = tuple(self.history)
            if response.status not in REDIRECTS or not options.allow_redirects:
                return response
            redirect = self._redirect(response, target)
            if redirect is None:
                return response
            target = await self._follow(response, redirect)
            response = None

    def _request(self, target: Target) -> ClientRequest:
        """Make the request of one hop."""
        session, options = self.session, self.options
        if target.credentials is not None:
            if self.auth is not None and not self.history:
                message = "Cannot combine AUTH argument with credentials encoded in URL"
                raise ValueError(message)
            self.auth = BasicAuth._quiet(*target.credentials, "utf-8")
        auth = self.auth
        if auth is None and session._default_auth is not None and session._auth_applies(target) and not self._left:
            auth = session._default_auth
        if auth is None and session.trust_env and not (self.fields and hdrs.AUTHORIZATION in self.fields):
            auth = netrc_auth(target.host)
        fields = self.fields
        if fields is not None:
            fields = CIMultiDict(fields)
        elif auth is not None or not session._plain:
            fields = session._plain_fields(options.skip_auto_headers)
        request = session._request_class(
            session, self.method, target, options, self.origin, self.now, self.due, fields, self.traces
        )
        if fields is not None or not request.prepare_plain(self.outgoing):
            request.prepare(auth, self.outgoing)
        return request

    def _take_body(self, request: ClientRequest) -> None:
        """Make the body that a middleware gave the request that of the call: to be sent on and to be closed."""
        if request.outgoing is self.outgoing:
            return
        self.outgoing = request.outgoing  # the one before was closed by `update_body`
        if self.fields is not None:
            for name in FRAMING:
                self.fields.popall(name, None)

    def _redirect(self, response: ClientResponse, target: Target) -> Redirect | None:
        """Decide on the next hop; None when the response names none."""
        head = response._head
        value = head.first(b"\r\nlocation:") or head.first(b"\r\nuri:")
        if value is None:
            return None
        location = value.decode("utf-8", "surrogateescape")
        done = False
        try:
            most = self.options.max_redirects
            if most and len(self.history) + 1 >= most:
                history = (*self.history, response)
                info = self.history[0].request_info if self.history else response.request_info
                raise TooManyRedirects(info, history)
            redirect = decide(
                response.status,
                self.method,
                target.real_url,
                location,
                requote=self.session._requote_redirect_url,
                max_size=self.options.max_line_size,
            )
            done = True
        finally:
            if not done:
                response.close()
        return redirect

    async def _follow(self, response: ClientResponse, redirect: Redirect) -> Target:
        """Let go of the response and get ready for the next hop."""
        if self.traces is not None:
            told = self.traces.send_request_redirect(self.method, response.url, response._request.headers, response)
            await _or_close(response, told)
        await response._leave(failed=False)
        self.history.append(response)
        if self.fields is None and not redirect.same_origin:
            self.fields = self.session._plain_fields()  # the session's own fields may hold credentials, too
        if self.fields is not None:
            strip_fields(self.fields, redirect)
        if not redirect.same_origin:
            self.auth = None
            self._left = True
            self.options = self.options.without_cookies()
        self.method = redirect.method
        if not redirect.keep_body:
            if self.outgoing is not None:
                await self.outgoing.end()
            self.outgoing = None
        elif self.outgoing is not None and not self.outgoing.again:
            message = (
                "Cannot follow redirect with a consumed request body: give bytes or a file that can be rewound, "
                "or set allow_redirects=False"
            )
            raise ClientPayloadError(message)
        url = redirect.url
        if url.raw_user is not None or url.raw_password is not None:
            url = url.with_user(None)  # credentials in a Location are nobody's business
        try:
            return target_of(url)
        except ValueError as error:
            raise InvalidUrlRedirectClientError(url, str(error)) from error


async def _or_close(response: ClientResponse, step: Awaitable[None]) -> None:
    """Await a step that stands between a response and its user; if it fails, nobody gets the response."""
    done = False
    try:
        await step
        done = True
    finally:
        if not done:
            response.close()


class _Going:
    """A call that is in the hands of middlewares: in flight also while none of its exchanges is (closing.md C2)."""

    __slots__ = ("asker", "due", "method", "origin", "owner")

    def __init__(self, call: _Call) -> None:
        self.owner: Owner = call.session._core
        self.asker = asyncio.current_task()
        self.due = NEVER
        self.method = call.method
        self.origin = call.origin
        self.owner.work[self] = None

    def describe(self) -> str:
        """One line for reports."""
        return f"{self.method} in the hands of a middleware"

    def expire(self, now: float) -> None:
        """Never called: a call has no deadline but that of its exchanges."""

    def _abort(self, reason: str) -> None:
        """Wait for it no longer; its next exchange is refused."""
        self.owner.work_ended(self)
