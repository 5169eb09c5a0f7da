"""Message: what one frame between peers says, and its bytes on the wire.

Payloads follow the Ethernet header of a broadcast frame with the EtherType that IEEE Std 802 reserves for local
experiments (IEEE Std 802a-2003; RFC 9542 appendix B). All integers are big-endian:

    magic 4 | version 1 | length 2 | nonce 16 | stamp 8
    | type 1 | flags 1 | standing 1 | role r 1 | answers n 1 | claims m 1
    | r bytes of role | n nonces of 16 | m claims of kind 1, token 16 | MAC 16

`length` counts from the magic to the end of the MAC; whatever follows is Ethernet padding. The MAC is HMAC-SHA256
(RFC 2104) over all that precedes it, truncated to 16 bytes (RFC 2104 section 5), and is compared before anything
behind `stamp` is parsed. Claims are keyed as well, so that no identity leaves the machine (machine-id(5)).

`nonce` and `stamp` lie at fixed places, so that a frame can be dropped, never believed, before the MAC is computed:
`stamp` grows with every frame of one nonce, and a frame that is no younger than what was heard is a copy or a replay.
The whole format, with an example, is in docs/protocol.md.
"""

from __future__ import annotations

import hmac
import struct
from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum, IntEnum
from functools import lru_cache
from typing import Final

ETHERTYPE: Final = 0x88B5
"""IEEE Std 802 Local Experimental EtherType 1."""

PAYLOAD_MAX_BYTES: Final = 1400
ANSWERS_MAX: Final = 48
NONCE_BYTES: Final = 16
TOKEN_BYTES: Final = 16
STAMP_MAX: Final = 2**64 - 1
ROLE_MAX_BYTES: Final = 32
ROLE_CHARACTERS: Final = b"abcdefghijklmnopqrstuvwxyz0123456789.,_-"
"""Those of role names and of the comma between two; a terminal can be shown nothing else."""
FLEET_KEY_MIN_BYTES: Final = 16
KEY_ID_BYTES: Final = 4

MAGIC: Final = b"ndpr"
VERSION: Final = 1
_HEADER: Final = struct.Struct(">4sBH16sQ")
_BODY: Final = struct.Struct(">BBBBBB")
_CLAIM: Final = struct.Struct(">B16s")
_MAC_BYTES: Final = 16
_FLAG_HEARD: Final = 0x01
FRAME_MIN_BYTES: Final = _HEADER.size + _BODY.size + _MAC_BYTES


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
    STALE = "stale"
    """No younger than what this nonce has said: a copy that came by another way, or a replay."""
    LIMITED = "limited"
    """Its sender, or all senders together, say more than is worth the work of authentication."""


class BadFrame(ValueError):  # noqa: N818 (a verdict on a frame, not an error of ours)
    """A frame that says nothing; `reason` says why."""

    def __init__(self, reason: Reason) -> None:
        super().__init__(reason.value)
        self.reason = reason


_KINDS: Final = {int(kind): kind for kind in ClaimKind}
_TYPES: Final = {int(kind): kind for kind in MessageType}
_STANDINGS: Final = {int(standing): standing for standing in Standing}


@dataclass(frozen=True, slots=True, order=True)
class Claim:
    """One identity that a machine presents, told by a keyed token.

    `link` never travels. It says on which link alone the claim is ours (an address is unique in its segment only: every
    VirtualBox guest has 10.0.2.15 on a network of its own); empty stands for all of them. `others` are its tokens under
    the other keys that are accepted; one of them travels in its place where that key is spoken.
    """

    kind: ClaimKind
    token: bytes
    link: str = ""
    others: tuple[bytes, ...] = field(default=(), compare=False)

    def __post_init__(self) -> None:
        if len(self.token) != TOKEN_BYTES:
            raise ValueError(f"a claim's token has {TOKEN_BYTES} bytes, not {len(self.token)}")

    def under(self, number: int) -> Claim:
        """Return the claim as it travels under the key of that number."""
        return Claim(self.kind, self.others[number - 1]) if number else self


@dataclass(frozen=True, slots=True)
class Message:
    """What one peer says to the segment.

    `answers` holds the nonces of the peers that a CONFLICT is addressed to, and is empty in any other type. `heard`
    says that each of them has reached the sender in the same way, and so need not answer again. `role` is for people.
    `stamp` is the first frame's; each further one adds one.
    """

    type: MessageType
    nonce: bytes
    standing: Standing
    claims: frozenset[Claim]
    answers: frozenset[bytes] = frozenset()
    heard: bool = False
    role: str = ""
    stamp: int = field(default=0, compare=False)

    def __post_init__(self) -> None:
        if any(len(nonce) != NONCE_BYTES for nonce in (self.nonce, *self.answers)):
            raise ValueError(f"a nonce has {NONCE_BYTES} bytes")
        if len(self.answers) > ANSWERS_MAX:
            raise ValueError(f"one message answers {ANSWERS_MAX} peers at most, not {len(self.answers)}")
        if (self.type is MessageType.CONFLICT) != bool(self.answers):
            raise ValueError("a CONFLICT answers somebody, and nothing else does")
        if self.heard and not self.answers:
            raise ValueError("only what answers somebody has heard them")
        if not 0 <= self.stamp <= STAMP_MAX:
            raise ValueError("a stamp has 8 bytes")
        if self.role and role_of((self.role,)) != self.role:
            raise ValueError(f"{self.role!r} cannot be a role")


