"""Segments: the Ethernet segments that this machine's links lead to, as the first transport of the peers' messages.

A packet socket on every link that speaks. What comes in, on this transport and the other, comes through one intake, and
no faster than it can be dealt with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from typing import Protocol

from nodeprep.errors import HostError
from nodeprep.host.frames import LinkSocket, mac_bytes
from nodeprep.model import Link
from nodeprep.peers.admission import Buckets
from nodeprep.peers.message import ETHERTYPE, MAGIC
from nodeprep.peers.rules import Source

FRAMES_PER_WAKE = 64
"""A flood of hostile frames gets no more of the loop than this at a time."""
FRAMES_PER_S = 20_000
"""Nor more of the processor than reading so many takes; what is more overflows the kernel's queue at no cost to us."""
REST_S = 0.01

OnFrame = Callable[[float, bytes, Source, int], None]


class Ear(Protocol):
    """A non-blocking socket of the peers' messages."""

    def fileno(self) -> int:
        """Return the descriptor."""
        ...

    def receive(self) -> tuple[bytes, str] | tuple[bytes, str, int] | None:
        """Return the next payload with its sender's address, and the port where there are ports."""
        ...


class Intake:
    """Reads all sockets together; `on_frame` is called with the loop's time, a payload, its source, and its port."""

    def __init__(self, on_frame: OnFrame) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_frame = on_frame
        self._reads = Buckets(FRAMES_PER_S, 1)
        self._open: set[Ear] = set()

    def add(self, ear: Ear, place: str) -> None:
        """Read a socket; place: what stands for it in a source."""
        self._open.add(ear)
        self._loop.add_reader(ear.fileno(), self._receive, ear, place)

    def remove(self, ear: Ear) -> None:
        """Read it no more; before it is closed."""
        self._open.discard(ear)
        self._loop.remove_reader(ear.fileno())

    def _receive(self, ear: Ear, place: str) -> None:
        for _ in range(FRAMES_PER_WAKE):
            now = self._loop.time()
            if not self._reads.take(now, None):
                self._loop.remove_reader(ear.fileno())
                self._loop.call_later(REST_S, self._resume, ear, place)
                return
            frame = ear.receive()
            if frame is None:
                return
            self._on_frame(now, frame[0], Source(place, frame[1]), frame[2] if len(frame) == 3 else 0)

    def _resume(self, ear: Ear, place: str) -> None:
        if ear in self._open:
            self._loop.add_reader(ear.fileno(), self._receive, ear, place)


class Segments:
    """The packet sockets for frames of one magic; what is heard goes into the intake."""

    def __init__(self, intake: Intake, magic: bytes = MAGIC) -> None:
        self._intake = intake
        self._magic = magic
        self._sockets: dict[str, LinkSocket] = {}
        self._flaps: dict[str, int] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """The links that are listened on."""
        return tuple(sorted(self._sockets))

    def listen(self, links: Iterable[Link]) -> frozenset[str]:
        """Listen on the links that speak and on no others; return those that may lead where we were not heard yet.

        They are new, or their carrier was away. One that cannot be opened is left out and tried at the next call.
        """
        wanted = {link.name: link for link in links if link.speaks}
        for name, opened in tuple(self._sockets.items()):
            if name not in wanted or wanted[name].index != opened.index:
                self._drop(name)
        appeared = {name for name in self._sockets if self._flaps[name] != wanted[name].flaps}
        for name in wanted.keys() - self._sockets.keys():
            try:
                opened = LinkSocket(name, ETHERTYPE, self._magic)
            except HostError:
                continue
            self._sockets[name] = opened
            self._intake.add(opened, name)
            appeared.add(name)
        self._flaps = {name: wanted[name].flaps for name in self._sockets}
        return frozenset(appeared)

    def send(self, payload: bytes, link: str, spared: Collection[str]) -> None:
        """Broadcast a payload on a link, or, where it is empty, on all but the spared ones."""
        for name, opened in self._sockets.items():
            if name == link or (not link and name not in spared):
                opened.send(payload)

    def send_to(self, payload: bytes, to: Source) -> None:
        """Send a payload to one machine on its link."""
        if to.link in self._sockets:
            self._sockets[to.link].send(payload, mac_bytes(to.address))

    def close(self) -> None:
        """Close the sockets."""
        for name in tuple(self._sockets):
            self._drop(name)

    def _drop(self, name: str) -> None:
        gone = self._sockets.pop(name)
        self._intake.remove(gone)
        gone.close()
