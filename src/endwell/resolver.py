"""The resolvers, under aiohttp's name of the module."""

from endwell.transport.resolver import AsyncResolver, DefaultResolver, ThreadedResolver

__all__ = ("AsyncResolver", "DefaultResolver", "ThreadedResolver")
