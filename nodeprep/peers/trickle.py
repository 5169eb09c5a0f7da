"""Trickle: the timer of RFC 6206, which lets a quiet segment stay quiet.

Without suppression (k = 0), because no two machines have the same to say. Jitter is hashed from the nonce and a
counter: it differs between machines and is the same for the same history.
"""

from __future__ import annotations

import hashlib


class Trickle:
    """One timer; `deadline` is when its owner is to speak."""

    def __init__(self, nonce: bytes, shortest_s: float) -> None:
        self._nonce = nonce
        self._shortest_s = shortest_s
        self._interval_s = 0.0
        self._end_s = 0.0
        self._draws = 0
        self.deadline = float("inf")

    def reset(self, now: float) -> None:
        """Begin with the shortest interval, unless that is the present one (RFC 6206 section 4.2, step 6)."""
        if self._interval_s != self._shortest_s or now >= self._end_s:
            self._begin(now, self._shortest_s)

    def advance(self, now: float, longest_s: float) -> None:
        """Begin an interval twice as long after the present one, up to `longest_s` (step 5)."""
        self._begin(max(now, self._end_s), min(2 * self._interval_s, longest_s))

    def jitter(self) -> float:
        """Return the next fraction in [0, 1)."""
        self._draws += 1
        digest = hashlib.sha256(self._nonce + self._draws.to_bytes(8, "big")).digest()
        return int.from_bytes(digest[:4], "big") / 2**32

    def _begin(self, start_s: float, interval_s: float) -> None:
        """Choose a time in the second half of the interval (step 2)."""
        self._interval_s = interval_s
        self._end_s = start_s + interval_s
        self.deadline = start_s + interval_s * (1 + self.jitter()) / 2
