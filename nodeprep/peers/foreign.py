"""Foreign: who speaks the peers' protocol under no fleet key of ours, as far as it can be told from outside.

Anybody can send such frames, so they change nothing but the report. A peer that was authentic about the same time is
none: while a fleet changes its key, machines ask under both.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from nodeprep.peers.rules import Source

EXPIRY_S: Final = 1800.0
"""As long as a ready peer is remembered: over three of the longest pauses between announcements (rules.Timing)."""
SPARED_S: Final = 60.0
FOREIGNERS_MAX: Final = 64


@dataclass(frozen=True, slots=True)
class Foreigner:
    """What was heard from one address: how many frames, and the nonce and time of the last."""

    source: Source
    frames: int
    nonce: bytes
    last_s: float


class Foreigners:
    """A table by source; beyond FOREIGNERS_MAX the one that was silent for longest is forgotten."""

    def __init__(self) -> None:
        self._by_source: dict[Source, Foreigner] = {}

    def note(self, now: float, nonce: bytes, source: Source) -> None:
        """Take in a frame that is not authentic."""
        known = self._by_source.pop(source, None)
        self._by_source[source] = Foreigner(source, known.frames + 1 if known else 1, nonce, now)
        if len(self._by_source) > FOREIGNERS_MAX:
            del self._by_source[next(iter(self._by_source))]

    def seen(self, now: float, authentic_s: Callable[[bytes], float | None]) -> tuple[Foreigner, ...]:
        """Return those that may still be there, the most recent last. authentic_s: when a nonce was, if it ever was."""
        return tuple(
            one
            for one in self._by_source.values()
            if now < one.last_s + EXPIRY_S
            and ((heard_s := authentic_s(one.nonce)) is None or heard_s < one.last_s - SPARED_S)
        )
