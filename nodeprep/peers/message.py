"""Message: what one frame between peers says, and its bytes on the wire.

Payloads follow the Ethernet header of a broadcast frame with the EtherType that IEEE Std 802 reserves for local
experiments (IEEE Std 802a-2003; RFC 9542 appendix B). All integers are big-endian:

    magic 4 | version 1 | length 2 | type 1 | flags 1 | standing 1 | nonce 16 | answers n 1 | claims m 1
    | n nonces of 16 | m claims of kind 1, token 16 | MAC 16

`length` counts from the magic to the end of the MAC; whatever follows is Ethernet padding. The MAC is HMAC-SHA256
(RFC 2104) over all that precedes it, truncated to 16 bytes (RFC 2104 section 5), and is compared before anything
behind `length` is parsed. Claims are keyed as well, so that no identity leaves the machine (machine-id(5)).
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import lru_cache
from typing import Final

ETHERTYPE: Final = 0x88B5
"""IEEE Std 802 Local Experimental EtherType 1."""

PAYLOAD_MAX_BYTES: Final = 1400
ANSWERS_MAX: Final = 48
NONCE_BYTES: Final = 16
TOKEN_BYTES: Final = 16
FLEET_KEY_MIN_BYTES: Final = 16

_MAGIC: Final = b"ndpr"
_VERSION: Final = 1
_HEADER: Final = struct.Struct(">4sBH")
_BODY: Final = struct.Struct(">BBB16sBB")
_CLAIM: Final = struct.Struct(">B16s")
_MAC_BYTES: Final = 16
_FLAG_HEARD: Final = 0x01
_FRAME_MIN_BYTES: Final = _HEADER.size + _BODY.size + _MAC_BYTES


class ClaimKind(IntEnum):
    """What a claim is about; the numbers are on the wire and never change."""

    MACHINE_ID = 1
    HOSTNAME = 2
    MAC = 3
    IPV4 = 4
    IPV6 = 5
    SSH_HOST_KEY = 6


class MessageType(IntEnum):
    """What a frame is for (RFC 5227 section 1.1)."""

    PROBE = 1
    CONFLICT = 2
    ANNOUNCE = 3


class Standing(IntEnum):
    """How firmly the sender holds its claims; the greater keeps."""

    PROBING = 0
    JOINED = 1
    READY = 2


class Reason(Enum):
    """Why a frame was rejected."""

    NOT_OURS = "not-ours"
    VERSION = "version"
    UNAUTHENTIC = "unauthentic"
    MALFORMED = "malformed"


class BadFrame(ValueError):  # noqa: N818 (a verdict on a frame, not an error of ours)
    """A frame that says nothing; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


_KINDS: Final = {int(kind): kind for kind in ClaimKind}


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """One identity that a machine presents, told by a keyed token."""

    kind: ClaimKind
    token: bytes

    def __post_init__(self) -> None:
        if len(self.token) != TOKEN_BYTES:
            raise ValueError(f"a claim's token has {TOKEN_BYTES} bytes, not {len(self.token)}")


@dataclass(frozen=True, slots=True)
class Message:
    """What one peer says to the segment.

    `answers` holds the nonces of the peers that a CONFLICT is addressed to, and is empty in any other type. `heard`
    says that each of them has reached the sender in the same way, and so need not answer again.
    """

    type: MessageType
    nonce: bytes
    standing: Standing
    claims: frozenset[Claim]
    answers: frozenset[bytes] = frozenset()
    heard: bool = False

    def __post_init__(self) -> None:
        if any(len(nonce) != NONCE_BYTES for nonce in (self.nonce, *self.answers)):
            raise ValueError(f"a nonce has {NONCE_BYTES} bytes")
        if len(self.answers) > ANSWERS_MAX:
            raise ValueError(f"one message answers {ANSWERS_MAX} peers at most, not {len(self.answers)}")
        if (self.type is MessageType.CONFLICT) != bool(self.answers):
            raise ValueError("a CONFLICT answers somebody, and nothing else does")
        if self.heard and not self.answers:
            raise ValueError("only what answers somebody has heard them")


