"""The states of a resource, the tree, and what an owner refuses."""

from __future__ import annotations

import asyncio
import itertools

import pytest

from endwell.lifetime import Event, Owner, Resource, State, WrongLoopError
from endwell.lifetime.resource import ROOTS, transition

NEXT = {
    (State.OPEN, Event.STOP): State.STOPPED,
    (State.OPEN, Event.END): State.CLOSED,
    (State.OPEN, Event.FORK): State.FOREIGN,
    (State.STOPPED, Event.STOP): State.STOPPED,
    (State.STOPPED, Event.END): State.CLOSED,
    (State.STOPPED, Event.FORK): State.FOREIGN,
}


def owner() -> Owner:
    return Owner(asyncio.get_running_loop(), close_timeout=0, advice="close it")


@pytest.mark.parametrize(("state", "event"), list(itertools.product(State, Event)))
def test_every_event_in_every_state(state: State, event: Event) -> None:
    """What is closed stays closed, what is the parent's stays the parent's; nothing opens again."""
    assert transition(state, event) is NEXT.get((state, event), state)


def test_the_tree() -> None:
    root = Resource(None)
    first, second = Resource(root), Resource(root)
    below = Resource(first)
    assert list(root.subtree()) == [root, first, below, second]
    first.ended()
    first.ended()
    assert list(root.subtree()) == [root, second]
    assert first.state is State.CLOSED
    second.adopt(below)
    assert below.owner is second
    root.disown(below)  # not its own: nothing happens
    assert list(root.subtree()) == [root, second, below]


async def test_an_owner_is_a_root_until_it_has_ended() -> None:
    mine = owner()
    assert mine in ROOTS
    assert mine.admit()
    mine.ended()
    assert mine not in ROOTS
    assert not mine.admit()


def test_an_owner_belongs_to_its_loop(loop_kind: str) -> None:
    async def make() -> Owner:
        return owner()

    async def use(mine: Owner) -> None:
        with pytest.raises(WrongLoopError, match="which is closed") as caught:
            mine.admit()
        assert __file__ in str(caught.value)

    mine = asyncio.run(make())
    asyncio.run(use(mine))
    mine.ended()


async def test_holdings_are_at_most_ten_lines() -> None:
    mine = owner()
    for _ in range(25):
        Resource(mine)
    assert mine.holdings() == ("resource",) * 10 + ("and 15 more",)
    mine.ended()
