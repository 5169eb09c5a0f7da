"""Patience: to wait for something, but not for ever."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
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
