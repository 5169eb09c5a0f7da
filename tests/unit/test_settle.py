"""Settling: what the running system holds of a machine ID that was renewed under it, and what is tried once more."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from nodeprep import settle
from nodeprep.errors import HostError
from nodeprep.model import Claim, Origin, Sighting, Values
from nodeprep.renewal import LIVE, Renewal
from nodeprep.report import READY_FILE
from nodeprep.steps import Outcome, Result

FORMER, FRESH = "0" * 32, "1" * 32


class LiveSystem:
    """A running system in which a search finds something, or cannot be made."""

    def __init__(self, found: tuple[str, ...] | HostError) -> None:
        self.found = found

    async def machine_ids(self) -> dict[str, str]:
        return {}

    async def holders(self, machine_id: str) -> tuple[str, ...]:
        assert machine_id == FORMER
        if isinstance(self.found, HostError):
            raise self.found
        return self.found


def must_reboot(found: tuple[str, ...] | HostError, reboots: int) -> tuple[str | None, settle.Settler, list[Renewal]]:
    """Return why such a machine must boot again, who settles it, and what is noted of its renewal."""
    kept: list[Renewal] = []
    this: Any = SimpleNamespace(
        renewal=Renewal(Origin.TWIN, "a live peer", {}, reboots),
        machine=SimpleNamespace(exists=lambda path: path == LIVE),
        machine_id=lambda: FRESH,
        keep_renewal=kept.append,
    )
    system: Any = LiveSystem(found)
    settler = settle.Settler(None, lambda _: None, foreman=system, former_id=FORMER)  # type: ignore[arg-type]
    return asyncio.run(settler._must_reboot(this)), settler, kept


@pytest.mark.parametrize(
    ("found", "words"),
    [
        (("12 agent",), "12 agent"),
        (
            HostError("nodeprep-witness.service: timeout"),
            "the search could not be made: nodeprep-witness.service: timeout",
        ),
    ],
)
def test_what_holds_the_old_id_or_cannot_be_searched_costs_one_reboot_and_is_then_told(
    found: tuple[str, ...] | HostError, words: str
) -> None:
    reason, settler, kept = must_reboot(found, reboots=0)
    assert reason == f"the old machine ID is still held: {words}"
    assert [renewal.reboots for renewal in kept] == [1]
    reason, settler, kept = must_reboot(found, reboots=1)
    assert (reason, settler.holding, kept) == (None, (words,), [])


def test_a_system_that_has_let_go_of_it_goes_on() -> None:
    reason, settler, kept = must_reboot((), reboots=0)
    assert (reason, settler.holding, kept) == (None, (), [])


def settler_at(now_s: float) -> settle.Settler:
    return settle.Settler(SimpleNamespace(now=now_s), lambda _: None)  # type: ignore[arg-type]


def ran(
    *outcomes: Outcome, contested: tuple[Claim, ...] = (), on_conflict: str = "pool", is_ready: bool = False
) -> Any:
    return SimpleNamespace(
        outcomes={o.subject: o for o in outcomes},
        machine=SimpleNamespace(links=tuple, exists=lambda path: is_ready and path == READY_FILE),
        contested=dict.fromkeys(contested, frozenset({"value"})),
        config=SimpleNamespace(address=SimpleNamespace(on_conflict=on_conflict)),
    )


def test_a_renewal_that_failed_is_tried_again_after_a_while_and_a_few_times_only() -> None:
    failed = ran(Outcome("hostname", Result.FAILED, "timed out"), Outcome("mac", Result.DONE, ""))
    settler = settler_at(100.0)
    settler.probed_s = 100.0 - settle.RETRY_S + 1
    assert not asyncio.run(settler.may_be_over(failed))
    settler.probed_s -= 1
    assert [asyncio.run(settler.may_be_over(failed)) for _ in range(settle.RETRIES_MAX + 1)] == [
        *[True] * settle.RETRIES_MAX,
        False,
    ]


@pytest.mark.parametrize("outcome", [Outcome("mac", Result.DONE, ""), Outcome("openings", Result.FAILED, "no nft")])
def test_what_was_done_or_is_looked_at_anyway_is_not_tried_again(outcome: Outcome) -> None:
    assert not asyncio.run(settler_at(100.0).may_be_over(ran(outcome)))


@pytest.mark.parametrize(
    ("claim", "policy", "again"),
    [(Claim.IPV4, "pool", True), (Claim.IPV6, "pool", True), (Claim.IPV4, "report", False), (Claim.MAC, "pool", False)],
)
def test_a_pool_in_which_no_address_was_free_is_looked_into_again(claim: Claim, policy: str, *, again: bool) -> None:
    this = ran(contested=(claim,), on_conflict=policy)
    assert asyncio.run(settler_at(100.0).may_be_over(this)) is again


def test_a_node_that_was_ready_does_not_ask_again_for_what_others_have() -> None:
    assert not asyncio.run(settler_at(100.0).may_be_over(ran(contested=(Claim.IPV4,), is_ready=True)))


def test_a_stranger_with_our_address_is_asked_for_until_he_is_gone(monkeypatch: pytest.MonkeyPatch) -> None:
    stranger = Sighting("ipv4", "10.77.0.10", "eth0", "52:54:00:77:00:99")
    there = [stranger]

    async def holders(links: object, addresses: Values, *, established: bool) -> tuple[Sighting, ...]:
        assert addresses == {"10.77.0.10"}
        assert established, "who only probes for it does not have it"
        return tuple(there)

    monkeypatch.setattr(settle, "foreign_holders", holders)
    settler = settler_at(100.0)
    settler.holders = (stranger,)
    assert not asyncio.run(settler.may_be_over(ran()))
    there.clear()
    assert asyncio.run(settler.may_be_over(ran()))
