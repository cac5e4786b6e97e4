"""One adapter for each client: the same few operations, each in the way that client's own documentation shows.

An adapter is a class `Client` in a module of this package. It verifies nothing: it returns what came, and
`bench/worker.py` compares. Nothing is tuned that the client's users would not tune: connections are reused, there are
as many as the workload asks for, certificates are verified, and a cookie jar and the following of redirects are on
where the workload needs them.

The modules import as little as they can, since the workload `first` counts that, too.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import AsyncIterator
    from typing import Any, Protocol, Self

    class Client(Protocol):
        """What an adapter can do. It is used in `async with`, which opens and closes the client's session."""

        def __init__(self, settings: Settings, module: str) -> None: ...
        async def __aenter__(self) -> Self: ...
        async def __aexit__(self, *exc: object) -> None: ...

        async def get(self, url: str) -> tuple[int, int]:
            """Fetch and read whole: the status and the length of the body in bytes."""

        async def get_field(self, url: str, name: str) -> tuple[int, int, str]:
            """The same, and one response field looked up."""

        async def post_json(self, url: str, value: Any) -> tuple[int, int]:
            """Send an object as JSON and read the answer whole."""

        async def download(self, url: str) -> tuple[int, int]:
            """Fetch and read in pieces, keeping none."""

        async def upload(self, url: str, pieces: AsyncIterator[bytes]) -> tuple[int, bytes]:
            """Send pieces as they come: the status and the answer's body."""


class Settings:
    """What a workload asks of a client."""

    __slots__ = ("ca_file", "connections", "cookies", "redirects")

    def __init__(
        self, connections: int, ca_file: str | None = None, cookies: bool = False, redirects: bool = False
    ) -> None:
        self.connections = connections
        self.ca_file = ca_file
        self.cookies = cookies
        self.redirects = redirects
