"""Templates: how they are read, what they match, the URLs they make."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from endwell.server.router.patterns import Template, decode_value, quote_static, quote_value, safe_path


@pytest.mark.parametrize(
    ("raw", "path"),
    [
        ("/a/b", "/a/b"),
        ("/a%20b+c", "/a b+c"),
        ("/%C3%A4", "/ä"),
        ("/%c3%a4", "/ä"),
        ("/a%2Fb", "/a%2Fb"),
        ("/a%2fb", "/a%2Fb"),
        ("/a%25b", "/a%25b"),
        ("/a%252Fb", "/a%252Fb"),
        ("/%41%zz%", "/A%zz%"),
        ("/%FF", "/%FF"),
        ("//h/p%41", "//h/pA"),
    ],
)
def test_the_path_is_decoded_except_slashes_and_percent_signs(raw: str, path: str) -> None:
    assert safe_path(raw) == path


@pytest.mark.parametrize(
    ("left", "value"), [("a", "a"), ("a%2Fb", "a/b"), ("a%25b", "a%b"), ("a%252Fb", "a%2Fb"), ("%zz", "%zz")]
)
def test_values_are_decoded_completely(left: str, value: str) -> None:
    assert decode_value(left) == value


@given(st.text())
def test_a_value_comes_back_from_its_quoted_form(text: str) -> None:
    text = text.encode("utf-8", "ignore").decode()
    raw = quote_value(text)
    assert raw.isascii()
    assert decode_value(safe_path(raw)) == text


def test_static_text_that_is_encoded_already_stays() -> None:
    assert quote_static("/a b/%2F/ä/%41") == "/a%20b/%2F/%C3%A4/%41"


@pytest.mark.parametrize(
    ("template", "formatter", "pattern"),
    [
        ("/{a}", "/{a}", "/(?P<a>[^{}/]+)"),
        (r"/{a:\d+}", "/{a}", r"/(?P<a>\d+)"),
        (r"/{a:\d{2}}/b", "/{a}/b", r"/(?P<a>\d{2})/b"),
        ("/{a}-{b}.{c}", "/{a}-{b}.{c}", r"/(?P<a>[^{}/]+)\-(?P<b>[^{}/]+)\.(?P<c>[^{}/]+)"),
        ("/x{_a1}y", "/x{_a1}y", "/x(?P<_a1>[^{}/]+)y"),
        ("/x y/ä/{a}", "/x%20y/%C3%A4/{a}", r"/x\ y/ä/(?P<a>[^{}/]+)"),
        ("/{a:x|y}/z", "/{a}/z", "/(?P<a>x|y)/z"),
        ("/a%2Fb/{a}?", "/a%2Fb/{a}%3F", r"/a%2Fb/(?P<a>[^{}/]+)\?"),
    ],
)
def test_a_template_is_read(template: str, formatter: str, pattern: str) -> None:
    read = Template(template)
    assert read.formatter == formatter
    assert read.pattern == re.compile(pattern)


@pytest.mark.parametrize(
    "template",
    ["/{", "/}", "/{a", "/a}", "/{}", "/{a}}", "/{{a}}", "/{1a}", "/{a b}", "/{a:}", "/{ä}", "/{a-b}", "/{a:b}c}"],
)
def test_braces_that_are_no_variables_are_refused(template: str) -> None:
    with pytest.raises(ValueError, match="invalid path"):
        Template(template)


@pytest.mark.parametrize("template", ["/{a:[}", "/{a}/{a}", "/{a:(?i)x}", "/{a:(}"])
def test_what_is_no_regular_expression_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match=r"the pattern .* is none"):
        Template(template)


@pytest.mark.parametrize(
    ("template", "raw", "values"),
    [
        ("/{a}", "/x", {"a": "x"}),
        ("/{a}", "/", None),
        ("/{a}", "/x/", None),
        ("/{a}", "/x/y", None),
        ("/{a}", "/x%2Fy", {"a": "x/y"}),
        ("/{a}", "/x%252Fy", {"a": "x%2Fy"}),
        ("/{a}", "/x+y%20z%25", {"a": "x+y z%"}),
        ("/{a}", "/%7B", None),
        ("/{a}", "/x%0A", {"a": "x\n"}),
        ("/{a:.*}", "/", {"a": ""}),
        ("/{a:.*}", "/x/y/", {"a": "x/y/"}),
        ("/{a:ä+}", "/%C3%A4", {"a": "ä"}),
        ("/ä b/{a}", "/%C3%A4%20b/x", {"a": "x"}),
        ("/%C3%A4/{a}", "/%c3%a4/x", {"a": "x"}),
        ("/a%2fb/{a}", "/a%2Fb/x", {"a": "x"}),
        ("/a%2Fb/{a}", "/a/b/x", None),
        ("/a+b/{a}", "/a%2Bb/x", {"a": "x"}),
        ("/{a}-{b}", "/x-y-z", {"a": "x-y", "b": "z"}),
        ("/{a}-{b}", "/-x", None),
        ("/{a}-{b}", "/x-", None),
        ("/{a}-{b}", "/--x", {"a": "-", "b": "x"}),
        ("/{a}-{b}", "/x/-y", None),
        ("/{a}-{b}", "/x-%7By", None),
        ("/{a}-{b}", "/x-y/z", None),
        ("/{a}-{b}/{c:[0-9]+}", "/x-y/1", {"a": "x", "b": "y", "c": "1"}),
        ("/{a}-{b}/{c:[0-9]+}", "/x-y/z", None),
        ("/{a}-{b}/z", "/x-y/z", {"a": "x", "b": "y"}),
        ("/{a}-{b}/z", "/x-y/y", None),
        ("/{a}{b}{c}", "/wxyz", {"a": "wx", "b": "y", "c": "z"}),
        ("/{a}{b}{c}", "/xy", None),
        ("/p{a}.{b}s", "/pa.b.cs", {"a": "a.b", "b": "c"}),
        ("/p{a}.{b}s", "/pa.b.c", None),
        ("/p{a}.{b}s", "/ps", None),
        ("/{a}-{b}", "/x%2Fy-z", {"a": "x/y", "b": "z"}),
        ("/{a:(?P<b>x)?y}", "/xy", {"a": "xy", "b": "x"}),
        ("/{a:(?P<b>x)?y}", "/y", {"a": "y"}),
        ("/%7B/{a}-{b}", "/%7B/x-y", {"a": "x", "b": "y"}),
        (r"/{a:(x|y)\2}", "/yy", {"a": "yy"}),
        ("/p/{a:x)|(y}/c", "/p/x", {"a": "x"}),
    ],
)
def test_a_template_matches(template: str, raw: str, values: dict[str, str] | None) -> None:
    assert Template(template).match(safe_path(raw)) == values


_literals = st.sampled_from(["", "-", ".", "--", "-.", "x"])


@given(
    st.lists(_literals, min_size=3, max_size=5),
    st.text(alphabet="-.xy{/", max_size=12),
)
def test_several_variables_in_a_segment_match_as_the_regular_expression_does(literals: list[str], text: str) -> None:
    names = iter("abcdefg")
    template = Template("/" + "".join(literal + "{" + next(names) + "}" for literal in literals[:-1]) + literals[-1])
    found = template.pattern.fullmatch("/" + text)
    assert template.match("/" + text) == (found and found.groupdict())


def test_a_hostile_path_does_not_make_a_template_try_every_combination() -> None:
    template = Template("/{a}-{b}-{c}-{d}-{e}.{f}")
    assert template.match("/" + "-" * 8000) is None
    assert template.match("/" + "-" * 8000 + ".") is None
    assert template.match("/" + "." * 4000 + "-" * 4000) is None


@pytest.mark.parametrize(
    ("template", "literals"),
    [
        ("/a/{b}/c", ("", "a", None, "c")),
        ("/a{b}/c", ("", None, "c")),
        (r"/{b:\d+}/c", ("", None, "c")),
        (r"/{b:[a-z]{2}(?:-[A-Z]+)?|\w\.x}/c", ("", None, "c")),
        ("/{b:[^/]+}/c", ("", None, "c")),
        ("/{b:[^a]+}/c", ()),
        ("/{b:[!-~]+}/c", ()),
        ("/{b:.+}/c", ()),
        ("/{b:x/y}/c", ()),
        (r"/{b:\D}/c", ()),
        (r"/{b:(?=x)x}/c", ()),
        (r"/{b:x\b}/c", ()),
        (r"/{b:(x)\2}/c", ()),
        ("/p/{b:x)|(y}/c", ()),
        ("/a%2Fb/{c}", ("", "a%2Fb", None)),
        ("/{a}/", ("", None, "")),
    ],
)
def test_the_segments_are_known_unless_a_variable_may_match_a_slash(
    template: str, literals: tuple[str | None, ...]
) -> None:
    assert Template(template).literals == literals


@pytest.mark.parametrize(
    ("value", "path"),
    [
        ("1", "/x/1"),
        ("a b", "/x/a%20b"),
        ("ä", "/x/%C3%A4"),
        ("a/b", "/x/a/b"),
        ("a%2Fb", "/x/a%252Fb"),
        ("a+b", "/x/a+b"),
        ("a?b#c", "/x/a%3Fb%23c"),
        ("a&=b;c:d@e!$'()*,~", "/x/a&=b;c:d@e!$'()*,~"),
        ('"<>{}|^`\\[]\r\n', "/x/%22%3C%3E%7B%7D%7C%5E%60%5C%5B%5D%0D%0A"),
        ("..", "/x/.."),
        ("", "/x/"),
    ],
)
def test_a_url_is_made(value: str, path: str) -> None:
    url = Template("/x/{a}").fill({"a": value, "unknown": "y"})
    assert isinstance(url, URL)
    assert url.raw_path == path


def test_a_url_needs_all_variables_and_strings() -> None:
    template = Template("/{a}/{b}")
    with pytest.raises(KeyError, match=r"url_for\(b=\.\.\.\)"):
        template.fill({"a": "x"})
    with pytest.raises(TypeError, match="a string, not int"):
        template.fill({"a": "x", "b": 1})  # type: ignore[dict-item] # what is tested


def test_a_prefix_is_put_before() -> None:
    template = Template("/{a}-{b}/c")
    template.add_prefix("/p q")
    assert template.formatter == "/p%20q/{a}-{b}/c"
    assert template.match("/p q/x-y/c") == {"a": "x", "b": "y"}
    assert template.match("/x-y/c") is None
    template.add_prefix("/{}")
    assert template.fill({"a": "x", "b": "y"}).raw_path == "/%7B%7D/p%20q/x-y/c"
