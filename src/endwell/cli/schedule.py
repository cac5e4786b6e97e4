"""Which URL is next: in the order given, but never more of one host at a time than allowed.

Decisions only, no I/O (used by `fetch`). A host that is busy holds up its own URLs, not those of others: the line
looks ahead past them, a bounded number of jobs far, so that its memory does not depend on the length of the list.
"""

from collections import deque

from endwell.cli.inputs import Job

__all__ = ["Schedule"]


class Schedule:
    """The jobs that were read and not started, and how many of each host are under way.

    Arguments: `per_host`, the jobs of one host at a time (0: no limit); `ahead`, the jobs that may be held.
    """

    def __init__(self, per_host: int, ahead: int) -> None:
        self._per_host = per_host
        self._ahead = ahead
        self._waiting: dict[str, deque[Job]] = {}
        self._busy: dict[str, int] = {}
        self._ready: deque[str] = deque()  # hosts with a job that may start, each once
        self.held = 0

    @property
    def room(self) -> bool:
        """Whether another job may be added."""
        return self.held < self._ahead

    def add(self, job: Job) -> None:
        """Put a job at the end of the line of its host."""
        host = self._host(job)
        line = self._waiting.get(host)
        if line is None:
            line = self._waiting[host] = deque()
            if self._free(host):
                self._ready.append(host)
        line.append(job)
        self.held += 1

    def take(self) -> Job | None:
        """Give the job to start now, hosts in turn; None if every host in the line has as many as it may."""
        if not self._ready:
            return None
        host = self._ready.popleft()
        line = self._waiting[host]
        job = line.popleft()
        self.held -= 1
        self._busy[host] = self._busy.get(host, 0) + 1
        if not line:
            del self._waiting[host]
        elif self._free(host):
            self._ready.append(host)
        return job

    def done(self, job: Job) -> None:
        """Note that a job which `take` gave has ended."""
        host = self._host(job)
        was_free = self._free(host)
        self._busy[host] -= 1
        if not self._busy[host]:
            del self._busy[host]
        if not was_free and host in self._waiting:
            self._ready.append(host)

    def clear(self) -> int:
        """Forget the jobs that were not started; gives their number."""
        dropped, self.held = self.held, 0
        self._waiting.clear()
        self._ready.clear()
        return dropped

    def _host(self, job: Job) -> str:
        # Without a limit all stand in one line: the order given is kept, and there is nothing to count.
        return (job.url.raw_host or "") if self._per_host else ""

    def _free(self, host: str) -> bool:
        return not self._per_host or self._busy.get(host, 0) < self._per_host
