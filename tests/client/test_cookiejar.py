import collections
import inspect
import json
import os
import pickle
import stat
import time
from http.cookies import BaseCookie, CookieError, Morsel, SimpleCookie
from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from endwell.client.cookiejar import AbstractCookieJar, CookieJar, DummyCookieJar, suffixes
from endwell.client.cookiejar.rules import (
    MAX_AGE,
    Cookie,
    default_path,
    domain_match,
    expiry,
    is_ip_address,
    path_match,
)
from endwell.client.cookiejar.store import CookieStore

HTTP = URL("http://www.example.org/shop/cart")
HTTPS = URL("https://www.example.org/shop/cart")
NOW = 1_800_000_000.0
PAST = "Thu, 01 Jan 1970 00:00:00 GMT"


def jar_of(*lines, url=HTTP, **kwargs):
    jar = CookieJar(**kwargs)
    jar.update_cookies_from_headers(lines, url)
    return jar


def sent(jar, url):
    field = jar.cookie_header(URL(url))
    assert jar.cookie_header(URL(url)) == field
    return field


class Clock:
    """The time of day, which stands still until it is told to move."""

    def __init__(self):
        self.now = NOW

    def __call__(self):
        return self.now


@pytest.fixture
def clock(monkeypatch):
    clock = Clock()
    monkeypatch.setattr(time, "time", clock)
    return clock


@pytest.fixture(params=["complete", "table"])
def suffix_list(request, monkeypatch):
    """Both sources of public suffixes: the optional package and the table."""
    if request.param == "table":
        monkeypatch.setattr(suffixes, "_complete_list", lambda: None)
    else:
        pytest.importorskip("publicsuffixlist")


# Where a cookie goes


@pytest.mark.parametrize(
    ("line", "host", "goes"),
    [
        ("a=1", "www.example.org", True),
        ("a=1", "example.org", False),
        ("a=1", "sub.www.example.org", False),
        ("a=1; Domain=", "sub.www.example.org", False),
        ("a=1; Domain=example.org", "example.org", True),
        ("a=1; Domain=.EXAMPLE.org", "sub.www.example.org", True),
        ("a=1; Domain=www.example.org", "sub.www.example.org", True),
        ("a=1; Domain=www.example.org", "example.org", False),
        ("a=1; Domain=example.org", "badexample.org", False),
    ],
)
def test_domain(line, host, goes):
    assert sent(jar_of(line), f"http://{host}/shop/") == ("a=1" if goes else "")


@pytest.mark.parametrize(
    "domain", ["example.com", "sub.www.example.org", "xample.org", "..example.org", "example.org.", "éxample.org"]
)
def test_domain_of_another_host_is_refused(domain):
    assert len(jar_of(f"a=1; Domain={domain}")) == 0


@pytest.mark.usefixtures("suffix_list")
@pytest.mark.parametrize(
    ("host", "domain", "kept"),
    [
        ("www.example.com", "com", False),
        ("www.example.co.uk", "co.uk", False),
        ("www.example.co.uk", "example.co.uk", True),
        ("www.example.com.au", "com.au", False),
        ("me.github.io", "github.io", False),
        ("www.me.github.io", "me.github.io", True),
        ("example.com.", "com.", False),
        ("www.example.co.uk.", "co.uk.", False),
        ("db.intranet", "intranet", False),
    ],
)
def test_public_suffixes_are_refused(host, domain, kept):
    assert len(jar_of(f"a=1; Domain={domain}", url=URL(f"http://{host}/"))) == kept


@pytest.mark.usefixtures("suffix_list")
@pytest.mark.parametrize("host", ["localhost", "co.uk", "github.io"])
def test_a_public_suffix_may_set_a_cookie_for_itself_only(host):
    jar = jar_of(f"a=1; Domain={host}; Path=/", url=URL(f"http://{host}/"))
    assert sent(jar, f"http://{host}/") == "a=1"
    assert sent(jar, f"http://sub.{host}/") == ""
    assert jar.host_only_cookies == {(host, "", "a")}


