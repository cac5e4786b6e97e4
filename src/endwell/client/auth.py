"""Basic credentials: made, parsed, taken out of a URL, looked up in a netrc file.

RFC 7617, RFC 3986 section 3.2.1. Used by ``client/request`` and ``client/session``; ``BasicAuth`` and
``encode_basic_auth`` are exported. A login may hold no colon, and neither part CR, LF or NUL: a secret read from a file
with its line end would be refused by every server, and nobody would see why.
"""

import base64
import binascii
import os
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, NamedTuple, Self

from yarl import URL

if TYPE_CHECKING:
    from netrc import netrc

__all__ = (
    "BasicAuth",
    "basicauth_from_netrc",
    "encode_basic_auth",
    "netrc_auth",
    "netrc_from_env",
)


def _check(login: str, password: str) -> None:
    for name, value in (("login", login), ("password", password)):
        if value is None:
            raise ValueError(f"the {name} of Basic credentials must be a str, not None")
        if not isinstance(value, str):
            raise TypeError(f"the {name} of Basic credentials must be a str, not {type(value).__name__}")
        if "\n" in value or "\r" in value or "\0" in value:
            raise ValueError(f"the {name} of Basic credentials contains CR, LF or NUL: was it read with its line end?")
    if ":" in login:
        raise ValueError("the login of Basic credentials must not contain a colon (RFC 7617 section 2)")


def _encode(login: str, password: str, encoding: str) -> str:
    return "Basic " + base64.b64encode(f"{login}:{password}".encode(encoding)).decode("ascii")


def encode_basic_auth(login: str, password: str = "", encoding: str = "utf-8") -> str:
    """The value of ``Authorization`` (or ``Proxy-Authorization``) for these credentials.

    Raises ValueError for a colon in the login, for CR, LF or NUL, and for what ``encoding`` cannot express.
    """
    _check(login, password)
    return _encode(login, password, encoding)


class _BasicAuth(NamedTuple):
    login: str
    password: str
    encoding: str


class BasicAuth(_BasicAuth):
    """Login, password and their encoding. Deprecated by aiohttp in favour of ``encode_basic_auth``, and still its API.

    Making one warns (DeprecationWarning); ``decode`` and ``from_url`` don't. The repr hides the password.
    """

    __slots__ = ()

    def __new__(cls, login: str, password: str = "", encoding: str = "latin1") -> Self:
        """Raises ValueError for a colon in the login, and for CR, LF or NUL."""
        warnings.warn(
            "BasicAuth is deprecated: use headers={'Authorization': encode_basic_auth(login, password)}",
            DeprecationWarning,
            stacklevel=2,
        )
        return cls._quiet(login, password, encoding)

    @classmethod
    def _quiet(cls, login: str, password: str, encoding: str) -> Self:
        _check(login, password)
        return super().__new__(cls, login, password, encoding)

    @classmethod
    def decode(cls, auth_header: str, encoding: str = "latin1") -> Self:
        """The credentials of an ``Authorization`` field. Raises ValueError when they are not Basic, or are broken."""
        scheme, space, coded = auth_header.partition(" ")
        if not space:
            raise ValueError("an Authorization field is a scheme, a space and credentials: no space found")
        if scheme.lower() != "basic":
            raise ValueError(f"unknown authorization scheme {scheme[:40]!r}: only Basic can be decoded here")
        try:
            text = base64.b64decode(coded.strip(" \t").encode("ascii"), validate=True).decode(encoding)
        except (UnicodeError, binascii.Error):
            # Without the cause: it may quote what it could not decode.
            raise ValueError(f"the Basic credentials are not base64 of {encoding} text") from None
        login, colon, password = text.partition(":")
        if not colon:
            raise ValueError("the Basic credentials have no colon between login and password")
        return cls._quiet(login, password, encoding)

    @classmethod
    def from_url(cls, url: URL, *, encoding: str = "latin1") -> Self | None:
        """The credentials in ``url``, None when there are none."""
        if not isinstance(url, URL):
            raise TypeError(f"from_url() takes a yarl.URL, not {type(url).__name__}")
        if url.raw_user is None and url.raw_password is None:
            return None
        return cls._quiet(url.user or "", url.password or "", encoding)

    def encode(self) -> str:
        """The value of the field."""
        return _encode(self.login, self.password, self.encoding)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(login={self.login!r}, password=<not shown>, encoding={self.encoding!r})"

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self)._make, (tuple(self),)  # without the warning


# -- netrc -------------------------------------------------------------------------------------------------------------

_NETRC_NAME: Final = "_netrc" if os.name == "nt" else ".netrc"
# Path, time of change and size of the file that was parsed last, and what was in it.
_parsed: tuple[tuple[str, int, int], "netrc | None"] | None = None


def _warn(text: str, *args: object) -> None:
    import logging

    logging.getLogger("endwell.client").warning(text, *args)


def _netrc_path() -> tuple[str, bool] | None:
    """Where the netrc file should be, and whether the user said so."""
    named = os.environ.get("NETRC")
    if named is not None:
        return (named, True) if named else None
    try:
        return str(Path.home() / _NETRC_NAME), False
    except RuntimeError as error:  # no home
        _warn("no .netrc file is read: %s", error)
        return None


def netrc_from_env() -> "netrc | None":
    """The netrc file named by ``NETRC``, or the one in the home directory; parsed again only when it has changed.

    None when there is none, when ``NETRC`` is empty, and, with a warning to the logger ``endwell.client``, when it
    cannot be read or parsed.
    """
    global _parsed
    where = _netrc_path()
    if where is None:
        return None
    path, named = where
    try:
        status = Path(path).stat()
    except OSError as error:
        if named:
            _warn("the .netrc file %s, named by NETRC, cannot be read: %s", path, error.strerror)
        return None
    key = (path, status.st_mtime_ns, status.st_size)
    if _parsed is None or _parsed[0] != key:
        _parsed = key, _parse_netrc(path)
    return _parsed[1]


def _parse_netrc(path: str) -> "netrc | None":
    from netrc import NetrcParseError, netrc

    try:
        return netrc(path)
    except OSError as error:
        _warn("the .netrc file %s cannot be read: %s", path, error.strerror)
    except NetrcParseError as error:
        # Not its message: that quotes a word of the file, and the word may be a password.
        _warn("the .netrc file %s cannot be parsed: error in line %s", path, error.lineno)
    except UnicodeDecodeError:
        _warn("the .netrc file %s cannot be parsed: it is neither UTF-8 nor in the encoding of the locale", path)
    return None


def basicauth_from_netrc(netrc_obj: "netrc | None", host: str) -> BasicAuth:
    """The credentials for ``host`` in a netrc file, those of its ``default`` entry otherwise.

    Raises LookupError when there are none (also for ``netrc_obj`` None), ValueError when Basic cannot carry them.
    """
    if netrc_obj is None:
        raise LookupError("no .netrc file found")
    entry = netrc_obj.authenticators(host)
    if entry is None:
        raise LookupError(f"no entry for {host} in the .netrc file")
    login, account, password = entry
    return BasicAuth._quiet(login or account or "", password or "", "latin1")


def netrc_auth(host: str) -> BasicAuth | None:
    """The credentials for ``host`` in the user's netrc file, or None. Never raises: what is wrong is logged."""
    try:
        return basicauth_from_netrc(netrc_from_env(), host)
    except LookupError:
        return None
    except ValueError as error:
        _warn("the .netrc entry for %s is not used: %s", host, error)
        return None
