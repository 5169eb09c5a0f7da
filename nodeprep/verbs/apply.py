"""`nodeprep apply`: have the daemon judge again and do now what `plan` shows, and say what came of it.

On a node that is ready nothing is renewed before its next boot; what it takes up is its configuration. Exit code: as
that of `status`.
"""

from __future__ import annotations

import subprocess
import sys

from nodeprep.errors import HostError
from nodeprep.verbs import Typed, document, status, terminal

RESTART = ("systemctl", "restart", "nodeprep.service")
FORGET = ("systemctl", "reset-failed", "nodeprep.service")
"""How often it was started before, or the sixth time within ten minutes is refused (StartLimitBurst=)."""
LIMIT_S = 200.0
"""More than the daemon may take for a single step (nodeprep.service, TimeoutStartSec=)."""
AGAIN_S = 0.5


def main(typed: Typed) -> int:
    """Start the daemon anew, wait until it has judged, and show the status. Raises HostError."""
    if document.disabled():
        return document.not_running(as_json=typed.as_json)
    subprocess.run(FORGET, capture_output=True, timeout=AGAIN_S * 60, check=False)  # nothing to forget is no fault
    with subprocess.Popen(RESTART, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True) as running:
        try:
            for _ in range(round(LIMIT_S / AGAIN_S)):
                try:
                    running.wait(AGAIN_S)
                    break
                except subprocess.TimeoutExpired:
                    terminal.say_again((document.read() or {}).get("summary", "starting"))
        finally:
            terminal.say_again("")
            running.kill()  # of no effect once it has ended; what it asked systemd for goes on
        told = running.stderr.read().strip() if running.stderr else ""
    if running.returncode:
        raise HostError(f"{' '.join(RESTART)}: {told or f'no answer within {LIMIT_S:.0f} s'}")
    if document.read() is None:
        print("nodeprep: the daemon has written no status", file=sys.stderr)
    return status.main(typed)
