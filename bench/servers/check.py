"""Is every answer right, before anything is measured? Used by `runner.py`."""

from __future__ import annotations

import http.client
import json

from .content import CHOSEN, DOCUMENT, FILE_BYTES, TEXT, chosen_path
from .load import WrongAnswerError
from .workloads import Workload

# More than one, on one connection: keep-alive must work, too.
IDS = ("7", "4711")
SECONDS = 10


def check(workload: Workload, port: int) -> None:
    """Ask for what the workload asks for, and look at the whole answer. Raises WrongAnswerError."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=SECONDS)
    try:
        connection.connect()
        sock = connection.sock
        for number in IDS:
            path = chosen_path(number) if workload.path == CHOSEN else workload.path
            sent = bytes(range(256)) * (workload.sends // 256)
            headers = {"Content-Type": "application/octet-stream"} if sent else {}
            connection.request(workload.method, path, sent or None, headers)
            answer = connection.getresponse()
            fault = _fault(workload, number, sent, answer, answer.read())
            if fault:
                raise WrongAnswerError(f"{workload.method} {path}: {fault}")
            if connection.sock is not sock:
                raise WrongAnswerError(f"{workload.method} {path}: the connection was not kept")
    except (OSError, http.client.HTTPException) as error:
        raise WrongAnswerError(f"{workload.method} {workload.path}: {type(error).__name__}: {error}") from error
    finally:
        connection.close()


def _fault(workload: Workload, number: str, sent: bytes, answer: http.client.HTTPResponse, body: bytes) -> str:
    kind = answer.headers.get_content_type()
    if answer.status != 200:
        return f"status {answer.status}"
    if workload.path == "/json":
        right = kind == "application/json" and _loads(body) == DOCUMENT
    elif workload.method == "POST":
        right = body == sent
    elif workload.path == "/file":
        right = body == FILE_BYTES
    else:
        right = kind == "text/plain" and body.decode() == (number if workload.path == CHOSEN else TEXT)
    return "" if right else f"{len(body)} bytes of {kind} that are not what was asked for"


def _loads(body: bytes) -> object:
    try:
        return json.loads(body)
    except ValueError:
        return None
