"""Names are safe, readable, and different for different URLs."""

import string
from pathlib import PurePosixPath

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from yarl import URL

from endwell.cli.names import PART_SUFFIX, names_of, url_key

SEGMENTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(
        ["..", ".", "%2e%2e", "%2F", "%00", "a%2F..%2Fb", "index.html", "a~0123456789abcdef", "~me", "CON", "x" * 400]
    ),
    st.text(alphabet=string.printable, max_size=300),
)
URLS = st.builds(
    lambda scheme, host, port, path, query: URL.build(
        scheme=scheme, host=host, port=port, path="/" + "/".join(path), query_string=query
    ),
    st.sampled_from(["http", "https"]),
    st.sampled_from(["example.org", "EXAMPLE.org", "127.0.0.1", "::1", "bücher.de"]),
    st.sampled_from([80, 443, 8443]),
    st.lists(SEGMENTS, max_size=5),
    st.one_of(st.just(""), st.text(max_size=200)),
)


def plain(text: str) -> str:
    return str(names_of(URL(text)).plain)


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("https://example.org/a/b.html", "example.org/a/b.html"),
        ("https://example.org", "example.org/index.html"),
        ("https://example.org/a/", "example.org/a/index.html"),
        ("http://example.org/a", "example.org+80/a"),
        ("http://127.0.0.1:8000/a", "127.0.0.1+8000/a"),
        ("https://example.org:8443/a", "example.org+8443+tls/a"),
        ("https://[::1]/a", "%3A%3A1/a"),
        ("https://example.org/~me/caf%C3%A9 menu.txt", "example.org/~me/café menu.txt"),
        ("https://example.org/a%2Fb", "example.org/a%2Fb"),
        ("https://example.org/.git/config", "example.org/%2Egit/config"),
        ("https://example.org/a//b", "example.org/a/%/b"),
        ("https://me:secret@example.org/a#part", "example.org/a"),
    ],
)
def test_the_readable_name(url: str, name: str) -> None:
    assert plain(url) == name


def test_a_query_is_readable_and_hashed() -> None:
    name = plain("https://example.org/find.php?q=two words&p=1")
    assert name.startswith("example.org/find@q=two words&p=1~")
    assert name.endswith(".php")
    assert plain("https://example.org/find.php?q=two words&p=2") != name


def test_credentials_have_no_influence() -> None:
    assert names_of(URL("https://me:secret@h/a?b")) == names_of(URL("https://h/a?b"))


def test_case_of_host_and_scheme_has_no_influence() -> None:
    assert plain("HTTPS://Example.ORG/a") == plain("https://example.org/a")


def test_siblings_below_a_long_folder_stay_together() -> None:
    one = names_of(URL("https://h/" + "x" * 300 + "/a")).plain
    other = names_of(URL("https://h/" + "x" * 300 + "/b")).plain
    assert one.parent == other.parent


@given(URLS)
@example(URL("https://h/" + "a/" * 500 + "x"))
@example(URL("https://h/" + "%F0%9F%98%80" * 200))
@example(URL("https://h/%FF%FE?%FF"))
def test_every_name_is_safe(url: URL) -> None:
    for name in names_of(url):
        assert isinstance(name, PurePosixPath)
        assert not name.is_absolute()
        assert len(str(name).encode()) <= 1100
        assert len(name.parts) >= 2
        for part in name.parts:
            assert part not in {"", ".", ".."}
            assert not part.startswith(".")
            assert part.isprintable()
            assert not set(part) & set('<>:"/\\|?*')
            assert len(f".{part}{PART_SUFFIX}".encode()) <= 255


@given(URLS, URLS)
@example(URL("https://h/"), URL("https://h/index.html"))
@example(URL("https://h/a/"), URL("https://h/a"))
@example(URL("https://h/a%2525"), URL("https://h/a%25"))
@example(URL("https://h/a%7E0123456789abcdef"), URL("https://h/a%257E0123456789abcdef"))
@example(URL("https://h/a//b"), URL("https://h/a/%25/b"))
@example(URL("http://h:443/a"), URL("https://h/a"))
@example(URL("https://h/a?"), URL("https://h/a%3F"))
def test_different_urls_have_different_names(one: URL, other: URL) -> None:
    if url_key(one) != url_key(other):
        assert not set(names_of(one)) & set(names_of(other))


@given(st.text(max_size=20))
def test_a_hashed_name_can_not_be_asked_for(query: str) -> None:
    hashed = names_of(URL.build(scheme="https", host="h", path="/a", query_string="q" + query)).plain
    asked = URL.build(scheme="https", host="h", path=f"/{hashed.name}")
    assert names_of(asked).plain != hashed
