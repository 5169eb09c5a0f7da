"""sshd: the ports that sshd(8) is reached on, which no firewall of ours ever closes."""

from __future__ import annotations

import os
import re
from pathlib import Path

from nodeprep.host.firewall.invocation import ask

SSH_PORT = 22
_SSHD_PORT = re.compile(r"(?im)^\s*(?:port[\s=]+|listenaddress[\s=]+(?:\[\S+\]|[^:\s]+):)(\d+)(?!\S)")
_SOCKET_PORT = re.compile(r"(?m)^Listen=\S*:(\d+) \(Stream\)")


def ports(prefix: tuple[str, ...]) -> tuple[int, ...]:
    """Return the ports that sshd(8) is reached on, sorted; 22 where nothing tells.

    The union of what sshd is configured to, what it listens on now, and what ssh.socket listens on for it: they
    differ while a changed configuration waits for a restart, and none of them may lock anyone out.
    """
    configuration = ask(prefix, "sshd", "-T")
    if configuration is None:  # sshd -T wants host keys and /run/sshd, which early in a boot are not there yet
        files = (Path("/etc/ssh/sshd_config"), *Path("/etc/ssh/sshd_config.d").glob("*.conf"))
        configuration = "\n".join(path.read_text(errors="replace") for path in files if os.access(path, os.R_OK))
    found = set(_SSHD_PORT.findall(configuration))
    for line in (ask(prefix, "ss", "-Hltnp") or "").splitlines():
        address, _, port = line.split()[3].rpartition(":")
        if '"sshd"' in line and not address.startswith(("127.", "[::1]")):  # those are forwardings of a session
            found.add(port)
    socket = ask(prefix, "systemctl", "show", "--property=ActiveState,Listen", "ssh.socket") or ""
    if "ActiveState=active" in socket:
        found.update(_SOCKET_PORT.findall(socket))
    return tuple(sorted(int(port) for port in found)) or (SSH_PORT,)
