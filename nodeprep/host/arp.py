"""ARP on a link, as RFC 5227 has it: probes for an address, and announcements of one that is ours."""

from __future__ import annotations

import socket
import struct
import time
from collections.abc import Collection, Iterator
from ipaddress import IPv4Address

from nodeprep.errors import HostError
from nodeprep.host import packets
from nodeprep.host.frames import BROADCAST, FRAME_MAX_BYTES, SOL_PACKET, mac_bytes, mac_text

ETHERTYPE_ARP = 0x0806
ARP_PROBE_NUM = 3  # RFC 5227, 1.1
ARP_PROBE_INTERVAL_S = 0.1  # there a second; a kubelet waits for us
ARP_LAST_WAIT_S = 0.15
PACKET_MR_PROMISC = 1  # linux/if_packet.h; not in the socket module
PACKET_ADD_MEMBERSHIP = 1
NOBODY = bytes(4)
ARP = struct.Struct(">HHBBH6s4s6s4s")


def arp_holder(link: str, sender_mac: str, address: str, *, established: bool = False) -> str | None:
    """Return the MAC of a machine on the link that answers for an IPv4 address, or None; see `arp_holders`."""
    return arp_holders(link, sender_mac, (address,), established=established).get(address)


def arp_holders(link: str, sender_mac: str, addresses: Collection[str], *, established: bool = False) -> dict[str, str]:
    """Return address → MAC of the machine on the link that answers for it, of those that are held (RFC 5227, 2.1.1).

    Takes at most half a second for all. sender_mac is presented as ours: one that no twin shares, or its answer would
    go to the twin. established: they are ours, and who only probes for one will find that out (2.4). Raises HostError
    where no socket can be had.
    """
    own = mac_bytes(sender_mac)
    wanted = {IPv4Address(address).packed: address for address in addresses}
    found: dict[str, str] = {}
    try:
        with _opened(link) as arp:
            # Answers to a MAC that the link does not bear yet would be filtered out.
            index = socket.if_nametoindex(link)
            arp.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, struct.pack("iHH8s", index, PACKET_MR_PROMISC, 0, b""))
            for number in range(ARP_PROBE_NUM):
                for packed in wanted:
                    arp.send(_request(own, NOBODY, packed))
                wait_s = ARP_PROBE_INTERVAL_S + (ARP_LAST_WAIT_S if number == ARP_PROBE_NUM - 1 else 0)
                until_s = time.monotonic() + wait_s
                for packed, mac in _listen(arp, until_s, own, frozenset(wanted), probers=not established):
                    found[wanted.pop(packed)] = mac
                if not wanted:
                    break
    except OSError as error:
        raise HostError(f"{link}: ARP probe for {', '.join(wanted.values())}: {error.strerror or error}") from error
    return found


def arp_announce(link: str, mac: str, address: str) -> None:
    """Say once to all on the link that the address is ours (RFC 5227, 2.3). Raises HostError."""
    own = IPv4Address(address).packed
    try:
        with _opened(link) as arp:
            arp.send(_request(mac_bytes(mac), own, own))
    except OSError as error:
        raise HostError(f"{link}: ARP announcement of {address}: {error.strerror or error}") from error


def _opened(link: str) -> socket.socket:
    arp = packets.opened(socket.SOCK_RAW)
    try:
        arp.bind((link, ETHERTYPE_ARP))
    except OSError:
        arp.close()
        raise
    return arp


def _request(own_mac: bytes, own: bytes, wanted: bytes) -> bytes:
    header = BROADCAST + own_mac + struct.pack(">H", ETHERTYPE_ARP)
    return header + ARP.pack(1, 0x0800, 6, 4, 1, own_mac, own, bytes(6), wanted)


def _listen(
    arp: socket.socket, until_s: float, own: bytes, wanted: frozenset[bytes], *, probers: bool
) -> Iterator[tuple[bytes, str]]:
    """Yield who has each of the addresses, or probes for it, once, until the time is up or all have somebody."""
    left = set(wanted)
    while left and (left_s := until_s - time.monotonic()) > 0:
        arp.settimeout(left_s)
        try:
            frame, address = arp.recvfrom(FRAME_MAX_BYTES)
        except TimeoutError:
            return
        if address[2] == socket.PACKET_OUTGOING or len(frame) < 14 + ARP.size:
            continue
        _, _, _, _, _, sender_mac, sender_ip, _, target_ip = ARP.unpack_from(frame, 14)
        about = target_ip if probers and sender_ip == NOBODY else sender_ip  # who probes for it would have it too
        if sender_mac != own and about in left:
            left.remove(about)
            yield about, mac_text(sender_mac)
