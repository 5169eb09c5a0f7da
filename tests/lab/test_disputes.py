"""Disputes: two machines said ready where they could not hear each other. Neither changes; both say so."""

from __future__ import annotations

from functools import partial

import pytest

from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import ARTEFACTS, ready, status
from tests.lab.golden import MAC
from tests.lab.identity import identity
from tests.lab.lan import Lan

pytestmark = pytest.mark.usefixtures("golden")


def degraded(clone: Clone) -> bool:
    """Whether the node is ready and something is amiss."""
    return str(status(clone)["state"]) == "degraded"


def test_twins_that_became_ready_apart_report_it_when_they_meet_and_change_nothing(
    make_clone: MakeClone, lan: Lan
) -> None:
    twins = [make_clone(name, mac=MAC) for name in ("left", "right")]
    for twin in twins:
        twin.boot(wait=False)
        lan.part(twin.name)
    for twin in twins:
        ready(twin)
    before = [identity(twin) for twin in twins]
    assert before[0]["machine-id"] == before[1]["machine-id"], "they were never together"
    lan.part()
    for twin in twins:
        twin.wait_for(partial(degraded, twin), 60)
    for twin, had in zip(twins, before, strict=True):
        told = {(problem["code"], problem["subject"]) for problem in status(twin)["problems"]}
        assert ("dispute", "machine-id") in told
        # A link-local address that the kernel gave after READY was not defended yet, and is the other's as well.
        assert {each for each in told if each[0] != "dispute"} <= {("conflict", "ipv6-address")}
        assert twin.run("nodeprep", "status", check=False).returncode == 2
        assert twin.exists("/run/nodeprep/ready"), "READY was said, and a kubelet may run"
        has = identity(twin)
        assert {name: has[name] for name in ARTEFACTS if name != "ipv6"} == {
            name: had[name] for name in ARTEFACTS if name != "ipv6"
        }
