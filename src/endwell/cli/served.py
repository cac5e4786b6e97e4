"""The options of `endwell serve` as typed on the command line: names, defaults, help. Read by typer through `serve`."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated

from typer import Argument, Option

__all__ = ["ClientCertificate", "Interface", "Level", "Lifespan", "Loop", "Served"]

_WHAT = "What is served"
_WHERE = "Where"
_PROCESSES = "Processes"
_TLS = "TLS"
_LIMITS = "Times and limits"
_LOG = "What is written"


class Interface(StrEnum):
    """What the target is."""

    AUTO = "auto"
    ENDWELL = "endwell"
    ASGI = "asgi"


class Lifespan(StrEnum):
    """Whether an ASGI application is told of start and end."""

    AUTO = "auto"
    ON = "on"
    OFF = "off"


class Loop(StrEnum):
    """The event loop to run on."""

    AUTO = "auto"
    ASYNCIO = "asyncio"
    UVLOOP = "uvloop"


class Level(StrEnum):
    """What is written to the log, and what is more."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"
    CRITICAL = "critical"


class ClientCertificate(StrEnum):
    """Whether clients show a certificate; in the order of `ssl.CERT_NONE`, ..."""

    NONE = "none"
    OPTIONAL = "optional"
    REQUIRED = "required"


