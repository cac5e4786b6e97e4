"""The status channel: whole objects however the bytes are cut, limits, both kinds of end."""

from __future__ import annotations

import asyncio
import itertools
import json
import socket
from typing import Any, Self

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.service.channel import LONGEST, Channel, pair


class End:
    """A channel whose other end is a bare socket."""

    def __init__(self) -> None:
        ours, self.sock = pair()
        self.heard: list[Any] = []
        self.gone = asyncio.Event()
        self.news = asyncio.Event()
        self.channel = Channel(asyncio.get_running_loop(), ours, self._hear, self.gone.set)

    def _hear(self, message: dict[str, Any]) -> None:
        self.heard.append(message)
        self.news.set()

    async def hears(self, count: int) -> list[Any]:
        while len(self.heard) < count:
            self.news.clear()
            await self.news.wait()
        return self.heard

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.channel.close()
        self.sock.close()


MESSAGES = st.lists(st.dictionaries(st.text(max_size=5), st.integers() | st.text(max_size=20)), max_size=5)


@given(messages=MESSAGES, cuts=st.lists(st.integers(0, 200), max_size=6))
async def test_any_cut_of_the_bytes_gives_the_same_objects(messages: list[dict[str, Any]], cuts: list[int]) -> None:
    data = b"".join(json.dumps(each).encode() + b"\n" for each in messages)
    places = sorted({min(cut, len(data)) for cut in cuts} | {0, len(data)})
    with End() as end:
        for start, stop in itertools.pairwise(places):
            end.sock.sendall(data[start:stop])
            await asyncio.sleep(0)
        assert await end.hears(len(messages)) == messages


async def test_what_is_sent_is_a_line_of_json() -> None:
    with End() as end:
        assert end.channel.send({"state": "ready", "text": "a\nb"})
        data = end.sock.recv(4096)
    assert data.count(b"\n") == 1
    assert json.loads(data) == {"state": "ready", "text": "a\nb"}


async def test_an_error_is_cut_to_fit_and_nothing_else_is() -> None:
    with End() as end:
        assert end.channel.send({"state": "failed", "error": "begin" + "x" * LONGEST + "end"})
        data = b""
        while not data.endswith(b"\n"):
            data += end.sock.recv(LONGEST)
        error = json.loads(data)["error"]
        assert error.startswith("begin")
        assert error.endswith("end")
        assert len(data) < LONGEST
        with pytest.raises(ValueError, match="too long for the status channel"):
            end.channel.send({"plan": "x" * LONGEST})


@pytest.mark.parametrize("data", [b"nonsense\n", b"[]\n", b"[" * 5000 + b"\n", b"\xff\n", b"\n"])
async def test_what_is_no_object_ends_the_channel(data: bytes) -> None:
    with End() as end:
        end.sock.sendall(b'{"a": 1}\n' + data + b'{"b": 2}\n')
        await end.gone.wait()
        assert end.heard == [{"a": 1}]
        assert not end.channel.send({})


async def test_a_line_without_an_end_ends_the_channel() -> None:
    with End() as end:
        end.sock.setblocking(False)
        sent = 0
        while not end.gone.is_set():
            try:
                sent += end.sock.send(b"x" * 10_000)
            except BlockingIOError:
                pass
            except (BrokenPipeError, ConnectionResetError):
                break
            await asyncio.sleep(0)
            assert sent < 10 * LONGEST
        await end.gone.wait()
        assert end.heard == []


async def test_the_end_of_the_other_is_told_once_and_its_last_words_count() -> None:
    with End() as end:
        end.sock.sendall(b'{"a": 1}\n{"half"')
        end.sock.close()
        await end.gone.wait()
        assert end.heard == [{"a": 1}]
        assert not end.channel.send({"b": 2})
        end.channel.close()


async def test_drain_hears_what_has_come() -> None:
    with End() as end:
        end.sock.sendall(b'{"a": 1}\n')
        end.channel.drain()
        assert end.heard == [{"a": 1}]
        assert not end.gone.is_set()


async def test_closed_by_what_it_hears_it_says_no_more() -> None:
    ours, theirs = pair()
    heard: list[Any] = []
    done = asyncio.Event()

    def hear(message: dict[str, Any]) -> None:
        heard.append(message)
        channel.close()
        done.set()

    channel = Channel(asyncio.get_running_loop(), ours, hear, lambda: heard.append("gone"))
    with theirs:
        theirs.sendall(b'{"a": 1}\n{"b": 2}\n')
        await done.wait()
        assert theirs.recv(1) == b""
    assert heard == [{"a": 1}]


async def test_an_other_end_that_does_not_read_is_not_waited_for() -> None:
    with End() as end:
        results = [end.channel.send({"text": "x" * 1000}) for _ in range(3000)]
        assert not all(results)
        assert not end.gone.is_set()
        end.sock.setblocking(False)
        data = b""
        try:
            while piece := end.sock.recv(LONGEST):
                data += piece
        except BlockingIOError:
            pass
        whole = data.split(b"\n")[:-1]
        assert {json.loads(line)["text"] for line in whole} == {"x" * 1000}


def test_both_ends_are_not_inherited() -> None:
    ours, theirs = pair()
    with ours, theirs:
        assert not ours.get_inheritable()
        assert not theirs.get_inheritable()
        assert ours.family == socket.AF_UNIX
