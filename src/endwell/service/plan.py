"""What a service is told: one `ServicePlan`, made by the command line, read by the supervisor and by each worker.

It travels as JSON, so everything in it is a plain value.

How a supervisor and its worker process talk (both ends: `service.channel.Channel`):

- The worker is ``python -m endwell.service.worker CHANNEL`` where CHANNEL is the number of an inherited descriptor, one
  end of a socket pair. On it both send JSON objects, one a line.
- The first line that a worker reads is ``{"do": "serve", "plan": {...}, "slot": 0, "sockets": [fds], "others": {"1":
  [fds], ...}, "every": 1.0}``. It owns all these descriptors: it listens on `sockets`, keeps those of `others` (the
  sockets of the other slots, each shared with the worker of that slot) and closes all of them as soon as it drains.
- Further lines: ``{"do": "cover", "slot": 1}``: accept from the sockets of that slot too, whose worker is dead (on
  duplicates: it may be told so again later); ``{"do": "uncover", "slot": 1}``: no longer; ``{"do": "drain"}``: stop
  accepting, answer what is in flight, end (SIGTERM means the same); ``{"do": "retire"}``: the same, with a successor
  that is ready: for a moment connections that idle are kept, and whoever asks on one is told that it closes, so that
  no request meets a connection that is being closed; ``{"do": "hurry"}``: as a second SIGTERM.
- A worker says ``{"state": "starting", "pid": ...}``, ``{"state": "ready", ...}`` once it accepts, ``{"state":
  "failed", "error": "text with traceback"}`` and ends with status 3 when it cannot start, ``{"state": "draining",
  ...}``, and ``{"state": "report", "requests": ..., "connections": ..., "websockets": ...}`` every `every` seconds if a
  number has changed. `requests` counts from the worker's start, the others are what is open now.
- EOF: the other end is gone. A worker then drains; a supervisor looks for the worker's exit status: 0 for an end in
  order, 1 if something was cut short, 3 if it could not start.
- Workers are in process groups of their own: Ctrl-C at a terminal reaches the supervisor only.

A service of one worker needs no second process: then ``await worker.serve(plan, sockets, others, channel, every=...)``
runs as a task in the loop of the supervisor, with a `Channel` of the same kind, and returns the exit status. It is told
everything on the channel; it leaves the signals, the logging and the process alone.
"""

from __future__ import annotations

import dataclasses
import json
from typing import Any, Final

__all__ = ("EXIT_CUT_SHORT", "EXIT_NO_ADDRESS", "EXIT_NO_START", "EXIT_ORDERLY", "ServicePlan")

EXIT_ORDERLY: Final = 0
"""Everything was answered and ended in order."""

EXIT_CUT_SHORT: Final = 1
"""Requests or tasks had to be cut short, or a worker had to be killed."""

EXIT_NO_START: Final = 3
"""The application could not be loaded or started."""

EXIT_NO_ADDRESS: Final = 4
"""An address, a socket, the control socket or the pidfile cannot be had."""

_INTERFACES: Final = ("auto", "endwell", "asgi")
_LOOPS: Final = ("auto", "uvloop", "asyncio")
_NOT_NEGATIVE: Final = (
    "shutdown_timeout",
    "kill_grace",
    "max_requests",
    "max_requests_jitter",
    "keepalive_timeout",
    "header_timeout",
)
_POSITIVE: Final = ("workers", "backlog", "start_timeout", "backoff_max", "report_every", "reload_every")


