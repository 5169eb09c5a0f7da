"""Addresses from the pool: in which order they are tried."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import cast

import pytest

from nodeprep import address
from nodeprep.errors import HostError
from nodeprep.model import Claim, Values
from nodeprep.wire import Wire

MAC = "52:54:00:77:00:10"
POOL = [f"10.77.0.{number}/24" for number in range(1, 31)]


class Heard:
    """What peers were heard to claim."""

    def __init__(self, *numbers: int) -> None:
        self.values = {f"10.77.0.{number}" for number in numbers}

    def claimed(self, claim: Claim, values: Iterable[str]) -> Values:
        assert claim is Claim.IPV4
        return frozenset(values) & self.values


class Link:
    """A link on which some addresses are answered for."""

    def __init__(self, *numbers: int) -> None:
        self.held = {f"10.77.0.{number}" for number in numbers}
        self.asked: list[int] = []

    def holders(self, link: str, mac: str, addresses: list[str]) -> frozenset[str]:
        assert (link, mac) == ("eth0", MAC)
        self.asked.append(len(addresses))
        return frozenset(addresses) & self.held


def tried(heard: Heard, then: dict[int, set[int]] | None = None) -> list[int]:
    """Return the last bytes of what is tried. then: what is heard while an address is tried."""

    async def walk() -> list[int]:
        found = []
        async for each in address._unheld(iter(POOL), "eth0", MAC, Claim.IPV4, cast("Wire", heard)):
            found.append(int(each.removesuffix("/24").rpartition(".")[2]))
            heard.values |= {f"10.77.0.{number}" for number in (then or {}).get(found[-1], ())}
        return found

    return asyncio.run(walk())


@pytest.fixture
def link(monkeypatch: pytest.MonkeyPatch) -> Link:
    """Return a link on which 2 and 9 are answered for."""
    link = Link(2, 9)
    monkeypatch.setattr(address, "arp_holders", link.holders)
    return link


def test_the_first_is_tried_unasked_and_ever_more_are_asked_for_after_it(link: Link) -> None:
    assert tried(Heard()) == [n for n in range(1, 31) if n not in (2, 9)]
    assert link.asked == [4, 16, 9]


def test_what_peers_were_heard_to_claim_is_tried_last(link: Link) -> None:
    assert tried(Heard(1, 3, 9, 30)) == [n for n in range(2, 31) if n not in (3, 9, 30)] + [1, 3, 30]


def test_what_a_peer_claims_while_others_are_tried_is_tried_last(link: Link) -> None:
    *first, last, very_last = tried(Heard(), {3: {4, 20}})
    assert first == [n for n in range(1, 31) if n not in (2, 4, 9, 20)]
    assert {last, very_last} == {4, 20}


def test_where_everything_is_claimed_all_that_nobody_answers_for_is_tried(link: Link) -> None:
    assert tried(Heard(*range(1, 31))) == [n for n in range(1, 31) if n not in (2, 9)]


def test_none_is_tried_but_the_first_where_none_can_be_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> frozenset[str]:
        raise HostError("eth0: no such device")

    monkeypatch.setattr(address, "arp_holders", refuse)
    assert tried(Heard(2)) == [1]
