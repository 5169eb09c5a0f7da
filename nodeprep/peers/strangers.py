"""Strangers: machines without nodeprep that bear an address of ours; which of them to report, and when to defend.

They cannot be asked to prove themselves, and anybody can forge an ARP packet. So a stranger changes nothing but the
report, and is reported once it was seen twice with some time between: a copy on its way to another identity is not.

Defence is that of RFC 5227 section 2.4 (c), for a machine whose address others rely on: it keeps the address, and
announces it once in DEFEND_INTERVAL at most, however often it is contested.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final

from nodeprep.model import Sighting

RFC5227_DEFEND_INTERVAL_S: Final = 10.0
SETTLE_S: Final = 5.0
"""Seen again so long after it was seen first, a stranger is there to stay."""
MAC_SETTLE_S: Final = 30.0
"""The same, of our MAC: a copy whose profile pins it waits up to 20 s for its network before it renews."""
EXPIRY_S: Final = 120.0
"""One that has not been seen for so long has gone."""
ECHO_S: Final = 600.0
"""On a link from which a frame of ours came back so lately, a frame with our MAC is one as well."""
STRANGERS_MAX: Final = 256


@dataclass(frozen=True, slots=True)
class Stranger:
    """One stranger, as it is reported."""

    sighting: Sighting
    first_s: float
    last_s: float

    @property
    def has_settled(self) -> bool:
        """Whether it is there to stay."""
        return self.last_s - self.first_s >= (MAC_SETTLE_S if self.sighting.kind == "mac" else SETTLE_S)


class Strangers:
    """The strangers seen; beyond STRANGERS_MAX the first is forgotten."""

    def __init__(self) -> None:
        self._seen: dict[Sighting, Stranger] = {}
        self._defended_s: dict[tuple[str, str], float] = {}

    def see(self, now: float, sighting: Sighting) -> bool:
        """Take in a sighting; whether the address is to be announced now in its defence."""
        self._expire(now)
        known = self._seen.pop(sighting, None)
        self._seen[sighting] = replace(known, last_s=now) if known else Stranger(sighting, now, now)
        if len(self._seen) > STRANGERS_MAX:
            del self._seen[next(iter(self._seen))]
        if sighting.kind != "ipv4":
            return False
        key = (sighting.link, sighting.value)
        due = now >= self._defended_s.get(key, float("-inf")) + RFC5227_DEFEND_INTERVAL_S
        if due:
            self._defended_s[key] = now
        return due

    def keep(self, held: frozenset[tuple[str, str]]) -> None:
        """Forget what is about values that are not ours any more; held: (link, value)."""
        self._seen = {each: one for each, one in self._seen.items() if (each.link, each.value) in held}
        self._defended_s = {key: when_s for key, when_s in self._defended_s.items() if key in held}

    def forget(self, is_peer: Callable[[Sighting], bool]) -> None:
        """Forget those who turned out to be peers of ours.

        Else a copy that has become another machine long since would be told of until EXPIRY_S.
        """
        self._seen = {each: one for each, one in self._seen.items() if not is_peer(each)}

    def seen(self, now: float) -> tuple[Stranger, ...]:
        """Return all of whom anything was seen lately."""
        self._expire(now)
        return tuple(self._seen.values())

    def settled(self, now: float, echoes: dict[str, float]) -> tuple[Stranger, ...]:
        """Return those to be reported. echoes: link → when a frame of ours last came back from it."""
        self._expire(now)
        return tuple(
            stranger
            for stranger in self._seen.values()
            if stranger.has_settled
            and not (stranger.sighting.kind == "mac" and now < echoes.get(stranger.sighting.link, -ECHO_S) + ECHO_S)
        )

    def _expire(self, now: float) -> None:
        self._seen = {each: one for each, one in self._seen.items() if now < one.last_s + EXPIRY_S}
