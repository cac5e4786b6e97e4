"""Writes `surface.json`: the facts of aiohttp's public API that `test_surface.py` checks endwell against.

Run with an interpreter that has the release of aiohttp to compare with, and pytest:
`python tests/compat/collect.py`. Only names, kinds and defaults are taken, by `inspect`; which of them endwell has is
said here, for the client, and in `server_parts.py`, for the server.
"""

from __future__ import annotations

import enum
import inspect
import json
import sys
from pathlib import Path
from typing import Any

if __name__ == "__main__":
    sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.compat import server_parts

# Gunicorn loads these for programs that name them in its configuration; endwell runs in its own processes.
GUNICORN = {"GunicornUVLoopWebWorker", "GunicornWebWorker"}
WINDOWS = {"NamedPipeConnector"}
# Deprecated, or not documented and of use to nobody but aiohttp itself.
LEFT_OUT = {"DataQueue", "EofStream", "FlowControlDataQueue", "streamer"}

SIGNATURES = [
    "ClientSession",
    "ClientSession.request",
    "ClientSession.get",
    "ClientSession.options",
    "ClientSession.head",
    "ClientSession.post",
    "ClientSession.put",
    "ClientSession.patch",
    "ClientSession.delete",
    "ClientSession._request",
    "request",
    "BaseConnector",
    "TCPConnector",
    "TCPConnector.clear_dns_cache",
    "UnixConnector",
    "Fingerprint",
    "ThreadedResolver",
    "AsyncResolver",
    "ClientTimeout",
    "CookieJar",
    "CookieJar.clear",
    "CookieJar.clear_domain",
    "CookieJar.save",
    "CookieJar.load",
    "CookieJar.update_cookies",
    "CookieJar.filter_cookies",
    "CookieJar.update_cookies_from_headers",
    "DummyCookieJar",
    "FormData",
    "FormData.add_field",
    "FormData.add_fields",
    "BasicAuth",
    "BasicAuth.decode",
    "BasicAuth.from_url",
    "encode_basic_auth",
    "DigestAuthMiddleware",
    "ETag",
    "ClientResponse.read",
    "ClientResponse.text",
    "ClientResponse.json",
    "ClientResponse.raise_for_status",
    "StreamReader.read",
    "StreamReader.readany",
    "StreamReader.readexactly",
    "StreamReader.readline",
    "StreamReader.readuntil",
    "StreamReader.iter_chunked",
    "StreamReader.iter_any",
    "StreamReader.iter_chunks",
    "StreamReader.read_nowait",
    "MultipartWriter",
    "MultipartWriter.append",
    "MultipartWriter.append_payload",
    "MultipartWriter.append_json",
    "MultipartWriter.append_form",
    "MultipartReader.from_response",
    "BodyPartReader.read",
    "BodyPartReader.read_chunk",
    "BodyPartReader.readline",
    "BodyPartReader.text",
    "BodyPartReader.json",
    "BodyPartReader.form",
    "BodyPartReader.decode",
    "Payload",
    "BytesPayload",
    "get_payload",
    "payload_type",
    "parse_content_disposition",
    "content_disposition_filename",
    "TraceConfig",
    "UploadTracker",
    "RequestInfo",
    "ClientRequest.update_body",
    "HttpVersion",
    "ClientResponseError",
    "ClientConnectorError",
    "InvalidURL",
    "ServerFingerprintMismatch",
    "ServerDisconnectedError",
    "ClientSession.ws_connect",
    "ClientWSTimeout",
    "ClientWebSocketResponse.receive",
    "ClientWebSocketResponse.receive_str",
    "ClientWebSocketResponse.receive_bytes",
    "ClientWebSocketResponse.receive_json",
    "ClientWebSocketResponse.send_str",
    "ClientWebSocketResponse.send_bytes",
    "ClientWebSocketResponse.send_json",
    "ClientWebSocketResponse.send_json_bytes",
    "ClientWebSocketResponse.send_frame",
    "ClientWebSocketResponse.ping",
    "ClientWebSocketResponse.pong",
    "ClientWebSocketResponse.close",
    "ClientWebSocketResponse.exception",
    "ClientWebSocketResponse.get_extra_info",
]

DEPRECATED = {
    "*": ["loop"],
    "ClientSession": ["read_timeout", "conn_timeout", "ssl_shutdown_timeout", "auth", "proxy_auth"],
    "ClientSession._request": ["verify_ssl", "fingerprint", "ssl_context", "auth", "proxy_auth"],
    "TCPConnector": ["verify_ssl", "fingerprint", "ssl_context", "ssl_shutdown_timeout"],
    "ClientResponseError": ["code"],
}

