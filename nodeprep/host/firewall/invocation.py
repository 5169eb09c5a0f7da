"""Invocation: a firewall's program run to its end, in the namespace that `prefix` enters, and speaking English."""

from __future__ import annotations

import os
import subprocess
from typing import Any

from nodeprep.errors import HostError

TIMEOUT_S = 15.0


def run(prefix: tuple[str, ...], *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
    """Return what became of a program, whatever its exit status. Raises HostError where it cannot run or hangs."""
    how: dict[str, Any] = {"input": stdin, "capture_output": True, "text": True, "timeout": TIMEOUT_S}
    try:
        return subprocess.run((*prefix, *argv), env={**os.environ, "LC_ALL": "C"}, check=False, **how)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise HostError(f"{argv[0]}: {error}") from error


def ask(prefix: tuple[str, ...], *argv: str) -> str | None:
    """Return what a program says, or None if it is not there or fails."""
    try:
        done = run(prefix, *argv)
    except HostError:
        return None
    return done.stdout if done.returncode == 0 else None
