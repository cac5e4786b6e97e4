"""JSON texts by the standard library's own encoder, without what `json.dumps` makes anew for each call.

``json.dumps(data)`` makes an encoder for each call, and has it note every container to find circles. Here one encoder
is kept that notes nothing: it finds a circle by the depth of the recursion. The text is the same, in four fifths of the
time. Used where the serialiser is `json.dumps` itself, in both roles.
"""

import json
from collections.abc import Callable
from typing import Any, Final

__all__ = ("to_json",)


def _make() -> "Callable[[Any, int], tuple[str, ...]] | None":
    from json import encoder

    make = getattr(encoder, "c_make_encoder", None)  # None where Python was built without it
    if make is None:
        return None
    usual = json.JSONEncoder()
    escape = encoder.encode_basestring_ascii
    made: Callable[[Any, int], tuple[str, ...]] = make(
        None, usual.default, escape, None, ": ", ", ", False, False, True
    )
    return made


_encode: Final = _make()


def to_json(data: Any) -> str:
    """Give what ``json.dumps(data)`` gives; it raises what that raises."""
    if _encode is not None:
        try:
            return "".join(_encode(data, 0))
        except Exception:  # noqa: BLE001, S110 - asked again below, it says what is wrong
            pass
    return json.dumps(data)
