"""The codec: what is said is what is read, and nothing else is ever read."""

from __future__ import annotations

import hmac
import random
import re
import struct
from pathlib import Path

import pytest

from nodeprep.peers.message import (
    ANSWERS_MAX,
    ETHERTYPE,
    PAYLOAD_MAX_BYTES,
    ROLE_MAX_BYTES,
    BadFrame,
    Claim,
    ClaimKind,
    Message,
    MessageType,
    Reason,
    Standing,
    claim,
    decode,
    encode,
    peek,
    role_of,
)

KEY = bytes(range(32))
NONCE = bytes(range(16))
OTHER = bytes(range(16, 32))
DOCUMENT = Path(__file__).parents[3] / "docs" / "protocol.md"
STAMP = 0x0102030405060708
HOSTNAME = claim(KEY, ClaimKind.HOSTNAME, "worker-1")
PROBE = Message(MessageType.PROBE, NONCE, Standing.PROBING, frozenset({HOSTNAME}))
CONFLICT = Message(
    MessageType.CONFLICT,
    NONCE,
    Standing.READY,
    frozenset({HOSTNAME}),
    answers=frozenset({OTHER}),
    heard=True,
    role="worker",
    stamp=STAMP,
)

# Written out by hand from the layout in docs/protocol.md; the MAC and the token by `openssl dgst -mac HMAC`.
GOLDEN = bytes.fromhex(
    "6e647072 01 005c 000102030405060708090a0b0c0d0e0f 0102030405060708"
    "02 01 02 06 01 01"
    "776f726b6572"
    "101112131415161718191a1b1c1d1e1f"
    "02 ccab318ac424e1daca3528c80a6344d2"
    "6da0c69664c33e3a2717973bcd5d0e4d"
)


def sealed(body: bytes, key: bytes = KEY, version: int = 1, length: int | None = None) -> bytes:
    """Return an authentic frame with any body at all."""
    size = 31 + len(body) + 16 if length is None else length
    frame = struct.pack(">4sBH16sQ", b"ndpr", version, size, NONCE, STAMP) + body
    return frame + hmac.digest(hmac.digest(key, b"nodeprep peers 1 frame", "sha256"), frame, "sha256")[:16]


def body(
    kind: int = 1,
    standing: int = 0,
    answers: tuple[bytes, ...] = (),
    claims: tuple[tuple[int, bytes], ...] = (),
    flags: int = 0,
    role: bytes = b"",
) -> bytes:
    return b"".join(
        (
            bytes((kind, flags, standing, len(role), len(answers), len(claims))),
            role,
            *answers,
            *(bytes((number,)) + token for number, token in claims),
        )
    )


def reason(payload: bytes, key: bytes = KEY) -> Reason:
    with pytest.raises(BadFrame) as caught:
        decode(payload, key)
    return caught.value.reason


def many_claims(count: int) -> frozenset[Claim]:
    return frozenset(claim(KEY, ClaimKind.IPV6, f"2001:db8::{number:x}") for number in range(count))


@pytest.mark.parametrize("heard", [False, True])
@pytest.mark.parametrize("standing", Standing)
@pytest.mark.parametrize("kind", MessageType)
def test_a_message_is_read_as_it_was_said(kind: MessageType, standing: Standing, heard: bool) -> None:
    answers = frozenset({OTHER, bytes(16)}) if kind is MessageType.CONFLICT else frozenset()
    claims = frozenset(claim(KEY, each, "value") for each in ClaimKind)
    message = Message(kind, NONCE, standing, claims, answers, heard and bool(answers))
    (payload,) = encode(message, KEY)
    assert decode(payload, KEY) == message


def test_the_bytes_on_the_wire_never_change() -> None:
    assert encode(CONFLICT, KEY) == (GOLDEN,)
    assert ETHERTYPE == 0x88B5