def test_the_table_names_public_suffixes_only():
    publicsuffixlist = pytest.importorskip("publicsuffixlist").PublicSuffixList()
    assert [name for name in suffixes._common_suffixes() if not publicsuffixlist.is_public(name)] == []


@pytest.mark.parametrize("host", ["127.0.0.1", "[::1]", "10.1", "0x7f.1", "1.2.3.4."])
def test_ip_addresses_only_when_unsafe(host):
    url = URL.build(scheme="http", host=host.strip("[]"), path="/")
    assert is_ip_address(url.raw_host)
    safe, unsafe = jar_of("a=1", url=url), jar_of("a=1", f"b=2; Domain={url.raw_host}", url=url, unsafe=True)
    assert (len(safe), sent(safe, url)) == (0, "")
    assert sent(unsafe, url) == "a=1; b=2"
    assert (safe.unsafe, unsafe.unsafe) == (False, True)


def test_a_suffix_of_an_address_is_no_domain():
    assert len(jar_of("a=1; Domain=0.0.1", url=URL("http://127.0.0.1/"), unsafe=True)) == 0
    assert not domain_match("127.0.0.1", "0.0.1")


@pytest.mark.parametrize("host", ["example.org", "1a.org", "x86", "a.b0", "1.com", "", "f00"])
def test_names_are_no_addresses(host):
    assert not is_ip_address(host)


@pytest.mark.parametrize(
    ("request_path", "path", "matches"),
    [
        ("/", "/", True),
        ("/a", "/", True),
        ("/a", "/a", True),
        ("/a/", "/a", True),
        ("/a/b", "/a", True),
        ("/ab", "/a", False),
        ("/a", "/a/", False),
        ("/a/b", "/a/", True),
        ("/A", "/a", False),
        ("/a%2Fb", "/a", False),
    ],
)
def test_path_match(request_path, path, matches):
    assert path_match(request_path, path) is matches
    jar = jar_of(f"a=1; Path={path}")
    assert sent(jar, URL(f"http://www.example.org{request_path}", encoded=True)) == ("a=1" if matches else "")


@pytest.mark.parametrize(
    ("request_path", "path"), [("/", "/"), ("/a", "/"), ("/a/", "/a"), ("/a/b", "/a"), ("/a/b/c", "/a/b"), ("", "/")]
)
def test_default_path(request_path, path):
    assert default_path(request_path) == path
    (morsel,) = jar_of("a=1; Path=relative", url=URL(f"http://example.org{request_path}"))
    assert morsel["path"] == path


def test_the_query_is_no_part_of_the_path():
    assert sent(jar_of("a=1; Path=/shop"), "http://www.example.org/shop?x=/y#z") == "a=1"


def test_longest_path_first_then_oldest():
    jar = jar_of("root=1; Path=/", "deep=1; Path=/shop/cart", "mid=1; Path=/shop", "mid2=1; Path=/blog")
    jar.update_cookies_from_headers(["root2=1; Path=/", "mid3=1; Path=/shop", "root=2; Path=/"], HTTP)
    assert sent(jar, HTTP) == "deep=1; mid=1; mid3=1; root=2; root2=1"


def test_cookies_of_one_name_stay_apart():
    jar = jar_of("a=root; Path=/", "a=shop; Path=/shop", "a=all; Path=/; Domain=example.org")
    assert sent(jar, HTTP) == "a=shop; a=root; a=all"
    assert jar.filter_cookies(HTTP)["a"].value == "shop"
    assert len(jar) == 3


# Secure


def test_secure_cookies_need_a_secure_origin():
    lines = ["a=1; Secure; Path=/", "b=2; Path=/"]
    assert [morsel.key for morsel in jar_of(*lines, url=HTTP)] == ["b"]
    jar = jar_of(*lines, url=HTTPS)
    assert sent(jar, HTTP) == "b=2"
    assert sent(jar, HTTPS) == sent(jar, "wss://www.example.org/") == "a=1; b=2"


