"""Strangers: frames that show a machine without nodeprep which bears an address of ours.

An ARP packet from another MAC with one of our IPv4 addresses as its sender (RFC 5227, 2.4), and a frame to all that
comes from outside with our own MAC as its source. (Frames to one receiver would not be brought to us by a switch.)
"""

from __future__ import annotations

import socket
import struct
from collections.abc import Collection
from ipaddress import IPv4Address

from nodeprep.errors import HostError
from nodeprep.host import bpf, packets
from nodeprep.host.arp import ARP, ETHERTYPE_ARP
from nodeprep.host.frames import FRAME_MAX_BYTES, ignore_outgoing, mac_bytes, mac_text
from nodeprep.model import Sighting
from nodeprep.peers.message import ETHERTYPE

ETH_P_ALL = 0x0003
VRRP_MACS = (bytes.fromhex("00005e0001"), bytes.fromhex("00005e0002"))
"""RFC 5798, 7.3: the MAC of a virtual router is nobody's own, and moves with its address."""
ADDRESSES_MAX = 64
"""So many of a link's addresses fit into a filter whose jumps are a byte wide."""


class StrangerSocket:
    """A non-blocking socket that hears strangers on one link, and nothing else.

    Raises HostError where the link is not there or we may not open it.
    """

    def __init__(self, link: str, mac: str, addresses: Collection[str], own_macs: Collection[str]) -> None:
        self.link = link
        self._mac = mac_bytes(mac)
        self._addresses = frozenset(IPv4Address(address).packed for address in sorted(addresses)[:ADDRESSES_MAX])
        self._own = frozenset(mac_bytes(each) for each in own_macs)
        try:
            index = socket.if_nametoindex(link)
            self._socket = opened = packets.opened(socket.SOCK_RAW)
        except OSError as error:
            raise HostError(f"{link}: packet socket: {error.strerror}") from error
        try:
            opened.setblocking(False)
            bpf.attach(opened, strangers(index, self._mac, self._addresses))
            ignore_outgoing(opened)
            opened.bind((link, ETH_P_ALL))
        except (OSError, HostError) as error:
            opened.close()
            raise HostError(f"{link}: packet socket: {error}") from error

    def fileno(self) -> int:
        """Return the descriptor, for an event loop."""
        return self._socket.fileno()

    def receive(self) -> tuple[Sighting, ...] | None:
        """Return what the next frame shows, which may be nothing, or None where there is no frame."""
        try:
            frame = self._socket.recv(FRAME_MAX_BYTES)
        except OSError:
            return None
        return self.read(frame)

    def read(self, frame: bytes) -> tuple[Sighting, ...]:
        """Return what a frame from outside shows."""
        if len(frame) < 14:
            return ()
        found = []
        if frame[6:12] == self._mac and frame[0] & 1:
            found.append(Sighting("mac", mac_text(self._mac), self.link, mac_text(self._mac)))
        if frame[12:14] == ETHERTYPE_ARP.to_bytes(2, "big") and len(frame) >= 14 + ARP.size:
            _, _, _, _, _, sender_mac, sender_ip, _, _ = ARP.unpack_from(frame, 14)
            foreign = sender_mac not in self._own and not sender_mac.startswith(VRRP_MACS)
            if foreign and sender_ip in self._addresses:
                found.append(Sighting("ipv4", str(IPv4Address(sender_ip)), self.link, mac_text(sender_mac)))
        return tuple(found)

    def close(self) -> None:
        """Close the socket."""
        self._socket.close()


def strangers(index: int, mac: bytes, addresses: Collection[bytes]) -> bpf.Program:
    """Return the filter for what strangers send; frames of a VLAN on top of the link belong to the VLAN's socket."""
    program = bpf.Program()
    program.load(bpf.PKTTYPE, 4).equal(socket.PACKET_OUTGOING, yes="drop", no="")
    program.load(bpf.IFINDEX, 4).equal(index)
    program.load(bpf.VLAN_TAG_PRESENT, 4).equal(0)
    program.load(12, 2).equal(ETHERTYPE, yes="drop", no="").equal(ETHERTYPE_ARP, no="mac")
    program.load(28, 4)
    for address in sorted(addresses):
        program.equal(*struct.unpack(">I", address), yes="accept", no="")
    program.label("mac").load(0, 1).any_bit(1)
    program.load(6, 4).equal(int.from_bytes(mac[:4], "big"))
    program.load(10, 2).equal(int.from_bytes(mac[4:], "big"))
    return program.label("accept").accept()
