"""Voice: what one machine says, as frames: on each link what is its own there, and each frame younger than the last.

To all it speaks under the first of its keys. Who probes asks under every key that it accepts, since one who has only
another of them may be there to object; who is answered, is answered under the key that he was heard under.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from nodeprep.peers.holdings import on_link
from nodeprep.peers.keyring import Keyring
from nodeprep.peers.message import NONCE_BYTES, Claim, Message, MessageType, Standing
from nodeprep.peers.rules import Send

_NOBODY: Final[frozenset[bytes]] = frozenset()


@dataclass(slots=True)
class Voice:
    """One machine's nonce, keys and role for people. Raises ValueError for a nonce that is none."""

    nonce: bytes
    keyring: Keyring
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
        key: int = 0,
    ) -> tuple[Send, ...]:
        """Return the frames that say it, on each of the links that claims are confined to, and on the rest.

        key: the number of that which an answer is said under.

        There are none about no claims. The stamp is the time in microseconds, so that a daemon that starts again under
        the same nonce is not taken for a replay of itself.
        """
        frames: list[Send] = []
        keys = self.keyring.numbers if kind is MessageType.PROBE else self.keyring.numbers[key : key + 1]
        for link in (*sorted(links), ""):
            here = on_link(claims, link)
            for number in keys if here else ():
                stamp = max(self._stamp + 1, int(now * 1e6))
                said = frozenset(each.under(number) for each in here) if number else here
                message = Message(kind, self.nonce, standing, said, answers, heard, self.role, stamp)
                payloads = self.keyring.seal(message, number)
                self._stamp = stamp + len(payloads) - 1
                frames += (Send(payload, link, answers) for payload in payloads)
        return tuple(frames)