def test_secure_cookies_are_left_alone_by_open_connections():
    jar = jar_of("a=1; Secure; Path=/; Domain=example.org", url=HTTPS)
    jar.update_cookies_from_headers(["a=2; Path=/", "a=3; Path=/shop", "b=4; Path=/"], HTTP)
    assert sent(jar, HTTPS) == "a=1; b=4"
    jar.update_cookies_from_headers(["a=5; Path=/; Domain=example.org"], HTTPS)
    assert sent(jar, HTTP) == "a=5; b=4"


@pytest.mark.parametrize(
    ("line", "kept"),
    [
        ("__Secure-a=1; Secure", True),
        ("__Secure-a=1", False),
        ("__sECURE-a=1", False),
        ("__Host-a=1; Secure; Path=/", True),
        ("__Host-a=1; Secure", False),
        ("__Host-a=1; Secure; Path=/shop", False),
        ("__Host-a=1; Path=/", False),
        ("__host-a=1; Secure; Path=/; Domain=www.example.org", False),
    ],
)
def test_name_prefixes(line, kept):
    assert len(jar_of(line, url=HTTPS)) == kept
    assert len(jar_of(line, url=HTTP)) == 0


@pytest.mark.parametrize(
    "origins",
    ["http://dev.example.org:8080", URL("http://dev.example.org:8080/x"), ["http://a", "http://dev.example.org:8080"]],
)
def test_treat_as_secure_origin(origins):
    dev, other_port = URL("http://dev.example.org:8080/"), URL("http://dev.example.org/")
    jar = jar_of("a=1; Secure", "__Host-b=2; Secure; Path=/", url=dev, treat_as_secure_origin=origins)
    assert sent(jar, dev) == "a=1; __Host-b=2"
    assert sent(jar, other_port) == ""
    assert URL("http://dev.example.org:8080") in jar.treat_as_secure_origin
    jar.update_cookies_from_headers(["c=3; Secure"], other_port)
    assert len(jar) == 2


def test_treat_as_secure_origin_must_be_absolute():
    with pytest.raises(ValueError, match="no origin"):
        CookieJar(treat_as_secure_origin="dev.example.org")


# Time


@pytest.mark.parametrize(
    ("attributes", "expected"),
    [
        ({}, inf),
        ({"max-age": "10"}, NOW + 10),
        ({"max-age": 10}, NOW + 10),
        ({"max-age": "0"}, -inf),
        ({"max-age": "-1"}, -inf),
        ({"max-age": "10", "expires": PAST}, NOW + 10),
        ({"max-age": "0", "expires": "Fri, 01 Jan 2027 08:00:00 GMT"}, -inf),
        ({"max-age": "9" * 1000}, NOW + MAX_AGE),
        ({"max-age": "9" * 5000}, inf),
        ({"max-age": "+5"}, inf),
        ({"max-age": "1e3"}, inf),
        ({"max-age": "٣"}, inf),
        ({"max-age": "soon", "expires": PAST}, -inf),
        ({"expires": PAST}, -inf),
        ({"expires": "Sat, 16 Jan 2027 08:00:00 GMT"}, NOW + 86400),
        ({"expires": "Fri, 01 Jan 2100 08:00:00 GMT"}, NOW + MAX_AGE),
        ({"expires": "never"}, inf),
        ({"expires": ""}, inf),
    ],
)
def test_expiry(attributes, expected):
    assert expiry(attributes, NOW) == expected


def test_cookies_end(clock):
    jar = jar_of("a=1; Max-Age=10", "b=2; Max-Age=20", "c=3")
    assert sent(jar, HTTP) == "a=1; b=2; c=3"
    clock.now += 10
    assert sent(jar, HTTP) == "b=2; c=3"
    assert [morsel.key for morsel in jar] == list(jar.filter_cookies(HTTP)) == ["b", "c"]
    clock.now += 10
    assert len(jar) == 1
    assert sent(jar, HTTP) == "c=3"


@pytest.mark.parametrize("end", ["Max-Age=0", f"Expires={PAST}", "Expires=Thu, 01-Jan-70 00:00:00 GMT"])
def test_an_expired_cookie_deletes(end):
    jar = jar_of("a=1", "b=2")
    assert sent(jar, HTTP) == "a=1; b=2"
    for _ in range(2):
        jar.update_cookies_from_headers([f"a=; {end}", f"c=3; {end}"], HTTP)
        assert sent(jar, HTTP) == "b=2"
    assert len(jar) == 1


