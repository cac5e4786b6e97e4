"""Figures of many URLs in constant memory."""

import math

from hypothesis import given
from hypothesis import strategies as st

from endwell.cli.summary import Latencies, Summary


@given(st.lists(st.floats(1e-5, 1e4), min_size=1), st.floats(0, 100))
def test_percentiles_are_right_within_two_percent(values: list[float], percent: float) -> None:
    latencies = Latencies()
    for value in values:
        latencies.add(value)
    exact = sorted(values)[max(1, math.ceil(len(values) * percent / 100)) - 1]
    assert math.isclose(latencies.percentile(percent), exact, rel_tol=0.02)
    assert latencies.percentile(100) <= latencies.largest == max(values)


def test_no_values_and_no_time() -> None:
    latencies = Latencies()
    assert latencies.percentile(50) == 0.0
    latencies.add(0.0)
    latencies.add(-1.0)  # a clock that was set back
    assert latencies.percentile(99) == 0.0


def test_errors_are_counted_by_class_with_the_first_as_example() -> None:
    summary = Summary()
    summary.add_failed("TimeoutError", "http://a/", "timed out")
    summary.add_failed("TimeoutError", "http://b/", "timed out")
    summary.add_failed("HTTP 404", "http://c/", "404 Not Found", 404)
    assert summary.errors["TimeoutError"] == (2, "http://a/", "timed out")
    assert summary.statuses == {404: 1}
    assert summary.failed == 3
    assert not summary.all_fetched


def test_classes_are_bounded() -> None:
    summary = Summary()
    for number in range(1000):
        summary.add_failed(f"HTTP {number}", "http://a/", "")
    assert len(summary.errors) <= 51
    assert sum(kind.number for kind in summary.errors.values()) == 1000


def test_what_is_there_already_is_fetched() -> None:
    summary = Summary()
    summary.add_fetched(200, 0.1)
    summary.skipped += 1
    assert summary.all_fetched
    assert summary.total == 2
