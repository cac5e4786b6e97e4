"""Values of options, and what they say when they are wrong."""

from pathlib import Path

import pytest
import typer

from endwell.cli import options
from endwell.cli.get import plan_of
from endwell.cli.given import Given
from endwell.cli.plan import Destination


@pytest.mark.parametrize(("text", "value"), [("5", 5), ("0.5", 0.5), ("90/m", 1.5), ("7200/h", 2), ("3/s", 3)])
def test_rate(text: str, value: float) -> None:
    assert options.rate(text) == value


@pytest.mark.parametrize("text", ["", "0", "-1", "x", "5/d", "1e3", "5/", "nan"])
def test_bad_rate(text: str) -> None:
    with pytest.raises(ValueError):
        options.rate(text)


@pytest.mark.parametrize(
    ("text", "value"),
    [("10", 10), ("64k", 64000), ("8MiB", 8 << 20), ("1.5GB", 1_500_000_000), ("2 ki", 2048), ("7b", 7)],
)
def test_size(text: str, value: int) -> None:
    assert options.size(text) == value


@pytest.mark.parametrize("text", ["", "k", "-1", "1x", "1i", "inf"])
def test_bad_size(text: str) -> None:
    with pytest.raises(ValueError):
        options.size(text)


def test_header_fields() -> None:
    fields, removed = options.header_fields(["A: 1", "a:2", "Empty;", "User-Agent:", "T:  x: y\t"])
    assert list(fields.items()) == [("A", "1"), ("A", "2"), ("Empty", ""), ("T", "x: y")]
    assert removed == {"User-Agent"}


@pytest.mark.parametrize("line", ["", "novalue", "two words: x", "A: x\r\nB: y", "A: x\0", ": x", "Ä: x"])
def test_bad_header_fields(line: str) -> None:
    with pytest.raises(ValueError):
        options.header_fields([line])


def test_an_error_about_a_field_does_not_repeat_its_value() -> None:
    with pytest.raises(ValueError) as raised:
        options.header_fields(["Authorization: hunter2\r\n"[:-1] + "x"])
    assert "hunter2" not in str(raised.value)


def test_body(tmp_path: Path) -> None:
    file = tmp_path / "body"
    file.write_bytes(b"c=3\r\n\0")
    assert options.body(["a=1", "b=2", f"@{file}"]) == b"a=1&b=2&c=3\r\n\0"
    with pytest.raises(FileNotFoundError):
        options.body([f"@{file}.missing"])


def test_json_body() -> None:
    assert options.json_body('{"a": [1]}') == b'{"a": [1]}'
    with pytest.raises(ValueError, match="line 1, column 8"):
        options.json_body('{"a": [}')


def test_cookies() -> None:
    assert options.cookies(["a=1; b=2", "c=x=y"]) == {"a": "1", "b": "2", "c": "x=y"}
    assert options.cookies([]) == {}
    for bad in ("file.txt", "a b=1", "a=1\n"):
        with pytest.raises(ValueError):
            options.cookies([bad])


def test_basic_auth() -> None:
    assert options.basic_auth("me:pass:word", lambda: "unused") == "Basic bWU6cGFzczp3b3Jk"
    assert options.basic_auth("me", lambda: "asked") == "Basic bWU6YXNrZWQ="
    with pytest.raises(ValueError):
        options.basic_auth("me:x\ny", lambda: "")


URL = "http://h/"


@pytest.mark.parametrize(
    ("given", "option"),
    [
        (Given(), "URL..."),
        (Given(urls=[URL, URL]), "URL..."),
        (Given(input="list"), "URL..."),
        (Given(urls=["h"]), "URL..."),
        (Given(urls=[URL], output="d", jsonl="f"), "--jsonl"),
        (Given(urls=[URL], output="d", discard=True), "--discard"),
        (Given(urls=[URL], output="d", head=True), "--head"),
        (Given(urls=[URL], output="d", include=True), "--include"),
        (Given(urls=[URL], resume=True), "--resume"),
        (Given(urls=[URL], jsonl="-", resume=True), "--resume"),
        (Given(urls=[URL], data=["a"], json="1"), "--json"),
        (Given(urls=[URL], data=["a"], head=True), "--head"),
        (Given(input="-", output="d", data=["@-"]), "--data"),
        (Given(urls=[URL], json="{"), "--json"),
        (Given(urls=[URL], method="A B"), "--method"),
        (Given(urls=[URL], method="GET", head=True), "--method"),
        (Given(urls=[URL], http_version="2"), "--http-version"),
        (Given(urls=[URL], http_version="3"), "--http-version"),
        (Given(urls=[URL], timeout=-1), "--timeout"),
        (Given(urls=[URL], rate="fast"), "--rate"),
        (Given(urls=[URL], max_body="huge"), "--max-body"),
        (Given(urls=[URL], proxy="proxy:80"), "--proxy"),
        (Given(urls=[URL], data=["@/nonexistent/file"]), "--data"),
    ],
)
def test_what_does_not_go_together_is_refused(given: Given, option: str) -> None:
    with pytest.raises(typer.BadParameter) as raised:
        plan_of(given)
    assert raised.value.param_hint == option


def test_defaults_of_one_url() -> None:
    plan = plan_of(Given(urls=[URL]))
    assert (plan.destination, plan.method, plan.fail, plan.concurrency) == (Destination.STDOUT, "GET", False, 1)


def test_defaults_of_many() -> None:
    plan = plan_of(Given(urls=[URL, URL], output="d"))
    assert (plan.destination, plan.target, plan.fail, plan.concurrency) == (Destination.FOLDER, Path("d"), True, 20)


def test_a_body_makes_it_a_post() -> None:
    plan = plan_of(Given(urls=[URL], data=["a=1"]))
    assert (plan.method, plan.data) == ("POST", b"a=1")
    assert plan.headers["Content-Type"] == "application/x-www-form-urlencoded"
    plan = plan_of(Given(urls=[URL], json="1", method="put", header=["Accept: text/plain"]))
    assert (plan.method, plan.data, plan.headers["Accept"]) == ("PUT", b"1", "text/plain")


def test_zero_is_no_limit() -> None:
    plan = plan_of(Given(urls=[URL], timeout=0, connect_timeout=0, close_timeout=0))
    assert (plan.timeout, plan.connect_timeout, plan.close_timeout) == (None, None, 0)
