"""The daemon: how often it tells systemd that its event loop turns. All else of it is seen on booted machines."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
import sys

import pytest

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
        asyncio.run(notify.beat())
    assert pauses == beats
    assert fed == list(range(len(beats))), "once before each pause"


def test_a_node_without_a_registry_loads_nothing_that_speaks_to_one() -> None:
    code = "import sys; import nodeprep.daemon; print(*(name for name in sys.modules if name.startswith('nodeprep')))"
    loaded = subprocess.run((sys.executable, "-c", code), capture_output=True, text=True, check=True).stdout.split()
    assert "nodeprep.desk" in loaded
    assert not {"nodeprep.registrar", "nodeprep.incumbent", "nodeprep.host.registry.etcd"} & set(loaded)
