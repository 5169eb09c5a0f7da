"""Endpoints of peers beyond routers: an address, and the UDP port where it is not the usual one. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network

DEFAULT_PORT = 7877
NAT_OF_HYPERVISORS = ip_network("10.0.2.0/24")
"""Of VirtualBox and of QEMU's user network: the guest is 10.0.2.15 on every host."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a peer listens; port 0 stands for the one that this machine listens on."""

    address: str
    port: int = 0

    def __str__(self) -> str:
        return f"[{self.address}]:{self.port}" if self.version == 6 else f"{self.address}:{self.port}"

    @property
    def version(self) -> int:
        """Of the Internet Protocol: 4 or 6."""
        return 6 if ":" in self.address else 4


def parse_endpoint(text: str) -> Endpoint:
    """Return the endpoint of "10.1.2.3", "10.1.2.3:7877", "fd00::5" or "[fd00::5]:7877". Raises ValueError."""
    host, port = text, ""
    if text.startswith("["):
        host, bracket, rest = text[1:].partition("]")
        if not bracket or (rest and not rest.startswith(":")):
            raise ValueError(f"{text!r} has a bracket that is not closed, or more behind it than a port")
        port = rest
    elif text.count(":") == 1:
        host, colon, port = text.partition(":")
        port = f"{colon}{port}"
    return Endpoint(_address(host), _port(port[1:]) if port else 0)


def _port(text: str) -> int:
    if not text.isascii() or not text.isdecimal() or not 1 <= int(text) <= 65535:
        raise ValueError(f"{text!r} is no port")
    return int(text)


def _address(text: str) -> str:
    """Return an address that one machine beyond a router can have, in its canonical spelling. Raises ValueError."""
    try:
        address = ip_address(text)
    except ValueError:
        raise ValueError(f"{text!r} is no address; a name would be somebody else's word for one") from None
    if isinstance(address, IPv6Address) and address.ipv4_mapped:
        raise ValueError(f"{text!r}: write {address.ipv4_mapped}")
    if address.is_multicast or address.is_unspecified or address.is_loopback or address.is_link_local:
        raise ValueError(f"{text!r} is no address that a peer beyond a router can have")
    if text == "255.255.255.255":
        raise ValueError(f"{text!r} is broadcast")
    return str(address)


def is_private_to_a_host(address: str) -> bool:
    """Whether every hypervisor of a kind gives its guests that address, on a network that ends in it."""
    return ip_address(address) in NAT_OF_HYPERVISORS
