"""Contests: which live peers have proven that they hold a claim of ours, how each ends, and when it is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from nodeprep.peers.message import Claim
from nodeprep.peers.rules import Outcome, Resolved

CONTESTS_MAX: Final = 4096
"""Only who has the fleet key can come near it; the oldest is forgotten then, and proven again by its next frame."""


@dataclass(frozen=True, slots=True)
class Contest:
    """What one peer holds as well as we do; never empty."""

    claims: frozenset[Claim]
    outcome: Outcome
    proven_s: float
    ceded: frozenset[Claim] = frozenset()
    """Those of them that it is left to the peer to defend against others: see `Contests.ceded`."""


class Contests:
    """The contests that go on, by the peer's nonce and the oldest first; one without evidence for `expiry_s` is over.

    Every operation but `narrow` and `ceded` takes the same time however many there are.
    """

    def __init__(self, expiry_s: float) -> None:
        self._expiry_s = expiry_s
        self._contests: dict[bytes, Contest] = {}
        self._blocking = 0
        self._ceded: set[bytes] = set()

    def __bool__(self) -> bool:
        return bool(self._contests)

    @property
    def blocked(self) -> bool:
        """Whether one of them forbids READY."""
        return self._blocking > 0

    @property
    def deadline(self) -> float:
        """The time at which `expire` ends the first of them; infinite if there is none."""
        for contest in self._contests.values():
            return contest.proven_s + self._expiry_s
        return float("inf")

    def get(self, nonce: bytes) -> Contest | None:
        """Return the contest with one peer."""
        return self._contests.get(nonce)

    def ceded(self, claims: frozenset[Claim], is_there: Callable[[bytes], bool]) -> frozenset[Claim]:
        """Return those of these claims that are left to peers who defend them, of the peers that are there."""
        there = (self._contests[nonce].ceded for nonce in self._ceded if is_there(nonce))
        return claims & frozenset().union(*there)

    def clear(self) -> None:
        """Forget them all."""
        self._contests.clear()
        self._ceded.clear()
        self._blocking = 0

    def prove(
        self, now: float, nonce: bytes, claims: frozenset[Claim], outcome: Outcome, *, is_ceded: bool = False
    ) -> frozenset[Claim]:
        """Take in evidence; return the claims of which it is new that they end like this.

        is_ceded: the peer is there for good, and tells everybody else as well as us, as far as it says so now.
        """
        if not claims:
            return claims
        known = self._take(nonce)
        before = known.claims if known and known.outcome is outcome else frozenset()
        self._put(nonce, Contest(before | claims, outcome, now, claims if is_ceded else frozenset()))
        if len(self._contests) > CONTESTS_MAX:
            self._take(next(iter(self._contests)))
        return claims - before

    def expire(self, now: float) -> tuple[Resolved, ...]:
        """End those that have gone silent."""
        over = []
        while now >= self.deadline:
            nonce, contest = next(iter(self._contests.items()))
            self._take(nonce)
            over.append(Resolved(contest.claims, nonce))
        return tuple(over)

    def narrow(self, claims: frozenset[Claim]) -> tuple[Resolved, ...]:
        """End what is not about these claims, which are all that we hold from now on."""
        before = dict(self._contests)
        self.clear()
        for nonce, each in before.items():
            if left := each.claims & claims:
                self._put(nonce, replace(each, claims=left, ceded=each.ceded & left))
        return tuple(Resolved(gone, nonce) for nonce, each in before.items() if (gone := each.claims - claims))

    def _put(self, nonce: bytes, contest: Contest) -> None:
        self._contests[nonce] = contest
        self._blocking += contest.outcome is not Outcome.KEEP
        if contest.ceded:
            self._ceded.add(nonce)

    def _take(self, nonce: bytes) -> Contest | None:
        contest = self._contests.pop(nonce, None)
        if contest:
            self._blocking -= contest.outcome is not Outcome.KEEP
            self._ceded.discard(nonce)
        return contest
