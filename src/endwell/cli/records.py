"""JSON lines: one record for each URL, appended whole; what a broken run left is repaired. Used by `run` and `fetch`.

The fields of a record are described for users in docs/how-to/endwell-get.md.
"""

import base64
import json
import os
import re
import stat
from array import array
from bisect import bisect_left
from hashlib import blake2b
from pathlib import Path
from typing import IO, Any

from yarl import URL

from endwell.cli.inputs import Job
from endwell.cli.names import url_key
from endwell.cli.output import Arrival, DescriptorWriter, InputOutputError, Sink, check_size, take_lock, write_all

__all__ = ["BODY_LIMIT", "Fetched", "RecordFile", "RecordSink", "body_fields"]

BODY_LIMIT = 8 << 20
"""Bytes of a body that a record holds unless `--max-body` says otherwise; it is in memory until its line is written."""

_BUCKETS = 4096
_BEGINNING = b'{"url": "'  # of every record; what was cut off on resume began so, a file of somebody else's does not

# The charsets a peer may choose. Python has codecs that are none (rot13) or take quadratic time (punycode).
_CHARSET = re.compile(
    r"(?:utf-?(?:8|16|32)|iso-8859-|windows-|koi8-|gb|big5|shift[-_]jis|euc-|us-ascii\Z)", re.IGNORECASE
)


class Fetched:
    """The URLs that a file of records has: 8 bytes for each (a hash), so that ten million take 80 MB."""

    def __init__(self) -> None:
        self._buckets: list[array[int]] = [array("Q") for _ in range(_BUCKETS)]
        self._sorted = True

    def add(self, key: str) -> None:
        """Note a URL (as `url_key` writes it)."""
        value = self._hash(key)
        self._buckets[value % _BUCKETS].append(value)
        self._sorted = False

    def __contains__(self, key: str) -> bool:
        if not self._sorted:
            self._buckets = [array("Q", sorted(bucket)) for bucket in self._buckets]
            self._sorted = True
        value = self._hash(key)
        bucket = self._buckets[value % _BUCKETS]
        place = bisect_left(bucket, value)
        return place < len(bucket) and bucket[place] == value

    @staticmethod
    def _hash(key: str) -> int:
        return int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest(), "big")


class RecordFile:
    """A file that grows by whole lines.

    With `resume` an existing file is read and continued: a last line without its end is cut off (`repaired` says how
    many bytes), `fetched` then has the URLs of all records without an error. Without it an existing file must be
    empty.
    """

    def __init__(self, path: Path, *, resume: bool = False, fsync: bool = False) -> None:
        self.fetched = Fetched()
        self.repaired = 0
        self._path = path
        self._fsync = fsync
        try:
            self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC, 0o666)
        except OSError as error:
            raise InputOutputError(f"{path}: {error.strerror}") from error
        try:
            self._start(resume)
        except OSError as error:
            self.close()
            raise InputOutputError(f"{path}: {error.strerror}") from error
        except InputOutputError:
            self.close()
            raise

    def close(self) -> None:
        """Close the file; idempotent."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    async def write(self, line: bytes) -> None:
        """Append one line. If that fails (the disk is full) its beginning is taken back and InputOutputError raised."""
        try:
            write_all(self._fd, line)
            if self._fsync:
                os.fsync(self._fd)
        except OSError as error:
            if self._regular:
                os.ftruncate(self._fd, self._size)
            raise InputOutputError(f"{self._path}: {error.strerror}") from error
        self._size += len(line)

    def _start(self, resume: bool) -> None:
        status = os.fstat(self._fd)
        self._regular = stat.S_ISREG(status.st_mode)
        self._size = status.st_size
        if not self._regular:
            return
        take_lock(self._fd, self._path)
        if not self._size:
            return
        if not resume:
            raise InputOutputError(f"{self._path} has records already: continue it with --resume, or name another file")
        with open(self._fd, "rb", closefd=False) as file:
            whole = self._read(file)
        self.repaired = self._size - whole
        if self.repaired:
            os.ftruncate(self._fd, whole)
        self._size = whole

    def _read(self, file: IO[bytes]) -> int:
        """Note what is fetched; gives the size of the file up to the end of its last whole line."""
        whole = 0
        for number, line in enumerate(file, 1):
            if not line.endswith(b"\n"):
                if not line.startswith(_BEGINNING[: len(line)]):
                    raise self._foreign(number)
                break
            key = self._key(line, number)
            if key is not None:
                self.fetched.add(key)
            whole += len(line)
        return whole

    def _key(self, line: bytes, number: int) -> str | None:
        try:
            record = json.loads(line)
            return None if record.get("error") else url_key(URL(record["url"]))
        except (ValueError, TypeError, KeyError, AttributeError, RecursionError):
            raise self._foreign(number) from None

    def _foreign(self, number: int) -> InputOutputError:
        return InputOutputError(
            f"{self._path}:{number} is not a record of endwell get; the file was left as it is, name another"
        )


class RecordSink(Sink):
    """Writes a record for each URL, failures included, to a file or to standard output."""

    keeps_failures = True

    def __init__(self, target: RecordFile | DescriptorWriter, limit: int | None = BODY_LIMIT) -> None:
        self._target = target
        self._limit = limit

    def claim(self, job: Job) -> bool:
        """Say no to a URL that has a record without an error from an earlier run."""
        return not (isinstance(self._target, RecordFile) and url_key(job.url) in self._target.fetched)

    def close(self) -> None:
        """Close the file of records; standard output stays open."""
        if isinstance(self._target, RecordFile):
            self._target.close()

    async def store(self, arrival: Arrival) -> None:
        """Read the body and write the record."""
        response = arrival.response
        body = bytearray()
        async for chunk in response.content.iter_any():
            check_size(len(body) + len(chunk), self._limit)
            body += chunk
            arrival.received(len(chunk))
        record: dict[str, Any] = {
            "url": url_key(arrival.job.url),
            "final_url": url_key(response.url),
            "status": response.status,
            "headers": [[_text(name), _text(value)] for name, value in response.raw_headers],
            "elapsed": round(arrival.elapsed(), 6),
            **body_fields(bytes(body), response.charset),
        }
        if arrival.error is not None:
            record["error"] = {"type": "HTTPStatus", "message": arrival.error}
        await self._write(record)

    async def store_error(self, job: Job, name: str, message: str, seconds: float) -> None:
        """Write the record of a URL that has no response, or none that could be kept."""
        error = {"type": name, "message": message}
        await self._write({"url": url_key(job.url), "elapsed": round(seconds, 6), "error": error})

    async def _write(self, record: dict[str, Any]) -> None:
        await self._target.write(json.dumps(record, ensure_ascii=False).encode("utf-8", "backslashreplace") + b"\n")


def body_fields(body: bytes, charset: str | None) -> dict[str, str]:
    """Write a body as text if it is text in its charset (else UTF-8) and can be had back exactly, else as base64."""
    for name in dict.fromkeys((charset or "utf-8", "utf-8")):
        if not _CHARSET.match(name):
            continue
        try:
            text = body.decode(name)
            if text.encode(name) == body and "\0" not in text:
                return {"body": text, "charset": name.lower()}
        except (ValueError, LookupError):  # other bytes; no such charset, or one that is no text encoding
            continue
    return {"base64": base64.b64encode(body).decode("ascii")}


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")
