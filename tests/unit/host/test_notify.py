"""What systemd asks of the service: how often it wants to hear of it, if at all."""

from __future__ import annotations

import asyncio
import contextlib
import os

import pytest

from nodeprep.host import notify


@pytest.fixture(autouse=True)
def unasked(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WATCHDOG_USEC", "WATCHDOG_PID"):
        monkeypatch.delenv(name, raising=False)


def test_a_service_that_nobody_watches() -> None:
    assert notify.watchdog_s() is None


def test_what_systemd_asks_of_this_process(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "4500000")
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert notify.watchdog_s() == 4.5


def test_what_is_asked_of_whoever_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    assert notify.watchdog_s() == 60.0


@pytest.mark.parametrize("pid", ["1", "", "one"])
def test_what_is_asked_of_another_process(monkeypatch: pytest.MonkeyPatch, pid: str) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", "60000000")
    monkeypatch.setenv("WATCHDOG_PID", pid)
    assert notify.watchdog_s() is None


@pytest.mark.parametrize("limit", ["", "0", "-1", "60s", "1.5"])
def test_a_limit_that_is_none(monkeypatch: pytest.MonkeyPatch, limit: str) -> None:
    monkeypatch.setenv("WATCHDOG_USEC", limit)
    monkeypatch.setenv("WATCHDOG_PID", str(os.getpid()))
    assert notify.watchdog_s() is None


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
    monkeypatch.setattr("systemd.daemon.notify", lambda _: fed.append(len(pauses)))
    monkeypatch.setattr(asyncio, "sleep", sleep)
    with contextlib.suppress(asyncio.CancelledError):
        asyncio.run(notify.feed_watchdog())
    assert pauses == beats
    assert fed == list(range(len(beats))), "once before each pause"
