"""The single content codings: the errors, the libraries behind them, and one stage of decoding for each.

RFC 1950 to 1952 (zlib, deflate, gzip), RFC 7932 (br), RFC 8878 and RFC 9659 (zstd). Used by ``http/codings`` only,
which stacks the stages and sets the limits. No library is imported before a body needs it.
"""

from collections import deque
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from typing import Any, Final

__all__ = (
    "CodingError",
    "DecodedTooLargeError",
    "MissingCodingError",
    "Stage",
    "TruncatedCodingError",
    "UnknownCodingError",
    "available_codings",
    "library",
    "make_stage",
    "set_zlib_backend",
    "zlib_library",
)

_SLICE: Final = 64 * 1024
# The end of a member costs a copy of the rest of its slice: small slices keep a row of tiny members linear.
_SLICE_OF_MANY: Final = 8 * 1024
# RFC 9659: the window of zstd as a content coding is at most 8 MiB.
_ZSTD_WINDOW_LOG: Final = 23


class CodingError(ValueError):
    """A body does not decode; ``coding`` names the content coding."""

    def __init__(self, message: str, coding: str) -> None:
        self.coding = coding
        super().__init__(message, coding)

    def __str__(self) -> str:
        return str(self.args[0])


class UnknownCodingError(CodingError):
    """The content coding is none that we know."""


class MissingCodingError(CodingError):
    """The content coding is known, but the package that decodes it is not installed."""


class TruncatedCodingError(CodingError):
    """The body ends before its coded stream does."""


class DecodedTooLargeError(CodingError):
    """More comes out of the coding than is allowed; ``limit`` in bytes, or None when the ratio is exceeded."""

    def __init__(self, message: str, coding: str, limit: int | None = None) -> None:
        super().__init__(message, coding)
        self.limit = limit


_zlib_backend: Any = None


def set_zlib_backend(new_zlib_backend: Any) -> None:
    """Use another module in place of ``zlib`` for gzip and deflate: ``zlib_ng.zlib_ng`` or ``isal.isal_zlib``.

    It concerns decoders and encoders made from now on. Raises TypeError if the module lacks what is needed.
    """
    global _zlib_backend
    for name in ("compressobj", "decompressobj", "error"):
        if not hasattr(new_zlib_backend, name):
            raise TypeError(f"a zlib backend must have {name}, {new_zlib_backend!r} has not: give a module like zlib")
    _zlib_backend = new_zlib_backend


def zlib_library() -> Any:
    """The module for gzip and deflate."""
    global _zlib_backend
    if _zlib_backend is None:
        import zlib

        _zlib_backend = zlib
    return _zlib_backend


def _installed(*names: str) -> str | None:
    for name in names:
        try:
            if find_spec(name) is not None:
                return name
        except ModuleNotFoundError:  # the package that would hold it is missing
            continue
    return None


@cache
def _brotli() -> Any:
    name = _installed("brotli", "brotlicffi")
    return None if name is None else import_module(name)


@cache
def _zstd() -> Any:
    name = _installed("compression.zstd", "backports.zstd")
    return None if name is None else import_module(name)


@cache
def available_codings() -> str:
    """What to write into ``Accept-Encoding``: the codings that can be decoded here, best known first.

    Computed once, without importing a compressor.
    """
    codings = ["gzip", "deflate"]
    if _installed("brotli", "brotlicffi"):
        codings.append("br")
    if _installed("compression.zstd", "backports.zstd"):
        codings.append("zstd")
    return ", ".join(codings)


class Stage:
    """One coding of a stack: takes bytes, gives bytes, knows whether its stream is complete.

    ``_step`` of a subclass decodes one slice and sets ``_ready`` (there is more to come without more input) and
    ``_ended`` (a member is complete; what came after it is back in the queue).
    """

    coding: str
    # How a further member begins; nothing when there can't be one.
    _magics: tuple[bytes, ...] = ()

    def __init__(self) -> None:
        self._queue: deque[bytes | memoryview] = deque()
        self._slice = _SLICE
        self._ready = False
        self._ended = False
        self.ignoring = False
        self.waiting = 0
        self.consumed = 0
        self.produced = 0

    @property
    def complete(self) -> bool:
        """Whether the body may end here; an empty body may."""
        return self._ended or self.ignoring or not self.consumed

    def feed(self, data: bytes | memoryview) -> None:
        """Store ``data``."""
        if data and not self.ignoring:
            self._queue.append(data)
            self.waiting += len(data)

    def pull(self, size: int) -> bytes:
        """About ``size`` bytes or fewer; empty: feed first."""
        while True:
            if self._ended and not self._next_member():
                return b""
            data: bytes | memoryview = b""
            if not self._ready:
                data = self._take()
                if not data:
                    return b""
            out = self._step(data, size)
            if out:
                self.produced += len(out)
                return out

    def _step(self, data: bytes | memoryview, size: int) -> bytes:
        raise NotImplementedError

    def _open(self) -> None:
        raise NotImplementedError

    def _take(self) -> bytes | memoryview:
        if not self._queue:
            return b""
        data = self._queue.popleft()
        if len(data) > self._slice:
            view = memoryview(data)
            data = view[: self._slice]
            self._queue.appendleft(view[self._slice :])
        self.consumed += len(data)
        self.waiting -= len(data)
        return data

    def _give_back(self, data: bytes) -> None:
        if data:
            self.consumed -= len(data)
            self.waiting += len(data)
            self._queue.appendleft(data)

    def _next_member(self) -> bool:
        """Begin another member if one follows; forget what follows if it is something else."""
        if not self._queue:
            return False
        head = b""
        for data in self._queue:
            head += data[:4]
            if len(head) >= 4:
                break
        for magic in self._magics:
            if head.startswith(magic):
                self._slice = _SLICE_OF_MANY
                self._ended = False
                self._ready = False
                self._open()
                return True
        if any(magic.startswith(head) for magic in self._magics):
            return False  # cannot tell yet
        self.ignoring = True
        self._queue.clear()
        self.waiting = 0
        return False

    def _bad(self, error: Exception) -> CodingError:
        return CodingError(f"the body does not decode as {self.coding}: {error}", self.coding)


