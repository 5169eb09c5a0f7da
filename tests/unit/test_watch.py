"""The watch: which strangers are told of, when an address is defended, and what wakes its owner."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from nodeprep import watch as module
from nodeprep.errors import HostError
from nodeprep.model import Link, LinkAddress, Sighting
from nodeprep.peers.message import ClaimKind
from nodeprep.peers.rules import Source
from nodeprep.peers.strangers import EXPIRY_S
from nodeprep.report import Problem
from nodeprep.watch import Watch, with_holders

MAC, OTHER = "52:54:00:77:00:10", "02:aa:bb:cc:dd:ee"
STATIC = LinkAddress("10.77.0.10", 24, "global")
LEASED = LinkAddress("10.77.0.20", 24, "global", dynamic=True)
DOUBLED = LinkAddress("fd77::1", 64, "global", dad_failed=True)
LINK = Link("eth0", 2, MAC, None, carrier=True, addresses=(STATIC, LEASED, DOUBLED))
ARP = Sighting("ipv4", STATIC.address, "eth0", OTHER)
BEARS_OURS = Sighting("mac", MAC, "eth0", MAC)


class Bench:
    """A watch among fakes: what it announced, asked and woke, at a time that the test sets."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.announced: list[str] = []
        self.asked: list[str] = []
        self.examined: list[object] = []
        self.woken = 0
        self.reminded = 0
        self.answers: dict[str, str] = {}
        census = SimpleNamespace(peers=(), echoes={})
        self.wire: Any = SimpleNamespace(now=1000.0, census=census, remind=self._remind)

        def no_socket(*_: object) -> None:
            raise HostError("not here")

        monkeypatch.setattr(module, "StrangerSocket", no_socket)
        monkeypatch.setattr(module, "arp_announce", lambda link, mac, address: self.announced.append(address))
        monkeypatch.setattr(module, "arp_holder", self._ask)
        monkeypatch.setattr(module, "neighbour_holder", self._ask)
        monkeypatch.setattr(module, "RFC5227_ANNOUNCE_INTERVAL_S", 0.01)

    def run(self, work: Callable[[Watch], Awaitable[None]], *, defends: bool = True) -> None:
        async def main() -> None:
            examiner: Any = SimpleNamespace(listen=self.examined.append, close=lambda: self.examined.append(None))
            watch = Watch(self.wire, self._wake, examiner)
            watch.follow((LINK,), defends=defends)
            await work(watch)
            await asyncio.sleep(0.1)
            watch.close()

        asyncio.run(main())

    def _ask(self, link: str, mac: str, address: str) -> str | None:
        self.asked.append(address)
        return self.answers.get(address)

    def _wake(self) -> None:
        self.woken += 1

    def _remind(self) -> None:
        self.reminded += 1


@pytest.fixture
def bench(monkeypatch: pytest.MonkeyPatch) -> Bench:
    return Bench(monkeypatch)


def codes(watch: Watch, *told: str) -> list[tuple[str, str]]:
    return [(problem.code, problem.subject) for problem in watch.problems(told)]


def test_static_addresses_are_announced_twice_and_leased_ones_by_their_client(bench: Bench) -> None:
    async def work(watch: Watch) -> None:
        watch.announce((LINK,))

    bench.run(work)
    assert bench.announced == [STATIC.address] * 2


def test_a_stranger_that_stays_is_told_of_with_its_mac_and_the_address_defended(bench: Bench) -> None:
    async def work(watch: Watch) -> None:
        watch._see(ARP)
        assert codes(watch) == []
        bench.wire.now += 6
        watch._see(ARP)
        assert codes(watch) == [("address-in-use", "ipv4-address")]
        assert OTHER in watch.problems(())[0].detail
        assert codes(watch, STATIC.address) == [], "told of already"

    bench.run(work)
    assert bench.announced == [STATIC.address]


@pytest.mark.parametrize(("defends", "address"), [(False, STATIC.address), (True, LEASED.address)])
def test_what_is_not_known_to_be_ours_is_not_defended(bench: Bench, defends: bool, address: str) -> None:
    async def work(watch: Watch) -> None:
        watch._see(Sighting("ipv4", address, "eth0", OTHER))

    bench.run(work, defends=defends)
    assert bench.announced == []


