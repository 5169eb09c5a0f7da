"""The machine's Ethernet links as the kernel holds them: MACs, addresses, carrier, neighbours.

This is the only door to pyroute2, and works with 0.7.2 to 0.9 because it asks for attributes by name only. Everything
here is synchronous; from inside an event loop call it in a worker thread (`asyncio.to_thread`), since 0.9 refuses to
run in the loop's own. Every socket is closed before a function returns. The interface is rtnetlink(7).
"""

from __future__ import annotations

import contextlib
import ipaddress
import os
import socket
import time
from collections.abc import Collection, Iterator
from dataclasses import replace
from typing import Any

from nodeprep.errors import HostError
from nodeprep.host.fronts import load_without_fronts
from nodeprep.host.monitor import POD_PREFIXES
from nodeprep.model import Link, LinkAddress

load_without_fronts("pyroute2.iproute.linux")
from pyroute2.iproute.linux import IPRoute  # noqa: E402 (found loaded)
from pyroute2.netlink.exceptions import NetlinkError  # noqa: E402

ARPHRD_ETHER = 1
IFF_UP, IFF_LOOPBACK = 0x1, 0x8
IFA_F_OPTIMISTIC, IFA_F_DADFAILED, IFA_F_TENTATIVE, IFA_F_PERMANENT = 0x04, 0x08, 0x40, 0x80
RT_SCOPES = {0: "global", 200: "global", 253: "link"}
_LONE = {4: 32, 6: 128}
NUD_REACHABLE, NTF_USE = 0x02, 0x01
EBUSY = 16
IFAPROT_KEEPALIVED = 18  # RTPROT_KEEPALIVED, which keepalived gives as IFA_PROTO since Linux 5.18

HARDWARE_KINDS = frozenset({None, "vlan", "bond", "team"})
"""IFLA_INFO_KIND of links that are hardware (none) or stand for it under another name."""


def links(only: Collection[str] | None = None) -> tuple[Link, ...]:
    """Return the Ethernet links that are the machine's hardware or stand for it, by index; only those named if given.

    A bond, a VLAN or a bridge stands for the hardware below it and often bears the same MAC. A veth counts unless it
    is a pod's (in a bridge of pods, by its name, or with both its ends here). Addresses that are still being checked
    (IFA_F_TENTATIVE) are not held yet and left out, those found duplicate are in.
    Raises HostError.
    """
    with _netlink("read the links") as netlink:
        found = {int(message["index"]): message for message in list(netlink.get_links())}
        held = list(netlink.get_addr())
    wanted = _of_the_machine(found) if only is None else {i for i, message in found.items() if _name(message) in only}
    addresses: dict[int, list[LinkAddress]] = {}
    for message in held:
        address = _address(message)
        if address is not None:
            addresses.setdefault(int(message["index"]), []).append(address)
    return tuple(_link(found[index], tuple(addresses.get(index, ())), wanted) for index in sorted(wanted))


def link(name: str) -> Link:
    """Return one link by its name, whatever its kind. Raises HostError if there is none."""
    for found in links((name,)):
        return found
    raise HostError(f"there is no link {name}")


def set_link_mac(name: str, mac: str) -> None:
    """Give a link another MAC, going down and up again only if its driver insists; the former is restored on failure.

    Going down costs the kernel's routes over the link and its IPv6 addresses: both are put back. Raises HostError.
    """
    former = link(name)
    if former.mac == mac.lower():
        return
    with _netlink(f"set the MAC of {name}") as netlink:
        try:
            _put_mac(netlink, former.index, mac)
        except NetlinkError as error:
            if error.code != EBUSY:
                raise
            _put_mac_down(netlink, former.index, mac, former.mac)
    now = link(name).mac
    if now != mac.lower():
        raise HostError(f"{name} has the MAC {now} after it was set to {mac}")