# The members that the documentation names; those that only aiohttp's own parts use are left out.
MEMBERS = {
    "ClientWebSocketResponse": "client_notakeover close close_code closed compress exception get_extra_info ping pong "
    "protocol receive receive_bytes receive_json receive_str send_bytes send_frame send_json send_json_bytes send_str",
    "WSMsgType": "BINARY CLOSE CLOSED CLOSING CONTINUATION ERROR PING PONG TEXT binary close closed closing error ping "
    "pong text",
    "WSMessage": "data extra json type",
    "ClientSession": """auto_decompress close closed connector connector_owner cookie_jar delete detach get head headers
        json_serialize options patch post put raise_for_status request requote_redirect_url skip_auto_headers timeout
        trace_configs trust_env version""",
    "ClientResponse": """charset close closed connection content content_disposition content_length content_type cookies
        get_encoding headers history host json links method ok raise_for_status raw_headers read real_url reason release
        request_info status text url version wait_for_close""",
    "ClientRequest": "body headers method session ssl update_body url",
    "StreamReader": """at_eof exception is_eof iter_any iter_chunked iter_chunks read read_nowait readany readchunk
        readexactly readline readuntil set_exception total_bytes total_compressed_bytes total_raw_bytes wait_eof""",
    "BaseConnector": "allowed_protocol_schema_set close closed connect force_close limit limit_per_host",
    "TCPConnector": """allowed_protocol_schema_set clear_dns_cache close closed connect family force_close limit
        limit_per_host use_dns_cache""",
    "UnixConnector": "close closed force_close limit limit_per_host path",
    "CookieJar": """clear clear_domain cookies filter_cookies host_only_cookies load quote_cookie save
        treat_as_secure_origin unsafe update_cookies update_cookies_from_headers""",
    "DummyCookieJar": "clear clear_domain filter_cookies update_cookies",
    "FormData": "add_field add_fields is_multipart",
    "MultipartReader": "at_eof fetch_next_part from_response next release",
    "BodyPartReader": """at_eof chunk_size decode decode_iter filename form get_charset headers json name next read
        read_chunk readline release text""",
    "MultipartWriter": """append append_form append_json append_payload as_bytes boundary close content_type headers
        size write""",
    "Payload": """as_bytes autoclose close consumed content_type decode encoding filename headers
        set_content_disposition
        size write write_with_length""",
    "TraceConfig": """freeze on_connection_create_end on_connection_create_start on_connection_queued_end
        on_connection_queued_start on_connection_reuseconn on_dns_cache_hit on_dns_cache_miss on_dns_resolvehost_end
        on_dns_resolvehost_start on_request_chunk_sent on_request_end on_request_exception on_request_headers_sent
        on_request_redirect on_request_start on_response_chunk_received trace_config_ctx""",
    "UploadTracker": "attempts bytes_written upload_complete",
    "BasicAuth": "decode encode encoding from_url login password",
    "RequestInfo": "headers method real_url url",
    "ETag": "is_weak value",
    "ThreadedResolver": "close resolve",
}


def default(value: Any) -> Any:
    """Return a default as JSON can hold it: itself where it is simple, else what kind of thing it is."""
    if value is inspect.Parameter.empty:
        return {"required": True}
    if isinstance(value, enum.Enum):
        return {"sentinel": True} if "sentinel" in repr(value).lower() else {"value": value.value}
    if value is None or isinstance(value, (bool, int, float, str)):
        return {"value": value}
    if isinstance(value, tuple):
        return {"value": list(value)}
    if inspect.isclass(value):
        return {"class": value.__name__}
    return {"callable": True}


def parameters(target: Any) -> list[dict[str, Any]]:
    """Return the parameters of a callable, `self` left out."""
    found = inspect.signature(target).parameters.values()
    return [{"name": p.name, "kind": p.kind.name, **default(p.default)} for p in found if p.name != "self"]


def member(cls: Any, name: str) -> str:
    """Return what a member is: `coroutine`, `function`, or `attribute` (those of instances too)."""
    value = inspect.getattr_static(cls, name, None)
    if isinstance(value, (classmethod, staticmethod)):
        value = value.__func__
    if inspect.iscoroutinefunction(value):
        return "coroutine"
    return "function" if inspect.isroutine(value) else "attribute"


def find(target: Any, path: str) -> Any:
    """Return what a dotted path leads to."""
    for part in path.split("."):
        target = getattr(target, part)
    return target


def own_names(module: Any) -> set[str]:
    """Return the public names that a module defines."""
    return {
        name
        for name, value in vars(module).items()
        if not name.startswith("_") and getattr(value, "__module__", "") == module.__name__
    }


def main() -> None:
    """Write the file beside this one."""
    import aiohttp
    import aiohttp.pytest_plugin
    import aiohttp.test_utils
    import aiohttp.web

    names = set(aiohttp.__all__) - GUNICORN - WINDOWS - LEFT_OUT
    web_names = set(aiohttp.web.__all__) - server_parts.WINDOWS
    surface: dict[str, Any] = {
        "source": f"aiohttp {aiohttp.__version__}",
        "names": sorted(names),
        "web names": sorted(web_names),
        "on Windows": sorted(WINDOWS | server_parts.WINDOWS),
        "with Gunicorn": sorted(GUNICORN),
        "left out": sorted(LEFT_OUT | server_parts.LEFT_OUT),
        "deprecated": DEPRECATED | server_parts.DEPRECATED,
        "modules": {
            "abc": sorted(
                [*(n for n in dir(aiohttp.abc) if n.startswith("Abstract")), "ClearCookiePredicate", "ResolveResult"]
            ),
            "hdrs": sorted(n for n in dir(aiohttp.hdrs) if n.isupper()),
            "pytest_plugin": own_names(aiohttp.pytest_plugin) - server_parts.OLD_FIXTURES,
            "test_utils": own_names(aiohttp.test_utils),
        },
        "signatures": {path: parameters(find(aiohttp, path)) for path in SIGNATURES + server_parts.SIGNATURES},
        "members": {
            path: {name: member(find(aiohttp, path), name) for name in names.split()}
            for path, names in (MEMBERS | server_parts.MEMBERS).items()
        },
        "server settings": parameters(aiohttp.web.RequestHandler),
    }
    lines = json.dumps(surface, indent=1, default=sorted)
    Path(__file__).with_name("surface.json").write_text(lines + "\n", "utf-8")


if __name__ == "__main__":
    main()
