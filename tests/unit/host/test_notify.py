"""What systemd asks of the service: how often it wants to hear of it, if at all."""

from __future__ import annotations

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
