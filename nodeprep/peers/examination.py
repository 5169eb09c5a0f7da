"""Examination: what a node asks of a peer to have its openings tried from outside, and the bytes of it.

Frames have the header and the MAC of the other frames between peers (`message`), under a magic and a sub-key of their
own, so that neither kind is ever taken for the other. All integers are big-endian:

    magic 4 | version 1 | length 2 | nonce 16 | stamp 8 | type 1 | to 16 | body | MAC 16

    WHO   nobody in particular: who would try my openings?
    HERE  cookie 16 | role r 1 | r bytes
    ASK   cookie 16 | examination 4 | offset 2 | address 16 | name r 1 | r bytes | n 1 | n of protocol 1, ports 2 and 2
    TOLD  examination 4 | state 1 | address 16 | found 16 | offset 2 | m 2 | m results of 1

`to` is the nonce that a frame is for, and zero in WHO. IPv4 addresses are mapped (RFC 4291, 2.5.5.2). A **cookie** is
what an answerer demands back before it does anything: it reached the address that the question came from, so that
nobody has a third party tried. The peer asked works and keeps quiet; the asker asks again until all was told.
"""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv6Address, ip_address
from typing import Final, TypeAlias

from nodeprep.peers.message import NONCE_BYTES, PAYLOAD_MAX_BYTES, ROLE_MAX_BYTES, STAMP_MAX, VERSION, BadFrame, Reason

MAGIC: Final = b"ndpx"
COOKIE_BYTES: Final = 16
RANGES_MAX: Final = 120
PROBES_MAX: Final = 8192
RESULTS_MAX: Final = 1024
"""In one frame."""
NAME_MAX_BYTES: Final = 64
FRAME_MIN_BYTES: Final = 4 + 1 + 2 + NONCE_BYTES + 8 + 1 + NONCE_BYTES + 16

HERE_MAX_BYTES: Final = FRAME_MIN_BYTES + COOKIE_BYTES + 1 + ROLE_MAX_BYTES
_HEADER: Final = struct.Struct(">4sBH16sQB16s")
_ASK: Final = struct.Struct(">16sIH16sB")
_RANGE: Final = struct.Struct(">BHH")
_TOLD: Final = struct.Struct(">IB16s16sHH")
_MAC_BYTES: Final = 16
_EVERYBODY: Final = bytes(NONCE_BYTES)
_PROTOCOLS: Final = {"tcp": 6, "udp": 17}
_NUMBERS: Final = {number: name for name, number in _PROTOCOLS.items()}


class State(IntEnum):
    """How far an examination is; the numbers are on the wire and never change."""

    UNDER_WAY = 1
    DONE = 2
    BUSY = 3
    """Somebody else is being examined; ask again."""
    NOT_YOURS = 4
    """The address to be tried is not seen to be the asker's."""


class Result(IntEnum):
    """What came of trying one port; the numbers are on the wire and never change."""

    PENDING = 0
    ANSWERED = 1
    """TCP: the connection was made. UDP: something came back."""
    REFUSED = 2
    """A reset (RFC 9293), or ICMP port unreachable (RFC 792)."""
    PROHIBITED = 3
    """ICMP says that the host or the network cannot be reached, or may not."""
    SILENT = 4
    FAILED = 5
    """The peer could not try: it has no route, or no address of that family."""


@dataclass(frozen=True, slots=True, order=True)
class Range:
    """Ports to be tried, both included. Raises ValueError where they are none."""

    protocol: str
    """Either "tcp" or "udp"."""
    first_port: int
    last_port: int

    def __post_init__(self) -> None:
        if self.protocol not in _PROTOCOLS or not 0 < self.first_port <= self.last_port < 65536:
            raise ValueError(f"{self.first_port}-{self.last_port}/{self.protocol} are no ports")

    @property
    def ports(self) -> range:
        """The ports."""
        return range(self.first_port, self.last_port + 1)


@dataclass(frozen=True, slots=True)
class Who:
    """A question to all."""


@dataclass(frozen=True, slots=True)
class Here:
    """An answer to it: what to bring back with a question to me alone. `role` is for people."""

    to: bytes
    cookie: bytes
    role: str = ""


@dataclass(frozen=True, slots=True)
class Ask:
    """Try these ports of that address of mine, and look whether my name leads to it; or tell how far it is."""

    to: bytes
    cookie: bytes
    number: int
    """Of the examination: random, of the asker's choice."""
    address: str
    name: str
    ranges: tuple[Range, ...]
    offset: int = 0
    """Of the first result that is wanted."""

    def __post_init__(self) -> None:
        if len(self.ranges) > RANGES_MAX or sum(len(each.ports) for each in self.ranges) > PROBES_MAX:
            raise ValueError(f"one examination has {RANGES_MAX} ranges and {PROBES_MAX} ports at most")
        if len(self.name.encode()) > NAME_MAX_BYTES:
            raise ValueError(f"a name has {NAME_MAX_BYTES} bytes at most")

    @property
    def probes(self) -> tuple[tuple[str, int], ...]:
        """Protocol and port of each try, in the order of the results."""
        return tuple((each.protocol, port) for each in self.ranges for port in each.ports)


@dataclass(frozen=True, slots=True)
class Told:
    """What has come of it so far."""

    to: bytes
    number: int
    state: State
    address: str = ""
    """From which the peer tries; empty as long as it does not know."""
    found: str = ""
    """What the asker's name leads to, as the peer finds it; empty where it leads nowhere."""
    offset: int = 0
    results: tuple[Result, ...] = ()


