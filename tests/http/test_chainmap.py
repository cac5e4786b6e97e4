from __future__ import annotations

import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from endwell.http.chainmap import ChainMapProxy

maps = st.lists(st.dictionaries(st.sampled_from("abcd"), st.integers(0, 3), max_size=4), max_size=4)


@given(maps)
def test_the_first_mapping_that_has_a_key_wins(given):
    model: dict = {}
    for mapping in reversed(given):
        model.update(mapping)
    proxy = ChainMapProxy(given)
    assert dict(proxy) == model
    assert len(proxy) == len(list(proxy)) == len(model)
    assert bool(proxy) is bool(model)
    for key in "abcde":
        assert (key in proxy) is (key in model)
        assert proxy.get(key, "none") == model.get(key, "none")


def test_a_key_that_there_is_not():
    with pytest.raises(KeyError, match="x"):
        ChainMapProxy([{}, {"a": 1}])["x"]


def test_later_changes_show_through_and_none_can_be_made():
    below = {"a": 1}
    proxy = ChainMapProxy([{}, below])
    below["b"] = 2
    assert proxy["b"] == 2
    with pytest.raises(TypeError):
        proxy["a"] = 3
    assert repr(proxy) == "ChainMapProxy({}, {'a': 1, 'b': 2})"


def test_it_is_not_to_be_inherited_from():
    with pytest.raises(TypeError, match="forbidden"):
        type("Own", (ChainMapProxy,), {})


def test_a_pickle_has_the_mappings() -> None:
    chained = ChainMapProxy([{"a": 1}, {"a": 2, "b": 3}])
    assert dict(pickle.loads(pickle.dumps(chained))) == {"a": 1, "b": 3}
