"""A guard for every unit test: what would change this machine fails at once, whatever the test forgot to replace."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from typing import Any

import pytest

OURS = ("/etc/", "/var/lib/", "/var/log/", "/run/nodeprep", "/boot/", "/usr/")
CHANGING = {"os.rename", "os.remove", "os.symlink", "os.link", "os.mkdir", "os.rmdir", "os.chmod", "os.truncate"}
PROGRAMS = {"systemctl", "umount", "reboot", "hostnamectl", "nft"}
HARMLESS = {"is-active", "list-units", "show", "--version"}


_guarded: list[bool] = []
"""An audit hook cannot be taken away again, and contract tests in the same process may do what these may not."""


@pytest.fixture(autouse=True)
def on_guard() -> Iterator[None]:
    """Guard this machine for the time of one unit test."""
    _guarded.append(True)
    yield
    _guarded.clear()


def _guard(event: str, arguments: tuple[Any, ...]) -> None:
    if not _guarded:
        return
    if event == "open":
        path, _, flags = arguments
        if isinstance(flags, int) and flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            _refuse(event, path)
    elif event in CHANGING:
        for path in arguments[1:2] if event in ("os.symlink", "os.link") else arguments[:2]:
            _refuse(event, path)
    elif event == "subprocess.Popen":
        words = arguments[1] if isinstance(arguments[1], (list, tuple)) else ()
        names = [os.path.basename(os.fsdecode(word)) for word in words[:2]]
        if names and names[0] in PROGRAMS and not HARMLESS.intersection(names):
            raise AssertionError(f"a unit test would run {words}")


def _refuse(event: str, path: object) -> None:
    text = os.fsdecode(path) if isinstance(path, (str, bytes)) else ""
    if text.startswith(OURS) and "__pycache__" not in text:
        raise AssertionError(f"a unit test would change this machine: {event} {text}")


sys.addaudithook(_guard)
