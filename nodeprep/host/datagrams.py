"""Datagrams of our own to peers beyond routers: a UDP socket of one family (udp(7), ip(7), ipv6(7)).

The kernel drops an IPv4 packet whose source is one of its own addresses, so two machines that have one address never
hear each other here; on a segment the packet sockets (frames) do.
"""

from __future__ import annotations

import socket

from nodeprep.errors import HostError
from nodeprep.host import bpf
from nodeprep.peers.examination import MAGIC as EXAMINATION
from nodeprep.peers.message import FRAME_MIN_BYTES, MAGIC, PAYLOAD_MAX_BYTES

FAMILIES = {4: socket.AF_INET, 6: socket.AF_INET6}
UDP_HEADER_BYTES = 8
DATAGRAM_MAX_BYTES = 2048


class DatagramSocket:
    """A non-blocking socket for one version of IP, on all addresses of the machine.

    The kernel hands over what bears our magic and a length that a message can have. Raises HostError where the port is
    taken.
    """

    def __init__(self, version: int, port: int) -> None:
        self.version, self.port = version, port
        try:
            self._socket = opened = socket.socket(
                FAMILIES[version], socket.SOCK_DGRAM | socket.SOCK_NONBLOCK | socket.SOCK_CLOEXEC
            )
        except OSError as error:
            raise HostError(f"peers.unicast: IPv{version}: {error.strerror}") from error
        try:
            bpf.attach(opened, own_datagrams())
            if version == 6:
                opened.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
            opened.bind(("", port))
        except OSError as error:
            opened.close()
            raise HostError(f"peers.port: {port}/udp, IPv{version}: {error.strerror}") from error

    def fileno(self) -> int:
        """Return the descriptor, for an event loop."""
        return self._socket.fileno()

    def send(self, payload: bytes, address: str, port: int) -> None:
        """Send a payload; where there is no way, or a full queue, it is lost as on a wire."""
        try:
            self._socket.sendto(payload, (address, port))
        except OSError:
            pass

    def receive(self) -> tuple[bytes, str, int] | None:
        """Return the next payload, and its sender's address and port, or None where there is none."""
        try:
            payload, source = self._socket.recvfrom(DATAGRAM_MAX_BYTES)
        except OSError:
            return None
        return payload, source[0], source[1]

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def speaks(version: int) -> bool:
    """Whether this machine has that version of IP at all."""
    try:
        socket.socket(FAMILIES[version], socket.SOCK_DGRAM).close()
    except OSError:
        return False
    return True


def own_datagrams() -> bpf.Program:
    """Return the filter for messages of ours; a filter of a UDP socket sees the UDP header first."""
    program = bpf.Program()
    program.load(UDP_HEADER_BYTES, 4).equal(int.from_bytes(MAGIC, "big"), yes="length", no="")
    program.equal(int.from_bytes(EXAMINATION, "big")).label("length")
    return program.load(UDP_HEADER_BYTES + 5, 2).within(FRAME_MIN_BYTES, PAYLOAD_MAX_BYTES).fits().accept()


def source_towards(address: str, port: int) -> str | None:
    """Return the address that this machine sends from to that one, or None where there is no way; sends nothing."""
    with socket.socket(FAMILIES[6 if ":" in address else 4], socket.SOCK_DGRAM) as asked:
        try:
            asked.connect((address, port))
        except OSError:
            return None
        return str(asked.getsockname()[0])