# The ways that skip work


def test_the_same_field_again_starts_max_age_anew(clock):
    jar = CookieJar()
    for _ in range(5):
        jar.update_from_set_cookie(["a=1; Max-Age=10; Path=/"], HTTP)
        clock.now += 9
        assert sent(jar, HTTP) == "a=1"
    clock.now += 1
    assert sent(jar, HTTP) == ""
    jar.update_from_set_cookie(["a=1; Max-Age=10; Path=/"], HTTP)
    assert sent(jar, HTTP) == "a=1"


def test_the_same_field_is_read_again_after_a_change():
    line = ["a=1; Path=/"]
    jar = jar_of(*line)
    jar.update_cookies_from_headers(["a=2; Path=/"], HTTP)
    jar.update_cookies_from_headers(line, HTTP)
    assert sent(jar, HTTP) == "a=1"
    for remove in (jar.clear, lambda: jar.clear_domain("example.org"), lambda: jar.clear(lambda morsel: True)):
        remove()
        assert sent(jar, HTTP) == ""
        jar.update_cookies_from_headers(line, HTTP)
        assert sent(jar, HTTP) == "a=1"


def test_the_same_deletion_works_again():
    jar = CookieJar()
    for _ in range(3):
        jar.update_cookies_from_headers(["a=1"], HTTP)
        assert len(jar) == 1
        jar.update_cookies_from_headers(["a=; Max-Age=0"], HTTP)
        assert len(jar) == 0


def test_the_same_field_for_another_directory_host_or_scheme_is_another_cookie():
    jar = jar_of("a=1")
    for url in ("http://www.example.org/blog/x", "http://example.org/shop/x"):
        jar.update_cookies_from_headers(["a=1"], URL(url))
        assert sent(jar, url) == "a=1"
    assert len(jar) == 3
    jar = jar_of("a=1; Secure")
    jar.update_cookies_from_headers(["a=1; Secure"], HTTPS)
    assert sent(jar, HTTPS) == "a=1"


def test_the_memory_of_fields_is_bounded():
    jar = CookieJar()
    for i in range(2000):
        jar.update_from_set_cookie([f"a={i}; Path=/", "bad"], URL(f"http://h{i % 1500}.example/"))
        jar.cookie_header(URL(f"http://h1.example/{i}"))
    assert jar._known_number <= 512
    assert len(jar._known) <= 512
    assert len(jar._rendered) <= 513
    assert sent(jar, "http://h499.example/") == "a=1999"


LINES = [
    "a=1",
    "a=2; Path=/",
    "a=; Max-Age=0",
    "b=1; Max-Age=9",
    "b=2; Secure; Path=/",
    "a=3; Domain=example.org",
    "b=4; Path=/",
]
URLS = [HTTP, HTTPS, URL("http://www.example.org/blog/x"), URL("http://example.org/")]


@given(st.lists(st.tuples(st.lists(st.sampled_from(LINES), max_size=3), st.sampled_from(URLS)), max_size=12))
def test_the_fast_ways_give_what_the_slow_ones_give(steps):
    fast, slow = CookieJar(), CookieJar()
    for lines, url in steps:
        fast.update_from_set_cookie(lines, url)
        slow._known.clear()
        for line in lines:
            slow.update_from_set_cookie([line], url)
            slow._known.clear()
        slow._rendered.clear()
        for where in URLS:
            assert fast.cookie_header(where) == slow.cookie_header(where)


# Cookies that a program gives


def test_cookies_without_a_url_go_to_every_host():
    jar = CookieJar()
    jar.update_cookies({"a": "1"})
    assert jar.host_only_cookies == frozenset()
    assert list(jar.cookies) == [("", "")]
    for url in (HTTP, "https://example.com/", "http://127.0.0.1/", "http://h.org./", "/relative"):
        assert sent(jar, url) == "a=1"
    assert list(jar.filter_cookies()) == ["a"]


