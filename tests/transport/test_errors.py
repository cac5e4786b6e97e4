"""The facts that the layers above turn into public errors: they can be copied and sent to another process."""

import copy
import pickle
import ssl

import pytest

from endwell.transport import errors


def _unverified() -> ssl.SSLCertVerificationError:
    error = ssl.SSLCertVerificationError(1, "certificate verify failed")
    error.verify_message = "self-signed certificate"
    return error


@pytest.mark.parametrize(
    "error",
    [
        errors.ResolveError("a", 1, "no such name", number=-2),
        errors.DialError("a", 1, "refused", attempts=("127.0.0.1:1",), number=111),
        errors.DialDeniedError("a", 1, ("127.0.0.1", "::1")),
        errors.TlsError("a", "it ended"),
        errors.TlsCertificateError("a", _unverified()),
        errors.TlsTimeoutError("a", 2.0),
        errors.ProxyError("proxy", 1, "a", 2, "it will not", code=3),
    ],
    ids=lambda error: type(error).__name__,
)
def test_copies(error: OSError) -> None:
    for other in (copy.copy(error), pickle.loads(pickle.dumps(error))):
        assert type(other) is type(error)
        assert (str(other), other.args, other.errno) == (str(error), error.args, error.errno)
        assert {name: str(value) for name, value in vars(other).items()} == {
            name: str(value) for name, value in vars(error).items()
        }
