"""`nodeprep daemon`: the service, as systemd starts it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType
from typing import TYPE_CHECKING

from nodeprep.verbs import Typed

if TYPE_CHECKING:
    from nodeprep.host.foreman import Foreman

SPARED = ("ssl", "_hashlib")
"""OpenSSL's, without which asyncio and hashlib do as well, as where Python was built without. It would be memory of a
daemon that stays as long as the machine, and Python's own SHA-256 signs short messages faster. A registry loads ssl."""


def main(_typed: Typed) -> int:
    """Run until systemd ends it, and return the exit code."""
    daemon, foreman = load()
    code: int = daemon.main(foreman)
    return code


def load() -> tuple[ModuleType, Foreman]:
    """Return the daemon, loaded without what is spared, and the foreman whose worker loads what it needs meanwhile."""
    with spared():
        from nodeprep.host.foreman import Foreman  # noqa: PLC0415 (not before)
    foreman = Foreman(forks=True)
    with spared():
        from nodeprep import daemon  # noqa: PLC0415 (likewise)
    return daemon, foreman


@contextmanager
def spared() -> Iterator[None]:
    """Let nobody find what is spared."""
    for name in SPARED:
        sys.modules[name] = None  # type: ignore[assignment]  # as in importlib's reference: not to be found
    try:
        yield
    finally:
        for name in SPARED:
            del sys.modules[name]
