"""The hostname and the machine ID as systemd-hostnamed(8) and the bus give them to every other program.

hostnamed is started by the bus when it is asked and ends when it is idle. The interface is
org.freedesktop.hostname1(5). Every function raises HostError.
"""

from __future__ import annotations

import socket

from nodeprep.errors import HostError
from nodeprep.host.bus import Bus

HOSTNAMED = "org.freedesktop.hostname1"
HOSTNAMED_PATH = "/org/freedesktop/hostname1"
SYSTEMD = "org.freedesktop.systemd1"
PEER = "org.freedesktop.DBus.Peer"

START_TIMEOUT_S = 25.0
"""hostnamed may have to be started first, on a machine that is still booting."""


async def static_hostname(bus: Bus) -> str:
    """Return the static hostname (hostname(5)), "" where there is none."""
    return str(await bus.get_property(HOSTNAMED, HOSTNAMED_PATH, HOSTNAMED, "StaticHostname", START_TIMEOUT_S))


async def set_hostname(bus: Bus, name: str) -> None:
    """Set the static hostname and then the running one, and see that both took.

    The running one is set explicitly, since a transient name that somebody else gave (a DHCP lease) would stay.
    Raises HostError, also when hostnamed or the kernel (gethostname(2)) says another name afterwards.
    """
    for member in ("SetStaticHostname", "SetHostname"):
        await bus.call(HOSTNAMED, HOSTNAMED_PATH, HOSTNAMED, member, "sb", (name, False), START_TIMEOUT_S)
    said = await static_hostname(bus)
    if said != name:
        raise HostError(f"hostnamed has the static hostname {said!r} after it was set to {name!r}")
    running = socket.gethostname()
    if running != name:
        raise HostError(f"the kernel has the hostname {running!r} after it was set to {name!r}")


async def machine_id(bus: Bus, service: str = HOSTNAMED) -> str:
    """Return the machine ID that a running service holds, as 32 lower case hex digits.

    Any service on sd-bus answers, so also systemd itself (SYSTEMD). hostnamed's own MachineID property exists since
    systemd 256 only. The bus daemon cannot be asked: Debian's policy for the system bus denies it.
    Raises HostError.
    """
    (held,) = await bus.call(service, "/", PEER, "GetMachineId", timeout_s=START_TIMEOUT_S)
    return str(held)
