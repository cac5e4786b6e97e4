"""The service of `examples/notes`, by its API; `tests/functional/test_browser.py` uses its page."""

from __future__ import annotations

import asyncio
import hashlib
import importlib
import json
import os
import re
import sys
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from yarl import URL

import endwell
from endwell.test_utils import TestClient, TestServer
from tests.support.closing import until

EXAMPLE = Path(__file__).parents[2] / "examples" / "notes"


def _modules(name: str, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    monkeypatch.setattr(sys, "path", [str(EXAMPLE), *sys.path])
    yield importlib.import_module(name)
    for each in ("live", "notes", "store"):
        sys.modules.pop(each, None)


@pytest.fixture
def notes(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    yield from _modules("notes", monkeypatch)


@pytest.fixture
def live(monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    yield from _modules("live", monkeypatch)


@asynccontextmanager
async def signed_in(module: ModuleType, folder: Path) -> AsyncIterator[TestClient[Any, Any]]:
    async with TestClient(TestServer(module.make_app(folder))) as client:
        assert await answer(client.post("/api/session", json={"name": "Ann"})) == (200, {"name": "Ann"})
        yield client


async def answer(request: Any) -> tuple[int, Any]:
    async with request as response:
        return response.status, await response.json()


def test_it_differs_from_a_program_for_aiohttp_by_its_import_only() -> None:
    lines = (EXAMPLE / "notes.py").read_text(encoding="utf-8").split("\n")
    assert [line for line in lines if "endwell" in line] == ["from endwell import web"]
    assert "endwell" not in (EXAMPLE / "store.py").read_text(encoding="utf-8")
    surface = json.loads((Path(__file__).parents[1] / "compat/surface.json").read_text(encoding="utf-8"))
    assert set(re.findall(r"\bweb\.(\w+)", "\n".join(lines))) <= set(surface["web names"])


async def test_notes(notes: ModuleType, tmp_path: Path) -> None:
    async with signed_in(notes, tmp_path) as client:
        _, links = await answer(client.get("/api"))
        assert set(links) == {"notes", "session", "files"}
        assert await answer(client.get(links["notes"])) == (200, [])
        async with client.post(links["notes"], json={"text": " milk "}) as response:
            note = await response.json()
            assert (response.status, response.headers["Location"]) == (201, "/api/notes/1")
        assert note == {"id": 1, "author": "Ann", "text": "milk"}
        assert await answer(client.get("/api/notes/1")) == (200, note)
        async with client.delete("/api/notes/1") as response:
            assert response.status == 204
        assert (await answer(client.delete("/api/notes/1")))[0] == 404
    async with TestClient(TestServer(notes.make_app(tmp_path))) as client:  # the database was closed, and is there
        assert await answer(client.get("/api/notes")) == (200, [])


@pytest.mark.parametrize(
    ("body", "status"), [(b"{", 400), (b"\xff", 400), (b"[]", 422), (b'{"text": 1}', 422), (b'{"text": " "}', 422)]
)
async def test_what_is_no_note_is_refused(notes: ModuleType, tmp_path: Path, body: bytes, status: int) -> None:
    async with signed_in(notes, tmp_path) as client:
        said = await answer(client.post("/api/notes", data=body))
    assert said[0] == status
    assert set(said[1]) == {"error"}


async def test_errors_are_json(notes: ModuleType, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async def broken(_: Any) -> Any:
        raise ValueError("a secret")

    app = notes.make_app(tmp_path)
    app.router.add_get("/api/broken", broken)
    async with TestClient(TestServer(app)) as client:
        assert await answer(client.get("/api/nothing")) == (404, {"error": "404: Not Found"})
        assert await answer(client.get("/api/broken")) == (500, {"error": "500: Internal Server Error"})
        async with client.put("/api/notes") as response:
            assert response.headers["Allow"] == "GET,POST"
        async with client.get("/nothing") as response:
            assert response.content_type == "text/plain"
    assert "ValueError: a secret" in caplog.text


async def test_sessions(notes: ModuleType, tmp_path: Path) -> None:
    secret = b"s" * 32
    nobody, ann = {"name": None}, {"name": "Ann"}
    good = notes.sign({"name": "Ann", "until": time.time() + 9}, secret)
    text, _, mac = good.partition(".")
    cookies = {
        good: ann,
        notes.sign({"name": "Ann", "until": time.time() - 1}, secret): nobody,
        notes.sign({"name": "Ann", "until": time.time() + 9}, b"other"): nobody,
        f"{text[:-2]}7d.{mac[:-1]}": nobody,
        f"{b'{}'.hex()}.": nobody,
        "\u00e4.\u00e4": nobody,
    }
    async with TestClient(TestServer(notes.make_app(tmp_path, secret))) as client:
        for cookie, who in cookies.items():
            field = f"session={cookie}"
            assert await answer(client.get("/api/session", headers={"Cookie": field})) == (200, who), cookie
        assert (await answer(client.post("/api/notes", json={"text": "x"})))[0] == 401
        async with client.post("/api/session", json={"name": "Ann"}) as response:
            assert re.search("HttpOnly; Max-Age=604800; Path=/; SameSite=Lax$", response.headers["Set-Cookie"])
        async with client.delete("/api/session") as response:
            assert "Max-Age=0" in response.headers["Set-Cookie"]
        assert await answer(client.get("/api/session")) == (200, nobody)


async def test_files(notes: ModuleType, tmp_path: Path) -> None:
    content = os.urandom(2_000_000)
    form = endwell.FormData({"comment": "not a file"}, quote_fields=False)
    form.add_field("file", content, filename="photo.jpg")
    form.add_field("file", b"second", filename="../../notes.db")
    async with signed_in(notes, tmp_path) as client:
        status, saved = await answer(client.post("/api/files", data=form))
        assert (status, [each["name"] for each in saved]) == (201, ["photo.jpg", "_.._notes.db"])
        assert saved[0]["sha256"] == hashlib.sha256(content).hexdigest()
        _, listed = await answer(client.get("/api/files"))
        assert [(each["name"], each["size"]) for each in listed] == [("_.._notes.db", 6), ("photo.jpg", 2_000_000)]
        async with client.get(listed[1]["url"], headers={"Range": "bytes=5-9"}) as response:
            assert (response.status, await response.read()) == (206, content[5:10])
            assert response.headers["Content-Disposition"] == "attachment"
        for name in ("..%2Fnotes.db", "missing", ".hidden", "%00"):
            async with client.get(URL(f"/api/files/{name}", encoded=True)) as response:
                assert response.status == 404


async def test_an_upload_that_is_refused_or_cut_short_leaves_nothing(
    notes: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(notes, "MAX_FILE", 100_000)
    files = tmp_path / "files"

    async def endless() -> AsyncIterator[bytes]:
        while True:
            yield bytes(1000)

    async with signed_in(notes, tmp_path) as client:
        with endwell.MultipartWriter("form-data") as form:
            part = form.append(endless())
            part.set_content_disposition("form-data", name="file", filename="endless")
            assert (await answer(client.post("/api/files", data=form)))[0] == 413
        assert (await answer(client.post("/api/files", data=b"x")))[0] == 415
        empty = endwell.FormData({"comment": "not a file"}, default_to_multipart=True)
        assert (await answer(client.post("/api/files", data=empty)))[0] == 422
        assert list(files.iterdir()) == []

        cookie = client.session.cookie_jar.filter_cookies(client.make_url("/"))["session"].value
        _, writer = await asyncio.open_connection(client.host, client.port)
        writer.write(
            b"POST /api/files HTTP/1.1\r\nHost: here\r\nContent-Length: 90000\r\nCookie: session=%b\r\n"
            b"Content-Type: multipart/form-data; boundary=b\r\n\r\n"
            b'--b\r\nContent-Disposition: form-data; name="file"; filename="half"\r\n\r\nonly' % cookie.encode()
        )
        await until(lambda: len(list(files.iterdir())) == 1)
        assert next(files.iterdir()).name.startswith(".")
        writer.transport.abort()
        await until(lambda: not list(files.iterdir()))


async def test_live(live: ModuleType, tmp_path: Path) -> None:
    async with signed_in(live, tmp_path) as client:
        _, links = await answer(client.get("/api"))
        response = await client.get(links["events"])
        async with endwell.sse(response, reconnect=False) as events:
            first = await anext(events)
            assert (first.id, first.json()) == ("0", {"seconds": 0, "watchers": 1})
            second = await anext(events)
            assert second.json()["seconds"] == 1
            report = await client.server.close()
            assert [event async for event in events] == []
        assert report is not None
        assert not report.aborted
