"""The command `endwell serve`: from what was typed to a checked plan, which `service.run` then runs.

Reached through `endwell.cli.main`. What can be seen to be wrong is refused here, before anything is bound or started.
"""

import inspect
import os
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer

from endwell._version import __version__
from endwell.cli.served import ClientCertificate, Interface, Loop, Served

if TYPE_CHECKING:
    from endwell.service.plan import ServicePlan

__all__ = ["add_to", "declare", "plan_of"]

_EPILOG = """\
Exit codes:

0: the service was told to end, and everything was answered.

1: something was cut short: requests after --shutdown-timeout or a second signal, a clean-up that failed.

2: the command line is wrong.

3: the application can't be loaded, or failed to start.

4: an address, the control socket or the pidfile can't be had.

Signals:

SIGTERM, SIGINT (Ctrl-C): stop accepting, answer what is under way, end. A second one waits no longer.

SIGHUP: replace the workers one after the other, with --workers, --reload or --max-requests.
"""

_HOST = "127.0.0.1"


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"endwell {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("-V", "--version", is_eager=True, callback=_print_version, help="Print the version.")
]


def _serve(version: bool, **values: Any) -> None:
    """Serve an application, or a folder, until told to end; then end in order.

    An application is a web.Application, or one of ASGI, as those of Starlette and FastAPI are.

    Four processes with the application app of the module service: endwell serve service:app -w 4

    The files of this folder, with lists: endwell serve . --listing
    """
    given = Served(**values)
    plan = plan_of(given)
    if not sys.platform.startswith(("linux", "darwin")):
        _refuse("serve", "it needs Linux or macOS; elsewhere write a program that calls web.run_app()")
    from endwell.service.run import run

    _announce(plan)
    raise typer.Exit(run(plan))


def declare(command: Callable[..., None]) -> None:
    """Give a command the parameters that `Served` declares, where typer looks for them."""
    version = inspect.Parameter("version", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Version)
    parameters = [*inspect.signature(Served).parameters.values(), version]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # read by inspect.signature
    command.__annotations__ = {each.name: each.annotation for each in parameters}


declare(_serve)


def add_to(app: typer.Typer) -> None:
    """Add the command to those of `endwell`."""
    app.command("serve", epilog=_EPILOG, no_args_is_help=True)(_serve)


def _refuse(option: str, reason: str) -> NoReturn:
    raise typer.BadParameter(reason, param_hint=option)


def plan_of(given: Served) -> "ServicePlan":
    """Check the options one by one and against each other; raises `typer.BadParameter` (exit code 2)."""
    from endwell.service.certificates import CertificateError, server_context
    from endwell.service.plan import ServicePlan

    options = _target(given)
    _agree(given)
    if given.loop is Loop.UVLOOP and find_spec("uvloop") is None:
        _refuse("--loop", "uvloop is not installed; pip install uvloop, or leave the option out")
    host, port = _address(given)
    plan = ServicePlan(
        target=given.target,
        factory=given.factory,
        interface=given.interface,
        app_dir=given.app_dir,
        options=options,
        host=host,
        port=port,
        unix=given.unix or [],
        unix_mode=None if given.unix_mode is None else _mode(given.unix_mode),
        fds=given.fd or [],
        backlog=given.backlog,
        workers=given.workers,
        start_timeout=given.start_timeout,
        max_requests=given.max_requests,
        max_requests_jitter=given.max_requests_jitter,
        reload=given.reload,
        reload_dirs=given.reload_dir or [],
        reload_includes=given.reload_include or [],
        reload_excludes=given.reload_exclude or [],
        ssl_certfile=given.ssl_certfile,
        ssl_keyfile=given.ssl_keyfile,
        ssl_password=given.ssl_keyfile_password,
        ssl_ca_certs=given.ssl_ca_certs,
        ssl_cert_reqs=list(ClientCertificate).index(given.ssl_cert_reqs),
        ssl_ciphers=given.ssl_ciphers,
        access_log=given.access_log and not given.quiet,
        access_log_format=given.access_log_format,
        log_level="warning" if given.quiet else given.log_level,
        loop=given.loop,
        root_path=given.root_path,
        proxy_headers=given.proxy_headers,
        **_trusted(given),
        shutdown_timeout=given.shutdown_timeout,
        keepalive_timeout=given.keepalive_timeout,
        header_timeout=given.header_timeout,
        settings={"max_connections": given.limit_connections},
        control=given.control,
        pidfile=given.pidfile,
    )
    try:
        server_context(plan)
    except CertificateError as error:
        _refuse(error.option, str(error))
    return plan


