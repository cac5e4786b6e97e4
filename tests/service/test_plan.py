"""The plan: through JSON and back, and what cannot be."""

from __future__ import annotations

import json
from typing import Any

import pytest

from endwell.service import ServicePlan


def test_it_comes_back_from_json_as_it_was() -> None:
    plan = ServicePlan(
        target="service:app",
        host=["::1"],
        port=0,
        workers=3,
        ssl_certfile="a",
        ssl_password="secret",
        options={"a": [1]},
    )
    text = json.dumps(plan.to_json())
    assert ServicePlan.from_json(text) == plan
    assert ServicePlan.from_json(text.encode()) == plan
    assert ServicePlan.from_json(json.loads(text)) == plan
    assert "secret" not in repr(plan)


def test_a_plan_of_another_version_is_refused() -> None:
    with pytest.raises(TypeError, match="speed"):
        ServicePlan.from_json({"speed": 9})


@pytest.mark.parametrize(
    ("options", "text"),
    [
        ({"interface": "wsgi"}, "interface must be one of auto, endwell, asgi, not 'wsgi'"),
        ({"loop": "trio"}, "loop must be one of"),
        ({"workers": 0}, "workers must be more than 0"),
        ({"workers": -1}, "workers must be more than 0"),
        ({"backlog": 0}, "backlog must be more than 0"),
        ({"start_timeout": 0}, "start_timeout must be more than 0"),
        ({"shutdown_timeout": -1}, "shutdown_timeout must not be negative"),
        ({"shutdown_timeout": float("nan")}, "shutdown_timeout must not be negative"),
        ({"max_requests": -1}, "max_requests must not be negative"),
        ({"port": 65536}, "port must be between 0 and 65535"),
        ({"port": -1}, "port must be between 0 and 65535"),
        ({"supervise": False, "workers": 2}, "supervise=False is for one worker"),
        ({"supervise": False, "reload": True}, "supervise=False is for one worker"),
        ({"supervise": False, "max_requests": 9}, "supervise=False is for one worker"),
    ],
)
def test_what_cannot_be(options: dict[str, Any], text: str) -> None:
    with pytest.raises(ValueError, match=text):
        ServicePlan(**options)


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        ({}, False),
        ({"supervise": True}, True),
        ({"supervise": False}, False),
        ({"workers": 2}, True),
        ({"reload": True}, True),
        ({"max_requests": 1}, True),
    ],
)
def test_one_worker_needs_no_supervisor(options: dict[str, Any], expected: bool) -> None:
    assert ServicePlan(**options).supervised is expected
