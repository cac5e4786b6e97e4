import asyncio
import os
import socket
import ssl
from typing import Any

import pytest

from endwell.transport import tls
from endwell.transport.errors import FingerprintMismatch, TlsCertificateError, TlsError, TlsTimeoutError
from tests.support.tls import careless_context, client_context, fingerprint, server_context
from tests.transport.network import Answering, Recorder, Silent, passes, serving

VERSIONS = [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3]


async def _raw(port: int) -> tuple[asyncio.Transport, Recorder]:
    transport, protocol = await asyncio.get_running_loop().create_connection(Recorder, "127.0.0.1", port)
    return transport, protocol


async def _connect(port: int, context: ssl.SSLContext, **options: Any) -> tuple[asyncio.Transport, Recorder]:
    raw, protocol = await _raw(port)
    options = {"server_hostname": "localhost", **options}
    return await tls.upgrade(asyncio.get_running_loop(), raw, protocol, context, **options), protocol


async def _exchange(port: int, context: ssl.SSLContext, name: str = "localhost") -> ssl.SSLObject:
    """Ask, read the answer, close; returns the TLS object."""
    transport, protocol = await _connect(port, context, server_hostname=name)
    transport.write(b"?")
    await protocol.got_data
    assert protocol.received == b"ok"
    seen: ssl.SSLObject = transport.get_extra_info("ssl_object")
    transport.close()
    await protocol.lost
    return seen


def _resuming(context: ssl.SSLContext) -> ssl.SSLContext:
    tls.resume_sessions(context)
    return context


@pytest.mark.parametrize("version", VERSIONS)
async def test_sessions_are_resumed(version: ssl.TLSVersion) -> None:
    context = _resuming(client_context())
    async with serving(Answering, context=server_context(version=version)) as port:
        reused = [(await _exchange(port, context)).session_reused for _ in range(4)]
    assert reused == [False, True, True, True]


async def test_sessions_stay_with_their_name_and_context() -> None:
    context = _resuming(client_context())
    async with serving(Answering, context=server_context()) as port:
        await _exchange(port, context)
        assert not (await _exchange(port, context, "127.0.0.1")).session_reused
        assert not (await _exchange(port, _resuming(client_context()))).session_reused
        assert not (await _exchange(port, client_context())).session_reused
        assert (await _exchange(port, context)).session_reused


@pytest.mark.parametrize("version", VERSIONS)
async def test_a_session_does_not_excuse_a_bad_certificate(version: ssl.TLSVersion) -> None:
    careless, careful = _resuming(careless_context()), _resuming(client_context())
    async with serving(Answering, context=server_context("untrusted", version=version)) as port:
        await _exchange(port, careless)
        assert (await _exchange(port, careless)).session_reused
        for _ in range(2):
            with pytest.raises(TlsCertificateError):
                await _connect(port, careful)


async def test_a_session_of_another_server_is_refused_and_its_certificate_checked() -> None:
    context = _resuming(client_context())
    async with serving(Answering, context=server_context()) as port:
        await _exchange(port, context)
        await _exchange(port, context)
    async with serving(Answering, context=server_context("untrusted")) as port:
        with pytest.raises(TlsCertificateError):
            await _connect(port, context)
    async with serving(Answering, context=server_context()) as port:
        assert not (await _exchange(port, context)).session_reused


@pytest.mark.parametrize("version", VERSIONS)
async def test_fingerprints_are_checked_on_resumed_sessions_too(version: ssl.TLSVersion) -> None:
    context = _resuming(careless_context())
    right, wrong = tls.Fingerprint(fingerprint("untrusted")), tls.Fingerprint(bytes(32))
    async with serving(Answering, context=server_context("untrusted", version=version)) as port:
        for resumed in (False, True):
            seen = await _exchange(port, context)
            assert bool(seen.session_reused) is resumed
            right.check(seen)
            with pytest.raises(FingerprintMismatch) as caught:
                wrong.check(seen, "a.example", 443)
            assert caught.value.got == fingerprint("untrusted")
            assert (caught.value.expected, caught.value.host, caught.value.port) == (bytes(32), "a.example", 443)


