import io
from pathlib import PurePath

import pytest

from endwell.http.payload import PAYLOAD_REGISTRY, BytesPayload, Order, PayloadRegistry, StringPayload, get_payload
from endwell.http.payload import LookupError as NoPayloadClass


class PathPayload(StringPayload):
    def __init__(self, value, *args, **kwargs):
        super().__init__(str(value), *args, **kwargs)


@pytest.mark.parametrize("value", [5, None, [b"a"], {"a": 1}, object()])
def test_what_cannot_be_sent(value):
    with pytest.raises(NoPayloadClass, match=type(value).__name__):
        get_payload(value)


def test_nothing_is_customized_at_first():
    assert PAYLOAD_REGISTRY.customized is False
    import endwell.http.multipart  # noqa: F401

    assert PAYLOAD_REGISTRY.customized is False


def test_subclasses_find_the_class_of_their_base():
    class Text(str):
        __slots__ = ()

    assert type(get_payload(Text("a"))) is StringPayload
    assert get_payload(io.BytesIO(b"a")).size == 1


def test_order():
    registry = PayloadRegistry()
    registry.register(StringPayload, str)
    registry.register(BytesPayload, object, order=Order.try_last)
    assert registry.customized
    assert type(registry.get("a")) is StringPayload
    assert type(registry.get(b"a", content_type="a/b")) is BytesPayload
    registry.register(PathPayload, (str, PurePath), order=Order.try_first)
    assert type(registry.get("a")) is PathPayload
    assert registry.get(PurePath("/x")).decode() == "/x"
    with pytest.raises(ValueError, match="order"):
        registry.register(PathPayload, str, order="first")


def test_order_is_text():
    assert Order("try_first") is Order.try_first
    assert Order.normal == "normal"
