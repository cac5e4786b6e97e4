"""Rules by host."""

from __future__ import annotations

from typing import Any

import pytest

from endwell.server.router import Domain, MaskDomain
from endwell.testing.mocked import make_mocked_request


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.com.", "example.com"),
        ("example.com:80", "example.com"),
        ("example.com:8080", "example.com:8080"),
        ("ä.com", "xn--4ca.com"),
        ("localhost", "localhost"),
        ("127.0.0.1", "127.0.0.1"),
        ("x" * 63 + ".com", "x" * 63 + ".com"),
    ],
)
def test_a_domain(given: str, canonical: str) -> None:
    domain = Domain(given)
    assert domain.canonical == canonical
    assert domain.get_info() == {"domain": canonical}


@pytest.mark.parametrize(
    "bad",
    [
        "",
        ".",
        "http://example.com",
        "-a.com",
        "a-.com",
        "a..com",
        "a_b.com",
        "[::1]",
        "x" * 64 + ".com",
        "a b",
        "u@a.b",
        "*.a",
    ],
)
def test_what_is_no_domain_is_refused(bad: str) -> None:
    with pytest.raises(ValueError):
        Domain(bad)


@pytest.mark.parametrize("bad", [None, 3, b"a.com"])
def test_a_domain_is_a_string(bad: Any) -> None:
    with pytest.raises(TypeError, match="a domain is a string"):
        Domain(bad)


@pytest.mark.parametrize(
    ("rule", "host", "fits"),
    [
        ("example.com", "example.com", True),
        ("example.com", "EXAMPLE.com", True),
        ("example.com", "example.com:8080", True),
        ("example.com", "a.example.com", False),
        ("example.com", "xexample.com", False),
        ("example.com", "", False),
        ("example.com:8080", "example.com:8080", True),
        ("example.com:8080", "example.com", False),
        ("*.example.com", "a.example.com", True),
        ("*.example.com", "a.b.example.com:1", True),
        ("*.example.com", ".example.com", True),
        ("*.example.com", "example.com", False),
        ("*.example.com", "a.example.com.evil", False),
        ("*", "anything:1", True),
        ("a*b.com", "ab.com", True),
        ("a*b.com", "a.x.b.com", True),
        ("a*b.com", "a:b.com", False),
        ("a.*.c", "a.b.c", True),
        ("a.*.c", "a.c", False),
        ("a*a.com", "a.com", False),
        ("*b*c*.d", "abbcc.d", True),
        ("*b*c*.d", "acb.d", False),
        ("*:8080", "x:8080", True),
        ("*:8080", "x", False),
        ("*.com:80", "a.com:81", True),
    ],
)
async def test_a_rule_fits_hosts(rule: str, host: str, fits: bool) -> None:
    made = MaskDomain(rule) if "*" in rule else Domain(rule)
    assert made.match_domain(host) is fits
    if host:
        assert await made.match(make_mocked_request("GET", "/", headers={"Host": host})) is fits


def test_a_mask_is_told_as_a_regular_expression() -> None:
    assert MaskDomain("*.example.com").canonical == r"[^:]*\.example\.com(:.*)?"
    assert MaskDomain("*.example.com").get_info() == {"domain": "*.example.com"}


def test_a_hostile_host_does_not_make_a_mask_try_every_combination() -> None:
    assert not MaskDomain("*a*a*a*a*a*a*b.com").match_domain("a" * 8000 + ".com")
