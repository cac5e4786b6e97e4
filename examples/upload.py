"""Upload a file twice, as it is and as a field of a form, and learn how far it got."""

import asyncio
import sys
from pathlib import Path

import endwell


async def main(url: str, path: Path) -> int:
    tracker = endwell.UploadTracker()
    async with endwell.ClientSession(raise_for_status=True) as session:
        with path.open("rb") as file:
            async with session.put(url, data=file, upload_tracker=tracker) as response:
                print("as it is:", response.status)
        await tracker.upload_complete  # raises UploadAbortedError if it was cut short
        print(f"{tracker.bytes_written} bytes in attempt {tracker.attempts}")

        form = endwell.FormData({"title": "a file"})
        with path.open("rb") as file:
            form.add_field("file", file, filename=path.name, content_type="application/octet-stream")
            async with session.post(url, data=form) as response:
                print("as a form:", response.status)
    return tracker.bytes_written


if __name__ == "__main__":
    if len(sys.argv) != 3:
        sys.exit("usage: upload.py URL FILE")
    asyncio.run(main(sys.argv[1], Path(sys.argv[2])))