@pytest.mark.parametrize(
    "cookies",
    [{"a": "1", "b": "2"}, [("a", "1"), ("b", 2)], SimpleCookie("a=1; b=2"), SimpleCookie("a=1; b=2").items()],
)
def test_each_loose_type(cookies):
    jar = CookieJar()
    jar.update_cookies(cookies, HTTP)
    assert sent(jar, HTTP) == "a=1; b=2"
    assert len(jar.host_only_cookies) == 2


def test_morsels_bring_their_attributes():
    given_cookies = SimpleCookie("a=1; Domain=example.org; Path=/x; Max-Age=100; Secure; HttpOnly; SameSite=Lax")
    jar = CookieJar()
    jar.update_cookies(given_cookies)
    given_cookies["a"]["path"] = "/changed"
    (morsel,) = jar
    assert morsel.OutputString() == "a=1; Domain=example.org; HttpOnly; Max-Age=100; Path=/x; SameSite=Lax; Secure"
    assert sent(jar, "https://www.example.org/x") == "a=1"
    assert sent(jar, "https://example.com/x") == sent(jar, "http://example.org/x") == ""


def test_a_url_limits_morsels_but_not_bare_values():
    jar = CookieJar()
    jar.update_cookies(SimpleCookie("a=1; Domain=example.com"), HTTP)
    jar.update_cookies(SimpleCookie("b=1; Secure"), HTTP)
    jar.update_cookies({"__Host-c": "1"}, HTTPS)
    assert sent(jar, HTTPS) == "__Host-c=1"


@pytest.mark.parametrize("cookies", [{"a": "1\r\n"}, {"a\n": "1"}, {"": "1"}, {"a;b": "1"}, {"a": Morsel()}])
def test_what_cannot_be_sent_is_refused(cookies):
    jar = CookieJar()
    with pytest.raises(ValueError, match="cookie") as caught:
        jar.update_cookies(cookies, HTTP)
    assert isinstance(caught.value, CookieError)
    assert len(jar) == 0


@pytest.mark.parametrize(
    ("quote", "from_server", "from_program"),
    [
        (True, r'a="q v"; b=x=y; c="\073"; d="\015\012"', r'e="x y"; f="\073"'),
        (False, r'a=q v; b=x=y; c="\073"; d="\015\012"', r'e=x y; f="\073"'),
    ],
)
def test_quote_cookie(quote, from_server, from_program):
    jar = jar_of('a="q v"', "b=x=y", r'c="\073"', r'd="\015\012"', quote_cookie=quote)
    jar.update_cookies({"e": "x y", "f": ";"}, HTTP)
    assert jar.quote_cookie is quote
    assert sent(jar, HTTP) == f"{from_server}; {from_program}"
    found = jar.filter_cookies(HTTP)
    assert type(found) is BaseCookie
    assert found.output(header="", sep=";").strip() == f"{from_server}; {from_program}"


# What a jar shows


def test_views():
    jar = jar_of("a=1; Path=/; HttpOnly", "c[1]=2; Domain=example.org; Path=/shop/")
    assert {key: {name: m.value for name, m in group.items()} for key, group in jar.cookies.items()} == {
        ("www.example.org", ""): {"a": "1"},
        ("example.org", "/shop"): {"c[1]": "2"},
    }
    assert jar.host_only_cookies == {("www.example.org", "", "a")}
    assert [m.OutputString() for m in jar] == [
        "a=1; Domain=www.example.org; HttpOnly; Path=/",
        "c[1]=2; Domain=example.org; Path=/shop/",
    ]
    assert jar
    assert jar.cookies is jar.cookies
    jar.clear()
    assert not jar
    assert not jar.cookies
    assert list(jar) == []


def test_clear_with_predicate():
    jar = jar_of("a=1", "b=2; Domain=example.org")
    jar.clear(lambda morsel: morsel["domain"] == "example.org")
    assert sent(jar, HTTP) == "a=1"


def test_clear_domain():
    jar = CookieJar()
    for url in ("http://a.example.org/", "http://example.org/", "http://badexample.org/"):
        jar.update_cookies({"x": "1"}, URL(url))
    jar.update_cookies({"everywhere": "1"})
    jar.clear_domain("EXAMPLE.org")
    assert {domain for domain, _ in jar.cookies} == {"badexample.org", ""}
    jar.clear_domain("")
    assert {domain for domain, _ in jar.cookies} == {"badexample.org"}


