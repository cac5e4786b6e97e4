"""Folders, locks and descriptors."""

import asyncio
import os
from contextlib import suppress
from pathlib import Path

import pytest

from endwell.cli.inputs import check_url
from endwell.cli.output import BodyTooLargeError, DescriptorWriter, FolderSink, InputOutputError, check_size


def test_a_folder_is_made_and_locked_against_another_run(tmp_path: Path) -> None:
    with FolderSink(tmp_path / "a" / "b"):
        assert (tmp_path / "a" / "b").is_dir()
        with pytest.raises(InputOutputError, match="another endwell"):
            FolderSink(tmp_path / "a" / "b")
    FolderSink(tmp_path / "a" / "b").close()


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(InputOutputError, match="file"):
        FolderSink(tmp_path / "file")


def test_a_url_under_way_is_not_fetched_twice(tmp_path: Path) -> None:
    job = check_url("http://h/a")
    with FolderSink(tmp_path) as sink:
        assert sink.claim(job)
        assert not sink.claim(check_url("http://me:pw@h/a#part"))
        assert sink.claim(check_url("http://h/b"))
        sink.release(job)
        assert sink.claim(job)


@pytest.mark.parametrize("name", ["h+80/a", "h+80/a~0e2a6af1a8f6ab3e"])
def test_what_is_on_disk_is_fetched_again_only_without_resume(tmp_path: Path, name: str) -> None:
    job = check_url("http://h/a")
    with FolderSink(tmp_path, resume=True) as sink:
        assert sink.claim(job)
        sink.release(job)
        (tmp_path / "h+80").mkdir()
        (tmp_path / "h+80" / ".a.endwell-part").touch()  # an earlier run was killed
        assert sink.claim(job)
        sink.release(job)
        (tmp_path / name).touch()
        found = sink.claim(job)
    assert found is (name != "h+80/a")
    with FolderSink(tmp_path) as sink:
        assert sink.claim(job)


def test_size_limit() -> None:
    check_size(10, 10)
    check_size(10, None)
    with pytest.raises(BodyTooLargeError, match="10 bytes"):
        check_size(11, 10)


async def test_a_slow_pipe_does_not_hold_up_the_loop() -> None:
    reader, writer = os.pipe()
    try:
        os.set_blocking(reader, False)
        data = os.urandom(300_000)  # more than a pipe holds
        output = DescriptorWriter(writer, "pipe")
        one = asyncio.ensure_future(output.write(data))
        two = asyncio.ensure_future(output.write(b"the end"))
        received = bytearray()
        while not one.done() or not two.done():
            await asyncio.sleep(0)  # the loop runs although nobody has read yet
            with suppress(BlockingIOError):
                received += os.read(reader, 65536)
        await one
        await two
        with suppress(BlockingIOError):
            received += os.read(reader, 65536)
        assert bytes(received) == data + b"the end"
    finally:
        os.close(reader)
        os.close(writer)


async def test_a_write_that_waits_can_be_cancelled() -> None:
    reader, writer = os.pipe()
    try:
        output = DescriptorWriter(writer, "pipe")
        task = asyncio.ensure_future(output.write(bytes(300_000)))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    finally:
        os.close(reader)
        os.close(writer)


async def test_a_pipe_that_nobody_reads_any_more_ends_the_run() -> None:
    reader, writer = os.pipe()
    os.close(reader)
    try:
        with pytest.raises(InputOutputError, match="pipe: Broken pipe"):
            await DescriptorWriter(writer, "pipe").write(b"x")
    finally:
        os.close(writer)


async def test_a_file_is_written_to_the_end(tmp_path: Path) -> None:
    fd = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    try:
        await DescriptorWriter(fd, "file").write(bytes(3 << 20))
    finally:
        os.close(fd)
    assert (tmp_path / "file").stat().st_size == 3 << 20
