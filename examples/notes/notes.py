"""Notes: a service as in the tutorials of aiohttp. With `from aiohttp import web` instead it runs unchanged.

A REST API (a table of routes, a class view), errors as JSON, sessions in a signed cookie, uploads streamed to disk,
static files, a page that uses it all, and a database that is opened at the start and closed at the end. There are no
passwords: whoever says a name has it.

    python notes.py --folder data --port 8080
"""

import argparse
import asyncio
import hashlib
import hmac
import json
import logging
import re
import secrets
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO, Any

from store import Store

from endwell import web

STATIC = Path(__file__).parent / "static"
SESSION_SECONDS = 7 * 24 * 3600
MAX_FILE = 64 * 2**20

FOLDER = web.AppKey("FOLDER", Path)
SECRET = web.AppKey("SECRET", bytes)
STORE = web.AppKey("STORE", Store)
SESSION = web.RequestKey("SESSION", dict)

log = logging.getLogger("notes")
routes = web.RouteTableDef()


# The page, and where the API begins


@routes.get("/")
async def page(request: web.Request) -> web.StreamResponse:
    return web.FileResponse(STATIC / "index.html")


@routes.get("/api")
async def links(request: web.Request) -> web.StreamResponse:
    """Say what there is, so that a client has to know one path only."""
    router = request.app.router
    names = ("notes", "session", "files", "events")
    return web.json_response({name: str(router[name].url_for()) for name in names if name in router})


# Notes


@routes.view("/api/notes", name="notes")
class Notes(web.View):
    async def get(self) -> web.StreamResponse:
        return web.json_response(await self.request.app[STORE].all())

    async def post(self) -> web.StreamResponse:
        author = name_of(self.request)
        note = await self.request.app[STORE].add(author, await field(self.request, "text"))
        location = self.request.app.router["note"].url_for(id=str(note["id"]))
        return web.json_response(note, status=201, headers={"Location": str(location)})


@routes.get(r"/api/notes/{id:\d{1,18}}", name="note")
async def get_note(request: web.Request) -> web.StreamResponse:
    note = await request.app[STORE].get(int(request.match_info["id"]))
    if note is None:
        raise web.HTTPNotFound
    return web.json_response(note)


@routes.delete(r"/api/notes/{id:\d{1,18}}")
async def delete_note(request: web.Request) -> web.StreamResponse:
    name_of(request)
    if not await request.app[STORE].delete(int(request.match_info["id"])):
        raise web.HTTPNotFound
    return web.Response(status=204)


async def field(request: web.Request, name: str) -> str:
    """Give a field of a JSON object, which must be some text."""
    try:
        data = await request.json()
    except ValueError:
        raise web.HTTPBadRequest(text="The body is not JSON.") from None
    value = data.get(name) if isinstance(data, dict) else None
    if not isinstance(value, str) or not value.strip():
        raise web.HTTPUnprocessableEntity(text=f"The field {name!r} must be some text.")
    return value.strip()


# Sessions


@routes.get("/api/session", name="session")
async def who(request: web.Request) -> web.StreamResponse:
    return web.json_response({"name": request[SESSION].get("name")})


@routes.post("/api/session")
async def sign_in(request: web.Request) -> web.StreamResponse:
    request[SESSION]["name"] = await field(request, "name")
    return await who(request)


@routes.delete("/api/session")
async def sign_out(request: web.Request) -> web.StreamResponse:
    request[SESSION].clear()
    return web.Response(status=204)


def name_of(request: web.Request) -> str:
    """Give who asks; nobody is refused."""
    name = request[SESSION].get("name")
    if name is None:
        raise web.HTTPUnauthorized(text="Say who you are first.", headers={"WWW-Authenticate": "Session"})
    return str(name)


@web.middleware
async def sessions(request: web.Request, handler: Any) -> web.StreamResponse:
    """Keep `request[SESSION]` in a cookie, which the client can read and can't change."""
    secret = request.app[SECRET]
    session = request[SESSION] = read(request.cookies.get("session", ""), secret)
    before = dict(session)
    response: web.StreamResponse = await handler(request)
    if session != before and not response.prepared:
        if session:
            value = sign({**session, "until": int(time.time()) + SESSION_SECONDS}, secret)
            response.set_cookie(
                "session", value, max_age=SESSION_SECONDS, httponly=True, samesite="Lax", secure=request.secure
            )
        else:
            response.del_cookie("session")
    return response


def sign(session: dict[str, Any], secret: bytes) -> str:
    text = json.dumps(session).encode().hex()
    return f"{text}.{hmac.digest(secret, text.encode(), 'sha256').hex()}"