def test_the_document_shows_those_very_bytes() -> None:
    text = DOCUMENT.read_text(encoding="utf-8")
    example = text.split("An example, authentic")[1].split("##")[0]
    rows = re.findall(r"^    ((?:[0-9a-f]{2,} ?)+)", example, re.MULTILINE)
    assert bytes.fromhex("".join(rows)) == GOLDEN
    for kind in ClaimKind:
        assert re.search(rf"\b{int(kind)} {kind.name.split('_')[0].lower()}", text.lower()), kind


def test_a_claim_is_the_same_for_equal_values_and_another_for_any_other() -> None:
    claims = {
        claim(key, kind, value)
        for key in (KEY, bytes(32))
        for kind in (ClaimKind.IPV4, ClaimKind.HOSTNAME)
        for value in ("10.0.0.1", "10.0.0.2")
    }
    assert len({each.token for each in claims}) == 8
    assert claim(KEY, ClaimKind.IPV4, "10.0.0.1") in claims


def test_no_frame_shows_the_value_that_it_claims() -> None:
    assert all(b"worker-1" not in payload for payload in encode(PROBE, KEY))


@pytest.mark.parametrize("message", [PROBE, CONFLICT])
def test_a_flip_of_any_one_bit_is_rejected(message: Message) -> None:
    (payload,) = encode(message, KEY)
    for bit in range(8 * len(payload)):
        flipped = bytearray(payload)
        flipped[bit // 8] ^= 1 << bit % 8
        reason(bytes(flipped))


def test_a_frame_cut_short_anywhere_is_rejected() -> None:
    (payload,) = encode(CONFLICT, KEY)
    assert {reason(payload[:length]) for length in range(4)} == {Reason.NOT_OURS}
    assert {reason(payload[:length]) for length in range(4, len(payload))} == {Reason.MALFORMED}


@pytest.mark.parametrize("padding", [bytes(2), bytes(46), b"\xff" * 4])
def test_the_padding_of_a_short_frame_is_not_read(padding: bytes) -> None:
    (payload,) = encode(PROBE, KEY)
    assert decode(payload + padding, KEY) == PROBE


def test_a_frame_of_another_fleet_is_unauthentic() -> None:
    (payload,) = encode(PROBE, bytes(32))
    assert reason(payload) is Reason.UNAUTHENTIC


def test_a_frame_of_another_protocol_is_not_ours() -> None:
    assert reason(b"\x45\x00" + bytes(60)) is Reason.NOT_OURS


def test_a_later_version_is_told_from_a_forgery() -> None:
    assert reason(sealed(body(), version=2)) is Reason.VERSION


def test_nothing_behind_the_header_is_parsed_before_the_mac() -> None:
    nonsense = bytes((0xFF,)) * 60
    assert reason(sealed(nonsense, key=bytes(32))) is Reason.UNAUTHENTIC
    assert reason(sealed(nonsense)) is Reason.MALFORMED


@pytest.mark.parametrize("length", [0, 31, 52, 0xFFFF])
def test_a_length_that_cannot_be_is_malformed(length: int) -> None:
    assert reason(sealed(body(), length=length)) is Reason.MALFORMED


def test_an_authentic_frame_of_more_than_the_agreed_size_is_malformed() -> None:
    token = bytes(16)
    assert len(decode(sealed(body(claims=tuple((1, token) for _ in range(79)))), KEY).claims) == 1
    assert reason(sealed(body(claims=tuple((1, token) for _ in range(80))))) is Reason.MALFORMED


@pytest.mark.parametrize(
    "bad",
    [
        body(kind=0),
        body(kind=4),
        body(standing=3),
        body() + b"\x00",
        body(claims=((1, bytes(16)),))[:-1],
        body(kind=2),
        body(kind=1, answers=(OTHER,)),
        body(kind=1, flags=1),
        body(role=b"\x1b[2J"),
        body(role=b"Worker"),
        body(role=b"\xc3\xa4"),
        body(role=b"a" * (ROLE_MAX_BYTES + 1)),
        body(kind=2, answers=tuple(bytes((number,)) * 16 for number in range(ANSWERS_MAX + 1))),
    ],
    ids=[
        "type 0",
        "unknown type",
        "unknown standing",
        "a byte too many",
        "a byte too few",
        "a conflict with nobody",
        "a probe that answers",
        "a probe that heard",
        "a role that clears a terminal",
        "a role in capitals",
        "a role outside ASCII",
        "a role too long",
        "too many answers",
    ],
)
def test_an_authentic_frame_that_this_version_cannot_mean_is_malformed(bad: bytes) -> None:
    assert reason(sealed(bad)) is Reason.MALFORMED


def test_a_claim_of_an_unknown_kind_is_skipped_and_the_others_are_read() -> None:
    payload = sealed(body(claims=((0, bytes(16)), (200, bytes(16)), (HOSTNAME.kind, HOSTNAME.token))))
    assert decode(payload, KEY) == PROBE


@pytest.mark.parametrize("answers_count", [0, ANSWERS_MAX])
@pytest.mark.parametrize("count", [0, 1, 33, 34, 35, 78, 79, 80, 300])
def test_claims_that_do_not_fit_in_one_frame_are_spread_over_several(count: int, answers_count: int) -> None:
    answers = frozenset(bytes((number,)) * 16 for number in range(answers_count))
    kind = MessageType.CONFLICT if answers else MessageType.ANNOUNCE
    message = Message(kind, NONCE, Standing.READY, many_claims(count), answers)
    payloads = encode(message, KEY)
    parts = [decode(payload, KEY) for payload in payloads]
    assert max(map(len, payloads)) <= PAYLOAD_MAX_BYTES
    assert frozenset[Claim]().union(*(part.claims for part in parts)) == message.claims
    assert all(part.answers == answers for part in parts)
    assert len(payloads) == max(1, -(-count // (34 if answers else 79)))


@pytest.mark.parametrize(
    ("roles", "shown"),
    [
        ((), ""),
        (("worker", "etcd"), "worker,etcd"),
        (("Worker", "etcd"), "etcd"),
        (("a" * 20, "b" * 20, "c"), "a" * 20 + ",c"),
        (("käse", "x\x1b[2J", "w"), "w"),
    ],
)
def test_of_the_roles_travels_what_fits_and_can_be_shown(roles: tuple[str, ...], shown: str) -> None:
    assert role_of(roles) == shown
    message = Message(MessageType.PROBE, NONCE, Standing.PROBING, frozenset(), role=role_of(roles))
    assert decode(encode(message, KEY)[0], KEY).role == shown


def test_each_frame_of_a_message_is_younger_than_the_one_before() -> None:
    message = Message(MessageType.ANNOUNCE, NONCE, Standing.READY, many_claims(200), stamp=5)
    assert [peek(payload) for payload in encode(message, KEY)] == [(NONCE, 5), (NONCE, 6), (NONCE, 7)]


@pytest.mark.parametrize("key", [b"", bytes(15)])
def test_a_fleet_key_that_anybody_could_guess_is_refused(key: bytes) -> None:
    with pytest.raises(ValueError, match="fleet key"):
        decode(GOLDEN, key)
    with pytest.raises(ValueError, match="fleet key"):
        claim(key, ClaimKind.MAC, "02:00:00:00:00:01")


def test_noise_is_either_a_message_or_a_bad_frame() -> None:
    rng = random.Random(20240229)
    genuine = [encode(message, KEY)[0] for message in (PROBE, CONFLICT)]
    read = 0
    for _ in range(20_000):
        match rng.randrange(4):
            case 0:
                payload = rng.randbytes(rng.randrange(120))
            case 1:
                payload = b"ndpr\x01" + rng.randbytes(rng.randrange(120))
            case 2:
                frame = bytearray(rng.choice(genuine))
                frame[rng.randrange(len(frame))] = rng.randrange(256)
                payload = bytes(frame)
            case _:
                small = bytes(rng.choice((0, 1, 2, 3, rng.randrange(256))) for _ in range(3))
                counts = bytes((0, rng.randrange(3), rng.randrange(3)))
                payload = sealed(small + counts + rng.randbytes(rng.choice((0, 16, 17, 33, 34))))
        try:
            read += isinstance(decode(payload, KEY), Message)
        except BadFrame:
            continue
    assert read > 50
