"""Reports as text and as JSON."""

from __future__ import annotations

import json

from endwell.lifetime import Aborted, CloseReport, LeakReport, Origin, caller


def leak(origin: Origin | None = None) -> LeakReport:
    return LeakReport("session", origin=origin, task="Task-1", age=1.25, held=("a", "b"), advice="close it")


def test_a_leak_as_text() -> None:
    origin = caller()
    assert str(leak(origin)).split("\n") == [
        "session was never closed",
        f"  made at {origin} by task 'Task-1', 1.2 s ago",
        "  it held a, b",
        "  close it",
    ]
    bare = LeakReport("session", origin=None, task=None, age=0, held=(), advice="close it")
    assert str(bare).split("\n") == ["session was never closed", "  close it"]


def test_a_report_as_text() -> None:
    report = CloseReport("session")
    assert report.clean
    report.duration, report.finished, report.closed = 0.0125, 2, 3
    assert str(report) == "closed session in 12.5 ms: 2 finished, 0 aborted, 3 connections closed"
    report.aborted.append(Aborted("GET /", "too slow", None))
    report.errors.append(OSError("gone"))
    report.leaked.append(leak())
    lines = str(report).split("\n")
    assert lines[1:3] == ["  aborted GET /: too slow", "  error OSError: gone"]
    assert lines[3] == "  leaked session was never closed"
    assert not report.clean
    assert repr(report) == "<CloseReport session: 2 finished, 1 aborted>"


def test_a_report_as_json() -> None:
    origin = caller()
    report = CloseReport("session")
    report.aborted += [Aborted("GET /", "too slow", origin), Aborted("GET /", "too slow", None)]
    report.errors.append(OSError("gone"))
    report.leaked.append(leak(origin))
    place = f"{origin.filename}:{origin.lineno}"
    assert json.loads(json.dumps(report.to_json())) == {
        "what": "session",
        "duration": 0.0,
        "finished": 0,
        "aborted": [
            {"what": "GET /", "reason": "too slow", "origin": place},
            {"what": "GET /", "reason": "too slow", "origin": None},
        ],
        "closed": 0,
        "errors": ["OSError: gone"],
        "leaked": [
            {
                "what": "session",
                "origin": place,
                "task": "Task-1",
                "age": 1.25,
                "held": ["a", "b"],
                "advice": "close it",
            }
        ],
    }


def test_each_thing_that_was_found_makes_it_unclean() -> None:
    for name, thing in (("aborted", Aborted("a", "b", None)), ("errors", OSError()), ("leaked", leak())):
        report = CloseReport("session")
        getattr(report, name).append(thing)
        assert not report.clean
