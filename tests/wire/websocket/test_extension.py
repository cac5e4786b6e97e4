from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.wire.websocket.deflate import Deflate
from endwell.wire.websocket.extension import accept_offer, accept_response, check_offer, make_offer, parse_extensions

NAME = "permessage-deflate"


def test_offers():
    assert make_offer(0) is None
    assert make_offer(15) == f"{NAME}; client_max_window_bits"
    assert make_offer(9) == f"{NAME}; client_max_window_bits=9; server_max_window_bits=9"


@pytest.mark.parametrize("compress", [-15, -1, 1, 8, 16, True])
def test_windows_that_cannot_be_offered(compress):
    with pytest.raises(ValueError, match=f"compress={compress}: write 0"):
        make_offer(compress)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("", []),
        (" , ,\t", []),
        ("a", [("a", [])]),
        ("a, b", [("a", []), ("b", [])]),
        (" a ; b ;c = d;e=\"f\" , g", [("a", [("b", None), ("c", "d"), ("e", "f")]), ("g", [])]),
        ('a; b="\\1\\0",', [("a", [("b", "10")])]),
        ("a; b='c", [("a", [("b", "'c")])]),
        ("a; b; b", [("a", [("b", None), ("b", None)])]),
    ],
)  # fmt: skip
def test_the_grammar(text, expected):
    assert parse_extensions(text) == expected


@pytest.mark.parametrize(
    "text",
    [
        ";", "a;", "a; ", "a;;b", "a; ;b", "=", "a=b", "a; =b", "a; b=", "a; b=c d", "a b", "a; b c", 'a; b="',
        'a; b="c', 'a; b="c d"', 'a; b=""', 'a; b="c"d', "a/b", "a\0", "\N{EURO SIGN}", "a; b=c=d", "a;,b", "x" * 9000,
        ",".join("a" * 33),
    ],
)  # fmt: skip
def test_what_is_malformed(text):
    with pytest.raises(ValueError, match="Sec-WebSocket-Extensions"):
        parse_extensions(text)


@given(st.text(alphabet='ab1 \t;,="\\/', max_size=40))
def test_any_text_parses_or_is_malformed(text):
    try:
        found = parse_extensions(text)
    except ValueError:
        return
    again = ", ".join(
        "; ".join([name, *(f"{key}={value}" if value else key for key, value in params)]) for name, params in found
    )
    assert parse_extensions(again) == found


@pytest.mark.parametrize("text", [" " * 8000 + "=", "a; b=" + '"\\' * 4000, "a" + " ;\t" * 2700, 'a;b="' * 1600])
def test_long_texts(text):
    """Expressions that go back and forth would take minutes for one of these."""
    with pytest.raises(ValueError, match="malformed"):
        parse_extensions(text)


OFFERS = [
    ("", Deflate(), ""),
    ("client_max_window_bits", Deflate(), ""),
    ("client_max_window_bits=15", Deflate(), ""),
    ("client_max_window_bits=12", Deflate(client_max_window_bits=12), "client_max_window_bits=12"),
    ("client_max_window_bits=8", Deflate(), ""),
    ("server_max_window_bits=15", Deflate(), "server_max_window_bits=15"),
    ("server_max_window_bits=9", Deflate(server_max_window_bits=9), "server_max_window_bits=9"),
    ("server_max_window_bits=8", Deflate(server_max_window_bits=8), "server_max_window_bits=8"),
    ('server_max_window_bits="10"', Deflate(server_max_window_bits=10), "server_max_window_bits=10"),
    ("server_no_context_takeover", Deflate(True), "server_no_context_takeover"),
    ("client_no_context_takeover", Deflate(False, True), "client_no_context_takeover"),
    (
        "client_no_context_takeover; server_max_window_bits=11; server_no_context_takeover; client_max_window_bits=10",
        Deflate(True, True, 11, 10),
        "server_no_context_takeover; client_no_context_takeover; server_max_window_bits=11; client_max_window_bits=10",
    ),
]


@pytest.mark.parametrize(("params", "deflate", "answer"), OFFERS)
def test_offers_that_are_accepted(params, deflate, answer):
    for spelled in (NAME, "Permessage-Deflate"):
        offer = f"{spelled}; {params}" if params else spelled
        assert accept_offer(parse_extensions(offer)) == (deflate, f"{NAME}; {answer}" if answer else NAME)


