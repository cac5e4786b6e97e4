from endwell.http.etag import ETAG_ANY, ETag


def test_an_etag_is_its_value_and_whether_it_is_weak():
    assert ETag("a") == ETag(value="a", is_weak=False)
    assert ETag("a", is_weak=True) != ETag("a")
    assert hash(ETag("a")) == hash(ETag("a"))
    value, is_weak = ETag("a", True)
    assert (value, is_weak) == ("a", True)
    assert ETAG_ANY == "*"
