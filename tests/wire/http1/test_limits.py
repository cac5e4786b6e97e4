import pytest

from endwell.wire.http1 import Limits


@pytest.mark.parametrize("name", ["line_size", "field_size", "fields"])
@pytest.mark.parametrize("value", [0, -1, 1.5, "8190", None])
def test_a_limit_is_a_positive_number(name, value):
    with pytest.raises(ValueError, match=r"max_.* must be a positive number") as caught:
        Limits(**{name: value})
    assert repr(value) in str(caught.value)


def test_the_message_names_the_argument_that_users_give():
    for name, shown in (("line_size", "max_line_size"), ("field_size", "max_field_size"), ("fields", "max_headers")):
        with pytest.raises(ValueError, match=f"^{shown} "):
            Limits(**{name: 0})


def test_a_head_can_be_as_large_as_all_its_parts():
    limits = Limits(line_size=10, field_size=20, fields=3)
    head = b"x" * 10 + b"\r\n" + (b"y" * 20 + b"\r\n") * 3 + b"\r\n"
    assert limits.head_size >= len(head)
    assert limits.head_size < len(head) + 20
