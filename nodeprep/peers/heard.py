"""Heard: the peers that have spoken, what they last said of themselves, and where they were heard."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nodeprep.peers.contests import Contests
from nodeprep.peers.message import ClaimKind, Message, MessageType, Standing
from nodeprep.peers.rules import UNICAST, Peer, Source

PEERS_MAX: Final = 4096
LINKS_MAX: Final = 16
ADDRESSES: Final = frozenset((ClaimKind.IPV4, ClaimKind.IPV6))
ADDRESSES_MAX: Final = 8


@dataclass(slots=True)
class Acquaintance:
    """What one peer has last said of itself; `by_link` has its last address and stamp on each link, newest last."""

    standing: Standing
    role: str
    seen_s: float
    by_link: dict[str, tuple[str, int]]
    key: str = ""
    """The ID of the fleet key that it announces under; until it does, of the one that it was first heard under."""
    addresses: tuple[bytes, ...] = ()
    """The tokens of the addresses that it last claimed, ADDRESSES_MAX at most."""

    @property
    def sources(self) -> tuple[Source, ...]:
        """Where it was heard, the most recent last."""
        return tuple(Source(link, address) for link, (address, _) in self.by_link.items())


class Heard:
    """A table by nonce; the peers that have been silent for longest are forgotten beyond PEERS_MAX."""

    def __init__(self) -> None:
        self._by_nonce: dict[bytes, Acquaintance] = {}

    def peers(self, contests: Contests) -> tuple[Peer, ...]:
        """Return all of them, the most recent last, each with what it provably contests."""
        return tuple(
            Peer(
                name=nonce[:4].hex(),
                standing=known.standing,
                seen_s=known.seen_s,
                contested=frozenset(claim.kind for claim in contest.claims) if contest else frozenset(),
                outcome=contest.outcome if contest else None,
                role=known.role,
                sources=known.sources,
                key=known.key,
                addresses=frozenset(known.addresses),
            )
            for nonce, known in self._by_nonce.items()
            for contest in (contests.get(nonce),)
        )

    def is_stale(self, nonce: bytes, stamp: int, link: str) -> bool:
        """Whether this nonce has said something as young on this link: the frame is a copy, a replay, or overtaken.

        By link, because two links may be on one segment and what is ours on each differs.
        """
        known = self._by_nonce.get(nonce)
        return known is not None and link in known.by_link and stamp <= known.by_link[link][1]

    def get(self, nonce: bytes) -> Acquaintance | None:
        """Return what is known of one peer; None if it was never heard."""
        return self._by_nonce.get(nonce)

    def is_beside(self, nonce: bytes, link: str) -> bool:
        """Whether that peer was heard on this link, and so hears who else is: beyond routers it need not."""
        known = self._by_nonce.get(nonce)
        return known is not None and link in known.by_link and link != UNICAST

    def note(self, now: float, message: Message, source: Source, key: str = "") -> None:
        """Remember what an authentic message says of its sender. key: the ID of that which it is authentic under."""
        known = self._by_nonce.pop(message.nonce, None)
        if known is None:
            known = Acquaintance(message.standing, message.role, now, {}, key)
        if message.type is MessageType.ANNOUNCE:
            known.key = key
        known.standing, known.role, known.seen_s = message.standing, message.role, now
        if message.type is not MessageType.CONFLICT:  # which names a part of them only
            known.addresses = tuple(one.token for one in message.claims if one.kind in ADDRESSES)[:ADDRESSES_MAX]
        known.by_link.pop(source.link, None)
        known.by_link[source.link] = (source.address, message.stamp)
        if len(known.by_link) > LINKS_MAX:
            del known.by_link[next(iter(known.by_link))]
        self._by_nonce[message.nonce] = known
        if len(self._by_nonce) > PEERS_MAX:
            del self._by_nonce[next(iter(self._by_nonce))]


class Echoes:
    """Frames of our own that came back."""

    def __init__(self) -> None:
        self._on: dict[str, tuple[int, float, int]] = {}

    @property
    def by_link(self) -> dict[str, tuple[int, float]]:
        """Link → how many came back on it, and when the last did."""
        return {link: (count, last_s) for link, (count, last_s, _) in self._on.items()}

    def is_stale(self, _: bytes, stamp: int, link: str) -> bool:
        """Whether one as young came back on this link: this is no echo, but somebody who plays a recording."""
        return link in self._on and stamp <= self._on[link][2]

    def note(self, now: float, stamp: int, link: str) -> None:
        """Count an authentic one."""
        count = self._on[link][0] if link in self._on else 0
        self._on[link] = (count + 1, now, stamp)
