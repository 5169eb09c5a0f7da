"""Census: the state machine that probes, defends and announces this machine's claims.

It is fed the time and what happened, and yields effects; equal inputs yield equal effects. Times are seconds of one
clock that never goes back. A probe sequence follows RFC 5227 section 2.1, announcements follow the Trickle timer of
RFC 6206 section 4.2 without suppression (k = 0), where an inconsistency is a newly proven contest.

    probe ──► Clear ──► ready ──► amend …
      │
      └─────► Lost or Dispute ──► probe with other claims, or hold ──► Clear when the contest has gone

Effects of `Lost`, `Kept` and `Dispute` name what is new; `peers` has the whole.
"""

from __future__ import annotations

from collections.abc import Mapping
from enum import Enum
from typing import Final

from nodeprep.peers.answers import Answers
from nodeprep.peers.contests import Contests
from nodeprep.peers.heard import Acquaintance, Echoes, Heard
from nodeprep.peers.holdings import Holdings
from nodeprep.peers.keyring import Keyring
from nodeprep.peers.message import BadFrame, Claim, Message, MessageType, Reason, Standing, peek
from nodeprep.peers.probing import Probing
from nodeprep.peers.rules import (
    DEFAULT_TIMING,
    NOWHERE,
    Clear,
    Dispute,
    Effect,
    Kept,
    Lost,
    Outcome,
    Peer,
    Rejected,
    Source,
    Timing,
    judge,
)
from nodeprep.peers.trickle import Trickle
from nodeprep.peers.voice import Voice


class _Phase(Enum):
    PROBING = "probing"
    CLEAR = "clear"
    STOPPED = "stopped"
    """Probing is over and something was lost or disputed: silent until the caller decides."""
    HELD = "held"
    READY = "ready"


_STEADY: Final = (_Phase.HELD, _Phase.READY)


