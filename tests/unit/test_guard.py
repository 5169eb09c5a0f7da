"""The guard: what comes after READY is probed before it is called ours, and what is ours is kept meanwhile."""

from __future__ import annotations

import asyncio
from collections.abc import Collection, Mapping
from typing import Any

import pytest

from nodeprep import guard as module
from nodeprep.contest import Contest
from nodeprep.guard import RETRY_S, Guard, less
from nodeprep.model import Claim, Link, LinkAddress, Sighting, Values

HELD: dict[Claim, Values] = {Claim.HOSTNAME: frozenset({"web"}), Claim.IPV4: frozenset({"10.0.0.1"})}
MORE: dict[Claim, Values] = {**HELD, Claim.IPV4: frozenset({"10.0.0.1", "10.0.0.2"})}
NEW: dict[Claim, Values] = {Claim.IPV4: frozenset({"10.0.0.2"})}
STRANGER = Sighting("ipv4", "10.0.0.2", "eth0", "02:aa:bb:cc:dd:ee")


class FakeWire:
    """A wire on which a peer has what `taken` names."""

    def __init__(self) -> None:
        self.now = 100.0
        self.taken: dict[Claim, Values] = {}
        self.did: list[Any] = []

    async def probe_newcomers(self, claims: Mapping[Claim, Values]) -> Contest:
        self.did.append(("probe", dict(claims)))
        lost = {claim: values & self.taken.get(claim, frozenset()) for claim, values in claims.items()}
        lost = {claim: values for claim, values in lost.items() if values}
        return Contest(clear=not lost, lost=lost)

    def amend(self, claims: Mapping[Claim, Values]) -> None:
        self.did.append(("amend", dict(claims)))

    def remind(self) -> None:
        self.did.append("remind")


@pytest.fixture
def wire() -> FakeWire:
    return FakeWire()


@pytest.fixture
def strangers(monkeypatch: pytest.MonkeyPatch) -> list[Sighting]:
    found: list[Sighting] = []

    async def holders(
        links: Collection[Link], addresses: Values | None = None, *, established: bool = False
    ) -> tuple[Sighting, ...]:
        assert not established, "what is new was not ours before"
        return tuple(each for each in found if addresses is None or each.value in addresses)

    monkeypatch.setattr(module, "foreign_holders", holders)
    return found


def follow(guard: Guard, claims: Mapping[Claim, Values], appeared: Collection[str] = ()) -> bool:
    return asyncio.run(guard.follow(claims, (), appeared))


def guarding(wire: FakeWire) -> Guard:
    return Guard(wire, HELD)  # type: ignore[arg-type]


def test_where_nothing_changed_nothing_is_said(wire: FakeWire) -> None:
    assert not follow(guarding(wire), HELD)
    assert wire.did == []


def test_a_new_address_is_probed_and_defended_once_nobody_has_it(wire: FakeWire, strangers: list[Sighting]) -> None:
    guard = guarding(wire)
    assert follow(guard, MORE)
    assert wire.did == [("probe", NEW), ("amend", MORE)]
    assert guard.contested == {}
    assert not follow(guard, MORE)


def test_what_a_peer_has_is_not_called_ours_and_what_is_ours_is_kept(wire: FakeWire, strangers: list[Sighting]) -> None:
    wire.taken = NEW
    guard = guarding(wire)
    assert follow(guard, MORE)
    assert guard.contested == NEW
    assert ("amend", MORE) not in wire.did
    assert not follow(guard, MORE), "and is not probed at every look"
    wire.now += RETRY_S
    assert not follow(guard, MORE), "nothing new came of that"
    assert [did for did in wire.did if did != "remind"] == [("probe", NEW)] * 2
    wire.taken, wire.now = {}, wire.now + RETRY_S
    assert follow(guard, MORE)
    assert guard.contested == {}
    assert wire.did[-1] == ("amend", MORE)


def test_what_a_stranger_has_is_not_called_ours_either(wire: FakeWire, strangers: list[Sighting]) -> None:
    strangers.append(STRANGER)
    guard = guarding(wire)
    assert follow(guard, MORE)
    assert guard.contested == NEW
    assert guard.holders == (STRANGER,)


def test_beside_a_peer_that_has_it_nobody_else_is_named(wire: FakeWire, strangers: list[Sighting]) -> None:
    strangers.append(STRANGER)
    wire.taken = NEW
    guard = guarding(wire)
    follow(guard, MORE)
    assert guard.holders == ()


def test_what_was_contested_and_is_gone_is_forgotten(wire: FakeWire, strangers: list[Sighting]) -> None:
    wire.taken = NEW
    guard = guarding(wire)
    follow(guard, MORE)
    assert follow(guard, HELD)
    assert guard.contested == {}
    assert wire.did[-1] == ("amend", HELD)


def test_what_an_operator_took_away_is_not_defended_while_the_new_is_probed(
    wire: FakeWire, strangers: list[Sighting]
) -> None:
    wire.taken = NEW
    moved: dict[Claim, Values] = {**HELD, Claim.IPV4: frozenset({"10.0.0.2"})}
    follow(guarding(wire), moved)
    assert wire.did == [("amend", {Claim.HOSTNAME: frozenset({"web"})}), ("probe", NEW)]


def test_a_link_that_appears_hears_who_we_are_at_once(wire: FakeWire) -> None:
    assert not follow(guarding(wire), HELD, {"eth1"})
    assert wire.did == ["remind"]


def test_what_is_contested_is_probed_at_once_where_a_link_appears(wire: FakeWire, strangers: list[Sighting]) -> None:
    wire.taken = NEW
    guard = guarding(wire)
    follow(guard, MORE)
    follow(guard, MORE, {"eth1"})
    assert [did for did in wire.did if did != "remind"] == [("probe", NEW)] * 2


def test_what_is_the_same_is_left_out() -> None:
    assert less(MORE, HELD) == NEW
    assert less(HELD, MORE) == {}


def test_only_static_addresses_that_are_ours_alone_are_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[str, str]] = []

    def holder(link: str, mac: str, address: str, *, established: bool) -> str | None:
        assert not established
        asked.append((link, address))
        return STRANGER.mac if address == "10.0.0.2" else None

    monkeypatch.setattr(module, "arp_holder", holder)
    addresses = (
        LinkAddress("10.0.0.1", 24, "global"),
        LinkAddress("10.0.0.2", 24, "global"),
        LinkAddress("10.0.0.3", 24, "global", dynamic=True),
        LinkAddress("10.0.0.4", 32, "global", floating=True),
        LinkAddress("fd00::1", 64, "global"),
    )
    link = Link("eth0", 2, "02:00:00:00:00:01", None, carrier=True, addresses=addresses)
    port = Link("eth1", 3, "02:00:00:00:00:01", None, carrier=True, addresses=addresses, port=True)
    down = Link("eth2", 4, "02:00:00:00:00:01", None, carrier=False, addresses=addresses)
    assert asyncio.run(module.foreign_holders((link, port, down))) == (STRANGER,)
    assert sorted(asked) == [("eth0", "10.0.0.1"), ("eth0", "10.0.0.2")]
    assert asyncio.run(module.foreign_holders((link,), frozenset({"10.0.0.1"}))) == ()
