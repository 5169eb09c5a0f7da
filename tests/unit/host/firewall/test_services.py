"""Openings under the names that managers list them by."""

from __future__ import annotations

import pytest

from nodeprep.errors import HostError
from nodeprep.host.firewall.services import services
from nodeprep.model import Opening


def test_a_role_whose_openings_are_for_the_same_networks_has_one_service() -> None:
    nodes = ("10.0.0.0/8", "fd00::/8")
    bgp = Opening("tcp", 179, 179, "BGP", "calico", nodes, ("nodes",))
    tunnel = Opening("ip-in-ip", 0, 0, "IP in IP", "calico", nodes, ("nodes",))
    (made,) = services((bgp, tunnel))
    assert (made.name, made.purpose, made.openings) == ("nodeprep-calico", "BGP; IP in IP", (bgp, tunnel))
    assert tuple(map(str, made.sources)) == nodes


def test_what_others_may_reach_is_under_a_name_of_its_own() -> None:
    kubelet = Opening("tcp", 10250, 10250, "kubelet API", "worker", ("10.0.0.1/32",), ("control-plane", "metrics"))
    ports = Opening("tcp", 30000, 32767, "NodePort services", "worker", (), ("clients",))
    assert [(each.name, each.openings) for each in services((kubelet, ports))] == [
        ("nodeprep-worker", (ports,)),
        ("nodeprep-worker-from-control-plane-metrics", (kubelet,)),
    ]


def test_an_opening_that_two_roles_need_is_in_both() -> None:
    kubelet = Opening("tcp", 10250, 10250, "kubelet API", "control-plane, worker", (), ("control-plane",))
    assert [each.name for each in services((kubelet,))] == ["nodeprep-control-plane", "nodeprep-worker"]


def test_a_source_that_is_no_network_is_refused() -> None:
    with pytest.raises(HostError, match="nowhere"):
        services((Opening("tcp", 1, 1, "x", "worker", ("nowhere",)),))
