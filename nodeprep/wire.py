"""The wire: the peers' census in an event loop, with a packet socket on every link.

The census decides, the sockets carry; this file keeps its clock and turns its effects into answers to wait for.
"""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

from nodeprep.errors import HostError
from nodeprep.host.frames import LinkSocket
from nodeprep.host.local import LocalMachine
from nodeprep.model import Claim, Values
from nodeprep.peers import message as codec
from nodeprep.peers.census import Census
from nodeprep.peers.rules import Clear, Dispute, Effect, Kept, Lost, Rejected, Resolved, Send

PROBE_TIMEOUT_S = 5.0
NONCE_FILE = "/run/nodeprep/nonce"
GATHER_S = 0.2
"""After the first loss, how long further ones of the same peer are waited for."""
FRAMES_PER_WAKE = 64
"""A flood of hostile frames gets no more of the loop than this at a time."""

Event = Lost | Kept | Dispute | Resolved | Clear


@dataclass(slots=True)
class Contest:
    """What came of probing: the values lost to, kept against or disputed with live peers."""

    clear: bool = False
    lost: dict[Claim, Values] = field(default_factory=dict)
    kept: dict[Claim, Values] = field(default_factory=dict)
    disputed: dict[Claim, Values] = field(default_factory=dict)


class Wire:
    """The census of one boot."""

    def __init__(self, nonce: bytes, fleet_key: bytes, on_event: Callable[[Event], None]) -> None:
        self._loop = asyncio.get_running_loop()
        self._key = fleet_key
        self._on_event = on_event
        self.census = Census(nonce, fleet_key)
        self._sockets: dict[str, LinkSocket] = {}
        self._values: dict[codec.Claim, tuple[Claim, str]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._contest: Contest | None = None
        self._over: asyncio.Future[None] | None = None

    @property
    def links(self) -> tuple[str, ...]:
        """The links that are listened on."""
        return tuple(sorted(self._sockets))

    def listen(self, links: Iterable[str]) -> None:
        """Listen on these links and no others; one that cannot be opened is left out and tried at the next call."""
        wanted = set(links)
        for name in set(self._sockets) - wanted:
            self._drop(name)
        for name in wanted - set(self._sockets):
            try:
                opened = LinkSocket(name, codec.ETHERTYPE)
            except HostError:
                continue
            self._sockets[name] = opened
            self._loop.add_reader(opened.fileno(), self._receive, opened)

    async def probe(self, claims: Mapping[Claim, Values], standing: codec.Standing) -> Contest:
        """Present these claims, and return once nobody contests them or something was lost or is disputed."""
        contest = self._contest = Contest()
        over = self._over = self._loop.create_future()
        self._take(self.census.probe(self._loop.time(), self._encode(claims), standing))
        try:
            await asyncio.wait_for(over, PROBE_TIMEOUT_S)
        except asyncio.TimeoutError:
            pass  # contested to the end: not clear
        finally:
            self._contest = self._over = None
        return contest

    def ready(self) -> None:
        """Defend and announce from now on."""
        self._take(self.census.ready(self._loop.time()))

    def hold(self) -> None:
        """Keep what was lost, without being ready."""
        self._take(self.census.hold(self._loop.time()))

    def amend(self, claims: Mapping[Claim, Values]) -> None:
        """Defend these claims instead, because an operator changed them."""
        self._take(self.census.amend(self._loop.time(), self._encode(claims)))

    def values(self, claims: Iterable[codec.Claim]) -> dict[Claim, Values]:
        """Return which of our values these claims stand for."""
        found: dict[Claim, Values] = {}
        for one in claims:
            if one in self._values:
                claim, value = self._values[one]
                found[claim] = found.get(claim, frozenset()) | {value}
        return found

    def close(self) -> None:
        """Close the sockets and stop the clock."""
        for name in tuple(self._sockets):
            self._drop(name)
        if self._timer:
            self._timer.cancel()

    def _encode(self, claims: Mapping[Claim, Values]) -> frozenset[codec.Claim]:
        self._values = {
            codec.claim(self._key, codec.ClaimKind[claim.name], value): (claim, value)
            for claim, values in claims.items()
            for value in values
        }
        return frozenset(self._values)

    def _drop(self, name: str) -> None:
        gone = self._sockets.pop(name)
        self._loop.remove_reader(gone.fileno())
        gone.close()

    def _receive(self, link: LinkSocket) -> None:
        for _ in range(FRAMES_PER_WAKE):
            payload = link.receive()
            if payload is None:
                return
            self._take(self.census.receive(self._loop.time(), payload))

    def _tick(self) -> None:
        self._take(self.census.tick(self._loop.time()))

    def _take(self, effects: Iterable[Effect]) -> None:
        for effect in effects:
            match effect:
                case Send(payload):
                    for link in self._sockets.values():
                        link.send(payload)
                case Rejected():
                    pass  # counted by the census
                case _:
                    self._note(effect)
        if self._timer:
            self._timer.cancel()
        deadline = self.census.deadline
        self._timer = self._loop.call_at(deadline, self._tick) if deadline is not None else None

    def _note(self, event: Event) -> None:
        contest, over = self._contest, self._over
        if contest is None or over is None:
            self._on_event(event)
            return
        match event:
            case Clear():
                contest.clear = True
                _resolve(over)
            case Lost(claims):
                _add(contest.lost, self.values(claims))
                self._loop.call_later(GATHER_S, _resolve, over)
            case Dispute(claims):
                _add(contest.disputed, self.values(claims))
                self._loop.call_later(GATHER_S, _resolve, over)
            case Kept(claims):
                _add(contest.kept, self.values(claims))
            case Resolved():
                pass


def nonce(files: LocalMachine) -> bytes:
    """Return the nonce of this boot; a daemon that starts again is the same peer to the others. Raises HostError."""
    kept = files.read_bytes(NONCE_FILE)
    if kept is None or len(kept) != codec.NONCE_BYTES:
        kept = secrets.token_bytes(codec.NONCE_BYTES)
        files.write_own(NONCE_FILE, kept, 0o600)
    return kept


def _add(into: dict[Claim, Values], more: Mapping[Claim, Values]) -> None:
    for claim, values in more.items():
        into[claim] = into.get(claim, frozenset()) | values


def _resolve(future: asyncio.Future[None]) -> None:
    if not future.done():
        future.set_result(None)
