"""A virtual machine: QEMU with emulated processors (TCG), a disk of its own, and a NIC on a segment of the lab's.

What a hypervisor says is its own word here: product UUID, permanent MAC, VM generation ID, system credentials. The
journal is forwarded to the serial console, so that `console` has it all, whatever becomes of the disk.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import re
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

from tests.lab.lan import BRIDGE, Lan, namespace_path
from tests.lab.traces import LabError, administer
from tests.vm import told
from tests.vm.disk import Image
from tests.vm.wires import Agent, Monitor, Wire

T = TypeVar("T")
NIC = "ens3"  # udev's name for the slot below
SLOT = "0x3"
MEMORY_MIB = 1024
CPU = "qemu64,+rdrand"
"""The least that Debian runs on, and a source of randomness: AVX and the like are used where found, and slow."""
POLL_S = 1.0
BOOT_TIMEOUT_S = 600.0  # one that boots alone is up in 40 s, three on a machine that does other work in 300
COMMAND_LINE = (
    "root=/dev/vda ro console=ttyS0 mitigations=off systemd.journald.forward_to_console=1 systemd.show_status=0"
)
STATUS = "/run/nodeprep/status.json"

_COLOUR = re.compile(r"\x1b\[[0-9;]*m")
_ports = itertools.count(1)
_QUESTIONS = Path(told.__file__).read_text()


class Machine:
    """One virtual machine."""

    def __init__(
        self,
        name: str,
        image: Image,
        directory: Path,
        lan: Lan,
        *,
        mac: str,
        uuid: str,
        generation: str | None = None,
        credentials: Mapping[str, str] | None = None,
        fw_cfg: Mapping[str, str] | None = None,
    ) -> None:
        """Describe a machine with a new disk over that image, and what its hypervisor says of it. It is off.

        The system credentials are those passed in SMBIOS strings, and those passed in fw_cfg.
        """
        self.name = name
        self.lan = lan
        self.mac = mac
        self.uuid = uuid
        self.generation = generation
        self.credentials = dict(credentials or {})
        self.fw_cfg = dict(fw_cfg or {})
        self.disk = image.overlay(directory / "disk.qcow2")
        self.console = directory / "console.log"
        self._port = f"t{next(_ports)}"
        self._process: subprocess.Popen[bytes] | None = None
        self._wires: list[Wire] = []
        self._monitor: Monitor | None = None
        self._agent: Agent | None = None

    @property
    def running(self) -> bool:
        """Tell whether it is on."""
        return self._process is not None and self._process.poll() is None

    @property
    def boots(self) -> int:
        """Return how often its kernel was started, reboots from inside included."""
        return len(re.findall(r"\] Linux version ", self.said()))

    def said(self) -> str:
        """Return all that it wrote to its console, the journal included, without its colours."""
        return _COLOUR.sub("", self.console.read_text(errors="replace")) if self.console.exists() else ""

    def on(self, *arguments: str) -> None:
        """Power it on, with those kernel arguments beside its own."""
        if self.running:
            raise LabError(f"{self.name} is on already")
        self._plug()
        monitor, agent = self._wires = [Wire(), Wire()]
        numbers = (monitor.theirs.fileno(), agent.theirs.fileno())
        with self.console.with_suffix(".qemu").open("ab") as errors:
            self._process = subprocess.Popen(
                self._command(*numbers, arguments),
                stdin=subprocess.DEVNULL,
                stdout=errors,
                stderr=errors,
                pass_fds=numbers,
            )
        self._monitor, self._agent = Monitor(monitor), Agent(agent)
        for wire in self._wires:
            wire.theirs.close()
        try:
            self._monitor.greet()
        except LabError as error:
            self.remove()
            raise LabError(f"{self.name}: {error}\n{self.console.with_suffix('.qemu').read_text()}") from error

    def run(
        self, *argv: str, check: bool = True, timeout: float = 90.0, stdin: str | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program inside as root; LabError if it fails (unless `check` is false), takes longer, or cannot."""
        if not self._agent or not self.running:
            raise LabError(f"{self.name} is off")
        try:
            return self._agent.run(argv, check=check, timeout_s=timeout, stdin=stdin)
        except LabError as error:
            raise LabError(f"{self.name}: {error}") from error

    def wait_for(self, probe: Callable[[], T | None], timeout: float = BOOT_TIMEOUT_S, pause_s: float = POLL_S) -> T:
        """Return the first true value of a function; what it raises as LabError counts as "not yet".

        LabError when the time is over or the machine is off.
        """
        deadline = time.monotonic() + timeout
        last: object = None
        while time.monotonic() < deadline:
            alive = self.running
            try:
                value = probe()
            except LabError as error:
                last = error
            else:
                if value:
                    return value
                last = value
            if not alive:
                break
            time.sleep(pause_s)
        what = getattr(probe, "__name__", probe)
        raise LabError(f"{self.name}: waited {timeout:g} s for {what}; last: {last}\n{self.said()[-1500:]}")

    def status(self) -> dict[str, Any]:
        """Return the status document as it lies there: no interpreter is started for it. LabError if it does not."""
        try:
            document: dict[str, Any] = json.loads(self.run("cat", STATUS).stdout)
        except ValueError as error:
            raise LabError(f"{self.name}: no status yet") from error
        return document

    def ready(self, timeout: float = BOOT_TIMEOUT_S) -> dict[str, Any]:
        """Return the status document once it says "ready", and its boot is over; it may reboot on the way."""

        def readiness() -> dict[str, Any] | None:
            found = self.status()
            return found if found["state"] == "ready" else None

        found = self.wait_for(readiness, timeout)
        self.wait_for(self.booted, timeout)
        return found

    def booted(self) -> str:
        """Return "running" or "degraded" once the boot is over, "" before."""
        state = self.run("systemctl", "is-system-running", check=False).stdout.strip()
        return state if state in ("running", "degraded") else ""

    def failed_units(self) -> tuple[str, ...]:
        """Return the units that are in state failed."""
        listing = self.run("systemctl", "list-units", "--state=failed", "--plain", "--no-legend").stdout
        return tuple(line.split()[0] for line in listing.splitlines() if line.strip())

    def identity(self) -> dict[str, str]:
        """Return every value by which it can be known, as its own programs tell it; see `tests.vm.told`."""
        values: dict[str, str] = json.loads(self.run("/usr/bin/python3", "-I", "-", stdin=_QUESTIONS).stdout)
        return values

    def journal(self, *options: str) -> str:
        """Return the journal of this boot."""
        return self.run("journalctl", "-b", "--no-pager", "-o", "short-monotonic", *options).stdout

    def power_cut(self) -> None:
        """Take the power away at once: what the guest had not yet given to its disk is lost."""
        if self._monitor and self.running:
            with contextlib.suppress(LabError):
                self._monitor.do("quit")
        self._ended(30.0)

    def shutdown(self, timeout: float = BOOT_TIMEOUT_S) -> bool:
        """Press the power button; cut its power and return False if it is not off in that time."""
        if not self.running:
            return True
        assert self._monitor
        self._monitor.do("system_powerdown")
        try:
            self._process_wait(timeout)
        except subprocess.TimeoutExpired:
            self.power_cut()
            return False
        self._ended(0.0)
        return True

    def remove(self) -> None:
        """Cut its power and remove its disk; harmless when repeated. What it said stays where it is."""
        try:
            self._ended(0.0)
        finally:
            self.disk.file.unlink(missing_ok=True)

    def _process_wait(self, timeout_s: float) -> None:
        if self._process:
            self._process.wait(timeout_s)

    def _ended(self, timeout_s: float) -> None:
        try:
            self._process_wait(timeout_s)
        except subprocess.TimeoutExpired:
            assert self._process
            self._process.kill()
            self._process_wait(30.0)
        for wire in self._wires:
            wire.close()
        self._wires = []
        self._unplug()

    def _plug(self) -> None:
        self._unplug()
        self._ip("tuntap", "add", "dev", self._port, "mode", "tap")
        self._ip("link", "set", self._port, "addrgenmode", "none", "master", BRIDGE, "up")

    def _unplug(self) -> None:
        with contextlib.suppress(LabError):
            self._ip("link", "delete", self._port)

    def _ip(self, *argv: str) -> None:
        administer("ip", "-n", self.lan.namespace, *argv)

    def _command(self, monitor: int, agent: int, arguments: Sequence[str]) -> list[str]:
        # A test run that is killed takes its machines with it.
        command = ["setpriv", "--pdeathsig", "KILL", "nsenter", f"--net={namespace_path(self.lan.namespace)}", "--"]
        command += ["qemu-system-x86_64", "-nodefaults", "-display", "none", "-name", self.name]
        command += ["-accel", "tcg,thread=multi", "-cpu", CPU, "-m", str(MEMORY_MIB)]
        command += [
            "-kernel",
            str(self.disk.kernel),
            "-initrd",
            str(self.disk.initrd),
            "-append",
            " ".join((COMMAND_LINE, *arguments)),
        ]
        # No flush to the host's disk: what the guest has given away is QEMU's to write, power cut or not.
        command += ["-drive", f"file={self.disk.file},format=qcow2,if=virtio,cache=unsafe"]
        command += ["-netdev", f"tap,id=lan,ifname={self._port},script=no,downscript=no"]
        command += ["-device", f"virtio-net-pci,netdev=lan,mac={self.mac},addr={SLOT},romfile="]
        command += ["-chardev", f"socket,id=monitor,fd={monitor}", "-mon", "chardev=monitor,mode=control"]
        command += ["-device", "virtio-serial-pci", "-chardev", f"socket,id=agent,fd={agent}"]
        command += ["-device", "virtserialport,chardev=agent,name=org.qemu.guest_agent.0"]
        command += ["-chardev", f"file,id=console,path={self.console},append=on", "-serial", "chardev:console"]
        command += ["-uuid", self.uuid]
        for key, value in self.credentials.items():
            command += ["-smbios", f"type=11,value=io.systemd.credential:{key}={value}"]
        for key, value in self.fw_cfg.items():
            command += ["-fw_cfg", f"name=opt/io.systemd.credentials/{key},string={value}"]
        if self.generation:
            command += ["-device", f"vmgenid,guid={self.generation}"]
        return command
