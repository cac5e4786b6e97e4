"""The chat on the command line: what comes is printed, what is typed is said.

It comes back by itself, as the page does. Ctrl-D leaves.

    python client.py Ann http://127.0.0.1:8080
"""

import asyncio
import random
import secrets
import sys
from contextlib import suppress

from yarl import URL

import endwell

FORMS = {"said": "{name}: {text}", "joined": "* {name} has joined", "left": "* {name} has left"}


class Member:
    """Somebody in the chat: what has been heard, and what was said and did not come back yet."""

    def __init__(self, name: str, url: URL, words: asyncio.StreamReader) -> None:
        self.name, self.url, self.words = name, url, words
        self.heard = 0
        self.unheard: dict[str, str] = {}
        self.leaving = False

    async def stay(self) -> None:
        """Connect, again and again, until there is nothing more to say and all of it has come back."""
        pause = 0.25
        async with endwell.ClientSession() as session:
            while True:
                url = self.url.with_path("/chat").with_query(name=self.name, since=self.heard)
                try:
                    async with session.ws_connect(url, heartbeat=20) as ws:
                        pause = 0.25
                        speaking = session.create_task(self.speak(ws))
                        await self.listen(ws)
                        speaking.cancel()
                    reason = f"the connection has ended ({ws.close_code})"
                except (endwell.ClientConnectionError, TimeoutError) as error:
                    reason = str(error)
                if self.leaving and not self.unheard:
                    return
                print(f"* {reason}, connecting again", file=sys.stderr)
                await asyncio.sleep(pause * random.uniform(0.5, 1))  # not all members at the same time
                pause = min(2 * pause, 10)

    async def speak(self, ws: endwell.ClientWebSocketResponse) -> None:
        with suppress(ConnectionResetError):  # it is said again on the next connection
            for key, text in list(self.unheard.items()):
                await ws.send_json({"key": key, "text": text})
            while line := await self.words.readline():
                if text := line.decode().strip():
                    key = secrets.token_hex(8)
                    self.unheard[key] = text
                    await ws.send_json({"key": key, "text": text})
            self.leaving = True
            await self.leave(ws)

    async def listen(self, ws: endwell.ClientWebSocketResponse) -> None:
        async for message in ws:
            line = message.json()
            self.heard = line["id"]
            self.unheard.pop(line["key"], None)
            print(FORMS[line["kind"]].format(**line), flush=True)
            await self.leave(ws)

    async def leave(self, ws: endwell.ClientWebSocketResponse) -> None:
        if self.leaving and not self.unheard:
            await ws.close()


async def main(name: str, url: str = "http://127.0.0.1:8080") -> None:
    words = asyncio.StreamReader()
    await asyncio.get_running_loop().connect_read_pipe(lambda: asyncio.StreamReaderProtocol(words), sys.stdin)
    await Member(name, URL(url), words).stay()


if __name__ == "__main__":
    asyncio.run(main(*sys.argv[1:]))
