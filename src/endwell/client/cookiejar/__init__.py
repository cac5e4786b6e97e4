"""The cookie jar of the client (RFC 6265bis sections 5.1 to 5.8), used by the session.

``base`` is the interface, ``jar`` the two jars that users make, ``rules`` decides about one cookie, ``store`` keeps
many, ``suffixes`` knows which domains belong to everybody, ``files`` writes and reads jars.
"""

from endwell.client.cookiejar.base import AbstractCookieJar, ClearCookiePredicate
from endwell.client.cookiejar.jar import CookieJar, DummyCookieJar

__all__ = ("AbstractCookieJar", "ClearCookiePredicate", "CookieJar", "DummyCookieJar")
