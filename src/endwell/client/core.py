"""What must be closed of a session, and the checks of what a session is given."""

from __future__ import annotations

import asyncio
import warnings
from typing import TYPE_CHECKING, Any

from multidict import CIMultiDict
from yarl import URL

from endwell.client.options import sentinel
from endwell.client.timeouts import DEFAULT_TIMEOUT, ClientTimeout
from endwell.http.typedefs import LooseHeaders, StrOrURL
from endwell.lifetime import Owner, State, guard

if TYPE_CHECKING:
    from endwell.client.connector import BaseConnector

__all__ = ("SessionCore", "checked_base", "merge_headers", "one_timeout")


class SessionCore(Owner):
    """What must be closed of a session: its exchanges, its tasks, and perhaps its connector."""

    __slots__ = ("connector", "name", "nothing", "owns_connector")

    kind = "session"

    def __init__(
        self,
        name: str,
        loop: asyncio.AbstractEventLoop,
        close_timeout: float | None,
        connector: BaseConnector,
        owns: bool,
    ) -> None:
        super().__init__(
            loop,
            close_timeout=close_timeout,
            advice=f"write: async with {name}() as session: ..., or: await session.close()",
        )
        self.name = name
        self.connector: BaseConnector | None = connector
        self.owns_connector = owns
        if owns:
            connector._core.holders[self] = None
        self.nothing: asyncio.Future[None] = loop.create_future()
        """Done: what is awaited where there is nothing to wait for, cheaper than a coroutine."""
        self.nothing.set_result(None)
        guard(self)

    def describe(self) -> str:
        """See `Resource.describe`."""
        return self.name

    def holdings(self) -> tuple[str, ...]:
        """See `Owner.holdings`."""
        held = super().holdings()
        if self.connector is not None and self.owns_connector and self.connector._core.owner is None:
            held += tuple(line for line in self.connector._core.holdings() if line not in held)
        return held

    def _stop(self) -> None:
        connector = self.connector
        if connector is None or not self.owns_connector:
            return
        core = connector._core
        others = any(holder is not self for holder in core.holders)
        if others and self.work:
            return  # asked again when our own work is over: it may need the connector, and the others may be gone then
        if core.let_go(self) and core.state in (State.OPEN, State.STOPPED) and core.loop is self.loop:
            if core.state is State.OPEN:
                core.closed_at = self.closed_at
            self.adopt(core)


def merge_headers(fields: CIMultiDict[str] | None, given: LooseHeaders | None) -> CIMultiDict[str]:
    """Put given fields over others: a name replaces, its repetitions add."""
    merged = CIMultiDict(fields) if fields is not None else CIMultiDict()
    seen: set[str] = set()
    pairs: Any = given or ()
    items = pairs.items() if hasattr(pairs, "items") else pairs
    for name, value in items:
        folded = str(name).lower()
        if folded in seen:
            merged.add(name, value)
        else:
            merged[name] = value
            seen.add(folded)
    return merged


def checked_base(base_url: StrOrURL | None) -> URL | None:
    """Return a base URL that others can be joined to.

    Raises:
        ValueError: not absolute, or its path does not end in a slash.

    """
    if base_url is None:
        return None
    base = URL(base_url)
    if not base.absolute:
        message = "Only absolute URLs are supported as base_url"
        raise ValueError(message)
    if not base.path.endswith("/"):
        message = "base_url must have a trailing slash ('/') at the end of its path"
        raise ValueError(message)
    return base


def one_timeout(timeout: Any, read_timeout: Any, conn_timeout: float | None) -> ClientTimeout:
    """Make one `ClientTimeout` of the three arguments, of which two are deprecated."""
    if timeout is sentinel or timeout is None:
        chosen = DEFAULT_TIMEOUT
        if read_timeout is not sentinel:
            warnings.warn("read_timeout is deprecated, use timeout argument instead", DeprecationWarning, stacklevel=3)
            chosen = ClientTimeout(read_timeout, chosen.connect, chosen.sock_read, chosen.sock_connect)
        if conn_timeout is not None:
            warnings.warn("conn_timeout is deprecated, use timeout argument instead", DeprecationWarning, stacklevel=3)
            chosen = ClientTimeout(chosen.total, conn_timeout, chosen.sock_read, chosen.sock_connect)
        return chosen
    if not isinstance(timeout, ClientTimeout):
        message = f"timeout parameter cannot be of {type(timeout)} type, please use 'timeout=ClientTimeout(...)'"
        raise ValueError(message)
    if read_timeout is not sentinel or conn_timeout is not None:
        message = "read_timeout and conn_timeout cannot be given together with timeout"
        raise ValueError(message)
    return timeout
