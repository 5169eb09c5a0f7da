"""A free address from the pool: probed on the link (RFC 5227) and claimed to the peers before it is planned with."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import replace

from nodeprep.artefacts.ipv4_address import bare
from nodeprep.errors import HostError
from nodeprep.host.arp import arp_holder, arp_holders
from nodeprep.model import Claim, Finding, Profile, Verdict
from nodeprep.observe import presented
from nodeprep.peers.message import Standing
from nodeprep.plan import wanted
from nodeprep.pool import candidates
from nodeprep.run import Run
from nodeprep.steps import Fresh, Situation
from nodeprep.wire import Wire

Spare = Callable[[Claim, str], Awaitable[bool]]
"""Whether no other segment has an address; where none has, it is claimed."""
ASKED_MAX = 256
"""How many addresses are asked for at once by ARP: few in a pool that is mostly free, four times as many at each go."""
CLAIMS_MAX = 16
"""How many of those that nobody answers for are claimed to the peers, each for the time of a probing."""


async def secure_address(
    this: Run,
    fresh: Fresh,
    situation: Situation,
    wire: Wire | None,
    tell: Callable[[str], None],
    spare: Spare | None = None,
) -> Fresh:
    """Return fresh with an address for each family that is to be renewed from the pool and has a free one.

    spare: whether no other segment has it, where that can be asked.
    """
    if situation.address_on_conflict != "pool" or wire is None:
        return fresh
    for family, claim, name in ((4, Claim.IPV4, "ipv4-address"), (6, Claim.IPV6, "ipv6-address")):
        finding = _wanted(this, name)
        held = _held(situation, family, finding) if finding else None
        if finding is None or held is None:
            continue
        profile, old = held
        tell(f"looking for a free {claim.value} in the pool")
        mac_doubled = any(f.subject == "mac" and f.verdict is Verdict.CONFLICT for f in this.findings)
        mac = next((link.mac for link in situation.links if link.name == profile.link and not mac_doubled), fresh.mac)
        tries = 0
        drawn = candidates(this.config.address.pool, old, taken(situation), fresh.seed)
        async for candidate in _unheld(drawn, profile.link or "", mac, claim, wire):
            tries += 1
            if tries > CLAIMS_MAX:
                break
            if not await _free(this, wire, profile.link or "", mac, claim, candidate):
                continue
            if spare is None or await spare(claim, candidate.partition("/")[0]):
                if family == 4:
                    fresh = replace(fresh, ipv4_address=candidate)
                else:
                    fresh = replace(fresh, ipv6_address=candidate)
                break
    return fresh


def taken(situation: Situation) -> frozenset[str]:
    """Return the addresses that this machine bears or is configured with."""
    static = bare(tuple(a for p in situation.profiles for a in (*p.ipv4_addresses, *p.ipv6_addresses)))
    return static | {address.address for link in situation.links for address in link.addresses}


def _wanted(this: Run, name: str) -> Finding | None:
    artefact = next(artefact for artefact in this.artefacts if artefact.name == name)
    finding = next((finding for finding in this.findings if finding.subject == name), None)
    return finding if finding and wanted(artefact, finding, this.decision) else None


def _held(situation: Situation, family: int, finding: Finding) -> tuple[Profile, str] | None:
    """Return the profile in use that sets a doubled address, and that address with its prefix."""
    links = {link.name for link in situation.links}
    for profile in situation.profiles:
        for address in profile.ipv4_addresses if family == 4 else profile.ipv6_addresses:
            if profile.link in links and bare((address,)) & finding.values:
                return profile, address
    return None


async def _unheld(drawn: Iterator[str], link: str, mac: str, claim: Claim, wire: Wire) -> AsyncIterator[str]:
    """Yield those of the candidates that nobody on the link answers for, as far as that can be asked.

    The first is yielded as it is: most pools are mostly free, and whoever claims it asks for it meanwhile. What a peer
    was heard to claim comes last: of many that seek at one time, each has seen what the others are about to take.
    """
    left, asked = list(drawn), 1
    while free := _unclaimed(left, claim, wire)[:asked]:
        left = [each for each in left if each not in free]
        for each in free if asked == 1 else await _unanswered(free, link, mac, claim):
            if _unclaimed((each,), claim, wire):  # still, after others were tried
                yield each
            else:
                left.append(each)
        asked = min(asked * 4, ASKED_MAX)
    for each in await _unanswered(left, link, mac, claim):
        yield each


def _unclaimed(candidates: Sequence[str], claim: Claim, wire: Wire) -> Sequence[str]:
    claimed = wire.claimed(claim, [each.partition("/")[0] for each in candidates])
    return [each for each in candidates if each.partition("/")[0] not in claimed]


async def _unanswered(candidates: Sequence[str], link: str, mac: str, claim: Claim) -> Sequence[str]:
    """Return those of the candidates that no ARP answer tells of; none where none can be asked for."""
    if claim is not Claim.IPV4 or not candidates:
        return candidates
    try:
        held = await asyncio.to_thread(arp_holders, link, mac, [each.partition("/")[0] for each in candidates])
    except HostError:
        return ()
    return [each for each in candidates if each.partition("/")[0] not in held]


async def _free(this: Run, wire: Wire, link: str, mac: str, claim: Claim, candidate: str) -> bool:
    """Whether nobody on the link has the address and no peer claims it; afterwards it is claimed by us."""
    address = candidate.partition("/")[0]
    claims = presented(this.artefacts, this.machine, this.observation)
    own = {kind: values - this.contested.get(kind, frozenset()) for kind, values in claims.items()}
    own[claim] = own.get(claim, frozenset()) | {address}
    try:
        # IPv6 has duplicate address detection of its own (RFC 4862), done when the address is set.
        probe = asyncio.to_thread(arp_holder, link, mac, address) if claim is Claim.IPV4 else asyncio.sleep(0)
        holder, contest = await asyncio.gather(probe, wire.probe(own, Standing.PROBING, seeking=True))
    except HostError:
        return False
    return not holder and not contest.lost.get(claim) and not contest.disputed.get(claim)
