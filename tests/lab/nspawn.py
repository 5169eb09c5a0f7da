"""A machine under power: systemd-nspawn(1) started, started again when the machine reboots, and ended.

`--keep-unit` makes nspawn leave with status 133 when the machine inside reboots (it expects its unit to start it
again); here the power supply does. Every boot begins with a fresh link and a control group of its own, as a reset
machine has no addresses left from before, and two machines in one group fail with 219/CGROUP.
"""

import contextlib
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from pathlib import Path

from tests.lab.traces import LabError, forget_machine, hierarchies, members, remove_group, unique

EXIT_REBOOT = 133
BOOTS_AT_MOST = 20
INOTIFY = Path("/proc/sys/fs/inotify/max_user_instances")
INOTIFY_INSTANCES = 8192
SIGRTMIN_POWEROFF = signal.SIGRTMIN + 4

# A process joins its groups before it becomes nspawn.
_JOIN = 'while [ "$1" != -- ]; do echo $$ > "$1/cgroup.procs" || exit 1; shift; done; shift; exec "$@"'


class Power:
    """One machine from power on to power off, over any number of reboots."""

    def __init__(
        self,
        label: str,
        command: Callable[[str], Sequence[str]],
        console: Path,
        unplug: Callable[[], None],
    ) -> None:
        """Take the maker of nspawn's command line (called at each boot, with a new name) and what to do after each."""
        self.boots = 0
        self.error: Exception | None = None
        self._label = label
        self._command = command
        self._console = console
        self._unplug = unplug
        self._group = ""
        self._process: subprocess.Popen[bytes] | None = None
        self._ending = threading.Event()
        self._on = threading.Event()
        self._thread = threading.Thread(target=self._supply, name=label, daemon=True)

    def on(self) -> None:
        """Start the machine; returns once nspawn runs, raises what kept it from running."""
        if int(INOTIFY.read_text()) < INOTIFY_INSTANCES:
            INOTIFY.write_text(f"{INOTIFY_INSTANCES}\n")
        self._thread.start()
        self._on.wait(30.0)
        if self.error:
            raise self.error

    @property
    def running(self) -> bool:
        """Tell whether the machine is on (a reboot in progress counts)."""
        return self._thread.is_alive()

    def leader(self) -> int | None:
        """Return the process that is PID 1 inside, None while there is none."""
        if not self._group:
            return None
        for pid in members(hierarchies()[0] / self._group):
            with contextlib.suppress(OSError):
                status = Path(f"/proc/{pid}/status").read_text()
                name, nested = (_field(status, key) for key in ("Name", "NSpid"))
                if name in ("systemd", "init") and len(nested.split()) > 1 and nested.split()[-1] == "1":
                    return pid
        return None

    def cut(self) -> None:
        """Kill PID 1 and with it every process of the machine, at once."""
        self._ending.set()
        leader = self.leader()
        if leader:
            with contextlib.suppress(ProcessLookupError):
                os.kill(leader, signal.SIGKILL)
        elif self._process:
            self._process.kill()
        if not self._join(5.0):
            self._kill()

    def off(self, timeout_s: float) -> bool:
        """Have the machine shut down by itself; cut its power and return False if it does not in that time."""
        self._ending.set()
        leader = self.leader()
        if leader:
            with contextlib.suppress(ProcessLookupError):
                os.kill(leader, SIGRTMIN_POWEROFF)
            if self._join(timeout_s):
                return True
        self.cut()
        return False

    def _join(self, timeout_s: float) -> bool:
        self._thread.join(timeout_s)
        return not self._thread.is_alive()

    def _kill(self) -> None:
        if self._process:
            self._process.kill()
        if not self._join(10.0):
            raise LabError(f"{self._label} does not end: {members(hierarchies()[0] / self._group)}")

    def _supply(self) -> None:
        try:
            while self._boot_once() == EXIT_REBOOT and not self._ending.is_set():
                if self.boots >= BOOTS_AT_MOST:
                    raise LabError(f"{self._label} rebooted {self.boots} times")
        except (LabError, OSError) as error:
            self.error = error
        finally:
            self._on.set()

    def _boot_once(self) -> int:
        group = unique(self._label)
        groups = [hierarchy / group for hierarchy in hierarchies()]
        try:
            for folder in groups:
                folder.mkdir()
            command = ("sh", "-c", _JOIN, "sh", *map(str, groups), "--")
            with self._console.open("ab") as console:
                self._process = subprocess.Popen(
                    (*command, *self._command(group)),
                    stdin=subprocess.DEVNULL,
                    stdout=console,
                    stderr=console,
                    env={"PATH": os.environ["PATH"], "SYSTEMD_NSPAWN_UNIFIED_HIERARCHY": "1"},
                )
            self._group = group
            self.boots += 1
            self._on.set()
            return self._process.wait()
        finally:
            self._group = ""
            self._unplug()
            remove_group(group)
            forget_machine(group)


def _field(status: str, key: str) -> str:
    return next((line.partition(":")[2].strip() for line in status.splitlines() if line.startswith(f"{key}:")), "")
