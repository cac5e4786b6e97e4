"""The family of HTTPException: one table of statuses, and what each takes and gives."""

from __future__ import annotations

import copy
import http
import pickle
import re
from typing import Any

import pytest
from yarl import URL

from endwell.server import errors
from endwell.server.errors import (
    CleanupError,
    HTTPClientError,
    HTTPError,
    HTTPException,
    HTTPFound,
    HTTPMethodNotAllowed,
    HTTPMove,
    HTTPNoContent,
    HTTPNotFound,
    HTTPNotModified,
    HTTPOk,
    HTTPRedirection,
    HTTPRequestEntityTooLarge,
    HTTPResetContent,
    HTTPServerError,
    HTTPSuccessful,
    HTTPUnavailableForLegalReasons,
)
from endwell.server.whole import Response
from endwell.testing.mocked import make_mocked_request

FAMILY = sorted(
    (each for each in vars(errors).values() if isinstance(each, type) and issubclass(each, HTTPException)),
    key=lambda each: (each.status_code, each.__name__),
)
TABLE = [each for each in FAMILY if each.status_code > 0]
GROUPS = [each for each in FAMILY if each.status_code <= 0]
STATUSES = [
    *range(200, 207), *range(300, 306), 307, 308, *range(400, 418), 421, 422, 424, 426, 428, 429, 431, 451,
    *range(500, 508), 510, 511,
]  # fmt: skip


def make(cls: type[HTTPException], **kwargs: Any) -> HTTPException:
    """Make one of the family with the arguments that it needs."""
    needed: dict[type[HTTPException], tuple[Any, ...]] = {
        HTTPMethodNotAllowed: ("PUT", ["POST", "GET"]),
        HTTPRequestEntityTooLarge: (10, 20),
        HTTPUnavailableForLegalReasons: ("https://court.example/1",),
    }
    args = ("/there",) if issubclass(cls, HTTPMove) else needed.get(cls, ())
    return cls(*args, **kwargs)


def test_the_table_has_one_class_for_each_status() -> None:
    assert [each.status_code for each in TABLE] == STATUSES
    assert {each.__name__ for each in FAMILY} <= set(errors.__all__)
    assert (
        sorted(
            [HTTPException, HTTPError, HTTPSuccessful, HTTPRedirection, HTTPMove, HTTPClientError, HTTPServerError],
            key=lambda each: each.__name__,
        )
        == GROUPS
    )


