"""Files of JSON lines: continued, repaired, never somebody else's."""

import base64
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.cli.output import InputOutputError
from endwell.cli.records import Fetched, RecordFile, body_fields


def line(url: str, **more: object) -> bytes:
    return json.dumps({"url": url, **more}).encode() + b"\n"


async def test_lines_are_appended_whole(tmp_path: Path) -> None:
    path = tmp_path / "records"
    records = RecordFile(path)
    await records.write(b"one\n")
    await records.write(b"two\n")
    records.close()
    assert path.read_bytes() == b"one\ntwo\n"


def test_an_existing_file_is_not_touched_without_resume(tmp_path: Path) -> None:
    path = tmp_path / "records"
    path.write_bytes(line("http://h/a"))
    with pytest.raises(InputOutputError, match="--resume"):
        RecordFile(path)
    assert path.read_bytes() == line("http://h/a")


@given(st.data())
def test_a_file_cut_anywhere_is_repaired(tmp_path_factory: pytest.TempPathFactory, data: st.DataObject) -> None:
    lines = [line(f"http://h/{number}", body="ä" * number) for number in range(4)]
    whole = b"".join(lines)
    cut = data.draw(st.integers(0, len(whole)))
    path = tmp_path_factory.mktemp("records") / "file"
    path.write_bytes(whole[:cut])
    records = RecordFile(path, resume=True)
    records.close()
    left = path.read_bytes()
    assert whole.startswith(left)
    assert cut - len(left) == records.repaired < max(map(len, lines))
    assert left.endswith(b"\n") or not left
    for number in range(4):
        assert (f"http://h/{number}" in records.fetched) == (number < left.count(b"\n"))


def test_failures_are_not_counted_as_fetched(tmp_path: Path) -> None:
    path = tmp_path / "records"
    path.write_bytes(
        line("http://h/a", error={"type": "TimeoutError"}) + line("http://h/b") + line("http://h/a", error=None)
    )
    records = RecordFile(path, resume=True)
    records.close()
    assert "http://h/a" in records.fetched
    assert "http://h/b" in records.fetched
    path.write_bytes(line("http://h/a", error={"type": "TimeoutError"}))
    records = RecordFile(path, resume=True)
    records.close()
    assert "http://h/a" not in records.fetched


@pytest.mark.parametrize(
    "content",
    [
        b"my diary",
        b"my diary\n",
        b"[1]\n",
        b'{"a": 1}\n',
        b'{"url": 1}\n',
        line("http://h/") + b"my diary\n",
        b'{"url": "'[1:],
    ],
)
def test_a_file_of_somebody_else_is_left_as_it_is(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "records"
    path.write_bytes(content)
    with pytest.raises(InputOutputError, match="not a record"):
        RecordFile(path, resume=True)
    assert path.read_bytes() == content


def test_two_runs_do_not_write_the_same_file(tmp_path: Path) -> None:
    records = RecordFile(tmp_path / "records")
    with pytest.raises(InputOutputError, match="another endwell"):
        RecordFile(tmp_path / "records")
    records.close()


async def test_a_full_disk_ends_the_run() -> None:
    if not Path("/dev/full").exists():
        pytest.skip("no /dev/full")
    records = RecordFile(Path("/dev/full"))
    try:
        with pytest.raises(InputOutputError, match="/dev/full"):
            await records.write(b"x\n")
    finally:
        records.close()


@given(st.lists(st.text(max_size=8)), st.text(max_size=8))
def test_the_set_of_fetched_urls(keys: list[str], other: str) -> None:
    fetched = Fetched()
    for key in keys:
        fetched.add(key)
        assert key in fetched
    assert all(key in fetched for key in keys)
    assert (other in fetched) == (other in keys)


@given(
    st.binary(),
    st.sampled_from([None, "utf-8", "latin-1", "iso-8859-1", "utf-16", "no-such", "punycode", "rot13", "hex"]),
)
def test_every_body_comes_back(body: bytes, charset: str | None) -> None:
    record = json.loads(json.dumps(body_fields(body, charset)))
    back = record["body"].encode(record["charset"]) if "body" in record else base64.b64decode(record["base64"])
    assert back == body


@pytest.mark.parametrize(
    ("body", "charset", "fields"),
    [
        (b"caf\xc3\xa9", None, {"body": "café", "charset": "utf-8"}),
        (b"caf\xe9", "ISO-8859-1", {"body": "café", "charset": "iso-8859-1"}),
        (b"caf\xe9", None, {"base64": "Y2Fm6Q=="}),
        (b"a\0b", "utf-8", {"base64": "YQBi"}),
        (b"abc", "punycode", {"body": "abc", "charset": "utf-8"}),
        (b"", None, {"body": "", "charset": "utf-8"}),
    ],
)
def test_text_stays_readable(body: bytes, charset: str | None, fields: dict[str, str]) -> None:
    assert body_fields(body, charset) == fields
