"""The choice of a content coding."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.http.codings import available_codings
from endwell.server.negotiation import ContentCoding, choose_coding

HERE = available_codings().split(", ")


def first_of(*codings: str) -> str:
    return next(coding for coding in codings if coding in HERE)


@pytest.mark.parametrize(
    ("fields", "coding"),
    [
        ([], None),
        ([""], None),
        ([" , ,"], None),
        (["gzip"], "gzip"),
        (["GZip"], "gzip"),
        (["x-gzip"], "gzip"),
        (["gzipped"], None),
        (["deflate"], "deflate"),
        (["gzip, deflate"], "gzip"),
        (["deflate", "gzip"], "gzip"),
        (["gzip;q=0.1, deflate;q=0.9"], "deflate"),
        (["gzip;q=0"], None),
        (["gzip;q=0.000, deflate;q=0"], None),
        (["gzip;q=0, deflate"], "deflate"),
        (["gzip ; Q = 0.5"], "gzip"),
        (["gzip;q=abc"], None),
        (["gzip;q=1.5"], None),
        (["gzip;q=-1"], None),
        (["gzip;q=nan"], None),
        (["gzip;q=\u0660"], None),
        (["gzip;level=9"], None),
        (["identity"], None),
        (["identity, gzip;q=0.5"], None),
        (["identity;q=0.5, gzip;q=0.5"], "gzip"),
        (["identity;q=0"], None),
        (["identity;q=0, gzip;q=0.001"], "gzip"),
        (["*;q=0"], None),
        (["gzip;q=0.3, *;q=0"], "gzip"),
        (["compress"], None),
        (["gzip, gzip;q=0"], "gzip"),
        (["," * 60 + "gzip"], "gzip"),
    ],
)
def test_table(fields: list[str], coding: str | None) -> None:
    assert choose_coding(fields) == coding


def test_star_stands_for_what_every_client_knows() -> None:
    assert choose_coding(["*"]) == "gzip"
    assert choose_coding(["br;q=0.5, *;q=0.4"]) == first_of("br", "gzip")
    assert choose_coding(["zstd;q=0, br;q=0, *"]) == "gzip"
    assert choose_coding(["gzip;q=0, zstd;q=0, br;q=0, *;q=0.5"]) == "deflate"
    assert choose_coding(["gzip;q=0, zstd;q=0, br;q=0, deflate;q=0, *;q=0.5"]) is None


def test_codings_of_optional_packages() -> None:
    for coding in ("br", "zstd"):
        assert choose_coding([coding]) == (coding if coding in HERE else None)
    assert choose_coding(["gzip, deflate, br, zstd"]) == first_of("zstd", "br", "gzip")


def test_a_flood_of_names_is_cut() -> None:
    assert choose_coding(["a," * 10_000 + "gzip"]) is None


def test_names_of_the_enum() -> None:
    assert [coding.name for coding in ContentCoding] == [coding.value for coding in ContentCoding]
    assert {coding.value for coding in ContentCoding} >= {"deflate", "gzip", "identity"}


_WEIGHTS = st.integers(0, 1000).map(lambda thousandths: f"{thousandths / 1000:.3f}")


@given(st.dictionaries(st.sampled_from([*HERE, "identity", "*"]), _WEIGHTS, max_size=6))
def test_the_best_that_is_acceptable(weights: dict[str, str]) -> None:
    chosen = choose_coding([", ".join(f"{coding};q={weight}" for coding, weight in weights.items())])
    other = {coding: weights.get("*", "0") if coding in ("gzip", "deflate") else "0" for coding in HERE}
    value = {coding: float(weights.get(coding, other[coding])) for coding in HERE}
    identity = float(weights.get("identity", weights.get("*", "0")))
    if chosen is None:
        best = max(value.values())
        assert best == 0 or best < identity
    else:
        assert value[chosen] == max(value.values()) > 0
        assert value[chosen] >= identity


@given(st.lists(st.text(max_size=40), max_size=5))
def test_no_field_breaks_it(fields: list[str]) -> None:
    assert choose_coding(fields) in (None, *HERE)
