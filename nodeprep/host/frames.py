"""Frames of our own on the links: packet sockets (packet(7)).

An IP socket will not do. The kernel drops an IPv4 packet whose source is a local address, so two machines with one
address never hear each other; packet sockets tap before that check.
"""

from __future__ import annotations

import socket

from nodeprep.errors import HostError
from nodeprep.host import bpf, packets
from nodeprep.peers.message import FRAME_MIN_BYTES, MAGIC, PAYLOAD_MAX_BYTES

BROADCAST = b"\xff" * 6
SOL_PACKET = 263  # linux/if_packet.h; not in the socket module
PACKET_IGNORE_OUTGOING = 23
FRAME_MAX_BYTES = 2048


class LinkSocket:
    """A non-blocking socket for one EtherType on one link, and of that for one of our magics.

    The kernel hands over what came from outside, bears the magic and is as long as it says. A version is not filtered:
    that there are peers of another one is worth counting. Frames of a VLAN on top of the link, which a socket on the
    link would get as well, are left to the VLAN's own. Raises HostError where the link is not there or we may not open
    it.
    """

    def __init__(self, link: str, ethertype: int, magic: bytes = MAGIC) -> None:
        self.link = link
        self._ethertype = ethertype
        try:
            self.index = socket.if_nametoindex(link)
            self._socket = opened = packets.opened(socket.SOCK_DGRAM)
        except OSError as error:
            raise HostError(f"{link}: packet socket: {error.strerror}") from error
        try:
            opened.setblocking(False)
            bpf.attach(opened, own_frames(self.index, magic))
            ignore_outgoing(opened)
            opened.bind((link, ethertype))
        except (OSError, HostError) as error:
            opened.close()
            raise HostError(f"{link}: packet socket: {error}") from error

    def fileno(self) -> int:
        """Return the descriptor, for an event loop."""
        return self._socket.fileno()

    def send(self, payload: bytes, to: bytes = BROADCAST) -> None:
        """Send a payload to a MAC, or to all; a link that is down, or a full queue, loses it as a wire would."""
        try:
            self._socket.sendto(payload, (self.link, self._ethertype, 0, 0, to))
        except OSError:
            pass

    def receive(self) -> tuple[bytes, str] | None:
        """Return the next payload from outside and its sender's MAC, or None where there is none."""
        try:
            payload, address = self._socket.recvfrom(FRAME_MAX_BYTES)
        except OSError:
            return None
        return payload, mac_text(address[4])

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def own_frames(index: int, magic: bytes = MAGIC) -> bpf.Program:
    """Return the filter for frames of that magic on the link of that index; offsets are those of the payload."""
    program = bpf.Program()
    program.load(bpf.PKTTYPE, 4).equal(socket.PACKET_OUTGOING, yes="drop", no="")
    program.load(bpf.IFINDEX, 4).equal(index)
    program.load(0, 4).equal(int.from_bytes(magic, "big"))
    return program.load(5, 2).within(FRAME_MIN_BYTES, PAYLOAD_MAX_BYTES).fits().accept()


def ignore_outgoing(opened: socket.socket) -> None:
    """Have the kernel spare us, and every frame that this machine sends, a copy for the socket."""
    try:
        opened.setsockopt(SOL_PACKET, PACKET_IGNORE_OUTGOING, 1)
    except OSError:
        pass  # before Linux 4.20; the filter drops them


def mac_text(mac: bytes) -> str:
    """Return a MAC as people write it, in lower case."""
    return ":".join(f"{octet:02x}" for octet in mac)


def mac_bytes(mac: str) -> bytes:
    """Return a MAC as frames bear it."""
    return bytes.fromhex(mac.replace(":", ""))
