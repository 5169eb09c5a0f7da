"""The network of the pods, told by what its plugin installed."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nodeprep import config, openings, roles
from nodeprep.cluster import Cluster
from nodeprep.cni import FOLDERS, recognise
from nodeprep.config import Config, Node
from nodeprep.errors import ConfigError
from nodeprep.host.local import LocalMachine
from nodeprep.roles import Role
from tests.fakes.disk import put

SHIPPED = Path(__file__).parents[2] / "config" / "roles.d"
NET_D = FOLDERS[0]

# As the projects' own manifests install them, without what tells nothing.
CALICO = {
    "name": "k8s-pod-network",
    "plugins": [{"type": "calico", "ipam": {"type": "calico-ipam"}}, {"type": "portmap"}],
}
FLANNEL = {"name": "cbr0", "plugins": [{"type": "flannel", "delegate": {"hairpinMode": True}}, {"type": "portmap"}]}
CILIUM = {"name": "cilium", "plugins": [{"type": "cilium-cni", "enable-debug": False}]}
WEAVE = {"name": "weave", "plugins": [{"name": "weave", "type": "weave-net"}, {"type": "portmap"}]}
CANAL = {
    "name": "k8s-pod-network",
    "plugins": [{"type": "calico", "ipam": {"type": "host-local"}}, {"type": "portmap"}],
}
LOOPBACK = {"cniVersion": "0.3.1", "name": "lo", "type": "loopback"}
MULTUS = {"name": "multus-cni-network", "type": "multus", "delegates": [FLANNEL]}


@pytest.fixture
def machine(tmp_path: Path) -> LocalMachine:
    for path in SHIPPED.iterdir():
        put(tmp_path, f"/usr/share/nodeprep/roles.d/{path.name}", path.read_bytes())
    return LocalMachine("test", root=str(tmp_path))


@pytest.fixture
def known(machine: LocalMachine) -> list[Role]:
    files = config.role_files(machine)
    return [roles.parse(name, config.role_table(machine, path), path) for name, path in files.items()]


def install(machine: LocalMachine, path: str, content: object) -> None:
    text = content if isinstance(content, str) else json.dumps(content)
    put(Path(machine.real("")), path, text.encode())


@pytest.mark.parametrize("folder", FOLDERS)
@pytest.mark.parametrize(
    ("file", "content", "name"),
    [
        ("10-calico.conflist", CALICO, "calico"),
        ("10-flannel.conflist", FLANNEL, "flannel"),
        ("05-cilium.conflist", CILIUM, "cilium"),
        ("05-cilium.conf", {"name": "cilium", "type": "cilium-cni"}, "cilium"),
        ("10-weave.conflist", WEAVE, "weave"),
        ("10-canal.conflist", CANAL, "canal"),
        ("99-ours.conflist", CALICO, "calico"),
    ],
)
def test_each_network_is_known_by_what_its_project_installs(
    machine: LocalMachine, known: list[Role], folder: str, file: str, content: object, name: str
) -> None:
    install(machine, f"{folder}/{file}", content)
    found = recognise(machine, known)
    assert found is not None and found.name == name


@pytest.mark.parametrize(
    "content",
    [
        LOOPBACK,
        "",
        '{"name": "cbr0", "plugins": [{"type": "flan',
        "[" * 100_000,
        [CALICO],
        "null",
        {"plugins": {"type": "calico"}},
        {"plugins": [{"type": ["calico"]}, "calico", None]},
        {"name": "calico"},
    ],
)
def test_what_is_no_configuration_of_a_network_tells_nothing(
    machine: LocalMachine, known: list[Role], content: object
) -> None:
    install(machine, f"{NET_D}/10-calico.conflist", content)
    assert recognise(machine, known) is None


def test_nothing_is_installed_before_the_cluster_is(machine: LocalMachine, known: list[Role]) -> None:
    assert recognise(machine, known) is None


def test_of_several_the_one_that_the_runtime_takes_is_meant(machine: LocalMachine, known: list[Role]) -> None:
    for file, content in (("20-flannel.conflist", FLANNEL), ("10-weave.json", WEAVE), ("30-calico.conf", CALICO)):
        install(machine, f"{NET_D}/{file}", content)
    install(machine, f"{NET_D}/05-cilium.conflist.cilium_bak", CILIUM)
    install(machine, f"{NET_D}/00-loopback.conf", LOOPBACK)
    install(machine, f"{NET_D}/00-multus.conf", MULTUS)
    found = recognise(machine, known)
    assert found is not None and found.name == "weave"


def settings(cni: str, *roles: str) -> Config:
    return Config(node=Node(roles or ("worker",)), cluster=Cluster(cni=cni))


def titles(machine: LocalMachine, wanted: Config) -> set[str]:
    return {opening.title for opening in openings.openings_of(machine, wanted)}


def test_a_network_that_is_found_later_is_added_and_one_that_goes_takes_its_openings_along(
    machine: LocalMachine,
) -> None:
    needed = openings.needed(machine, settings("auto"))
    before = needed.openings(machine)
    path = f"{NET_D}/10-calico.conflist"
    install(machine, path, CALICO)
    with_calico = needed.openings(machine)
    assert {opening.title for opening in with_calico} - {opening.title for opening in before} == {
        "ip-in-ip", "179/tcp", "4789/udp", "5473/tcp", "51820-51821/udp",
    }  # fmt: skip
    assert {opening.role for opening in with_calico if opening.title == "179/tcp"} == {"calico"}
    Path(machine.real(path)).unlink()
    assert needed.openings(machine) == before


def test_a_network_may_be_named_before_it_is_there_and_none_means_none(machine: LocalMachine) -> None:
    assert "4240/tcp" in titles(machine, settings("cilium"))
    install(machine, f"{NET_D}/10-calico.conflist", CALICO)
    assert "179/tcp" in titles(machine, settings("auto"))
    assert "179/tcp" not in titles(machine, settings("none"))
    assert "179/tcp" not in titles(machine, settings("cilium"))


def test_a_network_that_is_also_a_role_of_the_node_is_one(machine: LocalMachine) -> None:
    install(machine, f"{NET_D}/10-calico.conflist", CALICO)
    wanted = openings.needed(machine, settings("auto", "calico", "worker"))
    assert [role.name for role in wanted.roles(machine)] == ["calico", "worker"]


def test_a_network_that_there_is_no_role_of_is_refused_by_its_key(machine: LocalMachine) -> None:
    with pytest.raises(ConfigError) as caught:
        openings.needed(machine, settings("calcio"))
    assert caught.value.key == "cluster.cni"
    assert "did you mean 'calico'" in caught.value.remedy
