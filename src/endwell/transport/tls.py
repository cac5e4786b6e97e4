"""TLS over a connected transport: contexts, fingerprints, session resumption, the handshake (RFC 8446, RFC 5246).

Used by the connector, and for TLS inside the tunnel of a proxy. Sessions are resumed, also with a user's own context
unless it has an ``sslobject_class`` of its own. (`ssl` costs nothing to import here: asyncio has imported it already.)
"""

import asyncio
import collections
import ssl
import threading
import time
from typing import Any, Final, Protocol

from endwell.transport.address import split_zone
from endwell.transport.errors import FingerprintMismatch, TlsCertificateError, TlsError, TlsTimeoutError

MAX_SERVERS: Final = 256
MAX_LIFETIME: Final = 24 * 3600  # seconds; servers may say up to a week
_LOOKS_FOR_A_TICKET: Final = 4
_LEAST_SHUTDOWN: Final = 0.001  # both loops refuse 0


class SessionCache:
    """The newest TLS session with each server, by server name; bounded, and safe to use from several threads.

    A session is used again until it is half its lifetime old. RFC 8446 appendix C.4 would rather have each ticket used
    once, so that nobody on the way can link connections; but copying a new session out of OpenSSL costs a third of the
    handshake that it saves, and connections of one client to one server are linked by their addresses already.

    Python's `ssl` also copies the session that it is given, certificate and all, for each connection: 170 of the 420 us
    of CPU time of a resumed handshake (OpenSSL 3.0). Resuming is cheaper than a full handshake all the same, on both
    loops and with keys of either kind. Measured for a whole new connection, a full handshake costs 10 to 16 % more with
    TLS 1.3, 28 to 36 % more with TLS 1.2.
    """

    __slots__ = ("_lock", "_sessions")

    def __init__(self) -> None:
        self._lock = threading.Lock()
        # The session, when to replace it, when to forget it.
        self._sessions: collections.OrderedDict[str, tuple[ssl.SSLSession, float, float]] = collections.OrderedDict()

    def __len__(self) -> int:
        return len(self._sessions)

    def get(self, name: str, now: float) -> tuple[ssl.SSLSession, bool] | None:
        """Return the session with a server and whether it is due to be replaced, or None."""
        with self._lock:
            kept = self._sessions.get(name)
            if kept is None:
                return None
            session, stale, dead = kept
            if now >= dead:
                del self._sessions[name]
                return None
            return session, now >= stale

    def put(self, name: str, session: ssl.SSLSession, now: float) -> None:
        """Keep a session for its lifetime, instead of the one before; the least recently renewed name goes."""
        lifetime = min(max(session.timeout, 0), MAX_LIFETIME)
        with self._lock:
            self._sessions[name] = (session, now + lifetime / 2, now + lifetime)
            self._sessions.move_to_end(name)
            if len(self._sessions) > MAX_SERVERS:
                self._sessions.popitem(last=False)

    def discard(self, name: str) -> None:
        """Forget the session with a server."""
        with self._lock:
            self._sessions.pop(name, None)

    def clear(self) -> None:
        """Forget every session."""
        with self._lock:
            self._sessions.clear()


class _ResumingObject(ssl.SSLObject):
    """One TLS connection that offers a session to its server and keeps the one it gets.

    A session belongs to one context (ssl refuses it elsewhere) and is offered to the same server name only, so what was
    verified when it was made is what would be verified again.
    """

    sessions: SessionCache
    _begun = False
    _offered = False
    _due = True
    _looks_left = _LOOKS_FOR_A_TICKET

    def do_handshake(self) -> None:
        """Offer a session with the first flight."""
        if not self._begun:
            self._begun = True
            self._offer()
        try:
            super().do_handshake()
        except (ssl.SSLWantReadError, ssl.SSLWantWriteError):
            raise
        except ssl.SSLError:
            if self._offered:
                self.sessions.discard(self._key)  # should the session be the reason, the next try is without
            raise

    @property
    def _key(self) -> str:
        """Name the server and what is verified: a context may be made stricter after its first use."""
        context = self.context
        return f"{self.server_hostname} {int(context.verify_mode)} {context.check_hostname}"

    def _offer(self) -> None:
        if not self.server_hostname or self.server_side:
            self._looks_left = 0
            return
        kept = self.sessions.get(self._key, time.monotonic())
        if kept is not None:
            self.session, self._due = kept
            self._offered = True

    def read(self, len: int = 1024, buffer: Any = None) -> Any:  # noqa: A002 - the name ssl gave it
        """Read, and look for a session once data came: the tickets of TLS 1.3 come after the handshake."""
        got = super().read(len, buffer)
        if self._looks_left and got:
            self._look_for_session()
        return got

    def _look_for_session(self) -> None:
        self._looks_left -= 1
        if self.session_reused and not self._due:
            self._looks_left = 0
            return
        session = self.session
        if session is not None and (session.has_ticket or (session.id and self.version() != "TLSv1.3")):
            self._looks_left = 0
            self.sessions.put(self._key, session, time.monotonic())


