"""The TLS of a service: its certificate, and what it wants of its clients. Used by `worker` and the command line."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from endwell.service.plan import ServicePlan

if TYPE_CHECKING:
    import ssl

__all__ = ("CertificateError", "server_context")


class CertificateError(ValueError):
    """A file of TLS that cannot be used. `option` names the option of the command line that is to blame."""

    def __init__(self, option: str, reason: str) -> None:
        super().__init__(reason)
        self.option = option


def server_context(plan: ServicePlan) -> ssl.SSLContext | None:
    """Make the context of a server; None when no TLS is spoken. Reads the files.

    Raises:
        CertificateError: one of them is not there, is none, or does not fit to the other.

    """
    _agree(plan)
    if plan.ssl_certfile is None:
        return None
    import ssl

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.set_alpn_protocols(["http/1.1"])
    _check("--ssl-certfile", plan.ssl_certfile)
    _check("--ssl-keyfile", plan.ssl_keyfile)
    _check("--ssl-ca-certs", plan.ssl_ca_certs)
    _load_pair(context, plan)
    if plan.ssl_ciphers is not None:
        try:
            context.set_ciphers(plan.ssl_ciphers)
        except ssl.SSLError:
            raise CertificateError("--ssl-ciphers", "OpenSSL knows no cipher of these names") from None
    if plan.ssl_ca_certs is not None:
        try:
            context.load_verify_locations(plan.ssl_ca_certs)
        except ssl.SSLError:
            raise CertificateError("--ssl-ca-certs", f"{plan.ssl_ca_certs} has no certificate in PEM in it") from None
    context.verify_mode = ssl.VerifyMode(plan.ssl_cert_reqs)
    return context


def _agree(plan: ServicePlan) -> None:
    for option, value in (("--ssl-keyfile", plan.ssl_keyfile), ("--ssl-ca-certs", plan.ssl_ca_certs)):
        if value is not None and plan.ssl_certfile is None:
            raise CertificateError(option, "it needs the certificate of the server too: --ssl-certfile")
    if plan.ssl_cert_reqs and plan.ssl_ca_certs is None:
        raise CertificateError("--ssl-cert-reqs", "it needs --ssl-ca-certs: who signs the certificates of clients")
    if plan.ssl_cert_reqs not in {0, 1, 2}:
        raise CertificateError("--ssl-cert-reqs", "0: none, 1: optional, 2: required")


def _check(option: str, path: str | None) -> None:
    if path is None:
        return
    try:
        with Path(path).open("rb"):
            pass
    except OSError as error:
        raise CertificateError(option, f"{path}: {error.strerror}") from None


def _load_pair(context: ssl.SSLContext, plan: ServicePlan) -> None:
    import ssl

    assert plan.ssl_certfile is not None
    key = plan.ssl_keyfile
    where = key or plan.ssl_certfile

    def password() -> str:  # a function, for without one OpenSSL asks at the terminal
        if plan.ssl_password is None:
            raise CertificateError("--ssl-keyfile-password", f"the key in {where} is encrypted: its password is needed")
        return plan.ssl_password

    try:
        context.load_cert_chain(plan.ssl_certfile, key, password)
    except ssl.SSLError as error:
        reason = error.reason or ""
        if "MISMATCH" in reason:
            raise CertificateError("--ssl-keyfile", f"the key in {where} is not that of {plan.ssl_certfile}") from None
        if plan.ssl_password is not None and _is_encrypted(where):
            raise CertificateError("--ssl-keyfile-password", f"it does not open the key in {where}") from None
        option, what = _culprit(plan)
        raise CertificateError(option, what) from None


def _is_encrypted(path: str) -> bool:
    return b"ENCRYPTED" in Path(path).read_bytes()


def _culprit(plan: ServicePlan) -> tuple[str, str]:
    """Tell which of the two files has not in it what it should have."""
    certificate, key = plan.ssl_certfile or "", plan.ssl_keyfile
    if b"-----BEGIN CERTIFICATE-----" not in Path(certificate).read_bytes():
        return "--ssl-certfile", f"{certificate} has no certificate in PEM in it"
    if b"PRIVATE KEY-----" not in Path(key or certificate).read_bytes():
        if key is None:
            return "--ssl-keyfile", f"{certificate} has no key in it: name the file that has"
        return "--ssl-keyfile", f"{key} has no private key in PEM in it"
    return "--ssl-certfile", f"{certificate} and its key cannot be used: one of them is damaged"
