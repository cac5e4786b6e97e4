"""What is wrong with a multipart body.

    ValueError
      MultipartError
        PartCodingError (also RuntimeError)      a content or transfer coding that nobody knows here
        PartCharsetError (also LookupError)      a charset that nobody knows here
        PartTooLargeError                        a part larger than its reader may take
        TooManyPartsError                        more parts than the reader may take

aiohttp raises RuntimeError and LookupError for the first two, hence the second bases.
"""

__all__ = ("MultipartError", "PartCharsetError", "PartCodingError", "PartTooLargeError", "TooManyPartsError")


class MultipartError(ValueError):
    """A multipart body is malformed, cut short, or beyond a limit of its reader."""


class PartCodingError(MultipartError, RuntimeError):
    """A part has a `Content-Encoding` or `Content-Transfer-Encoding` that is not supported."""


class PartCharsetError(MultipartError, LookupError):
    """A part names a charset that is not supported."""


class PartTooLargeError(MultipartError):
    """A part is larger than its reader may take."""


class TooManyPartsError(MultipartError):
    """A body has more parts than its reader may take."""