class Census:
    """One machine's view of who claims what on its segments.

    `nonce` is 16 random bytes drawn for this boot; `role` is what peers show of us to people; `deadline` says when
    `tick` is to be called next.
    """

    def __init__(self, nonce: bytes, keyring: Keyring, timing: Timing = DEFAULT_TIMING, role: str = "") -> None:
        self._voice = Voice(nonce, keyring, role)
        self._nonce = nonce
        self._timing = timing
        self._phase = _Phase.STOPPED
        self._standing = Standing.PROBING
        self._holdings = Holdings()
        self._lost: frozenset[Claim] = frozenset()
        self._probing = Probing(timing)
        self._trickle = Trickle(nonce, timing.announce_min_s)
        self._contests = Contests(timing.expiry_s)
        self._answers = Answers(timing.answer_interval_s, timing.answer_tries)
        self._heard = Heard()
        self._rejected = dict.fromkeys(Reason, 0)
        self._echoes = Echoes()

    @property
    def deadline(self) -> float | None:
        """The time at which `tick` has something to do; None if only a frame or the caller can change anything."""
        times: list[float] = []
        if self._phase is _Phase.PROBING:
            times.append(self._probing.due_s)
        if self._phase in _STEADY:
            times += (self._trickle.deadline, self._contests.deadline)
        if self._answers.deadline is not None:
            times.append(self._answers.deadline)
        return min(times, default=None)

    @property
    def clear(self) -> bool:
        """Whether `ready` may be called now."""
        return self._phase is _Phase.CLEAR

    @property
    def beaten(self) -> bool:
        """Whether all that is probed was lost: nothing that is still to be heard could change that."""
        return self._phase is _Phase.STOPPED and not self._held

    @property
    def links(self) -> frozenset[str]:
        """The links that a claim of ours is confined to."""
        return self._holdings.links

    @property
    def peers(self) -> tuple[Peer, ...]:
        """The peers heard of, the most recent last, PEERS_MAX at most."""
        return self._heard.peers(self._contests)

    @property
    def rejected(self) -> Mapping[Reason, int]:
        """How many frames were rejected, by reason."""
        return dict(self._rejected)

    @property
    def echoes(self) -> Mapping[str, tuple[int, float]]:
        """Link → how many frames with our own nonce came from it, and when the last did.

        A loop in the network, a port that reflects, or a machine resumed from our memory.
        """
        return self._echoes.by_link

    def heard(self, nonce: bytes) -> Acquaintance | None:
        """Return what is known of the peer of that nonce; None if it was never heard."""
        return self._heard.get(nonce)

    def probe(
        self,
        now: float,
        claims: frozenset[Claim],
        standing: Standing,
        keyring: Keyring | None = None,
        *,
        seeking: bool = False,
    ) -> tuple[Effect, ...]:
        """Probe these claims in place of all earlier ones; ends in Clear unless Lost or Dispute comes first.

        A daemon that starts again on a machine that is READY passes that standing, and so cannot lose. keyring: that
        which the claims are made with, where it is another than until now. seeking: what is probed is not presented
        yet, and will be probed once more when it is.
        """
        if keyring is not None and keyring != self._voice.keyring:
            self._voice.keyring = keyring
            self._answers = Answers(self._timing.answer_interval_s, self._timing.answer_tries)
        self._holdings = Holdings(claims)
        self._standing = standing
        self._contests.clear()
        self._start_probing(now, seeking=seeking)
        return self.tick(now)

    def hold(self, now: float) -> tuple[Effect, ...]:
        """Keep what was lost or is disputed, without being READY: probe slowly until the contest has gone.

        Raise ValueError if READY. A Lost that is yielded while held is for the report: no answer is needed.
        """
        if self._phase is _Phase.READY:
            raise ValueError("a READY machine has lost nothing")
        self._phase = _Phase.HELD
        self._lost = frozenset()
        self._probing.began_s = now
        self._trickle.reset(now)
        return self.tick(now)

    def ready(self, now: float) -> tuple[Effect, ...]:
        """Defend the claims from now on and announce them; raise ValueError unless `clear`."""
        if not self.clear:
            raise ValueError("READY is said after Clear only")
        self._phase = _Phase.READY
        self._standing = Standing.READY
        self._trickle.reset(now)
        return self._say(now, MessageType.ANNOUNCE, self._holdings.claims) + self.tick(now)

    def remind(self, now: float) -> tuple[Effect, ...]:
        """Say now what is else said later, to a segment that may not have heard it; harmless in any state."""
        if self._phase not in _STEADY:
            return ()
        self._trickle.reset(now)
        kind = MessageType.ANNOUNCE if self._phase is _Phase.READY else MessageType.PROBE
        return self._say(now, kind, self._holdings.claims) + self.tick(now)

    def amend(self, now: float, claims: frozenset[Claim]) -> tuple[Effect, ...]:
        """Defend these claims instead, because an operator changed them; raise ValueError unless READY."""
        if self._phase is not _Phase.READY:
            raise ValueError("only a READY machine's claims are amended; probe new ones")
        self._holdings = Holdings(claims)
        resolved = self._contests.narrow(claims)
        self._trickle.reset(now)
        return resolved + self._say(now, MessageType.ANNOUNCE, claims) + self.tick(now)

    def receive(self, now: float, payload: bytes, source: Source = NOWHERE) -> tuple[Effect, ...]:
        """Take in one frame; what it says comes before what is due at the same time."""
        try:
            nonce, stamp = peek(payload)
            known = self._echoes if nonce == self._nonce else self._heard
            if known.is_stale(nonce, stamp, source.link):
                raise BadFrame(Reason.STALE)
            message, key = self._voice.keyring.open(payload)
        except BadFrame as bad:
            return self.reject(bad.reason)
        if nonce == self._nonce:
            self._echoes.note(now, stamp, source.link)
            return ()
        self._heard.note(now, message, source, self._voice.keyring.ids[key])
        common = self._holdings.common(message, source.link, key)
        effects: tuple[Effect, ...] = ()
        if self._nonce in message.answers:
            effects = self._take_evidence(now, message, common, key)
        elif message.type is not MessageType.CONFLICT:
            # Of many who have lost to one that is READY each would only repeat what that one says itself.
            ceded = self._contests.ceded(common, lambda peer: self._heard.is_beside(peer, source.link))
            self._answers.owe(nonce, common - self._lost - ceded, heard=False, key=key)
        return effects + self.tick(now)

    def reject(self, reason: Reason) -> tuple[Rejected]:
        """Count a frame that is not to be taken in."""
        self._rejected[reason] += 1
        return (Rejected(reason),)

    def tick(self, now: float) -> tuple[Effect, ...]:
        """Do what is due; a late or needless call does no harm."""
        effects: list[Effect] = []
        if self._phase in _STEADY:
            effects += self._expire(now)
        if self._phase is _Phase.PROBING and now >= self._probing.due_s:
            effects += self._probe_next(now)
        elif self._phase in _STEADY and now >= self._trickle.deadline:
            effects += self._speak(now)
        for batch in self._answers.take(now):
            claims = batch.claims & (self._holdings.claims if batch.heard else self._held)
            effects += self._say(now, MessageType.CONFLICT, claims, batch.nonces, heard=batch.heard, key=batch.key)
        return tuple(effects)

    @property
    def _held(self) -> frozenset[Claim]:
        return self._holdings.claims - self._lost

    def _start_probing(self, now: float, *, seeking: bool = False) -> None:
        self._phase = _Phase.PROBING
        self._lost = frozenset()
        self._probing.start(now, self._trickle.jitter(), seeking=seeking)

    def _probe_next(self, now: float) -> tuple[Effect, ...]:
        """Send the next probe, or end the probing."""
        if self._probing.step(now):
            return self._say(now, MessageType.PROBE, self._held)
        self._phase = _Phase.STOPPED if self._contests.blocked else _Phase.CLEAR
        return (Clear(),) if self.clear else ()

    def _speak(self, now: float) -> tuple[Effect, ...]:
        """Announce, or probe while held; sparsely unless there is a contest whose end is to be noticed."""
        quiet = self._phase is _Phase.READY and not self._contests
        self._trickle.advance(now, self._timing.announce_max_s if quiet else self._timing.contested_max_s)
        kind = MessageType.PROBE if self._phase is _Phase.HELD else MessageType.ANNOUNCE
        return self._say(now, kind, self._holdings.claims)

    def _expire(self, now: float) -> tuple[Effect, ...]:
        """End the contests that have gone silent; probe anew once nothing holds us back any more."""
        resolved = self._contests.expire(now)
        over = not self._contests.blocked and now >= self._probing.began_s + self._timing.expiry_s
        if over and self._phase is _Phase.HELD:
            self._start_probing(now)
        return resolved

    def _take_evidence(self, now: float, message: Message, common: frozenset[Claim], key: int) -> tuple[Effect, ...]:
        """Decide a contest that a live peer has proven by naming our nonce."""
        if message.heard:
            self._answers.settle(message.nonce)
        else:
            self._answers.owe(message.nonce, common, heard=True, key=key)
        outcome = judge((self._standing, self._nonce), (message.standing, message.nonce))
        # A member of a cluster goes on to object, whoever else does.
        is_ceded = (self._standing, message.standing) == (Standing.PROBING, Standing.READY)
        news = self._contests.prove(now, message.nonce, common, outcome, is_ceded=is_ceded) - self._lost
        return self._decide(now, news, outcome, message) if news else ()

    def _decide(self, now: float, news: frozenset[Claim], outcome: Outcome, message: Message) -> tuple[Effect, ...]:
        """Act on newly proven claims of a peer."""
        if self._phase in _STEADY:
            self._trickle.reset(now)
        if outcome is Outcome.KEEP:
            self._probing.extend(now)
            return (Kept(news, message.nonce, message.standing),)
        if self._phase is _Phase.CLEAR:
            self._phase = _Phase.STOPPED
        if outcome is Outcome.DISPUTE:
            return (Dispute(news, message.nonce, message.standing),)
        if self._phase is not _Phase.HELD:
            self._lost |= news
        if self._phase is _Phase.PROBING and not self._held:
            self._phase = _Phase.STOPPED
        return (Lost(news, message.nonce, message.standing),)

    def _say(
        self, now: float, kind: MessageType, claims: frozenset[Claim], answers: frozenset[bytes] = frozenset(), *,
        heard: bool = False, key: int = 0,
    ) -> tuple[Effect, ...]:  # fmt: skip
        return self._voice.say(now, kind, self._standing, claims, self._holdings.links, answers, heard=heard, key=key)
