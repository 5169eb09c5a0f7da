"""The status document, as verbs find it, and what they say where there is none. Imports little: it is read often."""

from __future__ import annotations

import os

TYPE_CHECKING = False  # `typing` itself costs a third of what `nodeprep status` does
if TYPE_CHECKING:
    from typing import Any

STATUS_FILE = "/run/nodeprep/status.json"
DISABLED_FILE = "/etc/nodeprep/disabled"
SEALED_FILE = "/run/nodeprep/sealed"
EXIT_NOT_RUNNING = 4


def read() -> dict[str, Any] | None:
    """Return the status document, or None where there is none or it cannot be read."""
    import json  # noqa: PLC0415 (13 ms that the daemon need not pay first)

    try:
        with open(STATUS_FILE, encoding="utf-8") as file:
            document = json.load(file)
    except (OSError, ValueError):
        return None
    return document if isinstance(document, dict) else None


def disabled() -> str | None:
    """Return which off-switch is set, or None."""
    if os.path.exists(DISABLED_FILE):
        return DISABLED_FILE
    for path in ("/proc/cmdline", "/proc/1/cmdline"):  # in a container systemd looks at PID 1's own arguments
        try:
            with open(path, encoding="ascii", errors="replace") as file:
                if "nodeprep=off" in file.read().replace("\0", " ").split():
                    return "nodeprep=off on the kernel command line"
        except OSError:
            continue
    return None


def not_running(*, as_json: bool) -> int:
    """Say why there is no status, and return the exit code for that."""
    state, summary = "not-running", "not running; see `systemctl status nodeprep.service`"
    if os.path.exists(SEALED_FILE):
        state, summary = "sealed", "sealed: this template only waits to be powered off"
    elif switch := disabled():
        state, summary = "disabled", f"disabled by {switch}"
    if as_json:
        import json  # noqa: PLC0415

        print(json.dumps({"schema": 1, "state": state, "summary": summary}))
    else:
        print(f"nodeprep: {summary}")
    return EXIT_NOT_RUNNING
