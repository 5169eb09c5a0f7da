"""firewalld told of openings, beside what an operator has told it, and refusing at every turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any, cast

import pytest

from nodeprep.errors import HostError
from nodeprep.host.firewall.firewalld import Firewalld
from nodeprep.model import Opening
from tests.fakes.firewalld import FakeFirewalld

NODES = ("10.77.0.0/24", "fd77::/64")
KUBELET = Opening("tcp", 10250, 10250, "kubelet API", "worker", NODES, ("control-plane",))
PORTS = Opening("udp", 30000, 32767, "NodePort services", "worker", (), ("clients",))
TUNNEL = Opening("ip-in-ip", 0, 0, "IP in IP", "calico", NODES, ("nodes",))
API = Opening("tcp", 6443, 6443, "API server", "control-plane", (), ("nodes",))
FIRST, SECOND = (KUBELET, PORTS, TUNNEL), (API, PORTS)


def driver(firewalld: FakeFirewalld) -> Firewalld:
    return Firewalld(cast("Any", firewalld), asyncio.run, lambda: ["eth0"])


def apply(firewalld: FakeFirewalld, openings: tuple[Opening, ...]) -> None:
    driver(firewalld).apply(openings, "open", ())


def is_present(firewalld: FakeFirewalld, openings: tuple[Opening, ...]) -> bool:
    return driver(firewalld).present(openings, "open", ())


def test_what_it_has_not_loaded_is_in_force_rule_by_rule_and_by_name_after_a_reload() -> None:
    firewalld = FakeFirewalld()
    assert not is_present(firewalld, FIRST)
    apply(firewalld, FIRST)
    assert is_present(firewalld, FIRST)
    rules = firewalld.loaded["zones"]["public"]["rules_str"]
    port = 'port port="30000-32767" protocol="udp"'
    assert f'rule {port} nflog group="10250" prefix="nodeprep-worker" accept' in rules
    firewalld.reload()
    assert is_present(firewalld, FIRST), "nothing is to be done after a reload"
    zone = firewalld.loaded["zones"]["public"]
    assert zone["services"] == ["ssh", "nodeprep-worker"]
    narrowed = 'service name="nodeprep-worker-from-control-plane"'
    assert f'rule family="ipv4" source address="10.77.0.0/24" {narrowed} accept' in zone["rules_str"]
    assert firewalld.permanent["services"]["nodeprep-calico"]["protocols"] == ["4"]


def test_another_role_leaves_nothing_of_the_former_and_all_of_the_operators() -> None:
    firewalld = FakeFirewalld()
    before = firewalld.state()
    for reloads in (False, True):
        apply(firewalld, FIRST)
        if reloads:
            firewalld.reload()
        apply(firewalld, SECOND)
        assert is_present(firewalld, SECOND)
        assert "10250" not in str(firewalld.permanent)
        assert 'port="10250"' not in str(firewalld.loaded["zones"])
        driver(firewalld).remove()
        assert firewalld.permanent == before["permanent"]
        assert firewalld.loaded["zones"] == before["loaded"]["zones"]


def test_a_service_that_changed_since_it_was_loaded_does_not_count_as_loaded() -> None:
    firewalld = FakeFirewalld()
    apply(firewalld, (PORTS,))
    firewalld.reload()
    moved = Opening("udp", 20000, 20100, "NodePort services", "worker", (), ("clients",))
    apply(firewalld, (moved,))
    assert firewalld.loaded["zones"]["public"]["services"] == ["ssh"]
    assert 'port="20000-20100"' in str(firewalld.loaded["zones"]["public"])
    assert firewalld.permanent["services"]["nodeprep-worker"]["ports"] == [["20000-20100", "udp"]]


def lose_a_rule(firewalld: FakeFirewalld) -> None:
    firewalld.loaded["zones"]["public"]["rules_str"].pop()


def lose_a_service(firewalld: FakeFirewalld) -> None:
    firewalld.permanent["zones"]["public"]["services"].remove("nodeprep-worker")


def change_a_definition(firewalld: FakeFirewalld) -> None:
    firewalld.permanent["services"]["nodeprep-worker"]["ports"] = []


def leave_some_in_the_zone_that_the_link_was_in(firewalld: FakeFirewalld) -> None:
    firewalld.permanent["zones"]["home"]["services"].append("nodeprep-worker")


@pytest.mark.parametrize(
    "damage", [lose_a_rule, lose_a_service, change_a_definition, leave_some_in_the_zone_that_the_link_was_in]
)
def test_what_somebody_takes_away_or_leaves_behind_is_seen_and_mended(damage: Callable[[FakeFirewalld], None]) -> None:
    firewalld = FakeFirewalld()
    apply(firewalld, FIRST)
    damage(firewalld)
    assert not is_present(firewalld, FIRST)
    apply(firewalld, FIRST)
    assert is_present(firewalld, FIRST)
    assert "nodeprep" not in str(firewalld.permanent["zones"]["home"])


@pytest.mark.parametrize("reloaded", [False, True])
def test_whichever_change_it_refuses_everything_is_as_it_was(reloaded: bool) -> None:
    firewalld = FakeFirewalld()
    apply(firewalld, FIRST)
    if reloaded:
        firewalld.reload()
    before = firewalld.state()
    refused = 0
    while True:
        firewalld.fails_at = refused + 1
        try:
            apply(firewalld, SECOND)
        except HostError:
            refused += 1
            after = firewalld.state()
            for held in ("permanent", "loaded"):
                assert after[held]["services"].keys() == before[held]["services"].keys()
                for zone, had in before[held]["zones"].items():
                    for key in ("services", "rules_str"):
                        assert sorted(after[held]["zones"][zone][key]) == sorted(had[key])
            assert is_present(firewalld, FIRST)
            continue
        break
    assert refused > 8
    assert is_present(firewalld, SECOND)
