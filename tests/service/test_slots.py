"""What is decided about slots: how long to wait, who covers for whom, when a worker is spent; a worker's phases."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from endwell.service.process import Phase, WorkerEvent, follow
from endwell.service.slots import coverage, pause, spent_at

SLOTS = st.integers(0, 7)


def test_each_failure_doubles_the_wait() -> None:
    assert [pause(failures, 30.0) for failures in range(-1, 9)] == [0, 0, 0.5, 1, 2, 4, 8, 16, 30, 30]
    assert pause(10**9, 30.0) == 30.0


@given(st.sets(SLOTS), st.dictionaries(SLOTS, SLOTS))
def test_each_vacant_slot_is_covered_once_and_evenly(ready: set[int], current: dict[int, int]) -> None:
    vacant = set(range(8)) - ready
    covered = coverage(vacant, ready, current)
    if not ready:
        assert covered == {}
        return
    assert set(covered) == vacant
    assert set(covered.values()) <= ready
    for slot, by in current.items():
        if slot in vacant and by in ready:
            assert covered[slot] == by, "who covers goes on"
    assert coverage(vacant, ready, covered) == covered
    fresh = list(coverage(vacant, ready, {}).values())
    load = [fresh.count(by) for by in ready]
    assert max(load) - min(load) <= 1


@given(st.integers(1, 1000), st.integers(0, 100))
def test_a_worker_is_spent_within_the_jitter(most: int, jitter: int) -> None:
    assert most <= spent_at(most, jitter) <= most + jitter
    assert spent_at(0, jitter) == 0


EXPECTED = {
    Phase.STARTING: [Phase.READY, Phase.DRAINING, Phase.FAILED, Phase.GONE],
    Phase.READY: [Phase.READY, Phase.DRAINING, Phase.READY, Phase.GONE],
    Phase.DRAINING: [Phase.DRAINING, Phase.DRAINING, Phase.DRAINING, Phase.GONE],
    Phase.FAILED: [Phase.FAILED, Phase.FAILED, Phase.FAILED, Phase.GONE],
    Phase.GONE: [Phase.GONE] * 4,
}


def test_the_phases_of_a_worker() -> None:
    events = [WorkerEvent.READY, WorkerEvent.DRAIN, WorkerEvent.FAIL, WorkerEvent.EXIT]
    assert {phase: [follow(phase, event) for event in events] for phase in Phase} == EXPECTED
