"""The command `endwell get`: from what was typed to a checked `Plan`. Reached through `endwell.cli.main`."""

import inspect
import re
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated, Any, NoReturn, TypeVar

import typer
from multidict import CIMultiDict

from endwell._version import __version__
from endwell.cli import options
from endwell.cli.given import Given
from endwell.cli.inputs import check_url
from endwell.cli.plan import Destination, LoopKind, Plan
from endwell.cli.run import run
from endwell.cli.screen import Screen

__all__ = ["app", "plan_of"]

T = TypeVar("T")

_EPILOG = """\
Exit codes:

0: everything was fetched, or was there already.

1: something was not fetched.

2: the command line is wrong.

3: the list can't be read, or the output can't be written.

130: ended by Ctrl-C (143: by SIGTERM). One lets what is under way finish, a second one stops at once. What was fetched
is kept.
"""

app = typer.Typer(
    name="endwell",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # they print local variables, passwords among them
)


def _print_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"endwell {__version__}")
        raise typer.Exit


Version = Annotated[
    bool, typer.Option("-V", "--version", is_eager=True, callback=_print_version, help="Print the version.")
]


@app.callback()
def _endwell(version: Version = False) -> None:
    """Fetch from HTTP servers, and serve; everything that is opened ends well."""


def _get(version: bool, **values: Any) -> None:
    """Fetch URLs.

    One URL is printed. Many go into a folder (-o) or a file of JSON lines (--jsonl), with progress and a summary.
    """
    plan = plan_of(Given(**values))
    raise typer.Exit(run(plan, Screen(plan)))


def _declare(command: Callable[..., None]) -> None:
    """Give the command the parameters that `Given` declares, where typer looks for them."""
    version = inspect.Parameter("version", inspect.Parameter.KEYWORD_ONLY, default=False, annotation=Version)
    parameters = [*inspect.signature(Given).parameters.values(), version]
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined] # read by inspect.signature
    command.__annotations__ = {each.name: each.annotation for each in parameters}


_declare(_get)
app.command("get", epilog=_EPILOG, no_args_is_help=True)(_get)


def _refuse(option: str, reason: str) -> NoReturn:
    raise typer.BadParameter(reason, param_hint=option)


def _parsed(option: str, parse: Callable[..., T], *values: Any) -> T:
    """Parse the value of an option; what is wrong with it is reported as a usage error (exit code 2)."""
    try:
        return parse(*values)
    except ValueError as error:
        _refuse(option, str(error))
    except OSError as error:
        _refuse(option, f"{error.filename or 'standard input'}: {error.strerror}")


def plan_of(given: Given) -> Plan:
    """Check the options one by one and against each other; raises `typer.BadParameter` (exit code 2)."""
    destination, target = _destination(given)
    _agree(given, destination)
    if given.loop is LoopKind.UVLOOP and find_spec("uvloop") is None:
        _refuse("--loop", "uvloop is not installed; pip install uvloop, or leave the option out")
    headers, removed, data = _message(given)
    stdout = destination is Destination.STDOUT
    return Plan(
        urls=tuple(given.urls or ()),
        input=given.input,
        destination=destination,
        target=target,
        resume=given.resume,
        fsync=given.fsync,
        max_body=None if given.max_body is None else _parsed("--max-body", options.size, given.max_body),
        concurrency=1 if stdout else given.concurrency,
        per_host=given.per_host,
        rate=None if given.rate is None else _parsed("--rate", options.rate, given.rate),
        retry=given.retry,
        timeout=_parsed("--timeout", options.seconds, given.timeout),
        connect_timeout=_parsed("--connect-timeout", options.seconds, given.connect_timeout),
        close_timeout=given.close_timeout,
        method=_method(given),
        headers=headers,
        skip_headers=removed,
        data=data,
        cookies=_parsed("--cookie", options.cookies, given.cookie or []),
        cookie_jar=given.cookie_jar,
        redirects=given.redirects,
        max_redirects=given.max_redirects,
        fail=not stdout if given.fail is None else given.fail,
        compressed=given.compressed,
        proxy=None if given.proxy is None else _proxy(given.proxy),
        environment=given.environment,
        insecure=given.insecure,
        public_only=given.public_only,
        version=_parsed("--http-version", options.http_version, given.http_version),
        include=given.include or (given.head and stdout),
        binary=given.output == "-",
        verbose=given.verbose,
        quiet=given.quiet,
        progress=given.progress,
        loop=given.loop,
    )