def test_what_a_peer_contests_is_told_of_by_the_census_alone(bench: Bench) -> None:
    async def work(watch: Watch) -> None:
        for _ in range(2):
            watch._see(ARP)
            watch._see(BEARS_OURS)
            bench.wire.now += 31
        assert codes(watch) == [("address-in-use", "ipv4-address"), ("mac-in-use", "mac")]
        peer = SimpleNamespace(contested={ClaimKind.MAC, ClaimKind.IPV4}, sources=())
        bench.wire.census.peers = (peer,)
        assert codes(watch) == []

    bench.run(work)


@pytest.mark.parametrize(
    ("sighting", "kind", "bears"),
    [(BEARS_OURS, ClaimKind.MAC, MAC), (BEARS_OURS, ClaimKind.MAC, OTHER), (ARP, ClaimKind.IPV4, OTHER)],
    ids=["our MAC", "our MAC until lately", "our address"],
)
def test_a_copy_that_was_slow_to_speak_and_then_yielded_is_no_stranger(
    bench: Bench, sighting: Sighting, kind: ClaimKind, bears: str
) -> None:
    async def work(watch: Watch) -> None:
        for _ in range(2):
            watch._see(sighting)
            bench.wire.now += 31
        assert len(codes(watch)) == 1, "who does not speak cannot be known"
        peer = SimpleNamespace(contested={kind}, sources=(Source("eth0", bears),))
        bench.wire.census.peers = (peer,)
        assert codes(watch) == []
        peer.contested = set()
        assert codes(watch) == []
        for _ in range(2):
            watch._see(sighting)
            bench.wire.now += 31
        assert len(codes(watch)) == 1, "somebody bears it again"

    bench.run(work)


def test_beside_a_peer_that_yielded_a_stranger_with_another_mac_is_told_of(bench: Bench) -> None:
    async def work(watch: Watch) -> None:
        for _ in range(2):
            watch._see(ARP)
            bench.wire.now += 6
        peer = SimpleNamespace(contested={ClaimKind.IPV4}, sources=(Source("eth0", "02:aa:bb:cc:dd:ff"),))
        bench.wire.census.peers = (peer,)
        assert codes(watch) == []
        peer.contested = set()
        assert codes(watch) == [("address-in-use", "ipv4-address")]

    bench.run(work)


def test_our_mac_from_a_link_that_reflects_is_no_stranger(bench: Bench) -> None:
    async def work(watch: Watch) -> None:
        for _ in range(2):
            watch._see(BEARS_OURS)
            bench.wire.now += 31
        bench.wire.census.echoes = {"eth0": (1, bench.wire.now - 61)}
        assert codes(watch) == []

    bench.run(work)
    assert bench.reminded == 1, "what we said then came back"


def test_it_is_calm_while_nobody_is_there_of_whom_more_may_be_heard(bench: Bench) -> None:
    said: list[bool] = []

    async def work(watch: Watch) -> None:
        said.append(watch.is_calm)
        watch.follow((replace(LINK, addresses=(STATIC,)),), defends=True)
        said.append(watch.is_calm)
        watch._see(ARP)
        said.append(watch.is_calm)
        bench.wire.now += EXPIRY_S + 1
        said.append(watch.is_calm)

    bench.run(work)
    assert said == [False, True, False, True], "first, the kernel calls an address a duplicate"


def test_a_silent_stranger_is_asked_whether_it_is_there_still(bench: Bench) -> None:
    async def work(watch: Watch) -> None:
        watch._see(ARP)
        await watch.ask()
        assert STATIC.address not in bench.asked
        bench.wire.now += 6
        bench.answers = {STATIC.address: OTHER}
        await watch.ask()
        assert codes(watch) == [("address-in-use", "ipv4-address")]

    bench.run(work)


def test_what_the_kernel_calls_a_duplicate_is_told_of_while_somebody_answers_for_it(bench: Bench) -> None:
    async def work(watch: Watch) -> None:
        await watch.ask()
        bench.wire.now += 6
        await watch.ask()
        assert codes(watch) == [], "the other has gone"
        bench.answers = {DOUBLED.address: OTHER}
        for _ in range(2):
            await watch.ask()
            bench.wire.now += 6
        assert codes(watch) == [("address-in-use", "ipv6-address")]

    bench.run(work)


def test_a_contest_that_was_a_strangers_is_laid_to_the_stranger() -> None:
    problems = [Problem("conflict", "ipv4-address", "a live peer"), Problem("missing", "hostname", "none")]
    assert with_holders(problems, ()) == problems
    told = with_holders(problems, (ARP,))
    assert [(problem.code, problem.subject) for problem in told] == [
        ("address-in-use", "ipv4-address"),
        ("missing", "hostname"),
    ]
    assert OTHER in told[0].detail
