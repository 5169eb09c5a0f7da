"""Roles: what a mapping of roles.d means, and what several roles need together."""

from __future__ import annotations

import copy
import sys
from pathlib import Path
from typing import Any

import pytest

from nodeprep.cluster import Cluster, Ports
from nodeprep.errors import ConfigError
from nodeprep.model import Opening
from nodeprep.roles import Need, Role, openings, parse, select

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

SHIPPED = Path(__file__).parents[2] / "config" / "roles.d"

MINIMAL: dict[str, Any] = {
    "title": "Dashboard",
    "opening": [{"ports": "8443", "protocol": "tcp", "purpose": "web", "from": "clients"}],
}


def role(name: str, *needs: tuple[str, int, int, str]) -> Role:
    """A role whose needs are (protocol, first port, last port, from)."""
    return Role(name, name, tuple(Need(p, first, last, f"{name}'s", (reached,)) for p, first, last, reached in needs))


@pytest.fixture(scope="module")
def shipped() -> dict[str, Role]:
    return {
        path.stem: parse(path.stem, tomllib.loads(path.read_text(encoding="utf-8")), str(path))
        for path in SHIPPED.glob("*.toml")
    }


def titles(found: tuple[Opening, ...]) -> list[str]:
    return [opening.title for opening in found]


KUBERNETES = {
    "control-plane": ["2379/tcp", "2380/tcp", "6443/tcp", "10250/tcp"],
    "worker": ["10250/tcp", "10256/tcp", "30000-32767/tcp", "30000-32767/udp"],
    "etcd": ["2379/tcp", "2380/tcp"],
    "load-balancer": ["vrrp", "6443/tcp"],
}
DISTRIBUTIONS = {
    "k3s-server": [
        "2379/tcp", "2380/tcp", "5001/tcp", "6443/tcp", "8472/udp", "10250/tcp", "51820-51821/udp",
    ],
    "k3s-agent": ["5001/tcp", "8472/udp", "10250/tcp", "51820-51821/udp"],
    "rke2-server": [
        "2379/tcp", "2380/tcp", "2381/tcp", "6443/tcp", "9345/tcp", "10250/tcp", "30000-32767/tcp", "30000-32767/udp",
    ],
    "rke2-agent": ["10250/tcp", "30000-32767/tcp", "30000-32767/udp"],
    "microk8s": ["10250/tcp", "16443/tcp", "19001/tcp", "25000/tcp"],
    "canonical-kubernetes": ["2379/tcp", "2380/tcp", "6400/tcp", "6443/tcp", "9000/tcp", "10250/tcp"],
}  # fmt: skip
NETWORKS = {
    "calico": ["ip-in-ip", "179/tcp", "4789/udp", "5473/tcp", "51820-51821/udp"],
    "canal": ["8472/udp", "51820-51821/udp"],
    "flannel": ["8285/udp", "8472/udp", "51820-51821/udp"],
    "cilium": ["icmp-echo", "4240/tcp", "4244/tcp", "6081/udp", "8472/udp", "51871/udp"],
    "weave": ["6783/tcp", "6783-6784/udp"],
}


@pytest.mark.parametrize(("name", "expected"), (KUBERNETES | DISTRIBUTIONS | NETWORKS).items())
def test_a_shipped_role_opens_what_its_project_documents(
    shipped: dict[str, Role], name: str, expected: list[str]
) -> None:
    assert titles(openings([shipped[name]])) == expected


def test_every_shipped_role_is_tried_above(shipped: dict[str, Role]) -> None:
    assert set(shipped) == set(KUBERNETES | DISTRIBUTIONS | NETWORKS)


def test_networks_are_those_that_a_plugin_tells_of(shipped: dict[str, Role]) -> None:
    assert {name for name, each in shipped.items() if each.cni_plugins} == set(NETWORKS)


def test_what_carries_the_pods_between_nodes_is_for_nodes_only(shipped: dict[str, Role]) -> None:
    cluster = Cluster(("10.0.0.0/16",), ("192.0.2.0/24",), load_balancers=("198.51.100.1/32",))
    for name in NETWORKS:
        for opening in openings([shipped[name]], cluster):
            assert opening.sources == ("10.0.0.0/16",), (name, opening.title)


def test_no_shipped_role_opens_what_belongs_to_loopback_or_is_obsolete(shipped: dict[str, Role]) -> None:
    for opening in openings([each for name, each in shipped.items() if name != "rke2-server"]):
        for port in (10248, 10249, 10251, 10252, 10255, 10257, 10259, 2381):
            assert not opening.first_port <= port <= opening.last_port, (opening.title, port)


