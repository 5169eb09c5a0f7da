"""Presence: what this machine presents to its peers, as claims: under which keys, and on which links each is its alone.

A MAC and an address are unique on their segment, and presented on the links that bear them. A static address of a link
that leads to peers beyond routers is unique among those as well.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import replace

from nodeprep.endpoint import is_private_to_a_host
from nodeprep.model import CONFINED, Claim, Link, Values
from nodeprep.peers import message as codec
from nodeprep.peers.keyring import Keyring
from nodeprep.peers.rules import UNICAST

Presented = Mapping[codec.Claim, tuple[Claim, str]]


class Presence:
    """The claims of now, and the value that each stands for."""

    def __init__(self, keyring: Keyring) -> None:
        self.keyring = keyring
        self.links: tuple[Link, ...] = ()
        self._values: dict[codec.Claim, tuple[Claim, str]] = {}

    def encode(
        self, claims: Mapping[Claim, Values], sources: frozenset[str], *, besides: bool = False
    ) -> frozenset[codec.Claim]:
        """Return claims in place of the former ones, or besides them. sources: what peers beyond routers see us as."""
        encoded: dict[codec.Claim, tuple[Claim, str]] = {}
        routable = self._routable(sources)
        for claim, values in claims.items():
            for value in values:
                one = self.keyring.claim(codec.ClaimKind[claim.name], value)
                places = self._bearing(value) if claim in CONFINED else ()
                places += (UNICAST,) if places and value in routable else ()
                encoded |= {replace(one, link=link): (claim, value) for link in places or ("",)}
        self._values = {**(self._values if besides else {}), **encoded}
        return frozenset(encoded)

    def values(self, claims: Iterable[codec.Claim]) -> dict[Claim, Values]:
        """Return which of our values these claims stand for."""
        found: dict[Claim, Values] = {}
        for one in claims:
            if one in self._values:
                claim, value = self._values[one]
                found[claim] = found.get(claim, frozenset()) | {value}
        return found

    def _bearing(self, value: str) -> tuple[str, ...]:
        """Return the links that bear a MAC or an address; one that none bears yet may come on any of them."""
        return tuple(
            link.name
            for link in self.links
            if value == link.mac or any(value == address.address for address in link.addresses)
        )

    def _routable(self, sources: frozenset[str]) -> frozenset[str]:
        """Return the static addresses of links that lead to peers beyond routers.

        On other links they are of networks that end there, of which every site may have the same.
        """
        leading = (link for link in self.links if any(each.address in sources for each in link.addresses))
        return frozenset(
            each.address
            for link in leading
            for each in link.own_addresses
            if not each.dynamic and each.scope == "global" and not is_private_to_a_host(each.address)
        )
