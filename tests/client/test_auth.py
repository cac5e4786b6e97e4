"""Basic credentials: encoded, decoded, out of URLs and netrc files."""

import base64
import copy
import logging
import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from yarl import URL

from endwell.client import auth
from endwell.client.auth import (
    BasicAuth,
    basicauth_from_netrc,
    encode_basic_auth,
    netrc_auth,
    netrc_from_env,
)

PRINTABLE = st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=0xFF, exclude_characters="\x7f:"))


def quiet(login: str, password: str = "", encoding: str = "latin1") -> BasicAuth:
    with warnings.catch_warnings(action="ignore"):
        return BasicAuth(login, password, encoding)


def basic(text: bytes) -> str:
    return "Basic " + base64.b64encode(text).decode()


def test_encode() -> None:
    assert encode_basic_auth("Aladdin", "open sesame") == "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="  # RFC 7617 section 2
    assert encode_basic_auth("test", "123\u00a3") == "Basic dGVzdDoxMjPCow=="  # RFC 7617 section 2.1
    assert encode_basic_auth("a") == basic(b"a:")
    assert encode_basic_auth("\u00e9", "b:c", "latin1") == basic(b"\xe9:b:c")
    with pytest.raises(UnicodeEncodeError):
        encode_basic_auth("\u20ac", encoding="latin1")


@pytest.mark.parametrize("make", [encode_basic_auth, quiet])
@pytest.mark.parametrize(
    ("login", "password", "error", "says"),
    [
        ("a:b", "c", ValueError, "must not contain a colon"),
        ("a\n", "c", ValueError, "login of Basic credentials contains CR, LF or NUL"),
        ("a", "secret\r\n", ValueError, "password of Basic credentials contains CR, LF or NUL"),
        ("a", "sec\0ret", ValueError, "CR, LF or NUL"),
        (None, "c", ValueError, "login of Basic credentials must be a str, not None"),
        ("a", None, ValueError, "password of Basic credentials must be a str, not None"),
        (b"a", "c", TypeError, "must be a str, not bytes"),
    ],
)
def test_refused(make: Any, login: Any, password: Any, error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says) as caught:
        make(login, password)
    assert "secret" not in str(caught.value)


def test_basic_auth_is_deprecated_and_works() -> None:
    with pytest.warns(DeprecationWarning, match="encode_basic_auth") as caught:
        credentials = BasicAuth("user", "secret")
    assert caught[0].filename == __file__
    assert credentials == ("user", "secret", "latin1")
    assert (credentials.login, credentials.password, credentials.encoding) == ("user", "secret", "latin1")
    assert credentials.encode() == basic(b"user:secret")
    assert repr(credentials) == "BasicAuth(login='user', password=<not shown>, encoding='latin1')"
    assert quiet("user").password == ""


def test_copies_do_not_warn() -> None:
    credentials = quiet("user", "secret", "utf-8")
    for twin in (copy.copy(credentials), copy.deepcopy(credentials), pickle.loads(pickle.dumps(credentials))):
        assert type(twin) is BasicAuth
        assert twin == credentials


@given(login=PRINTABLE, password=PRINTABLE, encoding=st.sampled_from(["latin1", "utf-8"]))
def test_round_trip(login: str, password: str, encoding: str) -> None:
    credentials = quiet(login, password, encoding)
    assert BasicAuth.decode(credentials.encode(), encoding) == credentials


@pytest.mark.parametrize("field", ["Basic YTpiOmM=", "basic YTpiOmM=", "BASIC  YTpiOmM= "])
def test_decode(field: str) -> None:
    assert BasicAuth.decode(field) == ("a", "b:c", "latin1")


@pytest.mark.parametrize(
    ("field", "says"),
    [
        ("Basic", "no space found"),
        ("YTpi", "no space found"),
        ("", "no space found"),
        ("Bearer c2VjcmV0", "unknown authorization scheme 'Bearer'"),
        ("Basic @@@", "not base64"),
        ("Basic YTp", "not base64"),
        ("Basic YTpi!!", "not base64"),
        ("Basic \u00e9", "not base64"),
        (basic(b"secret"), "no colon"),
        (basic(b"a:secret\n"), "CR, LF or NUL"),
    ],
)
def test_fields_that_are_not_basic(field: str, says: str) -> None:
    with pytest.raises(ValueError, match=says) as caught:
        BasicAuth.decode(field)
    assert "secret" not in str(caught.value)
    assert "c2VjcmV0" not in str(caught.value)


def test_decode_in_the_wrong_encoding() -> None:
    with pytest.raises(ValueError, match="not base64 of utf-8 text"):
        BasicAuth.decode(basic(b"\xff:a"), "utf-8")


