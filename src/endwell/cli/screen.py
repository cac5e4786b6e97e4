"""What `endwell get` shows people, on standard error: progress, messages, summary. Used by `run` and `get`.

The only module that draws (rich). Whatever came from a peer or a list is put into `Text`, never parsed as markup.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from time import monotonic

from rich.bar import Bar
from rich.console import Console, RenderableType
from rich.live import Live
from rich.spinner import Spinner
from rich.table import Table
from rich.text import Text

from endwell.cli.inputs import BadInput, Job, printable, without_credentials
from endwell.cli.plan import Plan
from endwell.cli.summary import Summary
from endwell.client.response import ClientResponse
from endwell.lifetime.report import CloseReport

__all__ = ["Screen", "amount", "duration"]

_FAILURES_SHOWN = 20
_SECRET_FIELDS = frozenset({"authorization", "proxy-authorization", "cookie", "set-cookie"})


def amount(size: float) -> str:
    """Write a number of bytes: `999 B`, `1.5 MB`."""
    for unit in ("B", "kB", "MB", "GB"):
        if size < 999.5:
            return f"{size:.0f} B" if unit == "B" else f"{size:.{1 if size < 99.95 else 0}f} {unit}"
        size /= 1000
    return f"{size:.1f} TB"


def duration(seconds: float) -> str:
    """Write a time: `1.5 ms`, `250 ms`, `2.50 s`, `1:02:03`."""
    if seconds < 0.01:
        return f"{seconds * 1000:.1f} ms"
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    if seconds < 120:
        return f"{seconds:.2f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes // 60}:{minutes % 60:02}:{rest:02}"


class Screen:
    """An observer of the fetcher that shows what a plan asks to see."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._console = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)
        self._done = 0
        self._failed = 0
        self._bytes = 0
        self._total: int | None = None
        self._start = monotonic()
        self._spinner = Spinner("dots")

    # What is said

    def error(self, message: str) -> None:
        """Say why the run ends."""
        self._say("endwell: ", message, "bold red")

    def note(self, message: str) -> None:
        """Say something the person may want to know."""
        if not self._plan.quiet:
            self._say("endwell: ", message)

    def _say(self, start: str, message: str, style: str = "") -> None:
        self._console.print(Text.assemble((start, style), message))

    # What happens (fetch.Observer)

    def begun(self, job: Job) -> None:
        """A request is about to be sent: nothing is shown, its fields are shown with the answer."""

    def answered(self, job: Job, response: ClientResponse) -> None:
        """Show the heads with `-v`, if there is one URL."""
        if self._plan.verbose and not self._plan.many:
            for each in (*response.history, response):
                self._heads(each)

    def received(self, size: int) -> None:
        """Count a piece of a body."""
        self._bytes += size

    def fetched(self, job: Job, status: int, seconds: float) -> None:
        """Count a fetched URL; show it with `-v`."""
        self._done += 1
        if self._plan.verbose and self._plan.many:
            self._say(f"{status} {duration(seconds)} ", job.shown)

    def failed(self, job: Job, reason: str) -> None:
        """Count and show a failure; in a large job only the first ones, unless `-v`."""
        self._done += 1
        self._failed += 1
        if self._plan.many and (self._plan.quiet or (self._failed > _FAILURES_SHOWN and not self._plan.verbose)):
            return
        self._say("failed " if self._plan.many else "endwell: ", f"{job.shown}: {reason}", "red")
        if self._plan.many and self._failed == _FAILURES_SHOWN and not self._plan.verbose:
            self.note("further failures are only counted; -v shows each")

    def skipped(self, job: Job) -> None:
        """Count a URL that is there already."""
        self._done += 1

    def bad_input(self, bad: BadInput) -> None:
        """Show a line that is no URL."""
        self._done += 1
        if not self._plan.quiet or not self._plan.many:
            self._say(f"{bad.where}: ", bad.reason, "yellow")

    def _heads(self, response: ClientResponse) -> None:
        request = response.request_info
        version = self._plan.version
        target = request.url.raw_path_qs
        self._say("> ", f"{request.method} {printable(target)} HTTP/{version.major}.{version.minor}", "dim")
        self._fields("> ", request.headers.items())
        version = response.version or version
        self._say(
            "< ", f"HTTP/{version.major}.{version.minor} {response.status} {printable(response.reason or '')}", "dim"
        )
        self._fields("< ", response.headers.items())

    def _fields(self, start: str, fields: Iterable[tuple[str, str]]) -> None:
        for name, value in fields:
            hidden = name.lower() in _SECRET_FIELDS
            self._say(start, f"{name}: {'(not shown)' if hidden else without_credentials(value)}", "dim")
        self._say(start, "", "dim")

    # Progress

    @contextmanager
    def progress(self, total: int | None) -> Iterator[None]:
        """Show a bar for `total` URLs (None: unknown) while the block is open, if it is wanted."""
        plan = self._plan
        wanted = (
            plan.many and not plan.quiet and (self._console.is_terminal if plan.progress is None else plan.progress)
        )
        self._total = total
        self._start = monotonic()
        if not wanted or not plan.many or plan.quiet:
            yield
            return
        if not self._console.is_terminal:  # a log: the bar as it stands at the end
            yield
            self._console.print(self._bar())
            return
        with Live(console=self._console, get_renderable=self._bar, refresh_per_second=8):
            yield

    def _bar(self) -> RenderableType:
        seconds = max(monotonic() - self._start, 1e-6)
        total = self._total
        row = Table.grid(padding=(0, 2))
        if total is None:
            row.add_column()
            start: RenderableType = self._spinner
            count = f"{self._done}"
        else:
            row.add_column(width=max(10, min(40, self._console.width - 60)))
            start = Bar(max(total, 1), 0, self._done, color="green")
            count = f"{self._done}/{total}"
        for _ in range(5):
            row.add_column(no_wrap=True)
        row.add_row(
            start,
            Text(count),
            Text(amount(self._bytes)),
            Text(f"{self._done / seconds:.0f}/s"),
            Text(duration(seconds)),
            Text(f"{self._failed} failed", "red") if self._failed else Text(""),
        )
        return row

    # The end

    def end(self, summary: Summary, report: CloseReport) -> None:
        """Show the summary of a job, and the close report: always for a job, with `-v` for one URL."""
        if self._plan.many and not self._plan.quiet:
            self._console.print(_figures(summary))
            if summary.errors:
                self._console.print(_errors(summary), soft_wrap=False)
        if not self._plan.quiet and (self._plan.many or self._plan.verbose):
            self._console.print(Text(str(report)))


