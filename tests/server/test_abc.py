"""The abstract classes, as a user implements them."""

from __future__ import annotations

from typing import Any

import pytest

from endwell.server.abc import AbstractMatchInfo, AbstractRouter, AbstractView


def test_they_are_abstract() -> None:
    for each in (AbstractRouter, AbstractMatchInfo, AbstractView):
        with pytest.raises(TypeError, match="abstract"):
            each()


def test_a_users_router() -> None:
    class Router(AbstractRouter):
        async def resolve(self, request: Any) -> Any:
            return None

    router = Router()
    router.post_init(None)  # type: ignore[arg-type] # it does nothing with it
    assert not router.frozen
    router.freeze()
    assert router.frozen
