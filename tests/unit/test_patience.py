"""To wait for something, but not for ever, and to stop waiting when told to."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from functools import wraps
from typing import Any

import pytest

from nodeprep.patience import LONGEST_PAUSE_S, pauses, within


def in_loop(test: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    @wraps(test)
    def run() -> None:
        asyncio.run(test())

    return run


@in_loop
async def test_what_comes_in_time_is_returned() -> None:
    assert await within(asyncio.sleep(0, "done"), 5) == "done"


@in_loop
async def test_what_fails_fails_as_it_would() -> None:
    async def fail() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        await within(fail(), 5)


@in_loop
async def test_what_takes_too_long_is_cancelled_and_has_ended_when_that_is_said() -> None:
    ended = False

    async def dawdle() -> None:
        nonlocal ended
        try:
            await asyncio.sleep(60)
        finally:
            ended = True

    with pytest.raises(asyncio.TimeoutError):
        await within(dawdle(), 0.01)
    assert ended


@in_loop
async def test_a_cancellation_is_never_lost_not_even_where_the_result_is_there_already() -> None:
    result: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    waiting = asyncio.create_task(within(result, 60))
    await asyncio.sleep(0)
    result.set_result(1)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting


@in_loop
async def test_who_is_cancelled_takes_what_he_waits_for_with_him() -> None:
    work = asyncio.create_task(asyncio.sleep(60))
    waiting = asyncio.create_task(within(work, 60))
    await asyncio.sleep(0.01)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    await asyncio.sleep(0)
    assert work.cancelled()


def test_what_is_waited_for_long_is_looked_at_less_often() -> None:
    waits = pauses(0.05)
    taken = [next(waits) for _ in range(40)]
    assert taken[0] == 0.05
    for number, pause in enumerate(taken):
        assert pause <= 0.05 + sum(taken[:number]) / 10 + 1e-9, "what is over is seen a tenth of the wait later at most"
    assert taken[-1] == LONGEST_PAUSE_S
