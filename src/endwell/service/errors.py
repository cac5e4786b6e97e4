"""What ends a service before it serves. Used by all of `service`; `run` makes the exit status of it."""

from __future__ import annotations

from endwell.service.plan import EXIT_NO_ADDRESS

__all__ = ("ServiceError",)


class ServiceError(Exception):
    """The service cannot begin; the message says what, where, and what to do instead.

    Attributes:
        status: the exit status of the service.

    """

    def __init__(self, message: str, status: int = EXIT_NO_ADDRESS) -> None:
        super().__init__(message)
        self.status = status
