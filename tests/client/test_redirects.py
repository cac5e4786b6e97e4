from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from endwell.client.errors import (
    ClientError,
    InvalidUrlRedirectClientError,
    NonHttpUrlRedirectClientError,
)
from endwell.client.redirects import REDIRECTS, Redirect, decide, strip_fields

BASE = URL("http://a.example:8080/x/y?q#part")


def follow(location: str, *, status: int = 302, method: str = "GET", url: URL = BASE, requote: bool = True) -> Redirect:
    return decide(status, method, url, location, requote=requote, max_size=8190)


# RFC 9110 section 15.4
METHODS = [
    (status, method, after, keeps)
    for status in sorted(REDIRECTS)
    for method, after, keeps in (
        ("GET", "GET", None),
        ("HEAD", "HEAD", None),
        ("POST", "POST" if status in (307, 308) else "GET", status in (307, 308)),
        ("PUT", "GET" if status == 303 else "PUT", status != 303),
        ("DELETE", "GET" if status == 303 else "DELETE", status != 303),
    )
]


@pytest.mark.parametrize(("status", "method", "after", "keeps"), METHODS)
def test_method_and_body(status, method, after, keeps):
    redirect = follow("/", status=status, method=method)
    assert redirect.method == after
    if keeps is not None:
        assert redirect.keep_body is keeps


@pytest.mark.parametrize(
    ("location", "target"),
    [
        ("/z", "http://a.example:8080/z#part"),
        ("z", "http://a.example:8080/x/z#part"),
        ("../z", "http://a.example:8080/z#part"),
        ("?r", "http://a.example:8080/x/y?r#part"),
        ("#other", "http://a.example:8080/x/y?q#other"),
        ("", "http://a.example:8080/x/y?q#part"),
        ("//b.example/z", "http://b.example/z#part"),
        ("https://b.example", "https://b.example#part"),
        ("http://b.example/z#own", "http://b.example/z#own"),
        ("HTTP://B.Example/z", "http://b.example/z#part"),
        ("/a b", "http://a.example:8080/a%20b#part"),
        ("/\u00e9", "http://a.example:8080/%C3%A9#part"),
        ("/%7e%2F", "http://a.example:8080/~%2F#part"),
    ],
)
def test_where_a_location_leads(location, target):
    assert str(follow(location).url) == str(URL(target))


def test_a_location_is_taken_as_it_is_without_requote():
    assert follow("/%7e%2f", requote=False).url.raw_path == "/%7e%2f"


@pytest.mark.parametrize(
    "location",
    ["ftp://b.example/", "file:///etc/passwd", "javascript:alert(1)", "data:,x", "mailto:a@b", "ws://b/", "unix://b/"],
)
def test_only_http_is_followed(location):
    with pytest.raises(NonHttpUrlRedirectClientError):
        follow(location)


@pytest.mark.parametrize(
    "location", ["http://", "http:///x", "http://[::1", "http://a:99999/", "http://a:x/", "http:x"]
)
def test_a_location_that_is_no_url(location):
    with pytest.raises(InvalidUrlRedirectClientError):
        follow(location)


def test_a_location_that_is_too_long():
    with pytest.raises(InvalidUrlRedirectClientError, match="too long") as caught:
        follow("/" + "x" * 10_000)
    assert len(str(caught.value)) < 300


@pytest.mark.parametrize(
    ("location", "same"),
    [
        ("/z", True),
        ("http://a.example:8080/", True),
        ("http://A.EXAMPLE:8080/", True),
        ("http://a.example/", False),
        ("https://a.example:8080/", False),
        ("http://b.example:8080/", False),
        ("http://a.example.:8080/", False),
        ("http://user@a.example:8080/", True),
        ("//a.example:8081/", False),
    ],
)
def test_what_is_another_origin(location, same):
    assert follow(location).same_origin is same


def test_the_default_port_is_no_difference():
    assert follow("http://a.example:80/", url=URL("http://a.example/")).same_origin
    assert follow("https://a.example/", url=URL("https://a.example:443/")).same_origin


SECRETS = ("Authorization", "Cookie", "Proxy-Authorization", "Host")
OF_THE_BODY = ("Content-Length", "Content-Type", "Content-Encoding", "Transfer-Encoding", "Expect")


@pytest.mark.parametrize("same", [True, False])
@pytest.mark.parametrize("keep", [True, False])
def test_what_does_not_go_along(same, keep):
    fields: CIMultiDict[str] = CIMultiDict([(name.upper(), "x") for name in (*SECRETS, *OF_THE_BODY, "X-Own")] * 2)
    strip_fields(fields, Redirect(BASE, "GET", keep, same))
    left = {name.title() for name in fields}
    assert left == {"X-Own", *(SECRETS if same else ()), *(OF_THE_BODY if keep else ())}
    assert len(fields) == 2 * len(left)


@given(st.text(max_size=30), st.sampled_from(sorted(REDIRECTS)), st.booleans())
def test_any_location_leads_to_http_or_is_refused(location, status, requote):
    try:
        redirect = follow(location, status=status, requote=requote)
    except ClientError:
        return
    assert redirect.url.scheme in ("http", "https")
    assert redirect.url.raw_host
    assert redirect.url.absolute


def test_an_error_tells_no_credentials():
    for location in ("ftp://user:hunter2@b.example/", "http://user:hunter2@a:99999/"):
        with pytest.raises(ClientError) as caught:
            follow(location)
        assert "hunter2" not in str(caught.value)
        assert "hunter2" not in repr(caught.value)