def _destination(given: Given) -> tuple[Destination, Path | None]:
    chosen = [
        name for name, value in (("-o", given.output), ("--jsonl", given.jsonl), ("--discard", given.discard)) if value
    ]
    if len(chosen) > 1:
        _refuse(chosen[1], f"the bodies go to one place: leave out {chosen[0]} or {chosen[1]}")
    if given.discard:
        return Destination.NOWHERE, None
    if given.jsonl:
        return Destination.RECORDS, None if given.jsonl == "-" else Path(given.jsonl)
    if given.output and given.output != "-":
        return Destination.FOLDER, Path(given.output)
    return Destination.STDOUT, None


def _agree(given: Given, destination: Destination) -> None:
    """Refuse options that contradict each other."""
    urls = given.urls or []
    if not urls and given.input is None:
        _refuse("URL...", "name at least one URL, or a file of them with -i")
    if destination is Destination.STDOUT:
        if given.input is not None or len(urls) > 1:
            _refuse("URL...", "several URLs need a place: -o DIR, --jsonl FILE (- for standard output), or --discard")
        _parsed("URL...", check_url, urls[0].strip())
    elif given.include:
        _refuse("--include", "it is for one URL to standard output; --jsonl has the fields of every response")
    if destination is Destination.FOLDER and given.head:
        _refuse("--head", "there are no bodies to write; use --jsonl for the fields")
    if given.resume and (destination in {Destination.STDOUT, Destination.NOWHERE} or given.jsonl == "-"):
        _refuse("--resume", "it needs a place that an earlier run has left: -o DIR or --jsonl FILE")
    bodies = [*(given.data or []), *([given.json] if given.json is not None else [])]
    if given.data and given.json is not None:
        _refuse("--json", "a request has one body: leave out --data or --json")
    if given.head and bodies:
        _refuse("--head", "a HEAD request has no body")
    if given.input == "-" and any(part in {"-", "@-"} for part in bodies):
        _refuse("--data", "standard input is the list of URLs already (-i -)")


def _method(given: Given) -> str:
    method = given.method or ("HEAD" if given.head else "POST" if given.data or given.json is not None else "GET")
    if not re.fullmatch(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+", method):
        _refuse("--method", "a method is one word, as GET")
    if given.head and method.upper() != "HEAD":
        _refuse("--method", "--head is the method HEAD: leave out one of them")
    return method.upper()


def _message(given: Given) -> tuple[CIMultiDict[str], frozenset[str], bytes | None]:
    """Give the fields, the default fields to leave out, and the body."""
    fields, removed = _parsed("--header", options.header_fields, given.header or [])
    data = None
    if given.json is not None:
        data = _parsed("--json", options.json_body, given.json)
        for name in ("Content-Type", "Accept"):
            fields.setdefault(name, "application/json")
    elif given.data:
        data = _parsed("--data", options.body, given.data)
        fields.setdefault("Content-Type", "application/x-www-form-urlencoded")
    if given.user is not None:
        fields["Authorization"] = _parsed("--user", options.basic_auth, given.user, _ask_password)
    if not given.compressed:
        fields.setdefault("Accept-Encoding", "identity")
    return fields, removed, data


def _ask_password() -> str:
    return str(typer.prompt("Password", hide_input=True, err=True))


def _proxy(text: str) -> str:
    schemes = ("http://", "https://", "socks4://", "socks4a://", "socks5://", "socks5h://")
    if not text.lower().startswith(schemes):
        _refuse("--proxy", "write its URL with the scheme: http://host:port, https://, socks5://")
    return text