def restart(name: str, mac: str) -> None:
    """Take a link down and up again, with a MAC and without its addresses. Raises HostError."""
    with _netlink(f"set the MAC of {name}") as netlink:
        index = link(name).index
        netlink.link("set", index=index, state="down")
        try:
            netlink.flush_addr(index=index)
            _put_mac(netlink, index, mac)
        finally:
            netlink.link("set", index=index, state="up")


def gateways(name: str) -> tuple[str, ...]:
    """Return the next hops of a link's default routes, those of IPv4 first. Raises HostError."""
    with _netlink(f"read the routes of {name}") as netlink:
        routes = [route for route in list(netlink.get_routes()) if not route["dst_len"]]
    hops = {route.get_attr("RTA_GATEWAY") for route in routes if route.get_attr("RTA_OIF") == link(name).index} - {None}
    return tuple(sorted(hops, key=lambda hop: (":" in hop, hop)))


def neighbour_answers(name: str, address: str, timeout_s: float = 2.0) -> bool:
    """Whether an address answers ARP or neighbour discovery on a link within timeout_s seconds.

    The kernel asks by itself (NTF_USE): no packet of ours leaves. Raises HostError.
    """
    family = socket.AF_INET6 if ":" in address else socket.AF_INET
    index = link(name).index
    wanted = ipaddress.ip_address(address)
    with _netlink(f"ask for {address} on {name}") as netlink:
        with contextlib.suppress(NetlinkError):  # an old answer proves nothing
            netlink.neigh("del", family=family, dst=address, ifindex=index)
        netlink.neigh("replace", family=family, dst=address, ifindex=index, flags=NTF_USE, state=0)
        deadline = time.monotonic() + timeout_s
        while time.monotonic() < deadline:
            for message in list(netlink.get_neighbours(family=family)):
                known = message.get_attr("NDA_DST")
                here = message["ifindex"] == index and known and ipaddress.ip_address(known) == wanted
                if here and message["state"] & NUD_REACHABLE:
                    return True
            time.sleep(0.02)
    return False


@contextlib.contextmanager
def _netlink(purpose: str) -> Iterator[Any]:
    try:
        with IPRoute() as netlink:
            yield netlink
    except NetlinkError as error:
        raise HostError(f"{purpose}: {os.strerror(error.code)}") from error
    except (OSError, RuntimeError, ValueError, KeyError) as error:
        raise HostError(f"{purpose}: {error}") from error


def _name(message: Any) -> str:
    return str(message.get_attr("IFLA_IFNAME"))


def _kind(message: Any) -> str | None:
    info = message.get_attr("IFLA_LINKINFO")
    kind = info.get_attr("IFLA_INFO_KIND") if info is not None else None
    return str(kind) if kind else None


def _of_the_machine(found: dict[int, Any]) -> set[int]:
    ethernet = {
        index: _kind(message)
        for index, message in found.items()
        if message["ifi_type"] == ARPHRD_ETHER and not message["flags"] & IFF_LOOPBACK
    }
    wanted = {index for index, kind in ethernet.items() if kind in HARDWARE_KINDS}
    bridges = {index for index, kind in ethernet.items() if kind == "bridge"}
    for index, kind in ethernet.items():
        # The other end of a pod's or a container's veth is in another name space, as the far end of our own may be.
        elsewhere = found[index].get_attr("IFLA_LINK_NETNSID") is not None
        in_bridge = found[index].get_attr("IFLA_MASTER") in bridges
        if kind == "veth" and elsewhere and not in_bridge and not _name(found[index]).startswith(POD_PREFIXES):
            wanted.add(index)
        if kind in ("macvlan", "ipvlan") and elsewhere:  # a container that is itself the machine
            wanted.add(index)
    return wanted | {found[index].get_attr("IFLA_MASTER") for index in wanted} & bridges


