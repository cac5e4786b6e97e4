"""Where the notes are kept: SQLite, in one thread of its own, so that the event loop never waits for the disk."""

import asyncio
import sqlite3
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

Note = dict[str, Any]


class Store:
    """The notes. `open` it first, `close` it at the end."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._thread = ThreadPoolExecutor(1, "notes")

    async def open(self) -> None:
        await self._run(self._open)

    async def close(self) -> None:
        await self._run(self._close)
        self._thread.shutdown()

    async def all(self) -> list[Note]:
        rows = await self._run(lambda: self._db.execute("SELECT id, author, text FROM notes ORDER BY id").fetchall())
        return [_note(row) for row in rows]

    async def get(self, number: int) -> Note | None:
        query = "SELECT id, author, text FROM notes WHERE id = ?"
        row = await self._run(lambda: self._db.execute(query, (number,)).fetchone())
        return None if row is None else _note(row)

    async def add(self, author: str, text: str) -> Note:
        insert = "INSERT INTO notes (author, text) VALUES (?, ?)"
        number = await self._run(lambda: self._db.execute(insert, (author, text)).lastrowid)
        return _note((number, author, text))

    async def delete(self, number: int) -> bool:
        return bool(await self._run(lambda: self._db.execute("DELETE FROM notes WHERE id = ?", (number,)).rowcount))

    def _open(self) -> None:
        self._db = sqlite3.connect(self._path, isolation_level=None)
        self._db.execute("CREATE TABLE IF NOT EXISTS notes (id INTEGER PRIMARY KEY, author TEXT, text TEXT)")

    def _close(self) -> None:
        self._db.close()

    async def _run(self, function: Callable[[], Any]) -> Any:
        return await asyncio.get_running_loop().run_in_executor(self._thread, function)


def _note(row: tuple[Any, ...]) -> Note:
    return dict(zip(("id", "author", "text"), row, strict=True))
