"""Fields of conditional and range requests, and what they decide."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.http.conditional import (
    MAX_ETAGS,
    RangeError,
    evaluate_preconditions,
    parse_etags,
    parse_range,
    range_applies,
    resolve_range,
)
from endwell.http.etag import ETAG_ANY, ETag

A, B, WEAK_A = ETag("a"), ETag("b"), ETag("a", is_weak=True)
ANY = (ETag(ETAG_ANY),)
DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
SECONDS = 784111777


@pytest.mark.parametrize(
    ("field", "tags"),
    [
        ('"a"', (A,)),
        ("*", ANY),
        (" * ", ANY),
        ('"*"', (ETag("*"),)),
        ('W/"a", "b"', (WEAK_A, B)),
        ('"a" , "b"', (A, B)),
        ('"a","b"', (A, B)),
        ('"a",', (A,)),
        (',, "a",,"b"', (A, B)),
        ('"a,b"', (ETag("a,b"),)),
        ('""', (ETag(""),)),
        ('"\xe9"', (ETag("\xe9"),)),
        ("", ()),
        ("a", ()),
        ('"a', ()),
        ('"a" "b"', ()),
        ('"a"x, "b"', ()),
        ('w/"a"', ()),
        ('W/ "a"', ()),
        ('*, "a"', ()),
        ('"a", *', ()),
        ('"a\x00"', ()),
        ('"a\x7f"', ()),
    ],
)
def test_tags_of_a_list(field: str, tags: tuple[ETag, ...]) -> None:
    assert parse_etags(field) == tags


def test_a_flood_of_tags_is_ignored() -> None:
    assert len(parse_etags(",".join(['"a"'] * MAX_ETAGS))) == MAX_ETAGS
    assert parse_etags(",".join(['"a"'] * (MAX_ETAGS + 1))) == ()


_opaque = st.text(st.characters(min_codepoint=0x21, max_codepoint=0xFF, exclude_characters='"\x7f'), max_size=8)


@given(st.lists(st.builds(ETag, _opaque, st.booleans()), min_size=1, max_size=8), st.sampled_from([",", ", ", " ,\t,"]))
def test_tags_are_read_as_they_were_written(tags: list[ETag], comma: str) -> None:
    field = comma.join(f'{"W/" if tag.is_weak else ""}"{tag.value}"' for tag in tags)
    assert parse_etags(field) == tuple(tags)


@given(st.text(alphabet='W/"*, a\t', max_size=40))
def test_no_field_of_tags_makes_it_fail(field: str) -> None:
    for tag in parse_etags(field):
        assert tag == ETag(ETAG_ANY) or f'"{tag.value}"' in field


@pytest.mark.parametrize(
    ("field", "wanted"),
    [
        ("bytes=0-499", slice(0, 500, 1)),
        ("bytes=0-0", slice(0, 1, 1)),
        ("bytes=7-7", slice(7, 8, 1)),
        ("bytes=500-", slice(500, None, 1)),
        ("bytes=-500", slice(-500, None, 1)),
        ("BYTES=0-1", slice(0, 2, 1)),
        ("bytes=0001-2", slice(1, 3, 1)),
        (" bytes=0-1 ", slice(0, 2, 1)),
        ("bytes=0-" + "9" * 5000, slice(0, 10**18 + 1, 1)),
        ("bytes=-" + "9" * 5000, slice(-(10**18), None, 1)),
    ],
)
def test_one_range(field: str, wanted: slice[int | None, int | None, int]) -> None:
    assert parse_range(field) == wanted


@pytest.mark.parametrize(
    ("field", "ignorable"),
    [
        ("bytes=-0", False),
        ("bytes=-000", False),
        ("bytes=5-2", True),
        ("bytes=-", True),
        ("bytes=", True),
        ("bytes", True),
        ("", True),
        ("bytes = 0-1", True),
        ("bytes=0 - 1", True),
        ("bytes=a-b", True),
        ("bytes=+1-2", True),
        ("bytes=1_0-20", True),
        ("bytes=0x1-2", True),
        ("bytes=٣-٤", True),
        ("bytes=¹-²", True),
        ("items=0-1", True),
        ("bytes=0-1,2-3", True),
        ("bytes=" + "0-1," * 20_000, True),
        ("bytes=" + "9" * 50_000, True),
    ],
)
def test_what_is_no_range(field: str, ignorable: bool) -> None:
    with pytest.raises(ValueError) as caught:
        parse_range(field)
    assert isinstance(caught.value, RangeError)
    assert caught.value.ignorable is ignorable
    assert len(str(caught.value)) < 200


@given(st.integers(0, 30), st.integers(0, 30), st.binary(max_size=20))
def test_a_range_is_what_slicing_gives(first: int, last: int, content: bytes) -> None:
    for field in (f"bytes={first}-{last}", f"bytes={first}-", f"bytes=-{last}"):
        try:
            wanted = parse_range(field)
        except RangeError:
            continue
        found = resolve_range(wanted, len(content))
        expected = content[wanted]
        if found is None:
            assert expected == b""
        else:
            assert content[found[0] : found[0] + found[1]] == expected != b""


def test_no_range_means_everything() -> None:
    assert resolve_range(slice(None, None, 1), 5) == (0, 5)
    assert resolve_range(slice(None, None, 1), 0) is None


@pytest.mark.parametrize(
    ("field", "etag", "modified", "applies"),
    [
        (None, None, None, True),
        ('"a"', A, None, True),
        ('"a"', B, None, False),
        ('"a"', None, SECONDS, False),
        ('W/"a"', A, None, False),
        ('"a"', WEAK_A, None, False),
        ('W/"a"', WEAK_A, None, False),
        ('"a", "a"', A, None, False),
        ('"a', A, None, False),
        (DATE, A, SECONDS, True),
        (DATE, None, SECONDS + 0.9, True),
        (DATE, None, SECONDS + 1, False),
        (DATE, None, SECONDS - 1, False),
        (DATE, A, None, False),
        ("yesterday", A, SECONDS, False),
        ("", A, SECONDS, False),
    ],
)
def test_if_range(field: str | None, etag: ETag | None, modified: float | None, applies: bool) -> None:
    assert range_applies(field, etag=etag, modified=modified) is applies


@pytest.mark.parametrize(
    ("method", "fields", "decided"),
    [
        ("GET", {}, None),
        ("GET", {"if_match": (A,)}, None),
        ("GET", {"if_match": (B, A)}, None),
        ("GET", {"if_match": ANY}, None),
        ("GET", {"if_match": (B,)}, 412),
        ("GET", {"if_match": (WEAK_A,)}, 412),
        ("GET", {"if_match": ()}, 412),
        ("PUT", {"if_match": (B,)}, 412),
        ("GET", {"if_unmodified_since": 100.0}, None),
        ("GET", {"if_unmodified_since": 99.0}, 412),
        ("GET", {"if_match": (A,), "if_unmodified_since": 99.0}, None),
        ("GET", {"if_none_match": (A,)}, 304),
        ("HEAD", {"if_none_match": (A,)}, 304),
        ("PUT", {"if_none_match": (A,)}, 412),
        ("GET", {"if_none_match": (WEAK_A,)}, 304),
        ("GET", {"if_none_match": ANY}, 304),
        ("PUT", {"if_none_match": ANY}, 412),
        ("GET", {"if_none_match": (B,)}, None),
        ("GET", {"if_none_match": ()}, None),
        ("GET", {"if_none_match": (ETag("*"), B)}, None),
        ("GET", {"if_modified_since": 100.0}, 304),
        ("GET", {"if_modified_since": 101.0}, 304),
        ("GET", {"if_modified_since": 99.0}, None),
        ("POST", {"if_modified_since": 100.0}, None),
        ("GET", {"if_none_match": (B,), "if_modified_since": 100.0}, None),
        ("GET", {"if_match": (B,), "if_none_match": (A,)}, 412),
        ("GET", {"if_match": (A,), "if_none_match": (A,)}, 304),
        ("GET", {"if_unmodified_since": 99.0, "if_modified_since": 100.0}, 412),
    ],
)
def test_preconditions(method: str, fields: dict[str, object], decided: int | None) -> None:
    assert evaluate_preconditions(method, etag=A, modified=100.7, **fields) == decided  # type: ignore[arg-type] # a table


def test_preconditions_on_what_has_no_tag_and_no_date() -> None:
    assert evaluate_preconditions("GET", if_match=(A,)) == 412
    assert evaluate_preconditions("GET", if_none_match=(A,)) is None
    assert evaluate_preconditions("GET", if_modified_since=1.0, if_unmodified_since=1.0) is None
    assert evaluate_preconditions("PUT", if_match=ANY, exists=False) == 412
    assert evaluate_preconditions("PUT", if_none_match=ANY, exists=False) is None


def test_a_weak_tag_never_matches_strongly() -> None:
    assert evaluate_preconditions("GET", etag=WEAK_A, if_match=(WEAK_A,)) == 412
    assert evaluate_preconditions("GET", etag=WEAK_A, if_none_match=(A,)) == 304
