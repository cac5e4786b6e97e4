"""Digest authentication: the examples of RFC 7616, the grammar of challenges, and when an answer is given."""

import hashlib
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multidict import CIMultiDict
from yarl import URL

from endwell.client.digest_auth import DigestAuthMiddleware
from endwell.client.digest_challenge import (
    ALGORITHMS,
    DigestAnswer,
    DigestChallenge,
    parse_challenges,
    parse_parameters,
    pick_challenge,
)

RFC = {
    "realm": "http-auth@example.org",
    "nonce": "7ypf/xlj9XXwfDPEoM4URrv/xwf94BcCAzFZH4GiTo0v",
    "opaque": "FQhe/qaU925kfnzjCev0ciny7QMkPqMAFRtzCUYo5tdS",
}
CNONCE = "f2/wE4q74E6zIJEtWaHKaf5wv/H5QzzpXusqGemxURZJ"


def params(field: str) -> dict[str, str]:
    ((scheme, found),) = parse_challenges(field)
    assert scheme == "digest"
    return found


# -- the calculation ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("algorithm", "response"),
    [
        ("MD5", "8ca523f5e9506fed4657c9700eebdbec"),
        ("SHA-256", "753927fa0e85d155564e2e272a28d1802ca10daf4496794697cf8db5856cb6c1"),
    ],
)
def test_rfc_7616_section_3_9_1(algorithm: str, response: str) -> None:
    answer = DigestAnswer(DigestChallenge(**RFC, algorithm=algorithm, qop="auth"), "Mufasa", "Circle of Life")  # type: ignore[arg-type] # all str
    field = answer.field("GET", "/dir/index.html", count=1, cnonce=CNONCE)
    assert params(field) == {
        "username": "Mufasa",
        **RFC,
        "uri": "/dir/index.html",
        "algorithm": algorithm,
        "nc": "00000001",
        "cnonce": CNONCE,
        "qop": "auth",
        "response": response,
    }
    assert "Circle" not in field + repr(answer)


def test_rfc_7616_section_3_9_2() -> None:
    """SHA-512-256 with userhash and a login that is not ASCII.

    The RFC's own figures are wrong (erratum 4897); the ones here are those of the erratum.
    """
    challenge = pick_challenge(
        [
            (
                'Digest realm="api@example.org", qop="auth", algorithm=SHA-512-256, '
                'nonce="5TsQWLVdgBdmrQ0XsxbDODV+57QdFR34I9HAbC/RVvkK", '
                'opaque="HRPCssKJSGjCrkzDg8OhwpzCiGPChXYjwrI2QmXDnsOS", charset=UTF-8, userhash=true'
            )
        ]
    )
    assert challenge is not None
    login = "J\u00e4s\u00f8n Doe"
    field = DigestAnswer(challenge, login, "Secret, or not?").field(
        "GET", "/doe.json", count=1, cnonce="NTg6RKcb9boFIAS3KrFK9BGeh+iDa/sm6jUMp2wds69v"
    )
    found = params(field)
    assert found["username"] == "793263caabb707a56211940d90411ea4a575adeccb7e360aeb624ed06ece9b0b"
    assert found["response"] == "3798d4131c277846293534c3edc11bd8a5e4cdcbff78b05db9d95eeb1cec68a5"
    assert found["userhash"] == "true"


def test_rfc_2617_and_2069() -> None:
    """The well-known examples with MD5: with qop (RFC 2617 section 3.5), and computed by hand without it."""
    base = DigestChallenge("testrealm@host.com", "dcd98b7102dd2f0e8b11d0f600bfb0c093", qop="auth")
    field = DigestAnswer(base, "Mufasa", "Circle Of Life").field("GET", "/dir/index.html", count=1, cnonce="0a4f113b")
    assert params(field)["response"] == "6629fae49393a05397450978507c4ef1"
    field = DigestAnswer(base._replace(qop=None), "Mufasa", "Circle Of Life").field(
        "GET", "/dir/index.html", count=1, cnonce="0a4f113b"
    )
    assert params(field)["response"] == "670fd8c2df070c60b045671b8b24ff02"
    assert not params(field).keys() & {"qop", "nc", "cnonce", "opaque"}