def claim(fleet_key: bytes, kind: ClaimKind, value: str) -> Claim:
    """Return the claim to one value; equal values in their canonical spelling give equal claims."""
    token = _hmac(_subkey(fleet_key, "claim"), bytes((kind,)) + value.encode())
    return Claim(kind, token[:TOKEN_BYTES])


def key_id(fleet_key: bytes) -> str:
    """Return what tells a fleet key from others and may be shown to anybody: 8 hex digits."""
    return _subkey(fleet_key, "id")[:KEY_ID_BYTES].hex()


def role_of(roles: Iterable[str]) -> str:
    """Return the role as it travels: of the names, those that fit and a frame can carry."""
    shown = ""
    for name in roles:
        longer = f"{shown},{name}" if shown else name
        if len(longer) <= ROLE_MAX_BYTES and longer.isascii() and not longer.encode().translate(None, ROLE_CHARACTERS):
            shown = longer
    return shown


def encode(message: Message, fleet_key: bytes) -> tuple[bytes, ...]:
    """Return the payloads that say the message, each of at most PAYLOAD_MAX_BYTES; together they carry all claims."""
    front = message.role.encode() + b"".join(sorted(message.answers))
    room = (PAYLOAD_MAX_BYTES - FRAME_MIN_BYTES - len(front)) // _CLAIM.size
    claims = sorted({(each.kind, each.token) for each in message.claims})
    key = _subkey(fleet_key, "frame")
    return tuple(
        _seal(message, number, front, claims[start : start + room], key)
        for number, start in enumerate(range(0, max(len(claims), 1), room))
    )


def peek(payload: bytes) -> tuple[bytes, int]:
    """Return the nonce and the stamp that a frame gives, of which nothing is proven yet.

    Good for dropping it. Raises BadFrame where there is no frame of this version.
    """
    if not payload.startswith(MAGIC):
        raise BadFrame(Reason.NOT_OURS)
    if len(payload) < _HEADER.size:
        raise BadFrame(Reason.MALFORMED)
    _, version, length, nonce, stamp = _HEADER.unpack_from(payload)
    if version != VERSION:
        raise BadFrame(Reason.VERSION)
    if not FRAME_MIN_BYTES <= length <= min(len(payload), PAYLOAD_MAX_BYTES):
        raise BadFrame(Reason.MALFORMED)
    return nonce, stamp


def decode(payload: bytes, fleet_key: bytes) -> Message:
    """Return the message of one payload, without the claims of unknown kinds; raise BadFrame if there is none."""
    key = _subkey(fleet_key, "frame")
    nonce, stamp = peek(payload)
    length = int.from_bytes(payload[5:7], "big")
    end = length - _MAC_BYTES
    if not hmac.compare_digest(_hmac(key, payload[:end])[:_MAC_BYTES], payload[end:length]):
        raise BadFrame(Reason.UNAUTHENTIC)
    return _parse(nonce, stamp, payload[_HEADER.size : end])


def _seal(message: Message, number: int, front: bytes, claims: list[tuple[ClaimKind, bytes]], key: bytes) -> bytes:
    """Return one authentic payload with a part of the claims."""
    length = FRAME_MIN_BYTES + len(front) + len(claims) * _CLAIM.size
    flags = _FLAG_HEARD if message.heard else 0
    counts = (len(message.role), len(message.answers), len(claims))
    frame = b"".join(
        (
            _HEADER.pack(MAGIC, VERSION, length, message.nonce, message.stamp + number),
            _BODY.pack(message.type, flags, message.standing, *counts),
            front,
            *(_CLAIM.pack(kind, token) for kind, token in claims),
        )
    )
    return frame + _hmac(key, frame)[:_MAC_BYTES]


def _parse(nonce: bytes, stamp: int, body: bytes) -> Message:
    """Return the message of an authentic body; raise BadFrame for what this version cannot mean."""
    kind, flags, standing, role_bytes, answers_count, claims_count = _BODY.unpack_from(body)
    role_end = _BODY.size + role_bytes
    answers_end = role_end + answers_count * NONCE_BYTES
    if len(body) != answers_end + claims_count * _CLAIM.size:
        raise BadFrame(Reason.MALFORMED)
    try:
        return Message(
            type=_TYPES[kind],
            nonce=nonce,
            standing=_STANDINGS[standing],
            claims=frozenset(
                Claim(_KINDS[number], token)
                for number, token in _CLAIM.iter_unpack(body[answers_end:])
                if number in _KINDS
            ),
            answers=frozenset(body[start : start + NONCE_BYTES] for start in range(role_end, answers_end, NONCE_BYTES)),
            heard=bool(flags & _FLAG_HEARD),
            role=body[_BODY.size : role_end].decode("ascii"),
            stamp=stamp,
        )
    except (KeyError, ValueError) as error:
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
