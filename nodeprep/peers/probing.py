"""Probing: when each probe of a sequence is due, and when the sequence is over (RFC 5227 section 2.1)."""

from __future__ import annotations

from dataclasses import dataclass

from nodeprep.peers.rules import Timing


@dataclass(slots=True)
class Probing:
    """One sequence of probes. Times are those of the census's clock."""

    timing: Timing
    began_s: float = 0.0
    due_s: float = 0.0
    """When the next probe is due, or the end after the last one."""
    _left: int = 0

    def start(self, now: float, jitter: float, *, seeking: bool = False) -> None:
        """Begin anew, after that part of the longest jitter. seeking: for what will be probed once more."""
        self.began_s = now
        self.due_s = now + jitter * self.timing.jitter_max_s
        self._left = self.timing.seek_num if seeking else self.timing.probe_num

    def step(self, now: float) -> bool:
        """Whether a probe is to be sent now that the time has come; if not, the sequence is over.

        That is a last wait after the last probe was really sent.
        """
        if not self._left:
            return False
        self._left -= 1
        self.due_s = now + self.timing.probe_interval_s + (0.0 if self._left else self.timing.last_wait_s)
        return True

    def extend(self, now: float) -> None:
        """Probe a little longer, so that the answer of a third peer that is READY is not missed."""
        needed_s = (1 + self.timing.extension_num) * self.timing.probe_interval_s + self.timing.last_wait_s
        if now + needed_s <= self.began_s + self.timing.probing_max_s:
            self._left = max(self._left, self.timing.extension_num)
