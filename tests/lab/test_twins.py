"""Perfect twins: same disk, same MAC, same address, no platform to tell them apart. Only the wire can."""

from __future__ import annotations

import json
from collections.abc import Sequence
from itertools import combinations
from typing import Any

import pytest

from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.golden import MAC
from tests.lab.identity import identity, shared

pytestmark = pytest.mark.usefixtures("golden")


def ready(clone: Clone, timeout: float = 60.0) -> dict[str, Any]:
    """Return the status document of a machine, once it says that it is ready; it may reboot on the way."""

    def document() -> dict[str, Any] | None:
        done = clone.run("nodeprep", "status", "--json", check=False)
        return json.loads(done.stdout) if done.returncode == 0 else None

    found: dict[str, Any] = clone.wait_for(document, timeout)
    return found


def assert_pairwise_different(clones: Sequence[Clone]) -> None:
    """Assert that no two of the machines share an artefact."""
    found = {clone.name: identity(clone) for clone in clones}
    for first, second in combinations(found, 2):
        assert not shared(found[first], found[second]), (first, found[first], second, found[second])


def test_three_perfect_twins_that_boot_at_one_instant_become_unique_and_ready(
    make_clone: MakeClone
) -> None:
    twins = [make_clone(f"twin-{number}", mac=MAC) for number in range(3)]
    for twin in twins:
        twin.boot(wait=False)
    for twin in twins:
        ready(twin)
    for twin in twins:
        twin.wait_booted()
        assert twin.failed_units() == ()
        assert twin.boots <= 2
    assert_pairwise_different(twins)
