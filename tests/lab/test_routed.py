"""Peers beyond a router, whom no broadcast reaches: clones of one template become unique all the same."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from functools import partial
from typing import Any

import pytest

from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import KEPT, assert_pairwise_different, ready, status
from tests.lab.golden import CONFIGURATION, PROFILE_PATH
from tests.lab.identity import identity
from tests.lab.lan import Lan

pytestmark = pytest.mark.usefixtures("golden")

NORTH, SOUTH, LATE = "10.77.0.21", "10.78.0.22", "10.78.0.23"
FILE = "/etc/nodeprep/nodeprep.toml"
PEERS = f"""
[peers]
unicast = ["{NORTH}", "{SOUTH}", "{LATE}"]

[firewall]
mode = "enforce"
"""


def profile(address: str) -> str:
    gateway = f"{address.rpartition('.')[0]}.1"
    return (
        "[connection]\nid=lan\nuuid=5f0c1c1e-7b0e-4c55-9c1f-6d1b6c3c9a10\ntype=ethernet\ninterface-name=eth0\n\n"
        f"[ipv4]\nmethod=manual\naddress1={address}/24,{gateway}\n\n[ipv6]\nmethod=auto\n"
    )


def placed(clone: Clone, address: str, settings: str = PEERS) -> Clone:
    """Give a clone an address of its own, as who deploys it does; all else is its template's."""
    clone.write(PROFILE_PATH, profile(address), 0o600)
    clone.write(FILE, CONFIGURATION + settings)
    return clone


@pytest.fixture
def south(lan: Lan) -> Iterator[Lan]:
    """Return a second segment, beyond a router of the first."""
    with Lan("south") as segment:
        lan.join(segment, "10.77.0.1/24", "10.78.0.1/24")
        yield segment


def peers(clone: Clone) -> dict[str, Any]:
    document: dict[str, Any] = json.loads(clone.run("nodeprep", "peers", "--json").stdout)
    return document


def hears(clone: Clone, address: str) -> bool:
    return any(where["address"] == address for peer in peers(clone)["list"] for where in peer["heard_on"])


def test_clones_in_two_segments_become_unique_and_a_late_one_too(make_clone: MakeClone, south: Lan) -> None:
    north, other = placed(make_clone("north"), NORTH), placed(make_clone("other", lan=south), SOUTH)
    for node in (north, other):
        node.boot(wait=False)
    origins = {node.name: ready(node)["node"]["origin"] for node in (north, other)}
    assert sorted(origins.values()) == ["same", "twin"], "one keeps, one yields"
    had = assert_pairwise_different([north, other])
    assert re.search(rf"\b{NORTH}\b", had["north"]["ipv4"]), "an address that the other's answer came to is kept"
    assert re.search(rf"\b{SOUTH}\b", had["other"]["ipv4"])
    for node, address in ((north, SOUTH), (other, NORTH)):
        node.wait_for(partial(hears, node, address), 30)
        told = peers(node)
        assert told["links"] == ["eth0", "unicast/udp"]
        assert {where["link"] for peer in told["list"] for where in peer["heard_on"]} == {"unicast/udp"}
        assert not told["echoes"], "its own address is in its list"
        assert told["silent"] == [f"{LATE}:7877"]
        shown = node.run("nodeprep", "peers").stdout
        assert f"unicast/udp  {address}" in shown
        openings = {row["opening"]: row["from"] for row in status(node)["openings"]["list"]}
        assert openings["7877/udp"] == f"{NORTH}/32, {SOUTH}/32, {LATE}/32"
    late = placed(make_clone("late", lan=south), LATE)
    late.boot(wait=False)
    assert ready(late)["node"]["origin"] == "twin"
    assert_pairwise_different([north, other, late])
    for node in (north, other):
        assert status(node)["state"] == "ready"
        now = identity(node)
        assert {name: now[name] for name in KEPT} == {name: had[node.name][name] for name in KEPT}
        assert node.boots == 1


def test_without_the_peers_being_named_twins_beyond_a_router_do_not_hear_each_other(
    make_clone: MakeClone, south: Lan
) -> None:
    """What the test above would be without unicast: both keep the template's machine ID."""
    nodes = [placed(make_clone("north"), NORTH, ""), placed(make_clone("other", lan=south), SOUTH, "")]
    for node in nodes:
        node.boot(wait=False)
    assert [ready(node)["node"]["origin"] for node in nodes] == ["same", "same"]
    assert identity(nodes[0])["machine-id"] == identity(nodes[1])["machine-id"]
