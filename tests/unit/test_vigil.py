"""The vigil: what wakes its owner, how soon, and when it leaves him alone for long."""

from __future__ import annotations

import asyncio
import socket
import time
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from nodeprep import vigil as module
from nodeprep.errors import HostError
from nodeprep.host.inotify import Inotify
from nodeprep.model import Link
from nodeprep.patience import Bell
from nodeprep.vigil import Vigil

LINK = Link("eth0", 2, "52:54:00:77:00:10", None, carrier=True)
NAMES = {2: "eth0", 3: "veth1a2b", 4: "cali77", 5: "eth1"}
APART_S, RULES_S, QUIET_S = 0.3, 0.6, 0.05


class Ear:
    """Stands for a netlink socket that hears what the test says."""

    def __init__(self) -> None:
        self._ours, self._theirs = socket.socketpair()
        self._said: Any = None

    def says(self, what: Any) -> None:
        self._said = what
        self._theirs.send(b"!")

    def fileno(self) -> int:
        return self._ours.fileno()

    def read(self) -> Any:
        self._ours.recv(64)
        if isinstance(self._said, HostError):
            raise self._said
        return self._said

    def close(self) -> None:
        self._ours.close()
        self._theirs.close()


class Bench:
    """A vigil among fakes, with times that are short."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        self.known = folder / "known"
        self.links: Ear
        self.rules: Ear
        self.bell: Bell
        self.rested = self.written = 0
        self.is_calm = True
        self.read: frozenset[str] = frozenset()
        monkeypatch.setattr(module, "LinkMonitor", lambda: self.links)
        monkeypatch.setattr(module, "RulesetMonitor", lambda: self.rules)
        monkeypatch.setattr(module, "has_legacy_tables", lambda: False)
        monkeypatch.setattr(module, "name_of", lambda index: NAMES.get(index, ""))
        times = {"SETTLE_S": 0.02, "RULES_SETTLE_S": 0.2, "PATIENCE_S": 0.5}
        times |= {"LOOKS_APART_S": APART_S, "RULES_APART_S": RULES_S}
        for name, value in {**times, "LOOK_AGAIN_S": QUIET_S, "QUIET_S": QUIET_S, "QUIET_TIMES": 3}.items():
            monkeypatch.setattr(module, name, value)

    async def rest(self) -> None:
        self.rested += 1

    def write(self) -> None:
        self.written += 1

    def run(self, work: Callable[[Vigil], Awaitable[None]], only_links: tuple[str, ...] = ()) -> None:
        async def main() -> None:
            self.links, self.rules, self.bell = Ear(), Ear(), Bell()
            foreman: Any = self
            vigil = Vigil(self.bell.ring, foreman, only_links)
            try:
                vigil.follow((str(self.known),), (LINK,))
                await work(vigil)
            finally:
                vigil.close()

        asyncio.run(main())

    async def wait(self, vigil: Vigil) -> float:
        """Return how long the owner was left alone."""
        begin = time.monotonic()
        await vigil.wait(self.bell, lambda: self.is_calm, self.write)
        return time.monotonic() - begin


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Bench:
    return Bench(monkeypatch, tmp_path)


def test_where_nothing_happens_the_worker_rests_and_the_status_is_written_now_and_then(bench: Bench) -> None:
    async def work(vigil: Vigil) -> None:
        for _ in range(2):
            assert await bench.wait(vigil) < 3 * QUIET_S, "a firewall is cleared of what is ours by the second look"
            assert await bench.wait(vigil) >= 4 * QUIET_S
        assert (bench.rested, bench.written) == (2, 6)

    bench.run(work)


def test_news_are_looked_at_twice_before_the_next_rest(bench: Bench) -> None:
    async def work(vigil: Vigil) -> None:
        await bench.wait(vigil)
        bench.bell.ring()
        for _ in range(2):
            assert await bench.wait(vigil) < 3 * QUIET_S
        assert bench.rested == 0
        await bench.wait(vigil)
        assert bench.rested == 1

    bench.run(work)


@pytest.mark.parametrize("why", ["not calm", "legacy tables", "no links", "no rules", "no files"])
def test_who_cannot_be_told_of_everything_looks_soon(bench: Bench, monkeypatch: pytest.MonkeyPatch, why: str) -> None:
    def refuse(*_: object) -> None:
        raise HostError("not here")

    bench.is_calm = why != "not calm"
    monkeypatch.setattr(module, "has_legacy_tables", lambda: why == "legacy tables")
    absent = {"no links": "LinkMonitor", "no rules": "RulesetMonitor", "no files": "Inotify"}.get(why)
    if absent:
        monkeypatch.setattr(module, absent, refuse)

    async def work(vigil: Vigil) -> None:
        for _ in range(3):
            assert await bench.wait(vigil) < 3 * QUIET_S
        assert (bench.rested, bench.written) == (0, 0)

    bench.run(work)


def test_too_many_watches_are_no_fault_but_then_nobody_tells(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise HostError("inotify: no space left on device")

    monkeypatch.setattr(Inotify, "follow", refuse)

    async def work(vigil: Vigil) -> None:
        assert vigil.is_blind

    bench.run(work)


def is_woken_by(bench: Bench, happens: Callable[[], object], only_links: tuple[str, ...] = ()) -> bool:
    woken: list[bool] = []

    async def work(vigil: Vigil) -> None:
        happens()
        woken.append(await bench.bell.wait(APART_S + 0.5))

    bench.run(work, only_links)
    return woken[0]


def test_a_file_that_was_looked_at_wakes_also_one_that_the_worker_read(bench: Bench) -> None:
    bench.read = frozenset({str(bench.known.with_name("theirs"))})
    assert is_woken_by(bench, lambda: bench.known.write_text("another"))
    assert is_woken_by(bench, lambda: bench.known.with_name("theirs").write_text("another"))
    assert not is_woken_by(bench, lambda: bench.known.with_name("neighbour").touch())


def test_what_nodeprep_itself_writes_wakes_nobody(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "OURS", (str(bench.known.parent),))
    assert not is_woken_by(bench, lambda: bench.known.write_text("another"))


@pytest.mark.parametrize(
    ("index", "only_links", "wakes"),
    [
        pytest.param(2, (), True, id="one-of-ours"),
        pytest.param(0, (), True, id="news-that-were-lost"),
        pytest.param(5, (), True, id="a-new-one"),
        pytest.param(3, (), False, id="a-pods"),
        pytest.param(4, (), False, id="a-pods-of-calico"),
        pytest.param(9, (), False, id="one-that-has-gone-and-was-not-ours"),
        pytest.param(5, ("eth0",), False, id="one-that-nobody-named"),
        pytest.param(3, ("veth1a2b",), True, id="a-pods-by-its-name-that-somebody-named"),
    ],
)
def test_of_the_links_those_of_the_machine_wake(
    bench: Bench, index: int, only_links: tuple[str, ...], wakes: bool
) -> None:
    told = frozenset({("newlink", index)})
    assert is_woken_by(bench, lambda: bench.links.says(told), only_links) is wakes


def test_a_socket_that_fails_ends_the_rest(bench: Bench) -> None:
    async def work(vigil: Vigil) -> None:
        bench.links.says(HostError("listen to netlink: gone"))
        await asyncio.sleep(0.05)
        assert vigil.is_blind

    bench.run(work)


def test_looks_keep_their_distance_and_rules_a_greater_one(bench: Bench) -> None:
    async def work(vigil: Vigil) -> None:
        begin = time.monotonic()
        bench.rules.says(True)
        assert await bench.bell.wait(2)
        assert time.monotonic() - begin >= RULES_S * 0.9
        vigil.follow((str(bench.known),), (LINK,))
        begin = time.monotonic()
        bench.rules.says(True)
        await asyncio.sleep(0.01)
        bench.known.write_text("sooner")
        assert await bench.bell.wait(2)
        assert APART_S * 0.9 <= time.monotonic() - begin < RULES_S * 0.9
        assert not await bench.bell.wait(RULES_S), "one look is for all"

    bench.run(work)


def test_rules_are_looked_at_once_they_have_settled_or_never_do(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    async def keep_changing(times: int) -> float:
        begin = time.monotonic()
        for _ in range(times):
            bench.rules.says(True)
            if await bench.bell.wait(0.1):
                return time.monotonic() - begin
        assert await bench.bell.wait(2)
        return time.monotonic() - begin

    async def work(vigil: Vigil) -> None:
        monkeypatch.setattr(module, "RULES_APART_S", 0.0)
        assert await keep_changing(4) >= 0.4, "nobody looks while they are loaded anew"
        assert 0.45 <= await keep_changing(30) < 1.5, "but not for ever"

    bench.run(work)
