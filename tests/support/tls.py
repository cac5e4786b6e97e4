"""A certificate authority for one test run, and the contexts of both ends (trustme; no network, no file but in memory).

Everything is made once, when first asked for: keys are the slow part. Tests take what they need as plain functions or,
through ``pytest``, as the fixtures at the end of this file (import them into a test module or a ``conftest.py``).
"""

import datetime
import functools
import hashlib
import ssl
from collections.abc import Callable

import pytest
import trustme

#: What the good server certificate is valid for.
NAMES = ("localhost", "127.0.0.1", "::1")


@functools.cache
def authority() -> trustme.CA:
    """The authority that the contexts of `client_context` trust."""
    return trustme.CA()


@functools.cache
def stranger() -> trustme.CA:
    """An authority that nobody trusts."""
    return trustme.CA()


@functools.cache
def certificate(kind: str = "good") -> trustme.LeafCert:
    """A server certificate: ``good`` (see `NAMES`), ``wrong-name``, ``expired`` or ``untrusted``."""
    if kind == "good":
        return authority().issue_cert(*NAMES)
    if kind == "wrong-name":
        return authority().issue_cert("other.example")
    if kind == "expired":
        yesterday = datetime.datetime.now(datetime.UTC) - datetime.timedelta(days=1)
        return authority().issue_cert(*NAMES, not_before=yesterday - datetime.timedelta(days=30), not_after=yesterday)
    if kind == "untrusted":
        return stranger().issue_cert(*NAMES)
    raise ValueError(f"no certificate of kind {kind!r}; there are good, wrong-name, expired and untrusted")


def fingerprint(kind: str = "good") -> bytes:
    """The SHA-256 of the certificate, as ``Fingerprint`` wants it."""
    pem = certificate(kind).cert_chain_pems[0].bytes().decode("ascii")
    return hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).digest()


def server_context(
    kind: str = "good",
    *,
    version: ssl.TLSVersion | None = None,
    alpn: tuple[str, ...] = (),
    client_certificate: bool = False,
) -> ssl.SSLContext:
    """A new context for a server; ``version`` pins one version of TLS, ``client_certificate`` asks for one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    certificate(kind).configure_cert(context)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if alpn:
        context.set_alpn_protocols(list(alpn))
    if client_certificate:
        authority().configure_trust(context)
        context.verify_mode = ssl.CERT_REQUIRED
    return context


def client_context(*, version: ssl.TLSVersion | None = None, client_certificate: bool = False) -> ssl.SSLContext:
    """A new context for a client that trusts `authority` and checks names, as a user would make one."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    authority().configure_trust(context)
    if version is not None:
        context.minimum_version = context.maximum_version = version
    if client_certificate:
        authority().issue_cert("client@endwell.example").configure_cert(context)
    return context


def careless_context() -> ssl.SSLContext:
    """A new context for a client that checks nothing."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


@pytest.fixture
def tls_server_context() -> ssl.SSLContext:
    """The context of a server with the good certificate."""
    return server_context()


@pytest.fixture
def tls_client_context() -> ssl.SSLContext:
    """The context of a client that trusts it."""
    return client_context()


@pytest.fixture
def make_server_context() -> Callable[..., ssl.SSLContext]:
    """`server_context`, for tests that want another certificate or version."""
    return server_context
