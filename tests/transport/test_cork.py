"""What is written in one pass of the loop goes out at its end, in order, or when much has come together."""

import asyncio
from typing import Any

import pytest

from endwell.lifetime import Owner, State
from endwell.transport.cork import MOST, Cork
from endwell.transport.stream import Stream


class Sink(asyncio.Transport):
    """The outside: a transport that remembers what it was told to write."""

    def __init__(self, log: list[bytes]) -> None:
        super().__init__()
        self.log = log
        self.closing = False
        self.refusing = False

    def write(self, data: Any) -> None:
        if self.refusing:
            message = "unable to perform operation"
            raise RuntimeError(message)
        self.log.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closing

    def abort(self) -> None:
        self.closing = True


def streams(number: int, log: list[bytes]) -> tuple[Owner, list[Stream]]:
    loop = asyncio.get_running_loop()
    owner = Owner(loop, close_timeout=0, advice="")
    made = []
    for _ in range(number):
        stream = Stream(owner, loop)
        stream.connection_made(Sink(log))
        made.append(stream)
    return owner, made


def end(owner: Owner, made: list[Stream]) -> None:
    for stream in made:
        stream.connection_lost(None)
    owner.ended()


async def test_writes_of_a_pass_go_out_at_its_end_in_order() -> None:
    log: list[bytes] = []
    owner, made = streams(3, log)
    cork = Cork(asyncio.get_running_loop())
    for index, stream in enumerate(made):
        cork.write(stream, b"%d" % index)
    assert log == []
    await asyncio.sleep(0)
    assert log == [b"0", b"1", b"2"]
    end(owner, made)


async def test_a_task_that_starts_later_writes_later() -> None:
    log: list[bytes] = []
    owner, made = streams(1, log)
    cork = Cork(asyncio.get_running_loop())

    async def body() -> None:
        assert made[0].transport is not None
        made[0].transport.write(b"body")

    cork.write(made[0], b"head")
    await asyncio.create_task(body())
    assert log == [b"head", b"body"]
    end(owner, made)


async def test_many_writes_do_not_wait() -> None:
    log: list[bytes] = []
    owner, made = streams(MOST, log)
    cork = Cork(asyncio.get_running_loop())
    for stream in made:
        cork.write(stream, b"x")
    assert len(log) == MOST
    cork.write(made[0], b"next")
    assert len(log) == MOST
    await asyncio.sleep(0)
    assert log[-1] == b"next"
    end(owner, made)


async def test_nothing_is_written_to_a_connection_that_was_closed_meanwhile() -> None:
    log: list[bytes] = []
    owner, made = streams(2, log)
    cork = Cork(asyncio.get_running_loop())
    cork.write(made[0], b"secret")
    cork.write(made[1], b"fine")
    made[0].discard()
    await asyncio.sleep(0)
    assert log == [b"fine"]
    assert [stream.held for stream in made] == [True, False], "what was not written stays known as such"
    end(owner, made)


async def test_a_stream_tells_whether_its_write_is_held_back() -> None:
    log: list[bytes] = []
    owner, made = streams(2, log)
    cork = Cork(asyncio.get_running_loop())
    assert not made[0].held
    cork.write(made[0], b"x")
    assert [stream.held for stream in made] == [True, False]
    cork.flush()
    assert not made[0].held
    end(owner, made)


@pytest.mark.parametrize("number", [3, MOST])
async def test_a_write_that_fails_fails_alone(number: int) -> None:
    log: list[bytes] = []
    owner, made = streams(number, log)
    cork = Cork(asyncio.get_running_loop())
    sink: Any = made[1].transport
    sink.refusing = True
    for stream in made:
        cork.write(stream, b"x")
    await asyncio.sleep(0)
    assert log == [b"x"] * (number - 1)
    assert [index for index, stream in enumerate(made) if stream.state is not State.OPEN] == [1]
    end(owner, made)