def _link(message: Any, addresses: tuple[LinkAddress, ...], wanted: Collection[int]) -> Link:
    permanent = message.get_attr("IFLA_PERM_ADDRESS")
    carrier = message.get_attr("IFLA_CARRIER")
    return Link(
        name=_name(message),
        index=int(message["index"]),
        mac=str(message.get_attr("IFLA_ADDRESS") or "").lower(),
        permanent_mac=str(permanent).lower() if permanent else None,
        carrier=bool(message["flags"] & IFF_UP and carrier),
        addresses=_told_apart(addresses),
        port=message.get_attr("IFLA_MASTER") in wanted,
        flaps=int(message.get_attr("IFLA_CARRIER_CHANGES") or 0),
    )


def _told_apart(addresses: tuple[LinkAddress, ...]) -> tuple[LinkAddress, ...]:
    """Mark the lone addresses beside a wider one of their family as floating; alone (GCE, DHCPv6) they are a host's."""
    wider = {one.version for one in addresses if one.prefix_length < _LONE[one.version] and one.scope == "global"}
    return tuple(
        replace(one, floating=True)
        if one.prefix_length == _LONE[one.version] and one.version in wider and not one.dynamic
        else one
        for one in addresses
    )


def _address(message: Any) -> LinkAddress | None:
    flags = message.get_attr("IFA_FLAGS")
    flags = int(message["flags"] if flags is None else flags)
    scope = RT_SCOPES.get(int(message["scope"]))
    unsettled = flags & IFA_F_TENTATIVE and not flags & (IFA_F_DADFAILED | IFA_F_OPTIMISTIC)
    if scope is None or unsettled:
        return None
    return LinkAddress(
        address=str(message.get_attr("IFA_LOCAL") or message.get_attr("IFA_ADDRESS")),
        prefix_length=int(message["prefixlen"]),
        scope=scope,
        dad_failed=bool(flags & IFA_F_DADFAILED),
        dynamic=not flags & IFA_F_PERMANENT,
        floating=message.get_attr("IFA_PROTO") == IFAPROT_KEEPALIVED,
    )


def _put_mac(netlink: Any, index: int, mac: str) -> None:
    netlink.link("set", index=index, address=mac)


def _put_mac_down(netlink: Any, index: int, mac: str, former: str) -> None:
    addresses = [message for message in list(netlink.get_addr(family=socket.AF_INET6)) if message["index"] == index]
    routes = [message for message in list(netlink.get_routes()) if message.get_attr("RTA_OIF") == index]
    netlink.link("set", index=index, state="down")
    try:
        try:
            _put_mac(netlink, index, mac)
        except NetlinkError:
            with contextlib.suppress(NetlinkError):
                _put_mac(netlink, index, former)
            raise
    finally:
        netlink.link("set", index=index, state="up")
        _put_back(netlink, index, addresses, routes)


def _put_back(netlink: Any, index: int, addresses: list[Any], routes: list[Any]) -> None:
    for message in addresses:
        if RT_SCOPES.get(int(message["scope"])) == "global" and (message.get_attr("IFA_FLAGS") or 0) & IFA_F_PERMANENT:
            with contextlib.suppress(NetlinkError):  # keep_addr_on_down may have kept it
                netlink.addr(
                    "add", index=index, address=message.get_attr("IFA_ADDRESS"), prefixlen=message["prefixlen"],
                    family=socket.AF_INET6,
                )  # fmt: skip
    names = {
        "dst": "RTA_DST", "gateway": "RTA_GATEWAY", "priority": "RTA_PRIORITY", "table": "RTA_TABLE",
        "prefsrc": "RTA_PREFSRC",
    }  # fmt: skip
    # Those with no gateway first: the others are reached through them.
    for message in sorted(routes, key=lambda route: route.get_attr("RTA_GATEWAY") is not None):
        if message["type"] != 1 or (message["proto"] == 2 and message["family"] == socket.AF_INET6):
            continue  # the kernel makes local, broadcast and prefix routes by itself
        fields = {key: message.get_attr(name) for key, name in names.items() if message.get_attr(name) is not None}
        fields |= {"family": message["family"], "dst_len": message["dst_len"], "scope": message["scope"]}
        with contextlib.suppress(NetlinkError):
            netlink.route("replace", oif=index, proto=message["proto"], **fields)
