"""Patience: to wait for something, but not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterator
from typing import TypeVar

T = TypeVar("T")


async def within(awaited: Awaitable[T], seconds: float) -> T:
    """Return the result of something that is awaited; after `seconds` it is cancelled. Raises asyncio.TimeoutError.

    What asyncio.wait_for does, but for this: before Python 3.12 that returns the result where one is there when its
    caller is cancelled, and the caller, whose cancellation is lost, goes on for ever (CPython issue 86296).
    """
    work = asyncio.ensure_future(awaited)
    try:
        done, _ = await asyncio.wait({work}, timeout=seconds)
        if not done:
            work.cancel()
            await asyncio.wait({work})
            if work.cancelled():
                raise asyncio.TimeoutError
        return work.result()
    finally:
        work.cancel()  # where we are cancelled ourselves; of no effect on what is done


LONGEST_PAUSE_S = 0.5


def pauses(first_s: float) -> Iterator[float]:
    """Yield the pauses between looks at what is waited for: each a tenth longer, and so a tenth of the whole wait.

    On a machine on which all takes long, to ask all the time is what it takes long for.
    """
    while True:
        yield first_s
        first_s = min(first_s * 1.1, LONGEST_PAUSE_S)


class Bell:
    """Wakes one who waits for news, or has them ready for when he waits next."""

    def __init__(self) -> None:
        self._rung = asyncio.Event()

    def ring(self) -> None:
        """Tell that there are news."""
        self._rung.set()

    async def wait(self, seconds: float) -> bool:
        """Wait for news, and say whether there are any."""
        try:
            await within(self._rung.wait(), seconds)
        except asyncio.TimeoutError:
            return False
        self._rung.clear()
        return True