@pytest.mark.parametrize("name", ALGORITHMS)
@pytest.mark.parametrize("session", [False, True])
@pytest.mark.parametrize("qop", ["auth", "auth-int", None])
def test_every_algorithm(name: str, session: bool, qop: str | None) -> None:
    def h(*parts: str) -> str:
        return hashlib.new(ALGORITHMS[name], ":".join(parts).encode()).hexdigest()

    algorithm = name.lower() + ("-sess" if session else "")
    challenge = DigestChallenge("r", "n", algorithm, qop)
    found = params(DigestAnswer(challenge, "u", "p").field("PUT", "/x?y", count=255, cnonce="c", body=b"body"))
    a1 = h("u", "r", "p")
    if session:
        a1 = h(a1, "n", "c")
    a2 = h("PUT", "/x?y", h("body")) if qop == "auth-int" else h("PUT", "/x?y")
    assert found["response"] == (h(a1, "n", "000000ff", "c", qop, a2) if qop else h(a1, "n", a2))
    assert found["algorithm"] == algorithm
    assert ("cnonce" in found) == (session or qop is not None)


def test_values_are_quoted_as_they_were_read() -> None:
    challenge = pick_challenge([r'Digest realm="a \"b\" \\c", nonce="n"'])
    assert challenge is not None
    assert challenge.realm == 'a "b" \\c'
    found = params(DigestAnswer(challenge, 'u"', "p").field("GET", "/", count=1, cnonce="c"))
    assert (found["realm"], found["username"]) == (challenge.realm, 'u"')


def test_a_login_that_is_not_ascii() -> None:
    field = DigestAnswer(DigestChallenge("r", "n"), "J\u00e4 s", "p").field("GET", "/", count=1, cnonce="c")
    assert "username*=UTF-8''J%C3%A4%20s," in field


# -- the grammar -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("", []),
        (" , ,", []),
        ("Basic", [("basic", {})]),
        ('Basic realm="x"', [("basic", {"realm": "x"})]),
        ('Digest a=1,b = 2 ,, C="x,y" , d=""', [("digest", {"a": "1", "b": "2", "c": "x,y", "d": ""})]),
        ('Negotiate, Basic realm="x"', [("negotiate", {}), ("basic", {"realm": "x"})]),
        ("Negotiate YII==, Digest a=1", [("negotiate", {}), ("digest", {"a": "1"})]),
        ("Bearer abc", [("bearer", {})]),
        (
            'Digest a=1, Basic realm="x", Digest a=2',
            [("digest", {"a": "1"}), ("basic", {"realm": "x"}), ("digest", {"a": "2"})],
        ),
        ('Digest realm="a\\"b"', [("digest", {"realm": 'a"b'})]),
        ('Digest realm="open', [("digest", {})]),
        ("Digest a=1 b=2", [("digest", {})]),
        ("Digest a=1, a=2", [("digest", {})]),
        ('Basic realm="x", Digest a=1, b="', [("basic", {"realm": "x"}), ("digest", {})]),
        ("a=1", []),
        ("@", []),
        ("Digest b=1, a=,c=1", [("digest", {})]),
    ],
)
def test_challenges(text: str, found: list[Any]) -> None:
    assert parse_challenges(text) == found


@given(st.text(alphabet='abD=", \\\t@/', max_size=60))
def test_any_text_is_parsed(text: str) -> None:
    for scheme, parameters in parse_challenges(text):
        assert re.fullmatch(r"\S+", scheme)
        assert all(name == name.lower() for name in parameters)


def test_many_parameters_spoil_a_challenge() -> None:
    text = "Digest " + ",".join(f"p{number}=1" for number in range(33))
    assert parse_challenges(text) == [("digest", {})]
    assert len(parse_challenges("Digest," * 100)) == 16
    assert parse_challenges(f'Digest a="{"x" * 5000}"') == [("digest", {})]


def test_parameters_without_a_scheme() -> None:
    assert parse_parameters('nextnonce="n", qop=auth') == {"nextnonce": "n", "qop": "auth"}
    assert parse_parameters("a b") == {}
    assert parse_parameters("") == {}


@pytest.mark.parametrize(
    "field",
    [
        'Basic realm="x"',
        'Digest realm="x"',
        'Digest nonce="x"',
        'Digest realm="x", nonce=""',
        'Digest realm="x", nonce="n", algorithm=CRC32',
        'Digest realm="x", nonce="n", qop="auth-conf"',
        'Digest realm="x\x01", nonce="n"',
        'Digest realm="x", nonce="n", realm="y"',
    ],
)
def test_challenges_that_cannot_be_answered(field: str) -> None:
    assert pick_challenge([field]) is None