@pytest.mark.parametrize("name", ["control-plane", "microk8s", "canonical-kubernetes"])
def test_scheduler_and_controller_manager_are_open_to_who_was_asked_for_and_nobody_else(
    shipped: dict[str, Role], name: str
) -> None:
    closed = openings([shipped[name]], Cluster(("10.0.0.0/16",)))
    assert not {"10257/tcp", "10259/tcp"} & set(titles(closed))
    for nodes in ((), ("10.0.0.0/16",)):
        found = openings([shipped[name]], Cluster(nodes, metrics_from=("10.0.9.9/32",)))
        sources = {opening.title: opening.sources for opening in found}
        assert sources["10257/tcp"] == sources["10259/tcp"] == ("10.0.9.9/32",)


def test_control_planes_that_are_named_are_the_only_ones_at_etcd_and_kubelets(shipped: dict[str, Role]) -> None:
    cluster = Cluster(("10.0.0.0/16",), control_planes=("10.0.0.8/30",), metrics_from=("10.0.9.9/32",))
    found = openings([shipped["control-plane"], shipped["worker"]], cluster)
    sources = {opening.title: opening.sources for opening in found}
    assert sources["2379/tcp"] == sources["2380/tcp"] == ("10.0.0.8/30",)
    assert sources["10250/tcp"] == ("10.0.0.8/30", "10.0.9.9/32")
    assert sources["6443/tcp"] == ("10.0.0.0/16",)
    alone = openings([shipped["etcd"]], Cluster(control_planes=("10.0.0.8/30",)))
    assert {opening.sources for opening in alone} == {("10.0.0.8/30",)}


def test_load_balancers_are_let_in_where_they_stand_before_something(shipped: dict[str, Role]) -> None:
    cluster = Cluster(("10.0.0.0/16",), load_balancers=("192.0.2.7/32",))
    found = openings([shipped["control-plane"], shipped["worker"]], cluster)
    sources = {opening.title: opening.sources for opening in found}
    assert sources["10256/tcp"] == ("192.0.2.7/32",)
    assert {title for title in sources if "192.0.2.7/32" in sources[title]} == {
        "6443/tcp", "10256/tcp", "30000-32767/tcp", "30000-32767/udp",
    }  # fmt: skip


def test_pods_are_let_in_where_nodes_are_and_everywhere_where_they_are_trusted(shipped: dict[str, Role]) -> None:
    cluster = Cluster(("10.0.0.0/16",), pods=("10.42.0.0/15",))
    found = {opening.title: opening for opening in openings([shipped["k3s-server"]], cluster)}
    assert found["6443/tcp"].sources == ("10.0.0.0/16", "10.42.0.0/15")
    assert found["2379/tcp"].sources == ("10.0.0.0/16",)
    assert found["1-65535/tcp"].sources == found["1-65535/udp"].sources == ("10.42.0.0/15",)
    assert found["1-65535/tcp"].needed_by == ("pods",)


def test_an_opening_says_who_needs_it(shipped: dict[str, Role]) -> None:
    found = {opening.title: opening.needed_by for opening in openings([shipped["control-plane"], shipped["worker"]])}
    assert found["6443/tcp"] == ("control-plane", "nodes", "load-balancers", "clients")
    assert found["10250/tcp"] == ("control-plane",)


@pytest.mark.parametrize(
    ("name", "ports", "there", "gone"),
    [
        ("control-plane", Ports(api_server="443"), "443/tcp", "6443/tcp"),
        ("microk8s", Ports(api_server="443"), "443/tcp", "16443/tcp"),
        ("worker", Ports(node_ports="20000-22767"), "20000-22767/udp", "30000-32767/udp"),
        ("worker", Ports(kubelet="10350"), "10350/tcp", "10250/tcp"),
        ("worker", Ports(kube_proxy_health="10356"), "10356/tcp", "10256/tcp"),
        ("etcd", Ports(etcd_client="4001", etcd_peer="7001"), "7001/tcp", "2380/tcp"),
        ("rke2-server", Ports(supervisor="9346"), "9346/tcp", "9345/tcp"),
        ("calico", Ports(vxlan="8473"), "8473/udp", "4789/udp"),
        ("cilium", Ports(wireguard="51872"), "51872/udp", "51871/udp"),
    ],
)
def test_what_the_operator_moved_is_open_where_it_went(
    shipped: dict[str, Role], name: str, ports: Ports, there: str, gone: str
) -> None:
    found = titles(openings([shipped[name]], Cluster(), ports))
    assert there in found
    assert gone not in found


def test_a_need_is_read_as_written_one_for_each_protocol() -> None:
    table = {
        "ports": "30000-32767",
        "protocol": ["tcp", "udp"],
        "purpose": "NodePort",
        "from": ["nodes", "clients"],
        "setting": "node_ports",
    }
    assert parse("own", {"title": "Own", "opening": [table]}, "own.toml") == Role(
        "own",
        "Own",
        tuple(
            Need(protocol, 30000, 32767, "NodePort", ("nodes", "clients"), "node_ports") for protocol in ("tcp", "udp")
        ),
    )


