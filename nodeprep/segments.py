"""Segments: the Ethernet segments that this machine's links lead to, as the one transport of the peers' frames.

A packet socket on every link that speaks; frames come in no faster than they can be dealt with.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable

from nodeprep.errors import HostError
from nodeprep.host.frames import LinkSocket
from nodeprep.model import Link
from nodeprep.peers.admission import Buckets
from nodeprep.peers.message import ETHERTYPE
from nodeprep.peers.rules import Source

FRAMES_PER_WAKE = 64
"""A flood of hostile frames gets no more of the loop than this at a time."""
FRAMES_PER_S = 20_000
"""Nor more of the processor than reading so many takes; what is more overflows the kernel's queue at no cost to us."""
REST_S = 0.01

OnFrame = Callable[[float, bytes, Source], None]


class Segments:
    """The packet sockets; `on_frame` is called with the loop's time, a payload and where it came from."""

    def __init__(self, on_frame: OnFrame) -> None:
        self._loop = asyncio.get_running_loop()
        self._on_frame = on_frame
        self._reads = Buckets(FRAMES_PER_S, 1)
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
                opened = LinkSocket(name, ETHERTYPE)
            except HostError:
                continue
            self._sockets[name] = opened
            self._loop.add_reader(opened.fileno(), self._receive, opened)
            appeared.add(name)
        self._flaps = {name: wanted[name].flaps for name in self._sockets}
        return frozenset(appeared)

    def send(self, payload: bytes, link: str, spared: Collection[str]) -> None:
        """Broadcast a payload on a link, or, where it is empty, on all but the spared ones."""
        for name, opened in self._sockets.items():
            if name == link or (not link and name not in spared):
                opened.send(payload)

    def close(self) -> None:
        """Close the sockets."""
        for name in tuple(self._sockets):
            self._drop(name)

    def _drop(self, name: str) -> None:
        gone = self._sockets.pop(name)
        self._loop.remove_reader(gone.fileno())
        gone.close()

    def _receive(self, link: LinkSocket) -> None:
        for _ in range(FRAMES_PER_WAKE):
            now = self._loop.time()
            if not self._reads.take(now, None):
                self._loop.remove_reader(link.fileno())
                self._loop.call_later(REST_S, self._resume, link)
                return
            frame = link.receive()
            if frame is None:
                return
            payload, mac = frame
            self._on_frame(now, payload, Source(link.link, mac))

    def _resume(self, link: LinkSocket) -> None:
        if self._sockets.get(link.link) is link:
            self._loop.add_reader(link.fileno(), self._receive, link)
