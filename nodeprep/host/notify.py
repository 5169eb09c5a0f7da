"""What systemd is told about the service (sd_notify(3))."""

from __future__ import annotations

import asyncio
import os

from systemd import daemon

STEP_MAX_S = 180
"""No single step takes longer: RSA host keys on a virtual machine without hardware support are the longest."""


def watchdog_s() -> float | None:
    """Return after how long a silence systemd takes us for hung, or None where it does not (sd_watchdog_enabled(3))."""
    limit_usec, pid = os.environ.get("WATCHDOG_USEC", ""), os.environ.get("WATCHDOG_PID")
    if pid not in (None, str(os.getpid())):
        return None  # asked of the process that started us
    return int(limit_usec) / 1e6 or None if limit_usec.isdecimal() else None


def progress(text: str) -> None:
    """Say what is going on, for `systemctl status`, and that it may take its time (sd_notify(3))."""
    daemon.notify(f"STATUS={text}\nEXTEND_TIMEOUT_USEC={STEP_MAX_S * 1_000_000}")


def judged(text: str) -> None:
    """Say that the service is up: it has judged, whatever the verdict."""
    daemon.notify(f"READY=1\nSTATUS={text}")


def alive() -> None:
    """Feed the watchdog."""
    daemon.notify("WATCHDOG=1")


def stopping() -> None:
    """Say that the service is on its way out."""
    daemon.notify("STOPPING=1")


async def beat() -> None:
    """Tell systemd that the event loop turns, twice as often as it asks; only if it does (sd_watchdog_enabled(3))."""
    limit_s = watchdog_s()
    while limit_s:
        alive()
        await asyncio.sleep(limit_s / 2)
