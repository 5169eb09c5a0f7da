"""Rules: who keeps a contested claim, how the census keeps time, and the effects it may ask for.

Everything here is data or a pure function of it; `Census` gives it its order in time.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import TypeAlias

from nodeprep.peers.message import Claim, ClaimKind, Reason, Standing


class Outcome(Enum):
    """How a contest ends for us."""

    KEEP = "keep"
    YIELD = "yield"
    DISPUTE = "dispute"
    """Nobody yields; an operator decides."""


def judge(own: tuple[Standing, bytes], other: tuple[Standing, bytes]) -> Outcome:
    """Return our outcome of a contest between two holders, each a standing and a nonce; the other's is the opposite."""
    if own[0] is not other[0]:
        return Outcome.KEEP if own[0] > other[0] else Outcome.YIELD
    if own[0] is not Standing.PROBING:
        return Outcome.DISPUTE
    return Outcome.KEEP if own[1] < other[1] else Outcome.YIELD


@dataclass(frozen=True, slots=True)
class Timing:
    """The census's intervals.

    As in RFC 5227 section 1.1, scaled down: what it spreads over seven seconds for the sake of slow links has to fit
    before the kubelet here. An uncontested probe is clear after `jitter + probes × interval + last wait`: 0.65–0.7 s.
    Of 40 000 simulated boots beside a READY twin, on a segment that loses 30 % of all frames, 2 missed it;
    the announcements find what is left.
    """

    jitter_max_s: float = 0.05
    probe_num: int = 8
    probe_interval_s: float = 0.075
    last_wait_s: float = 0.05
    """On top of the last interval: leaves a defender time to repeat itself."""
    seek_num: int = 5
    """Probes for what is only sought, and probed once more when it is presented: about as long as ARP is asked."""
    extension_num: int = 4
    """Probes still to be sent, at least, after a contest that we keep."""
    probing_max_s: float = 1.5
    """No contest extends the probing beyond this."""
    answer_interval_s: float = 0.05
    answer_tries: int = 3
    announce_min_s: float = 1.0
    """Imin of RFC 6206."""
    announce_max_s: float = 512.0
    """Imax of RFC 6206, as a duration."""
    contested_max_s: float = 5.0
    """Stands in for Imax while there is a contest whose end must be noticed."""
    expiry_s: float = 20.0
    """A contest without evidence for so long is over."""


DEFAULT_TIMING = Timing()


@dataclass(frozen=True, slots=True)
class Source:
    """Where a frame came from: the link that it was heard on, and its sender's address there (on Ethernet its MAC)."""

    link: str
    address: str


NOWHERE = Source("", "")
UNICAST = "unicast/udp"
"""The link of all that comes from beyond routers; none can be called so."""


@dataclass(frozen=True, slots=True)
class Peer:
    """What is known of one peer, for the report; `contested` is what it provably presents as well as we do."""

    name: str
    standing: Standing
    seen_s: float
    contested: frozenset[ClaimKind]
    outcome: Outcome | None
    role: str = ""
    sources: tuple[Source, ...] = ()
    """Where it was heard: the last address on each link, the most recent last."""
    key: str = ""
    """The ID of the fleet key that it speaks."""
    addresses: frozenset[bytes] = frozenset()
    """The tokens of the addresses that it last claimed."""


@dataclass(frozen=True, slots=True)
class Send:
    """Broadcast this payload on that link; empty stands for every link that no claim of ours is confined to.

    to: the nonces that it is addressed to, for a transport that cannot broadcast; empty stands for everybody.
    """

    payload: bytes
    link: str = ""
    to: frozenset[bytes] = frozenset()


@dataclass(frozen=True, slots=True)
class Lost:
    """We must yield these claims: renew and `probe` again, or `hold`."""

    claims: frozenset[Claim]
    to: bytes
    standing: Standing


@dataclass(frozen=True, slots=True)
class Kept:
    """The peer presents these claims and must yield them."""

    claims: frozenset[Claim]
    against: bytes
    standing: Standing


@dataclass(frozen=True, slots=True)
class Dispute:
    """The peer presents these claims, and neither yields. Who has not said READY must not say it: `hold`."""

    claims: frozenset[Claim]
    against: bytes
    standing: Standing


@dataclass(frozen=True, slots=True)
class Resolved:
    """The peer has not shown these claims for `expiry_s`, or we do not hold them any more."""

    claims: frozenset[Claim]
    against: bytes


@dataclass(frozen=True, slots=True)
class Clear:
    """Nobody outranks our claims: the caller may say READY, and calls `ready` when it does."""


@dataclass(frozen=True, slots=True)
class Rejected:
    """A frame that was not a peer's; it changed nothing but a counter."""

    reason: Reason


Effect: TypeAlias = Send | Lost | Kept | Dispute | Resolved | Clear | Rejected