# Limits


def cookie(name="a", *, domain="example.org", path="/", secure=False, expires=inf, value="v"):
    return Cookie(name, value, value, domain=domain, path=path, host_only=True, secure=secure, expires=expires)


def names(store, url_path="/", *, secure=True):
    return [cookie.name for cookie in store.select("example.org", url_path, secure=secure)]


def test_a_domain_holds_180_and_the_unused_go_first():
    store = CookieStore()
    for i in range(180):
        store.add(cookie(f"c{i}", path="/used" if i == 0 else "/"), NOW)
    assert store.count == 180
    assert "c0" in names(store, "/used")
    store.add(cookie("other", domain="example.com"), NOW)
    for i in range(180, 2000):
        store.add(cookie(f"c{i}"), NOW)
        assert store.count <= 181
        assert f"c{i}" in {c.name for c in store}
        store.select("example.org", "/used", secure=True)
    kept = {c.name for c in store}
    assert {"other", "c1999", "c1950"} <= kept
    assert "c1" not in kept


def test_expired_cookies_make_room_before_others_go():
    store = CookieStore()
    for i in range(180):
        store.add(cookie(f"c{i}", expires=NOW + 1 if i % 2 else inf), NOW)
    store.add(cookie("new"), NOW + 1)
    assert store.count == 91


def test_open_cookies_do_not_displace_secure_ones():
    store = CookieStore()
    for i in range(180):
        store.add(cookie(f"c{i}", secure=True), NOW)
    assert not store.add(cookie("new"), NOW)
    assert store.add(cookie("new", secure=True), NOW)
    assert store.count == 151


def test_a_jar_holds_3300():
    store = CookieStore()
    for i in range(4000):
        store.add(cookie(domain=f"h{i}.example"), NOW)
        assert store.count <= 3300
    assert store.count > 2900
    assert {"h3999.example", "h1500.example"} <= {c.domain for c in store}
    assert "h0.example" not in {c.domain for c in store}


def test_a_request_carries_150_the_specific_and_the_young():
    store = CookieStore()
    store.add(cookie("deep", path="/x"), NOW)
    for i in range(170):
        store.add(cookie(f"c{i}"), NOW)
    assert names(store, "/x") == ["deep"] + [f"c{i}" for i in range(21, 170)]


def test_a_request_carries_8190_bytes():
    store = CookieStore()
    for i in range(5):
        store.add(cookie(f"c{i}", value="x" * 3000), NOW)
    store.add(cookie("small", path="/x"), NOW)
    assert names(store, "/x") == ["small", "c3", "c4"]


def test_long_cookies_are_refused():
    assert len(jar_of("a=" + "x" * 4096)) == 0
    (morsel,) = jar_of("a=1; Path=/" + "p" * 1024)
    assert morsel["path"] == "/shop"


# Files


def test_save_and_load(tmp_path, clock):
    path = tmp_path / "jar.json"
    jar = jar_of(
        'a="q v"; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=100',
        "a=all; Domain=www.example.org; Path=/",
        "c[1]=\udcff; Domain=example.org",
        "d=1; Path=/a|b",
        "d=2; Path=/a|b/",
        url=HTTPS,
    )
    jar.update_cookies({"everywhere": "1"})
    jar.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["jar.json"]
    loaded = CookieJar()
    loaded.update_cookies({"old": "1"})
    assert sent(loaded, HTTPS) == "old=1"
    loaded.load(str(path))
    for url in (HTTPS, HTTP, "https://sub.www.example.org/shop/", "http://www.example.org/a|b/", "http://example.com/"):
        assert sent(loaded, url) == sent(jar, url)
    assert loaded.host_only_cookies == jar.host_only_cookies
    assert len(loaded.host_only_cookies) == 2
    clock.now += 100
    assert (len(jar), len(loaded)) == (5, 5)
    clock.now += 1000
    later = CookieJar()
    later.load(path)
    assert len(later) == 5