class _ZlibStage(Stage):
    """gzip of any number of members, or deflate with the zlib wrapper or, as some servers send it, without."""

    def __init__(self, coding: str) -> None:
        super().__init__()
        self.coding = coding
        self._module = zlib_library()
        self._inflate: Any = None
        if coding == "gzip":
            self._magics = (b"\x1f\x8b",)
            self._open()

    def _open(self) -> None:
        self._inflate = self._module.decompressobj(wbits=31)

    def _step(self, data: bytes | memoryview, size: int) -> bytes:
        inflate = self._inflate
        if inflate is None:
            # Method 8 in the low bits is zlib's header. A raw stream would begin by a stored block with dirty padding.
            wrapped = data[0] & 0x0F == 8
            inflate = self._inflate = self._module.decompressobj(wbits=15 if wrapped else -15)
        try:
            out: bytes = inflate.decompress(data, size)
        except self._module.error as error:
            raise self._bad(error) from error
        if inflate.eof:
            self._ended = True
            self._give_back(inflate.unused_data)
        else:
            tail = inflate.unconsumed_tail
            self._give_back(tail)
            # A full piece may leave decoded bytes behind in the window.
            self._ready = len(out) >= size and not tail
        return out


class _ZstdStage(Stage):
    """zstd of any number of frames, skippable ones among them."""

    coding = "zstd"
    _magics = (b"\x28\xb5\x2f\xfd", *(bytes((low, 0x2A, 0x4D, 0x18)) for low in range(0x50, 0x60)))

    def __init__(self, module: Any) -> None:
        super().__init__()
        self._module = module
        self._frame: Any = None
        self._open()

    def _open(self) -> None:
        options = {self._module.DecompressionParameter.window_log_max: _ZSTD_WINDOW_LOG}
        self._frame = self._module.ZstdDecompressor(options=options)

    def _step(self, data: bytes | memoryview, size: int) -> bytes:
        frame = self._frame
        try:
            out: bytes = frame.decompress(data, size)
        except self._module.ZstdError as error:
            raise self._bad(error) from error
        if frame.eof:
            self._ended = True
            self._give_back(frame.unused_data)
        else:
            self._ready = not frame.needs_input
        return out


class _BrotliStage(Stage):
    """One br stream. The library refuses bytes after its end and so do we, wherever the reads were split."""

    coding = "br"

    def __init__(self, module: Any) -> None:
        super().__init__()
        self._module = module
        self._stream = module.Decompressor()
        self._bounded = hasattr(self._stream, "can_accept_more_data")
        if not self._bounded:
            # Brotli before 1.2 cannot stop half way: a small slice is all that can be done.
            self._slice = 64

    def _step(self, data: bytes | memoryview, size: int) -> bytes:
        stream = self._stream
        try:
            if self._bounded:
                # It stops only after it has passed the limit, by up to the limit.
                out: bytes = stream.process(data, output_buffer_limit=max(size // 2, 1))
            else:
                out = stream.process(bytes(data))
        except self._module.error as error:
            raise self._bad(error) from error
        if stream.is_finished():
            self._ended = True
        else:
            self._ready = self._bounded and bool(out)
        return out

    def _next_member(self) -> bool:
        if not self._queue:
            return False
        raise CodingError("the body does not decode as br: bytes follow the end of the stream", "br")


def make_stage(coding: str) -> Stage:
    """A stage for one coding in lower case; raises UnknownCodingError and MissingCodingError."""
    if coding in ("gzip", "deflate"):
        return _ZlibStage(coding)
    if coding == "br":
        return _BrotliStage(library("br"))
    if coding == "zstd":
        return _ZstdStage(library("zstd"))
    raise UnknownCodingError(f"the content coding {coding[:40]!r} is not known", coding)


def library(coding: str) -> Any:
    """The module for br or zstd; raises MissingCodingError without it."""
    module, package = (_brotli(), "Brotli") if coding == "br" else (_zstd(), "backports.zstd")
    if module is None:
        raise MissingCodingError(f"the content coding {coding} needs a package: pip install {package}", coding)
    return module
