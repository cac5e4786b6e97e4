"""The pidfile: whose it is, what becomes of it."""

from __future__ import annotations

import fcntl
import os
from pathlib import Path

import pytest

from endwell.lifetime import Resource
from endwell.lifetime.closing import finish_one
from endwell.service.errors import ServiceError
from endwell.service.pidfile import Pidfile


async def test_it_names_us_and_goes_with_us(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("12345678901234\nof one that was killed")
    root = Resource(None)
    made = Pidfile(root, str(path))
    assert path.read_text() == f"{os.getpid()}\n"
    await finish_one(made, 0)
    assert not path.exists()
    await finish_one(made, 0)
    assert not root.children


async def test_one_that_is_locked_is_refused_and_named(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    path.write_text("4242\n")
    with path.open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        with pytest.raises(ServiceError, match=r"Another service runs \(process 4242\)"):
            Pidfile(Resource(None), str(path))
    assert path.read_text() == "4242\n"


async def test_one_that_somebody_has_replaced_is_left(tmp_path: Path) -> None:
    path = tmp_path / "pid"
    made = Pidfile(Resource(None), str(path))
    path.unlink()
    path.write_text("4242\n")
    await finish_one(made, 0)
    assert path.read_text() == "4242\n"


@pytest.mark.parametrize("name", ["missing/pid", "", "link"])
def test_where_it_cannot_be_written(tmp_path: Path, name: str) -> None:
    (tmp_path / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ServiceError, match="Cannot write the pidfile"):
        Pidfile(Resource(None), str(tmp_path / name))
    assert not (tmp_path / "elsewhere").exists()
