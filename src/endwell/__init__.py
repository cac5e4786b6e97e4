"""endwell: an asynchronous HTTP client in which everything that is opened ends well."""

from endwell._version import __version__
from endwell.client.connector import TCPConnector, UnixConnector
from endwell.client.session import ClientSession, request
from endwell.client.timeouts import ClientTimeout

__all__ = ("ClientSession", "ClientTimeout", "TCPConnector", "UnixConnector", "__version__", "request")