async def test_a_fingerprint_finds_the_peer_of_a_transport() -> None:
    async with serving(Answering, context=server_context()) as port:
        raw, plain = await _raw(port)
        with pytest.raises(FingerprintMismatch, match="no certificate"):
            tls.Fingerprint(bytes(32)).check(raw)
        raw.abort()
        await plain.lost
        transport, protocol = await _connect(port, client_context())
        tls.Fingerprint(fingerprint()).check(transport)
        with pytest.raises(FingerprintMismatch) as caught:
            tls.Fingerprint(bytes(32)).check(transport)
        assert (caught.value.host, caught.value.port) == ("127.0.0.1", port)
        transport.abort()
        await protocol.lost


def test_fingerprints() -> None:
    one = tls.Fingerprint(b"1" * 32)
    assert one == tls.Fingerprint(b"1" * 32)
    assert one != tls.Fingerprint(b"2" * 32)
    assert len({one, tls.Fingerprint(b"1" * 32)}) == 1
    assert one.fingerprint == b"1" * 32
    for wrong in (b"", b"1" * 16, b"1" * 20, b"1" * 33):
        with pytest.raises(ValueError):
            tls.Fingerprint(wrong)


def test_contexts() -> None:
    verified, pin = tls.context_for(True)
    assert (verified.verify_mode, verified.check_hostname, pin) == (ssl.CERT_REQUIRED, True, None)
    assert tls.context_for(None)[0] is verified
    unverified, pin = tls.context_for(False)
    assert (unverified.verify_mode, unverified.check_hostname, pin) == (ssl.CERT_NONE, False, None)
    pinned = tls.Fingerprint(bytes(32))
    assert tls.context_for(pinned) == (unverified, pinned)
    mine = client_context()
    assert tls.context_for(mine) == (mine, None)
    assert issubclass(mine.sslobject_class, tls._ResumingObject)

    class Own(ssl.SSLObject):
        pass

    own = client_context()
    own.sslobject_class = Own
    assert tls.context_for(own) == (own, None)
    assert own.sslobject_class is Own
    for wrong in (1, 0, "yes", b""):
        with pytest.raises(TypeError):
            tls.context_for(wrong)  # type: ignore[arg-type] # that is the point


def test_session_cache_is_bounded_and_forgets() -> None:
    class Session:
        timeout = 100

    cache, session = tls.SessionCache(), Session()
    for number in range(tls.MAX_SERVERS + 5):
        cache.put(str(number), session, now=0)  # type: ignore[arg-type] # ssl has no constructor for one
    assert len(cache) == tls.MAX_SERVERS
    assert cache.get("0", now=0) is None
    assert cache.get("9", now=49) == (session, False)
    assert cache.get("9", now=50) == (session, True)
    assert cache.get("9", now=100) is None
    cache.discard("10")
    assert cache.get("10", now=0) is None


async def test_alpn_and_what_the_protocol_sees() -> None:
    context = client_context()
    context.set_alpn_protocols(["http/1.1"])
    async with serving(Answering, context=server_context(alpn=("http/1.1",))) as port:
        transport, protocol = await _connect(port, context)
        assert transport.get_extra_info("ssl_object").selected_alpn_protocol() == "http/1.1"
        assert transport.get_protocol() is protocol
        transport.close()
        await protocol.lost
    assert protocol.events[0] == "made"
    assert protocol.events.count("made") == protocol.events.count("lost") == 1


