from __future__ import annotations

import os
import subprocess
import sys
import threading

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.wire.websocket import mask
from endwell.wire.websocket.mask import apply_mask, masker, new_mask_key, translate_mask

MASKERS = [apply_mask, translate_mask, masker()]


def slowly(data: bytes, key: bytes) -> bytes:
    return bytes([byte ^ key[at % 4] for at, byte in enumerate(data)])


@pytest.mark.parametrize("function", MASKERS)
def test_every_size_around_the_borders(function):
    key = os.urandom(4)
    for size in (*range(10), *range(124, 130), *range(445, 456), 4096, 4097, 65537):
        data = os.urandom(size)
        masked = function(data, key)
        assert type(masked) is bytes
        assert masked == slowly(data, key)
        assert function(masked, key) == data


@given(st.binary(max_size=1000), st.binary(min_size=4, max_size=4))
def test_any_data_and_any_key(data, key):
    assert {function(data, key) for function in MASKERS} == {slowly(data, key)}


def test_the_compiled_function_is_taken_if_it_is_there_and_right():
    program = f"""
import sys, types
{{setup}}
from endwell.wire.websocket import mask
assert mask.apply_mask(b"abcde", b"1234") == mask.translate_mask(b"abcde", b"1234")
print(mask.masker() is mask.translate_mask, {'"websockets"'} in sys.modules)
"""
    fake = (
        "module = types.ModuleType('websockets.speedups'); module.apply_mask = {}\n"
        "sys.modules['websockets'] = types.ModuleType('websockets'); sys.modules['websockets.speedups'] = module"
    )
    right = "lambda data, key: bytes(b ^ key[i % 4] for i, b in enumerate(data))"
    for setup, expected in (
        ("sys.modules['websockets'] = None", "True"),
        ("sys.modules['websockets'] = types.ModuleType('websockets')", "True"),
        (fake.format("None"), "True"),
        (fake.format("lambda data, key: data"), "True"),
        (fake.format("lambda data, key, more: data"), "True"),
        (fake.format(right), "False"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", program.format(setup=setup)], capture_output=True, text=True, check=True
        )
        assert done.stdout.split()[0] == expected, setup


def test_keys_are_all_different():
    keys = [new_mask_key() for _ in range(2000)]
    assert {(type(key), len(key)) for key in keys} == {(bytes, 4)}
    assert len(set(keys)) > 1990  # two of 2000 are the same once in 2,000 runs


def test_threads_share_no_key():
    found: list[list[bytes]] = []

    def take() -> None:
        found.append([new_mask_key() for _ in range(1000)])

    threads = [threading.Thread(target=take) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    keys = [key for part in found for key in part]
    assert len(keys) == 4000
    assert len(set(keys)) > 3980


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is no fork")
def test_a_child_does_not_send_the_keys_of_its_parent():
    """In a process of its own, which has no threads."""
    program = """
import os
from endwell.wire.websocket.mask import new_mask_key
new_mask_key()
read, write = os.pipe()
if os.fork() == 0:
    os.write(write, b"".join(new_mask_key() for _ in range(100)))
    os._exit(0)
os.wait()
child = os.read(read, 400)
theirs = {child[at:at + 4] for at in range(0, 400, 4)}
ours = {new_mask_key() for _ in range(100)}
print(len(ours), len(theirs), len(ours & theirs))
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    ours, theirs, both = map(int, done.stdout.split())
    assert ours > 95
    assert theirs > 95
    assert both <= 2


def test_no_library_is_imported_before_it_is_needed():
    program = "import sys, endwell.wire.websocket; print('websockets' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
    assert mask.masker() is mask.masker()
