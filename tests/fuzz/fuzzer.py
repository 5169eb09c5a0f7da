"""A fuzzer of the codec, guided by coverage: an input that takes a new way through the codec is kept and mutated on.

    python -m tests.fuzz.fuzzer 60        # sixty seconds; what is new goes into tests/fuzz/corpus

A way is the set of jumps between lines of nodeprep/peers/message.py (sys.settrace), of any Python 3; nothing of
libFuzzer is needed, and a seed plays the same run again. Since a random change never survives the authentication,
half of the inputs are given a genuine MAC afterwards: the parser behind it is what an insider can reach.
"""

from __future__ import annotations

import hashlib
import hmac
import random
import sys
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from types import FrameType
from typing import Any

from nodeprep.peers import message as codec

KEY = bytes(range(32))
CORPUS = Path(__file__).parent / "corpus"
CODE = codec.__file__
HEADER, TRAILER = 31, 16
INTERESTING = (0, 1, 2, 3, 4, 6, 7, 16, 17, 32, 33, 48, 49, 78, 79, 80, 127, 128, 255)

Jump = tuple[int, int]


def genuine() -> tuple[bytes, ...]:
    """Return frames that are right: what the corpus grows from."""
    claims = frozenset(codec.claim(KEY, kind, "value") for kind in codec.ClaimKind)
    some = (
        codec.Message(codec.MessageType.PROBE, bytes(16), codec.Standing.PROBING, claims, role="worker", stamp=1),
        codec.Message(codec.MessageType.ANNOUNCE, b"\xff" * 16, codec.Standing.READY, frozenset(), stamp=2**64 - 1),
        codec.Message(
            codec.MessageType.CONFLICT, bytes(range(16)), codec.Standing.JOINED, claims,
            frozenset(bytes((number,)) * 16 for number in range(3)), heard=True, role="control-plane,etcd",
        ),
    )  # fmt: skip
    return tuple(payload for one in some for payload in codec.encode(one, KEY))


def check(payload: bytes) -> str:
    """Assert what must hold of any payload; return what it is."""
    try:
        read = codec.decode(payload, KEY)
    except codec.BadFrame as bad:
        return bad.reason.value
    assert len(payload) >= codec.FRAME_MIN_BYTES
    assert codec.peek(payload) == (read.nonce, read.stamp)
    assert len(read.answers) <= codec.ANSWERS_MAX
    assert len(read.role) <= codec.ROLE_MAX_BYTES
    assert not read.role.encode().translate(None, codec.ROLE_CHARACTERS)
    (again,) = codec.encode(read, KEY)
    assert len(again) <= codec.PAYLOAD_MAX_BYTES
    assert codec.decode(again, KEY) == read
    return read.type.name.lower()


def seal(frame: bytes) -> bytes:
    """Return the frame with the length and the MAC that are right for it."""
    body = frame[: max(HEADER, min(len(frame) - TRAILER, codec.PAYLOAD_MAX_BYTES - TRAILER))].ljust(HEADER, b"\0")
    whole = body[:5] + (len(body) + TRAILER).to_bytes(2, "big") + body[7:]
    key = hmac.digest(KEY, b"nodeprep peers 1 frame", "sha256")
    return whole + hmac.digest(key, whole, "sha256")[:TRAILER]


def mutate(rng: random.Random, corpus: list[bytes]) -> bytes:
    """Return a child of one or two of the corpus."""
    frame = bytearray(rng.choice(corpus))
    for _ in range(rng.choice((1, 1, 2, 4, 8))):
        at = rng.randrange(len(frame) + 1)
        match rng.randrange(7):
            case 0 if at < len(frame):
                frame[at] ^= 1 << rng.randrange(8)
            case 1 if at < len(frame):
                frame[at] = rng.choice(INTERESTING)
            case 2 if len(frame) > HEADER + 6:
                frame[HEADER + rng.randrange(6)] = rng.choice(INTERESTING)
            case 3:
                del frame[at : at + rng.choice((1, 2, 16, 17, 100))]
            case 4:
                frame[at:at] = rng.randbytes(rng.choice((1, 2, 16, 17, 33, 400)))
            case 5:
                other = rng.choice(corpus)
                frame[at:] = other[rng.randrange(len(other) + 1) :]
            case _:
                frame[at:at] = frame[at : at + rng.choice((16, 17, 34))]
    return seal(bytes(frame)) if rng.random() < 0.5 else bytes(frame[:4096])


def traced(work: Callable[[], Any]) -> frozenset[Jump]:
    """Return the jumps between lines of the codec that a piece of work takes."""
    jumps: set[Jump] = set()
    last = 0

    def line(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal last
        jumps.add((last, frame.f_lineno))
        last = frame.f_lineno
        return line

    def call(frame: FrameType, event: str, _: Any) -> Any:
        return line if frame.f_code.co_filename == CODE else None

    before = sys.gettrace()
    sys.settrace(call)
    try:
        work()
    finally:
        sys.settrace(before)
    return frozenset(jumps)


def covered(payloads: Iterable[bytes]) -> frozenset[Jump]:
    """Return the jumps that these payloads take together."""
    return frozenset(jump for payload in payloads for jump in traced(lambda payload=payload: check(payload)))  # type: ignore[misc]


def fuzz(seed: int, corpus: Iterable[bytes], inputs: int) -> tuple[list[bytes], frozenset[Jump]]:
    """Return the inputs that took a new way, and all jumps that were taken. An AssertionError names the input."""
    rng = random.Random(seed)
    kept = list(corpus)
    jumps = set(covered(kept))
    new = []
    for _ in range(inputs):
        payload = mutate(rng, kept)
        try:
            taken = traced(lambda payload=payload: check(payload))  # type: ignore[misc]
        except Exception as error:
            raise AssertionError(f"{error!r} for {payload.hex()}") from error
        if not taken <= jumps:
            jumps |= taken
            kept.append(payload)
            new.append(payload)
    return new, frozenset(jumps)


def load() -> list[bytes]:
    """Return the corpus that is kept."""
    return [bytes.fromhex(path.read_text()) for path in sorted(CORPUS.iterdir())]


def save(payload: bytes) -> None:
    """Keep an input."""
    (CORPUS / f"{hashlib.sha256(payload).hexdigest()[:16]}.hex").write_text(f"{payload.hex()}\n")


def main() -> None:
    """Fuzz for so many seconds."""
    until_s = time.monotonic() + float(sys.argv[1])
    seed = time.time_ns()
    for payload in genuine():
        save(payload)
    corpus = load()
    tried = 0
    while time.monotonic() < until_s:
        new, jumps = fuzz(seed, corpus, 2000)
        for payload in new:
            save(payload)
        corpus += new
        seed, tried = seed + 1, tried + 2000
        print(f"{tried} inputs, {len(jumps)} jumps, {len(corpus)} in the corpus, {len(new)} new")


if __name__ == "__main__":
    main()
