"""Doctor: is this node reachable as its roles need it? Asked of a peer, not of our own rules.

A rule set can only say what it would do. A packet that a peer sends, and that does or does not come, is proof; and
whether it came to the link before it was lost tells a filter of this machine from one on the path.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from nodeprep import checks, config, fleetkey, preview
from nodeprep.checkup import Report
from nodeprep.diagnosis import Proof, Proved, prove, ranges_of
from nodeprep.errors import NodeprepError
from nodeprep.examinee import Examined, Examinee, Offer
from nodeprep.host.bus import Bus
from nodeprep.host.files import Files
from nodeprep.host.firewall.iptables import Iptables
from nodeprep.host.firewall.nftables import Nftables
from nodeprep.host.firewall.refusals import Refusals
from nodeprep.host.firewall.ufw import Ufw
from nodeprep.host.reach import source_address
from nodeprep.model import Link, Opening
from nodeprep.openings import PEERS, openings_of
from nodeprep.peers.examination import PROBES_MAX, RANGES_MAX, Range
from nodeprep.peers.rules import UNICAST


@dataclass(frozen=True, slots=True)
class Request:
    """What is asked for."""

    whole: bool = False
    """Every port of the wide ranges, not samples."""
    peers: tuple[str, ...] = ()
    """The MACs of those that are asked; whoever answers where there are none."""


async def examine(request: Request, status: dict[str, Any] | None, progress: Callable[[int, int], None]) -> Report:
    """Look at this node, whose status document is given, and have it tried by its peers. Raises NodeprepError."""
    machine = await preview.view()
    settings = config.load(machine)
    # Our own port answers nobody but peers; that they are heard is its proof.
    openings = tuple(opening for opening in openings_of(machine, settings) if opening.role != PEERS)
    keys = fleetkey.fleet_keys(machine)
    links = machine.links()
    addresses = {address.address for link in links for address in link.addresses}
    backend = status["openings"]["backend"] if status else "nftables"
    report = Report(machine.hostname(), backend)
    report.not_tried = [opening for opening in openings if opening.protocol not in ("tcp", "udp")]
    report.checks = [
        checks.identity(status),
        checks.links_up(links),
        checks.default_route(machine),
        await asyncio.to_thread(checks.own_name, report.hostname, addresses),
        await asyncio.to_thread(checks.clock),
    ]
    if not keys:
        raise NodeprepError("without a fleet key no peer can be asked; see `nodeprep explain no-fleet-key`")
    routed = (replace(one, port=one.port or settings.peers.port) for one in settings.peers.endpoints)
    examinee = Examinee(keys, links, routed)
    try:
        for offer in _chosen(await examinee.find(), request.peers):
            report.peers.append(offer.name)
            for address in _addresses(links, offer):
                try:
                    await _try(report, examinee, offer, address, openings, request, progress)
                except NodeprepError as error:
                    report.unheard.append(str(error))
    finally:
        examinee.close()
    missing = set(request.peers) - set(report.peers)
    report.unheard += [f"{peer} does not answer" for peer in sorted(missing)]
    if not report.peers and not missing:
        report.unheard.append("no peer answers: the openings were not tried")
    if blocked := [proved for proved, proof, _ in report.faults if proof is Proof.HERE]:
        report.closed_by = await closing(blocked, links)
    return report


async def _try(
    report: Report, examinee: Examinee, offer: Offer, address: str, openings: Sequence[Opening], request: Request,
    progress: Callable[[int, int], None],
) -> None:  # fmt: skip
    """Have one peer try one address, and add what it proves. Raises NodeprepError."""
    for ranges in _parts(ranges_of(openings, whole=request.whole)):
        found = await examinee.ask(offer, address, report.hostname, ranges, progress)
        report.proved += prove(openings, found.tries, address, offer.name, found.peer_address)
    _add_name(report, found)


def _add_name(report: Report, found: Examined) -> None:
    check = checks.leads_home(
        f"name at {found.by.name}", report.hostname, [found.found] if found.found else [], {found.address}
    )
    if check.name not in {each.name for each in report.checks}:
        report.checks.append(check)


def _parts(ranges: Iterable[Range]) -> list[tuple[Range, ...]]:
    """Return the ranges in portions of one examination each."""
    parts: list[tuple[Range, ...]] = []
    part: list[Range] = []
    for each in ranges:
        if part and (len(part) == RANGES_MAX or sum(len(r.ports) for r in (*part, each)) > PROBES_MAX):
            parts.append(tuple(part))
            part = []
        part.append(each)
    return [*parts, tuple(part)] if part else parts


def _chosen(offers: Sequence[Offer], named: Sequence[str]) -> tuple[Offer, ...]:
    """Return the peers that are named, or else one for each link."""
    if named:
        return tuple(offer for offer in offers if offer.name in named)
    return tuple({offer.source.link: offer for offer in reversed(offers)}.values())


def _addresses(links: Iterable[Link], offer: Offer) -> list[str]:
    """Return the first address of each family on the link that leads to a peer, or what leads beyond a router."""
    if offer.source.link == UNICAST:
        return [source] if (source := source_address(offer.source.address)) else []
    link = next(link for link in links if link.name == offer.source.link)
    usable = [a for a in link.own_addresses if a.scope == "global" and not a.dad_failed]
    return [next(a.address for a in usable if a.version == version) for version in sorted({a.version for a in usable})]


async def closing(blocked: Iterable[Proved], links: Iterable[Link]) -> dict[Proved, tuple[tuple[str, str], ...]]:
    """Return who of this machine closes these openings to the peer that tried them, and what mends it."""
    over = {address.address: link.name for link in links for address in link.addresses}
    found: dict[Proved, tuple[tuple[str, str], ...]] = {}
    try:
        async with Bus() as bus:
            iptables = Iptables()
            refusals = Refusals(bus, Ufw(Files("doctor"), iptables), iptables, Nftables())
            for each in blocked:
                told = await refusals.of(each.opening, each.peer, over[each.address], each.address)
                found[each] = tuple((refusal.by, refusal.remedy) for refusal in told)
    except NodeprepError:
        return found  # what arrived and was lost is a fault, whoever it was
    return found
