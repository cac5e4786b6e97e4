"""Fuzz target for cookies and dates: whatever a server sends, what is promised about reading and sending holds.

`TestOneInput` takes one input and raises when a promise is broken. With atheris installed, run this file; without it,
`test_fuzz_cookies.py` feeds it from hypothesis.
"""

import sys

from yarl import URL

from endwell.client.cookiejar import CookieJar
from endwell.client.cookiejar.files import _from_json, dump
from endwell.client.cookiejar.store import MAX_FIELD_SIZE, MAX_PER_REQUEST
from endwell.http.cookies import parse_cookie_header, parse_set_cookie, parse_set_cookie_headers, render_cookie_header
from endwell.http.dates import format_http_date, parse_cookie_date, parse_http_date

OPEN = URL("http://www.example.org/shop/cart")
SECURE = URL("https://www.example.org/shop/cart")
SIBLING = URL("https://other.example.org/shop/cart")
STRANGER = URL("https://example.com/shop/cart")


def TestOneInput(data: bytes) -> None:  # noqa: N802  # the name that atheris documents
    text = data.decode("utf-8", "surrogateescape")
    lines = text.split("\n")
    check_dates(text)
    for line in lines:
        check_set_cookie(line)
        check_cookie(line)
    check_jar(lines)


def check_dates(text: str) -> None:
    for seconds in (parse_cookie_date(text), parse_http_date(text, now=1.7e9)):
        if seconds is not None:
            assert parse_http_date(format_http_date(seconds)) == seconds


def check_set_cookie(line: str) -> None:
    cookie = parse_set_cookie(line)
    if cookie is None:
        assert parse_set_cookie_headers([line]) == []
        return
    assert cookie.name
    assert len(cookie.name) + len(cookie.coded) <= 4096
    pair = f"{cookie.name}={cookie.coded}"
    assert not set(pair) & set(map(chr, (*range(32), 127, ord(";"))))
    assert pair.replace(" ", "").replace("\t", "") in line.replace(" ", "").replace("\t", "")
    again = parse_set_cookie(pair)
    assert again is not None
    assert (again.name, again.coded) == (cookie.name, cookie.coded)
    ((name, morsel),) = parse_set_cookie_headers([line])
    assert (name, morsel.key, morsel.coded_value) == (cookie.name, cookie.name, cookie.coded)
    assert not set(morsel.value) & set(map(chr, (*range(32), 127)))


def check_cookie(line: str) -> None:
    pairs = parse_cookie_header(line)
    assert len(pairs) <= line.count(";") + 1
    field = render_cookie_header(pairs)
    assert [(name, m.coded_value) for name, m in parse_cookie_header(field)] == [
        (name, m.coded_value) for name, m in pairs
    ]


def check_jar(lines: list[str]) -> None:
    for url in (OPEN, SECURE):
        for quote in (True, False):
            jar = CookieJar(quote_cookie=quote)
            jar.update_from_set_cookie(lines, url)
            fields = [jar.cookie_header(where) for where in (OPEN, SECURE, SIBLING, STRANGER)]
            for field in fields:
                check_field(field)
            assert not fields[3]
            kept = sorted(facts(cookie)[:-1] for cookie in jar._store)
            jar.update_from_set_cookie(lines, url)
            assert sorted(facts(cookie)[:-1] for cookie in jar._store) == kept
            names = {name for name, _ in parse_cookie_header(jar.cookie_header(SECURE))}
            assert set(jar.filter_cookies(SECURE)) == names
            assert all(not morsel["secure"] for morsel in jar) or url is SECURE
            check_file(jar)


def check_field(field: str) -> None:
    assert not set(field) & set("\r\n\0")
    assert len(field) <= MAX_FIELD_SIZE
    pairs = parse_cookie_header(field)
    assert len(pairs) == (field.count(";") + 1 if field else 0) <= MAX_PER_REQUEST


def check_file(jar: CookieJar) -> None:
    cookies = list(jar._store)
    loaded = list(_from_json(dump(cookies), 1.7e9))
    assert sorted(map(facts, loaded)) == sorted(map(facts, cookies))


def facts(cookie):
    return cookie.domain, cookie.path, cookie.name, cookie.host_only, cookie.secure, cookie.coded, cookie.expires


if __name__ == "__main__":
    import atheris

    atheris.instrument_all()
    atheris.Setup(sys.argv, TestOneInput)
    atheris.Fuzz()
