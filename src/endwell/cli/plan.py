"""What one run is to do, as one typed object, and the session for it. Made by `get`, used by `run` and `fetch`."""

from dataclasses import dataclass, field
from enum import Enum, StrEnum
from pathlib import Path
from typing import Any

from multidict import CIMultiDict

from endwell.client.connector import TCPConnector
from endwell.client.cookiejar import CookieJar
from endwell.client.ratelimit import RateLimitMiddleware
from endwell.client.retry import RetryMiddleware
from endwell.client.session import ClientSession
from endwell.client.timeouts import ClientTimeout
from endwell.http.version import HttpVersion, HttpVersion11
from endwell.transport.address import private_address

__all__ = ["Destination", "LoopKind", "Plan", "make_session"]


class Destination(Enum):
    """Where the bodies go."""

    STDOUT = "standard output"
    FOLDER = "a folder"
    RECORDS = "JSON lines"
    NOWHERE = "nowhere"


class LoopKind(StrEnum):
    """The event loop to run on."""

    AUTO = "auto"
    ASYNCIO = "asyncio"
    UVLOOP = "uvloop"


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """The options of `endwell get`, checked; times in seconds (None: no limit), sizes in bytes (None: no limit)."""

    urls: tuple[str, ...]
    input: str | None = None
    destination: Destination = Destination.STDOUT
    target: Path | None = None
    """The folder or the file of records; None with RECORDS: standard output."""
    resume: bool = False
    fsync: bool = False
    max_body: int | None = None

    concurrency: int = 20
    per_host: int = 0
    rate: float | None = None
    retry: int = 0
    timeout: float | None = 300.0
    connect_timeout: float | None = 30.0
    close_timeout: float | None = 10.0

    method: str = "GET"
    headers: CIMultiDict[str] = field(default_factory=CIMultiDict)
    skip_headers: frozenset[str] = frozenset()
    data: bytes | None = None
    cookies: dict[str, str] = field(default_factory=dict)
    cookie_jar: Path | None = None
    redirects: bool = True
    max_redirects: int = 10
    fail: bool = True
    compressed: bool = True
    proxy: str | None = None
    environment: bool = True
    insecure: bool = False
    public_only: bool = False
    version: HttpVersion = HttpVersion11

    include: bool = False
    binary: bool = False
    """Binary may go to a terminal (`-o -`)."""
    verbose: bool = False
    quiet: bool = False
    progress: bool | None = None
    """None: if standard error is a terminal."""
    loop: LoopKind = LoopKind.AUTO

    @property
    def many(self) -> bool:
        """Whether this is a job with a summary; else one URL goes to standard output."""
        return self.destination is not Destination.STDOUT

    @property
    def repeatable(self) -> bool:
        """Whether a request may be sent again when its response broke off (RFC 9110 section 9.2.2)."""
        return self.method in {"GET", "HEAD", "OPTIONS", "TRACE", "PUT", "DELETE"}

    @property
    def total_timeout(self) -> float | None:
        """The time limit as the session counts it: with the waits for the turns that `--rate` gives."""
        if self.timeout is None or not self.rate:
            return self.timeout
        line = min(self.per_host or self.concurrency, self.concurrency)
        return self.timeout + (self.retry + 1) * line / self.rate

    def request_options(self) -> dict[str, Any]:
        """Give the keyword arguments that every request of the run has."""
        options: dict[str, Any] = {
            "headers": self.headers,
            "allow_redirects": self.redirects,
            "max_redirects": self.max_redirects + 1,  # the client's number is that of the redirect that is too many
        }
        if self.skip_headers:
            options["skip_auto_headers"] = self.skip_headers
        if self.cookies:
            options["cookies"] = self.cookies  # with the request, not in the jar: they stay with its origin
        if self.data is not None:
            options["data"] = self.data
        return options


def make_session(plan: Plan, jar: CookieJar) -> ClientSession:
    """Make the session of a run; needs a running loop, and to be closed."""
    retry = RetryMiddleware(attempts=plan.retry + 1) if plan.retry else None
    rate = RateLimitMiddleware(plan.rate, per_host=True, burst=1) if plan.rate else None
    return ClientSession(
        # The number of workers is the limit; that of one host is kept by the schedule, before the request's time runs.
        connector=TCPConnector(limit=0, ssl=not plan.insecure, deny=private_address if plan.public_only else None),
        timeout=ClientTimeout(total=plan.total_timeout, sock_connect=plan.connect_timeout),
        version=plan.version,
        cookie_jar=jar,
        proxy=plan.proxy,
        trust_env=plan.environment,
        auto_decompress=plan.compressed,
        # Outermost first: a second attempt waits for its turn like the first.
        middlewares=tuple(each for each in (retry, rate) if each is not None),
        close_timeout=plan.close_timeout,
    )
