import pytest

from endwell.http.multipart.errors import MultipartError
from endwell.http.multipart.scanner import MAX_FIELD_SIZE, MAX_FIELDS, MAX_PREAMBLE, Mark, Scanner


def scan(body, size, **options):
    """Give `[(fields, content), ...]` of a body that comes in pieces of `size` bytes."""
    scanner = Scanner(b"B", **options)
    pieces = [body[start : start + size] for start in range(0, len(body), size)][::-1]
    parts = []
    content = b""
    fields = None
    while True:
        event = scanner.poll()
        if event is None:
            if pieces:
                scanner.feed(pieces.pop())
            else:
                scanner.feed_eof()
        elif event is Mark.END:
            return parts
        elif event is Mark.PART_END:
            parts.append((fields, content))
            content = b""
        elif isinstance(event, bytes):
            content += event
        else:
            fields = list(event.items())


GOOD = [
    (b"--B--", []),
    (b"--B--\r\n", []),
    (b"--B\r\n\r\n--B--", [([], b"")]),
    (b"--B\r\n\r\n\r\n--B--", [([], b"")]),
    (b"--B\r\n\r\nabc\r\n--B--", [([], b"abc")]),
    (
        b"--B\r\nA: b\r\nC:d \r\n\r\nabc\r\n--B\r\n\r\n\r\nx\r\n\r\n--B--",
        [([("A", "b"), ("C", "d")], b"abc"), ([], b"\r\nx\r\n")],
    ),
    (b"pre\r\namble --B\r\n--BX\r\n--B\r\n\r\nabc\r\n--B--\r\nepi\r\n--B\r\n", [([], b"abc")]),
    (b"--B \t\r\n\r\nabc\r\n--B\t \r\n\r\nd\r\n--B-- \r\n", [([], b"abc"), ([], b"d")]),
    (b"--B\r\n\r\na\r\r\n\r\n-\r\n--\r\n--C\n--B\r--B\r\n--B--", [([], b"a\r\r\n\r\n-\r\n--\r\n--C\n--B\r--B")]),
    (
        b"--B\r\n\r\nabc\r\n--BC\r\nx\r\n--B x\r\n--B-\r\n--B\r\r\n--B--",
        [([], b"abc\r\n--BC\r\nx\r\n--B x\r\n--B-\r\n--B\r")],
    ),
    (b"--B\r\n\r\n--BC\r\n--B--", [([], b"--BC")]),
    (b"--B\r\nA: b\r\n  c\r\n\td\r\nE:\r\n\r\n\r\n--B--", [([("A", "b c d"), ("E", "")], b"")]),
    (b"--B\r\nA:" + b"b" * 8188 + b"\r\n\r\n\r\n--B--", [([("A", "b" * 8188)], b"")]),
    ("--B\r\nA: é\r\n\r\n\r\n--B--".encode(), [([("A", "é")], b"")]),
    (b"--B\r\nA: \xe9\r\n\r\n\r\n--B--", [([("A", "\udce9")], b"")]),
]


@pytest.mark.parametrize("size", [1, 2, 3, 5, 1000])
@pytest.mark.parametrize(("body", "parts"), GOOD)
def test_any_split_gives_the_same(body, parts, size):
    assert scan(body, size) == parts


@pytest.mark.parametrize("size", [1, 3, 1000])
@pytest.mark.parametrize(
    ("body", "text"),
    [
        (b"", "starting boundary"),
        (b"abc\r\n", "starting boundary"),
        (b"--B", "starting boundary"),
        (b"--BB\r\n", "starting boundary"),
        (b"--B\n\nabc\n--B--\n", "starting boundary"),
        (b"--B\r\n", "within the fields"),
        (b"--B\r\nA: b", "within the fields"),
        (b"--B\r\nA: b\r\n", "within the fields"),
        (b"--B\r\n--B--\r\n", "within the fields"),
        (b"--B\r\n\r\n", "within the content"),
        (b"--B\r\n\r\nabc\r", "within the content"),
        (b"--B\r\n\r\nabc\r\n--", "within the content"),
        (b"--B\r\n\r\nabc\r\n--B", "within the fields"),
        (b"--B\r\n\r\nabc\r\n--B-", "within the fields"),
        (b"--B\r\n\r\nabc\r\n--B\r\n", "within the fields"),
        (b"--B\r\nabc\r\n\r\n", "not a field"),
        (b"--B\r\na b: c\r\n\r\n", "not a field"),
        (b"--B\r\na : c\r\n\r\n", "not a field"),
        (b"--B\r\n: c\r\n\r\n", "not a field"),
        (b"--B\r\n a: c\r\n\r\n", "not a field"),
        (b"--B\r\na: c\nd: e\r\n\r\n", "not a field"),
        (b"--B\r\na: \0\r\n\r\n", "not a field"),
        (b"--B\r\na: b\rc\r\n\r\n", "not a field"),
        (b"--B\r\nA: " + b"a" * MAX_FIELD_SIZE, "longer than 8190"),
        (b"--B\r\nA: b\r\n" + b" ccccccc\r\n" * 1100, "longer than 8190"),
        (b"--B\r\n" + b"A: b\r\n" * (MAX_FIELDS + 1) + b"\r\n", "more than 128 fields"),
        (b"--B" + b" " * 300 + b"\r\n", "white space"),
    ],
)
def test_malformed(body, text, size):
    with pytest.raises(MultipartError, match=text):
        scan(body, size)


def test_an_error_stays():
    scanner = Scanner(b"B")
    scanner.feed_eof()
    for _ in range(2):
        with pytest.raises(MultipartError, match="boundary"):
            scanner.poll()


@pytest.mark.parametrize("size", [1000, 100_000])
def test_preamble_has_a_limit(size):
    end = b"\r\n--B--"
    assert scan(b"x" * MAX_PREAMBLE + end, size) == []
    with pytest.raises(MultipartError, match="65536"):
        scan(b"x" * (MAX_PREAMBLE + 3) + end, size)


@pytest.mark.parametrize("size", [1, 2, 1000])
def test_content_only(size):
    assert scan(b"abc\r\n--B--", size, in_content=True) == [(None, b"abc")]
    assert scan(b"--B--", size, in_content=True) == [(None, b"")]


def test_content_is_handed_on_without_a_copy():
    scanner = Scanner(b"B", in_content=True)
    scanner.feed(b"x")
    assert scanner.poll() == b"x"
    piece = b"y" * 1000
    scanner.feed(piece)
    assert scanner.poll() is piece


@pytest.mark.parametrize(
    "body",
    [
        b"--B\r\n\r\n" + b"\r\n--BC" * 10_000,
        b"--B\r\n\r\n" + b"\r" * 60_000,
        b"--B\r\n\r\n" + b"\r\n-" * 20_000,
        b"--B\r\n" + b"A:\r\n\r\n\r\n--B\r\n" * 5_000,
        b"--B\r\nA: b\r\n" + b" \r\n" * 60_000,
        b"\r\n--B-" * 10_000,
    ],
)
@pytest.mark.parametrize("size", [1, 65536, 10**6])
def test_hostile_bodies_take_linear_time(body, size):
    with pytest.raises(MultipartError):
        scan(body, size)
