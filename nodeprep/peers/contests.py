"""Contests: which live peers have proven that they hold a claim of ours, how each ends, and when it is over."""

from __future__ import annotations

from dataclasses import dataclass, replace

from nodeprep.peers.message import Claim
from nodeprep.peers.rules import Outcome, Resolved


@dataclass(frozen=True, slots=True)
class Contest:
    """What one peer holds as well as we do; never empty."""

    claims: frozenset[Claim]
    outcome: Outcome
    proven_s: float


class Contests:
    """The contests that go on, by the peer's nonce; one without evidence for `expiry_s` is over."""

    def __init__(self, expiry_s: float) -> None:
        self._expiry_s = expiry_s
        self._contests: dict[bytes, Contest] = {}

    def __bool__(self) -> bool:
        return bool(self._contests)

    @property
    def blocked(self) -> bool:
        """Whether one of them forbids READY."""
        return any(contest.outcome is not Outcome.KEEP for contest in self._contests.values())

    @property
    def deadline(self) -> float:
        """The time at which `expire` ends the first of them; infinite if there is none."""
        return min((contest.proven_s for contest in self._contests.values()), default=float("inf")) + self._expiry_s

    def get(self, nonce: bytes) -> Contest | None:
        """Return the contest with one peer."""
        return self._contests.get(nonce)

    def clear(self) -> None:
        """Forget them all."""
        self._contests.clear()

    def prove(self, now: float, nonce: bytes, claims: frozenset[Claim], outcome: Outcome) -> frozenset[Claim]:
        """Take in evidence; return the claims of which it is new that they end like this."""
        if not claims:
            return claims
        known = self._contests.get(nonce)
        before = known.claims if known and known.outcome is outcome else frozenset()
        self._contests[nonce] = Contest(before | claims, outcome, now)
        return claims - before

    def expire(self, now: float) -> tuple[Resolved, ...]:
        """End those that have gone silent."""
        over = [nonce for nonce, contest in self._contests.items() if now >= contest.proven_s + self._expiry_s]
        return tuple(Resolved(self._contests.pop(nonce).claims, nonce) for nonce in over)

    def narrow(self, claims: frozenset[Claim]) -> tuple[Resolved, ...]:
        """End what is not about these claims, which are all that we hold from now on."""
        ended = tuple(Resolved(gone, nonce) for nonce, each in self._contests.items() if (gone := each.claims - claims))
        self._contests = {
            nonce: replace(each, claims=left)
            for nonce, each in self._contests.items()
            if (left := each.claims & claims)
        }
        return ended
