from __future__ import annotations

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from endwell.client.pool import Decision, Pool


class Conn:
    """A connection as the pool sees it."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.idle_since = 0.0
        self.at_its_end = False

    def ending(self) -> bool:
        return self.at_its_end

    def __repr__(self) -> str:
        return f"<Conn {self.key} {id(self):x}>"


def pool(limit: int = 2, per_host: int = 0, keepalive: float = 10.0) -> Pool:
    return Pool(limit, per_host, keepalive)


@pytest.mark.parametrize(
    ("limit", "per_host", "keys", "expected"),
    [
        (2, 0, "aaa", "OOW"),
        (2, 0, "abc", "OOW"),
        (0, 0, "aaaaaaaa", "OOOOOOOO"),
        (0, 1, "aab", "OWO"),
        (3, 1, "aabcd", "OWOOW"),
        (1, 1, "ab", "OW"),
        (2, 5, "aaa", "OOW"),
    ],
)
def test_who_may_open_a_connection(limit, per_host, keys, expected):
    shared = pool(limit, per_host)
    decisions = [shared.take(key, 0.0) for key in keys]
    assert "".join("O" if decision is Decision.OPEN else "W" for decision in decisions) == expected
    assert shared.in_use == expected.count("O")


def test_the_connection_used_last_is_reused_first():
    shared = pool(limit=3)
    old, new, other = Conn("a"), Conn("a"), Conn("b")
    for number, each in enumerate((old, other, new)):
        shared.put(each, float(number))
    assert shared.idle() == [old, other, new]
    assert shared.oldest == 0.0
    assert shared.take("a", 3.0) is new
    assert shared.take("a", 3.0) is old
    assert shared.take("a", 3.0) is Decision.OPEN
    assert shared.idle() == [other]


def test_a_connection_whose_end_has_begun_is_passed_over():
    shared = pool(limit=4)
    old, good, ending, last = (Conn("a") for _ in range(4))
    for number, each in enumerate((old, good, ending, last)):
        shared.put(each, float(number))
    ending.at_its_end = last.at_its_end = True
    assert shared.take("a", 10.5) is good
    assert shared.take("a", 10.5) is Decision.OPEN, "the one that is left is too old"
    assert shared.idle() == [old]


def test_one_that_waits_is_not_given_a_connection_whose_end_has_begun():
    shared = pool(limit=1)
    assert shared.take("a", 0.0) is Decision.OPEN
    shared.wait("waiter", "a")
    each = Conn("a")
    shared.put(each, 0.0)
    each.at_its_end = True
    shared.leave("a")
    assert shared.grant("a", 0.0) == ("waiter", Decision.OPEN)
    assert shared.idle() == []
    assert not shared.remove(each)


def test_a_connection_that_was_idle_for_too_long_is_not_reused():
    shared = pool(keepalive=10)
    each = Conn("a")
    shared.put(each, 5.0)
    assert shared.expired(14.9) == []
    assert shared.take("a", 15.0) is Decision.OPEN
    assert shared.idle() == [each], "it is still to be closed"
    assert shared.expired(15.0) == [each]
    assert shared.oldest is None


def test_who_wants_a_fresh_one_gets_a_fresh_one():
    shared = pool()
    each = Conn("a")
    shared.put(each, 0.0)
    assert shared.take("a", 0.0, fresh=True) is Decision.OPEN
    assert shared.idle() == [each]


def test_surplus_names_the_oldest_idle_connection_when_sockets_are_too_many():
    shared = pool(limit=2)
    old, new = Conn("a"), Conn("b")
    shared.put(old, 0.0)
    shared.put(new, 1.0)
    assert shared.surplus() is None
    assert shared.take("c", 2.0) is Decision.OPEN
    assert shared.surplus() is old
    assert shared.surplus() is None
    assert shared.idle() == [new]
    assert pool(limit=0).surplus() is None


def test_first_come_first_served():
    shared = pool(limit=1)
    shared.take("a", 0.0)
    for waiter, key in (("first", "b"), ("second", "a"), ("third", "b")):
        assert shared.take(key, 0.0) is Decision.WAIT
        shared.wait(waiter, key)
    assert set(shared.waiters()) == {"first", "second", "third"}
    served = []
    held = "a"
    for _ in range(3):
        shared.leave(held)
        waiter, decision = shared.grant(held, 0.0)
        assert decision is Decision.OPEN
        assert shared.in_use == 1
        held = {"first": "b", "second": "a", "third": "b"}[waiter]
        served.append(waiter)
    assert served == ["first", "second", "third"]
    assert not shared.queued
    shared.leave(held)
    assert shared.grant(held, 0.0) is None
    assert shared.in_use == 0


def test_who_waits_for_a_full_host_does_not_hold_up_the_others():
    shared = pool(limit=2, per_host=1)
    shared.take("a", 0.0)
    shared.take("b", 0.0)
    shared.wait("a2", "a")
    shared.wait("c1", "c")
    shared.leave("b")
    assert shared.grant("b", 0.0) == ("c1", Decision.OPEN)
    shared.leave("a")
    assert shared.grant("a", 0.0) == ("a2", Decision.OPEN)


def test_a_waiter_is_given_the_idle_connection():
    shared = pool(limit=1)
    shared.take("a", 0.0)
    shared.wait("w", "a")
    each = Conn("a")
    shared.put(each, 1.0)
    shared.leave("a")
    assert shared.grant("a", 1.0) == ("w", each)
    assert shared.idle() == []


def test_who_gives_up_is_passed_over():
    shared = pool(limit=1)
    shared.take("a", 0.0)
    shared.wait("one", "a")
    shared.wait("two", "a")
    shared.give_up("one", "a")
    shared.give_up("one", "a")
    shared.give_up("nobody", "z")
    shared.leave("a")
    assert shared.grant("a", 0.0)[0] == "two"
    assert not shared.queued


def test_remove_tells_whether_it_was_idle():
    shared = pool()
    each = Conn("a")
    assert shared.remove(each) is False
    shared.put(each, 0.0)
    assert shared.remove(each) is True
    assert shared.remove(each) is False
    assert shared.take("a", 0.0) is Decision.OPEN


KEYS = st.sampled_from("abc")


class PoolMachine(RuleBasedStateMachine):
    """Callers come, wait, give up, are served and leave; connections are kept, expire and die.

    The machine does what the connector does around the pool, and knows by itself where each connection is.
    """

    def __init__(self) -> None:
        super().__init__()
        self.pool: Pool = Pool(3, 2, 10.0)
        self.now = 0.0
        self.number = 0
        self.idle: list[Conn] = []
        self.holding: list[Conn] = []
        self.queue: list[tuple[int, str]] = []

    @rule(limit=st.integers(0, 4), per_host=st.integers(0, 3))
    @precondition(lambda self: not self.number)
    def begin(self, limit, per_host):
        self.pool = Pool(limit, per_host, 10.0)

    def free(self, key: str) -> bool:
        limit, per_host = self.pool.limit, self.pool.limit_per_host
        used = sum(each.key == key for each in self.holding)
        return (not limit or len(self.holding) < limit) and (not per_host or used < per_host)

    def pass_over(self, key: str) -> None:
        """Forget those whose end has begun, as far as the pool looks at them."""
        for each in [each for each in reversed(self.idle) if each.key == key]:
            if not each.at_its_end or self.now - each.idle_since >= 10.0:
                return
            self.idle.remove(each)

    def serve(self, decision: Conn | Decision, key: str) -> None:
        fresh = [each for each in self.idle if each.key == key and self.now - each.idle_since < 10.0]
        if decision is Decision.OPEN:
            surplus = self.pool.surplus()
            if surplus is not None:
                assert surplus is self.idle[0]
                self.idle.remove(surplus)
            self.holding.append(Conn(key))
        else:
            assert decision is fresh[-1], "the one used last"
            self.idle.remove(decision)
            self.holding.append(decision)

    @rule(key=KEYS, fresh=st.booleans())
    def come(self, key, fresh):
        self.number += 1
        free = self.free(key)
        decision = self.pool.take(key, self.now, fresh=fresh)
        assert (decision is not Decision.WAIT) is free
        if decision is Decision.WAIT:
            self.pool.wait(self.number, key)
            self.queue.append((self.number, key))
        else:
            assert not fresh or decision is Decision.OPEN
            if not fresh:
                self.pass_over(key)
            reusable = any(each.key == key and self.now - each.idle_since < 10.0 for each in self.idle)
            assert (decision is Decision.OPEN) is (fresh or not reusable)
            self.serve(decision, key)

    @rule(data=st.data(), keep=st.booleans())
    @precondition(lambda self: self.holding)
    def leave(self, data, keep):
        each = data.draw(st.sampled_from(self.holding))
        self.holding.remove(each)
        if keep:
            self.pool.put(each, self.now)
            assert each.idle_since == self.now
            self.idle.append(each)
        self.pool.leave(each.key)
        self.hand_on(each.key)

    def hand_on(self, key: str) -> None:
        expected = next((entry for entry in self.queue if self.free(entry[1])), None)
        granted = self.pool.grant(key, self.now)
        if expected is None:
            assert granted is None
            return
        assert granted is not None, "a slot was lost"
        assert granted[0] == expected[0], "not the first in line"
        self.queue.remove(expected)
        self.pass_over(expected[1])
        self.serve(granted[1], expected[1])

    @rule(data=st.data())
    @precondition(lambda self: self.queue)
    def give_up(self, data):
        entry = data.draw(st.sampled_from(self.queue))
        self.queue.remove(entry)
        self.pool.give_up(*entry)

    @rule(data=st.data())
    @precondition(lambda self: self.idle)
    def die(self, data):
        each = data.draw(st.sampled_from(self.idle))
        self.idle.remove(each)
        assert self.pool.remove(each)
        assert not self.pool.remove(each)

    @rule(data=st.data())
    @precondition(lambda self: self.idle)
    def begin_to_end(self, data):
        data.draw(st.sampled_from(self.idle)).at_its_end = True

    @rule(seconds=st.sampled_from([0.0, 1.0, 9.0, 20.0]))
    def pass_time(self, seconds):
        self.now += seconds

    @rule()
    def tidy(self):
        old = [each for each in self.idle if self.now - each.idle_since >= 10.0]
        assert self.pool.expired(self.now) == old
        self.idle = [each for each in self.idle if each not in old]

    @invariant()
    def never_over_the_limits(self):
        limit, per_host = self.pool.limit, self.pool.limit_per_host
        assert not limit or len(self.holding) + len(self.idle) <= limit
        for key in "abc":
            assert not per_host or sum(each.key == key for each in self.holding) <= per_host

    @invariant()
    def the_counts_are_right(self):
        assert self.pool.in_use == len(self.holding)
        assert self.pool.idle() == self.idle
        assert len(set(self.idle)) == len(self.idle)
        assert not set(self.idle) & set(self.holding), "a connection in two places"
        assert self.pool.oldest == (self.idle[0].idle_since if self.idle else None)
        assert sorted(self.pool.waiters()) == sorted(waiter for waiter, _ in self.queue)
        assert bool(self.pool.queued) is bool(self.queue)

    @invariant()
    def nobody_waits_beside_a_free_slot(self):
        assert not any(self.free(key) for _, key in self.queue)

    def teardown(self):
        while self.holding:
            each = self.holding.pop()
            self.pool.leave(each.key)
            self.hand_on(each.key)
        assert not self.queue, "somebody waits for ever"
        assert self.pool.in_use == 0


TestPool = PoolMachine.TestCase
TestPool.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)
