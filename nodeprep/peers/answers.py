"""Answers: which peers are owed a conflict, and when one may be sent.

At most one batch goes out in each interval, whatever comes in: that bounds the cost of a storm. An answer is repeated
until its addressee says that it has heard it, so that a lost frame does not leave a peer in ignorance.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

from nodeprep.peers.message import ANSWERS_MAX, Claim

PEERS_OWED_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Batch:
    """One conflict to be sent: the peers it is addressed to, and the claims in common with any of them."""

    nonces: frozenset[bytes]
    claims: frozenset[Claim]
    heard: bool
    key: int = 0
    """The number of that which they were heard under."""


@dataclass(frozen=True, slots=True)
class _Owed:
    claims: frozenset[Claim]
    heard: bool
    tries: int
    key: int


class Answers:
    """The queue of answers; the oldest debts are dropped beyond PEERS_OWED_MAX."""

    def __init__(self, interval_s: float, tries: int) -> None:
        self._interval_s = interval_s
        self._tries = tries
        self._free_s = float("-inf")
        self._owed: dict[bytes, _Owed] = {}

    @property
    def deadline(self) -> float | None:
        """The time from which `take` returns something; None if nobody is owed an answer."""
        return self._free_s if self._owed else None

    def owe(self, nonce: bytes, claims: frozenset[Claim], *, heard: bool, key: int = 0) -> None:
        """Note that a peer contests these claims; `heard` says that it has proven so, which one answer acknowledges.

        key: the number of that which it was heard under.
        """
        if not claims:
            return
        owed = self._owed.get(nonce)
        if owed is not None:
            claims |= owed.claims
            heard |= owed.heard
        self._owed[nonce] = _Owed(claims, heard, 1 if heard else self._tries, key)
        while len(self._owed) > PEERS_OWED_MAX:
            del self._owed[next(iter(self._owed))]

    def settle(self, nonce: bytes) -> None:
        """Owe a peer nothing more: it has heard us."""
        self._owed.pop(nonce, None)

    def take(self, now: float) -> tuple[Batch, ...]:
        """Return what may be sent now: one batch for those who have been heard, and one for the others.

        Each once for each key that they were heard under.
        """
        if not self._owed or now < self._free_s:
            return ()
        self._free_s = now + self._interval_s
        kinds = sorted({(not owed.heard, owed.key) for owed in self._owed.values()})
        return tuple(self._take_batch(not unheard, key) for unheard, key in kinds)

    def _take_batch(self, heard: bool, key: int) -> Batch:
        """Take ANSWERS_MAX peers off the queue, and put those who are to be answered again at its end."""
        alike = [(nonce, owed) for nonce, owed in self._owed.items() if owed.heard is heard and owed.key == key]
        chosen = alike[:ANSWERS_MAX]
        for nonce, owed in chosen:
            del self._owed[nonce]
            if owed.tries > 1:
                self._owed[nonce] = replace(owed, tries=owed.tries - 1)
        claims = frozenset(claim for _, owed in chosen for claim in owed.claims)
        return Batch(frozenset(nonce for nonce, _ in chosen), claims, heard, key)
