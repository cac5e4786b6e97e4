"""The clients that are compared, and how each is found."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Peer:
    """A client in the benchmark."""

    name: str
    """As the command line and the report call it."""
    adapter: str
    """The module in `bench/clients/`."""
    module: str
    """What a program imports; the `import` workload measures it."""
    distribution: str
    """What pip calls it."""
    unsupported: dict[str, str] = field(default_factory=dict)
    """Workloads it cannot do, with the reason."""
    share: float = 1
    """The part of a workload's requests that it does: less for slow clients, so that a round does not take all day."""
    paths: tuple[str, ...] = ()
    """Folders that are searched for modules before all others: another checkout of endwell."""

    @property
    def distributions(self) -> tuple[str, ...]:
        """What it consists of, as pip calls it."""
        return (self.distribution,)


PEERS = (
    Peer("endwell", "aiohttp_api", "endwell", "endwell"),
    Peer("aiohttp", "aiohttp_api", "aiohttp", "aiohttp"),
    Peer("pyreqwest", "pyreqwest_client", "pyreqwest.client", "pyreqwest"),
    Peer("wreq", "wreq_client", "wreq", "wreq"),
    Peer("curl_cffi", "curl_cffi_client", "curl_cffi.requests", "curl_cffi", share=0.5),
    Peer("httpx2", "httpx2_client", "httpx2", "httpx2", share=0.25),
    Peer("niquests", "niquests_client", "niquests", "niquests", share=0.25),
)
BY_NAME = {peer.name: peer for peer in PEERS}
SHORT = ("endwell", "aiohttp", "pyreqwest")
