"""Checks: what of a node itself, ports apart, most often keeps Kubernetes from working. They only read."""

from __future__ import annotations

import socket
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address
from typing import Any

from nodeprep.errors import HostError
from nodeprep.host import programs
from nodeprep.machine import MachineView
from nodeprep.model import Link

DOUBLED = ("conflict", "dispute", "address-in-use", "mac-in-use", "joined-clone", "old-identity-held")
RTF_UP, RTF_REJECT = 0x1, 0x200  # linux/route.h


class Outcome(str, Enum):
    """What a check came to."""

    GOOD = "good"
    DOUBTFUL = "doubtful"
    BAD = "bad"


@dataclass(frozen=True, slots=True)
class Check:
    """One look at this node."""

    name: str
    outcome: Outcome
    detail: str
    remedy: str = ""


def links_up(links: Sequence[Link]) -> Check:
    """Look whether a link carries, and none that has an address does not."""
    up = [link.name for link in links if link.speaks]
    down = [link.name for link in links if not link.carrier and link.addresses]
    if not up:
        return Check("links", Outcome.BAD, "no link carries", "`ip -br link`; see to cable, switch port or virtual NIC")
    if down:
        remedy = "`ip -br link`; see to cable, switch port or virtual NIC, or take the address away"
        return Check("links", Outcome.DOUBTFUL, f"{', '.join(down)} has an address and no carrier", remedy)
    return Check("links", Outcome.GOOD, f"{', '.join(up)} up")


def default_route(machine: MachineView) -> Check:
    """Look for a default route (proc(5), /proc/net/route, /proc/net/ipv6_route)."""
    fourth = (line.split() for line in (machine.read_text("/proc/net/route") or "").splitlines()[1:])
    sixth = (line.split() for line in (machine.read_text("/proc/net/ipv6_route") or "").splitlines())
    over = {row[0] for row in fourth if len(row) > 7 and row[1] == "00000000" == row[7] and int(row[3], 16) & RTF_UP}
    over |= {
        row[9]
        for row in sixth
        if len(row) > 9
        and row[0] == "0" * 32
        and row[1] == "00"
        and not int(row[8], 16) & RTF_REJECT
        and row[9] != "lo"
    }
    if over:
        return Check("default route", Outcome.GOOD, f"over {', '.join(sorted(over))}")
    remedy = "set a gateway: kubelet and kube-proxy take the node's address from the default route"
    return Check("default route", Outcome.BAD, "there is none", remedy)


def own_name(hostname: str, addresses: Collection[str]) -> Check:
    """Look whether this node's name leads to an address of its own, as its own resolver has it."""
    try:
        rows = socket.getaddrinfo(hostname, None, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError):
        rows = []
    return leads_home("own name", hostname, [str(row[4][0]) for row in rows], addresses)


def leads_home(name: str, hostname: str, found: Sequence[str], addresses: Collection[str]) -> Check:
    """Judge what a name was found to lead to."""
    remedy = f"let DNS, or /etc/hosts, say which address of this node {hostname} is"
    bare = [each.partition("%")[0] for each in found]
    foreign = [each for each in bare if each not in addresses and not ip_address(each).is_loopback]
    if foreign:
        return Check(name, Outcome.BAD, f"{hostname} leads to {', '.join(foreign)}, which is not this node", remedy)
    if any(each in addresses for each in bare):
        return Check(name, Outcome.GOOD, f"{hostname} leads to {', '.join(dict.fromkeys(bare))}")
    detail = f"{hostname} leads to {', '.join(dict.fromkeys(bare)) or 'nothing'}"
    return Check(name, Outcome.DOUBTFUL, detail, remedy)


def clock() -> Check:
    """Look whether the clock is kept by something (timedatectl(1)): certificates and leases live by it."""
    try:
        said = programs.run(("timedatectl", "show", "-P", "NTPSynchronized"), 10).strip()
    except HostError as error:
        return Check("clock", Outcome.DOUBTFUL, str(error), "`timedatectl status`")
    if said == "yes":
        return Check("clock", Outcome.GOOD, "in sync")
    return Check("clock", Outcome.DOUBTFUL, "not known to be in sync", "run chrony or systemd-timesyncd")


def identity(status: Mapping[str, Any] | None) -> Check:
    """Look what the daemon says of this node's identity."""
    if status is None:
        return Check(
            "identity", Outcome.DOUBTFUL, "nodeprep.service does not say", "`systemctl status nodeprep.service`"
        )
    doubled = [row for row in status["problems"] if row["code"] in DOUBLED]
    if doubled:
        return Check("identity", Outcome.BAD, doubled[0]["detail"], doubled[0]["remedy"])
    if status["state"] not in ("ready", "degraded"):
        return Check("identity", Outcome.BAD, status["summary"], "`nodeprep status`")
    return Check("identity", Outcome.GOOD, "machine ID, name, addresses and MACs are its own")


def worst(checks: Iterable[Check]) -> Outcome:
    """Return the worst outcome."""
    order = list(Outcome)
    return max((check.outcome for check in checks), key=order.index, default=Outcome.GOOD)
