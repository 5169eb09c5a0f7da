"""The daemon: how often it tells systemd that its event loop turns. All else of it is seen on booted machines."""

from __future__ import annotations

import asyncio
import contextlib

import pytest

from nodeprep.daemon import Daemon
from nodeprep.host import notify


@pytest.mark.parametrize(("limit_s", "beats"), [(60.0, [30.0] * 3), (4.0, [2.0] * 3), (None, [])])
def test_the_watchdog_is_fed_twice_as_often_as_it_asks_and_only_if_it_does(
    monkeypatch: pytest.MonkeyPatch, limit_s: float | None, beats: list[float]
) -> None:
    pauses: list[float] = []
    fed: list[int] = []

    async def sleep(seconds: float) -> None:
        pauses.append(seconds)
        if len(pauses) == 3:
            raise asyncio.CancelledError

    monkeypatch.setattr(notify, "watchdog_s", lambda: limit_s)
    monkeypatch.setattr(notify, "alive", lambda: fed.append(len(pauses)))
    monkeypatch.setattr(asyncio, "sleep", sleep)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(Daemon()._beat())
    assert pauses == beats
    assert fed == list(range(len(beats))), "once before each pause"
