"""Content codings, decoded and encoded bit by bit: gzip, deflate, br, zstd and stacks of them.

RFC 9110 section 8.4, RFC 1950 to 1952, RFC 7932, RFC 8878, RFC 9659. Used by the body streams of ``connection`` and by
payloads that are sent compressed. No I/O, and no module of a compressor is imported before a body needs it.

A decoder is pulled, so that a slow reader holds little memory: ``feed()`` only stores what came, ``pull()`` decodes the
next piece of at most ``PIECE`` bytes. What is fed is kept until it is pulled; who feeds stops feeding meanwhile.

    decoder = make_decoder("gzip", limit=100 * 2**20)
    decoder.feed(data)
    while piece := decoder.pull():
        ...
    decoder.finish()  # after the last byte: raises if the stream is cut short

What follows a complete gzip, deflate or zstd stream and does not begin another member is ignored, as browsers do.
"""

from typing import Any, Final

from endwell.http.coding_stages import (
    CodingError,
    DecodedTooLargeError,
    MissingCodingError,
    Stage,
    TruncatedCodingError,
    UnknownCodingError,
    available_codings,
    library,
    make_stage,
    set_zlib_backend,
    zlib_library,
)

__all__ = (
    "DEFAULT_RATIO",
    "MAX_CODINGS",
    "PIECE",
    "RATIO_FLOOR",
    "CodingError",
    "DecodedTooLargeError",
    "Decoder",
    "Encoder",
    "MissingCodingError",
    "TruncatedCodingError",
    "UnknownCodingError",
    "available_codings",
    "make_decoder",
    "make_encoder",
    "set_zlib_backend",
)

# The longest piece that pull() returns.
PIECE: Final = 256 * 1024
# Codings in one Content-Encoding; each costs a window of memory.
MAX_CODINGS: Final = 5
# Below this many decoded bytes a ratio says nothing: a small page of blanks is no bomb.
RATIO_FLOOR: Final = 8 * 1024 * 1024
# Above what gzip can reach (1032), so that only br and zstd bombs, and stacked ones, are beyond it.
DEFAULT_RATIO: Final = 1100.0

_ALIASES: Final = {"x-gzip": "gzip"}


class Decoder:
    """Decodes one body; see the top of the module for how it is used. Made by ``make_decoder``.

    ``coding`` is the ``Content-Encoding`` as it is decoded, ``total_in`` and ``total_out`` count bytes.
    """

    __slots__ = ("_left", "_limit", "_ratio", "_stages", "coding", "total_in", "total_out")

    def __init__(self, stages: list[Stage], *, limit: int | None = None, ratio: float | None = None) -> None:
        # In the order of decoding: the coding that was applied last comes first (RFC 9110 section 8.4).
        self._stages = stages
        self._limit = limit
        self._ratio = ratio
        self._left: memoryview | None = None
        self.coding = ", ".join(stage.coding for stage in reversed(stages))
        self.total_in = 0
        self.total_out = 0

    def __repr__(self) -> str:
        return f"<Decoder {self.coding}: {self.total_in} bytes in, {self.total_out} out>"

    @property
    def waiting(self) -> int:
        """How many bytes were fed and are not decoded yet, for who has to stop feeding."""
        return 0 if self._stages[-1].ignoring else self._stages[0].waiting

    def feed(self, data: bytes | memoryview) -> None:
        """Store ``data``, the next bytes of the body. Nothing is copied: do not change it afterwards."""
        self.total_in += len(data)
        if not self._stages[-1].ignoring:
            self._stages[0].feed(data)

    def pull(self, size: int = PIECE) -> bytes:
        """The next decoded bytes, at most ``size`` of them; empty when everything fed is decoded.

        Raises CodingError for a body that does not decode, DecodedTooLargeError as soon as more has come out than the
        limit or the ratio allows. After an error the decoder is of no more use.
        """
        if size < 1:
            raise ValueError(f"pull() takes a positive number of bytes, not {size}")
        if self._left is not None:
            return self._chop(self._left, size)
        ask = min(size, PIECE)
        if self._limit is not None:
            ask = min(ask, self._limit - self.total_out + 1)
        out = self._pull_stage(len(self._stages) - 1, ask)
        if not out:
            return b""
        self.total_out += len(out)
        return self._chop(memoryview(out), size) if len(out) > size else out

    def pieces(self) -> "Pieces":
        """What was fed, decoded lazily: an iterator over ``pull()``."""
        return Pieces(self)

    def finish(self) -> None:
        """Say that the body is over, when ``pull()`` has returned nothing more.

        Raises TruncatedCodingError when it ends within a coded stream, RuntimeError when decoded bytes were not pulled.
        """
        if self._left is not None or self.pull():
            raise RuntimeError("finish() comes after pull() has returned b'': there are decoded bytes left")
        if self._stages[-1].ignoring:
            return
        for stage in self._stages:
            if not stage.complete:
                text = f"the body ends in the middle of its {stage.coding} stream, after {self.total_in} bytes"
                raise TruncatedCodingError(text, stage.coding)

    def _chop(self, data: memoryview, size: int) -> bytes:
        self._left = data[size:] if len(data) > size else None
        return bytes(data[:size])

    def _pull_stage(self, index: int, size: int) -> bytes:
        stage = self._stages[index]
        while True:
            out = stage.pull(size)
            if out:
                self._check(stage)
                return out
            if index == 0 or stage.ignoring:
                return b""
            below = self._pull_stage(index - 1, PIECE)
            if not below:
                return b""
            stage.feed(below)

    def _check(self, stage: Stage) -> None:
        # Each stage of a stack is held to the limits: what is decoded only to be thrown away costs as much.
        if self._limit is not None:
            last = stage is self._stages[-1]
            # A coded form may be a little longer than the text itself.
            allowed = self._limit if last else self._limit + self._limit // 64 + PIECE
            if stage.produced > allowed:
                text = f"more than {self._limit} bytes come out of the {self.coding} body"
                raise DecodedTooLargeError(text, self.coding, self._limit)
        if self._ratio is not None and stage.produced > RATIO_FLOOR:
            consumed = self._stages[0].consumed
            if stage.produced > self._ratio * consumed:
                text = f"{consumed} bytes of a {self.coding} body grow more than {self._ratio:g} times: a bomb?"
                raise DecodedTooLargeError(text, self.coding)