class Eager(Silent):
    """A server that speaks first."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self.transport.write(b"hello")


async def test_what_comes_with_the_handshake_is_not_lost() -> None:
    async with serving(Eager, context=server_context()) as port:
        transport, protocol = await _connect(port, client_context())
        await protocol.got_data
        assert protocol.received == b"hello"
        transport.abort()
        await protocol.lost


@pytest.mark.parametrize("kind", ["untrusted", "wrong-name", "expired"])
async def test_bad_certificates(kind: str) -> None:
    async with serving(Answering, context=server_context(kind)) as port:
        raw, protocol = await _raw(port)
        inode = _inode(raw)
        with pytest.raises(TlsCertificateError) as caught:
            await tls.upgrade(asyncio.get_running_loop(), raw, protocol, client_context(), server_hostname="localhost")
        assert inode not in _inodes()
        assert caught.value.host == "localhost"
        assert isinstance(caught.value.certificate_error, ssl.SSLCertVerificationError)
        assert caught.value.__cause__ is caught.value.certificate_error
        assert protocol.events == ["made", "lost"]


class Babbling(Silent):
    """A peer that does not speak TLS."""

    def data_received(self, data: bytes) -> None:
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")


class Leaving(Silent):
    """A peer that closes when it is spoken to."""

    def data_received(self, data: bytes) -> None:
        self.transport.close()


class Resetting(Silent):
    """A peer that resets when it is spoken to."""

    def data_received(self, data: bytes) -> None:
        linger = b"\1\0\0\0\0\0\0\0"
        self.transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
        self.transport.abort()


@pytest.mark.parametrize("peer", [Babbling, Leaving, Resetting])
async def test_a_peer_that_fails(peer: type[Silent]) -> None:
    async with serving(peer) as port:
        raw, protocol = await _raw(port)
        inode = _inode(raw)
        with pytest.raises(TlsError) as caught:
            await tls.upgrade(asyncio.get_running_loop(), raw, protocol, client_context(), server_hostname="localhost")
        assert inode not in _inodes()
        assert protocol.events == ["made", "lost"]
        assert (caught.value.ssl_error is not None) == (peer is Babbling)


def _inode(transport: asyncio.BaseTransport) -> str:
    return os.readlink(f"/proc/self/fd/{transport.get_extra_info('socket').fileno()}")


def _inodes() -> set[str]:
    found = set()
    for name in os.listdir("/proc/self/fd"):
        try:
            found.add(os.readlink(f"/proc/self/fd/{name}"))
        except FileNotFoundError:
            continue
    return found


async def test_a_silent_peer_runs_into_the_time_out() -> None:
    async with serving(Silent) as port:
        raw, protocol = await _raw(port)
        inode = _inode(raw)
        with pytest.raises(TlsTimeoutError) as caught:
            await tls.upgrade(
                asyncio.get_running_loop(),
                raw,
                protocol,
                client_context(),
                server_hostname="localhost",
                handshake_timeout=0.05,
            )
        assert isinstance(caught.value, TimeoutError)
        assert inode not in _inodes()
        assert protocol.events == ["made", "lost"]


@pytest.mark.parametrize("turns", [0, 1, 2, 3, 5, 20])
async def test_cancelled_at_a_silent_peer_it_leaves_no_socket(turns: int) -> None:
    async with serving(Silent) as port:
        raw, protocol = await _raw(port)
        inode = _inode(raw)
        task = asyncio.create_task(
            tls.upgrade(asyncio.get_running_loop(), raw, protocol, client_context(), server_hostname="localhost")
        )
        await passes(turns + 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert inode not in _inodes()
        assert protocol.events == ["made", "lost"]


async def test_cancelled_when_the_handshake_is_just_done() -> None:
    """The loops would say goodbye then, and wait for a peer that does not answer it."""
    async with serving(Silent, context=server_context()) as port:
        raw, protocol = await _raw(port)
        inode = _inode(raw)
        context = client_context()
        task: asyncio.Task[Any]

        class Cancelling(ssl.SSLObject):
            def getpeercert(self, binary_form: bool = False) -> Any:
                task.cancel()
                return super().getpeercert(binary_form)

        context.sslobject_class = Cancelling
        task = asyncio.create_task(
            tls.upgrade(asyncio.get_running_loop(), raw, protocol, context, server_hostname="localhost")
        )
        with pytest.raises(asyncio.CancelledError):
            await task
        assert inode not in _inodes()
        assert protocol.events == ["made", "lost"]


async def test_cancelled_twice() -> None:
    async with serving(Silent) as port:
        raw, protocol = await _raw(port)
        task = asyncio.create_task(
            tls.upgrade(asyncio.get_running_loop(), raw, protocol, client_context(), server_hostname="localhost")
        )
        await passes(3)
        task.cancel()
        await passes(1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert protocol.events == ["made", "lost"]
        await passes()


@pytest.mark.parametrize("turns", [0, 1, 4])
async def test_aborted_from_outside_it_fails_at_once(turns: int) -> None:
    async with serving(Silent) as port:
        raw, protocol = await _raw(port)
        task = asyncio.create_task(
            tls.upgrade(asyncio.get_running_loop(), raw, protocol, client_context(), server_hostname="localhost")
        )
        await passes(turns)
        raw.abort()
        with pytest.raises(TlsError):
            await task
        await passes()
        assert protocol.events == ["made", "lost"]


@pytest.mark.parametrize("name", ["", ".", ".a", "b\u00fccher.example", "a\0b"])
async def test_names_that_are_none(name: str) -> None:
    async with serving(Silent) as port:
        raw, protocol = await _raw(port)
        with pytest.raises(ValueError):
            await tls.upgrade(asyncio.get_running_loop(), raw, protocol, client_context(), server_hostname=name)
        await passes()
        assert protocol.events == ["made", "lost"]


def test_server_names() -> None:
    assert tls.server_name("a.example.") == "a.example"
    assert tls.server_name("fe80::1%25eth0") == "fe80::1"


async def _ending(how: str, version: ssl.TLSVersion, *, paused: bool = False) -> bool:
    """Let the server end its stream and return what `ended_cleanly` says when the client hears of it."""

    class Ending(Silent):
        def data_received(self, data: bytes) -> None:
            self.transport.write(b"body")
            if how == "close_notify":
                self.transport.close()
            else:
                asyncio.get_running_loop().call_soon(asyncio.get_running_loop().call_soon, self.transport.abort)

    async with serving(Ending, context=server_context(version=version)) as port:
        transport, protocol = await _connect(port, client_context())
        seen = transport.get_extra_info("ssl_object")
        answers: list[bool] = []
        protocol.on_end = lambda: answers.append(tls.ended_cleanly(seen))
        transport.write(b"?")
        await protocol.lost
        assert protocol.received == b"body"
    return answers[0]


@pytest.mark.parametrize("version", VERSIONS)
@pytest.mark.parametrize("how", ["close_notify", "cut"])
async def test_a_cut_stream_is_told_from_an_ended_one(how: str, version: ssl.TLSVersion) -> None:
    assert await _ending(how, version) is (how == "close_notify")


class Tunnel(asyncio.Protocol):
    """A TLS proxy for one connection: copies bytes to and from a target that it connects to at once."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._early = bytearray()
        self._onward: Any = None
        self.transport: Any = None
        self._task: Any = None

    def connection_made(self, transport: Any) -> None:
        self.transport = transport
        self._task = asyncio.create_task(self._dial())

    async def _dial(self) -> None:
        outer = self

        class Back(asyncio.Protocol):
            def data_received(self, data: bytes) -> None:
                outer.transport.write(data)

            def connection_lost(self, exc: Exception | None) -> None:
                outer.transport.close()

        self._onward, _ = await asyncio.get_running_loop().create_connection(Back, "127.0.0.1", self._port)
        self._onward.write(bytes(self._early))

    def data_received(self, data: bytes) -> None:
        if self._onward is None:
            self._early += data
        else:
            self._onward.write(data)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._onward is not None:
            self._onward.close()


