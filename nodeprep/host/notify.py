"""What systemd is told about the service (sd_notify(3))."""

from __future__ import annotations

from systemd import daemon


def status(text: str) -> None:
    """Say what is going on, for `systemctl status`."""
    daemon.notify(f"STATUS={text}")


def judged(text: str) -> None:
    """Say that the service is up: it has judged, whatever the verdict."""
    daemon.notify(f"READY=1\nSTATUS={text}")


def alive() -> None:
    """Feed the watchdog."""
    daemon.notify("WATCHDOG=1")


def stopping() -> None:
    """Say that the service is on its way out."""
    daemon.notify("STOPPING=1")
