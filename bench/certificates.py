"""A certificate authority and a certificate for loopback, made anew for each run. Used by `server.py`."""

from __future__ import annotations

from pathlib import Path


def make_certificates(folder: Path) -> tuple[Path, Path]:
    """Write an authority and a certificate for `localhost`, `127.0.0.1` and `::1`.

    Gives the file of the authority's certificate (for the clients) and the file of the server's key and chain.
    """
    import trustme

    authority = trustme.CA()
    server = authority.issue_cert("localhost", "127.0.0.1", "::1")
    ca_file = folder / "authority.pem"
    server_file = folder / "server.pem"
    authority.cert_pem.write_to_path(ca_file)
    server.private_key_and_cert_chain_pem.write_to_path(server_file)
    return ca_file, server_file
