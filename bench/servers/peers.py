"""The servers that are compared, and how each is started: one worker, uvloop where it can, no access log."""

from __future__ import annotations

from dataclasses import dataclass, field

APPS = "bench.servers.apps"
_UVICORN = (
    "-m uvicorn --host 127.0.0.1 --port {port} --loop uvloop --http httptools --no-access-log --log-level warning"
)
_GRANIAN = "-m granian --host 127.0.0.1 --port {port} --loop uvloop --http 1 --no-ws --workers 1 --log-level warning"
_NO_ROUTER = {"path": "it has no router"}


@dataclass(frozen=True)
class Server:
    """A server in the benchmark, with the framework on it."""

    name: str
    """As the command line and the report call it."""
    arguments: str
    """Python's arguments; `{port}` stands for the port it is to listen on at 127.0.0.1."""
    module: str
    """What must be there for it to run."""
    distributions: tuple[str, ...]
    """What pip calls what it consists of."""
    unsupported: dict[str, str] = field(default_factory=dict)
    """Workloads it is not asked to do, with the reason."""
    paths: tuple[str, ...] = ()
    """Folders that are searched for modules before all others: another checkout of endwell."""

    def command(self, port: int) -> list[str]:
        """Python's arguments for a port."""
        return self.arguments.format(port=port).split()


SERVERS = (
    Server("endwell", f"-m {APPS}.aiohttp_api endwell.web {{port}}", "endwell", ("endwell",)),
    Server("aiohttp", f"-m {APPS}.aiohttp_api aiohttp.web {{port}}", "aiohttp", ("aiohttp",)),
    Server("uvicorn", f"{_UVICORN} {APPS}.starlette_app:app", "uvicorn", ("uvicorn", "starlette", "httptools")),
    Server("granian", f"{_GRANIAN} --interface asgi {APPS}.starlette_app:app", "granian", ("granian", "starlette")),
    Server(
        "granian-rsgi",
        f"{_GRANIAN} --interface rsgi {APPS}.rsgi_app:app",
        "granian",
        ("granian",),
        unsupported=_NO_ROUTER,
    ),
    Server("blacksheep", f"{_UVICORN} {APPS}.blacksheep_app:app", "blacksheep", ("blacksheep", "uvicorn")),
    Server(
        "sanic",
        f"-m sanic {APPS}.sanic_app:app --host 127.0.0.1 --port {{port}} --single-process --no-access-logs --no-motd",
        "sanic",
        ("sanic",),
    ),
    Server(
        "robyn",
        f"-m {APPS}.robyn_app {{port}} --processes 1 --workers 1 --log-level WARNING --disable-openapi",
        "robyn",
        ("robyn",),
    ),
)
BY_NAME = {server.name: server for server in SERVERS}
SHORT = ("endwell", "aiohttp", "uvicorn", "granian")
PYTHON_CODED = ("aiohttp", "uvicorn", "blacksheep", "sanic")
"""Those whose sockets are served by Python; the others' are served by Rust. (BlackSheep is Cython on uvicorn.)"""
WITH_ROUTER = tuple(server.name for server in SERVERS if server.name != "endwell" and not server.unsupported)
