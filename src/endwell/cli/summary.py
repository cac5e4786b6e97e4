"""What came of many URLs: counts, bytes, latencies, errors by class. Pure; used by `fetch`, drawn by `screen`.

Constant memory for any number of URLs: latencies are counted in buckets that grow by 2 %, errors by class with one
example.
"""

import math
from collections import Counter
from typing import NamedTuple

__all__ = ["ErrorClass", "Latencies", "Summary"]

_GROWTH = math.log(1.02)
_SMALLEST = 1e-6  # seconds
_CLASSES = 50


class Latencies:
    """Seconds, counted; percentiles are right within 1 %, the largest value is exact."""

    def __init__(self) -> None:
        self._buckets: Counter[int] = Counter()
        self.count = 0
        self.largest = 0.0

    def add(self, seconds: float) -> None:
        """Count one value; negative ones count as none."""
        self.count += 1
        self.largest = max(self.largest, seconds)
        self._buckets[math.floor(math.log(max(seconds, _SMALLEST) / _SMALLEST) / _GROWTH)] += 1

    def percentile(self, percent: float) -> float:
        """Give the value that `percent` (0 to 100) of the values do not exceed; 0.0 if there are none."""
        rank = max(1, math.ceil(self.count * percent / 100))
        for bucket in sorted(self._buckets):
            rank -= self._buckets[bucket]
            if rank <= 0:
                return min(_SMALLEST * math.exp((bucket + 0.5) * _GROWTH), self.largest)
        return self.largest


class ErrorClass(NamedTuple):
    """How often an error came up, and one of the URLs with what it said."""

    number: int
    url: str
    message: str


class Summary:
    """The figures of one run.

    Attributes: `fetched`, `failed`, `skipped` (there already), `interrupted` (begun, not finished), `bad_input`
    (lines that are no URL): numbers of URLs. `statuses`: responses by status code. `errors`: by class. `body_bytes`:
    bytes of all bodies that arrived. `latencies`: seconds from the request to the end of its body, of the fetched
    ones.
    """

    def __init__(self) -> None:
        self.fetched = 0
        self.failed = 0
        self.skipped = 0
        self.interrupted = 0
        self.bad_input = 0
        self.body_bytes = 0
        self.seconds = 0.0
        self.statuses: Counter[int] = Counter()
        self.errors: dict[str, ErrorClass] = {}
        self.latencies = Latencies()

    def add_fetched(self, status: int, seconds: float) -> None:
        """Count a body that came whole and was kept."""
        self.fetched += 1
        self.statuses[status] += 1
        self.latencies.add(seconds)

    def add_failed(self, name: str, url: str, message: str, status: int | None = None) -> None:
        """Count a URL that was not fetched; `name` is the class of the error, `url` and `message` may be shown."""
        self.failed += 1
        if status is not None:
            self.statuses[status] += 1
        if name not in self.errors and len(self.errors) >= _CLASSES:
            name = "others"
        known = self.errors.get(name)
        self.errors[name] = ErrorClass(1, url, message) if known is None else known._replace(number=known.number + 1)

    @property
    def total(self) -> int:
        """All URLs of which something came, bad lines included."""
        return self.fetched + self.failed + self.skipped + self.interrupted + self.bad_input

    @property
    def all_fetched(self) -> bool:
        """Whether nothing is missing."""
        return not (self.failed or self.interrupted or self.bad_input)
