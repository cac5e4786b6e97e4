"""Digest authentication as a client middleware.

RFC 7616. Exported; given to a session: ``ClientSession(middlewares=[DigestAuthMiddleware(login, password)])``.
The calculation is in ``client/digest_challenge``; here is when to answer, and whom.
"""

import os
from typing import TYPE_CHECKING, Any

from multidict import istr
from yarl import URL

from endwell.client.digest_challenge import DigestAnswer, DigestChallenge, parse_parameters, pick_challenge
from endwell.client.middlewares import ClientHandlerType
from endwell.http import hdrs
from endwell.http.typedefs import StrOrURL

if TYPE_CHECKING:
    from endwell.client.request import ClientRequest
    from endwell.client.response import ClientResponse

__all__ = ("DigestAuthMiddleware",)

_AUTHENTICATION_INFO = istr("Authentication-Info")
# One answer, and one more when the server says that only the nonce was old.
_MAX_ANSWERS = 2


class DigestAuthMiddleware:
    """Answers the Digest challenges of one origin, that of the first request it sees or of ``origin``.

    Another origin, after a redirect for example, never gets an answer: from it a password can be guessed at leisure.
    For credentials of several origins make several of these.

    ``preemptive``: once a challenge is known, send the answer with each request to its protection space at once,
    instead of being refused first. Another ``Authorization`` of the request is only replaced after a challenge.
    A body that can be sent only once is not sent again: the response 401 is returned then.

    Algorithms: MD5, SHA, SHA-256, SHA-512, SHA-512-256, each with or without -SESS; qop auth and auth-int; userhash.
    Raises ValueError for a login that is None or has a colon, and for CR, LF or NUL.
    """

    def __init__(self, login: str, password: str, preemptive: bool = True, *, origin: StrOrURL | None = None) -> None:
        for name, value in (("login", login), ("password", password)):
            if value is None:
                raise ValueError(f"the {name} must be a str, not None")
            if "\n" in value or "\r" in value or "\0" in value:
                raise ValueError(f"the {name} contains CR, LF or NUL: was it read with its line end?")
        if ":" in login:
            raise ValueError("the login must not contain a colon (RFC 7616 section 3.4.2)")
        self._login = login
        self._password = password
        self._preemptive = preemptive
        self._origin = None if origin is None else URL(origin).origin()
        self._answer: DigestAnswer | None = None
        self._count = 0
        self._paths: tuple[str, ...] = ()

    def __repr__(self) -> str:
        return f"<DigestAuthMiddleware for {self._origin or 'the origin of its first request'}>"

    async def __call__(self, request: "ClientRequest", handler: ClientHandlerType) -> "ClientResponse":
        """Send ``request``, and send it again with an answer when it is challenged.

        Cancelled, it leaves nothing behind. Concurrent calls share the challenge and count its nonce together.
        """
        if self._origin is None:
            self._origin = request.url.origin()
        if request.url.origin() != self._origin:
            return await handler(request)
        used = None
        if self._preemptive and self._answer is not None and self._covers(request.url) and _may_authorize(request):
            used = await self._authorize(request, self._answer)
        fresh = False  # whether what was used came from a challenge to this very request
        response = await handler(request)
        for _ in range(_MAX_ANSWERS):
            challenge = self._challenge_of(response)
            if challenge is None or not _may_help(challenge, used, fresh) or not _can_repeat(request):
                break
            used = await self._authorize(request, self._take(challenge, response.url))
            fresh = True
            response.release()
            response = await handler(request)
        if used is not None:
            self._follow(response, used)
        return response

    def _covers(self, url: URL) -> bool:
        """Whether ``url``, of our origin, is in the protection space of the challenge (RFC 7616 section 3.3)."""
        path = url.raw_path
        return any(
            path == space or path.startswith(space if space.endswith("/") else space + "/") for space in self._paths
        )

    async def _authorize(self, request: "ClientRequest", answer: DigestAnswer) -> DigestChallenge:
        """Put ``answer`` into ``request`` and return what it answers."""
        content = b""
        if answer.challenge.qop == "auth-int":
            body: Any = request.body
            if body:
                content = body if isinstance(body, bytes) else await body.as_bytes()
                if getattr(body, "consumed", False):  # an iterator: what it gave is the body now
                    await request.update_body(content)
                # Another call may have got another nonce meanwhile, and the count is that of the newest.
                answer = self._answer or answer
        self._count += 1
        request.headers[hdrs.AUTHORIZATION] = answer.field(
            request.method,
            request.url.raw_path_qs,
            count=self._count,
            cnonce=os.urandom(16).hex(),
            body=content,
        )
        return answer.challenge

    def _challenge_of(self, response: "ClientResponse") -> DigestChallenge | None:
        if response.status != 401 or response.url.origin() != self._origin:
            return None
        return pick_challenge(response.headers.getall(hdrs.WWW_AUTHENTICATE, ()))

    def _take(self, challenge: DigestChallenge, url: URL) -> DigestAnswer:
        """Answer ``challenge``, which came from ``url``, from now on."""
        if self._answer is None or self._answer.challenge.nonce != challenge.nonce:
            self._count = 0
        self._answer = DigestAnswer(challenge, self._login, self._password)
        self._paths = _paths_of(challenge, url) if challenge.domain else ("/",)
        return self._answer

    def _follow(self, response: "ClientResponse", used: DigestChallenge) -> None:
        """Take the next nonce, if the server names one (RFC 7616 section 3.5)."""
        text = response.headers.get(_AUTHENTICATION_INFO)
        if not text or self._answer is None or self._answer.challenge is not used:
            return
        nonce = parse_parameters(text).get("nextnonce")
        if nonce and nonce.isprintable() and nonce != used.nonce and response.url.origin() == self._origin:
            self._answer = DigestAnswer(used._replace(nonce=nonce), self._login, self._password)
            self._count = 0


def _may_help(challenge: DigestChallenge, used: DigestChallenge | None, fresh: bool) -> bool:
    """Whether to answer ``challenge``, after ``used`` was refused (None: nothing was sent).

    An answer to a challenge of a moment ago that is refused means wrong credentials, unless the server says that only
    the nonce was old: asking again might lock the account. An answer that was sent unasked may be too old without
    ``stale``, as servers forget to say so; then the nonce is another.
    """
    return used is None or challenge.stale or (not fresh and challenge.nonce != used.nonce)


def _may_authorize(request: "ClientRequest") -> bool:
    """Whether the request has no ``Authorization``, or one of ours: a retry sends the same request again."""
    field: str = request.headers.get(hdrs.AUTHORIZATION, "Digest ")
    return field.startswith("Digest ")


def _can_repeat(request: "ClientRequest") -> bool:
    return not getattr(request.body, "consumed", False)


def _paths_of(challenge: DigestChallenge, url: URL) -> tuple[str, ...]:
    """The paths in the ``domain`` of a challenge; what is on another origin is left out."""
    paths = []
    for text in challenge.domain:
        try:
            uri = url.join(URL(text))
            same = uri.origin() == url.origin()
        except ValueError:
            continue
        if same:
            paths.append(uri.raw_path)
    return tuple(paths)
