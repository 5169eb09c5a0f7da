"""`nodeprep status`: is this node ready, and what is it. For any user.

Exit code: 0 ready, 1 held or starting, 2 degraded, 3 the wait timed out, 4 not running or disabled.
"""

from __future__ import annotations

import os
import sys

from nodeprep.verbs import Typed, UsageError, document, terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

EXIT = {"ready": 0, "held": 1, "starting": 1, "degraded": 2}
EXIT_TIMEOUT = 3
AGAIN_S = 0.2


def main(typed: Typed) -> int:
    """Show the status file. Raises UsageError."""
    timeout_s = _seconds(typed)
    if "--watch" in typed:
        return terminal.follow(lambda: _shown(document.read(), typed), as_json=typed.as_json)
    if "--wait" in typed and not wait(timeout_s):
        print(f"nodeprep: not ready within {timeout_s:g} s", file=sys.stderr)
        return EXIT_TIMEOUT
    told = document.read()
    if told is None or os.path.exists(document.SEALED_FILE):
        return document.not_running(as_json=typed.as_json)
    text, code = _shown(told, typed)
    print(text, end="")
    return code


def wait(timeout_s: float) -> bool:
    """Wait until the node is ready, or was, or is switched off; whether that came within the time."""
    import time  # noqa: PLC0415 (of no use to who does not wait)

    until_s = time.monotonic() + timeout_s
    try:
        while not document.disabled():
            told = document.read()
            if told is not None and told["state"] in ("ready", "degraded"):
                break
            if time.monotonic() >= until_s:
                return False
            terminal.say_again(f"{told['state']}: {told['summary']}" if told else "not running yet")
            time.sleep(AGAIN_S)
    finally:
        terminal.say_again("")
    return True


def _seconds(typed: Typed) -> float:
    text = typed.value("--timeout", "inf")
    try:
        seconds = float(text)
    except ValueError:
        seconds = float("nan")
    if seconds != seconds:  # not a number
        raise UsageError(f"status: --timeout takes seconds, not {text!r}")
    return seconds


def _shown(told: dict[str, Any] | None, typed: Typed) -> tuple[str, int]:
    if told is None:
        return ("" if typed.as_json else "not running\n"), document.EXIT_NOT_RUNNING
    code = EXIT.get(told["state"], 1)
    if typed.as_json:
        import json  # noqa: PLC0415

        return json.dumps(told, indent=None if "--watch" in typed else 2) + "\n", code
    from nodeprep.verbs.screen import render  # noqa: PLC0415 (of no use to --json)

    return render(told, long="--long" in typed), code