def resume_sessions(context: ssl.SSLContext) -> SessionCache:
    """Let connections made with a context resume earlier sessions; returns its cache. For client contexts."""

    class Resuming(_ResumingObject):
        sessions = SessionCache()

    context.sslobject_class = Resuming  # the hook that ssl documents for one's own SSLObject
    return Resuming.sessions


def new_context(*, verify: bool = True) -> ssl.SSLContext:
    """Return a new client context with ALPN ``http/1.1`` and session resumption; ``verify=False`` trusts everybody.

    Reading the authorities of the system takes tens of milliseconds: `default_context` does it once.
    """
    if verify:
        context = ssl.create_default_context()
    else:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["http/1.1"])
    resume_sessions(context)
    return context


_contexts: dict[bool, ssl.SSLContext] = {}


def default_context(*, verify: bool = True) -> ssl.SSLContext:
    """Return the context that all of the process shares, made when it is first asked for."""
    context = _contexts.get(verify)
    if context is None:
        context = _contexts[verify] = new_context(verify=verify)
    return context


class _HasExtraInfo(Protocol):
    def get_extra_info(self, name: str, default: Any = None) -> Any: ...


class Fingerprint:
    """The SHA-256 of the one certificate to accept, instead of verifying it; ValueError unless it has 32 bytes."""

    __slots__ = ("_sha256",)

    def __init__(self, fingerprint: bytes) -> None:
        if len(fingerprint) in (16, 20):
            raise ValueError("md5 and sha1 are not secure; give the SHA-256 of the certificate (32 bytes)")
        if len(fingerprint) != 32:
            raise ValueError(f"the SHA-256 of a certificate has 32 bytes, not {len(fingerprint)}")
        self._sha256 = bytes(fingerprint)

    @property
    def fingerprint(self) -> bytes:
        """The expected digest."""
        return self._sha256

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Fingerprint) and other._sha256 == self._sha256

    def __hash__(self) -> int:
        return hash(self._sha256)

    def __repr__(self) -> str:
        return f"Fingerprint({self._sha256.hex()})"

    def check(self, peer: _HasExtraInfo | ssl.SSLObject | ssl.SSLSocket, host: str = "", port: int = 0) -> None:
        """Compare with the certificate that the peer of a transport (or TLS object) showed; FingerprintMismatch if not.

        A peer that showed none, or a transport without TLS, is a mismatch. Good on resumed sessions: they keep the
        certificate. ``host`` and ``port`` name the peer in the error; without them its address does.
        """
        import hashlib

        if isinstance(peer, (ssl.SSLObject, ssl.SSLSocket)):
            tls: ssl.SSLObject | ssl.SSLSocket | None = peer
        else:
            tls = peer.get_extra_info("ssl_object")
            address = peer.get_extra_info("peername") if not host else None
            if isinstance(address, tuple):
                host, port = address[:2]
        shown = tls.getpeercert(binary_form=True) if tls is not None else None
        got = hashlib.sha256(shown).digest() if shown else b""
        if got != self._sha256:
            raise FingerprintMismatch(self._sha256, got, host, port)


def context_for(choice: bool | ssl.SSLContext | Fingerprint | None) -> tuple[ssl.SSLContext, Fingerprint | None]:
    """Return context and fingerprint for an ``ssl=`` argument; TypeError for anything else.

    True and None verify; False does not; a Fingerprint does not but is to be checked after the handshake; a context is
    used as it is, but that its sessions are resumed unless it has an ``sslobject_class`` of its own.
    """
    if isinstance(choice, ssl.SSLContext):
        if choice.sslobject_class is ssl.SSLObject:
            resume_sessions(choice)
        return choice, None
    if choice is None or choice is True:
        return default_context(), None
    if choice is False:
        return default_context(verify=False), None
    if isinstance(choice, Fingerprint):
        return default_context(verify=False), choice
    raise TypeError(f"ssl must be True, False, an SSLContext or a Fingerprint, not {type(choice).__name__}")


def server_name(host: str) -> str:
    """Return the name to send (SNI) and to find in the certificate: no final dot, no zone (RFC 6066 section 3)."""
    return split_zone(host)[0] if ":" in host else host.removesuffix(".")