@dataclass(kw_only=True)
class Served:
    """The values of the command line, not yet checked against each other; `None` where nothing was given."""

    target: Annotated[
        str,
        Argument(
            metavar="TARGET",
            help="module:attribute of an application, or of a function that makes it; or a folder of files.",
        ),
    ]
    factory: Annotated[
        bool, Option("--factory", rich_help_panel=_WHAT, help="Call the attribute: it makes the application.")
    ] = False
    interface: Annotated[
        Interface, Option("--interface", rich_help_panel=_WHAT, help="What the application is; auto: find out.")
    ] = Interface.AUTO
    app_dir: Annotated[
        str | None,
        Option("--app-dir", metavar="DIR", rich_help_panel=_WHAT, help="Where the module is. Default: here."),
    ] = None
    lifespan: Annotated[
        Lifespan | None,
        Option("--lifespan", rich_help_panel=_WHAT, help="Tell an ASGI application of start and end. Default: auto."),
    ] = None
    root_path: Annotated[
        str,
        Option(
            "--root-path",
            metavar="PATH",
            rich_help_panel=_WHAT,
            help="Where a proxy, which takes this prefix away, mounts an ASGI application.",
        ),
    ] = ""
    ws_max_size: Annotated[
        int | None,
        Option(
            "--ws-max-size", min=0, rich_help_panel=_WHAT, help="Bytes of a WebSocket message (ASGI). Default: 16 MiB."
        ),
    ] = None
    ws_heartbeat: Annotated[
        float | None,
        Option(
            "--ws-heartbeat", min=0.0, rich_help_panel=_WHAT, help="Seconds until a ping (ASGI); 0: none. Default: 30."
        ),
    ] = None
    listing: Annotated[
        bool, Option("--listing", rich_help_panel=_WHAT, help="Answer with a list for a folder without index.html.")
    ] = False
    spa: Annotated[
        bool, Option("--spa", rich_help_panel=_WHAT, help="Answer with /index.html where a folder has no such file.")
    ] = False

    host: Annotated[
        list[str] | None,
        Option(
            "-H",
            "--host",
            metavar="ADDRESS",
            rich_help_panel=_WHERE,
            help="Address or name to listen at, several are possible; 0.0.0.0 and :: are all. Default: 127.0.0.1.",
        ),
    ] = None
    port: Annotated[
        int | None,
        Option(
            "-p",
            "--port",
            min=0,
            max=65535,
            rich_help_panel=_WHERE,
            help="0: any. Default: $PORT, else 8080, with TLS 8443.",
        ),
    ] = None
    unix: Annotated[
        list[str] | None,
        Option("-u", "--unix", metavar="PATH", rich_help_panel=_WHERE, help="Unix socket to listen on; or @NAME."),
    ] = None
    unix_mode: Annotated[
        str | None,
        Option("--unix-mode", metavar="OCTAL", rich_help_panel=_WHERE, help="Permissions of the Unix socket, as 660."),
    ] = None
    fd: Annotated[
        list[int] | None,
        Option("--fd", min=0, rich_help_panel=_WHERE, help="Inherited descriptor of a socket to listen on."),
    ] = None
    backlog: Annotated[
        int, Option("--backlog", min=1, rich_help_panel=_WHERE, help="Connections that wait to be accepted.")
    ] = 2048

    proxy_headers: Annotated[
        bool,
        Option(
            "--proxy-headers/--no-proxy-headers",
            rich_help_panel=_WHERE,
            help="Take the client's address and scheme from X-Forwarded-For and X-Forwarded-Proto of trusted proxies.",
        ),
    ] = False
    forwarded_allow_ips: Annotated[
        str | None,
        Option(
            "--forwarded-allow-ips",
            metavar="LIST",
            rich_help_panel=_WHERE,
            help="Which ones: addresses, networks, unix; or *, every peer. Default: 127.0.0.1,::1,unix.",
        ),
    ] = None

    workers: Annotated[
        int,
        Option(
            "-w", "--workers", min=1, max=1024, envvar="WEB_CONCURRENCY", rich_help_panel=_PROCESSES, help="Processes."
        ),
    ] = 1
    start_timeout: Annotated[
        float, Option("--start-timeout", min=0.1, rich_help_panel=_PROCESSES, help="Seconds a worker has to get ready.")
    ] = 60.0
    reload: Annotated[
        bool, Option("--reload", rich_help_panel=_PROCESSES, help="Start the workers anew when a file changes.")
    ] = False
    reload_dir: Annotated[
        list[str] | None,
        Option("--reload-dir", metavar="DIR", rich_help_panel=_PROCESSES, help="Folder to watch. Default: --app-dir."),
    ] = None
    reload_include: Annotated[
        list[str] | None,
        Option("--reload-include", metavar="GLOB", rich_help_panel=_PROCESSES, help="Names to watch besides *.py."),
    ] = None
    reload_exclude: Annotated[
        list[str] | None,
        Option("--reload-exclude", metavar="GLOB", rich_help_panel=_PROCESSES, help="Names or paths not to watch."),
    ] = None
    max_requests: Annotated[
        int,
        Option("--max-requests", min=0, rich_help_panel=_PROCESSES, help="Replace a worker after so many; 0: never."),
    ] = 0
    max_requests_jitter: Annotated[
        int, Option("--max-requests-jitter", min=0, rich_help_panel=_PROCESSES, help="Up to so many more, at random.")
    ] = 0
    loop: Annotated[
        Loop, Option("--loop", rich_help_panel=_PROCESSES, help="Event loop; auto: uvloop if it is installed.")
    ] = Loop.AUTO
    pidfile: Annotated[
        str | None, Option("--pidfile", metavar="FILE", rich_help_panel=_PROCESSES, help="Write the process id there.")
    ] = None
    control: Annotated[
        str | None,
        Option(
            "--control",
            metavar="PATH",
            rich_help_panel=_PROCESSES,
            help="Unix socket that tells how the service does; '' for none. Default: a name with the process id.",
        ),
    ] = None

    ssl_certfile: Annotated[
        str | None, Option("--ssl-certfile", metavar="FILE", rich_help_panel=_TLS, help="Certificate chain, PEM.")
    ] = None
    ssl_keyfile: Annotated[
        str | None,
        Option("--ssl-keyfile", metavar="FILE", rich_help_panel=_TLS, help="Its key. Default: in the same file."),
    ] = None
    ssl_keyfile_password: Annotated[
        str | None,
        Option(
            "--ssl-keyfile-password",
            metavar="TEXT",
            envvar="ENDWELL_SSL_KEYFILE_PASSWORD",
            rich_help_panel=_TLS,
            help="Of the key. Others can read a command line: use the variable.",
        ),
    ] = None
    ssl_ca_certs: Annotated[
        str | None,
        Option("--ssl-ca-certs", metavar="FILE", rich_help_panel=_TLS, help="Who signs the certificates of clients."),
    ] = None
    ssl_cert_reqs: Annotated[
        ClientCertificate,
        Option("--ssl-cert-reqs", rich_help_panel=_TLS, help="Whether clients show a certificate."),
    ] = ClientCertificate.NONE
    ssl_ciphers: Annotated[
        str | None,
        Option("--ssl-ciphers", metavar="LIST", rich_help_panel=_TLS, help="For TLS 1.2, as OpenSSL says it."),
    ] = None

    shutdown_timeout: Annotated[
        float,
        Option("--shutdown-timeout", min=0.0, rich_help_panel=_LIMITS, help="Seconds requests in flight have to end."),
    ] = 60.0
    keepalive_timeout: Annotated[
        float,
        Option("--keepalive-timeout", min=0.0, rich_help_panel=_LIMITS, help="Seconds between two requests."),
    ] = 75.0
    header_timeout: Annotated[
        float, Option("--header-timeout", min=0.0, rich_help_panel=_LIMITS, help="Seconds for the head of a request.")
    ] = 30.0
    limit_connections: Annotated[
        int,
        Option("--limit-connections", min=1, rich_help_panel=_LIMITS, help="Open at a time, in each worker."),
    ] = 10_000

    access_log: Annotated[
        bool,
        Option(
            "--access-log/--no-access-log", rich_help_panel=_LOG, help="A line for each request, to standard output."
        ),
    ] = True
    access_log_format: Annotated[
        str | None,
        Option("--access-log-format", metavar="TEXT", rich_help_panel=_LOG, help="As for web.run_app."),
    ] = None
    log_level: Annotated[
        Level, Option("--log-level", rich_help_panel=_LOG, help="Of the log, which goes to standard error.")
    ] = Level.INFO
    quiet: Annotated[bool, Option("-q", "--quiet", rich_help_panel=_LOG, help="Nothing but warnings and errors.")] = (
        False
    )
