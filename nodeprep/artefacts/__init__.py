"""The identity artefacts. A file here is its own registration; `after=` gives the order."""

from __future__ import annotations

from graphlib import TopologicalSorter
from importlib import import_module
from pkgutil import iter_modules

from nodeprep.model import Artefact


def catalogue() -> tuple[Artefact, ...]:
    """Return every artefact, each behind those it names in `after`, otherwise by name."""
    found = {
        artefact.name: artefact
        for artefact in (import_module(f"{__name__}.{module.name}").ARTEFACT for module in iter_modules(__path__))
    }
    graph = {name: sorted(found[name].after) for name in sorted(found)}
    return tuple(found[name] for name in TopologicalSorter(graph).static_order())
