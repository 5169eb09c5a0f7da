"""Routed: the peers beyond routers, whom no broadcast reaches, as the second transport of the peers' messages.

What is said to all goes to the peers that are configured. An answer goes to whom it is addressed: to a configured peer,
or to another one that was authentic, and to that never more bytes than came from it: nobody is flooded by us with what
others send in his name.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable

from nodeprep.endpoint import Endpoint
from nodeprep.host.datagrams import DatagramSocket, source_towards, speaks
from nodeprep.peers.rules import UNICAST
from nodeprep.segments import Intake

KNOWN_MAX = 4096
CREDIT_MAX_BYTES = 16_384


class Routed:
    """The UDP sockets, open while there are peers; what is heard goes into the intake."""

    def __init__(self, intake: Intake) -> None:
        self._intake = intake
        self._sockets: dict[int, DatagramSocket] = {}
        self._peers: frozenset[Endpoint] = frozenset()
        self.sources: frozenset[str] = frozenset()
        """The addresses of this machine that its configured peers see as the sender's."""
        self._own: frozenset[str] = frozenset()
        self._where: dict[bytes, Endpoint] = {}
        self._credit: dict[Endpoint, int] = {}

    @property
    def names(self) -> tuple[str, ...]:
        """What stands for it among the links that are listened on."""
        return (UNICAST,) if self._sockets else ()

    @property
    def silent(self) -> tuple[Endpoint, ...]:
        """The configured peers of which nothing authentic was heard yet."""
        heard = frozenset(self._where.values())
        others = (peer for peer in self._peers - heard if peer.address not in self._own)
        return tuple(sorted(others, key=lambda peer: (peer.version, peer.address, peer.port)))

    def follow(self, peers: Iterable[Endpoint], port: int) -> None:
        """Speak to these peers and no others, from that port. Raises HostError where it cannot be had.

        One list serves all nodes: whom this one has no way to, or not even the family, it cannot tell.
        """
        self._peers = frozenset(peer for peer in peers if speaks(peer.version))
        wanted = {peer.version for peer in self._peers}
        for version, opened in tuple(self._sockets.items()):
            if version not in wanted or opened.port != port:
                self._drop(version)
        for version in sorted(wanted - self._sockets.keys()):
            self._sockets[version] = DatagramSocket(version, port)
            self._intake.add(self._sockets[version], UNICAST)
        self.look()

    def look(self) -> None:
        """See which of the configured addresses are this machine's, on whatever link, and which the others see."""
        towards = {peer.address: source_towards(peer.address, peer.port) for peer in self._peers}
        self._own = frozenset(address for address, source in towards.items() if source == address)
        self.sources = frozenset(source for source in towards.values() if source) - self._own

    def know(self, nonce: bytes, address: str, port: int, size: int) -> None:
        """Take note that an authentic message of so many bytes came from there."""
        where = Endpoint(address, port)
        known = self._where.pop(nonce, where)
        # Who repeats a configured peer's message from elsewhere does not draw its answers to himself.
        self._where[nonce] = known if known in self._peers and where not in self._peers else where
        self._credit[where] = min(self._credit.pop(where, 0) + size, CREDIT_MAX_BYTES)
        for table in (self._where, self._credit):
            if len(table) > KNOWN_MAX:
                del table[next(iter(table))]  # type: ignore[arg-type]

    def send(self, payload: bytes, to: Collection[bytes] = ()) -> None:
        """Send to all configured peers, or to those who bear these nonces."""
        told = {self._where[nonce] for nonce in to if nonce in self._where} if to else self._peers
        for where in told:
            opened = self._sockets.get(where.version)
            if opened and where.address not in self._own and (where in self._peers or self._spend(where, payload)):
                opened.send(payload, where.address, where.port)

    def answer(self, payload: bytes, where: Endpoint) -> None:
        """Send to whoever asked from there; that it is no more than was asked for is the caller's to see to."""
        if where.version in self._sockets:
            self._sockets[where.version].send(payload, where.address, where.port)

    def close(self) -> None:
        """Close the sockets."""
        for version in tuple(self._sockets):
            self._drop(version)

    def _spend(self, where: Endpoint, payload: bytes) -> bool:
        """Whether as many bytes have come from there; then they are spent."""
        left = self._credit.get(where, 0) - len(payload)
        if left >= 0:
            self._credit[where] = left
        return left >= 0

    def _drop(self, version: int) -> None:
        gone = self._sockets.pop(version)
        self._intake.remove(gone)
        gone.close()