def test_the_first_that_can_be_answered_is() -> None:
    fields = ['Digest realm="a", nonce="n", algorithm=X', 'Basic, Digest realm="b", nonce="n", qop="auth-int, auth"']
    challenge = pick_challenge([*fields, 'Digest realm="c", nonce="n"'])
    assert challenge == DigestChallenge("b", "n", qop="auth")
    other = pick_challenge(['Digest realm="b", nonce="n", qop="auth-int", stale=TRUE, domain="/a  /b"'])
    assert other == DigestChallenge("b", "n", qop="auth-int", stale=True, domain=("/a", "/b"))


# -- the middleware ----------------------------------------------------------------------------------------------------


class Request:
    """What a middleware may rely on of a request."""

    def __init__(self, url: str, method: str = "GET", body: Any = b"", headers: Any = ()) -> None:
        self.url = URL(url)
        self.method = method
        self.body = body
        self.headers = CIMultiDict(headers)

    async def update_body(self, body: bytes) -> None:
        self.body = body


class Response:
    def __init__(self, url: URL, status: int, headers: Any = ()) -> None:
        self.url = url
        self.status = status
        self.headers = CIMultiDict(headers)
        self.released = False

    def release(self) -> None:
        self.released = True


class Stream:
    """A body that can be written once."""

    consumed = False

    async def as_bytes(self) -> bytes:
        self.consumed = True
        return b"streamed"


class Server:
    """Checks answers by a calculation of its own; a nonce is good for ``uses`` answers."""

    def __init__(self, *, uses: int = 100, qop: str = "auth", extra: str = "", stale: bool = True) -> None:
        self.log: list[tuple[str, int]] = []
        self.responses: list[Response] = []
        self.uses = uses
        self.qop = qop
        self.extra = extra
        self.stale = stale
        self.nonce = 0
        self.seen: set[str] = set()
        self.info = ""

    async def __call__(self, request: Any) -> Any:
        status, headers = self.judge(request)
        response = Response(request.url, status, headers)
        self.log.append((request.url.path, status))
        self.responses.append(response)
        return response

    def judge(self, request: Any) -> tuple[int, list[tuple[str, str]]]:
        field = request.headers.get("Authorization", "")
        stale = ""
        if field.startswith("Digest "):
            found = params(field)
            body = request.body if isinstance(request.body, bytes) else b""
            challenge = DigestChallenge("realm", found["nonce"], qop=self.qop or None)
            right = DigestAnswer(challenge, "user", "pass").field(
                request.method, request.url.raw_path_qs, count=int(found["nc"], 16), cnonce=found["cnonce"], body=body
            )
            if params(right)["response"] == found["response"]:
                fresh = found["nonce"] == f"n{self.nonce}" and len(self.seen) < self.uses
                if fresh and found["nc"] not in self.seen:
                    self.seen.add(found["nc"])
                    if self.info:
                        self.nonce += 1
                        self.seen.clear()
                        return 200, [("Authentication-Info", f'nextnonce="n{self.nonce}"')]
                    return 200, []
                stale = ", stale=true" if self.stale else ""
        self.nonce += 1
        self.seen.clear()
        text = f'Digest realm="realm", nonce="n{self.nonce}", qop="{self.qop}"{stale}{self.extra}'
        return 401, [("WWW-Authenticate", 'Basic realm="x"'), ("WWW-Authenticate", text)]


async def send(middleware: DigestAuthMiddleware, server: Any, url: str = "http://h/a", **options: Any) -> Any:
    return await middleware(Request(url, **options), server)  # type: ignore[arg-type] # it has what a middleware needs


async def test_a_challenge_is_answered_and_then_in_advance() -> None:
    middleware, server = DigestAuthMiddleware("user", "pass"), Server()
    for path in ("/a", "/b?q=1", "/"):
        assert (await send(middleware, server, "http://h" + path)).status == 200
    assert server.log == [("/a", 401), ("/a", 200), ("/b", 200), ("/", 200)]
    assert server.seen == {"00000001", "00000002", "00000003"}
    assert [response.released for response in server.responses] == [True, False, False, False]


async def test_not_in_advance() -> None:
    middleware, server = DigestAuthMiddleware("user", "pass", preemptive=False), Server()
    for _ in range(2):
        assert (await send(middleware, server)).status == 200
    assert [status for _, status in server.log] == [401, 200, 401, 200]


@pytest.mark.parametrize("stale", [True, False])
async def test_an_old_nonce_is_replaced(stale: bool) -> None:
    """Also when the server forgets to say that it is only old, as many do."""
    middleware, server = DigestAuthMiddleware("user", "pass"), Server(uses=1, stale=stale)
    for _ in range(2):
        assert (await send(middleware, server)).status == 200
    assert [status for _, status in server.log] == [401, 200, 401, 200]


