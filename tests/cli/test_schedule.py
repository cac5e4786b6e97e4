"""Order, the limit of each host, and nothing lost."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from endwell.cli.inputs import Job, check_url
from endwell.cli.schedule import Schedule


def job(host: str, number: int = 0) -> Job:
    return check_url(f"http://{host}/{number}")


def test_without_a_limit_the_order_is_kept() -> None:
    schedule = Schedule(0, 10)
    jobs = [job(host, number) for number, host in enumerate("aabbc")]
    for each in jobs:
        schedule.add(each)
    assert [schedule.take() for _ in jobs] == jobs
    assert schedule.take() is None


def test_a_busy_host_does_not_hold_up_another() -> None:
    schedule = Schedule(1, 10)
    first, second, other = job("a", 1), job("a", 2), job("b")
    for each in (first, second, other):
        schedule.add(each)
    assert schedule.take() == first
    assert schedule.take() == other
    assert schedule.take() is None
    schedule.done(first)
    assert schedule.take() == second


def test_room_ends_where_it_was_said() -> None:
    schedule = Schedule(1, 2)
    schedule.add(job("a"))
    assert schedule.room
    schedule.add(job("a"))
    assert not schedule.room
    schedule.take()
    assert schedule.room


@given(
    st.integers(0, 3),
    st.lists(st.tuples(st.sampled_from(["add", "take", "done"]), st.sampled_from("abc")), max_size=60),
)
def test_every_job_comes_out_once_and_no_host_has_too_many(per_host: int, steps: list[tuple[str, str]]) -> None:
    schedule = Schedule(per_host, 1000)
    added: list[Job] = []
    taken: list[Job] = []
    under_way: list[Job] = []

    def check() -> None:
        if per_host:
            assert max(Counter(each.url.host for each in under_way).values(), default=0) <= per_host

    def take() -> None:
        got = schedule.take()
        if got is not None:
            taken.append(got)
            under_way.append(got)
        check()

    for step, host in steps:
        if step == "add":
            added.append(job(host, len(added)))
            schedule.add(added[-1])
        elif step == "take":
            take()
        elif under_way:
            schedule.done(under_way.pop())
    while schedule.held:
        before = len(taken)
        take()
        if len(taken) == before:  # all hosts in the line are busy: there must be something that can end
            schedule.done(under_way.pop())
    assert sorted(each.url.path for each in taken) == sorted(each.url.path for each in added)
    for host in "abc":  # each host in its order
        numbers = [int(each.url.path[1:]) for each in taken if each.url.host == host]
        assert numbers == sorted(numbers)