def _target(given: Served) -> dict[str, Any]:
    """Check what is to be served, as far as its text tells; give the options of its kind."""
    from endwell.service.target import TargetError, is_folder, place_of

    folder = is_folder(given.target)
    of_folders = [name for name, value in (("--listing", given.listing), ("--spa", given.spa)) if value]
    of_apps = [
        name
        for name, value in (
            ("--factory", given.factory),
            ("--interface", given.interface is not Interface.AUTO),
            ("--lifespan", given.lifespan is not None),
            ("--root-path", given.root_path),
            ("--ws-max-size", given.ws_max_size is not None),
            ("--ws-heartbeat", given.ws_heartbeat is not None),
            ("--app-dir", given.app_dir is not None),
        )
        if value
    ]
    if folder:
        if of_apps:
            _refuse(of_apps[0], f"it is for applications, and {given.target} is a folder")
        return {"listing": given.listing, "spa": given.spa}
    if of_folders:
        _refuse(of_folders[0], f"it is for folders, and there is no folder {given.target}")
    try:
        place_of(given.target)
    except TargetError as error:
        _refuse("TARGET", str(error))
    if given.app_dir is not None and not Path(given.app_dir).is_dir():
        _refuse("--app-dir", f"there is no folder {given.app_dir}")
    if given.root_path and not given.root_path.startswith("/"):
        _refuse("--root-path", f"it begins with a slash: /{given.root_path}")
    options: dict[str, Any] = {}
    if given.lifespan is not None:
        options["lifespan"] = str(given.lifespan)
    if given.ws_max_size is not None:
        options["websocket_max_size"] = given.ws_max_size
    if given.ws_heartbeat is not None:
        options["websocket_heartbeat"] = given.ws_heartbeat or None
    return options


def _agree(given: Served) -> None:
    """Refuse options that contradict each other."""
    watching = (
        ("--reload-dir", given.reload_dir),
        ("--reload-include", given.reload_include),
        ("--reload-exclude", given.reload_exclude),
    )
    for name, value in watching:
        if value and not given.reload:
            _refuse(name, "it says what --reload watches: give that too")
    for folder in given.reload_dir or []:
        if not Path(folder).is_dir():
            _refuse("--reload-dir", f"there is no folder {folder}")
    if given.max_requests_jitter and not given.max_requests:
        _refuse("--max-requests-jitter", "it is added to --max-requests: give that too")
    if given.unix_mode is not None and not given.unix:
        _refuse("--unix-mode", "it is for --unix")
    for name, seconds in (
        ("--start-timeout", given.start_timeout),
        ("--shutdown-timeout", given.shutdown_timeout),
        ("--keepalive-timeout", given.keepalive_timeout),
        ("--header-timeout", given.header_timeout),
    ):
        if not seconds < float("inf"):
            _refuse(name, "a time is a number of seconds")


def _trusted(given: Served) -> dict[str, Any]:
    """Check which proxies are believed; nothing when that is the default."""
    from endwell.server.settings import core_settings

    if given.forwarded_allow_ips is None:
        return {}
    if not given.proxy_headers:
        _refuse("--forwarded-allow-ips", "it says whom --proxy-headers believes: give that too")
    names = [name.strip() for name in given.forwarded_allow_ips.split(",")]
    try:
        core_settings(trusted_proxies=names)
    except ValueError as error:
        _refuse("--forwarded-allow-ips", str(error))
    return {"forwarded_allow_ips": names}


def _address(given: Served) -> tuple[list[str], int | None]:
    """Give hosts and port; none when the sockets come from elsewhere, unless they are named too."""
    elsewhere = bool(given.unix or given.fd or _has_systemd_sockets())
    port = given.port
    if port is None and (given.host or not elsewhere):
        port = _port_of_environment()
    if given.host or (elsewhere and port is None):
        return given.host or [], port
    return [_HOST], port


def _has_systemd_sockets() -> bool:
    return bool(os.environ.get("LISTEN_FDS")) and os.environ.get("LISTEN_PID") == str(os.getpid())


def _port_of_environment() -> int | None:
    text = os.environ.get("PORT", "")
    if not text:
        return None
    if not (text.isascii() and text.isdecimal() and len(text) < 6 and int(text) <= 65535):
        _refuse("$PORT", f"{text[:20]!r} is no port: a number from 0 to 65535")
    return int(text)


def _mode(text: str) -> int:
    try:
        mode = int(text, 8)
    except ValueError:
        mode = -1
    if not 0 <= mode <= 0o777:
        _refuse("--unix-mode", f"{text!r} are no permissions: three octal digits, as 660")
    return mode


def _announce(plan: "ServicePlan") -> None:
    """Say what begins, and how it ends; where it listens is said as soon as it does."""
    from endwell.service.logs import configure, logger

    configure(plan)
    workers = f"{plan.workers} workers" if plan.workers > 1 else "1 worker"
    changes = f", started anew when a file changes{' (all of them)' * (plan.workers > 1)}" if plan.reload else ""
    text = "serving %s: process %d, %s%s; Ctrl-C or SIGTERM ends it in order, a second one at once"
    logger.info(text, plan.target, os.getpid(), workers, changes)