def test_host_only_survives(tmp_path):
    jar = jar_of("a=1; Path=/", "b=2; Path=/; Domain=www.example.org")
    jar.save(tmp_path / "jar")
    loaded = CookieJar()
    loaded.load(tmp_path / "jar")
    assert sent(loaded, "http://www.example.org/") == "a=1; b=2"
    assert sent(loaded, "http://sub.www.example.org/") == "b=2"


def test_save_replaces_the_file_behind_a_link_and_its_mode(tmp_path):
    target, link = tmp_path / "target", tmp_path / "link"
    target.write_text("old")
    target.chmod(0o644)
    link.symlink_to(target)
    jar_of("a=1").save(link)
    assert link.is_symlink()
    assert "a" in target.read_text()
    assert stat.S_IMODE(target.stat().st_mode) == 0o600


def test_a_failed_save_leaves_nothing_behind(tmp_path):
    (tmp_path / "dir").mkdir()
    with pytest.raises(OSError, match="dir"):
        jar_of("a=1").save(tmp_path / "dir")
    assert os.listdir(tmp_path) == ["dir"]
    with pytest.raises(FileNotFoundError):
        jar_of("a=1").save(tmp_path / "missing" / "jar")


ENTRY = {"key": "a", "value": "s3cret", "coded_value": "s3cret", "path": "/", "domain": "example.org"}


def file_of(**changes):
    return json.dumps({"example.org|": {"a": {**ENTRY, **changes}}}).encode()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        b"\xff\xfe",
        b"[" * 100_000,
        b'{"a": 1}',
        b'{"example.org|": 1}',
        b'{"example.org|": {"a": 1}}',
        b'{"example.org": {"a": {}}}',
        file_of(key=None),
        file_of(key="a;b"),
        file_of(value=1),
        file_of(coded_value="s3cret\r\nEvil: 1"),
        file_of(coded_value="s3cret; b=2"),
        file_of(path="x"),
        file_of(path=None),
        file_of(expires_timestamp="tomorrow"),
        file_of(expires_timestamp=float("nan")),
        file_of(expires_timestamp=1e300),
        file_of(expires_timestamp=True),
        b"\x80",
        b"\x80\x04",
        pickle.dumps(["a"]),
        pickle.dumps({"example.org": "a"}),
        pickle.dumps({1: SimpleCookie("a=1")}),
        pickle.dumps({("example.org", "/"): SimpleCookie("a=1")})[:-5],
    ],
)
def test_a_malformed_file_changes_nothing(tmp_path, content):
    path = tmp_path / "jar"
    path.write_bytes(content)
    jar = jar_of("keep=1")
    with pytest.raises(ValueError, match="no file of a cookie jar") as caught:
        jar.load(path)
    assert str(path) in str(caught.value)
    assert "s3cret" not in str(caught.value)
    assert sent(jar, HTTP) == "keep=1"


def test_a_missing_file(tmp_path):
    with pytest.raises(FileNotFoundError):
        CookieJar().load(tmp_path / "jar")


def test_files_of_aiohttp_are_read(tmp_path):
    path = tmp_path / "jar"
    path.write_text(
        json.dumps(
            {
                "example.org|": {"a": {**ENTRY, "host_only": True, "httponly": True, "samesite": "Lax"}},
                "example.org|/shop": {"b": {**ENTRY, "key": "b", "path": "/shop", "secure": True}},
                "|": {"c": {"key": "c", "value": "1", "coded_value": "1", "path": "/"}},
                "example.com|": {"d": {**ENTRY, "expires_timestamp": 1.5}},
            }
        )
    )
    jar = CookieJar()
    jar.load(path)
    assert sent(jar, "http://example.org/") == "a=s3cret; c=1"
    assert sent(jar, "https://sub.example.org/shop") == "b=s3cret; c=1"
    assert len(jar) == 3