async def test_wrong_credentials_are_tried_once_a_request() -> None:
    middleware, server = DigestAuthMiddleware("user", "wrong"), Server()
    response = await send(middleware, server)
    assert response.status == 401
    assert not response.released
    assert len(server.log) == 2


async def test_a_server_that_finds_every_nonce_old() -> None:
    middleware, server = DigestAuthMiddleware("user", "pass"), Server(uses=0)
    assert (await send(middleware, server)).status == 401
    assert len(server.log) == 3


@pytest.mark.parametrize("url", ["http://other/a", "https://h/a", "http://h:81/a"])
async def test_another_origin_gets_no_answer(url: str) -> None:
    middleware, server, other = DigestAuthMiddleware("user", "pass"), Server(), Server()
    await send(middleware, server)
    assert (await send(middleware, other, url)).status == 401
    assert other.log == [("/a", 401)]
    assert (await send(middleware, server)).status == 200


async def test_the_origin_can_be_given() -> None:
    middleware, server = DigestAuthMiddleware("user", "pass", origin="http://h/some/path"), Server()
    assert (await send(middleware, server, "http://other/")).status == 401
    assert (await send(middleware, server)).status == 200


async def test_a_challenge_of_a_response_from_elsewhere() -> None:
    """An inner middleware may have followed a redirect."""
    middleware, server = DigestAuthMiddleware("user", "pass"), Server()

    async def elsewhere(request: Any) -> Any:
        response = await server(request)
        response.url = URL("http://other/")
        return response

    assert (await send(middleware, elsewhere)).status == 401
    assert len(server.log) == 1


async def test_domain_bounds_the_answers_in_advance() -> None:
    middleware = DigestAuthMiddleware("user", "pass")
    server = Server(extra=', domain="/in http://h/also/ http://other/evil http://[bad"')
    await send(middleware, server, "http://h/in")
    server.log.clear()
    for path in ("/in", "/in/deeper", "/also/x"):
        await send(middleware, server, "http://h" + path)
    assert server.log == [("/in", 200), ("/in/deeper", 200), ("/also/x", 200)]
    server.log.clear()
    for path in ("/inside", "/evil", "/"):
        await send(middleware, server, "http://h" + path)
    assert [status for _, status in server.log] == [401, 200] * 3


async def test_a_body_that_is_gone_is_not_sent_again() -> None:
    middleware, server, body = DigestAuthMiddleware("user", "pass"), Server(), Stream()
    body.consumed = True
    response = await send(middleware, server, method="POST", body=body)
    assert response.status == 401
    assert not response.released
    assert len(server.log) == 1


async def test_auth_int_covers_the_body() -> None:
    middleware, server = DigestAuthMiddleware("user", "pass"), Server(qop="auth-int")
    assert (await send(middleware, server, method="POST", body=b"body")).status == 200
    assert (await send(middleware, server)).status == 200
    assert (await send(middleware, server, method="POST", body=Stream())).status == 200
    assert [status for _, status in server.log] == [401, 200, 200, 200]


async def test_the_next_nonce() -> None:
    middleware, server = DigestAuthMiddleware("user", "pass"), Server()
    server.info = "yes"
    for _ in range(3):
        assert (await send(middleware, server)).status == 200
    assert [status for _, status in server.log] == [401, 200, 200, 200]


async def test_other_credentials_of_the_request_go_first() -> None:
    middleware, server = DigestAuthMiddleware("user", "pass"), Server()
    await send(middleware, server)
    server.log.clear()
    response = await send(middleware, server, headers={"Authorization": "Bearer x"})
    assert response.status == 200
    assert [status for _, status in server.log] == [401, 200]


async def test_a_request_that_is_sent_again_gets_a_new_answer() -> None:
    middleware, server = DigestAuthMiddleware("user", "pass"), Server()
    request: Any = Request("http://h/a")
    for _ in range(2):
        assert (await middleware(request, server)).status == 200
    assert [status for _, status in server.log] == [401, 200, 200]


@pytest.mark.parametrize(
    ("login", "password"), [(None, "p"), ("u", None), ("a:b", "p"), ("u\n", "p"), ("u", "p\r\n"), ("u", "\0")]
)
def test_bad_credentials(login: Any, password: Any) -> None:
    with pytest.raises(ValueError):
        DigestAuthMiddleware(login, password)


def test_repr() -> None:
    assert repr(DigestAuthMiddleware("user", "pass")) == "<DigestAuthMiddleware for the origin of its first request>"
    assert repr(DigestAuthMiddleware("user", "pass", origin="http://h")) == "<DigestAuthMiddleware for http://h>"