def _figures(summary: Summary) -> Text:
    counts = [f"{summary.fetched} fetched", f"{summary.failed} failed"]
    counts += [
        f"{number} {what}"
        for number, what in (
            (summary.skipped, "there already"),
            (summary.interrupted, "interrupted"),
            (summary.bad_input, "lines that are no URL"),
        )
        if number
    ]
    seconds = max(summary.seconds, 1e-9)
    rows = [("URLs", ", ".join(counts))]
    if summary.statuses:
        rows.append(("status", ", ".join(f"{code}: {number}" for code, number in sorted(summary.statuses.items()))))
    rows.append(("bodies", f"{amount(summary.body_bytes)}, {amount(summary.body_bytes / seconds)}/s"))
    rows.append(("time", f"{duration(summary.seconds)}, {summary.fetched / seconds:.0f} URLs/s"))
    if summary.latencies.count:
        marks = [f"p{percent} {duration(summary.latencies.percentile(percent))}" for percent in (50, 90, 99)]
        rows.append(("latency", ", ".join([*marks, f"max {duration(summary.latencies.largest)}"])))
    return Text("\n").join(Text.assemble((f"{name:<9}", "bold"), text) for name, text in rows)


def _errors(summary: Summary) -> Table:
    table = Table(box=None, pad_edge=False, title="failures", title_justify="left", title_style="bold")
    table.add_column("n", justify="right")
    table.add_column("class", no_wrap=True)
    table.add_column("for example", overflow="fold")
    for name, kind in sorted(summary.errors.items(), key=lambda item: -item[1].number):
        table.add_row(str(kind.number), Text(name), Text(f"{kind.url}\n{kind.message}"))
    return table