class Pieces:
    """An iterator over the decoded pieces of what a decoder was fed."""

    __slots__ = ("_decoder",)

    def __init__(self, decoder: Decoder) -> None:
        self._decoder = decoder

    def __iter__(self) -> "Pieces":
        return self

    def __next__(self) -> bytes:
        piece = self._decoder.pull()
        if not piece:
            raise StopIteration
        return piece


def _listed(content_encoding: str) -> list[str]:
    codings = [part.strip(" \t").lower() for part in content_encoding.split(",")]
    return [_ALIASES.get(coding, coding) for coding in codings if coding and coding != "identity"]


def make_decoder(
    content_encoding: str, *, limit: int | None = None, ratio: float | None = DEFAULT_RATIO
) -> Decoder | None:
    """The decoder of a body with this ``Content-Encoding`` (several fields joined by commas), None for identity.

    ``limit``: how many decoded bytes are allowed; ``ratio``: how many for each byte of the body, once there are more
    than ``RATIO_FLOOR``; None: any number.

    Raises UnknownCodingError for a coding we don't know (aiohttp hands such a body on as it is), MissingCodingError
    when br or zstd is not installed, CodingError for more than ``MAX_CODINGS`` codings.
    """
    codings = _listed(content_encoding)
    if not codings:
        return None
    if len(codings) > MAX_CODINGS:
        raise CodingError(f"the body has {len(codings)} content codings, at most {MAX_CODINGS} are decoded", codings[0])
    return Decoder([make_stage(coding) for coding in reversed(codings)], limit=limit, ratio=ratio)


# -- encoding ----------------------------------------------------------------------------------------------------------


class Encoder:
    """Encodes one body: ``compress()`` for each part, then ``flush()`` once. Made by ``make_encoder``."""

    __slots__ = ("_compress", "_done", "_flush", "coding")

    def __init__(self, coding: str, compress: Any, flush: Any) -> None:
        self.coding = coding
        self._compress = compress
        self._flush = flush
        self._done = False

    def compress(self, data: bytes | bytearray | memoryview) -> bytes:
        """What is ready to be sent after ``data``; often empty."""
        if self._done:
            raise RuntimeError(f"the {self.coding} stream has ended: make another encoder")
        encoded: bytes = self._compress(data)
        return encoded

    def flush(self) -> bytes:
        """The end of the stream. Further calls return nothing."""
        if self._done:
            return b""
        self._done = True
        encoded: bytes = self._flush()
        return encoded


def make_encoder(coding: str, *, level: int | None = None, strategy: int | None = None) -> Encoder:
    """An encoder for one coding: gzip (x-gzip), deflate (with zlib's wrapper, RFC 9110 section 8.4.1.2), br or zstd.

    ``level`` as its library counts, ``strategy`` of zlib. Raises UnknownCodingError and MissingCodingError as
    ``make_decoder`` does.
    """
    coding = _ALIASES.get(coding.strip().lower(), coding.strip().lower())
    if coding in ("gzip", "deflate"):
        module = zlib_library()
        options: dict[str, int] = {"wbits": 31 if coding == "gzip" else 15}
        if level is not None:
            options["level"] = level
        if strategy is not None:
            options["strategy"] = strategy
        deflate = module.compressobj(**options)
        return Encoder(coding, deflate.compress, deflate.flush)
    if coding == "br":
        # 11, the default of the library, is for files that are compressed once.
        brotli = library("br").Compressor(quality=5 if level is None else level)
        return Encoder(coding, getattr(brotli, "process", None) or brotli.compress, brotli.finish)
    if coding == "zstd":
        zstd = library("zstd").ZstdCompressor(level=level)
        return Encoder(coding, zstd.compress, zstd.flush)
    raise UnknownCodingError(f"the content coding {coding[:40]!r} is not known: use gzip, deflate, br or zstd", coding)
