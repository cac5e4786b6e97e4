"""What tests of users need, under aiohttp's name of the module; see `endwell.testing`."""

from endwell.testing.case import AioHTTPTestCase, unittest_run_loop
from endwell.testing.client import TestClient
from endwell.testing.loops import loop_context, setup_test_loop, teardown_test_loop
from endwell.testing.mocked import make_mocked_coro, make_mocked_request
from endwell.testing.ports import get_port_socket, get_unused_port_socket, unused_port
from endwell.testing.servers import BaseTestServer, RawTestServer, TestServer

__all__ = (
    "AioHTTPTestCase",
    "BaseTestServer",
    "RawTestServer",
    "TestClient",
    "TestServer",
    "get_port_socket",
    "get_unused_port_socket",
    "loop_context",
    "make_mocked_coro",
    "make_mocked_request",
    "setup_test_loop",
    "teardown_test_loop",
    "unittest_run_loop",
    "unused_port",
)