async def test_tls_in_tls() -> None:
    loop = asyncio.get_running_loop()
    async with (
        serving(Answering, context=server_context()) as port,
        serving(lambda: Tunnel(port), context=server_context()) as proxy,
    ):
        outer, protocol = await _connect(proxy, client_context())
        inner = await tls.upgrade(loop, outer, protocol, client_context(), server_hostname="localhost")
        inner.write(b"?")
        await protocol.got_data
        assert protocol.received == b"ok"
        inner.abort()
        await protocol.lost
        await passes(5)


@pytest.mark.parametrize("turns", [0, 1, 3, 10])
async def test_tls_in_tls_cancelled_at_a_silent_peer(turns: int) -> None:
    loop = asyncio.get_running_loop()
    async with serving(Silent, context=server_context()) as proxy:
        outer, protocol = await _connect(proxy, client_context())
        inode = _inode(outer)
        task = asyncio.create_task(tls.upgrade(loop, outer, protocol, client_context(), server_hostname="localhost"))
        await passes(turns + 1)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert inode not in _inodes()
        assert protocol.events == ["made", "lost"]
        await passes()


async def test_abort_after_close_leaves_nothing_at_a_silent_peer() -> None:
    class Deaf(Silent):
        """Does not read, so it never answers a close_notify."""

        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            super().connection_made(transport)
            self.transport.pause_reading()

    async with serving(Deaf, context=server_context()) as port:
        transport, protocol = await _connect(port, client_context(), shutdown_timeout=30)
        inode = _inode(transport)
        transport.close()
        await passes(1)
        transport.abort()
        await protocol.lost
        await passes()
        assert inode not in _inodes()
