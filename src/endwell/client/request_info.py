"""What was asked, as errors and responses carry it, and how a URL or fields are written where people read them.

Used by ``client/errors``, ``client/response``, ``client/tracing``. Nothing shown here holds a credential.
"""

from typing import Any, NamedTuple, Self

from multidict import CIMultiDict, CIMultiDictProxy
from yarl import URL

from endwell.http.typedefs import StrOrURL

__all__ = ("RequestInfo", "shown_fields", "shown_url")


def shown_url(url: StrOrURL) -> str:
    """``url`` as it may be written in a message or a log: without its userinfo.

    Takes anything that was given as a URL, also what does not parse as one (that is when a password is likeliest to
    stand in the wrong place), and never raises.
    """
    text = str(url)
    mark = text.find("//")
    if mark < 0 or (mark and text[mark - 1] != ":"):
        if text.startswith("/"):
            return text
        # `user:password@host`: a scheme was forgotten. There is no telling a scheme from a login here.
        cut = text.rfind("@", 0, _first_of(text, "?#"))
        return text if cut < 0 else f"***{text[cut:]}"
    start = mark + 2
    end = start + _first_of(text[start:], "/?#")
    cut = text.rfind("@", start, end)
    if cut < 0:
        port = text[text.rfind("]", start, end) + 1 or start : end].rpartition(":")[2]
        has_port = ":" in text[start:end]
        if has_port and port and not port.isdigit():
            # `http://user:pass/word@host`: the slash of a password that was not quoted ends the authority too early.
            cut = text.rfind("@", end)
    return text if cut < 0 else text[:start] + text[cut + 1 :]


def _first_of(text: str, marks: str) -> int:
    found = [place for place in map(text.find, marks) if place >= 0]
    return min(found, default=len(text))


def shown_fields(fields: Any) -> str:
    """How many fields there are: any of them may hold a credential."""
    return "<none>" if fields is None else f"<{len(fields)} fields, not shown>"


class _RequestInfo(NamedTuple):
    url: URL
    method: str
    headers: CIMultiDictProxy[str]
    real_url: URL


class RequestInfo(_RequestInfo):
    """What was asked: ``url`` (without fragment), ``method``, ``headers`` as sent, ``real_url`` (with fragment).

    ``real_url`` is ``url`` unless given. The repr shows neither userinfo nor fields. Can be pickled.
    """

    __slots__ = ()

    def __new__(cls, url: URL, method: str, headers: CIMultiDictProxy[str], real_url: URL | None = None) -> Self:
        """``real_url`` is ``url`` unless given."""
        return super().__new__(cls, url, method, headers, url if real_url is None else real_url)

    def __repr__(self) -> str:
        return (
            f"RequestInfo(url={shown_url(self.url)!r}, method={self.method!r}, "
            f"headers={shown_fields(self.headers)}, real_url={shown_url(self.real_url)!r})"
        )

    def __reduce__(self) -> tuple[Any, ...]:
        # A CIMultiDictProxy cannot be pickled; the multidict below it can.
        headers = None if self.headers is None else CIMultiDict(self.headers)
        return _load_request_info, (type(self), self.url, self.method, headers, self.real_url)


def _load_request_info(
    cls: type[RequestInfo], url: URL, method: str, headers: CIMultiDict[str] | None, real_url: URL
) -> RequestInfo:
    return cls(url, method, CIMultiDictProxy(headers) if headers is not None else headers, real_url)  # type: ignore[arg-type]  # tests of users give None
