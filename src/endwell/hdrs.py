"""Field names and methods, under aiohttp's name of the module."""

from endwell.http.hdrs import *  # noqa: F403  # a module of constants, all of them
