"""A chat: one room, nicknames, who comes and goes, and what was said last. It goes on when the server is restarted.

Each line goes through a database (SQLite), which all workers read on from: so it does not matter which of them a member
talks to, and a line that its author has got back is not lost.

    endwell serve chat:make_app --workers 2
    python chat.py --port 8080
"""

import argparse
import asyncio
import json
import logging
import os
import sqlite3
from collections import deque
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

from endwell import web

STATIC = Path(__file__).parent / "static"
HISTORY = 200
"""Lines that are kept."""
POLL = 0.2
"""Seconds after which a worker looks for what was said at the others."""
PATIENCE = 20.0
"""Seconds that a member has to take a line."""
MAX_TEXT = 2000

Line = dict[str, Any]


class Room:
    """What was said, in the order of the database, as far as this process has read it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, "chat")  # the event loop never waits for the disk
        self._lines: deque[Line] = deque(maxlen=HISTORY)
        self._news = asyncio.Condition()
        self._said = asyncio.Event()

    async def open(self) -> None:
        await self._run(self._open)
        self._lines.extend(await self._run(self._read, 0))

    async def close(self) -> None:
        await self._run(self._close)
        self._thread.shutdown()

    async def say(self, name: str, text: str, key: str) -> None:
        """Keep a line; what has the key of a line that is there was sent a second time, and is kept once."""
        await self._run(self._add, name, text, key)
        self._said.set()

    async def note(self, kind: str, name: str) -> None:
        """Keep that somebody has joined or left, if that is news."""
        await self._run(self._note, kind, name)
        self._said.set()

    async def after(self, number: int) -> list[Line]:
        """Wait for lines with higher numbers than this one; of more than `HISTORY` lines, the last ones."""
        async with self._news:
            await self._news.wait_for(lambda: self._last > number)
            return [line for line in self._lines if line["id"] > number]

    async def follow(self) -> None:
        """Read what is new in the database, for ever: at once what was said here, soon what was said elsewhere."""
        while True:
            self._said.clear()
            lines = await self._run(self._read, self._last)
            if lines:
                async with self._news:
                    self._lines.extend(lines)
                    self._news.notify_all()
            try:
                async with asyncio.timeout(POLL):
                    await self._said.wait()
            except TimeoutError:
                pass

    @property
    def _last(self) -> int:
        return int(self._lines[-1]["id"]) if self._lines else 0

    # In the thread

    async def _run(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function, *arguments)

    def _open(self) -> None:
        self._db = sqlite3.connect(self._path, isolation_level=None, timeout=30)
        self._db.execute(
            "CREATE TABLE IF NOT EXISTS lines"
            " (id INTEGER PRIMARY KEY AUTOINCREMENT, key TEXT UNIQUE, kind TEXT, name TEXT, text TEXT)"
        )

    def _close(self) -> None:
        self._db.close()

    def _read(self, number: int) -> list[Line]:
        rows = self._db.execute("SELECT id, key, kind, name, text FROM lines WHERE id > ? ORDER BY id", (number,))
        return [dict(zip(("id", "key", "kind", "name", "text"), row, strict=True)) for row in rows]

    def _add(self, name: str, text: str, key: str) -> None:
        line = (key, name, text)
        self._db.execute("INSERT OR IGNORE INTO lines (key, kind, name, text) VALUES (?, 'said', ?, ?)", line)
        self._forget()

    def _note(self, kind: str, name: str) -> None:
        last = "SELECT kind FROM lines WHERE name = ? AND kind != 'said' ORDER BY id DESC LIMIT 1"
        news = f"INSERT INTO lines (kind, name, text) SELECT ?, ?, '' WHERE ? IS NOT ({last})"
        self._db.execute(news, (kind, name, kind, name))
        self._forget()

    def _forget(self) -> None:
        self._db.execute("DELETE FROM lines WHERE id <= (SELECT MAX(id) FROM lines) - ?", (HISTORY,))


ROOM = web.AppKey("ROOM", Room)
FOLLOWER = web.AppKey("FOLLOWER", asyncio.Task)

routes = web.RouteTableDef()


@routes.get("/")
async def page(request: web.Request) -> web.StreamResponse:
    return web.FileResponse(STATIC / "index.html")


@routes.get("/chat")
async def chat(request: web.Request) -> web.StreamResponse:
    """Talk to a member; who comes back says with `since` what it has."""
    name, since = request.query.get("name", "").strip(), request.query.get("since", "0")
    if not 0 < len(name) <= 40 or not (since.isascii() and since.isdecimal() and len(since) < 16):
        raise web.HTTPBadRequest(text="Say who you are: /chat?name=Ann")
    room = request.app[ROOM]
    ws = web.WebSocketResponse(heartbeat=20, max_msg_size=16 * MAX_TEXT)
    await ws.prepare(request)
    sender = request.create_task(send_lines(ws, room, int(since)), name=f"lines for {name}")
    try:
        await room.note("joined", name)
        while True:
            message = await ws.receive()
            if message.type is not web.WSMsgType.TEXT:
                break
            try:
                text, key = read(message.data)
            except ValueError as error:
                await ws.close(code=web.WSCloseCode.POLICY_VIOLATION, message=str(error).encode())
                break
            await room.say(name, text, key)
        if message.type is web.WSMsgType.CLOSING:
            await ws.close()  # we send it away, and it comes back: wait until it has heard so
        else:
            await room.note("left", name)
    finally:
        sender.cancel()
    return ws


async def send_lines(ws: web.WebSocketResponse, room: Room, number: int) -> None:
    """Send what is new, at the member's own pace: who reads slowly holds nobody up, and costs no memory."""
    try:
        while True:
            for line in await room.after(number):
                async with asyncio.timeout(PATIENCE):
                    await ws.send_json(line)
                number = line["id"]
    except TimeoutError:
        await ws.close(code=web.WSCloseCode.TRY_AGAIN_LATER, message=b"too slow")
    except ConnectionResetError:
        pass  # the member has gone, which the handler sees too