def test_a_protocol_without_ports_is_an_opening_by_itself() -> None:
    table = {"protocol": ["ip-in-ip", "icmp-echo"], "purpose": "tunnel", "from": "nodes"}
    (ipip, echo) = openings([parse("own", {"title": "Own", "opening": [table]}, "own.toml")])[::-1]
    assert (ipip.title, ipip.first_port, ipip.last_port, ipip.ports) == ("ip-in-ip", 0, 0, "")
    assert echo.title == "icmp-echo"


def test_a_role_may_need_nothing() -> None:
    assert parse("storage", {"title": "Storage"}, "storage.toml").needs == ()


@pytest.mark.parametrize(
    ("key", "value", "said"),
    [
        ("ports", "0", "opening[0].ports"),
        ("ports", "65536", "opening[0].ports"),
        ("ports", "20-10", "opening[0].ports"),
        ("ports", "6443,6444", "opening[0].ports"),
        ("ports", "-1", "opening[0].ports"),
        ("ports", " 6443", "opening[0].ports"),
        ("ports", "٣٣", "opening[0].ports"),
        ("ports", "", "opening[0].ports"),
        ("ports", 6443, "opening[0].ports"),
        ("ports", None, "opening[0].ports"),
        ("protocol", "sctp", "opening[0].protocol"),
        ("protocol", "TCP", "opening[0].protocol"),
        ("protocol", [], "opening[0].protocol"),
        ("protocol", ["tcp", 6], "opening[0].protocol"),
        ("protocol", {"tcp": True}, "opening[0].protocol"),
        ("from", "everyone", "opening[0].from"),
        ("from", [["nodes"]], "opening[0].from"),
        ("purpose", " ", "opening[0].purpose"),
        ("purpose", 'two\nlines"', "opening[0].purpose"),
        ("port", "6443", "opening[0].port"),
        ("protocol", "ip-in-ip", "opening[0].ports"),
        ("protocol", ["tcp", "ip-in-ip"], "opening[0].protocol"),
        ("setting", "api-server", "opening[0].setting"),
        ("setting", 1, "opening[0].setting"),
    ],
)
def test_a_value_outside_its_vocabulary_is_named_with_file_key_and_remedy(key: str, value: object, said: str) -> None:
    mapping = copy.deepcopy(MINIMAL)
    mapping["opening"][0][key] = value
    with pytest.raises(ConfigError) as caught:
        parse("own", mapping, "/etc/nodeprep/roles.d/own.toml")
    assert (caught.value.file, caught.value.key) == ("/etc/nodeprep/roles.d/own.toml", said)
    assert caught.value.remedy


@pytest.mark.parametrize("missing", ["ports", "protocol", "purpose", "from"])
def test_every_key_of_an_opening_is_asked_for(missing: str) -> None:
    mapping = copy.deepcopy(MINIMAL)
    del mapping["opening"][0][missing]
    with pytest.raises(ConfigError, match="is missing"):
        parse("own", mapping, "own.toml")


