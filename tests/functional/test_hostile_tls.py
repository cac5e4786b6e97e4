"""Certificates that are not the peer's, fingerprints that do not match, versions nobody shares."""

from __future__ import annotations

import ssl
from typing import Any

import pytest

import endwell
from tests.support.hostile import fetch, says
from tests.support.peer import ScriptedPeer, answer_fine
from tests.support.tls import careless_context, client_context, fingerprint, server_context

CERTIFICATE = endwell.ClientConnectorCertificateError
WRONG: dict[str, tuple[str, dict[str, Any], Any, str]] = {
    "a name that is not the peer's": (
        "wrong-name",
        {},
        CERTIFICATE,
        "certificate.*(hostname|ip address|not valid for|name)",
    ),
    "expired": ("expired", {}, CERTIFICATE, "certificate.*expired"),
    "signed by a stranger": ("untrusted", {}, CERTIFICATE, "certificate"),
    "another server_hostname": ("good", {"server_hostname": "other.example"}, CERTIFICATE, "other.example"),
    "no trust at all by default": ("good", {"ssl": True}, CERTIFICATE, "certificate"),
    "another fingerprint": (
        "good",
        {"ssl": endwell.Fingerprint(b"\x00" * 32)},
        endwell.ServerFingerprintMismatch,
        "fingerprint|expected",
    ),
    "no version in common": (
        "tls1.2",
        {"ssl": client_context(version=ssl.TLSVersion.TLSv1_3)},
        endwell.ClientConnectorSSLError,
        "version|protocol|ssl|tls",
    ),
}


@pytest.mark.parametrize(("kind", "options", "error", "pattern"), WRONG.values(), ids=WRONG)
async def test_a_peer_that_is_not_who_it_should_be_gets_no_byte(
    kind: str, options: dict[str, Any], error: Any, pattern: str
) -> None:
    context = server_context(version=ssl.TLSVersion.TLSv1_2) if kind == "tls1.2" else server_context(kind)
    async with ScriptedPeer(answer_fine, tls=context) as peer, endwell.ClientSession() as session:
        with pytest.raises(error) as caught:
            await session.get(peer.url(host="localhost"), **{"ssl": client_context(), **options})
        says(caught.value, pattern)
        says(caught.value, "localhost|127.0.0.1")
        await peer.finished()
        assert [bytes(conn.received) for conn in peer.connections] == [b""] * len(peer.connections)
        assert len(peer.connections) == 1, "a wrong certificate is not tried twice"


@pytest.mark.parametrize(
    "options",
    [
        {"ssl": False},
        {"ssl": careless_context()},
        {"ssl": endwell.Fingerprint(fingerprint("untrusted"))},
    ],
    ids=["False", "context", "fingerprint"],
)
async def test_a_stranger_is_talked_to_when_one_says_so(options: dict[str, Any]) -> None:
    async with ScriptedPeer(answer_fine, tls=server_context("untrusted")) as peer, endwell.ClientSession() as session:
        assert await fetch(session, peer.url(), **options) == (200, b"fine")


async def test_a_connection_made_without_checks_is_not_used_by_a_request_with_them() -> None:
    async with ScriptedPeer(answer_fine, tls=server_context("untrusted")) as peer, endwell.ClientSession() as session:
        assert await fetch(session, peer.url(), ssl=False) == (200, b"fine")
        with pytest.raises(CERTIFICATE):
            await fetch(session, peer.url())
        assert len(peer.requests) == 1


async def test_a_name_is_sent_and_checked_as_asked() -> None:
    async with ScriptedPeer(answer_fine, tls=server_context()) as peer, endwell.ClientSession() as session:
        options: dict[str, Any] = {"ssl": client_context(), "server_hostname": "localhost"}
        assert await fetch(session, peer.url(), **options) == (200, b"fine")


@pytest.mark.parametrize("size", [0, 16, 20, 31, 33])
def test_a_fingerprint_that_is_not_sha256_is_refused(size: int) -> None:
    with pytest.raises(ValueError, match=r"(?i)fingerprint|sha|md5|length"):
        endwell.Fingerprint(b"x" * size)
