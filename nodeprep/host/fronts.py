"""Fronts: the `__init__` of a package, which is left out where it loads what nobody here needs.

That of pyroute2 loads all its sockets, a database and a command line; that of dbus_next, other event loops. What a boot
needs of either are a few modules, and these need nothing of the rest.
"""

from __future__ import annotations

import sys
from importlib import import_module
from importlib.util import find_spec
from types import ModuleType


def load_without_fronts(module: str) -> None:
    """Load a module, and leave the fronts of the packages that it is in out, unless they are loaded already.

    Whoever imports it afterwards has it. A release in which it needs a front is left to be loaded as ever.
    """
    outermost, *inner = module.split(".")[:-1]
    if outermost in sys.modules:
        return
    try:
        package = outermost
        _leave_out(package)
        for name in inner:
            package += f".{name}"
            _leave_out(package)
        import_module(module)
    except (ImportError, AttributeError):
        for name in [name for name in sys.modules if f"{name}.".startswith(f"{outermost}.")]:
            del sys.modules[name]


def _leave_out(package: str) -> None:
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(package)
    module = sys.modules[package] = ModuleType(package)
    module.__spec__, module.__path__ = spec, list(spec.submodule_search_locations)
