"""Listeners: for the moment of a try, what answers on ports where nothing else listens.

A port that is taken is left to whoever has it; nothing but the port's own answer is said to anybody.
"""

from __future__ import annotations

import asyncio
import resource
import socket
from collections.abc import Iterable

BACKLOG = 16
ANSWER = b"nodeprep doctor\n"
SPARE_FILES = 256


class Listeners:
    """Open between `open` and `close`. In an event loop."""

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._sockets: dict[tuple[str, int], socket.socket] = {}

    @property
    def ports(self) -> frozenset[tuple[str, int]]:
        """Protocol and number of the ports that are ours for the moment."""
        return frozenset(self._sockets)

    def open(self, address: str, ports: Iterable[tuple[str, int]]) -> None:
        """Listen on those ports of an address of ours that are free."""
        wanted = tuple(ports)
        _allow_files(len(wanted) + SPARE_FILES)
        for protocol, port in wanted:
            family = socket.AF_INET6 if ":" in address else socket.AF_INET
            kind = socket.SOCK_STREAM if protocol == "tcp" else socket.SOCK_DGRAM
            try:
                opened = socket.socket(family, kind | socket.SOCK_NONBLOCK)
            except OSError:
                continue  # no such family, or no more files: as if the port were taken, and so not proved
            try:
                if protocol == "tcp":
                    # What is left of a try before would be in the way; who listens still is. (Of UDP it would not be.)
                    opened.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                opened.bind((address, port))
                if protocol == "tcp":
                    opened.listen(BACKLOG)
            except OSError:
                opened.close()
                continue
            self._sockets[protocol, port] = opened
            self._loop.add_reader(opened.fileno(), self._accept if protocol == "tcp" else self._answer, opened)

    def close(self) -> None:
        """Close them."""
        for opened in self._sockets.values():
            self._loop.remove_reader(opened.fileno())
            opened.close()
        self._sockets.clear()

    @staticmethod
    def _accept(opened: socket.socket) -> None:
        try:
            connection, _ = opened.accept()
        except OSError:
            return
        connection.close()

    @staticmethod
    def _answer(opened: socket.socket) -> None:
        try:
            _, sender = opened.recvfrom(64)
            opened.sendto(ANSWER, sender)  # as long as what it answers: no amplifier
        except OSError:
            return


def _allow_files(number: int) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = number if hard == resource.RLIM_INFINITY else min(number, hard)
    if soft < most:
        resource.setrlimit(resource.RLIMIT_NOFILE, (most, hard))