def ended_cleanly(tls: ssl.SSLObject | ssl.SSLSocket) -> bool:
    """Tell whether the peer ended its side with close_notify; to be asked at eof_received or connection_lost.

    False means the stream was cut: a body delimited by the end of the connection is then incomplete (RFC 9112 section
    9.8). Works on every loop and for every context: asyncio reports a cut exactly like a clean end.
    """
    try:
        return not tls.read(1)
    except ssl.SSLZeroReturnError:
        return True
    except (ssl.SSLError, ValueError):
        return False


class _Handshake(asyncio.Protocol):
    """Stands in for the caller's protocol while the loop shakes hands, so that both loops tell it the same things.

    What comes with the end of the handshake is kept: at most what one pass of the loop reads.
    """

    __slots__ = ("ended", "error", "received")

    def __init__(self) -> None:
        self.received: list[bytes] = []
        self.ended = False
        self.error: Exception | None = None

    def data_received(self, data: bytes) -> None:
        """Keep what the peer sends before the caller knows its transport."""
        self.received.append(data)

    def eof_received(self) -> None:
        """Remember that the peer ended."""
        self.ended = True

    def connection_lost(self, exc: Exception | None) -> None:
        """Remember why."""
        self.ended = True
        self.error = exc


def _public(exc: Exception, host: str | None, handshake_timeout: float) -> TlsError:
    if isinstance(exc, ssl.SSLCertVerificationError):
        return TlsCertificateError(host, exc)
    if isinstance(exc, ssl.SSLError):
        return TlsError(host, exc.reason or exc.strerror or str(exc), ssl_error=exc)
    if isinstance(exc, ConnectionAbortedError) and exc.errno is None:  # how both loops say that time was up
        return TlsTimeoutError(host, handshake_timeout)
    return TlsError(host, str(exc) or "the peer closed the connection")


async def upgrade(  # long: one handshake with everything that can go wrong in it
    loop: asyncio.AbstractEventLoop,
    transport: asyncio.Transport,
    protocol: asyncio.Protocol,
    context: ssl.SSLContext,
    *,
    server_hostname: str,
    handshake_timeout: float = 60.0,
    shutdown_timeout: float = 10.0,
) -> asyncio.Transport:
    """Shake hands over ``transport`` (plain, or TLS already) and attach ``protocol`` to the TLS transport returned.

    ``protocol.connection_made`` is not called again. Bytes that came with the end of the handshake are given to
    ``protocol`` before this returns. ``handshake_timeout`` and ``shutdown_timeout`` (how long ``close()`` waits for the
    peer's close_notify; 0: hardly at all) are seconds.

    Raises TlsError, TlsCertificateError or TlsTimeoutError, ValueError for a name that is none. Whenever this does not
    return, cancelled or not, the socket is gone and ``protocol.connection_lost`` has been called, once. (Cancelled a
    second time while it sees to that, the socket goes with the next pass of the loop.)
    """
    name = server_name(server_hostname)
    error: Exception | None = None
    tls: asyncio.Transport | None = None
    keeper = _Handshake()
    was_open = not transport.is_closing()
    try:
        if not name or name.startswith(".") or not name.isascii() or "\0" in name:
            raise ValueError(
                f"{server_hostname!r} is no name for a TLS server; give a host name in ASCII or an address"
            )
        if not was_open:
            # asyncio would wait for an answer to a hello that was never sent
            raise ConnectionResetError("the connection was lost before the handshake")
        started = await loop.start_tls(
            transport,
            keeper,
            context,
            server_hostname=name,
            ssl_handshake_timeout=handshake_timeout,
            ssl_shutdown_timeout=max(shutdown_timeout, _LEAST_SHUTDOWN),
        )
        # A transport that is aborted in mid-handshake makes start_tls return: None on asyncio, a dead one on uvloop.
        if started is None or keeper.ended or started.is_closing():
            raise keeper.error or ConnectionResetError("the connection was lost during the handshake")
        started.set_protocol(protocol)
        for data in keeper.received:
            protocol.data_received(data)
        tls = started
    except OSError as exc:
        error = _public(exc, name, handshake_timeout)
        raise error from exc
    finally:
        if tls is None:
            # The loops close what they have, which waits for a silent peer, or nothing at all when the cancellation
            # comes before the handshake began (uvloop). The raw transport is ours to abort.
            told_by_loop = not was_open or transport.get_protocol() is protocol
            transport.abort()
            try:
                await asyncio.sleep(0)  # the loop frees the descriptor in its next pass, not in abort()
            finally:
                if not told_by_loop:
                    protocol.connection_lost(error)
    return tls
