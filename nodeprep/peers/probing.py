"""Probing: when each probe of a sequence is due, and when the sequence is over (RFC 5227 section 2.1).

Silence says something only of peers that could have answered in time, and of those on an overloaded host we are the one
whose lateness we know: the later our own clock rings, the longer the last wait is. It is bounded, since a host may be
overloaded for good.
"""

from __future__ import annotations

from dataclasses import dataclass

from nodeprep.peers.rules import Timing

TOLERATED_S = 0.05
"""How late the clock of an event loop is anyway while a machine boots."""
LATE_MAX_S = 0.75
"""The most that is counted of what goes beyond that."""
WAYS = 4
"""How often it delays an answer: the peer when it reads the probe and when it answers, us, and once to spare."""


@dataclass(slots=True)
class Probing:
    """One sequence of probes. Times are those of the census's clock."""

    timing: Timing
    began_s: float = 0.0
    due_s: float = 0.0
    """When the next probe is due, or the end after the last one."""
    _left: int = 0
    _late_s: float = 0.0

    def start(self, now: float, jitter: float, *, seeking: bool = False) -> None:
        """Begin anew, after that part of the longest jitter. seeking: for what will be probed once more."""
        self.began_s = now
        self.due_s = now + jitter * self.timing.jitter_max_s
        self._left = self.timing.seek_num if seeking else self.timing.probe_num
        self._late_s = 0.0

    def step(self, now: float) -> bool:
        """Whether a probe is to be sent now that the time has come; if not, the sequence is over.

        That is a last wait after the last probe was really sent.
        """
        self._late_s = min(max(self._late_s, now - self.due_s - TOLERATED_S), LATE_MAX_S)
        if not self._left:
            return False
        self._left -= 1
        last_s = self.timing.last_wait_s + WAYS * self._late_s
        self.due_s = now + self.timing.probe_interval_s + (0.0 if self._left else last_s)
        return True

    def extend(self, now: float) -> None:
        """Probe a little longer, so that the answer of a third peer that is READY is not missed."""
        needed_s = (1 + self.timing.extension_num) * self.timing.probe_interval_s + self.timing.last_wait_s
        if now + needed_s <= self.began_s + self.timing.probing_max_s:
            self._left = max(self._left, self.timing.extension_num)
