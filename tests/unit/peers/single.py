"""Single: one census fed by hand, whose peers are frames that the test makes up."""

from __future__ import annotations

from itertools import count

from nodeprep.peers.census import Census
from nodeprep.peers.keyring import Keyring
from nodeprep.peers.message import Claim, ClaimKind, Message, MessageType, Standing, claim, decode, encode
from nodeprep.peers.rules import Effect, Send

KEY = bytes(range(32))
KEYRING = Keyring((KEY,))
LOW, OWN, HIGH = bytes(16), b"\x80" * 16, b"\xff" * 16
NAME = claim(KEY, ClaimKind.HOSTNAME, "worker-1")
MAC = claim(KEY, ClaimKind.MAC, "02:00:00:00:00:01")
_stamps = count(1)
FOREIGN = claim(KEY, ClaimKind.HOSTNAME, "worker-2")
BOTH = frozenset({NAME, MAC})


def frame(
    kind: MessageType,
    nonce: bytes,
    standing: Standing,
    claims: frozenset[Claim] = BOTH,
    *answers: bytes,
    heard: bool = False,
) -> bytes:
    (payload,) = encode(Message(kind, nonce, standing, claims, frozenset(answers), heard, stamp=next(_stamps)), KEY)
    return payload


def conflict(nonce: bytes, standing: Standing, claims: frozenset[Claim] = BOTH, *, heard: bool = True) -> bytes:
    return frame(MessageType.CONFLICT, nonce, standing, claims, OWN, heard=heard)


def sent(effects: tuple[Effect, ...]) -> list[Message]:
    return [decode(effect.payload, KEY) for effect in effects if isinstance(effect, Send)]


def reported(effects: tuple[Effect, ...]) -> list[Effect]:
    return [effect for effect in effects if not isinstance(effect, Send)]


def run(census: Census, until_s: float) -> list[tuple[float, Effect]]:
    """Call `tick` at each deadline up to a time."""
    log: list[tuple[float, Effect]] = []
    while census.deadline is not None and census.deadline <= until_s:
        now = census.deadline
        log += [(now, effect) for effect in census.tick(now)]
    return log


def probing(standing: Standing = Standing.PROBING) -> Census:
    """A machine that has sent its first probes."""
    census = Census(OWN, KEYRING)
    census.probe(0.0, BOTH, standing)
    run(census, 0.2)
    return census


def ready() -> Census:
    """A machine that is READY at second 1 and has been quiet for a while at second 100."""
    census = Census(OWN, KEYRING)
    census.probe(0.0, BOTH, Standing.PROBING)
    run(census, 1.0)
    census.ready(1.0)
    run(census, 100.0)
    return census
