"""Settling: what the running system still holds of a machine ID that was renewed under it."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from nodeprep import settle
from nodeprep.errors import HostError
from nodeprep.model import Origin
from nodeprep.renewal import LIVE, Renewal

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
