"""Guard: what a machine that said READY defends, and what it presents besides.

A link or an address that comes later, whoever brought it, is probed before it is called this machine's own. Until
nobody contests it, it is not defended, and a peer that has it keeps it: nothing is renewed after READY.
"""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from functools import partial

from nodeprep.errors import HostError
from nodeprep.host.arp import arp_holder
from nodeprep.model import Claim, Link, Sighting, Values
from nodeprep.wire import Wire

RETRY_S = 30.0
"""How often what is contested is probed again."""

Claims = Mapping[Claim, Values]


class Guard:
    """One machine's guard, from READY on.

    `contested` is what of the new somebody else has, `holders` who of these has no nodeprep.
    """

    def __init__(self, wire: Wire, defended: Claims) -> None:
        self._wire = wire
        self._defended: Claims = defended
        self._tried: Claims = {}
        self._tried_s = 0.0
        self.contested: dict[Claim, Values] = {}
        self.holders: tuple[Sighting, ...] = ()

    async def follow(self, claims: Claims, links: Collection[Link], appeared: Collection[str]) -> bool:
        """Probe what is new, and say what is presented on links that appeared; whether anything came of it."""
        if appeared:
            self._wire.remind()
        new = less(claims, self._defended)
        if not new:
            changed = dict(claims) != dict(self._defended) or bool(self.contested)
            if changed:
                self._settle(claims)
            return changed
        if new == self._tried and not appeared and self._wire.now < self._tried_s + RETRY_S:
            return False
        kept = less(self._defended, less(self._defended, claims))
        if kept != dict(self._defended):
            self._settle(kept)
        contest, holders = await asyncio.gather(
            self._wire.probe_newcomers(new), foreign_holders(links, new.get(Claim.IPV4, frozenset()))
        )
        self._tried, self._tried_s = new, self._wire.now
        if contest.clear and not holders:
            self._settle(claims)
            return True
        before = self.contested, self.holders
        self.contested = {**contest.lost, **contest.disputed}
        self.holders = () if self.contested else holders
        if self.holders:
            self.contested = {Claim.IPV4: frozenset(holder.value for holder in self.holders)}
        return (self.contested, self.holders) != before

    def _settle(self, claims: Claims) -> None:
        self._defended = dict(claims)
        self._tried, self.contested, self.holders = {}, {}, ()
        self._wire.amend(claims)


def less(claims: Claims, known: Claims) -> dict[Claim, Values]:
    """Return what of the claims is not among the known ones."""
    rest = {claim: values - known.get(claim, frozenset()) for claim, values in claims.items()}
    return {claim: values for claim, values in rest.items() if values}


async def foreign_holders(
    links: Collection[Link], addresses: Values | None = None, *, established: bool = False
) -> tuple[Sighting, ...]:
    """Return who without nodeprep answers for our static IPv4 addresses, or for these only (RFC 5227, 2.1).

    established: they are this machine's, and a probe for one is nobody's answer.
    """
    asked = [
        (link, address.address)
        for link in links
        for address in link.own_addresses
        if link.speaks and address.version == 4 and not address.dynamic
        if addresses is None or address.address in addresses
    ]
    probe = partial(arp_holder, established=established)
    probes = (asyncio.to_thread(probe, link.name, link.mac, address) for link, address in asked)
    answers = await asyncio.gather(*probes, return_exceptions=True)
    for answer in answers:
        # A link that went away meanwhile is looked at again when it comes back.
        if isinstance(answer, BaseException) and not isinstance(answer, HostError):
            raise answer
    return tuple(
        Sighting("ipv4", address, link.name, answer)
        for (link, address), answer in zip(asked, answers, strict=True)
        if isinstance(answer, str)
    )
