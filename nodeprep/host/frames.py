"""Frames of our own on the links, and ARP probes: AF_PACKET sockets (packet(7)).

An IP socket will not do. The kernel drops an IPv4 packet whose source is a local address, so two machines with one
address never hear each other; packet sockets tap before that check.
"""

from __future__ import annotations

import socket
import struct
import time
from ipaddress import IPv4Address

from nodeprep.errors import HostError

BROADCAST = b"\xff" * 6
ETHERTYPE_ARP = 0x0806
ARP_PROBE_NUM = 3  # RFC 5227, 1.1
ARP_PROBE_INTERVAL_S = 0.1  # there a second; a kubelet waits for us
ARP_LAST_WAIT_S = 0.15
PACKET_MR_PROMISC = 1  # linux/if_packet.h; not in the socket module
SOL_PACKET = 263
PACKET_ADD_MEMBERSHIP = 1
FRAME_MAX_BYTES = 2048
_ARP = struct.Struct(">HHBBH6s4s6s4s")


class LinkSocket:
    """A non-blocking socket for one EtherType on one link.

    Raises HostError where the link is not there or we may not open it.
    """

    def __init__(self, link: str, ethertype: int) -> None:
        self.link = link
        self._ethertype = ethertype
        try:
            self._socket = socket.socket(
                socket.AF_PACKET,
                socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC,
                socket.htons(ethertype),
            )
            self._socket.bind((link, ethertype))
        except OSError as error:
            raise HostError(f"{link}: packet socket: {error.strerror}") from error

    def fileno(self) -> int:
        """Return the descriptor, for an event loop."""
        return self._socket.fileno()

    def send(self, payload: bytes) -> None:
        """Broadcast a payload; a link that is down, or a full queue, loses it as a wire would."""
        try:
            self._socket.sendto(payload, (self.link, self._ethertype, 0, 0, BROADCAST))
        except OSError:
            pass

    def receive(self) -> bytes | None:
        """Return the next payload from outside, or None where there is none. Our own outgoing frames are left out."""
        while True:
            try:
                payload, address = self._socket.recvfrom(FRAME_MAX_BYTES)
            except OSError:
                return None
            if address[2] != socket.PACKET_OUTGOING:
                return payload

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def arp_holder(link: str, sender_mac: str, address: str) -> str | None:
    """Return the MAC of a machine on the link that answers for an IPv4 address, or None (RFC 5227, 2.1.1).

    Takes at most half a second. sender_mac is presented as ours: one that no twin shares, or its answer would go to the
    twin. Raises HostError where no socket can be had.
    """
    own = bytes.fromhex(sender_mac.replace(":", ""))
    wanted = IPv4Address(address).packed
    try:
        with socket.socket(socket.AF_PACKET, socket.SOCK_RAW | socket.SOCK_CLOEXEC, socket.htons(ETHERTYPE_ARP)) as arp:
            arp.bind((link, ETHERTYPE_ARP))
            # Answers to a MAC that the link does not bear yet would be filtered out.
            index = socket.if_nametoindex(link)
            arp.setsockopt(SOL_PACKET, PACKET_ADD_MEMBERSHIP, struct.pack("iHH8s", index, PACKET_MR_PROMISC, 0, b""))
            for number in range(ARP_PROBE_NUM):
                arp.send(_arp_probe(own, wanted))
                wait_s = ARP_PROBE_INTERVAL_S + (ARP_LAST_WAIT_S if number == ARP_PROBE_NUM - 1 else 0)
                if holder := _arp_listen(arp, time.monotonic() + wait_s, own, wanted):
                    return holder
    except OSError as error:
        raise HostError(f"{link}: ARP probe for {address}: {error.strerror or error}") from error
    return None


def _arp_probe(own: bytes, wanted: bytes) -> bytes:
    header = BROADCAST + own + struct.pack(">H", ETHERTYPE_ARP)
    return header + _ARP.pack(1, 0x0800, 6, 4, 1, own, bytes(4), bytes(6), wanted)


def _arp_listen(arp: socket.socket, until_s: float, own: bytes, wanted: bytes) -> str | None:
    """Return who has, or probes for, the address before the time is up."""
    while (left_s := until_s - time.monotonic()) > 0:
        arp.settimeout(left_s)
        try:
            frame, address = arp.recvfrom(FRAME_MAX_BYTES)
        except TimeoutError:
            return None
        if address[2] == socket.PACKET_OUTGOING or len(frame) < 14 + _ARP.size:
            continue
        _, _, _, _, _, sender_mac, sender_ip, _, target_ip = _ARP.unpack_from(frame, 14)
        probes_too = sender_ip == bytes(4) and target_ip == wanted
        if sender_mac != own and (sender_ip == wanted or probes_too):
            return ":".join(f"{octet:02x}" for octet in sender_mac)
    return None
