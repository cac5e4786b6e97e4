"""Signals: their parameters as values, and who is told what, when, in which order."""

import asyncio
import inspect
import pickle
from types import SimpleNamespace
from typing import Any

import pytest
from multidict import CIMultiDict
from yarl import URL

from endwell.client import tracing
from endwell.client.tracing import Trace, TraceConfig, TraceRequestStartParams, make_trace

FIELDS = {
    "TraceRequestStartParams": ["method", "url", "headers"],
    "TraceRequestHeadersSentParams": ["method", "url", "headers"],
    "TraceRequestChunkSentParams": ["method", "url", "chunk"],
    "TraceResponseChunkReceivedParams": ["method", "url", "chunk"],
    "TraceRequestEndParams": ["method", "url", "headers", "response"],
    "TraceRequestRedirectParams": ["method", "url", "headers", "response"],
    "TraceRequestExceptionParams": ["method", "url", "headers", "exception"],
    "TraceConnectionQueuedStartParams": [],
    "TraceConnectionQueuedEndParams": [],
    "TraceConnectionCreateStartParams": [],
    "TraceConnectionCreateEndParams": [],
    "TraceConnectionReuseconnParams": [],
    "TraceDnsResolveHostStartParams": ["host"],
    "TraceDnsResolveHostEndParams": ["host"],
    "TraceDnsCacheHitParams": ["host"],
    "TraceDnsCacheMissParams": ["host"],
}
URL_ = URL("http://user:secret@example.com/")
VALUES: dict[str, Any] = {
    "method": "GET",
    "url": URL_,
    "headers": CIMultiDict({"Authorization": "secret"}),
    "chunk": b"chunk",
    "response": "the response",
    "exception": "the exception",
    "host": "example.com",
}
# The method of Trace, the signal it sends, the class of its parameters.
SIGNALS = {
    "send_request_start": ("on_request_start", "TraceRequestStartParams"),
    "send_request_headers": ("on_request_headers_sent", "TraceRequestHeadersSentParams"),
    "send_request_chunk_sent": ("on_request_chunk_sent", "TraceRequestChunkSentParams"),
    "send_response_chunk_received": ("on_response_chunk_received", "TraceResponseChunkReceivedParams"),
    "send_request_end": ("on_request_end", "TraceRequestEndParams"),
    "send_request_redirect": ("on_request_redirect", "TraceRequestRedirectParams"),
    "send_request_exception": ("on_request_exception", "TraceRequestExceptionParams"),
    "send_connection_queued_start": ("on_connection_queued_start", "TraceConnectionQueuedStartParams"),
    "send_connection_queued_end": ("on_connection_queued_end", "TraceConnectionQueuedEndParams"),
    "send_connection_create_start": ("on_connection_create_start", "TraceConnectionCreateStartParams"),
    "send_connection_create_end": ("on_connection_create_end", "TraceConnectionCreateEndParams"),
    "send_connection_reuseconn": ("on_connection_reuseconn", "TraceConnectionReuseconnParams"),
    "send_dns_resolvehost_start": ("on_dns_resolvehost_start", "TraceDnsResolveHostStartParams"),
    "send_dns_resolvehost_end": ("on_dns_resolvehost_end", "TraceDnsResolveHostEndParams"),
    "send_dns_cache_hit": ("on_dns_cache_hit", "TraceDnsCacheHitParams"),
    "send_dns_cache_miss": ("on_dns_cache_miss", "TraceDnsCacheMissParams"),
}
SESSION: Any = object()


def make(name: str) -> Any:
    return getattr(tracing, name)(*(VALUES[field] for field in FIELDS[name]))


def test_nothing_is_left_out() -> None:
    params = {name for name in tracing.__all__ if name.endswith("Params")}
    assert params == set(FIELDS) == {params for _, params in SIGNALS.values()}
    signals = {name for name in dir(TraceConfig) if name.startswith("on_")}
    assert signals == {signal for signal, _ in SIGNALS.values()}
    assert {name for name in dir(Trace) if name.startswith("send_")} == set(SIGNALS)