BAD = [
    "x", "server_no_context_takeover=1", "client_no_context_takeover=true", "server_max_window_bits=7",
    "server_max_window_bits=16", "server_max_window_bits=010", "server_max_window_bits=9.0",
    "server_max_window_bits=-9",
    "client_max_window_bits=0", "client_max_window_bits=7", "client_max_window_bits=16", "client_max_window_bits=08",
    "client_max_window_bits=x", "client_max_window_bits; client_max_window_bits",
    "server_no_context_takeover; server_no_context_takeover", "server_max_window_bits=9; server_max_window_bits=9",
    "server_no_context_takeover; Server_No_Context_Takeover",
]  # fmt: skip


@pytest.mark.parametrize("params", [*BAD, "server_max_window_bits"])
def test_offers_that_are_declined(params):
    assert accept_offer(parse_extensions(f"{NAME}; {params}")) is None
    second = accept_offer(parse_extensions(f"{NAME}; {params}, {NAME}; server_max_window_bits=9"))
    assert second == (Deflate(server_max_window_bits=9), f"{NAME}; server_max_window_bits=9")


def test_other_extensions_are_passed_over():
    assert accept_offer([]) is None
    assert accept_offer(parse_extensions("permessage-bzip2, x-webkit-deflate-frame")) is None
    assert accept_offer(parse_extensions(f"permessage-bzip2; x=1, {NAME}, {NAME}; x")) == (Deflate(), NAME)


RESPONSES = [
    ("", 15, Deflate()),
    ("", 10, Deflate(client_max_window_bits=10)),  # a server that does not keep to what was asked for; nothing breaks
    ("client_max_window_bits=9", 15, Deflate(client_max_window_bits=9)),
    ("client_max_window_bits=8", 15, Deflate(client_max_window_bits=8)),
    ("client_max_window_bits=10; server_max_window_bits=9", 10, Deflate(False, False, 9, 10)),
    ("server_max_window_bits=8", 15, Deflate(server_max_window_bits=8)),
    ("server_no_context_takeover", 15, Deflate(True)),
    ("client_no_context_takeover; server_no_context_takeover", 15, Deflate(True, True)),
]


@pytest.mark.parametrize(("params", "compress", "deflate"), RESPONSES)
def test_responses_that_are_taken(params, compress, deflate):
    response = parse_extensions(f"{NAME}; {params}" if params else NAME)
    assert accept_response(response, make_offer(compress)) == deflate
    assert accept_response([], make_offer(compress)) is None
    assert accept_response([], None) is None


@pytest.mark.parametrize("params", [*BAD, "server_max_window_bits", "client_max_window_bits"])
def test_responses_that_fail(params):
    with pytest.raises(ValueError, match="the server answered"):
        accept_response(parse_extensions(f"{NAME}; {params}"), make_offer(15))


def test_responses_that_ask_for_more_than_was_offered():
    for params in ("server_max_window_bits=11", "client_max_window_bits=11"):
        with pytest.raises(ValueError, match="=11, which was not offered"):
            accept_response(parse_extensions(f"{NAME}; {params}"), make_offer(10))
    with pytest.raises(ValueError, match="client_max_window_bits=9, which was not offered"):
        accept_response(parse_extensions(f"{NAME}; client_max_window_bits=9"), NAME)
    assert accept_response(parse_extensions(f"{NAME}; server_max_window_bits=9"), NAME) == Deflate(False, False, 9, 15)


def test_what_a_client_offers_of_its_own():
    check_offer("permessage-deflate; client_no_context_takeover; client_max_window_bits")
    for text in ("", "x", "permessage-deflate; x", "permessage-deflate, permessage-deflate", "permessage-deflate;"):
        with pytest.raises(ValueError, match="Sec-WebSocket-Extensions"):
            check_offer(text)


def test_who_offers_to_compress_each_message_by_itself_has_to():
    response = parse_extensions("permessage-deflate")
    deflate = accept_response(response, "permessage-deflate; client_no_context_takeover")
    assert deflate == Deflate(False, True, 15, 15)
