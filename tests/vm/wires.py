"""QEMU's two wires: the monitor (QMP) and, on a virtual serial port, the guest agent (QEMU, docs/interop).

Both speak JSON, an object a line, over one end of a socket pair whose other end QEMU has: no files, nothing to find.
"""

from __future__ import annotations

import base64
import itertools
import json
import select
import shlex
import socket
import subprocess
import time
from typing import Any

from tests.lab.traces import LabError

POLL_S = 0.2
SYNC_TIMEOUT_S = 5.0
ANSWER_TIMEOUT_S = 60.0
DELIMITER = b"\xff"


class Wire:
    """One end of a pair of sockets; `theirs` is for QEMU, by its number."""

    def __init__(self) -> None:
        """Make the pair."""
        self.ours, self.theirs = socket.socketpair()
        self._received = b""

    def send(self, message: object, before: bytes = b"") -> None:
        """Send one object. LabError if nobody takes it."""
        self.ours.settimeout(SYNC_TIMEOUT_S)
        try:
            self.ours.sendall(before + json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise LabError(f"nobody listens: {error}") from error

    def receive(self, timeout_s: float) -> tuple[dict[str, Any], bool]:
        """Return the next object and whether a delimiter stood before it. LabError if none comes in that time."""
        deadline = time.monotonic() + timeout_s
        while b"\n" not in self._received:
            readable, _, _ = select.select([self.ours], [], [], max(0.0, deadline - time.monotonic()))
            try:
                chunk = self.ours.recv(65536) if readable else b""
            except OSError as error:
                raise LabError(f"the wire is cut: {error}") from error
            if not chunk:
                raise LabError("the wire is cut" if readable else f"no answer within {timeout_s} s")
            self._received += chunk
        line, _, self._received = self._received.partition(b"\n")
        before, delimiter, text = line.rpartition(DELIMITER)
        try:
            message: dict[str, Any] = json.loads(text if delimiter else before + text)
        except ValueError:
            return {}, bool(delimiter)  # the rest of an answer that a reboot cut off
        return message, bool(delimiter)

    def close(self) -> None:
        """Close both ends."""
        self.ours.close()
        self.theirs.close()


class Monitor:
    """QEMU itself."""

    def __init__(self, wire: Wire) -> None:
        """Take the wire that QEMU's control monitor is on."""
        self._wire = wire

    def greet(self) -> None:
        """Begin the talk. LabError if QEMU does not."""
        self._wire.receive(ANSWER_TIMEOUT_S)
        self.do("qmp_capabilities")

    def do(self, command: str, **arguments: object) -> Any:
        """Have QEMU do something and return what it returns. LabError if it cannot, or is gone before it says so."""
        self._wire.send({"execute": command, "arguments": arguments})
        while True:
            answer, _ = self._wire.receive(ANSWER_TIMEOUT_S)
            if "error" in answer:
                raise LabError(f"QEMU: {command}: {answer['error']['desc']}")
            if "return" in answer:
                return answer["return"]


class Agent:
    """The guest agent of one machine: programs run as root, whatever its network is like."""

    def __init__(self, wire: Wire) -> None:
        """Take the wire that the port org.qemu.guest_agent.0 is on."""
        self._wire = wire
        self._numbers = itertools.count(time.monotonic_ns() % 1_000_000_000)

    def run(
        self, argv: tuple[str, ...], *, check: bool, timeout_s: float, stdin: str | None
    ) -> subprocess.CompletedProcess[str]:
        """Run a program. LabError if nobody answers, if it does not end, or if it fails and `check` is true."""
        self._sync()
        request = {"path": argv[0], "arg": list(argv[1:]), "capture-output": True, "env": list(_ENVIRONMENT)}
        if stdin is not None:
            request["input-data"] = base64.b64encode(stdin.encode()).decode()
        pid = self._do("guest-exec", **request)["pid"]
        deadline = time.monotonic() + timeout_s
        pause_s = 0.02
        while not (ended := self._do("guest-exec-status", pid=pid))["exited"]:
            if time.monotonic() > deadline:
                raise LabError(f"{shlex.join(argv)}: no end within {timeout_s} s")
            time.sleep(pause_s)
            pause_s = min(2 * pause_s, POLL_S)
        out, err = (base64.b64decode(ended.get(key, "")).decode(errors="replace") for key in ("out-data", "err-data"))
        code = ended.get("exitcode", -ended.get("signal", 0))
        if check and code:
            raise LabError(f"{shlex.join(argv)}: exit {code}\n{err}{out}")
        return subprocess.CompletedProcess(argv, code, out, err)

    def _sync(self) -> None:
        number = next(self._numbers)
        self._wire.send({"execute": "guest-sync-delimited", "arguments": {"id": number}}, before=DELIMITER)
        deadline = time.monotonic() + SYNC_TIMEOUT_S
        while self._wire.receive(deadline - time.monotonic())[0].get("return") != number:
            pass

    def _do(self, command: str, **arguments: object) -> Any:
        self._wire.send({"execute": command, "arguments": arguments})
        answer, _ = self._wire.receive(ANSWER_TIMEOUT_S)
        if "return" not in answer:
            raise LabError(f"guest agent: {command}: {answer}")
        return answer["return"]


_ENVIRONMENT = (
    "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
    "HOME=/root",
    "LANG=C.UTF-8",
    "SYSTEMD_PAGER=",
    "SYSTEMD_COLORS=0",
)