@pytest.mark.parametrize("name", FIELDS)
def test_parameters_are_values(name: str) -> None:
    params = make(name)
    assert list(inspect.signature(type(params)).parameters) == FIELDS[name]
    for field in FIELDS[name]:
        assert getattr(params, field) is VALUES[field]
        with pytest.raises(AttributeError, match="cannot be set"):
            setattr(params, field, 1)
        with pytest.raises(AttributeError, match="cannot be deleted"):
            delattr(params, field)
    with pytest.raises(AttributeError):
        params.other = 1
    assert not hasattr(params, "__dict__")
    assert params == make(name)
    assert pickle.loads(pickle.dumps(params)) == params
    assert all(params != make(other) for other in FIELDS if other != name)
    assert "secret" not in repr(params)


def test_repr_and_hash() -> None:
    params = TraceRequestStartParams("GET", URL_, VALUES["headers"])
    assert repr(params) == (
        "TraceRequestStartParams(method='GET', url='http://example.com/', headers=<1 fields, not shown>)"
    )
    hits = {
        tracing.TraceDnsCacheHitParams("a"),
        tracing.TraceDnsCacheHitParams("a"),
        tracing.TraceDnsCacheHitParams("b"),
    }
    assert len(hits) == 2


@pytest.mark.parametrize("method", SIGNALS)
async def test_a_signal_reaches_its_handlers(method: str) -> None:
    signal, name = SIGNALS[method]
    told: list[tuple[str, Any, Any, Any]] = []

    def handler(tag: str) -> Any:
        async def told_of(session: Any, ctx: Any, params: Any) -> None:
            await asyncio.sleep(0)
            told.append((tag, session, ctx, params))

        return told_of

    first, second, silent = TraceConfig(), TraceConfig(), TraceConfig()
    getattr(first, signal).append(handler("a"))
    getattr(first, signal).append(handler("b"))
    getattr(second, signal).append(handler("c"))
    for config in (first, silent, second):
        config.freeze()
    trace = make_trace(SESSION, [first, silent, second], "mine")
    assert trace is not None
    await getattr(trace, method)(*(VALUES[field] for field in FIELDS[name]))
    await getattr(trace, method)(*(VALUES[field] for field in FIELDS[name]))
    assert [tag for tag, *_ in told] == ["a", "b", "c"] * 2
    assert all(session is SESSION and params == make(name) for _, session, _, params in told)
    contexts = [ctx for _, _, ctx, _ in told]
    assert contexts[0] is contexts[1] is contexts[3]
    assert contexts[0] is not contexts[2]
    assert contexts[0].trace_request_ctx == "mine"


async def test_other_signals_are_not_sent() -> None:
    config = TraceConfig()
    for signal, _ in SIGNALS.values():
        if signal != "on_request_start":
            getattr(config, signal).append(None)  # would fail when called
    config.freeze()
    trace = make_trace(SESSION, [config])
    assert trace is not None
    await trace.send_request_start("GET", URL_, CIMultiDict())


async def test_what_a_handler_raises_comes_out() -> None:
    config = TraceConfig()

    async def fails(session: Any, ctx: Any, params: Any) -> None:
        raise LookupError("from the handler")

    config.on_dns_cache_hit.append(fails)
    config.freeze()
    trace = make_trace(SESSION, [config])
    assert trace is not None
    with pytest.raises(LookupError, match="from the handler"):
        await trace.send_dns_cache_hit("example.com")


def test_contexts() -> None:
    assert TraceConfig().trace_config_ctx("x") == SimpleNamespace(trace_request_ctx="x")
    assert TraceConfig().trace_config_ctx().trace_request_ctx is None
    config = TraceConfig(trace_config_ctx_factory=lambda trace_request_ctx: ["own", trace_request_ctx])
    assert config.trace_config_ctx(trace_request_ctx=1) == ["own", 1]


def test_frozen_configs_take_no_handlers() -> None:
    config = TraceConfig()
    config.freeze()
    config.freeze()
    for signal, _ in SIGNALS.values():
        with pytest.raises(RuntimeError):
            getattr(config, signal).append(print)


def test_no_configs_no_trace() -> None:
    assert make_trace(SESSION, []) is None
