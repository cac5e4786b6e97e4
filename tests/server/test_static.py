from __future__ import annotations

import base64
import errno
import hashlib
import html
import os
import re
from pathlib import Path
from typing import Any
from urllib.parse import unquote

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from yarl import URL

from endwell.server import file_choice
from endwell.server.errors import HTTPException
from endwell.server.router import UrlDispatcher
from endwell.server.static import StaticResource
from endwell.testing.mocked import make_mocked_request
from tests.support.leaks import open_fds


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Make files to serve, and some that must not be."""
    root = tmp_path / "root"
    (root / "sub").mkdir(parents=True)
    (root / "empty").mkdir()
    for name in ("a.txt", ".hidden", "s p.txt", "\u00e9.txt", "a+b%20c.txt", "#h?.txt", "back\\slash.txt", "sub/b.txt"):
        (root / name).write_text(name)
    (tmp_path / "secret.txt").write_text("secret")
    (tmp_path / "root2").mkdir()
    (tmp_path / "root2" / "secret.txt").write_text("secret")
    (root / "link").symlink_to("a.txt")
    (root / "link_dir").symlink_to("sub")
    (root / "link_out").symlink_to(tmp_path / "secret.txt")
    (root / "link_root2").symlink_to(tmp_path / "root2")
    (root / "link_null").symlink_to("/dev/null")
    (root / "loop").symlink_to("loop")
    (root / "dangling").symlink_to("nothing")
    os.mkfifo(root / "fifo")
    return root


async def ask(resource: StaticResource, target: str, method: str = "GET") -> tuple[int, bytes]:
    """Ask the resource as the server would do; give the status (0: it is another resource's path) and the body."""
    request = make_mocked_request(method, target)
    found, allowed = await resource.resolve(request)
    assert resource._find(method, request.rel_url.path_safe, None)[0] == found
    if found is None:
        return (405, repr(sorted(allowed)).encode()) if allowed else (0, b"")
    request._match_info = found
    try:
        response = await found.handler(request)
    except HTTPException as error:
        return error.status, b""
    await response.prepare(request)
    await response.write_eof()
    head, _, body = bytes(request._exchange.sent).partition(b"\r\n\r\n")
    assert not [target for target in open_fds().values() if target.startswith(str(resource._root))]
    return int(head[9:12]), body


FILES = [
    ("/s/a.txt", "a.txt"),
    ("/s/.hidden", ".hidden"),
    ("/s/s%20p.txt", "s p.txt"),
    ("/s/%C3%A9.txt", "\u00e9.txt"),
    ("/s/a+b%2520c.txt", "a+b%20c.txt"),
    ("/s/a%2Bb%2520c.txt", "a+b%20c.txt"),
    ("/s/%23h%3F.txt", "#h?.txt"),
    ("/s/back%5cslash.txt", "back\\slash.txt"),
    ("/s/sub/b.txt", "sub/b.txt"),
    ("/s/sub%2Fb.txt", "sub/b.txt"),
    ("/s/sub//b.txt", "sub/b.txt"),
    ("/s/sub/./b.txt", "sub/b.txt"),
    ("/s/./a.txt", "a.txt"),
    ("/s/sub/../a.txt", "a.txt"),
    ("/s/sub/%2e%2e/a.txt", "a.txt"),
    ("/s/none/../a.txt", "a.txt"),
    ("/s/a.txt/", "a.txt"),
    ("/s/a.txt?x=1", "a.txt"),
    ("/%73/a.txt", "a.txt"),
    ("/s/link", "a.txt"),
    ("/s/link_dir/b.txt", "sub/b.txt"),
]

REFUSED = [
    ("/s", 403), ("/s/", 403), ("/s/.", 403), ("/s/sub", 403), ("/s/sub/", 403), ("/s/sub/..", 403),
    ("/s/link_dir", 403), ("/s/fifo", 403),
    ("/s/none", 404), ("/s/loop", 404), ("/s/dangling", 404), ("/s/a.txt/b", 404), ("/s/a.txt%20", 404),
    ("/s/" + "x" * 300, 404), ("/s/" + "y/" * 2000, 404), ("/s/%ff.txt", 404), ("/s/%", 404), ("/s/%zz", 404),
    ("/s/a.txt%00", 404), ("/s/%00", 404), ("/s/a.txt%00.html", 404), ("/s/%0a", 404),
    ("/s/..", 404), ("/s/../secret.txt", 404), ("/s/%2e%2e/secret.txt", 404), ("/s/.%2E/secret.txt", 404),
    ("/s/..%2fsecret.txt", 404), ("/s/%2e%2e%2fsecret.txt", 404), ("/s/sub/../../secret.txt", 404),
    ("/s/..%5csecret.txt", 404), ("/s/%5csecret.txt", 404), ("/s/%252e%252e/secret.txt", 404),
    ("/s/..%252fsecret.txt", 404), ("/s/../root2/secret.txt", 404), ("/s/../root/../secret.txt", 404),
    ("/s//etc/hostname", 404), ("/s/%2fetc%2fhostname", 404), ("/s///a.txt", 404), ("/s//a.txt", 404),
]  # fmt: skip

OUTSIDE = ["/s/link_out", "/s/link_root2/secret.txt", "/s/link_root2", "/s/link_root2/", "/s/link_null"]


@pytest.mark.parametrize(("target", "content"), FILES)
@pytest.mark.parametrize("follow", [False, True])
async def test_files(root, target, content, follow):
    resource = StaticResource("/s", root, follow_symlinks=follow)
    assert await ask(resource, target) == (200, content.encode())
    assert await ask(resource, target, "HEAD") == (200, b"")


@pytest.mark.parametrize(("target", "status"), REFUSED)
@pytest.mark.parametrize("options", [{}, {"follow_symlinks": True}])
async def test_what_is_not_served(root, target, status, options):
    resource = StaticResource("/s", root, **options)
    assert (await ask(resource, target))[0] == status
    assert await ask(resource, target, "HEAD") == (status, b"")


@pytest.mark.parametrize("target", OUTSIDE)
@pytest.mark.parametrize("index", [False, True])
@pytest.mark.parametrize("system_tells", [True, False])
async def test_links_out_of_the_root(root, target, index, system_tells, monkeypatch):
    if not system_tells:
        monkeypatch.setattr(file_choice, "real_path", lambda _fd: None)
    status, body = await ask(StaticResource("/s", root, show_index=index), target)
    assert status == 404
    assert b"secret" not in body


async def test_links_out_of_the_root_are_followed_on_request(root):
    resource = StaticResource("/s", root, follow_symlinks=True)
    assert await ask(resource, "/s/link_out") == (200, b"secret")
    assert await ask(resource, "/s/link_root2/secret.txt") == (200, b"secret")
    assert (await ask(resource, "/s/link_root2"))[0] == (await ask(resource, "/s/link_null"))[0] == 403


@pytest.mark.parametrize("target", ["/sfoo", "/", "/S/a.txt", "/s%2fa.txt", "/x/../s/a.txt", "/x"])
async def test_other_paths(root, target):
    assert await ask(StaticResource("/s", root), target) == (0, b"")


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"])
async def test_other_methods(root, method):
    resource = StaticResource("/s", root)
    assert await ask(resource, "/s/a.txt", method) == (405, b"['GET', 'HEAD']")


PARTS = ["a", ".", "..", "/", "%2f", "%2e", "%5c", "\\", "%00", "sub", "secret.txt", "~", "%25"]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("place")
    (place / "secret.txt").write_text("the secret")
    (place / "root" / "sub").mkdir(parents=True)
    (place / "root" / "a").write_text("a")
    return place / "root"


@settings(max_examples=60, deadline=None)
@given(name=st.lists(st.sampled_from(PARTS), max_size=10).map("".join))
async def test_no_way_out(place, name):
    for options in ({}, {"show_index": True}, {"follow_symlinks": True}):
        status, body = await ask(StaticResource("/s", place, **options), f"/s/{name}")
        assert status in (200, 403, 404)
        assert b"secret" not in body


# The list of a directory


@pytest.fixture
def index(root: Path) -> StaticResource:
    return StaticResource("/s", root, show_index=True)


async def page(resource: StaticResource, target: str) -> str:
    status, body = await ask(resource, target)
    assert status == 200
    return body.decode()


async def test_the_list_of_a_directory(index):
    text = await page(index, "/s/sub")
    assert text == (
        '<!DOCTYPE html>\n<html>\n<head>\n<meta charset="utf-8">\n<title>Index of /sub</title>\n</head>\n<body>\n'
        '<h1>Index of /sub</h1>\n<ul>\n<li><a href="/s/sub/b.txt">b.txt</a></li>\n</ul>\n</body>\n</html>\n'
    )
    assert await page(index, "/s/sub/") == await page(index, "/s/sub/../sub") == text
    assert "<h1>Index of /empty</h1>" in await page(index, "/s/empty")
    assert "<h1>Index of /</h1>" in await page(index, "/s")
    assert await page(index, "/s") == await page(index, "/s/") == await page(index, "/s/sub/..")
    assert await ask(index, "/s", "HEAD") == (200, b"")


async def test_every_file_of_a_list_is_found_by_its_link(index, root):
    links = re.findall(r'<li><a href="([^"]*)">([^<]*)</a></li>', await page(index, "/s"))
    names = [html.unescape(name) for _, name in links]
    assert names == sorted(names)
    assert {name.rstrip("/") for name in names} == {each.name for each in root.iterdir()}
    assert {"sub/", "empty/", "link_dir/", "a.txt", ".hidden", "dangling"} <= set(names)
    for link, name in links:
        assert unquote(html.unescape(link)) == f"/s/{html.unescape(name)}".rstrip("/")
    for name in ("a+b%20c.txt", "#h?.txt", "s p.txt", "\u00e9.txt", "back\\slash.txt"):
        assert await ask(index, links[names.index(name)][0]) == (200, name.encode())


async def test_names_are_escaped(root):
    name = "<script>alert(1)<&\"'.txt"
    (root / "sub" / name).write_text("x")
    directory = root / '"><b>&'
    directory.mkdir()
    (directory / "c").write_text("c")
    index = StaticResource("/s", root, show_index=True)
    for target in ("/s/sub", "/s/%22%3E%3Cb%3E&", "/s"):
        text = await page(index, target)
        assert "<script" not in text
        assert "<b>" not in text
        assert not re.search(r"&(?!amp;|lt;|gt;|quot;|#x27;)", text)
        assert len(re.findall('"', text)) == 2 * len(re.findall("<a href=|<meta charset=", text))


async def test_names_that_are_not_utf_8(root):
    with open(os.fsencode(root / "sub") + b"/\xff\xfe.txt", "wb"):
        pass
    text = await page(StaticResource("/s", root, show_index=True), "/s/sub")
    assert '<a href="/s/sub/%FF%FE.txt">\ufffd\ufffd.txt</a>' in text


async def test_files_and_what_is_nothing_where_directories_are_listed(index):
    assert await ask(index, "/s/a.txt") == (200, b"a.txt")
    for target, status in REFUSED:
        if status == 404 or target == "/s/fifo":
            assert (await ask(index, target))[0] == status, target


async def test_a_directory_that_may_not_be_read(index, root, monkeypatch):
    if os.geteuid():
        (root / "empty").chmod(0)
    else:  # nothing is forbidden to root
        open_file = os.open

        def refused(path: str, *more: Any) -> int:
            if path == str(root / "empty"):
                raise PermissionError(errno.EACCES, "Permission denied")
            return open_file(path, *more)

        monkeypatch.setattr(os, "open", refused)
    try:
        assert (await ask(index, "/s/empty"))[0] == 403
    finally:
        (root / "empty").chmod(0o700)


async def test_the_list_of_a_directory_behind_a_link(root):
    index = StaticResource("/s", root, show_index=True, follow_symlinks=True)
    assert '<a href="/s/link_root2/secret.txt">' in await page(index, "/s/link_root2")
    assert '<a href="/s/link_dir/b.txt">' in await page(index, "/s/link_dir")


# URLs


def version_of(path: Path) -> str:
    return base64.urlsafe_b64encode(hashlib.sha256(path.read_bytes()).digest()).decode()


@pytest.mark.parametrize(
    ("name", "path"),
    [
        ("a.txt", "/s/a.txt"), ("/a.txt", "/s/a.txt"), ("//a.txt", "/s/a.txt"), ("s p.txt", "/s/s%20p.txt"),
        ("\u00e9.txt", "/s/%C3%A9.txt"), ("a+b%20c.txt", "/s/a+b%2520c.txt"), ("#h?.txt", "/s/%23h%3F.txt"),
        ("sub/b.txt", "/s/sub/b.txt"), (Path("a.txt"), "/s/a.txt"), (Path("/a.txt"), "/s/a.txt"),
        ("back\\slash.txt", "/s/back%5Cslash.txt"), ("link", "/s/link"),
    ],
)  # fmt: skip
async def test_urls_lead_back(root, name, path):
    resource = StaticResource("/s", root, append_version=True)
    plain = resource.url_for(filename=name, append_version=False)
    assert isinstance(plain, URL)
    assert str(plain) == path
    versioned = resource.url_for(filename=name)
    assert versioned.path == plain.path
    assert versioned.query == {"v": version_of(root / str(name).lstrip("/"))}
    assert (await ask(resource, str(versioned)))[0] == 200


@pytest.mark.parametrize(
    "name",
    [
        "none",
        "../secret.txt",
        "/../secret.txt",
        "link_out",
        "link_root2/secret.txt",
        "sub",
        "",
        ".",
        "fifo",
        "a\0b",
        "x" * 300,
    ],
)
def test_what_is_not_served_has_no_version(root, name):
    url = StaticResource("/s", root).url_for(filename=name, append_version=True)
    assert url.query_string == ""
    assert url.raw_path.startswith("/s/")


def test_versions_are_on_request_and_of_the_file_as_it_is(root):
    resource = StaticResource("/s", root)
    assert resource.url_for(filename="a.txt").query_string == ""
    first = resource.url_for(filename="a.txt", append_version=True)
    assert first == resource.url_for(filename="a.txt", append_version=True)
    (root / "a.txt").write_text("changed")
    second = resource.url_for(filename="a.txt", append_version=True)
    assert second != first
    assert second.query == {"v": version_of(root / "a.txt")}


def test_a_version_is_remembered(root, monkeypatch):
    resource = StaticResource("/s", root, append_version=True)
    first = resource.url_for(filename="a.txt")
    monkeypatch.delattr(os, "pread")
    assert resource.url_for(filename="a.txt") == first


def test_the_memory_for_versions_is_bounded(root, monkeypatch):
    from endwell.server import static

    monkeypatch.setattr(static, "_VERSIONS_MAX", 2)
    resource = StaticResource("/s", root, append_version=True)
    for name in ("a.txt", "s p.txt", "\u00e9.txt", "a.txt"):
        assert resource.url_for(filename=name).query
        assert len(resource._versions) <= 2


def test_urls_take_nothing_else(root):
    resource = StaticResource("/s", root)
    with pytest.raises(TypeError):
        resource.url_for()  # type: ignore[call-arg]
    with pytest.raises(TypeError):
        resource.url_for(filename="a.txt", x=1)  # type: ignore[call-arg]


# The resource


@pytest.mark.parametrize(("prefix", "canonical"), [("/s", "/s"), ("", ""), ("/p q", "/p%20q"), ("/\u00e9", "/%C3%A9")])
async def test_prefixes(root, prefix, canonical):
    resource = StaticResource(prefix, root)
    assert resource.canonical == canonical
    url = resource.url_for(filename="a.txt")
    assert str(url) == f"{canonical}/a.txt"
    assert await ask(resource, str(url)) == (200, b"a.txt")


async def test_a_prefix_before_the_prefix(root):
    resource = StaticResource("/s", root, show_index=True)
    resource.add_prefix("/app")
    assert str(resource.url_for(filename="a.txt")) == "/app/s/a.txt"
    assert await ask(resource, "/app/s/a.txt") == (200, b"a.txt")
    assert await ask(resource, "/s/a.txt") == (0, b"")
    assert '<a href="/app/s/sub/b.txt">' in await page(resource, "/app/s/sub")


def test_what_a_resource_says_of_itself(root):
    resource = StaticResource("/s", root, name="files")
    info = resource.get_info()
    assert (info["directory"], info["prefix"]) == (root, "/s")
    assert list(info["routes"]) == ["GET", "HEAD"]
    assert (len(resource), [route.method for route in resource]) == (2, ["GET", "HEAD"])
    assert {route.name for route in resource} == {"files"}
    assert repr(resource) == f"<StaticResource 'files' /s -> {root!r}>"


async def test_a_route_for_options(root):
    async def answer(request: Any) -> Any:
        raise NotImplementedError

    resource = StaticResource("/s", root)
    resource.set_options_route(answer)
    assert [route.method for route in resource] == ["GET", "HEAD", "OPTIONS"]
    found, _ = await resource.resolve(make_mocked_request("OPTIONS", "/s/a.txt"))
    assert found is not None
    assert found.handler is answer
    with pytest.raises(RuntimeError, match="OPTIONS already"):
        resource.set_options_route(answer)


def test_the_directory(root, monkeypatch):
    monkeypatch.setenv("HOME", str(root))
    assert StaticResource("/s", "~/sub")._directory == root / "sub"
    assert StaticResource("/s", root / "link_dir")._directory == root / "sub"
    monkeypatch.chdir(root)
    assert StaticResource("/s", "sub")._directory == root / "sub"
    for wrong in ("none", "a.txt", "loop", "link"):
        with pytest.raises(ValueError, match="files are served from"):
            StaticResource("/s", root / wrong)
    for wrong in (5, None):
        with pytest.raises(TypeError):
            StaticResource("/s", wrong)  # type: ignore[arg-type]


def test_what_is_wrong_is_said_when_it_is_made(root):
    with pytest.raises(ValueError, match="chunk_size is 0"):
        StaticResource("/s", root, chunk_size=0)
    with pytest.raises(TypeError, match="expect_handler"):
        StaticResource("/s", root, expect_handler=lambda request: None)  # type: ignore[arg-type, return-value]
    with pytest.raises(ValueError, match="prefix"):
        StaticResource("s", root)


async def test_through_the_router(root):
    router = UrlDispatcher()
    resource = router.add_static("/s/", root, name="files", chunk_size=1000)
    assert isinstance(resource, StaticResource)
    assert router["files"] is resource
    found = await router.resolve(make_mocked_request("GET", "/s/a.txt"))
    assert dict(found) == {"filename": "a.txt"}
    assert found.http_exception is None
    missed = await router.resolve(make_mocked_request("POST", "/s/a.txt"))
    assert missed.http_exception is not None
    assert missed.http_exception.status == 405
    with pytest.raises(ValueError, match="slash"):
        router.add_static("s", root)
