"""The pytest plugin, under aiohttp's name of the module: asynchronous tests and fixtures, servers and clients for them.

Load it in the `conftest.py` at the root of the tests::

    pytest_plugins = "endwell.pytest_plugin"

It does not load itself through an entry point: that would have it run the asynchronous tests of every project in whose
environment endwell happens to be installed, and its options are those of aiohttp's plugin, which may be there as well.
"""

from endwell.testing.fixtures import (
    AiohttpClient,
    AiohttpRawServer,
    AiohttpServer,
    aiohttp_client,
    aiohttp_raw_server,
    aiohttp_server,
    aiohttp_unused_port,
    endwell_client,
    endwell_raw_server,
    endwell_server,
    fast,
    loop,
    loop_debug,
    loop_factory,
    proactor_loop,
)
from endwell.testing.plugin import (
    pytest_addoption,
    pytest_configure,
    pytest_fixture_setup,
    pytest_generate_tests,
    pytest_pycollect_makeitem,
    pytest_pyfunc_call,
)

__all__ = (
    "AiohttpClient",
    "AiohttpRawServer",
    "AiohttpServer",
    "aiohttp_client",
    "aiohttp_raw_server",
    "aiohttp_server",
    "aiohttp_unused_port",
    "endwell_client",
    "endwell_raw_server",
    "endwell_server",
    "fast",
    "loop",
    "loop_debug",
    "loop_factory",
    "proactor_loop",
    "pytest_addoption",
    "pytest_configure",
    "pytest_fixture_setup",
    "pytest_generate_tests",
    "pytest_pycollect_makeitem",
    "pytest_pyfunc_call",
)
