"""The wire: the peers' census in an event loop.

The census decides, the segments carry; this file keeps its clock and turns its effects into answers to wait for. What a
ready machine presents anew a census of its own probes, under a nonce of its own, as a machine that boots would: what it
holds already is defended meanwhile, and the newcomer yields to whoever has it.
"""

from __future__ import annotations

import asyncio
import hashlib
import time
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from nodeprep.contest import Contest, add
from nodeprep.endpoint import Endpoint
from nodeprep.model import Claim, Link, Values
from nodeprep.patience import within
from nodeprep.peers import message as codec
from nodeprep.peers.admission import Admission
from nodeprep.peers.census import Census
from nodeprep.peers.examination import MAGIC as EXAMINATION
from nodeprep.peers.foreign import Foreigner, Foreigners
from nodeprep.peers.keyring import Keyring
from nodeprep.peers.rules import UNICAST, Clear, Dispute, Effect, Kept, Lost, Peer, Rejected, Resolved, Send, Source
from nodeprep.peers.survey import Survey
from nodeprep.presence import Presence
from nodeprep.routed import Routed
from nodeprep.segments import Intake, OnFrame, Segments

PROBE_TIMEOUT_S = 15.0
GATHER_S = 0.2
"""After the first loss, how long further ones are waited for, where there are any that can come."""
FORGET_READY_S, FORGET_S = 1800.0, 60.0
"""A ready peer is silent for minutes: over three of its longest pauses (rules.Timing). Another would have spoken."""

Event = Lost | Kept | Dispute | Resolved | Clear


@dataclass(slots=True)
class _Probing:
    """A census whose answer is waited for; as long as it is, its events go nowhere else."""

    census: Census
    over: asyncio.Future[None]
    contest: Contest = field(default_factory=Contest)


