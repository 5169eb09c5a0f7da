"""Voice: what one machine says, as frames: on each link what is its own there, and each frame younger than the last."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nodeprep.peers.holdings import on_link
from nodeprep.peers.message import NONCE_BYTES, Claim, Message, MessageType, Standing, encode
from nodeprep.peers.rules import Send

_NOBODY: Final[frozenset[bytes]] = frozenset()


@dataclass(slots=True)
class Voice:
    """One machine's nonce, key and role for people. Raises ValueError for a nonce that is none."""

    nonce: bytes
    fleet_key: bytes
    role: str = ""
    _stamp: int = 0

    def __post_init__(self) -> None:
        if len(self.nonce) != NONCE_BYTES:
            raise ValueError(f"a nonce has {NONCE_BYTES} bytes")

    def say(
        self,
        now: float,
        kind: MessageType,
        standing: Standing,
        claims: frozenset[Claim],
        links: frozenset[str],
        answers: frozenset[bytes] = _NOBODY,
        *,
        heard: bool = False,
    ) -> tuple[Send, ...]:
        """Return the frames that say it, on each of the links that claims are confined to, and on the rest.

        There are none about no claims. The stamp is the time in microseconds, so that a daemon that starts again under
        the same nonce is not taken for a replay of itself.
        """
        frames: list[Send] = []
        for link in (*sorted(links), ""):
            if here := on_link(claims, link):
                stamp = max(self._stamp + 1, int(now * 1e6))
                message = Message(kind, self.nonce, standing, here, answers, heard, self.role, stamp)
                payloads = encode(message, self.fleet_key)
                self._stamp = stamp + len(payloads) - 1
                frames += (Send(payload, link) for payload in payloads)
        return tuple(frames)
