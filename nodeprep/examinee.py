"""Examinee: the side that asks: who of the peers would try our openings, and what came of it.

It opens what nobody else has open for that moment, and notes what arrives, so that a silence can be told from a loss.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace

from nodeprep.diagnosis import Try
from nodeprep.endpoint import Endpoint
from nodeprep.errors import NodeprepError
from nodeprep.host.arrivals import Arrivals
from nodeprep.host.datagrams import DatagramSocket
from nodeprep.host.listeners import Listeners
from nodeprep.model import Link
from nodeprep.patience import within
from nodeprep.peers.examination import (
    HERE_MAX_BYTES,
    MAGIC,
    Ask,
    Body,
    Here,
    Range,
    Result,
    State,
    Told,
    Who,
    decode,
    encode,
    next_stamp,
)
from nodeprep.peers.message import NONCE_BYTES, BadFrame
from nodeprep.peers.rules import UNICAST, Source
from nodeprep.segments import Intake, Segments

FIND_S = 0.8
AGAIN_S = 0.25
DEAF_S = 5.0
"""A peer that says nothing for so long has gone."""
BUSY_S = 60.0


@dataclass(frozen=True, slots=True)
class Offer:
    """A peer that would try our openings."""

    nonce: bytes
    cookie: bytes
    role: str
    source: Source
    port: int
    """Where it is beyond a router; else 0."""
    key: int
    """The number of the fleet key that it was heard under."""

    @property
    def name(self) -> str:
        """What a person knows it by: the address that its frames come from."""
        return self.source.address


@dataclass(frozen=True, slots=True)
class Examined:
    """What one peer found at one of our addresses."""

    by: Offer
    address: str
    peer_address: str
    """From which it tried."""
    found: str
    """What our name leads to, as it finds it; empty where it leads nowhere, or nobody asked."""
    tries: tuple[Try, ...]


class Examinee:
    """This node, as long as somebody wants to know.

    keys: the fleet keys, the spoken one first. endpoints: peers beyond routers. Raises HostError.
    """

    def __init__(self, keys: tuple[bytes, ...], links: Sequence[Link], endpoints: Iterable[Endpoint] = ()) -> None:
        self._loop = asyncio.get_running_loop()
        self._keys = keys
        self._nonce = secrets.token_bytes(NONCE_BYTES)
        self._stamp = 0
        self._offers: dict[bytes, Offer] = {}
        self._told: asyncio.Queue[Told] = asyncio.Queue()
        self._intake = Intake(self._receive)
        self._segments = Segments(self._intake, MAGIC)
        self._segments.listen(links)
        self._links = {address.address: link.name for link in links for address in link.addresses}
        self._endpoints = tuple(one for one in endpoints if one.address not in self._links)
        self._datagrams = {version: DatagramSocket(version, 0) for version in {e.version for e in self._endpoints}}
        for opened in self._datagrams.values():
            self._intake.add(opened, UNICAST)

    def close(self) -> None:
        """Close the sockets."""
        self._segments.close()
        for opened in self._datagrams.values():
            self._intake.remove(opened)
            opened.close()

    async def find(self) -> tuple[Offer, ...]:
        """Return the peers that answer within FIND_S, in the order of their names."""
        until_s = self._loop.time() + FIND_S
        while self._loop.time() < until_s:
            for key in range(len(self._keys)):
                asked = self._frame(Who(), key)
                self._segments.send(asked, "", ())
                for one in self._endpoints:
                    # As long as an answer may be: beyond routers nobody answers with more than he was sent.
                    self._datagrams[one.version].send(asked.ljust(HERE_MAX_BYTES, b"\0"), one.address, one.port)
            await asyncio.sleep(AGAIN_S)
        return tuple(sorted(self._offers.values(), key=lambda offer: (offer.source.link, offer.name, offer.nonce)))

    async def ask(
        self, offer: Offer, address: str, name: str, ranges: tuple[Range, ...], progress: Callable[[int, int], None]
    ) -> Examined:
        """Have a peer try these ports of an address of ours. progress: how many of how many are done.

        Raises NodeprepError where it does not do it.
        """
        wanted = Ask(offer.nonce, offer.cookie, secrets.randbits(32), address, name, ranges)
        listeners, arrivals = Listeners(), Arrivals(self._links[address], address)
        try:
            listeners.open(address, wanted.probes)
            ours = listeners.ports
            told, results = await self._results(offer, wanted, progress)
            came = arrivals.take()
        finally:
            arrivals.close()
            listeners.close()
        tries = tuple(
            Try(protocol, port, result, (protocol, port, told.address) in came, (protocol, port) in ours)
            for (protocol, port), result in zip(wanted.probes, results, strict=True)
        )
        return Examined(offer, address, told.address, told.found, tries)

    async def _results(
        self, offer: Offer, wanted: Ask, progress: Callable[[int, int], None]
    ) -> tuple[Told, tuple[Result, ...]]:
        """Ask until all is told. Raises NodeprepError."""
        began_s = heard_s = self._loop.time()
        total, known = len(wanted.probes), list[Result]()
        while True:
            self._send_to(offer, self._frame(replace(wanted, offset=len(known)), offer.key))
            told = await self._next_told(wanted.number)
            now = self._loop.time()
            if told is None:
                if now > heard_s + DEAF_S:
                    raise NodeprepError(f"{offer.name} answers no more")
                continue
            heard_s = now
            if told.state is State.NOT_YOURS:
                raise NodeprepError(f"{offer.name} does not see {wanted.address} at our MAC, and does not try it")
            if told.state is State.BUSY and now > began_s + BUSY_S:
                raise NodeprepError(f"{offer.name} is busy with another node")
            if told.offset == len(known) and told.state is State.DONE:
                known += told.results
                if len(known) >= total:
                    progress(total, total)
                    return told, tuple(known[:total])
                continue
            if told.state is State.UNDER_WAY:
                progress(sum(result is not Result.PENDING for result in told.results), total)
            await asyncio.sleep(AGAIN_S)

    def _send_to(self, offer: Offer, asked: bytes) -> None:
        if offer.source.link == UNICAST:
            where = Endpoint(offer.source.address, offer.port)
            self._datagrams[where.version].send(asked, where.address, where.port)
        else:
            self._segments.send_to(asked, offer.source)

    async def _next_told(self, number: int) -> Told | None:
        """Return the next word on an examination; None if there is none for a while."""
        try:
            while True:
                told = await within(self._told.get(), AGAIN_S)
                if told.number == number:
                    return told
        except asyncio.TimeoutError:
            return None

    def _receive(self, _now: float, payload: bytes, source: Source, port: int) -> None:
        try:
            body, nonce, _, key = decode(payload, self._keys)
        except BadFrame:
            return
        match body:
            case Here(to, cookie, role) if to == self._nonce:
                self._offers.setdefault(nonce, Offer(nonce, cookie, role, source, port, key))
            case Told(to) if to == self._nonce:
                self._told.put_nowait(body)
            case _:
                return

    def _frame(self, body: Body, key: int) -> bytes:
        self._stamp = next_stamp(self._stamp, self._loop.time())
        return encode(body, self._nonce, self._stamp, self._keys[key])
