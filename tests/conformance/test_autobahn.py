"""WebSockets of both roles against the cases of the Autobahn suite; `make conformance` runs those that take minutes.

`ENDWELL_CONFORMANCE` names the sections, `ENDWELL_CONFORMANCE_SECONDS` the time for each run. Cases that are not
strict, or only informational, are named at the end of the output (where pytest runs in one process).
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from endwell import web
from tests.conformance.suite import AT_ONCE, ask_client, echo, fuzzing_server, kosoku, over
from tests.support.serving import serving


async def test_server(tmp_path: Path, loop_kind: str, record_property: Any) -> None:
    app = web.Application()
    app.router.add_get("/", echo)
    async with serving(app, access_log=None) as server:
        url = f"ws://127.0.0.1:{server.port}/"
        results = await over(kosoku("-m", "fuzzingclient", "-p", AT_ONCE, "-o", tmp_path, url), tmp_path)
    results.check(record_property, f"server, {loop_kind}")


async def test_client(tmp_path: Path, loop_kind: str, record_property: Any) -> None:
    async with fuzzing_server(tmp_path) as (port, process):
        await ask_client(port, "endwell")
        results = await over(process, tmp_path)
    results.check(record_property, f"client, {loop_kind}")
