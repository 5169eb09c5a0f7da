"""Whether a link carries what a profile sets: carrier, MAC, addresses, and a gateway that answers."""

from __future__ import annotations

import time
from dataclasses import replace

from nodeprep.errors import HostError
from nodeprep.host import links
from nodeprep.host.platform import is_moved, permanent_macs
from nodeprep.model import Link
from nodeprep.patience import pauses
from nodeprep.steps import SetProfile

CARRY_TIMEOUT_S = 8.0
"""For carrier and IPv6 duplicate address detection (RFC 4862) after the activation."""
LEASE_TIMEOUT_S = 30.0
"""For a lease beside that: a server may ping an address for seconds before it offers it."""
GATEWAY_TIMEOUT_S = 2.0
POLL_S = 0.05


def with_platform(link: Link) -> Link:
    """Return a link with what sysfs says of the hardware where netlink does not, or where a test presents it."""
    presented = permanent_macs().get(link.name) if is_moved() or link.permanent_mac is None else None
    return replace(link, permanent_mac=presented or link.permanent_mac)


def seen(name: str) -> Link:
    """Return a link as it is now. Raises HostError."""
    return with_platform(links.link(name))


def held(link: Link) -> frozenset[str]:
    """Return the addresses of a link that are no duplicates, as ADDRESS/PREFIX."""
    return frozenset(f"{one.address}/{one.prefix_length}" for one in link.addresses if not one.dad_failed)


def leased(link: Link) -> bool:
    """Whether a link has an IPv4 address for a time only."""
    return any(one.version == 4 and one.scope == "global" and one.dynamic for one in link.addresses)


def missing(link: Link, change: SetProfile, wanted: frozenset[str]) -> str:
    """Say what a link still lacks of a change, "" if nothing."""
    if not link.carrier:
        return "the link has no carrier"
    mac = link.permanent_mac if change.mac == "" else change.mac
    if mac and link.mac != mac.lower():
        return f"the link has the MAC {link.mac} instead of {mac}"
    found = {f"{one.address}/{one.prefix_length}": one for one in link.addresses}
    for address in sorted(wanted):
        if address not in found:
            return f"the link does not have {address}"
        if found[address].dad_failed:
            return f"{address} is a duplicate"
    if change.ipv4_addresses == () and not any(one.version == 4 and one.scope == "global" for one in link.addresses):
        return "no IPv4 address was leased"
    return ""


def answering_gateway(name: str) -> str:
    """Which default gateway of a link answers: "4" over ARP, else "6" over neighbour discovery, else ""."""
    for version in ("4", "6"):
        if gateway_answers(name, version):
            return version
    return ""


def gateway_answers(name: str, version: str) -> bool:
    """Whether a default gateway of that family answers. Raises HostError."""
    hops = [hop for hop in links.gateways(name) if (":" in hop) == (version == "6")]
    return any(links.neighbour_answers(name, hop, GATEWAY_TIMEOUT_S) for hop in hops)


def prove(change: SetProfile, wanted: frozenset[str], *, lease: bool, gateway: str) -> None:
    """Wait until a link carries. Raises HostError with what it lacks.

    wanted: addresses as ADDRESS/PREFIX; lease: whether it must have one; gateway: "4", "6" or "" as it answered before.
    """
    deadline = time.monotonic() + CARRY_TIMEOUT_S + (LEASE_TIMEOUT_S if lease or change.ipv4_addresses == () else 0)
    waits = pauses(POLL_S)
    while lacks := _lacks(seen(change.link), change, wanted, lease=lease):
        if time.monotonic() >= deadline or lacks.endswith("duplicate"):
            raise HostError(lacks)
        time.sleep(next(waits))
    while gateway and not gateway_answers(change.link, gateway):
        if time.monotonic() >= deadline:
            raise HostError("the gateway answered before and does not any more")
        time.sleep(next(waits))


def _lacks(link: Link, change: SetProfile, wanted: frozenset[str], *, lease: bool) -> str:
    return missing(link, change, wanted) or ("no IPv4 address was leased" if lease and not leased(link) else "")
