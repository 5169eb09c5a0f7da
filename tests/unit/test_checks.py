"""Checks: what of a node itself keeps Kubernetes from working."""

from __future__ import annotations

from typing import Any

import pytest

from nodeprep import checks
from nodeprep.checks import Outcome
from nodeprep.model import Link, LinkAddress

ADDRESS = "10.77.0.10"
UP = Link("eth0", 2, "52:54:00:77:00:10", None, carrier=True, addresses=(LinkAddress(ADDRESS, 24, "global"),))
DOWN = Link("eth1", 3, "52:54:00:77:00:11", None, carrier=False, addresses=(LinkAddress("10.78.0.10", 24, "global"),))

ROUTES = """\
Iface	Destination	Gateway 	Flags	RefCnt	Use	Metric	Mask		MTU	Window	IRTT
eth0	00000000	01004D0A	0003	0	0	100	00000000	0	0	0
eth0	00004D0A	00000000	0001	0	0	100	00FFFFFF	0	0	0
"""
HALVES = ROUTES.replace(
    "00000000	01004D0A	0003	0	0	100	00000000",
    "00000000	01004D0A	0003	0	0	100	00000080",
)
ROUTE6 = f"{'0' * 32} 00 {'0' * 32} 00 {'f' * 32} 00000400 00000001 00000000 00000003 eth0\n"
REJECTING6 = f"{'0' * 32} 00 {'0' * 32} 00 {'0' * 32} ffffffff 00000001 00000000 00200200       lo\n"


class Routes:
    """A machine of which nothing but its routes is looked at."""

    def __init__(self, fourth: str, sixth: str) -> None:
        self._texts = {"/proc/net/route": fourth, "/proc/net/ipv6_route": sixth}

    def read_text(self, path: str) -> str | None:
        return self._texts[path]


def route(fourth: str, sixth: str) -> Outcome:
    machine: Any = Routes(fourth, sixth)
    return checks.default_route(machine).outcome


def test_a_default_route_of_either_family_is_enough() -> None:
    assert route(ROUTES, "") is Outcome.GOOD
    assert route("", ROUTE6) is Outcome.GOOD


def test_a_route_that_rejects_or_covers_half_of_the_world_is_no_default_route() -> None:
    assert route(HALVES, REJECTING6) is Outcome.BAD
    assert route("", "") is Outcome.BAD


def test_links() -> None:
    assert checks.links_up((UP,)).outcome is Outcome.GOOD
    assert checks.links_up((UP, DOWN)).outcome is Outcome.DOUBTFUL
    assert checks.links_up((DOWN,)).outcome is Outcome.BAD


@pytest.mark.parametrize(
    ("found", "outcome"),
    [
        ([ADDRESS], Outcome.GOOD),
        (["127.0.1.1", ADDRESS], Outcome.GOOD),
        (["fe80::1%eth0", ADDRESS], Outcome.BAD),
        (["127.0.1.1"], Outcome.DOUBTFUL),
        ([], Outcome.DOUBTFUL),
        (["10.77.0.99"], Outcome.BAD),
    ],
)
def test_a_name_leads_home_or_elsewhere(found: list[str], outcome: Outcome) -> None:
    assert checks.leads_home("own name", "worker-1", found, {ADDRESS}).outcome is outcome


def test_identity_is_what_the_daemon_says() -> None:
    ready: dict[str, Any] = {"state": "ready", "summary": "worker-1: identity is its own (same)", "problems": []}
    doubled = {"code": "dispute", "detail": "hostname: a live peer presents it too", "remedy": "…"}
    other = {"code": "openings", "detail": "nft: no", "remedy": "…"}
    assert checks.identity(None).outcome is Outcome.DOUBTFUL
    assert checks.identity(ready).outcome is Outcome.GOOD
    assert checks.identity({**ready, "state": "degraded", "problems": [doubled]}).outcome is Outcome.BAD
    assert checks.identity({**ready, "state": "degraded", "problems": [other]}).outcome is Outcome.GOOD
    assert checks.identity({**ready, "state": "held", "problems": [other]}).outcome is Outcome.BAD


def test_the_worst_counts() -> None:
    found = [checks.links_up((UP,)), checks.identity(None)]
    assert checks.worst(found) is Outcome.DOUBTFUL
    assert checks.worst([]) is Outcome.GOOD
