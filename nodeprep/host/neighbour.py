"""Who on a link holds an IPv6 address: neighbour solicitation from nobody (RFC 4861; RFC 4862, 5.4.2).

The kernel says that its own detection found an address on somebody else (IFA_F_DADFAILED), and not on whom.
"""

from __future__ import annotations

import socket
import struct
import time
from ipaddress import IPv6Address

from nodeprep.errors import HostError
from nodeprep.host import packets
from nodeprep.host.frames import FRAME_MAX_BYTES, mac_bytes, mac_text

ETHERTYPE_IPV6 = 0x86DD
ICMPV6 = 58
SOLICITATION, ADVERTISEMENT = 135, 136
SOLICITATIONS = 3
ANSWER_S = 0.2
_ALL_NODES = IPv6Address("ff02::1").packed


def neighbour_holder(link: str, mac: str, address: str) -> str | None:
    """Return the MAC of a machine on the link that answers for an IPv6 address, or None; takes at most 0.6 s.

    mac is the link's own. Raises HostError where no socket can be had.
    """
    wanted = IPv6Address(address).packed
    try:
        with packets.opened(socket.SOCK_RAW) as tap:
            tap.bind((link, ETHERTYPE_IPV6))
            for _ in range(SOLICITATIONS):
                tap.send(solicitation(mac_bytes(mac), wanted))
                if holder := _listen(tap, time.monotonic() + ANSWER_S, wanted):
                    return holder
    except OSError as error:
        raise HostError(f"{link}: neighbour solicitation for {address}: {error.strerror or error}") from error
    return None


def solicitation(mac: bytes, wanted: bytes) -> bytes:
    """Return the frame that asks for the holder of an address, which then answers to all."""
    group = IPv6Address("ff02::1:ff00:0").packed[:13] + wanted[13:]
    body = struct.pack(">BBHI", SOLICITATION, 0, 0, 0) + wanted
    body = body[:2] + _checksum(bytes(16) + group + struct.pack(">II", len(body), ICMPV6) + body) + body[4:]
    header = struct.pack(">IHBB", 6 << 28, len(body), ICMPV6, 255) + bytes(16) + group
    return b"\x33\x33" + group[12:] + mac + struct.pack(">H", ETHERTYPE_IPV6) + header + body


def _listen(tap: socket.socket, until_s: float, wanted: bytes) -> str | None:
    """Return who advertises the address before the time is up."""
    while (left_s := until_s - time.monotonic()) > 0:
        tap.settimeout(left_s)
        try:
            frame, source = tap.recvfrom(FRAME_MAX_BYTES)
        except TimeoutError:
            return None
        if source[2] != socket.PACKET_OUTGOING and _advertises(frame, wanted):
            return mac_text(frame[6:12])
    return None


def _advertises(frame: bytes, wanted: bytes) -> bool:
    return frame[20:21] == bytes((ICMPV6,)) and frame[54:55] == bytes((ADVERTISEMENT,)) and frame[62:78] == wanted


def _checksum(data: bytes) -> bytes:
    """Return the Internet checksum (RFC 1071) of an even number of bytes."""
    total: int = sum(struct.unpack(f">{len(data) // 2}H", data))
    while total >> 16:
        total = (total & 0xFFFF) + (total >> 16)
    return (~total & 0xFFFF).to_bytes(2, "big")
