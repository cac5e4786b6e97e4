"""What goes wrong below HTTP, as facts: whom, where, why. The client maps these to its public errors at one boundary.

    OSError
      ResolveError            a name has no address
      DialError               no address, or the socket's path, could be connected to
        DialDeniedError       a policy refused every address
      TlsError                the handshake did not succeed; ``__cause__`` is what ssl or the loop raised
        TlsCertificateError   the peer's certificate is not the one to trust
        TlsTimeoutError       the peer did not finish the handshake in time
      ProxyError              a SOCKS proxy refused, or broke the protocol
    Exception
      FingerprintMismatch     the certificate is not the pinned one

No message holds a secret: a proxy is named by host and port, never by its URL.
"""

import errno
import ssl
from typing import Any


def host_port(host: str, port: int) -> str:
    """``host:port`` as people write it, IPv6 in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _restored(kind: type[OSError], args: tuple[Any, ...], facts: dict[str, Any]) -> OSError:
    error = kind.__new__(kind)
    OSError.__init__(error, *args)
    for name, value in facts.items():
        setattr(error, name, value)
    return error


class _FactError(OSError):
    """What can be copied and pickled, with the public error that carries it, whatever its `__init__` takes."""

    def __reduce__(self) -> tuple[Any, ...]:
        return _restored, (type(self), self.args, {**self.__dict__, "errno": self.errno})


class ResolveError(_FactError):
    """A name has no address: ``host``, ``port``, ``reason``; ``errno`` is that of getaddrinfo when it said one."""

    def __init__(self, host: str, port: int, reason: str, *, number: int | None = None) -> None:
        super().__init__(number, f"cannot resolve {host}: {reason}")
        self.host = host
        self.port = port
        self.reason = reason

    def again(self) -> "ResolveError":
        """Return an equal error: one exception raised in two tasks would mix their tracebacks."""
        return ResolveError(self.host, self.port, self.reason, number=self.errno)


class DialError(_FactError):
    """Nothing could be connected to: ``host``, ``port``, and ``attempts``, the addresses tried in their order.

    ``errno`` and ``__cause__`` are those of the operating system's error. For a Unix socket ``host`` is its path and
    ``port`` is 0.
    """

    def __init__(
        self, host: str, port: int, reason: str, *, attempts: tuple[str, ...] = (), number: int | None = None
    ) -> None:
        where = host_port(host, port) if port else host
        tried = f" (tried {', '.join(attempts)})" if attempts else ""
        super().__init__(number, f"cannot connect to {where}: {reason}{tried}")
        self.host = host
        self.port = port
        self.reason = reason
        self.attempts = attempts


class DialDeniedError(DialError):
    """Every address of a host is refused by the caller's policy: ``host``, ``port``, ``addresses``; none was tried."""

    def __init__(self, host: str, port: int, addresses: tuple[str, ...]) -> None:
        them = "address is" if len(addresses) == 1 else "addresses are"
        reason = f"the {them} refused by deny=: {', '.join(addresses)}"
        super().__init__(host, port, reason, number=errno.EACCES)
        self.addresses = addresses


class TlsError(_FactError):
    """A TLS handshake failed: ``host`` is the server name asked for, ``ssl_error`` what ssl said (None if it did not).

    The socket is closed by the time this is raised.
    """

    def __init__(self, host: str | None, reason: str, *, ssl_error: ssl.SSLError | None = None) -> None:
        number = ssl_error.errno if ssl_error is not None else None
        super().__init__(number, f"TLS handshake with {host or 'the peer'} failed: {reason}")
        self.host = host
        self.reason = reason
        self.ssl_error = ssl_error


class TlsCertificateError(TlsError):
    """The peer's certificate is not to be trusted: ``certificate_error`` says why."""

    def __init__(self, host: str | None, error: ssl.SSLCertVerificationError) -> None:
        super().__init__(host, error.verify_message or error.reason or str(error), ssl_error=error)
        self.certificate_error = error


class TlsTimeoutError(TlsError, TimeoutError):
    """The peer did not finish the handshake within ``timeout`` seconds."""

    def __init__(self, host: str | None, timeout: float) -> None:
        super().__init__(host, f"not finished within {timeout:g} s")
        self.errno = errno.ETIMEDOUT
        self.timeout = timeout


class ProxyError(_FactError):
    """A SOCKS proxy did not connect us: ``proxy_host``, ``proxy_port``, ``host``, ``port``, ``code`` (its reply)."""

    def __init__(
        self, proxy_host: str, proxy_port: int, host: str, port: int, reason: str, *, code: int | None = None
    ) -> None:
        proxy = host_port(proxy_host, proxy_port)
        super().__init__(errno.ECONNREFUSED, f"proxy {proxy} did not connect to {host_port(host, port)}: {reason}")
        self.proxy_host = proxy_host
        self.proxy_port = proxy_port
        self.host = host
        self.port = port
        self.reason = reason
        self.code = code


class FingerprintMismatch(Exception):  # noqa: N818 - after aiohttp's ServerFingerprintMismatch, which it becomes
    """The certificate's SHA-256 is ``got`` (empty: the peer showed none) instead of ``expected``."""

    def __init__(self, expected: bytes, got: bytes, host: str, port: int) -> None:
        super().__init__(expected, got, host, port)
        self.expected = expected
        self.got = got
        self.host = host
        self.port = port

    def __str__(self) -> str:
        """Name the peer and both digests."""
        got = self.got.hex() if self.got else "no certificate"
        return f"fingerprint of {host_port(self.host, self.port)} is {got}, expected {self.expected.hex()}"
