"""A clone: one machine with a disk and a NIC of its own, over trees it shares, that is booted, used and cut off.

Its disk survives everything but `remove`. Its NIC is made anew at each boot with the same MAC, which two clones may
share. No udev runs inside and /sys is read-only, so it has no DMI and systemd-random-seed is skipped.
"""

import contextlib
import os
import shlex
import signal
import stat
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, TypeVar, overload

from tests.lab.disk import Disk, Entry, inside
from tests.lab.lan import Lan, namespace_path, random_mac
from tests.lab.nspawn import Power
from tests.lab.traces import LabError

T = TypeVar("T")
BOOTED = ("running", "degraded")
PAUSES_PER_ANSWER = 4.0
"""How many times as long as an answer took there is a pause before the next."""
_ENVIRONMENT = {
    "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME": "/root",
    "LANG": "C.UTF-8",
    "SYSTEMD_PAGER": "",
    "SYSTEMD_COLORS": "0",
}


class Clone:
    """One machine of the lab."""

    def __init__(
        self, name: str, layers: Sequence[Path], directory: Path, lan: Lan | None = None, mac: str | None = None
    ) -> None:
        """Describe a machine over those trees (uppermost first); `directory` must be its own, and is removed with it.

        Without a LAN it has no NIC but the loopback. It is off.
        """
        self.name = name
        self.lan = lan
        self.mac = mac or random_mac()
        self.console = directory / "console.log"
        self._disk = Disk(name, tuple(layers), directory)
        self._power: Power | None = None
        self._boots_before = 0
        self._disk.mount()

    @property
    def root(self) -> Path:
        """Return the machine's file system as the host sees it: while it runs with its /run and /tmp."""
        leader = self._power.leader() if self._power else None
        return Path(f"/proc/{leader}/root") if leader else self._disk.root

    @property
    def upper(self) -> Path:
        """Return the directory of what the machine itself wrote to its disk."""
        return self._disk.upper

    @property
    def running(self) -> bool:
        """Tell whether it is on."""
        return self._power is not None and self._power.running

    @property
    def leader(self) -> int:
        """Return the host's number of the process that is PID 1 inside; LabError if there is none."""
        leader = self._power.leader() if self._power else None
        if leader is None:
            raise LabError(f"{self.name} has no PID 1{self._last_words()}")
        return leader

    @property
    def boots(self) -> int:
        """Return how often it was booted, reboots from inside included."""
        return self._boots_before + (self._power.boots if self._power else 0)

    def boot(
        self,
        *,
        wait: bool = True,
        timeout: float = 60.0,
        credentials: Mapping[str, str] | None = None,
        kernel_arguments: Sequence[str] = (),
        binds: Mapping[Path, str] | None = None,
        nspawn_arguments: Sequence[str] = (),
    ) -> None:
        """Power it on, with system credentials (systemd.exec(5)) and host directories bound read-only to its paths.

        Kernel arguments become arguments of PID 1 (/proc/1/cmdline), where systemd in a container looks for its own,
        `systemd.machine_id=` for one; /proc/cmdline stays the host's. Directories cannot be bound below /proc, /sys
        and /tmp. All of these hold for reboots from inside too.
        """
        if self.running:
            raise LabError(f"{self.name} is on already")
        options = [f"--set-credential={key}:{_escaped(value)}" for key, value in (credentials or {}).items()]
        options += [f"--bind-ro={source}:{path}" for source, path in (binds or {}).items()]
        options += nspawn_arguments
        self._boots_before = self.boots
        self._power = Power(
            self.name, lambda machine: self._command(machine, options, kernel_arguments), self.console, self._unplug
        )
        self._disk.mount()
        self._power.on()
        if wait:
            self.wait_booted(timeout)

    def wait_booted(self, timeout: float = 60.0) -> str:
        """Return "running" or "degraded" once the boot is over; LabError if it is not in that time."""

        def state() -> str:
            said = self.run("systemctl", "is-system-running", check=False).stdout.strip()
            return said if said in BOOTED else ""

        return self.wait_for(state, timeout)

    def wait_rebooted(self, boots: int, timeout: float = 60.0) -> str:
        """Return the state once the machine has been booted that often in all and the last boot is over."""
        self.wait_for(lambda: self.boots >= boots, timeout)
        return self.wait_booted(timeout)

    @overload
    def wait_for(self, probe: Callable[[], T | None], timeout: float = ..., interval: float = ...) -> T: ...

    @overload
    def wait_for(
        self, probe: Sequence[str], timeout: float = ..., interval: float = ...
    ) -> subprocess.CompletedProcess[str]: ...

    def wait_for(self, probe: Callable[[], Any] | Sequence[str], timeout: float = 30.0, interval: float = 0.1) -> Any:
        """Return the first true value of a function, or the result of a command once it succeeds inside.

        What the function raises as LabError (no PID 1 yet) counts as "not yet". LabError when the time is over or the
        machine is off. After an answer that took long the pause is longer than `interval`, a second at most: machines
        that are asked all the time have little time left for what they are asked about.
        """
        call: Callable[[], Any] = probe if callable(probe) else partial(self.run, *probe)
        deadline = time.monotonic() + timeout
        last: object = None
        while time.monotonic() < deadline:
            alive, asked = self.running, time.monotonic()
            try:
                value = call()
            except LabError as error:
                last = error
            else:
                if value:
                    return value
                last = value
            if not alive:
                break
            time.sleep(max(interval, min(PAUSES_PER_ANSWER * (time.monotonic() - asked), 1.0)))
        what = getattr(probe, "__name__", probe)
        raise LabError(f"{self.name}: waited {timeout} s for {what}; last: {last}{self._last_words()}")

    def run(
        self, *argv: str, check: bool = True, timeout: float = 30.0, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside as root; LabError if it fails (unless `check` is false) or takes longer.

        A shell waits for it, and not nsenter, which stops with the program when PID 1 stops all at the end of a
        shutdown: nobody lets it go on, so nobody would reap what PID 1 then waits for. The shell stays outside of the
        machine's PID namespace: by way of env it runs no command of its own there, such as kill.
        """
        flags = ("-m", "-u", "-i", "-n", "-p", "-C", "--no-fork")
        command = ("nsenter", "-t", str(self.leader), *flags, "--", "sh", "-c", 'env -- "$@"; exit $?', "sh", *argv)
        with subprocess.Popen(
            command,
            stdin=subprocess.PIPE if stdin is not None else subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            env=_ENVIRONMENT,
            start_new_session=True,
        ) as process:
            try:
                out, err = process.communicate(stdin, timeout=timeout)
            except BaseException as error:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)
                if isinstance(error, subprocess.TimeoutExpired):
                    raise LabError(f"{self.name}: {shlex.join(argv)}: no end within {timeout} s") from error
                raise
        if check and process.returncode:
            raise LabError(f"{self.name}: {shlex.join(argv)}: exit {process.returncode}\n{err}{out}")
        return subprocess.CompletedProcess(argv, process.returncode, out, err)

    def path(self, path: str) -> Path:
        """Return where a path of the machine lies for the host, symbolic links followed as inside."""
        return inside(self.root, path)

    def read(self, path: str) -> str:
        """Return the text of a file, on or off; FileNotFoundError if there is none."""
        return self.path(path).read_text(errors="surrogateescape")

    def write(self, path: str, text: str, mode: int = 0o644) -> None:
        """Write a file and the directories above it, on or off."""
        target = self.path(path)
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text, errors="surrogateescape")
        target.chmod(stat.S_IMODE(mode))

    def exists(self, path: str) -> bool:
        """Tell whether there is something under that path, on or off."""
        return self.path(path).exists()

    def power_cut(self) -> None:
        """Kill every process at once; the disk stays as it is. (What was written but not synced stays too.)"""
        if self._power:
            self._power.cut()

    def shutdown(self, timeout: float = 30.0) -> bool:
        """Have it power off; cut its power and return False if it does not in that time."""
        return self._power.off(timeout) if self._power and self._power.running else True

    def remove(self) -> None:
        """Cut its power and remove it, its disk included; harmless when repeated."""
        try:
            if self.running:
                self.power_cut()
        finally:
            self._unplug()
            self._disk.erase()

    def release_disk(self) -> None:
        """Unmount the disk of a machine that is off, so that its upper directory can lie under others."""
        if self.running:
            raise LabError(f"{self.name} is on")
        self._disk.unmount()

    def journal(self, unit: str | None = None, *options: str) -> str:
        """Return the journal of this boot, of one unit or of all."""
        units = ("-u", unit) if unit else ()
        return self.run("journalctl", "-b", "--no-pager", "-o", "short-monotonic", *units, *options).stdout

    def failed_units(self) -> tuple[str, ...]:
        """Return the units that are in state failed."""
        listing = self.run("systemctl", "list-units", "--state=failed", "--plain", "--no-legend").stdout
        return tuple(line.split()[0] for line in listing.splitlines() if line.strip())

    def disk_snapshot(self) -> dict[str, Entry]:
        """Return all that the machine has written to its disk, by path; see `Disk.snapshot`."""
        return self._disk.snapshot()

    def _command(self, machine: str, options: Sequence[str], kernel_arguments: Sequence[str]) -> tuple[str, ...]:
        network: tuple[str, ...] = ("--private-network",)
        if self.lan:
            network = (f"--network-namespace-path={namespace_path(self.lan.plug(self.name, self.mac))}",)
        quiet = ("-q", "--register=no", "--keep-unit", "--link-journal=no", "--resolv-conf=off", "--timezone=off")
        identity = ("-D", str(self._disk.root), "-M", machine, "--hostname=localhost")
        return ("systemd-nspawn", *quiet, *identity, *network, "--capability=all", *options, "-b", *kernel_arguments)

    def _unplug(self) -> None:
        if self.lan:
            self.lan.unplug(self.name)

    def _last_words(self) -> str:
        error = f"\n{self._power.error}" if self._power and self._power.error else ""
        with contextlib.suppress(OSError):
            error += "\nconsole: " + self.console.read_text(errors="replace")[-1500:]
        return error


def _escaped(value: str) -> str:
    return "".join(c if c.isalnum() or c in "-_." else "".join(f"\\x{b:02x}" for b in c.encode()) for c in value)
