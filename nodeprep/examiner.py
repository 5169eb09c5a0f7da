"""Examiner: a peer's openings, tried from here because it asks us to.

Only who has the fleet key is heard. Nobody can have a third party tried: a question comes with the cookie that went to
the place it is asked from, and the address to be tried must be seen to be at that place: on a segment by ARP or
neighbour discovery, beyond routers because the question came from that very address. One examination at a time, of a
bounded number of ports, and nothing is sent but a connection's first packets.
"""

from __future__ import annotations

import asyncio
import hmac
import secrets
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from nodeprep.endpoint import Endpoint
from nodeprep.errors import HostError
from nodeprep.host.arp import arp_holder
from nodeprep.host.neighbour import neighbour_holder
from nodeprep.host.reach import found, reach, source_address
from nodeprep.model import Link
from nodeprep.peers.admission import Buckets
from nodeprep.peers.examination import (
    MAGIC,
    RESULTS_MAX,
    Ask,
    Body,
    Here,
    Result,
    State,
    Told,
    Who,
    cookie_for,
    decode,
    encode,
    next_stamp,
)
from nodeprep.peers.message import NONCE_BYTES, BadFrame
from nodeprep.peers.rules import UNICAST, Source
from nodeprep.segments import Intake, Segments
from nodeprep.wire import Wire

QUESTIONS_PER_S = 50.0
AT_ONCE = 64
KEPT_S = 20.0
"""How long the results wait for an asker that does not ask any more; then the next one has its turn."""
ASKERS_MAX = 64


@dataclass(slots=True)
class _Examination:
    """One asker's, under way or told."""

    nonce: bytes
    number: int
    state: State
    results: list[Result]
    asked_s: float
    address: str = ""
    found: str = ""
    work: asyncio.Task[None] | None = field(default=None, repr=False)


class Examiner:
    """The answering side, as long as the daemon watches. keys: the fleet keys that are accepted.

    The wire has the one port that peers beyond routers speak to.
    """

    def __init__(self, keys: tuple[bytes, ...], role: str, wire: Wire) -> None:
        self._loop = asyncio.get_running_loop()
        self._keys = keys
        self._role = role
        self._nonce = secrets.token_bytes(NONCE_BYTES)
        self._secret = secrets.token_bytes(32)
        self._stamp = 0
        self._heard: dict[bytes, int] = {}
        self._questions = Buckets(QUESTIONS_PER_S, 1)
        self._examination: _Examination | None = None
        self._links: dict[str, Link] = {}
        self._segments = Segments(Intake(self.receive), MAGIC)
        self._wire = wire
        wire.examined_by = self.receive

    def listen(self, links: Iterable[Link]) -> None:
        """Listen on the links that speak, and on no others."""
        self._links = {link.name: link for link in links}
        self._segments.listen(self._links.values())

    def close(self) -> None:
        """Stop, whatever is under way."""
        self._segments.close()
        self._wire.examined_by = lambda *_: None
        if self._examination and self._examination.work:
            self._examination.work.cancel()

    def receive(self, now: float, payload: bytes, source: Source, port: int = 0) -> None:
        """Take in a frame; what is not authentic, not for us, a replay or too much is dropped without a word."""
        if not self._questions.take(now, None):
            return
        try:
            body, nonce, stamp, key = decode(payload, self._keys)
        except BadFrame:
            return
        if stamp <= self._heard.pop(nonce, -1):
            return
        self._heard[nonce] = stamp
        if len(self._heard) > ASKERS_MAX:
            del self._heard[next(iter(self._heard))]
        mine = cookie_for(self._secret, nonce, f"{source.link} {source.address} {port}")
        match body:
            case Who():
                answer: Body = Here(nonce, mine, self._role)
            case Ask(to, cookie) if to == self._nonce and hmac.compare_digest(cookie, mine):
                answer = self._take(now, body, nonce, source)
            case _:
                return
        self._stamp = next_stamp(self._stamp, self._loop.time())
        said = encode(answer, self._nonce, self._stamp, self._keys[key])
        if source.link != UNICAST:
            self._segments.send_to(said, source)
        elif isinstance(answer, Told) or len(said) <= len(payload):
            # Before the cookie came back nobody has shown that he is where he says: he gets no more than he sent.
            self._wire.routed.answer(said, Endpoint(source.address, port))

    def _take(self, now: float, ask: Ask, nonce: bytes, source: Source) -> Told:
        """Begin an examination, or go on with it, and return how far it is."""
        current = self._examination
        if current is None or (current.nonce, current.number) != (nonce, ask.number):
            if current and now < current.asked_s + KEPT_S:
                return Told(nonce, ask.number, State.BUSY)
            if current and current.work:
                current.work.cancel()
            pending = [Result.PENDING] * len(ask.probes)
            current = self._examination = _Examination(nonce, ask.number, State.UNDER_WAY, pending, now)
            current.work = self._loop.create_task(self._examine(current, ask, source))
        current.asked_s = now
        results = tuple(current.results[ask.offset : ask.offset + RESULTS_MAX])
        told = Told(nonce, ask.number, current.state, current.address, current.found, ask.offset, results)
        if current.state is not State.UNDER_WAY and ask.offset + RESULTS_MAX >= len(current.results):
            current.asked_s = now - KEPT_S + 1.0  # the last page: who is next need not wait for long
        return told

    async def _examine(self, this: _Examination, ask: Ask, source: Source) -> None:
        if not await self._is_theirs(ask.address, source):
            this.state = State.NOT_YOURS
            return
        this.address = source_address(ask.address)
        room = asyncio.Semaphore(AT_ONCE)

        async def one(number: int, protocol: str, port: int) -> None:
            async with room:
                this.results[number] = await reach(protocol, ask.address, port)

        tries = [one(number, protocol, port) for number, (protocol, port) in enumerate(ask.probes)]
        named = asyncio.create_task(asyncio.to_thread(found, ask.name, ask.address)) if ask.name else None
        await asyncio.gather(*tries)
        this.found = await named if named else ""
        this.state = State.DONE

    async def _is_theirs(self, address: str, source: Source) -> bool:
        """Whether an address is at the place that a frame came from."""
        if source.link == UNICAST:
            return address == source.address
        link = self._links.get(source.link)
        if link is None:
            return False
        holder: Callable[[str, str, str], str | None] = neighbour_holder if ":" in address else arp_holder
        try:
            return await asyncio.to_thread(holder, link.name, link.mac, address) == source.address
        except (HostError, ValueError):
            return False