def claim(fleet_key: bytes, kind: ClaimKind, value: str) -> Claim:
    """Return the claim to one value; equal values in their canonical spelling give equal claims."""
    token = _hmac(_subkey(fleet_key, "claim"), bytes((kind,)) + value.encode())
    return Claim(kind, token[:TOKEN_BYTES])


def encode(message: Message, fleet_key: bytes) -> tuple[bytes, ...]:
    """Return the payloads that say the message, each of at most PAYLOAD_MAX_BYTES; together they carry all claims."""
    nonces = b"".join(sorted(message.answers))
    room = (PAYLOAD_MAX_BYTES - _FRAME_MIN_BYTES - len(nonces)) // _CLAIM.size
    claims = sorted(message.claims)
    key = _subkey(fleet_key, "frame")
    return tuple(
        _seal(message, nonces, claims[start : start + room], key) for start in range(0, max(len(claims), 1), room)
    )


def decode(payload: bytes, fleet_key: bytes) -> Message:
    """Return the message of one payload, without the claims of unknown kinds; raise BadFrame if there is none."""
    key = _subkey(fleet_key, "frame")
    if len(payload) < _HEADER.size:
        raise BadFrame(Reason.NOT_OURS)
    magic, version, length = _HEADER.unpack_from(payload)
    if magic != _MAGIC:
        raise BadFrame(Reason.NOT_OURS)
    if version != _VERSION:
        raise BadFrame(Reason.VERSION)
    if not _FRAME_MIN_BYTES <= length <= min(len(payload), PAYLOAD_MAX_BYTES):
        raise BadFrame(Reason.MALFORMED)
    end = length - _MAC_BYTES
    if not hmac.compare_digest(_hmac(key, payload[:end])[:_MAC_BYTES], payload[end:length]):
        raise BadFrame(Reason.UNAUTHENTIC)
    return _parse(payload[_HEADER.size : end])


def _seal(message: Message, nonces: bytes, claims: list[Claim], key: bytes) -> bytes:
    """Return one authentic payload with a part of the claims."""
    length = _FRAME_MIN_BYTES + len(nonces) + len(claims) * _CLAIM.size
    flags = _FLAG_HEARD if message.heard else 0
    frame = b"".join(
        (
            _HEADER.pack(_MAGIC, _VERSION, length),
            _BODY.pack(message.type, flags, message.standing, message.nonce, len(message.answers), len(claims)),
            nonces,
            *(_CLAIM.pack(each.kind, each.token) for each in claims),
        )
    )
    return frame + _hmac(key, frame)[:_MAC_BYTES]


def _parse(body: bytes) -> Message:
    """Return the message of an authentic body; raise BadFrame for what this version cannot mean."""
    kind, flags, standing, nonce, answers_count, claims_count = _BODY.unpack_from(body)
    answers_end = _BODY.size + answers_count * NONCE_BYTES
    if len(body) != answers_end + claims_count * _CLAIM.size:
        raise BadFrame(Reason.MALFORMED)
    try:
        return Message(
            type=MessageType(kind),
            nonce=nonce,
            standing=Standing(standing),
            claims=frozenset(
                Claim(_KINDS[number], token)
                for number, token in _CLAIM.iter_unpack(body[answers_end:])
                if number in _KINDS
            ),
            answers=frozenset(
                body[start : start + NONCE_BYTES] for start in range(_BODY.size, answers_end, NONCE_BYTES)
            ),
            heard=bool(flags & _FLAG_HEARD),
        )
    except ValueError as error:
        raise BadFrame(Reason.MALFORMED) from error


@lru_cache(maxsize=8)
def _subkey(fleet_key: bytes, purpose: str) -> bytes:
    """Return the fleet key's sub-key for one purpose, so that a claim never doubles as a frame's MAC."""
    if len(fleet_key) < FLEET_KEY_MIN_BYTES:
        raise ValueError(f"a fleet key has at least {FLEET_KEY_MIN_BYTES} bytes")
    return _hmac(fleet_key, b"nodeprep peers 1 " + purpose.encode())


def _hmac(key: bytes, data: bytes) -> bytes:
    """Return HMAC-SHA256 (RFC 2104)."""
    return hmac.digest(key, data, "sha256")