@dataclasses.dataclass(slots=True, kw_only=True)
class ServicePlan:
    """What to serve, where, with how many workers, and how it ends.

    Attributes:
        target: ``module:attribute`` of an application (or of what makes it), or a directory.
        factory: the attribute is a function that makes the application.
        interface: "auto", "endwell" or "asgi".
        app_dir: put at the head of `sys.path` in workers; None: the current directory.
        options: what only `service.loading` knows (how a directory is shown, ...).

        host: addresses or names to listen at. Empty: all addresses, if a port or nothing else is given.
        port: 0 for any; None: 8080, with TLS 8443.
        unix: paths of Unix sockets; ``@name`` for an abstract one (Linux).
        unix_mode: permissions of these; None: what the umask leaves.
        fds: descriptors of listening sockets that were inherited.
        systemd: take over the sockets of LISTEN_FDS, if it is set for this process.
        fd_names: of those only the ones with these names (LISTEN_FDNAMES); empty: all.
        backlog: connections that wait to be accepted, for each socket.
        reuse_port: one TCP socket for each worker, balanced by the kernel. None: where the kernel balances (Linux).

        workers: processes that serve.
        supervise: False: one worker, in this process, that nobody replaces; True: always a supervisor. None: False for
            a plan with one worker, without `reload` and `max_requests`.
        start_timeout: seconds that a worker has to become ready.
        backoff_max: seconds between two attempts to start a worker that fails, at most; the first waits are shorter.
        max_requests: a worker is replaced after so many; 0: never. The supervisor counts: the worker is told 0.
        max_requests_jitter: up to so many more, at random, lest all workers go at once.
        report_every: seconds between two reports of a worker.

        reload: replace the workers when a file changes.
        reload_dirs: folders to watch; empty: `app_dir`.
        reload_includes: patterns of names to watch, besides ``*.py``.
        reload_excludes: patterns of names, or of paths below the folder, not to watch.
        reload_every: seconds between two looks.

        ssl_certfile, ssl_keyfile, ssl_password: of the server; TLS is spoken if there is a certificate.
        ssl_ca_certs, ssl_cert_reqs: of clients; 0 none, 1 optional, 2 required (`ssl.CERT_NONE`, ...).
        ssl_ciphers: for TLS 1.2, in OpenSSL's words.

        access_log: write one.
        access_log_format: see `AccessLogger`; None: its own.
        log_level: "debug", "info", "warning", "error" or "critical".
        loop: "auto" (uvloop if it is there), "uvloop" or "asyncio".
        root_path: where a proxy mounts the application (ASGI).
        proxy_headers: believe X-Forwarded-For and X-Forwarded-Proto, from the peers of `forwarded_allow_ips`.
        forwarded_allow_ips: addresses and networks of proxies; "unix" for Unix sockets, "*" for every peer.

        shutdown_timeout: seconds that requests in flight have to end when the service or a worker ends.
        kill_grace: seconds after which a worker that should have ended by then is killed.
        keepalive_timeout: seconds a connection may idle between two requests.
        header_timeout: seconds for the head of a request.
        settings: further settings of the server by name, see `server.settings.core_settings`.

        control: path of the control socket; None: a name with the process id in $XDG_RUNTIME_DIR or the folder of
            temporary files; empty: no control socket.
        pidfile: path of a file to write the process id into.

    """

    target: str = ""
    factory: bool = False
    interface: str = "auto"
    app_dir: str | None = None
    options: dict[str, Any] = dataclasses.field(default_factory=dict)

    host: list[str] = dataclasses.field(default_factory=list)
    port: int | None = None
    unix: list[str] = dataclasses.field(default_factory=list)
    unix_mode: int | None = None
    fds: list[int] = dataclasses.field(default_factory=list)
    systemd: bool = True
    fd_names: list[str] = dataclasses.field(default_factory=list)
    backlog: int = 2048
    reuse_port: bool | None = None

    workers: int = 1
    supervise: bool | None = None
    start_timeout: float = 60.0
    backoff_max: float = 30.0
    max_requests: int = 0
    max_requests_jitter: int = 0
    report_every: float = 1.0

    reload: bool = False
    reload_dirs: list[str] = dataclasses.field(default_factory=list)
    reload_includes: list[str] = dataclasses.field(default_factory=list)
    reload_excludes: list[str] = dataclasses.field(default_factory=list)
    reload_every: float = 0.5

    ssl_certfile: str | None = None
    ssl_keyfile: str | None = None
    ssl_password: str | None = dataclasses.field(default=None, repr=False)
    ssl_ca_certs: str | None = None
    ssl_cert_reqs: int = 0
    ssl_ciphers: str | None = None

    access_log: bool = True
    access_log_format: str | None = None
    log_level: str = "info"
    loop: str = "auto"
    root_path: str = ""
    proxy_headers: bool = False
    forwarded_allow_ips: list[str] = dataclasses.field(default_factory=lambda: ["127.0.0.1", "::1", "unix"])

    shutdown_timeout: float = 60.0
    kill_grace: float = 10.0
    keepalive_timeout: float = 75.0
    header_timeout: float = 30.0
    settings: dict[str, Any] = dataclasses.field(default_factory=dict)

    control: str | None = None
    pidfile: str | None = None

    def __post_init__(self) -> None:
        self._check_choice("interface", _INTERFACES)
        self._check_choice("loop", _LOOPS)
        for name in _NOT_NEGATIVE:
            if not getattr(self, name) >= 0:
                message = f"{name} must not be negative, not {getattr(self, name)!r}"
                raise ValueError(message)
        for name in _POSITIVE:
            if not getattr(self, name) > 0:
                message = f"{name} must be more than 0, not {getattr(self, name)!r}"
                raise ValueError(message)
        if self.port is not None and not 0 <= self.port <= 65535:
            message = f"port must be between 0 and 65535, not {self.port}"
            raise ValueError(message)
        if self.supervise is False and (self.workers > 1 or self.reload or self.max_requests):
            message = "supervise=False is for one worker without reload and max_requests: nobody would replace it"
            raise ValueError(message)

    @property
    def supervised(self) -> bool:
        """Whether the workers are processes of their own."""
        if self.supervise is None:
            return self.workers > 1 or self.reload or self.max_requests > 0
        return self.supervise

    @property
    def tls(self) -> bool:
        """Whether TLS is spoken."""
        return self.ssl_certfile is not None

    def to_json(self) -> dict[str, Any]:
        """Give the plan as what `json.dumps` takes. It may have a password in it: not for a log or a command line."""
        return dataclasses.asdict(self)

    @classmethod
    def from_json(cls, plan: str | bytes | dict[str, Any]) -> ServicePlan:
        """Make a plan of what `to_json` gave, or of that as text.

        Raises:
            TypeError: a name that there is not, as with a worker of another version than its supervisor.
            ValueError: no JSON, or a value that cannot be.

        """
        return cls(**(plan if isinstance(plan, dict) else json.loads(plan)))

    def _check_choice(self, name: str, choices: tuple[str, ...]) -> None:
        if getattr(self, name) not in choices:
            message = f"{name} must be one of {', '.join(choices)}, not {getattr(self, name)!r}"
            raise ValueError(message)
