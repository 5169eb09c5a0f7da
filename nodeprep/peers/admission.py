"""Admission: which frames are worth the work of authentication, so that a flood costs little and starves nobody.

Whoever can send frames can send any source address and any nonce, so that no limit on one sender is proof against a
flood, and none on all senders together is fair. Hence three:

* A **peer**, an address and a nonce that have been authentic before, has a share of its own, which strangers cannot
  use up. Only what goes beyond it competes with theirs.
* A **stranger** is limited by address and nonce, and by address alone: a flood that varies neither, and one that
  varies the nonce only, leave room for the others. Twins may share an address, so that limit is wide.
* **All strangers** together are limited, which bounds the work. A flood that varies everything makes the frames of a
  stranger as likely to be lost as on a bad segment; one of them suffices to make it a peer.
"""

from __future__ import annotations

from collections.abc import Hashable
from dataclasses import dataclass

from nodeprep.peers.rules import Source


@dataclass(frozen=True, slots=True)
class Rates:
    """How many frames a second are authenticated; of each, as many may come at once.

    A probing machine sends 13 a second and answers 40 at most, whatever comes in.
    """

    peer_per_s: float = 100.0
    stranger_per_s: float = 50.0
    address_per_s: float = 1000.0
    strangers_per_s: float = 5000.0
    senders_max: int = 4096


DEFAULT_RATES = Rates()


class Buckets:
    """A token bucket for each key; beyond `most` of them, that which was not asked for longest is forgotten."""

    def __init__(self, per_s: float, most: int) -> None:
        self._per_s = per_s
        self._most = most
        self._levels: dict[Hashable, tuple[float, float]] = {}

    def __len__(self) -> int:
        return len(self._levels)

    def take(self, now: float, key: Hashable) -> bool:
        """Take one token; whether there was one."""
        level, then_s = self._levels.pop(key, (self._per_s, now))
        level = min(self._per_s, level + (now - then_s) * self._per_s)
        granted = level >= 1.0
        self._levels[key] = (level - granted, now)
        if len(self._levels) > self._most:
            del self._levels[next(iter(self._levels))]
        return granted


class Admission:
    """The limits of one machine, for all of its links together."""

    def __init__(self, rates: Rates = DEFAULT_RATES) -> None:
        self._most = rates.senders_max
        self._peers: dict[tuple[str, bytes], None] = {}
        self._shares = Buckets(rates.peer_per_s, rates.senders_max)
        self._senders = Buckets(rates.stranger_per_s, rates.senders_max)
        self._addresses = Buckets(rates.address_per_s, rates.senders_max)
        self._all = Buckets(rates.strangers_per_s, 1)

    def admit(self, now: float, source: Source, nonce: bytes) -> bool:
        """Whether a frame from there, with that nonce, is to be authenticated."""
        sender = (source.address, nonce)
        if sender in self._peers:
            return self._shares.take(now, sender) or self._all.take(now, None)
        return (
            self._senders.take(now, sender) and self._addresses.take(now, source.address) and self._all.take(now, None)
        )

    def prove(self, source: Source, nonce: bytes) -> None:
        """Take note that a frame from there was authentic."""
        sender = (source.address, nonce)
        self._peers.pop(sender, None)
        self._peers[sender] = None
        if len(self._peers) > self._most:
            del self._peers[next(iter(self._peers))]