class Wire:
    """The census of one boot. role is what peers show of this machine to people."""

    def __init__(self, nonce: bytes, keyring: Keyring, on_event: Callable[[Event], None], role: str = "") -> None:
        self._loop = asyncio.get_running_loop()
        self._epoch_s = time.time() - self._loop.time()
        self._presence = Presence(keyring)
        self._nonce = nonce
        self._role = role
        self._on_event = on_event
        self.census = Census(nonce, keyring, role=role)
        self._foreigners = Foreigners()
        self._newcomers: Census | None = None
        self._survey: Survey | None = None
        self._admission = Admission()
        intake = Intake(self.receive)
        self._segments, self.routed = Segments(intake), Routed(intake)
        self.examined_by: OnFrame = lambda *_: None
        """Who takes the examinations that are asked for from beyond routers, where one port is for all."""
        self.heard: Callable[[], None] = lambda: None  # told of each frame: there may be more to say of peers
        self._timers: dict[Census, asyncio.TimerHandle] = {}
        self._probing: list[_Probing] = []

    @property
    def links(self) -> tuple[str, ...]:
        """The links that are listened on."""
        return (*self._segments.names, *self.routed.names)

    @property
    def now(self) -> float:
        """The time of the census's clock."""
        return self._loop.time()

    @property
    def peers(self) -> tuple[tuple[Peer, int], ...]:
        """The peers that may still be there, each with the second (time(7)) at which it was last heard."""
        return tuple(
            (peer, round(self._epoch_s + peer.seen_s))
            for peer in self.census.peers
            if self.now - peer.seen_s < (FORGET_READY_S if peer.standing is codec.Standing.READY else FORGET_S)
        )

    @property
    def key_ids(self) -> tuple[str, ...]:
        """The IDs of the fleet keys that are accepted, the spoken one first."""
        return self._presence.keyring.ids

    @property
    def foreigners(self) -> tuple[tuple[Foreigner, int, bool], ...]:
        """Who speaks under no key of ours: with the second at which it was last heard, and whether it bears our MAC."""
        macs = {link.mac for link in self._presence.links}
        return tuple(
            (one, round(self._epoch_s + one.last_s), one.source.address in macs)
            for one in self._foreigners.seen(self.now, self._heard_s)
        )

    @property
    def silent(self) -> tuple[str, ...]:
        """The configured peers beyond routers that were not heard yet."""
        return tuple(map(str, self.routed.silent))

    def _heard_s(self, nonce: bytes) -> float | None:
        known = self.census.heard(nonce)
        return known.seen_s if known else None

    def take_keys(self, keyring: Keyring) -> None:
        """Speak and accept these from the next probing on; until then what is held is defended under the former."""
        if keyring != self._presence.keyring:
            self._presence.keyring, self._foreigners = keyring, Foreigners()

    def listen(self, links: Iterable[Link]) -> frozenset[str]:
        """Listen on those of the machine's links that speak; return those that may lead where we were not heard yet."""
        self._presence.links = tuple(links)
        self.routed.look()
        return self._segments.listen(self._presence.links)

    def route(self, peers: Iterable[Endpoint], port: int) -> None:
        """Speak to these peers beyond routers as well. Raises HostError where the port cannot be had."""
        self.routed.follow(peers, port)

    async def probe(
        self, claims: Mapping[Claim, Values], standing: codec.Standing, *, seeking: bool = False
    ) -> Contest:
        """Present these claims, and return once nobody contests them or something was lost or is disputed.

        seeking: they are not presented otherwise yet, and will be probed once more when they are.
        """
        self._forget_newcomers()
        return await self._probe(self.census, self._encode(claims), standing, seeking=seeking)

    async def probe_newcomers(self, claims: Mapping[Claim, Values]) -> Contest:
        """Probe what a ready machine presents besides; until somebody calls `amend` it is not defended."""
        self._forget_newcomers()
        newcomers = self._newcomers = Census(newcomers_nonce(self._nonce), self._presence.keyring, role=self._role)
        try:
            return await self._probe(newcomers, self._encode(claims, besides=True), codec.Standing.PROBING)
        finally:
            self._forget_newcomers()

    def claimed(self, claim: Claim, values: Iterable[str]) -> Values:
        """Return which of these addresses a peer that may still be there has last claimed, as far as it was heard."""
        tokens = {token for peer, _ in self.peers for token in peer.addresses}
        claims = ((value, self._presence.keyring.claim(codec.ClaimKind[claim.name], value)) for value in values)
        return frozenset(value for value, one in claims if not tokens.isdisjoint((one.token, *one.others)))

    async def survey(self, claim: Claim, values: Iterable[str]) -> Values:
        """Return which of these values peers hold, without claiming any."""
        keyring, kind = self._presence.keyring, codec.ClaimKind[claim.name]
        survey = self._survey = Survey(self._nonce, keyring, kind, values, self._role)
        try:
            while (pause_s := survey.pause_s) is not None:
                for frame in survey.ask(self.now):
                    self._segments.send(frame.payload, frame.link, ())
                    self.routed.send(frame.payload, frame.to)
                await asyncio.sleep(pause_s)
        finally:
            self._survey = None
        return survey.held

    def ready(self) -> None:
        """Defend and announce from now on."""
        self._take(self.census, self.census.ready(self.now))

    def hold(self) -> None:
        """Keep what was lost, without being ready."""
        self._take(self.census, self.census.hold(self.now))

    def amend(self, claims: Mapping[Claim, Values]) -> None:
        """Defend these claims instead, because an operator changed them."""
        self._forget_newcomers()
        self._take(self.census, self.census.amend(self.now, self._encode(claims)))

    def remind(self) -> None:
        """Say at once what is else said later: a link leads to a segment that may not have heard it."""
        self._take(self.census, self.census.remind(self.now))

    def values(self, claims: Iterable[codec.Claim]) -> dict[Claim, Values]:
        """Return which of our values these claims stand for."""
        return self._presence.values(claims)

    def close(self) -> None:
        """Close the sockets and stop the clock."""
        self._segments.close()
        self.routed.close()
        for timer in self._timers.values():
            timer.cancel()

    def _encode(self, claims: Mapping[Claim, Values], *, besides: bool = False) -> frozenset[codec.Claim]:
        return self._presence.encode(claims, self.routed.sources, besides=besides)

    async def _probe(
        self, census: Census, claims: frozenset[codec.Claim], standing: codec.Standing, *, seeking: bool = False
    ) -> Contest:
        probing = _Probing(census, self._loop.create_future())
        self._probing.append(probing)
        self._take(census, census.probe(self.now, claims, standing, self._presence.keyring, seeking=seeking))
        try:
            await within(probing.over, PROBE_TIMEOUT_S)
        except asyncio.TimeoutError:
            pass  # contested to the end: not clear
        finally:
            self._probing.remove(probing)
        return probing.contest

    def _forget_newcomers(self) -> None:
        if self._newcomers is not None:
            if timer := self._timers.pop(self._newcomers, None):
                timer.cancel()
            self._newcomers = None

    def receive(self, now: float, payload: bytes, source: Source, port: int = 0) -> None:
        """Take in a frame, unless its sender or all of them say too much."""
        self.heard()
        if payload.startswith(EXAMINATION):
            self.examined_by(now, payload, source, port)
            return
        try:
            nonce, _ = codec.peek(payload)
        except codec.BadFrame as bad:
            self.census.reject(bad.reason)
            return
        if not self._admission.admit(now, source, nonce):
            self.census.reject(codec.Reason.LIMITED)
            return
        effects = self.census.receive(now, payload, source)
        if any(isinstance(effect, Rejected) for effect in effects):
            if Rejected(codec.Reason.UNAUTHENTIC) in effects and nonce != self._nonce:
                self._foreigners.note(now, nonce, source)
            return
        self._admission.prove(source, nonce)
        if source.link == UNICAST and nonce != self._nonce:
            self.routed.know(nonce, source.address, port, len(payload))
        self._take(self.census, effects)
        if self._survey is not None:
            self._survey.receive(payload)
        if self._newcomers is not None:
            self._take(self._newcomers, self._newcomers.receive(now, payload, source))

    def _tick(self, census: Census) -> None:
        self._take(census, census.tick(self.now))

    def _take(self, census: Census, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(payload, link, to):
                    self._segments.send(payload, link, census.links)
                    if link == UNICAST or (not link and UNICAST not in census.links):
                        self.routed.send(payload, to)
                case Rejected():
                    pass  # counted by the census
                case _:
                    self._note(census, effect)
        if timer := self._timers.pop(census, None):
            timer.cancel()
        if (deadline := census.deadline) is not None and census in (self.census, self._newcomers):
            self._timers[census] = self._loop.call_at(deadline, self._tick, census)

    def _note(self, census: Census, event: Event) -> None:
        probing = next((each for each in self._probing if each.census is census), None)
        if probing is None:
            self._on_event(event)
            return
        match event:
            case Clear():
                probing.contest.clear = True
                _resolve(probing.over)
            case Lost(claims, other) | Dispute(claims, other):
                contest = probing.contest
                add(contest.lost if isinstance(event, Lost) else contest.disputed, self.values(claims))
                contest.on_segment |= _is_on_segment(census, other)
                more = GATHER_S if not (census.beaten and contest.on_segment) else 0.0
                self._loop.call_later(more, _resolve, probing.over)
            case Kept(claims):
                add(probing.contest.kept, self.values(claims))
            case Resolved():
                pass


def newcomers_nonce(nonce: bytes) -> bytes:
    """Return the nonce under which a ready machine of this one probes what it presents anew."""
    return hashlib.sha256(b"newcomers" + nonce).digest()[: codec.NONCE_BYTES]


def _is_on_segment(census: Census, nonce: bytes) -> bool:
    known = census.heard(nonce)
    return known is None or any(source.link != UNICAST for source in known.sources)


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