@pytest.mark.parametrize("protocol", range(3, pickle.HIGHEST_PROTOCOL + 1))
def test_old_pickles_of_aiohttp_are_read(tmp_path, protocol):
    groups = collections.defaultdict(SimpleCookie)
    groups["example.org", ""] = SimpleCookie('a="q v"; Domain=example.org; Path=/')
    groups["example.org", "/x"] = SimpleCookie("b=1; Domain=example.org; Path=/x; Max-Age=0")
    path = tmp_path / "jar"
    path.write_bytes(pickle.dumps(groups, protocol))
    jar = CookieJar()
    jar.load(path)
    assert [morsel.OutputString() for morsel in jar] == ['a="q v"; Domain=example.org; Path=/']


class Command:
    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (self.path,)


def test_nothing_in_a_pickle_is_called(tmp_path):
    path, made = tmp_path / "jar", tmp_path / "made"
    path.write_bytes(pickle.dumps({("example.org", ""): Command(str(made))}))
    with pytest.raises(ValueError, match="mkdir, which no cookie is made of"):
        CookieJar().load(path)
    assert not made.exists()


# The interface


def test_dummy_jar():
    jar = DummyCookieJar()
    jar.update_cookies({"a": "1"}, HTTP)
    jar.update_cookies_from_headers(["a=1"], HTTP)
    jar.update_from_set_cookie(["a=1"], HTTP)
    jar.clear()
    jar.clear_domain("example.org")
    assert (len(jar), list(jar), dict(jar.cookies), jar.host_only_cookies) == (0, [], {}, frozenset())
    assert (jar.unsafe, jar.quote_cookie, jar.treat_as_secure_origin) == (False, True, frozenset())
    assert isinstance(jar.filter_cookies(HTTP), BaseCookie)
    assert jar.cookie_header(HTTP) == ""
    assert not jar


def test_what_a_jar_of_a_user_must_write():
    assert AbstractCookieJar.__abstractmethods__ == {
        "__iter__",
        "__len__",
        "clear",
        "clear_domain",
        "cookies",
        "filter_cookies",
        "host_only_cookies",
        "quote_cookie",
        "unsafe",
        "update_cookies",
    }


def test_signatures():
    parameters = inspect.signature(CookieJar).parameters
    assert {name: p.default for name, p in parameters.items()} == {
        "unsafe": False,
        "quote_cookie": True,
        "treat_as_secure_origin": None,
        "loop": None,
    }
    assert {p.kind for p in parameters.values()} == {inspect.Parameter.KEYWORD_ONLY}


class Own(DummyCookieJar):
    """A jar of a user: the last cookies that it was given go everywhere."""

    last = SimpleCookie()
    update_cookies_from_headers = AbstractCookieJar.update_cookies_from_headers
    update_from_set_cookie = AbstractCookieJar.update_from_set_cookie
    cookie_header = AbstractCookieJar.cookie_header

    def update_cookies(self, cookies, response_url=HTTP):
        self.last = SimpleCookie()
        for name, morsel in cookies:
            dict.__setitem__(self.last, name, morsel)

    def filter_cookies(self, request_url):
        return self.last


def test_the_fast_ways_of_a_jar_that_has_none():
    jar = Own()
    jar.update_from_set_cookie(['c[1]="q v"; Path=/', "", "b=x=y"], HTTP)
    assert jar.cookie_header(HTTP) == 'c[1]="q v"; b=x=y'


def test_a_subclass_that_changes_a_slow_way_changes_the_fast_one():
    class Filtering(CookieJar):
        def filter_cookies(self, request_url=HTTP):
            found = super().filter_cookies(request_url)
            found.pop("tracking", None)
            return found

    class Recording(Filtering):
        def update_cookies(self, cookies, response_url=HTTP):
            self.seen = [name for name, _ in cookies]
            super().update_cookies(cookies, response_url)

    class Reading(CookieJar):
        def update_cookies_from_headers(self, headers, response_url):
            super().update_cookies_from_headers([*headers, "extra=1"], response_url)

    jar = Recording()
    jar.update_from_set_cookie(["tracking=1", "a=2"], HTTP)
    assert jar.seen == ["tracking", "a"]
    assert jar.cookie_header(HTTP) == "a=2"
    jar = Reading()
    jar.update_from_set_cookie(["a=1"], HTTP)
    assert jar.cookie_header(HTTP) == "a=1; extra=1"
