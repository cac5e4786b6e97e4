"""A folder as a server: pages for folders, lists, what is not shown, and no way out."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from yarl import URL

from endwell.service.folder import folder_app
from endwell.test_utils import TestClient, TestServer
from tests.support.programs import TEXT

PAGE = "<p>page</p>"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    for name in ("docs", "empty", "a:b", ".git", ".well-known", "v1.0"):
        (root / name).mkdir(parents=True)
    (root / "index.html").write_text(PAGE)
    (root / "docs" / "index.html").write_text("<p>docs</p>")
    (root / "docs" / "text.txt").write_bytes(TEXT)
    (root / "docs" / "text.txt.gz").write_bytes(b"coded")
    (root / "a:b" / "x.md").write_text("# x")
    (root / ".git" / "config").write_text("secret")
    (root / ".env").write_text("secret")
    (root / ".well-known" / "security.txt").write_text("Contact: me")
    (root / "v1.0" / "code.js").write_text("1")
    (root / "empty" / 'we"ird <b>&.txt').write_text("x")
    (root / "empty" / "folder").mkdir()
    (root / "empty" / ".hidden").write_text("secret")
    (tmp_path / "outside").mkdir()
    (tmp_path / "outside" / "index.html").write_text("secret")
    (root / "link").symlink_to(tmp_path / "outside")
    (root / "inside").symlink_to(root / "docs")
    return root


def client(folder: Path, **options: bool) -> TestClient:
    return TestClient(TestServer(folder_app(str(folder), **options)))


async def asked(client: TestClient, path: str, method: str = "GET", **options: object) -> tuple[int, str, str]:
    url = URL(f"{str(client.make_url('/')).rstrip('/')}{path}", encoded=True)
    response = await client.session.request(method, url, allow_redirects=False, **options)
    return response.status, response.headers.get("Content-Type", ""), await response.text()


async def test_files_and_folders(folder: Path) -> None:
    async with client(folder) as here:
        assert await asked(here, "/") == (200, "text/html", PAGE)
        assert await asked(here, "/docs/") == (200, "text/html", "<p>docs</p>")
        assert await asked(here, "/inside/") == (200, "text/html", "<p>docs</p>")
        assert await asked(here, "/a:b/x.md") == (200, "text/markdown; charset=utf-8", "# x")
        assert (await asked(here, "/v1.0/code.js"))[0::2] == (200, "1")
        assert (await asked(here, "/empty/"))[0] == 403
        for path in ("/nothing", "/docs/nothing", "/docs/text.txt/", "/index.html/x", "/docs/index.html/"):
            assert (await asked(here, path))[0] == 404, path
        assert (await asked(here, "/", "POST"))[0] == 405


async def test_what_a_response_has(folder: Path) -> None:
    async with client(folder) as here:
        plain = {"Accept-Encoding": "identity"}
        async with here.head("/docs/text.txt", headers=plain) as response:
            assert response.status == 200
            assert int(response.headers["Content-Length"]) == len(TEXT)
            assert response.headers["Cache-Control"] == "no-cache"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            tag = response.headers["ETag"]
        async with here.get("/docs/text.txt", headers={**plain, "If-None-Match": tag}) as response:
            assert response.status == 304
        async with here.get("/docs/text.txt", headers={**plain, "Range": "bytes=0-3"}) as response:
            assert (response.status, await response.read()) == (206, TEXT[:4])
        async with here.get("/docs/text.txt", headers={"Accept-Encoding": "gzip"}, auto_decompress=False) as response:
            assert response.headers["Content-Encoding"] == "gzip"
            assert response.headers["Content-Type"] == "text/plain; charset=utf-8"
            assert await response.read() == b"coded"
        async with here.head("/docs/") as response:
            assert (response.status, response.headers["Content-Length"]) == (200, "11")


async def test_a_folder_without_its_slash(folder: Path) -> None:
    """The way to it is relative: it holds behind a proxy that strips a prefix, and leads to no other host."""
    async with client(folder) as here:
        for path, where in (
            ("/docs", "./docs/"),
            ("/docs?x=1&y=%20", "./docs/?x=1&y=%20"),
            ("/a:b", "./a:b/"),
            ("/v1.0", "./v1.0/"),
        ):
            async with here.get(path, allow_redirects=False) as response:
                assert (response.status, response.headers["Location"]) == (302, where)
        async with here.get("/docs") as response:
            assert (response.status, response.url.path, await response.text()) == (200, "/docs/", "<p>docs</p>")


async def test_there_is_no_way_out(folder: Path) -> None:
    async with client(folder, listing=True, spa=True) as here:
        for path in (
            "/..%2foutside/index.html", "/link/", "/link", "/link/index.html", "/%2e%2e/outside/index.html",
            "/.git/config", "/.git", "/.git/", "/.env", "/docs/%00", "/docs/..%2f.git/config",
            "/docs/..%2f..%2foutside/", "//outside/", "/docs//../../outside/",
        ):  # fmt: skip
            status, _, text = await asked(here, path)
            assert "secret" not in text, path
            assert status == 404 or text == PAGE, path
        assert await asked(here, "/.well-known/security.txt") == (200, "text/plain; charset=utf-8", "Contact: me")


async def test_a_list(folder: Path) -> None:
    async with client(folder, listing=True) as here:
        status, kind, text = await asked(here, "/empty/")
        assert (status, kind) == (200, "text/html; charset=utf-8")
        assert '<a href="./folder/">folder/</a>' in text
        assert '<a href="./we%22ird%20%3Cb%3E%26.txt">we&quot;ird &lt;b&gt;&amp;.txt</a></td><td>1</td>' in text
        assert '<a href="../">' in text
        assert "hidden" not in text
        assert text.index("folder/") < text.index("ird")
        assert (await asked(here, "/"))[2] == PAGE  # an index comes before a list
        async with here.head("/empty/") as response:
            assert int(response.headers["Content-Length"]) == len(text.encode())
        (folder / "index.html").unlink()
        text = (await asked(here, "/"))[2]
        assert ".git" not in text
        assert ".well-known/" in text
        assert '<a href="./a%3Ab/">' in text
        assert '<a href="../">' not in text


@pytest.mark.skipif(os.getuid() == 0, reason="nothing is forbidden to root")
async def test_what_may_not_be_read(folder: Path) -> None:
    (folder / "empty").chmod(0)
    try:
        async with client(folder, listing=True) as here:
            assert (await asked(here, "/empty/"))[0] == 403
    finally:
        (folder / "empty").chmod(0o700)


async def test_a_program_in_the_browser(folder: Path) -> None:
    async with client(folder, spa=True) as here:
        assert await asked(here, "/users/7") == (200, "text/html", PAGE)
        assert await asked(here, "/users/7/") == (200, "text/html", PAGE)
        assert (await asked(here, "/missing.js"))[0] == 404
        html = {"Accept": "text/html,*/*;q=0.8"}
        assert await asked(here, "/users/j.doe", headers=html) == (200, "text/html", PAGE)
        assert await asked(here, "/docs/") == (200, "text/html", "<p>docs</p>")
        assert (await asked(here, "/users/7", "POST"))[0] == 405
        (folder / "index.html").unlink()
        assert (await asked(here, "/users/7"))[0] == 404


def test_there_must_be_a_folder(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="static files are served from a directory"):
        folder_app(str(tmp_path / "nothing"))