@pytest.mark.parametrize(
    ("url", "credentials"),
    [
        ("http://x/", None),
        ("http://user@x/", ("user", "")),
        ("http://:pass@x/", ("", "pass")),
        ("http://us%20er:p%40ss@x/", ("us er", "p@ss")),
        ("http://\u00e9:\u00fc@x/", ("\u00e9", "\u00fc")),
    ],
)
def test_urls(url: str, credentials: tuple[str, str] | None) -> None:
    found = BasicAuth.from_url(URL(url))
    assert found == (None if credentials is None else (*credentials, "latin1"))


def test_from_url_takes_a_url() -> None:
    with pytest.raises(TypeError, match=r"yarl\.URL"):
        BasicAuth.from_url("http://user@x/")  # type: ignore[arg-type] # that is the point
    assert BasicAuth.from_url(URL("http://u@x"), encoding="utf-8") == ("u", "", "utf-8")


@pytest.mark.parametrize("url", ["http://a%3Ab:secret@x/", "http://a:secret%0A@x/"])
def test_userinfo_that_basic_cannot_carry(url: str) -> None:
    with pytest.raises(ValueError, match="Basic credentials") as caught:
        BasicAuth.from_url(URL(url))
    assert "secret" not in str(caught.value)


# -- netrc -------------------------------------------------------------------------------------------------------------

NETRC = """
machine example.com login user password secret
machine account.example account acc password secret
machine newline.example login us:er password secret
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(auth, "_parsed", None)
    monkeypatch.delenv("NETRC", raising=False)
    monkeypatch.setenv("HOME", str(tmp_path))
    return tmp_path


@pytest.fixture
def netrc_file(home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = home / "named"
    path.write_text(NETRC)
    monkeypatch.setenv("NETRC", str(path))
    return path


@pytest.mark.usefixtures("netrc_file")
def test_netrc(caplog: pytest.LogCaptureFixture) -> None:
    assert netrc_auth("example.com") == ("user", "secret", "latin1")
    assert netrc_auth("account.example") == ("acc", "secret", "latin1")
    assert netrc_auth("other.example") is None
    assert basicauth_from_netrc(netrc_from_env(), "example.com").login == "user"
    with pytest.raises(LookupError, match=r"no entry for other\.example"):
        basicauth_from_netrc(netrc_from_env(), "other.example")
    with pytest.raises(LookupError, match="file found"):
        basicauth_from_netrc(None, "example.com")
    assert not caplog.records


def test_the_default_entry(netrc_file: Path) -> None:
    netrc_file.write_text(NETRC + "default login any password other\n")
    assert netrc_auth("other.example") == ("any", "other", "latin1")


def test_the_file_in_the_home_directory(home: Path) -> None:
    assert netrc_from_env() is None
    (home / ".netrc").write_text("machine h login a password b")
    assert netrc_auth("h") == ("a", "b", "latin1")


def test_an_empty_name_turns_it_off(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / ".netrc").write_text("machine h login a password b")
    monkeypatch.setenv("NETRC", "")
    assert netrc_from_env() is None


def test_a_file_is_parsed_again_when_it_changed(netrc_file: Path) -> None:
    first = netrc_from_env()
    assert netrc_from_env() is first
    netrc_file.write_text(NETRC.replace("user", "another"))
    assert netrc_auth("example.com") == ("another", "secret", "latin1")


def test_a_bad_entry_is_logged(netrc_file: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert netrc_auth("newline.example") is None
    assert "newline.example is not used" in caplog.text
    assert "secret" not in caplog.text


@pytest.mark.parametrize(
    "content", [b"machine h login u password p secret", b"machine h login \xff\xfe\x81 password p"]
)
def test_a_bad_file_is_logged_once(netrc_file: Path, caplog: pytest.LogCaptureFixture, content: bytes) -> None:
    netrc_file.write_bytes(content)
    assert netrc_auth("example.com") is None
    assert netrc_auth("example.com") is None
    assert [(record.name, record.levelno) for record in caplog.records] == [("endwell.client", logging.WARNING)]
    assert "secret" not in caplog.text


@pytest.mark.parametrize("kind", ["missing", "directory", "unreadable"])
def test_a_file_that_cannot_be_read(
    home: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, kind: str
) -> None:
    path = home / "named"
    if kind == "directory":
        path.mkdir()
    elif kind == "unreadable":
        path.write_text(NETRC)
        path.chmod(0)
        if os.access(path, os.R_OK):
            pytest.skip("root can read everything")
    monkeypatch.setenv("NETRC", str(path))
    assert netrc_from_env() is None
    assert "cannot be read" in caplog.text
    assert caplog.records[0].name == "endwell.client"


def test_no_home(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.delenv("NETRC", raising=False)

    def homeless() -> Path:
        raise RuntimeError("no home directory")

    monkeypatch.setattr(Path, "home", homeless)
    assert netrc_from_env() is None
    assert "no home directory" in caplog.text
