"""Perfect twins on hardware's terms: one UUID, one permanent MAC, and a profile that pins another to all of them."""

from __future__ import annotations

from typing import Any

import pytest

from tests.lab.golden import MAC as PINNED
from tests.lab.lan import Lan
from tests.vm.conftest import MakeMachine
from tests.vm.expectations import assert_pairwise_different, assert_seen_so, assert_up
from tests.vm.golden import GENERATION, MAC, UUID
from tests.vm.machine import Machine

LOCALLY_ADMINISTERED = 0x02

Twins = tuple[tuple[Machine, ...], list[dict[str, Any]]]


@pytest.fixture(scope="module")
def twins(make_machine: MakeMachine) -> Twins:
    """Return three clones that were powered on at one instant, and their status once all are ready."""
    machines = tuple(make_machine(f"twin-{number}", mac=MAC, uuid=UUID, generation=GENERATION) for number in range(3))
    for machine in machines:
        machine.on()
    return machines, [machine.ready() for machine in machines]


def test_three_perfect_twins_that_boot_at_one_instant_become_unique_and_ready(twins: Twins, lan: Lan) -> None:
    machines, documents = twins
    for machine in machines:
        assert_up(machine, boots=2)
    found = assert_pairwise_different(machines)
    origins = sorted(document["node"]["origin"] for document in documents)
    assert origins == ["same", "twin", "twin"], "one keeps, and the others yield to it"
    macs = {values["mac"] for values in found.values()}
    assert {PINNED, MAC} < macs, "one keeps what was pinned, and one returns to the hardware's own"
    (third,) = macs - {PINNED, MAC}
    assert int(third[:2], 16) & LOCALLY_ADMINISTERED
    assert_seen_so(lan, found)
