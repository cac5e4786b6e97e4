"""What every application of `apps/` serves, so that all serve the same. Used by them, `check.py` and `workloads.py`."""

from __future__ import annotations

from bench.workloads import DOCUMENT, SMALL_BODY

__all__ = ("CHOSEN", "DOCUMENT", "FILE", "FILE_BYTES", "FILE_NAME", "ROUTES", "TEXT", "chosen_path")

TEXT = SMALL_BODY.decode()

FILE = "BENCH_FILE"
"""The environment variable with the path of the file that is served."""
FILE_NAME = "megabyte.bin"
FILE_BYTES = bytes(range(256)) * 4096

# The interface of a shop as its documentation would list it: what there is of each thing, thing after thing.
THINGS = (
    "accounts",
    "addresses",
    "articles",
    "baskets",
    "brands",
    "campaigns",
    "categories",
    "coupons",
    "currencies",
    "customers",
    "deliveries",
    "invoices",
    "messages",
    "orders",
    "parcels",
    "payments",
    "prices",
    "refunds",
    "reviews",
    "warehouses",
)
SHAPES = (
    "/api/{thing}/{{id}}",
    "/api/{thing}/{{id}}/notes",
    "/api/{thing}/{{id}}/notes/{{note}}",
    "/api/{thing}/{{id}}/history",
    "/api/{thing}",
)
ROUTES = tuple(shape.format(thing=thing) for thing in THINGS for shape in SHAPES)
"""A hundred paths with parameters in braces."""
CHOSEN = ROUTES[76]
"""The one that is asked for: with one parameter, neither among the first nor the last."""


def chosen_path(number: str) -> str:
    """The path of the chosen route for one id."""
    return CHOSEN.replace("{id}", number)