def read(value: str, secret: bytes) -> dict[str, Any]:
    """Give the session that a cookie holds, an empty one if we have not signed it, or too long ago."""
    text, _, mac = value.encode("utf-8", "surrogateescape").partition(b".")
    if not hmac.compare_digest(mac, hmac.digest(secret, text, "sha256").hex().encode()):
        return {}
    session: dict[str, Any] = json.loads(bytes.fromhex(text.decode()))
    return session if session.pop("until") > time.time() else {}


# Files


@routes.get("/api/files", name="files")
async def list_files(request: web.Request) -> web.StreamResponse:
    files = await asyncio.to_thread(sizes, request.app[FOLDER] / "files")
    url_for = request.app.router["file"].url_for
    return web.json_response([{"name": name, "size": size, "url": str(url_for(name=name))} for name, size in files])


def sizes(folder: Path) -> list[tuple[str, int]]:
    return sorted((path.name, path.stat().st_size) for path in folder.iterdir() if not path.name.startswith("."))


@routes.post("/api/files")
async def upload(request: web.Request) -> web.StreamResponse:
    """Save the files of a form; they are never in memory as a whole."""
    name_of(request)
    if request.content_type != "multipart/form-data":
        raise web.HTTPUnsupportedMediaType(text="Send the files as multipart/form-data.")
    folder = request.app[FOLDER] / "files"
    saved = [await save(part, folder) async for part in await request.multipart() if part.filename]
    if not saved:
        raise web.HTTPUnprocessableEntity(text="There is no file in the form.")
    return web.json_response(saved, status=201)


async def save(part: Any, folder: Path) -> dict[str, Any]:
    """Write a part to disk as it comes; a thread waits for the disk."""
    name = safe(part.filename)
    size, digest = 0, hashlib.sha256()
    with aside(folder / name) as file:
        while chunk := await part.read_chunk(2**16):
            size += len(chunk)
            if size > MAX_FILE:
                raise web.HTTPRequestEntityTooLarge(MAX_FILE, size)
            digest.update(chunk)
            await asyncio.to_thread(file.write, chunk)
    return {"name": name, "size": size, "sha256": digest.hexdigest()}


@contextmanager
def aside(target: Path) -> Iterator[IO[bytes]]:
    """Give a file that gets its name when the block has ended well, and is gone otherwise."""
    file = tempfile.NamedTemporaryFile(dir=target.parent, prefix=".", delete=False)  # noqa: SIM115 - the block is below
    try:
        with file:
            yield file
        Path(file.name).replace(target)
    finally:
        Path(file.name).unlink(missing_ok=True)


@routes.get("/api/files/{name}", name="file")
async def download(request: web.Request) -> web.StreamResponse:
    name = request.match_info["name"]
    if name != safe(name):  # it may hold anything, slashes too
        raise web.HTTPNotFound
    headers = {"Content-Disposition": "attachment", "X-Content-Type-Options": "nosniff"}
    return web.FileResponse(request.app[FOLDER] / "files" / name, headers=headers)


def safe(name: str) -> str:
    """Make the name of a file of what a client says: never a path, never hidden."""
    return re.sub(r"[^\w.-]", "_", name)[-60:].lstrip(".") or "file"


# The application


@web.middleware
async def errors(request: web.Request, handler: Any) -> web.StreamResponse:
    """Answer errors of the API as JSON."""
    try:
        response: web.StreamResponse = await handler(request)
        return response
    except web.HTTPException as error:
        if error.status < 400 or not request.path.startswith("/api"):
            raise
        headers = {name: error.headers[name] for name in ("Allow", "WWW-Authenticate") if name in error.headers}
        return web.json_response({"error": error.text}, status=error.status, headers=headers)
    except Exception:
        log.exception("Error while %s %s was handled", request.method, request.path)
        return web.json_response({"error": "500: Internal Server Error"}, status=500)


async def open_store(app: web.Application) -> AsyncIterator[None]:
    """Run from the start of the application to its `yield`, and on from there at its end."""
    (app[FOLDER] / "files").mkdir(parents=True, exist_ok=True)
    app[STORE] = Store(app[FOLDER] / "notes.db")
    await app[STORE].open()
    yield
    await app[STORE].close()


def make_app(folder: Path, secret: bytes | None = None) -> web.Application:
    """Make the application; without a secret all sessions end with the process."""
    app = web.Application(middlewares=[sessions, errors])
    app[FOLDER] = folder
    app[SECRET] = secret or secrets.token_bytes(32)
    app.add_routes(routes)
    app.router.add_static("/static", STATIC)
    app.cleanup_ctx.append(open_store)
    return app


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="keep notes and files")
    parser.add_argument("--folder", type=Path, default=Path("notes-data"), help="where they are kept")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    return parser.parse_args()


if __name__ == "__main__":
    given = arguments()
    logging.basicConfig(level=logging.INFO)
    web.run_app(make_app(given.folder), host=given.host, port=given.port)
