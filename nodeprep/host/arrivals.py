"""Arrivals: which ports of an address of ours were knocked at from outside, before any firewall of ours has a say.

A packet socket taps before netfilter and traffic control (packet(7)), so what does not arrive was lost on the path.
"""

from __future__ import annotations

import socket
import struct
from ipaddress import IPv4Address, IPv6Address, ip_address

from nodeprep.errors import HostError
from nodeprep.host import bpf, packets
from nodeprep.host.frames import FRAME_MAX_BYTES, ignore_outgoing

ETHERTYPE_IPV4, ETHERTYPE_IPV6 = 0x0800, 0x86DD
TCP, UDP = 6, 17
QUEUE_BYTES = 4 * 1024 * 1024
"""A whole NodePort range comes within seconds."""
_SYN, _ACK = 0x02, 0x10
_FRAGMENT = 0x1FFF


class Arrivals:
    """What came for one address on one link since it was opened. Raises HostError where no socket can be had."""

    def __init__(self, link: str, address: str) -> None:
        self._address = ip_address(address)
        try:
            self._socket = opened = packets.opened(socket.SOCK_DGRAM)
        except OSError as error:
            raise HostError(f"{link}: packet socket: {error.strerror}") from error
        try:
            opened.setblocking(False)
            bpf.attach(opened, knocking(socket.if_nametoindex(link), self._address))
            ignore_outgoing(opened)
            opened.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, QUEUE_BYTES)
            opened.bind((link, ETHERTYPE_IPV4 if self._address.version == 4 else ETHERTYPE_IPV6))
        except (OSError, HostError) as error:
            opened.close()
            raise HostError(f"{link}: packet socket: {error}") from error

    def take(self) -> frozenset[tuple[str, int, str]]:
        """Return protocol, port and sender of what came since the last call."""
        came: set[tuple[str, int, str]] = set()
        while True:
            try:
                packet = self._socket.recv(FRAME_MAX_BYTES)
            except OSError:
                return frozenset(came)
            if knock := read(packet):
                came.add(knock)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def knocking(index: int, address: IPv4Address | IPv6Address) -> bpf.Program:
    """Return the filter for packets to an address, on the link of that index alone; offsets are the IP header's."""
    program = bpf.Program()
    program.load(bpf.PKTTYPE, 4).equal(socket.PACKET_OUTGOING, yes="drop", no="")
    program.load(bpf.IFINDEX, 4).equal(index)
    at = 16 if address.version == 4 else 24
    for offset in range(0, len(address.packed), 4):
        program.load(at + offset, 4).equal(int.from_bytes(address.packed[offset : offset + 4], "big"))
    return program.accept()


def read(packet: bytes) -> tuple[str, int, str] | None:
    """Return protocol, port and sender of a first TCP segment or a UDP datagram; None for anything else."""
    if len(packet) < 20:
        return None
    if packet[0] >> 4 == 4:
        header, protocol, sender = (packet[0] & 15) * 4, packet[9], str(IPv4Address(packet[12:16]))
        if int.from_bytes(packet[6:8], "big") & _FRAGMENT:
            return None
    elif packet[0] >> 4 == 6 and len(packet) >= 40:
        header, protocol, sender = 40, packet[6], str(IPv6Address(packet[8:24]))
    else:
        return None
    if protocol not in (TCP, UDP) or len(packet) < header + 14 - (6 if protocol == UDP else 0):
        return None
    (port,) = struct.unpack_from(">H", packet, header + 2)
    if protocol == TCP and packet[header + 13] & (_SYN | _ACK) != _SYN:
        return None
    return ("tcp" if protocol == TCP else "udp", port, sender)