@pytest.mark.parametrize("cls", TABLE)
def test_each_is_of_the_group_of_its_status(cls: type[HTTPException]) -> None:
    group = {2: HTTPSuccessful, 3: HTTPRedirection, 4: HTTPClientError, 5: HTTPServerError}[cls.status_code // 100]
    assert issubclass(cls, group)
    assert issubclass(cls, HTTPError) == (cls.status_code >= 400)
    assert issubclass(cls, HTTPMove) == (group is HTTPRedirection and cls is not HTTPNotModified)
    assert str(cls.status_code) in (cls.__doc__ or "")


@pytest.mark.parametrize("cls", TABLE)
def test_each_is_a_response_and_an_exception(cls: type[HTTPException]) -> None:
    with pytest.raises(cls) as caught:
        raise make(cls)
    error = caught.value
    assert isinstance(error, Response)
    assert (error.status, error.reason) == (cls.status_code, str(error))
    assert error.reason
    assert error.args == (error.reason,)
    if cls.status_code != 413:
        assert error.text == (None if cls.empty_body else f"{error.status}: {error.reason}")
    assert cls.empty_body == (cls in (HTTPNoContent, HTTPResetContent, HTTPNotModified))
    assert error.headers.get("Content-Type") == (None if cls.empty_body else "text/plain; charset=utf-8")
    assert bool(error)
    assert error == error
    assert error != make(cls)
    assert isinstance(hash(error), int)


@pytest.mark.parametrize("cls", TABLE)
def test_the_arguments_change_what_is_sent(cls: type[HTTPException]) -> None:
    error = make(cls, text="why", reason="Because", content_type="text/html", headers={"X-Y": "z"})
    assert (error.text, error.reason, str(error), error.content_type) == ("why", "Because", "Because", "text/html")
    assert error.headers["X-Y"] == "z"
    assert make(cls, text="").text == ""


def test_the_reason_is_in_the_default_text() -> None:
    assert HTTPNotFound().text == "404: Not Found"
    assert HTTPNotFound(reason="Gone Fishing").text == "404: Gone Fishing"


def test_the_type_of_the_default_text_can_be_given_as_a_field() -> None:
    assert HTTPNotFound(headers={"Content-Type": "text/html"}).content_type == "text/html"


def test_a_body_is_deprecated_and_works() -> None:
    for make_one in (HTTPNotFound, lambda **kwargs: HTTPFound("/", **kwargs)):
        with pytest.warns(DeprecationWarning, match="use text") as caught:
            error = make_one(body=b"\0")
        assert error.body == b"\0"
        assert caught[0].filename == __file__
    with pytest.warns(DeprecationWarning, match="use text"), pytest.raises(ValueError):
        HTTPNotFound(body=b"a", text="b")


@pytest.mark.parametrize("evil", ["a\r\nX: y", "a\rb", "a\nb", "a\0b"])
def test_no_argument_starts_a_line_of_its_own(evil: str) -> None:
    with pytest.raises(ValueError, match="reason") as caught:
        HTTPNotFound(reason=evil)
    assert evil not in str(caught.value)
    with pytest.raises(ValueError, match="location"):
        HTTPFound(evil)
    with pytest.raises(ValueError, match="link"):
        HTTPUnavailableForLegalReasons(evil)
    with pytest.raises(ValueError, match="allowed method"):
        HTTPMethodNotAllowed("GET", [evil])


@pytest.mark.parametrize(
    ("location", "sent"),
    [
        ("/x", "/x"),
        ("http://example.org", "http://example.org"),
        ("/x y?é=1", "/x%20y?%C3%A9=1"),
        (URL("/a?b=c"), "/a?b=c"),
        ("?page=2", "?page=2"),
    ],
)
def test_a_redirect_says_where_to_go(location: str | URL, sent: str) -> None:
    error = HTTPFound(location, headers={"Location": "/elsewhere"})
    assert error.headers.getall("Location") == [sent]
    assert error.location is location
    assert HTTPFound(location=location).headers["Location"] == sent


@pytest.mark.parametrize("location", ["", None, URL()])
def test_a_redirect_without_a_location_is_refused(location: Any) -> None:
    with pytest.raises(ValueError, match="HTTPFound needs a location"):
        HTTPFound(location)


def test_not_modified_needs_no_location() -> None:
    assert "Location" not in HTTPNotModified().headers


def test_method_not_allowed_lists_the_methods() -> None:
    error = HTTPMethodNotAllowed("PUT", iter(["POST", "GET", "POST"]), headers={"Allow": "x"})
    assert (error.method, error.allowed_methods) == ("PUT", {"GET", "POST"})
    assert error.headers.getall("Allow") == ["GET,POST"]
    assert HTTPMethodNotAllowed("PUT", []).headers["Allow"] == ""


def test_too_large_says_the_limit() -> None:
    error = HTTPRequestEntityTooLarge(max_size=10, actual_size=20)
    assert (error.max_size, error.actual_size) == (10, 20)
    assert "10 bytes" in str(error.text)
    assert HTTPRequestEntityTooLarge(10, text="too much").text == "too much"


def test_legal_reasons_link_to_who_demanded_it() -> None:
    error = HTTPUnavailableForLegalReasons("https://court.example/a b")
    assert error.headers["Link"] == '<https://court.example/a%20b>; rel="blocked-by"'
    assert error.link == URL("https://court.example/a%20b")
    assert "Link" not in HTTPUnavailableForLegalReasons(None).headers
    # What would end the link is quoted.
    assert HTTPUnavailableForLegalReasons("/a>; rel=x").headers["Link"].count(">") == 1


@pytest.mark.parametrize("cls", GROUPS)
def test_a_group_has_no_status_to_raise(cls: type[HTTPException]) -> None:
    args = ("/",) if cls is HTTPMove else ()
    with pytest.raises(ValueError, match=f"{cls.__name__} stands for many statuses"):
        cls(*args)


def test_users_make_statuses_of_their_own() -> None:
    class TeapotError(HTTPClientError, status=418): ...

    class CalmError(HTTPClientError):
        """As with aiohttp."""

        status_code = 420

    assert TeapotError().text == f"418: {http.HTTPStatus(418).phrase}"
    assert (CalmError().status, CalmError(reason="Calm").text) == (420, "420: Calm")


def test_cookies_are_kept() -> None:
    error = HTTPFound("/")
    error.set_cookie("a", "b")
    error.del_cookie("c")
    assert sorted(error.cookies) == ["a", "c"]


class Missing(HTTPNotFound):
    """An error of a user: made with an argument that is not in `args`."""

    def __init__(self, what: str) -> None:
        super().__init__(text=f"no {what}")
        self.what = what


@pytest.mark.parametrize("way", [copy.copy, copy.deepcopy, lambda each: pickle.loads(pickle.dumps(each))])
@pytest.mark.parametrize("cls", [*TABLE, Missing])
def test_copies_are_like_the_original(cls: type[HTTPException], way: Any) -> None:
    error = Missing("x") if cls is Missing else make(cls, headers={"X-Y": "z"}, text="why")
    error.set_cookie("a", "b")
    twin = way(error)
    assert type(twin) is cls
    assert (twin.status, twin.reason, twin.text, twin.args) == (error.status, error.reason, error.text, error.args)
    assert (twin.headers, twin.cookies) == (error.headers, error.cookies)
    for name in ("location", "method", "allowed_methods", "link", "max_size", "what"):
        assert getattr(twin, name, None) == getattr(error, name, None)


async def test_it_is_sent_like_any_response() -> None:
    request = make_mocked_request("GET", "/")
    error = HTTPNotFound(text="no such user", headers={"X-Y": "z"})
    await error.prepare(request)
    await error.write_eof()
    sent = bytes(request._exchange.sent)
    assert sent.startswith(b"HTTP/1.1 404 Not Found\r\n")
    assert b"\r\nX-Y: z\r\n" in sent
    assert sent.endswith(b"\r\n\r\nno such user")


async def test_no_content_is_sent_without_a_body() -> None:
    request = make_mocked_request("GET", "/")
    error = HTTPNoContent(text="unheard")
    await error.prepare(request)
    await error.write_eof()
    sent = bytes(request._exchange.sent)
    assert sent.startswith(b"HTTP/1.1 204 No Content\r\n")
    assert sent.endswith(b"\r\n\r\n")
    assert re.search(rb"(?i)content-length|transfer-encoding", sent) is None


def test_a_cleanup_error_shows_what_it_holds() -> None:
    first, second = ValueError("a"), KeyError("b")
    error = CleanupError("2 things failed", [first, second])
    assert isinstance(error, RuntimeError)
    assert error.exceptions == [first, second]
    assert error.args == ("2 things failed", [first, second])
    assert str(error) == "2 things failed; ValueError: a; KeyError: 'b'"
    assert CleanupError("alone").exceptions == []
    assert str(pickle.loads(pickle.dumps(error))) == str(error)


def test_the_drawing_in_the_docstring_is_the_tree() -> None:
    drawn: dict[str, str] = {}
    above: list[str] = []
    for indent, name in re.findall(r"^    ( *)(\w+)", errors.__doc__ or "", re.MULTILINE):
        depth = len(indent) // 2
        del above[depth:]
        drawn[name] = above[-1] if above else ""
        above.append(name)
    assert {each.__name__ for each in GROUPS} <= set(drawn)
    for name, parent in drawn.items():
        if parent:
            assert getattr(errors, name).__bases__ == (getattr(errors, parent),)


def test_ok_can_be_raised() -> None:
    assert HTTPOk().text == "200: OK"
