"""Survey: asks who holds any of many claims, and holds none itself.

It speaks as a machine that probes, under a nonce of its own, and answers nobody: who has one of the claims defends it
(`conflict`), whether it is ready or probes as well, and two surveys take nothing from each other.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from typing import Final

from nodeprep.peers.keyring import Keyring
from nodeprep.peers.message import NONCE_BYTES, BadFrame, ClaimKind, MessageType, Standing
from nodeprep.peers.rules import Send
from nodeprep.peers.voice import Voice

PAUSES_S: Final = (0.1, 0.1, 0.1, 0.25)
"""After each of the questions: a holder answers within 50 ms, and repeats itself as often."""


class Survey:
    """One survey of who holds which of some values; `held` grows while answers come. nonce: that of this boot."""

    def __init__(self, nonce: bytes, keyring: Keyring, kind: ClaimKind, values: Iterable[str], role: str = "") -> None:
        own = hashlib.sha256(b"survey" + nonce).digest()[:NONCE_BYTES]
        self._voice = Voice(own, keyring, role)
        self._asked = {keyring.claim(kind, value): value for value in values}
        self._pauses = list(PAUSES_S)
        self.held: frozenset[str] = frozenset()

    @property
    def pause_s(self) -> float | None:
        """How long to wait after the next question; None once all are asked."""
        return self._pauses[0] if self._pauses else None

    def ask(self, now: float) -> tuple[Send, ...]:
        """Return the frames of the next question, which is about what nobody is known to hold yet."""
        self._pauses.pop(0)
        open_ones = frozenset(one for one, value in self._asked.items() if value not in self.held)
        return self._voice.say(now, MessageType.PROBE, Standing.PROBING, open_ones, frozenset())

    def receive(self, payload: bytes) -> None:
        """Take in an answer; what answers others says nothing, and what is not authentic neither."""
        if self._voice.nonce not in payload:
            return
        try:
            message, key = self._voice.keyring.open(payload)
        except BadFrame:
            return
        if self._voice.nonce in message.answers:
            self.held |= {value for one, value in self._asked.items() if one.under(key) in message.claims}
