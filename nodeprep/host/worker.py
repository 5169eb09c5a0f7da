"""The worker: the process that has the libraries for the bus and for netlink, and answers the foreman's questions.

It keeps one `Live` as long as its connection to the bus lasts, and leaves when the foreman has hung up.
"""

from __future__ import annotations

import asyncio
import inspect
import pickle
import signal
import socket
from typing import Any

from nodeprep.errors import HostError
from nodeprep.host.bus import Bus
from nodeprep.host.foreman import receive, send
from nodeprep.host.live import Live, Memory


class Worker:
    """The work of one process."""

    def __init__(self, only_links: tuple[str, ...], memory: bytes) -> None:
        self._only_links = only_links
        self._memory: Memory = pickle.loads(memory) if memory else Memory()  # noqa: S301 (the last worker's)
        self._bus: Bus | None = None
        self._live: Live | None = None

    async def answer(self, name: str, words: tuple[Any, ...]) -> tuple[bool, object]:
        """Return whether it could be done, and what came of it: a value, or the fault that kept it."""
        if name == "remembered":
            return True, pickle.dumps(self._memory)  # which the foreman does not open: it would load all that is here
        try:
            work = getattr(await self._connected(), name)
            if inspect.iscoroutinefunction(work):
                return True, await work(*words)
            return True, await asyncio.to_thread(work, *words)
        except HostError as error:
            return False, HostError(str(error))  # the bus's own kind holds what does not travel

    async def _connected(self) -> Live:
        """Return what is there, or begin anew where the bus has gone. Raises HostError."""
        if self._live is None or self._bus is None or self._bus.disconnected.is_set():
            self._live = None
            self._bus = Bus()
            await self._bus.connect()
            self._live = Live(self._bus, self._only_links, self._memory)
        return self._live


async def work(channel: socket.socket) -> None:
    """Answer until the foreman hangs up."""
    worker = Worker(*await asyncio.to_thread(receive, channel))
    while True:
        try:
            name, words = await asyncio.to_thread(receive, channel)
        except (EOFError, OSError):
            return
        send(channel, await worker.answer(name, words))


def main(channel: int) -> None:
    """Run the process. It ends with the foreman's, whom systemd stops: not before what it has begun is done."""
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    with socket.socket(fileno=channel) as theirs:
        asyncio.run(work(theirs))