def read(message: str) -> tuple[str, str]:
    """Take a message of a member apart: `{"text": what it says, "key": made up by the member, no two alike}`."""
    try:
        data = json.loads(message)
        text, key = data["text"], data["key"]
        fits = 0 < len(text.strip()) <= MAX_TEXT and 8 <= len(key) <= 64
        (text + key).encode()  # JSON has strings that are no text
    except (ValueError, LookupError, TypeError, AttributeError):
        fits = False
    if not fits:
        raise ValueError("a message is an object with text and key")
    return text.strip(), key


# The application


async def open_room(app: web.Application) -> AsyncIterator[None]:
    """Run from the start of the application to its `yield`, and on from there when the last member has gone."""
    await app[ROOM].open()
    app[FOLLOWER] = app.create_task(app[ROOM].follow(), name="follower")
    yield
    await app[ROOM].close()


async def stop(app: web.Application) -> None:
    """End what would never end by itself. The members need nothing: the server closes WebSockets with 1001."""
    app[FOLLOWER].cancel()


def make_app(database: Path | None = None) -> web.Application:
    """Make the application; the database is $CHAT_DATABASE, or chat.db in the current folder, if none is given."""
    app = web.Application()
    app[ROOM] = Room(database or Path(os.environ.get("CHAT_DATABASE", "chat.db")))
    app.add_routes(routes)
    app.router.add_static("/static", STATIC)
    app.cleanup_ctx.append(open_room)
    app.on_shutdown.append(stop)
    return app


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="a chat")
    parser.add_argument("--database", type=Path, help="where what is said is kept")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--port", type=int, default=8080)
    given = parser.parse_args()
    logging.basicConfig(level=logging.INFO)
    web.run_app(make_app(given.database), host=given.host, port=given.port)
