"""A small crawler: follows the links of one site, several pages at a time, and ends well on Ctrl-C too."""

import asyncio
import sys
from html.parser import HTMLParser

from yarl import URL

import endwell


class Links(HTMLParser):
    """Collects what `<a href>` names."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


class Crawler:
    """Fetches each page of a site once, with a few workers that share one session."""

    def __init__(self, session: endwell.ClientSession, start: str, most: int) -> None:
        self.session = session
        self.start = URL(start)
        self.most = most
        self.pages: dict[URL, int] = {}
        self.seen: set[URL] = set()
        self.queue: asyncio.Queue[URL] = asyncio.Queue()

    def add(self, url: URL) -> None:
        """Note a page that is to be fetched, unless it was, or belongs to another site."""
        if url not in self.seen and url.origin() == self.start.origin() and len(self.seen) < self.most:
            self.seen.add(url)
            self.queue.put_nowait(url)

    async def fetch(self, url: URL) -> None:
        """Fetch one page and note its links."""
        async with self.session.get(url) as response:
            self.pages[url] = response.status
            print(response.status, url)
            if response.ok and response.content_type == "text/html":
                parser = Links()
                parser.feed(await response.text(errors="replace"))
                for link in parser.found:
                    target = response.url.join(URL(link)).with_fragment(None)
                    if target.scheme in ("http", "https"):
                        self.add(target)

    async def work(self) -> None:
        """Fetch page after page."""
        while True:
            url = await self.queue.get()
            try:
                await self.fetch(url)
            except (endwell.ClientError, TimeoutError, ValueError) as error:
                print(f"{url}: {type(error).__name__}: {error}", file=sys.stderr)
            finally:
                self.queue.task_done()

    async def run(self, workers: int) -> None:
        """Fetch the site."""
        self.add(self.start)
        tasks = [self.session.create_task(self.work()) for _ in range(workers)]
        await self.queue.join()
        for task in tasks:
            task.cancel()


async def main(start: str, *, most: int = 100, workers: int = 8) -> dict[str, int]:
    async with endwell.ClientSession(
        timeout=endwell.ClientTimeout(total=30),
        middlewares=[endwell.RetryMiddleware(attempts=3), endwell.RateLimitMiddleware(20, burst=5)],
    ) as session:
        crawler = Crawler(session, start, most)
        await crawler.run(workers)
    return {str(url): status for url, status in crawler.pages.items()}


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1] if len(sys.argv) > 1 else "https://example.org/"))
