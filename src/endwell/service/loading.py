"""Finds what is to be served, and makes the runner for it. Used by `worker`, and by the command line to check a target.

A target is a folder or ``module:attribute``. What the attribute is shows by itself: an application of endwell, an
ASGI 3 application, or a function that makes one of them. What cannot be served is refused with what to do about it.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from typing import Any, Final

from endwell.server.application import Application
from endwell.server.runner import AppRunner, BaseRunner, Server, ServerRunner
from endwell.service.folder import folder_app
from endwell.service.interrupts import interruptible
from endwell.service.plan import ServicePlan
from endwell.service.spelling import attribute_missing, module_missing, program_failed, program_text
from endwell.service.target import Place, TargetError, is_folder, place_of

__all__ = ("Program", "TargetError", "load")

_ARGUMENTS: Final = frozenset({"argv", "args"})
_OPTIONS: Final = {
    "lifespan": "--lifespan",
    "websocket_max_size": "--ws-max-size",
    "websocket_heartbeat": "--ws-heartbeat",
}
_ASGI: Final = "asgi"
_ENDWELL: Final = "endwell"


class Program:
    """What was found at the target, not yet called if it is a function that makes what is served.

    Args:
        plan: of the service.
        found: the attribute, or an application.
        place: what the user calls it.

    """

    def __init__(self, plan: ServicePlan, found: Any, place: Place) -> None:
        self._plan = plan
        self._found = found
        self._place = place

    async def runner(self, **settings: Any) -> BaseRunner:
        """Make the runner, not yet set up; a function that makes what is served is called here.

        Args:
            **settings: of the server; see `server.settings.core_settings`.

        Raises:
            TargetError: it is nothing that can be served, or making it failed.

        """
        served, was_made = self._found, False
        for _ in range(3):  # a factory may be asynchronous, and may give a class
            if inspect.isawaitable(served):
                served = await self._awaited(served)
            elif was_made or not self._makes(served):
                break
            else:
                served, was_made = self._called(served), True
        else:
            self._refuse("gives something to await that gives something to await: it must give the application")
        return self._runner_of(served, was_made, settings)

    def _makes(self, found: Any) -> bool:
        """Whether this is to be called to get what is served."""
        plan, place = self._plan, self._place
        if place.called or plan.factory:
            if not callable(found):
                self._refuse(f"is to be called for the application, and cannot be: it is {_kind(found)}")
            return True
        return callable(found) and not _is_served(found) and plan.interface != _ASGI and _is_factory(found)

    def _called(self, make: Callable[..., Any]) -> Any:
        try:
            with interruptible():
                return make([]) if _takes_arguments(make) else make()
        except Exception as error:
            raise TargetError(program_failed(f"{self._place.text} failed", error)) from error

    async def _awaited(self, made: Any) -> Any:
        try:
            return await made
        except Exception as error:
            raise TargetError(program_failed(f"{self._place.text} failed", error)) from error

    def _runner_of(self, served: Any, was_made: bool, settings: dict[str, Any]) -> BaseRunner:
        plan = self._plan
        if isinstance(served, (Application, Server)):
            if plan.interface == _ASGI:
                self._refuse("is an application of endwell, not one of ASGI: leave out --interface asgi")
            if plan.root_path:
                self._refuse("is an application of endwell; --root-path is for those of ASGI: use add_subapp instead")
            if plan.options:
                names = ", ".join(_OPTIONS.get(name, name) for name in plan.options)
                self._refuse(f"is an application of endwell, which says such things in its own code: leave out {names}")
            kind: Any = AppRunner if isinstance(served, Application) else ServerRunner
            runner: BaseRunner = kind(served, **settings)
            return runner
        reason = _no_asgi(served, "what it returns" if was_made else "it", forced=plan.interface == _ASGI)
        if reason is not None:
            self._refuse(reason)
        if plan.interface == _ENDWELL:
            self._refuse(f"is an application of ASGI ({_kind(served)}): leave out --interface endwell")
        from endwell.server.asgi import AsgiRunner

        return AsgiRunner(served, root_path=plan.root_path, **plan.options, **settings)

    def _refuse(self, reason: str) -> None:
        raise TargetError(f"{self._place.text} {reason}")


def load(plan: ServicePlan) -> Program:
    """Find what is to be served: look at the folder, or import the module. Blocks while that runs.

    Raises:
        TargetError: there is no such thing, or the module failed. Its text is for the user, and has the traceback of
            what failed in the user's own program.
        KeyboardInterrupt: SIGINT or SIGTERM came while the module was imported; also from `Program.runner`.

    """
    if is_folder(plan.target):
        return _folder(plan)
    place = place_of(plan.target)
    directory = os.path.abspath(plan.app_dir or ".")  # noqa: PTH100 - sys.path has text
    if not os.path.isdir(directory):  # noqa: PTH112
        raise TargetError(f"There is no folder {directory}, in which the module {place.module} should be (--app-dir)")
    if directory not in sys.path[:1]:
        sys.path.insert(0, directory)
    found: Any = _module(place, directory)
    for depth, name in enumerate(place.attributes):
        try:
            found = getattr(found, name)
        except AttributeError as error:
            if program_text(error) and depth:  # a property of the program's failed on the way
                raise TargetError(program_failed(f"{place.text} could not be had", error)) from error
            raise TargetError(attribute_missing(place, depth, found)) from None
    return Program(plan, found, place)


def _folder(plan: ServicePlan) -> Program:
    if plan.interface != "auto" or plan.factory or plan.root_path:
        raise TargetError(f"{plan.target} is a folder: --interface, --factory and --root-path are for applications")
    options = plan.options
    try:
        app = folder_app(plan.target, listing=bool(options.get("listing")), spa=bool(options.get("spa")))
    except ValueError as error:
        raise TargetError(str(error)) from None
    plan = dataclasses.replace(plan, options={})  # what is left of them is for applications
    return Program(plan, app, Place(plan.target, plan.target, (), called=False))


def _module(place: Place, directory: str) -> Any:
    importlib.invalidate_caches()  # a reload may have found a file that is a moment old
    try:
        with interruptible():
            return importlib.import_module(place.module)
    except ModuleNotFoundError as error:
        missing = error.name or ""
        if (place.module == missing or place.module.startswith(f"{missing}.")) and not program_text(error):
            raise TargetError(module_missing(place, missing, directory)) from None
        raise TargetError(program_failed(f"The module {place.module} could not be imported", error)) from error
    except Exception as error:
        raise TargetError(program_failed(f"The module {place.module} could not be imported", error)) from error
    except SystemExit as error:
        text = (
            f"The module {place.module} ended the program with exit({error.code!r}) when it was imported; what runs it "
            "as a program belongs below: if __name__ == '__main__':"
        )
        raise TargetError(program_failed(text, error)) from error


# What something is


def _is_served(found: Any) -> bool:
    return isinstance(found, (Application, Server))


def _kind(found: Any) -> str:
    if inspect.isclass(found):
        return f"the class {found.__qualname__}"
    if inspect.isroutine(found):
        return f"the function {getattr(found, '__qualname__', found)}"
    kind = type(found)
    name = kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
    return f"{'an' if name[0] in 'aeiouAEIOU' else 'a'} {name}"


def _accepts(found: Any, number: int) -> bool:
    """Whether it can be called with so many arguments; True where nobody knows."""
    try:
        signature = inspect.signature(found)
    except (TypeError, ValueError):
        return True
    try:
        signature.bind(*range(number))
    except TypeError:
        return False
    return True


def _parameters(found: Any) -> list[str]:
    try:
        return list(inspect.signature(found).parameters)
    except (TypeError, ValueError):
        return []


def _is_async(found: Any) -> bool:
    return inspect.iscoroutinefunction(found) or inspect.iscoroutinefunction(getattr(found, "__call__", None))  # noqa: B004 - not whether


def _takes_arguments(found: Any) -> bool:
    """Whether it is a function as ``python -m aiohttp.web`` calls them, with the arguments of the command line."""
    names = _parameters(found)
    return bool(names) and names[0] in _ARGUMENTS and not _accepts(found, 0) and _accepts(found, 1)


def _is_factory(found: Any) -> bool:
    """Whether it makes an application when it is called, rather than being one."""
    if _takes_arguments(found):
        return True
    return _accepts(found, 0) and not (_accepts(found, 3) and _is_async(found))


def _no_asgi(found: Any, what: str, *, forced: bool) -> str | None:
    """Say why this is no ASGI 3 application, and what to do; None when it is one."""
    package = type(found).__module__.partition(".")[0]
    if package == "aiohttp":
        return f"is {_kind(found)}: make {what} with endwell (from endwell import web), which has the same names"
    if found is None:
        return "gives None: it must return the application"
    if not callable(found):
        return f"is {_kind(found)}: that is neither a web.Application nor an application of ASGI"
    if forced:
        return None
    names = _parameters(found)
    if _accepts(found, 3) and not (inspect.isclass(found) or _looks_like_wsgi(names)):
        return None
    if _looks_like_wsgi(names) or (_accepts(found, 2) and not _is_async(found) and not inspect.isclass(found)):
        return (
            f"is an application of WSGI ({_kind(found)}), which runs in threads: wrap it in an adapter, as "
            "a2wsgi.WSGIMiddleware, or serve it with a WSGI server"
        )
    if names[:1] == ["request"]:
        return (
            f"is a handler ({_kind(found)}), not an application: app = web.Application(); "
            'app.add_routes([web.get("/", handler)])'
        )
    if names[:1] == ["scope"]:
        return (
            f"is an application of ASGI 2 ({_kind(found)}), which is called twice: serve ASGI 3, "
            "async def app(scope, receive, send), or wrap it in asgiref.compatibility.guarantee_single_callable"
        )
    if inspect.isclass(found):
        return f"is {_kind(found)}, not an object of it: app = {found.__name__}(...)"
    return (
        f"is {_kind(found)}, and cannot be called as an application of ASGI is, (scope, receive, send), nor without "
        "arguments as a factory is"
    )


def _looks_like_wsgi(names: list[str]) -> bool:
    return names[:1] in (["environ"], ["env"]) or names[1:2] == ["start_response"]
