"""Pools of addresses: ranges that a renewed static address is taken from. Pure."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv6Address, ip_address, ip_interface, ip_network
from math import gcd

POOL_LIMIT = 65536
CANDIDATES_MAX = 512

Address = IPv4Address | IPv6Address


@dataclass(frozen=True, slots=True)
class Pool:
    """A range of addresses, both ends included."""

    first: Address
    last: Address

    def __str__(self) -> str:
        return f"{self.first}-{self.last}"

    def __len__(self) -> int:
        return int(self.last) - int(self.first) + 1


def parse_pool(text: str) -> Pool:
    """Return the pool of "FIRST-LAST" or of a CIDR, without its network and broadcast addresses. Raises ValueError."""
    first_text, dash, last_text = text.partition("-")
    if dash:
        first, last = ip_address(first_text.strip()), ip_address(last_text.strip())
        if first.version != last.version or int(first) > int(last):
            raise ValueError(f"{text!r} does not run from a lower to a higher address")
    else:
        network = ip_network(text, strict=True)
        first, last = network[0], network[-1]
        if network.num_addresses > 2:
            first, last = first + 1, last - 1
    if int(last) - int(first) >= POOL_LIMIT:
        raise ValueError(f"{text!r} has more than {POOL_LIMIT} addresses")
    return Pool(first, last)


def candidates(pools: Sequence[Pool], old: str, excluded: frozenset[str], salt: bytes) -> Iterator[str]:
    """Yield addresses as ADDRESS/PREFIX from the pools, of the network that the old one is in, CANDIDATES_MAX at most.

    Their order is the salt's: twins do not all try the first one, and do not meet at the end of those that are taken.
    """
    network = ip_interface(old).network
    ends = network.version == 4 and network.prefixlen < 31
    nobodys = (network.network_address, network.broadcast_address) if ends else ()
    usable = [pool for pool in pools if pool.first.version == network.version]
    size = sum(len(pool) for pool in usable)
    if not size:
        return
    digest = hashlib.blake2s(salt, digest_size=16).digest()
    start, stride = int.from_bytes(digest[:8], "big"), int.from_bytes(digest[8:], "big") % size or 1
    while gcd(stride, size) > 1:
        stride += 1
    found = 0
    for number in range(size):
        place = (start + number * stride) % size
        for pool in usable:
            if place < len(pool):
                break
            place -= len(pool)
        address = ip_address(int(pool.first) + place)
        if address in network and address not in nobodys and str(address) not in excluded:
            yield f"{address}/{network.prefixlen}"
            found += 1
            if found == CANDIDATES_MAX:
                return
