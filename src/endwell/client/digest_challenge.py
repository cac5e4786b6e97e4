"""Digest authentication as a calculation: a challenge read, an answer written. No request, no clock, no randomness.

RFC 7616, RFC 9110 section 11.6.1 (the syntax of ``WWW-Authenticate``), RFC 2069 (servers without ``qop``). Used by
``client/digest_auth``.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final, NamedTuple

from endwell.http.fields import TOKEN

if TYPE_CHECKING:
    from hashlib import _Hash

__all__ = ("ALGORITHMS", "DigestAnswer", "DigestChallenge", "parse_challenges", "parse_parameters", "pick_challenge")

# What a server calls an algorithm, and what hashlib does. Each may have -SESS behind it.
ALGORITHMS: Final = {
    "MD5": "md5",
    "SHA": "sha1",
    "SHA-256": "sha256",
    "SHA-512": "sha512",
    "SHA-512-256": "sha512_256",
}
# A field is limited by the parser of the head; these bound what is made of it.
_MAX_CHALLENGES: Final = 16
_MAX_PARAMETERS: Final = 32
_MAX_VALUE: Final = 4096

_QUOTED = re.compile(r'"([^"\\]*(?:\\.[^"\\]*)*)"')
_TOKEN68 = re.compile(r"[0-9A-Za-z\-._~+/]+=*")
_SPACE = re.compile(r"[ \t]*")
_SEPARATOR = re.compile(r"[ \t,]*")
_EQUALS = re.compile(r"[ \t]*=[ \t]*")
_PAIR = re.compile(r"\\(.)")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")


class _GrammarError(Exception):
    """The text does not follow the grammar from here on."""


def _value_at(text: str, place: int) -> tuple[str, int]:
    quoted = _QUOTED.match(text, place)
    if quoted:
        return _PAIR.sub(r"\1", quoted[1]), quoted.end()
    token = TOKEN.match(text, place)
    if token is None:
        raise _GrammarError
    return token[0], token.end()


def _element_end(text: str, place: int) -> int:
    """Behind the comma that must follow an element, or the end."""
    place = _SPACE.match(text, place).end()  # type: ignore[union-attr] # it matches everywhere
    if place < len(text) and text[place] != ",":
        raise _GrammarError
    return _SEPARATOR.match(text, place).end()  # type: ignore[union-attr] # it matches everywhere


def parse_challenges(text: str) -> list[tuple[str, dict[str, str]]]:
    """The challenges of one ``WWW-Authenticate`` field: scheme and parameters, both names in lower case.

    Linear in time. A field that breaks the grammar gives the challenges before the fault; one with a parameter twice,
    or with too many, gives a challenge without parameters, which nobody can answer.
    """
    found: list[tuple[str, dict[str, str]]] = []
    spoilt: set[int] = set()
    place = _SEPARATOR.match(text).end()  # type: ignore[union-attr] # it matches everywhere
    try:
        while place < len(text):
            token = TOKEN.match(text, place)
            if token is None:
                raise _GrammarError
            equals = _EQUALS.match(text, token.end())
            if equals is None:
                if len(found) == _MAX_CHALLENGES:
                    break
                found.append((token[0].lower(), {}))
                place = _scheme_end(text, token.end())
                continue
            if not found:
                raise _GrammarError
            value, place = _value_at(text, equals.end())
            parameters = found[-1][1]
            name = token[0].lower()
            if name in parameters or len(parameters) == _MAX_PARAMETERS or len(value) > _MAX_VALUE:
                spoilt.add(len(found) - 1)
            else:
                parameters[name] = value
            place = _element_end(text, place)
    except _GrammarError:
        if found:
            spoilt.add(len(found) - 1)
    return [(scheme, {} if index in spoilt else parameters) for index, (scheme, parameters) in enumerate(found)]


def _scheme_end(text: str, place: int) -> int:
    """Behind a scheme, and behind its token68 if it has one (``Negotiate YII=``)."""
    start = _SPACE.match(text, place).end()  # type: ignore[union-attr] # it matches everywhere
    blob = _TOKEN68.match(text, start) if start > place else None
    if blob is not None:
        end = _SPACE.match(text, blob.end()).end()  # type: ignore[union-attr] # it matches everywhere
        if end == len(text) or text[end] == ",":
            return _SEPARATOR.match(text, end).end()  # type: ignore[union-attr] # it matches everywhere
    if start == place:
        return _element_end(text, place)
    return _SEPARATOR.match(text, start).end()  # type: ignore[union-attr] # it matches everywhere


def parse_parameters(text: str) -> dict[str, str]:
    """The parameters of a field that has no scheme (``Authentication-Info``); none when it breaks the grammar."""
    challenges = parse_challenges("x " + text)
    return challenges[0][1] if len(challenges) == 1 else {}


class DigestChallenge(NamedTuple):
    """What a server asked for. ``algorithm`` as it wrote it; ``qop`` is the one we take, or None (RFC 2069)."""

    realm: str
    nonce: str
    algorithm: str = "MD5"
    qop: str | None = None
    opaque: str | None = None
    stale: bool = False
    userhash: bool = False
    # URIs, absolute or relative, for which the same answer is good; none: all of the origin.
    domain: tuple[str, ...] = ()


def _new_hash(algorithm: str) -> "_Hash | None":
    import hashlib

    name = ALGORITHMS.get(algorithm.upper().removesuffix("-SESS"))
    if name is None:
        return None
    try:
        return hashlib.new(name, usedforsecurity=False)
    except ValueError:  # not in this OpenSSL
        return None


def pick_challenge(fields: Iterable[str]) -> DigestChallenge | None:
    """The first Digest challenge that can be answered: the server lists them in its order of preference."""
    for field in fields:
        for scheme, parameters in parse_challenges(field):
            if scheme == "digest":
                challenge = _read_challenge(parameters)
                if challenge is not None:
                    return challenge
    return None


def _read_challenge(parameters: dict[str, str]) -> DigestChallenge | None:
    if "realm" not in parameters or not parameters.get("nonce"):
        return None
    if any(_CONTROL.search(value) for value in parameters.values()):
        return None
    algorithm = parameters.get("algorithm", "MD5")
    if _new_hash(algorithm) is None:
        return None
    qop = None
    if parameters.get("qop"):
        offered = [option.strip(" \t").lower() for option in parameters["qop"].split(",")]
        # auth-int hashes the whole body: only for a server that insists.
        qop = next((option for option in ("auth", "auth-int") if option in offered), None)
        if qop is None:
            return None
    return DigestChallenge(
        realm=parameters["realm"],
        nonce=parameters["nonce"],
        algorithm=algorithm,
        qop=qop,
        opaque=parameters.get("opaque"),
        stale=parameters.get("stale", "").lower() == "true",
        userhash=parameters.get("userhash", "").lower() == "true",
        domain=tuple(parameters.get("domain", "").split()),
    )


def _quoted(value: str) -> str:
    return '"' + value.replace("\\", "\\\\").replace('"', '\\"') + '"'


class DigestAnswer:
    """Answers one challenge with one pair of credentials. The text of it never shows them."""

    __slots__ = ("_login", "_password", "challenge")

    def __init__(self, challenge: DigestChallenge, login: str, password: str) -> None:
        self.challenge = challenge
        self._login = login
        self._password = password

    def __repr__(self) -> str:
        return f"<DigestAnswer to realm {self.challenge.realm!r}>"

    def _hash(self, *parts: str | bytes) -> str:
        state = _new_hash(self.challenge.algorithm)
        if state is None:
            raise ValueError(f"the digest algorithm {self.challenge.algorithm!r} is not known")
        state.update(b":".join(part.encode() if isinstance(part, str) else part for part in parts))
        return state.hexdigest()

    def field(self, method: str, target: str, *, count: int, cnonce: str, body: bytes = b"") -> str:
        """The value of ``Authorization``.

        ``target`` is the request target as it is sent, ``count`` how often this nonce has been answered, this time
        included, ``cnonce`` a random text of the client's, ``body`` the content that is sent (for auth-int only).
        """
        challenge = self.challenge
        nc = f"{count:08x}"
        secret = self._hash(self._login, challenge.realm, self._password)
        if challenge.algorithm.upper().endswith("-SESS"):
            secret = self._hash(secret, challenge.nonce, cnonce)
        parts = [method, target]
        if challenge.qop == "auth-int":
            parts.append(self._hash(body))
        what = self._hash(*parts)
        if challenge.qop:
            response = self._hash(secret, challenge.nonce, nc, cnonce, challenge.qop, what)
        else:
            response = self._hash(secret, challenge.nonce, what)
        items = [
            self._username(),
            f"realm={_quoted(challenge.realm)}",
            f"nonce={_quoted(challenge.nonce)}",
            f"uri={_quoted(target)}",
            f'response="{response}"',
            f"algorithm={challenge.algorithm}",
        ]
        if challenge.opaque is not None:
            items.append(f"opaque={_quoted(challenge.opaque)}")
        if challenge.qop:
            items += [f"qop={challenge.qop}", f"nc={nc}"]
        if challenge.qop or challenge.algorithm.upper().endswith("-SESS"):
            items.append(f'cnonce="{cnonce}"')
        if challenge.userhash:
            items.append("userhash=true")
        return "Digest " + ", ".join(items)

    def _username(self) -> str:
        if self.challenge.userhash:
            return f'username="{self._hash(self._login, self.challenge.realm)}"'
        if self._login.isascii():
            return f"username={_quoted(self._login)}"
        from urllib.parse import quote

        return f"username*=UTF-8''{quote(self._login, safe='')}"
