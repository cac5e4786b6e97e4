"""Which payload class sends which type of value. Used by both roles, `FormData` and `MultipartWriter`."""

from collections.abc import Callable, Iterable
from enum import Enum
from typing import Any, Final, TypeVar

from .base import Payload

__all__ = (
    "PAYLOAD_REGISTRY",
    "LookupError",
    "Order",
    "PayloadRegistry",
    "get_payload",
    "payload_type",
    "register_payload",
)

_PayloadClass = TypeVar("_PayloadClass", bound=type[Payload])
_Factory = Callable[..., Payload]


class LookupError(Exception):  # noqa: A001 - aiohttp's public name
    """No payload class is registered for the type of a value."""


class Order(str, Enum):  # noqa: UP042 - aiohttp's bases; a StrEnum prints differently
    """When a registered class is tried: before, among or after the ones for exact types."""

    normal = "normal"
    try_first = "try_first"
    try_last = "try_last"


class PayloadRegistry:
    """Finds the payload class for a value: by its exact type, then by `isinstance`, in the order of registration."""

    __slots__ = ("_exact", "_first", "_last", "_normal", "customized")

    customized: bool
    """True once a user registered a class: until then bytes, str and JSON may be sent without asking here."""

    def __init__(self) -> None:
        self._first: list[tuple[_Factory, Any]] = []
        self._normal: list[tuple[_Factory, Any]] = []
        self._last: list[tuple[_Factory, Any]] = []
        self._exact: dict[type, _Factory] = {}
        self.customized = False

    def get(self, data: Any, *args: Any, **kwargs: Any) -> Payload:
        """Give `data` itself when it is a payload, else a payload made from it with these arguments.

        Raises LookupError (of this module) when no class is registered for its type.
        """
        if self._first:
            for factory, kind in self._first:
                if isinstance(data, kind):
                    return factory(data, *args, **kwargs)
        exact = self._exact.get(type(data))
        if exact is not None:
            return exact(data, *args, **kwargs)
        if isinstance(data, Payload):
            return data
        for entries in (self._normal, self._last):
            for factory, kind in entries:
                if isinstance(data, kind):
                    return factory(data, *args, **kwargs)
        raise LookupError(
            f"no payload class for {type(data).__name__}: give bytes, str, a file, an async iterable or a Payload,"
            " or register a class with @payload_type"
        )

    def register(self, factory: "type[Payload]", type: Any, *, order: Order = Order.normal) -> None:  # noqa: A002 - aiohttp's name
        """Let `factory` make the payloads of a type, or of a tuple of types."""
        self.customized = True
        self._add(factory, type, order)

    def _add(self, factory: "type[Payload]", kind: Any, order: Order = Order.normal) -> None:
        if order is Order.try_first:
            self._first.append((factory, kind))
        elif order is Order.try_last:
            self._last.append((factory, kind))
        elif order is Order.normal:
            self._normal.append((factory, kind))
            kinds: Iterable[type] = kind if isinstance(kind, Iterable) else (kind,)
            for one in kinds:
                self._exact.setdefault(one, factory)
        else:
            raise ValueError(f"order must be a member of Order, not {order!r}")


PAYLOAD_REGISTRY: Final = PayloadRegistry()


def get_payload(data: Any, *args: Any, **kwargs: Any) -> Payload:
    """Give a payload for `data`, by the registry; the other arguments go to the constructor of the payload."""
    return PAYLOAD_REGISTRY.get(data, *args, **kwargs)


def register_payload(factory: "type[Payload]", type: Any, *, order: Order = Order.normal) -> None:  # noqa: A002 - aiohttp's name
    """Let `factory` make the payloads of a type."""
    PAYLOAD_REGISTRY.register(factory, type, order=order)


class payload_type:  # noqa: N801 - aiohttp's public name
    """Class decorator: ``@payload_type(MyData)`` makes a `Payload` subclass responsible for that type."""

    def __init__(self, type: Any, *, order: Order = Order.normal) -> None:  # noqa: A002 - aiohttp's name
        self.type = type
        self.order = order

    def __call__(self, factory: _PayloadClass) -> _PayloadClass:
        """Register the class and give it back."""
        register_payload(factory, self.type, order=self.order)
        return factory
