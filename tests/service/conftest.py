"""What the tests of a service share."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.service.running import Service, running


@pytest.fixture
def service(tmp_path: Path) -> Iterator[Service]:
    """A service to be started."""
    with running(tmp_path) as service:
        yield service
