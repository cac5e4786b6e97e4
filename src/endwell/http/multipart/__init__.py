"""Multipart bodies (RFC 2046 section 5.1, RFC 7578): writing them, reading them, and what their parts are called."""

from endwell.http.disposition import (
    BadContentDispositionHeader,
    BadContentDispositionParam,
    content_disposition_filename,
    parse_content_disposition,
)

from .errors import MultipartError, PartCharsetError, PartCodingError, PartTooLargeError, TooManyPartsError
from .part import BodyPartReader, BodyPartReaderPayload
from .reader import MultipartReader, MultipartResponseWrapper
from .source import BodySource
from .writer import MultipartWriter

__all__ = (
    "BadContentDispositionHeader",
    "BadContentDispositionParam",
    "BodyPartReader",
    "BodyPartReaderPayload",
    "BodySource",
    "MultipartError",
    "MultipartReader",
    "MultipartResponseWrapper",
    "MultipartWriter",
    "PartCharsetError",
    "PartCodingError",
    "PartTooLargeError",
    "TooManyPartsError",
    "content_disposition_filename",
    "parse_content_disposition",
)
