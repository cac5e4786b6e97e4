import warnings

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.http.disposition import (
    BadContentDispositionHeader,
    BadContentDispositionParam,
    content_disposition_filename,
    content_disposition_header,
    parse_content_disposition,
)


@pytest.mark.parametrize(
    ("field", "kind", "params", "filename"),
    [
        (None, None, {}, None),
        ("", None, {}, None),
        ("INLINE", "inline", {}, None),
        (' inline ; filename = "a"', "inline", {"filename": "a"}, "a"),
        ("attachment; FILENAME=foo.html", "attachment", {"filename": "foo.html"}, "foo.html"),
        (r'attachment; filename="f\"oo\\.html"', "attachment", {"filename": 'f"oo\\.html'}, 'f"oo\\.html'),
        ('attachment; filename="a;b=c"; x=y', "attachment", {"filename": "a;b=c", "x": "y"}, "a;b=c"),
        ('attachment; filename=""', "attachment", {"filename": ""}, ""),
        ('form-data; name="a"; filename="/etc/x"', "form-data", {"name": "a", "filename": "etc/x"}, "etc/x"),
        ("attachment; filename*=UTF-8''f-%c3%a4", "attachment", {"filename*": "f-ä"}, "f-ä"),
        ("attachment; filename*=utf-8'en'f%20b", "attachment", {"filename*": "f b"}, "f b"),
        ("attachment; filename*=iso-8859-1''%e4", "attachment", {"filename*": "ä"}, "ä"),
        ("attachment; filename=a; filename*=utf-8''b", "attachment", {"filename": "a", "filename*": "b"}, "b"),
        ('attachment; filename*0="a."; filename*1=b', "attachment", {"filename*0": "a.", "filename*1": "b"}, "a.b"),
        ("attachment; filename*1=b; filename*0=a", "attachment", {"filename*1": "b", "filename*0": "a"}, "ab"),
        ("attachment; filename*0=a; filename*2=b", "attachment", {"filename*0": "a", "filename*2": "b"}, "a"),
        ("attachment; filename*1=a", "attachment", {"filename*1": "a"}, None),
        (
            "attachment; filename*0*=UTF-8''%c3; filename*1*=%a4; filename*2=\".x\"",
            "attachment",
            {"filename*0*": "UTF-8''%c3", "filename*1*": "%a4", "filename*2": ".x"},
            "ä.x",
        ),
    ],
)
def test_parse(field, kind, params, filename):
    parsed = parse_content_disposition(field)
    assert parsed == (kind, params)
    assert content_disposition_filename(parsed[1]) == filename


@pytest.mark.parametrize(
    "field",
    [
        "attachment; filename=foo bar",
        'attachment; filename="a"; filename="b"',
        '"inline"',
        "attachment; filename",
        "attachment; filename=",
        "attachment; filename==a",
        "; filename=a",
        "filename=a",
        'attachment; filename="open',
        'attachment; filename="a"b',
        "attachment; filename=ä",
        "attachment; filename=a\0",
    ],
)
def test_unreadable_field(field):
    with pytest.warns(BadContentDispositionHeader):
        assert parse_content_disposition(field) == (None, {})


@pytest.mark.parametrize(
    "parameter",
    [
        "=a",
        "filename*=no-quotes",
        "filename*=UTF-8''%e4",
        "filename*=bogus''a",
        "filename*=punycode''a",
        "filename*=\"UTF-8''a\"",
        "filename*=utf-8''a'b",
        "filename*=utf-8''a/b",
    ],
)
def test_unreadable_parameter_is_left_out(parameter):
    with pytest.warns(BadContentDispositionParam):
        assert parse_content_disposition(f"attachment; {parameter}; x=y") == ("attachment", {"x": "y"})


def test_empty_parameters_warn_only():
    with pytest.warns(BadContentDispositionHeader):
        assert parse_content_disposition("attachment;; filename=a;") == ("attachment", {"filename": "a"})


def test_warnings_do_not_pile_up():
    from endwell.http import disposition

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        warnings.showwarning = lambda *_args, **_kwargs: None
        for number in range(1000):
            parse_content_disposition(f"a b{number}")
    assert len(disposition._warned) < 300


def test_other_parameters_come_in_pieces_too():
    assert content_disposition_filename({"name*0": "a", "name*1": "b"}, "name") == "ab"


@pytest.mark.parametrize(
    ("arguments", "params", "expected"),
    [
        ({}, {}, "attachment"),
        ({}, {"filename": "a b.txt"}, 'attachment; filename="a%20b.txt"'),
        ({}, {"filename": "é.txt"}, 'attachment; filename="%C3%A9.txt"'),
        ({"_charset": "latin1"}, {"filename": "é"}, 'attachment; filename="%E9"'),
        ({}, {"filename": 'a"\\/'}, 'attachment; filename="a%22%5C%2F"'),
        ({"quote_fields": False}, {"filename": 'é"\\'}, r'attachment; filename="é\"\\"'),
        ({}, {"name": "é", "filename": "y"}, "attachment; name*=utf-8''%C3%A9; filename=\"y\""),
        ({}, {"name": 'a"b'}, r'attachment; name="a\"b"'),
        ({}, {"filename": "a\r\nb"}, 'attachment; filename="a%0D%0Ab"'),
    ],
)
def test_render(arguments, params, expected):
    assert content_disposition_header("attachment", **arguments, **params) == expected


def test_names_in_forms_are_sent_as_browsers_do():
    assert content_disposition_header("form-data", name="é b") == 'form-data; name="é b"'


@pytest.mark.parametrize(
    ("kind", "quote", "params"),
    [
        ("at tachment", True, {}),
        ("", True, {}),
        ("attachment", True, {"file name": "a"}),
        ("attachment", False, {"filename": "a\r\nX: y"}),
        ("form-data", True, {"name": "a\nb"}),
        ("form-data", True, {"name": "a\0b"}),
    ],
)
def test_what_would_forge_a_field_is_refused(kind, quote, params):
    with pytest.raises(ValueError):
        content_disposition_header(kind, quote, **params)


def test_values_must_be_text():
    with pytest.raises(TypeError):
        content_disposition_header("attachment", filename=None)


@given(st.text(max_size=30), st.booleans())
def test_what_is_written_is_read(name, quote):
    try:
        field = content_disposition_header("attachment", quote, name=name)
    except ValueError:
        assert set("\r\n\0") & set(name)
        return
    except UnicodeEncodeError:  # lone surrogates
        return
    _, params = parse_content_disposition(field)
    assert content_disposition_filename(params, "name") == name


@given(st.text(alphabet="attachment;= \"\\*01filename%é'\t", max_size=60))
def test_anything_is_read_or_warned_of(field):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        kind, params = parse_content_disposition(field)
    assert kind is not None or params == {}
    content_disposition_filename(params)


@pytest.mark.parametrize("piece", ['; a="', '\\"', ";", "; filename*0*=%", '; x="\\', " \t"])
def test_hostile_fields_take_linear_time(piece):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        parse_content_disposition("attachment" + piece * 100_000)


def test_many_pieces_take_linear_time():
    params = {f"filename*{number}": "ab" for number in range(50_000)}
    assert content_disposition_filename(params) == "ab" * 50_000
