"""The options of `endwell get` as typed on the command line: names, defaults, help. Read by typer through `get`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from endwell.cli.plan import LoopKind

__all__ = ["Given"]

_WHAT = "What to fetch"
_WHERE = "Where it goes"
_PACE = "Pace"
_REQUEST = "Request"
_CONNECTION = "Connection"
_SHOW = "What is shown"


@dataclass(kw_only=True)
class Given:
    """The values of the command line, not yet checked against each other; `None` where nothing was given."""

    urls: Annotated[list[str] | None, Argument(metavar="URL...", help="What to fetch, http:// or https://.")] = None
    input: Annotated[
        str | None,
        Option(
            "-i",
            "--input",
            metavar="FILE",
            rich_help_panel=_WHAT,
            help="Read URLs from FILE, one a line; - is standard input. Empty lines and # comments are left out.",
        ),
    ] = None
    output: Annotated[
        str | None,
        Option(
            "-o",
            "--output",
            metavar="DIR",
            rich_help_panel=_WHERE,
            help="Write each body into DIR, in a file named after its URL. - is standard output, binary too.",
        ),
    ] = None
    jsonl: Annotated[
        str | None,
        Option(
            "--jsonl",
            metavar="FILE",
            rich_help_panel=_WHERE,
            help="Write a JSON line for each URL; - is standard output.",
        ),
    ] = None
    discard: Annotated[bool, Option("--discard", rich_help_panel=_WHERE, help="Read the bodies and keep none.")] = False
    resume: Annotated[
        bool, Option("--resume", rich_help_panel=_WHERE, help="Do not fetch again what an earlier run has fetched.")
    ] = False
    fsync: Annotated[
        bool,
        Option("--fsync", rich_help_panel=_WHERE, help="Have each file on the disk before its name appears."),
    ] = False
    max_body: Annotated[
        str | None,
        Option(
            "--max-body",
            metavar="SIZE",
            rich_help_panel=_WHERE,
            help="A larger body is a failure: 1000, 64k, 8MiB. Default: 8MiB with --jsonl, else none.",
        ),
    ] = None
    include: Annotated[
        bool, Option("--include", rich_help_panel=_WHERE, help="Print the head of the response before its body.")
    ] = False
    fail: Annotated[
        bool | None,
        Option(
            "--fail/--no-fail",
            rich_help_panel=_WHERE,
            help="Whether a status from 400 on is a failure. Default: yes, but for one URL to standard output no.",
        ),
    ] = None

    concurrency: Annotated[
        int, Option("-n", "--concurrency", min=1, max=10_000, rich_help_panel=_PACE, help="URLs at a time.")
    ] = 20
    per_host: Annotated[
        int, Option("--per-host", min=0, rich_help_panel=_PACE, help="URLs of one host at a time; 0: as many as -n.")
    ] = 0
    rate: Annotated[
        str | None,
        Option("--rate", metavar="N[/s|m|h]", rich_help_panel=_PACE, help="Requests to each host: 5, 90/m, 1000/h."),
    ] = None
    retry: Annotated[
        int,
        Option(
            "--retry",
            min=0,
            max=100,
            rich_help_panel=_PACE,
            help="Further attempts after a failure that may pass; only of methods that may be repeated.",
        ),
    ] = 0
    timeout: Annotated[
        float, Option("--timeout", rich_help_panel=_PACE, help="Seconds for one URL in all; 0: no limit.")
    ] = 300.0
    connect_timeout: Annotated[
        float, Option("--connect-timeout", rich_help_panel=_PACE, help="Seconds to connect; 0: no limit.")
    ] = 30.0
    close_timeout: Annotated[
        float,
        Option("--close-timeout", min=0.0, rich_help_panel=_PACE, help="Seconds Ctrl-C leaves to what is under way."),
    ] = 10.0

    method: Annotated[
        str | None,
        Option("-X", "--method", rich_help_panel=_REQUEST, help="Default: GET; POST with a body, HEAD with --head."),
    ] = None
    header: Annotated[
        list[str] | None,
        Option(
            "-H",
            "--header",
            metavar="'NAME: VALUE'",
            rich_help_panel=_REQUEST,
            help="Send a field; 'Name:' leaves a default one out, 'Name;' sends it empty.",
        ),
    ] = None
    data: Annotated[
        list[str] | None,
        Option("-d", "--data", rich_help_panel=_REQUEST, help="The body; @FILE is read, @- or - is standard input."),
    ] = None
    json: Annotated[
        str | None,
        Option("--json", rich_help_panel=_REQUEST, help="A JSON body and its media type; @FILE and - as -d."),
    ] = None
    head: Annotated[
        bool, Option("-I", "--head", rich_help_panel=_REQUEST, help="Ask for the head only, and print it.")
    ] = False
    user: Annotated[
        str | None,
        Option("-u", "--user", metavar="NAME[:PASSWORD]", rich_help_panel=_REQUEST, help="Basic authentication."),
    ] = None
    cookie: Annotated[
        list[str] | None,
        Option("-b", "--cookie", metavar="'A=1; B=2'", rich_help_panel=_REQUEST, help="Cookies to send with each URL."),
    ] = None
    cookie_jar: Annotated[
        Path | None,
        Option(
            "-c",
            "--cookie-jar",
            metavar="FILE",
            rich_help_panel=_REQUEST,
            help="Cookies to begin with; written back at the end.",
        ),
    ] = None
    compressed: Annotated[
        bool,
        Option(
            "--compressed/--no-compressed", rich_help_panel=_REQUEST, help="Ask for compressed bodies, expand them."
        ),
    ] = True
    redirects: Annotated[
        bool, Option("--redirects/--no-redirects", "-L", rich_help_panel=_REQUEST, help="Follow redirects.")
    ] = True
    max_redirects: Annotated[
        int, Option("--max-redirects", min=0, rich_help_panel=_REQUEST, help="Redirects of one URL.")
    ] = 10

    proxy: Annotated[
        str | None,
        Option("-x", "--proxy", metavar="URL", rich_help_panel=_CONNECTION, help="Default: from the environment."),
    ] = None
    environment: Annotated[
        bool, Option("--env/--no-env", rich_help_panel=_CONNECTION, help="Heed HTTP_PROXY and so on, and ~/.netrc.")
    ] = True
    insecure: Annotated[
        bool, Option("-k", "--insecure", rich_help_panel=_CONNECTION, help="Accept any TLS certificate.")
    ] = False
    public_only: Annotated[
        bool, Option("--public-only", rich_help_panel=_CONNECTION, help="Connect to public addresses only.")
    ] = False
    http_version: Annotated[str, Option("--http-version", rich_help_panel=_CONNECTION, help="1.0 or 1.1.")] = "1.1"
    loop: Annotated[
        LoopKind, Option("--loop", rich_help_panel=_CONNECTION, help="Event loop; auto: uvloop if it is installed.")
    ] = LoopKind.AUTO

    verbose: Annotated[
        bool,
        Option("-v", "--verbose", rich_help_panel=_SHOW, help="One URL: heads, close report. Many: a line each."),
    ] = False
    quiet: Annotated[
        bool, Option("-q", "--quiet", rich_help_panel=_SHOW, help="Nothing but why the command fails.")
    ] = False
    progress: Annotated[
        bool | None,
        Option("--progress/--no-progress", rich_help_panel=_SHOW, help="Default: if standard error is a terminal."),
    ] = None
