"""Watch: what the links tell while nothing else happens: that a stranger bears an address of ours.

It reads, announces our static addresses by ARP (RFC 5227, 2.3 and 2.4), and lets peers have their openings tried; what
is to be done about news is its caller's.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Coroutine, Iterable, Sequence
from typing import Any

from nodeprep.errors import HostError
from nodeprep.examiner import Examiner
from nodeprep.host.arp import arp_announce, arp_holder
from nodeprep.host.neighbour import neighbour_holder
from nodeprep.host.strangers import StrangerSocket
from nodeprep.model import Link, LinkAddress, Sighting
from nodeprep.peers.strangers import SETTLE_S, Stranger, Strangers
from nodeprep.report import Problem
from nodeprep.wire import Wire

RFC5227_ANNOUNCE_NUM = 2
RFC5227_ANNOUNCE_INTERVAL_S = 2.0
SIGHTINGS_PER_WAKE = 16
REST_S = 1.0
ASKED_MAX = 4
"""Strangers that are asked, at each look, whether they are still there."""


class Watch:
    """The links of a machine, watched until `close`; `wake` is called when it is worth while to look at once."""

    def __init__(self, wire: Wire, wake: Callable[[], None], examiner: Examiner) -> None:
        self._loop = asyncio.get_running_loop()
        self._wire = wire
        self._wake = wake
        self._examiner = examiner
        self._strangers = Strangers()
        self._sockets: dict[str, tuple[StrangerSocket, object]] = {}
        self._links: tuple[Link, ...] = ()
        self._defends = False
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def is_calm(self) -> bool:
        """Whether no stranger is there of whom more might be heard, and no address is called a duplicate."""
        return not self._strangers.seen(self._wire.now) and not any(
            address.dad_failed for link in self._links for address in link.addresses
        )

    def close(self) -> None:
        """Stop, the examiner too."""
        self._examiner.close()
        for name in tuple(self._sockets):
            self._drop(name)
        for task in self._tasks:
            task.cancel()

    def follow(self, links: Sequence[Link], *, defends: bool) -> None:
        """Watch these links from now on; defends: what is contested is ours, and is announced."""
        self._links, self._defends = tuple(links), defends
        self._examiner.listen(links)
        own = frozenset(mac for link in links for mac in (link.mac, link.permanent_mac) if mac)
        wanted = {link.name: (link.index, link.mac, _held(link), own) for link in links if link.speaks}
        for name, (_, before) in tuple(self._sockets.items()):
            if wanted.get(name) != before:
                self._drop(name)
        for link in links:
            if link.name in wanted and link.name not in self._sockets:
                try:
                    opened = StrangerSocket(link.name, link.mac, _held(link), own)
                except HostError:
                    continue
                self._sockets[link.name] = (opened, wanted[link.name])
                self._loop.add_reader(opened.fileno(), self._hear_stranger, opened)
        held = {(link.name, value) for link in links for value in (link.mac, *(a.address for a in link.addresses))}
        self._strangers.keep(frozenset(held))

    def announce(self, links: Iterable[Link]) -> None:
        """Announce the static addresses of these links as ours."""
        self._start(self._announce([(link, address) for link in links if link.speaks for address in _static(link)]))

    async def ask(self) -> None:
        """Ask those strangers of whom nothing was heard lately, and whoever holds what the kernel calls a duplicate."""
        failed = [(link, a) for link in self._links if link.speaks for a in link.addresses if a.dad_failed]
        for link, address in failed[:ASKED_MAX]:
            await self._ask_neighbour(link, address)
        now = self._wire.now
        silent = [each for each in self._strangers.seen(now) if now >= each.last_s + SETTLE_S]
        for stranger in [each for each in silent if each.sighting.kind == "ipv4"][:ASKED_MAX]:
            await self._ask_stranger(stranger)

    def problems(self, told: Collection[str]) -> tuple[Problem, ...]:
        """Return what is to be said of the strangers that are there to stay, beyond the values that are told of."""
        contesting = [peer for peer in self._wire.census.peers if peer.contested]
        contested = {kind.name.lower() for peer in contesting for kind in peer.contested}
        places = {
            place(kind.name.lower(), source.link, source.address)
            for peer in contesting
            for kind in peer.contested
            for source in peer.sources
        }
        self._strangers.forget(lambda sighting: place(sighting.kind, sighting.link, sighting.mac) in places)
        echoes = {link: last_s for link, (_, last_s) in self._wire.census.echoes.items()}
        return tuple(
            problem_of(stranger.sighting)
            for stranger in self._strangers.settled(self._wire.now, echoes)
            if stranger.sighting.value not in told
            and stranger.sighting.kind not in contested  # a peer of ours, of whom the census tells
        )

    # Strangers

    def _hear_stranger(self, link: StrangerSocket) -> None:
        for _ in range(SIGHTINGS_PER_WAKE):
            sightings = link.receive()
            if sightings is None:
                return
            for sighting in sightings:
                self._see(sighting)
        # A storm: what was seen is enough for the report.
        self._loop.remove_reader(link.fileno())
        self._loop.call_later(REST_S, self._resume, link)

    def _resume(self, link: StrangerSocket) -> None:
        if link.link in self._sockets and self._sockets[link.link][0] is link:
            self._loop.add_reader(link.fileno(), self._hear_stranger, link)

    def _see(self, sighting: Sighting) -> None:
        now = self._wire.now
        if not any(stranger.sighting == sighting for stranger in self._strangers.seen(now)):
            self._loop.call_later(SETTLE_S + 1.0, self._wake)
            if sighting.kind == "mac":
                self._wire.remind()  # if that comes back to us, so did this
        link = next((link for link in self._links if link.name == sighting.link), None)
        due = self._strangers.see(now, sighting) and self._defends
        if due and link and sighting.value in _static(link):
            self._start(self._announce([(link, sighting.value)], times=1))

    async def _announce(self, held: Sequence[tuple[Link, str]], times: int = RFC5227_ANNOUNCE_NUM) -> None:
        for number in range(times):
            if number:
                await asyncio.sleep(RFC5227_ANNOUNCE_INTERVAL_S)
            for link, address in held:
                try:
                    await asyncio.to_thread(arp_announce, link.name, link.mac, address)
                except HostError:
                    continue  # a link that has gone has nobody to tell

    async def _ask_stranger(self, stranger: Stranger) -> None:
        sighting = stranger.sighting
        link = next((link for link in self._links if link.name == sighting.link), None)
        if link:
            try:
                holder = await asyncio.to_thread(arp_holder, link.name, link.mac, sighting.value)
            except HostError:
                return
            if holder:
                self._strangers.see(self._wire.now, Sighting("ipv4", sighting.value, sighting.link, holder))

    async def _ask_neighbour(self, link: Link, address: LinkAddress) -> None:
        try:
            holder = await asyncio.to_thread(neighbour_holder, link.name, link.mac, address.address)
        except HostError:
            return
        if holder:  # else it has gone: what failed once stays marked until the address is set again
            self._strangers.see(self._wire.now, Sighting("ipv6", address.address, link.name, holder))

    def _drop(self, name: str) -> None:
        gone, _ = self._sockets.pop(name)
        self._loop.remove_reader(gone.fileno())
        gone.close()

    def _start(self, work: Coroutine[Any, Any, None]) -> None:
        task = self._loop.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def place(kind: str, link: str, mac: str) -> tuple[str, str, str]:
    """Return where somebody who has a value of ours is. Who says that it has our MAC may bear another by now."""
    return kind, link, "" if kind == "mac" else mac


def problem_of(sighting: Sighting) -> Problem:
    """Return what is said of a stranger."""
    if sighting.kind == "mac":
        detail = f"{sighting.value} on {sighting.link}: frames from outside bear it"
        return Problem("mac-in-use", "mac", detail)
    subject = f"{sighting.kind}-address"
    detail = f"{sighting.value} on {sighting.link}: {sighting.mac} answers for it too"
    return Problem("address-in-use", subject, detail)


def with_holders(problems: Sequence[Problem], holders: Sequence[Sighting]) -> list[Problem]:
    """Return the problems, with strangers for what was laid to a peer because somebody answered for it."""
    if not holders:
        return list(problems)
    rest = [each for each in problems if (each.subject, each.code) != ("ipv4-address", "conflict")]
    return [*(problem_of(holder) for holder in holders), *rest]


def _held(link: Link) -> tuple[str, ...]:
    return tuple(a.address for a in link.own_addresses if a.version == 4)


def _static(link: Link) -> tuple[str, ...]:
    return tuple(a.address for a in link.own_addresses if a.version == 4 and not a.dynamic)