Body: TypeAlias = Who | Here | Ask | Told
_TYPES: Final[dict[type, int]] = {Who: 1, Here: 2, Ask: 3, Told: 4}


def encode(body: Body, nonce: bytes, stamp: int, key: bytes) -> bytes:
    """Return the payload of one frame."""
    to = _EVERYBODY if isinstance(body, Who) else body.to
    match body:
        case Who():
            rest = b""
        case Here(_, cookie, role):
            rest = cookie + _counted(role)
        case Ask(_, cookie, number, address, name, ranges, offset):
            spans = b"".join(_RANGE.pack(_PROTOCOLS[r.protocol], r.first_port, r.last_port) for r in ranges)
            head = _ASK.pack(cookie, number, offset, _packed(address), len(name.encode()))
            rest = head + name.encode() + bytes((len(ranges),)) + spans
        case Told(_, number, state, address, found, offset, results):
            rest = _TOLD.pack(number, state, _packed(address), _packed(found), offset, len(results)) + bytes(results)
    length = FRAME_MIN_BYTES + len(rest)
    if length > PAYLOAD_MAX_BYTES:
        raise ValueError(f"{length} bytes do not fit into a frame")
    front = _HEADER.pack(MAGIC, VERSION, length, nonce, stamp, _TYPES[type(body)], to) + rest
    return front + _mac(key, front)


def decode(payload: bytes, keys: tuple[bytes, ...]) -> tuple[Body, bytes, int, int]:
    """Return what a frame says, its sender's nonce and stamp, and the number of the key that it is authentic under.

    Raises BadFrame; nothing behind the length is looked at before the MAC was found good.
    """
    if not payload.startswith(MAGIC):
        raise BadFrame(Reason.NOT_OURS)
    if len(payload) < FRAME_MIN_BYTES:
        raise BadFrame(Reason.MALFORMED)
    _, version, length, nonce, stamp, kind, to = _HEADER.unpack_from(payload)
    if version != VERSION:
        raise BadFrame(Reason.VERSION)
    if not FRAME_MIN_BYTES <= length <= min(len(payload), PAYLOAD_MAX_BYTES):
        raise BadFrame(Reason.MALFORMED)
    end = length - _MAC_BYTES
    mac = payload[end:length]
    number = next((n for n, key in enumerate(keys) if hmac.compare_digest(_mac(key, payload[:end]), mac)), None)
    if number is None:
        raise BadFrame(Reason.UNAUTHENTIC)
    try:
        return _parse(kind, to, payload[_HEADER.size : end]), nonce, stamp, number
    except (ValueError, KeyError, IndexError, struct.error) as error:
        raise BadFrame(Reason.MALFORMED) from error


def cookie_for(secret: bytes, nonce: bytes, place: str) -> bytes:
    """Return the cookie for an asker at a place, which only this secret's owner can make."""
    return hmac.digest(secret, nonce + place.encode(), "sha256")[:COOKIE_BYTES]


def next_stamp(last: int, now_s: float) -> int:
    """Return a stamp that is younger than the last one, also of a process that went before us."""
    return min(max(last + 1, int(now_s * 1e6)), STAMP_MAX)


def _parse(kind: int, to: bytes, body: bytes) -> Body:
    match kind:
        case 1:
            _require(not body and to == _EVERYBODY)
            return Who()
        case 2:
            text, end = _text(body, COOKIE_BYTES)
            _require(end == len(body))
            return Here(to, body[:COOKIE_BYTES], text)
        case 3:
            given, number, offset, address, _ = _ASK.unpack_from(body)
            name, end = _text(body, _ASK.size - 1)
            spans = body[end + 1 :]
            _require(len(spans) == body[end] * _RANGE.size and address != bytes(16))
            ranges = tuple(Range(_NUMBERS[p], first, last) for p, first, last in _RANGE.iter_unpack(spans))
            return Ask(to, given, number, _address(address), name, ranges, offset)
        case 4:
            number, state, address, found, offset, count = _TOLD.unpack_from(body)
            results = body[_TOLD.size :]
            _require(len(results) == count <= RESULTS_MAX)
            return Told(
                to, number, State(state), _address(address), _address(found), offset, tuple(map(Result, results))
            )
        case _:
            raise ValueError("no such type")


def _require(holds: bool) -> None:
    if not holds:
        raise ValueError("not as this version has it")


def _counted(text: str) -> bytes:
    return bytes((len(text.encode()),)) + text.encode()


def _text(body: bytes, at: int) -> tuple[str, int]:
    """Return the counted text at a place, of what a terminal can be shown, and where it ends."""
    end = at + 1 + body[at]
    text = body[at + 1 : end].decode("ascii")
    _require(end <= len(body) and len(text) <= NAME_MAX_BYTES and (not text or text.isprintable()))
    return text, end


def _packed(address: str) -> bytes:
    """Return 16 bytes for an address, an IPv4 one mapped; zeros for none."""
    if not address:
        return bytes(16)
    parsed = ip_address(address)
    return parsed.packed if isinstance(parsed, IPv6Address) else b"\0" * 10 + b"\xff\xff" + parsed.packed


def _address(packed: bytes) -> str:
    if packed == bytes(16):
        return ""
    parsed = IPv6Address(packed)
    return str(parsed.ipv4_mapped or parsed)


def _mac(key: bytes, data: bytes) -> bytes:
    """Return the MAC under the sub-key for examinations (RFC 2104, section 5)."""
    subkey = hmac.digest(key, b"nodeprep peers 1 examination", "sha256")
    return hmac.digest(subkey, data, "sha256")[:_MAC_BYTES]
