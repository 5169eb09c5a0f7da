"""Keyring: the fleet keys that one machine accepts, of which it speaks the first.

There are two while the fleet changes its key. Which of them a peer was heard under decides what its tokens are compared
with, and under which it is answered: a machine that has only one of the two is heard by one that has both, and told.
"""

from __future__ import annotations

from dataclasses import dataclass

from nodeprep.peers.message import BadFrame, Claim, ClaimKind, Message, Reason, claim, decode, encode, key_id


@dataclass(frozen=True, slots=True)
class Keyring:
    """The keys, the spoken one first; a key is named by its number in them. Without any nothing is authentic."""

    keys: tuple[bytes, ...] = ()

    @property
    def ids(self) -> tuple[str, ...]:
        """What tells each key from others, and does not tell the key."""
        return tuple(key_id(key) for key in self.keys)

    @property
    def numbers(self) -> range:
        """The numbers of all keys."""
        return range(len(self.keys))

    def claim(self, kind: ClaimKind, value: str) -> Claim:
        """Return the claim to a value, with its token under each key."""
        first, *others = (claim(key, kind, value).token for key in self.keys)
        return Claim(kind, first, others=tuple(others))

    def open(self, payload: bytes) -> tuple[Message, int]:
        """Return a message and the number of the key that it is authentic under. Raises BadFrame."""
        for number, key in enumerate(self.keys):
            try:
                return decode(payload, key), number
            except BadFrame as bad:
                if bad.reason is not Reason.UNAUTHENTIC:
                    raise
        raise BadFrame(Reason.UNAUTHENTIC)

    def seal(self, message: Message, number: int) -> tuple[bytes, ...]:
        """Return the payloads that say a message under one of the keys; its claims are those of that key already."""
        return encode(message, self.keys[number])