@pytest.mark.parametrize(
    ("mapping", "key"),
    [
        ({"opening": []}, "title"),
        ({"title": "x", "openings": []}, "openings"),
        ({"title": "x", "opening": {"ports": "1"}}, "opening"),
        ({"title": "x", "opening": ["6443"]}, "opening[0]"),
        ({"title": "x", "cni_plugins": "calico"}, "cni_plugins"),
        ({"title": "x", "cni_plugins": [1]}, "cni_plugins"),
    ],
)
def test_a_file_of_another_shape_is_refused(mapping: dict[str, object], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse("own", mapping, "own.toml")
    assert caught.value.key == key


@pytest.mark.parametrize("name", ["", "Worker", "a b", "-x", "x" * 32, "wörker", 'a"', "a\n"])
def test_a_name_that_a_firewall_could_not_carry_is_refused(name: str) -> None:
    with pytest.raises(ConfigError, match="cannot name a role"):
        parse(name, MINIMAL, "own.toml")


def test_roles_are_selected_once_each_in_the_order_asked_for(shipped: dict[str, Role]) -> None:
    chosen = select(["worker", "control-plane", "worker"], shipped, "nodeprep.toml")
    assert [each.name for each in chosen] == ["worker", "control-plane"]
    assert select([], shipped, "nodeprep.toml") == ()


def test_an_unknown_role_is_answered_with_those_that_are_known(shipped: dict[str, Role]) -> None:
    with pytest.raises(ConfigError) as caught:
        select(["wroker"], shipped, "/etc/nodeprep/nodeprep.toml")
    assert (caught.value.file, caught.value.key) == ("/etc/nodeprep/nodeprep.toml", "node.roles")
    assert "'wroker'" in caught.value.problem
    assert "did you mean 'worker'" in caught.value.remedy
    assert "calico, canal, canonical-kubernetes, cilium, control-plane, etcd" in caught.value.remedy


def test_roles_that_share_an_opening_have_it_once_and_are_both_named(shipped: dict[str, Role]) -> None:
    together = openings([shipped["control-plane"], shipped["worker"], shipped["etcd"]])
    assert titles(together) == [
        "2379/tcp",
        "2380/tcp",
        "6443/tcp",
        "10250/tcp",
        "10256/tcp",
        "30000-32767/tcp",
        "30000-32767/udp",
    ]
    assert {opening.title: opening.role for opening in together}["10250/tcp"] == "control-plane, worker"
    assert {opening.title: opening.purpose for opening in together}["10250/tcp"] == "kubelet API"


def test_without_nodes_an_opening_is_for_anyone_whatever_clients_say(shipped: dict[str, Role]) -> None:
    every = list(shipped.values())
    assert {opening.sources for opening in openings(every)} == {()}
    assert {opening.sources for opening in openings(every, Cluster((), ("192.0.2.0/24",)))} == {()}


def test_with_nodes_no_opening_is_wider_than_they_are(shipped: dict[str, Role]) -> None:
    found = openings(list(shipped.values()), Cluster(("fd00::/8", "10.1.0.0/16", "10.0.0.0/16")))
    assert {opening.sources for opening in found} == {("10.0.0.0/15", "fd00::/8")}


def test_clients_are_let_in_to_what_is_for_clients_and_to_nothing_else(shipped: dict[str, Role]) -> None:
    found = openings(list(shipped.values()), Cluster(("10.0.0.0/16",), ("192.0.2.0/24",)))
    wider = [opening.title for opening in found if opening.sources == ("10.0.0.0/16", "192.0.2.0/24")]
    assert wider == ["6443/tcp", "16443/tcp", "30000-32767/tcp", "30000-32767/udp"]
    assert {opening.sources for opening in found if opening.title not in wider} == {("10.0.0.0/16",)}


def test_an_opening_that_two_roles_need_from_different_sources_is_open_to_both() -> None:
    one, other = role("one", ("tcp", 9000, 9000, "nodes")), role("other", ("tcp", 9000, 9000, "clients"))
    for order in ([one, other], [other, one]):
        (found,) = openings(order, Cluster(("10.0.0.0/16",), ("192.0.2.1/32", "10.0.3.0/24")))
        assert found.sources == ("10.0.0.0/16", "192.0.2.1/32")


def test_anyone_who_was_named_is_told_from_nobody_having_said() -> None:
    (found,) = openings([role("one", ("tcp", 1, 1, "clients"))], Cluster(("10.0.0.0/8",), ("0.0.0.0/0", "::/0")))
    assert found.sources == ("0.0.0.0/0", "::/0")
    (found,) = openings([role("one", ("tcp", 1, 1, "clients"))])
    assert found.sources == ()


def test_an_opening_that_one_role_needs_from_nobody_knows_where_is_open_to_anyone() -> None:
    one, other = role("one", ("tcp", 9000, 9000, "control-plane")), role("other", ("tcp", 9000, 9000, "nodes"))
    (found,) = openings([one, other], Cluster(control_planes=("10.0.0.8/30",)))
    assert found.sources == ()


def test_openings_are_sorted_by_port_and_then_by_protocol() -> None:
    found = openings(
        [role("one", ("udp", 53, 53, "nodes"), ("tcp", 9000, 9001, "nodes")), role("two", ("tcp", 53, 53, "nodes"))]
    )
    assert titles(found) == ["53/tcp", "53/udp", "9000-9001/tcp"]


@pytest.mark.parametrize(
    ("cidr", "remedy"), [("10.0.0.5/24", '"10.0.0.0/24"'), ("all", "10.0.0.0/16"), ("10.0.0.0/33", "prefix length")]
)
@pytest.mark.parametrize("key", ["nodes", "clients", "control_planes", "load_balancers", "pods", "metrics_from"])
def test_what_is_no_cidr_is_refused_with_what_to_write(cidr: str, remedy: str, key: str) -> None:
    given: dict[str, Any] = {"nodes": ("10.0.0.0/8",), key: (cidr,)}
    with pytest.raises(ConfigError) as caught:
        openings((), Cluster(**given))
    assert (caught.value.file, caught.value.key) == ("nodeprep.toml", f"cluster.{key}")
    assert remedy in caught.value.remedy
