"""Openings in the firewall that is active: firewalld, ufw and iptables of Debian, before and after what undoes them.

Real TCP and UDP from another namespace to real listeners; one machine a firewall, with several roles in turn.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import ready, status
from tests.lab.golden import CONFIGURATION, MAC, Golden, golden_tree, worst_case
from tests.lab.lan import Lan
from tests.lab.listeners import answered, listen
from tests.lab.tree import Release

PACKAGES = ("firewalld", "ufw", "iptables")
WORKER = {"tcp": [22, 10250, 10256, 30000, 31234, 32767], "udp": [30000, 32767]}
CONTROL_PLANE = {"tcp": [22, 2379, 2380, 6443, 10250], "udp": []}
SSH_ONLY = {"tcp": [22], "udp": []}
INSIDE = "10.77.0.200"
LOOK_AGAIN_S = 40.0

# As kube-proxy and CNIs make them, before an operator's own rules or behind.
KUBERNETES = """\
*filter
:KUBE-FIREWALL - [0:0]
:cali-INPUT - [0:0]
:CILIUM_INPUT - [0:0]
:FLANNEL-FWD - [0:0]
-I INPUT -m comment --comment "cali:Cz_u1IQiXIMmKD4c" -j cali-INPUT
-I INPUT -j KUBE-FIREWALL
-I INPUT -m comment --comment "cilium-feeder: CILIUM_INPUT" -j CILIUM_INPUT
-A FORWARD -m comment --comment "flanneld forward" -j FLANNEL-FWD
-A KUBE-FIREWALL -m mark --mark 0x8000/0x8000 -j DROP
-A cali-INPUT -m mark --mark 0x10000/0x10000 -j ACCEPT
-A CILIUM_INPUT -m mark --mark 0x200/0xf00 -j ACCEPT
COMMIT
*nat
:KUBE-SERVICES - [0:0]
-A PREROUTING -m comment --comment "kubernetes service portals" -j KUBE-SERVICES
COMMIT
"""
OPERATORS = """\
*filter
:INPUT DROP [0:0]
-A INPUT -i lo -j ACCEPT
-A INPUT -m conntrack --ctstate RELATED,ESTABLISHED -j ACCEPT
-A INPUT -p icmp -j ACCEPT
-A INPUT -p tcp -m tcp --dport 22 -m comment --comment "the operator's" -j ACCEPT
COMMIT
"""
OPERATORS_UNIT = """\
[Unit]
DefaultDependencies=no
Before=network-pre.target
[Service]
Type=oneshot
RemainAfterExit=yes
ExecStart=/usr/sbin/iptables-legacy-restore /root/operator.rules
[Install]
WantedBy=sysinit.target
"""


def with_firewalls(root: Path) -> None:
    """Furnish a template with three firewalls, none of them on."""
    worst_case(root)
    for wants in (root / "etc/systemd/system").glob("*.wants"):
        # By its name: a link that leads nowhere on the host, as this one does, does not exist to glob().
        (wants / "firewalld.service").unlink(missing_ok=True)
    (root / "etc/systemd/system/dbus-org.fedoraproject.FirewallD1.service").unlink(missing_ok=True)


@pytest.fixture(scope="session")
def template(release: Release, deb: Path, store: Path) -> Golden:
    """Return a template with the packages of three firewalls."""
    return golden_tree(release, deb, store=store, name="firewalls", prepare=with_firewalls, extra=PACKAGES)


@pytest.fixture
def machine(template: Golden, make_clone: MakeClone, lan: Lan) -> Clone:
    """Return a worker that is ready, with listeners, a client beside it and one in the cluster's own network."""
    clone = make_clone("walled", mac=MAC, layers=template.layers)
    configure(clone, '["worker"]')
    clone.boot()
    ready(clone)
    listen(clone)
    lan.client()
    lan.client(f"{INSIDE}/24", "inside")
    return clone


def configure(machine: Clone, roles: str, *, mode: str = "open", nodes: str = "[]", backend: str = "auto") -> None:
    """Write a configuration."""
    text = CONFIGURATION.replace('roles = ["worker"]', f"roles = {roles}")
    text += f'\n[firewall]\nmode = "{mode}"\nbackend = "{backend}"\n\n[cluster]\nnodes = {nodes}\n'
    machine.write("/etc/nodeprep/nodeprep.toml", text)


def reconfigure(machine: Clone, roles: str, **settings: str) -> dict[str, Any]:
    """Have the daemon follow another configuration, and return what it says then."""
    configure(machine, roles, **settings)
    machine.run("systemctl", "restart", "nodeprep.service")
    return ready(machine)


def in_charge(machine: Clone, backend: str) -> dict[str, Any]:
    """Return the status of a machine once it opens in that firewall."""

    def document() -> dict[str, Any] | None:
        found = status(machine)
        return found if found["openings"]["backend"] == backend and found["state"] == "ready" else None

    found: dict[str, Any] = machine.wait_for(document, LOOK_AGAIN_S)
    return found


def boot_again(machine: Clone) -> dict[str, Any]:
    """Shut a machine down, boot it and return what it says."""
    assert machine.shutdown()
    machine.boot()
    document = ready(machine)
    listen(machine)
    return document


def look(machine: Clone) -> None:
    """Have the daemon judge at once. By itself it does soon, which each test waits for often enough."""
    machine.run("systemctl", "reload", "nodeprep.service")


def has_no_table(machine: Clone) -> bool:
    """Whether nothing of ours is in nftables."""
    return machine.run("nft", "list", "table", "inet", "nodeprep", check=False).returncode != 0


def saved(machine: Clone, world: str) -> str:
    """Return every rule of iptables but for ours and ufw's, without counters and dates."""
    told = machine.run(f"iptables-{world}-save").stdout
    return re.sub(r"(?m)^(#.*|.*(NODEPREP|ufw).*)\n|\[\d+:\d+\]", "", told)


def chains(machine: Clone) -> list[str]:
    """Return the rules of ufw's and of ours in the filter tables of both families, in no order."""
    listed = "".join(machine.run(program, "-S").stdout for program in ("iptables", "ip6tables"))
    return sorted(line for line in listed.splitlines() if "ufw" in line or "NODEPREP" in line)


def warnings(document: dict[str, Any]) -> str:
    """Return what is said of the openings."""
    return "\n".join(row["detail"] for row in document["warnings"] if row["code"] == "openings")


def test_firewalld_has_the_openings_as_services_of_its_own(machine: Clone, lan: Lan) -> None:
    machine.run("iptables-nft-restore", "--noflush", stdin=KUBERNETES)
    machine.run("systemctl", "enable", "--now", "firewalld.service")
    in_charge(machine, "firewalld")
    machine.wait_for(lambda: has_no_table(machine), LOOK_AGAIN_S)
    assert answered(lan, machine, "client") == WORKER
    theirs, listed = saved(machine, "nft"), machine.run("firewall-cmd", "--list-all").stdout
    assert 'port port="10250" protocol="tcp"' in listed
    assert 'prefix="nodeprep-worker"' in listed
    assert "nodeprep-worker" in machine.run("firewall-cmd", "--permanent", "--list-services").stdout

    machine.run("firewall-cmd", "--add-port=80/tcp")  # at run time only, and never lost by what we do
    machine.run("firewall-cmd", "--permanent", "--add-service=http3")
    nodes = f'["{INSIDE}/32"]'
    reconfigure(machine, '["control-plane", "etcd"]', nodes=nodes, mode="enforce")
    assert answered(lan, machine, "client") == {"tcp": [22, 80], "udp": []}
    assert answered(lan, machine, "inside") == {**CONTROL_PLANE, "tcp": sorted([80, *CONTROL_PLANE["tcp"]])}
    assert saved(machine, "nft") == theirs
    assert "nodeprep-worker" not in machine.run("firewall-cmd", "--permanent", "--list-all").stdout

    for undo in (("firewall-cmd", "--reload"), ("systemctl", "restart", "firewalld.service")):
        machine.run(*undo)
        listed = machine.run("firewall-cmd", "--list-rich-rules").stdout
        assert f'source address="{INSIDE}/32" service name="nodeprep-control-plane' in listed
        assert answered(lan, machine, "client") == SSH_ONLY
        assert answered(lan, machine, "inside") == CONTROL_PLANE
    machine.run("firewall-cmd", "--remove-rich-rule", listed.splitlines()[0].strip())
    look(machine)
    rules = sorted(listed.splitlines())  # one that comes back may come last
    machine.wait_for(lambda: sorted(machine.run("firewall-cmd", "--list-rich-rules").stdout.splitlines()) == rules, 60)
    in_charge(machine, "firewalld")
    assert boot_again(machine)["openings"]["backend"] == "firewalld"
    assert answered(lan, machine, "client") == SSH_ONLY
    assert answered(lan, machine, "inside") == CONTROL_PLANE

    machine.run("firewall-cmd", "--set-default-zone=trusted")
    machine.run("firewall-cmd", "--zone=trusted", "--change-interface=eth0")
    document = reconfigure(machine, '["worker"]', mode="enforce")
    assert "zone trusted accepts by its target" in warnings(document)
    machine.run("firewall-cmd", "--set-default-zone=public")
    machine.run("firewall-cmd", "--zone=public", "--change-interface=eth0")
    reconfigure(machine, '["worker"]', mode="off")
    for kind in ((), ("--permanent",)):
        told = machine.run("firewall-cmd", *kind, "--list-all-zones").stdout
        assert "nodeprep" not in told
    assert "http3" in told
    assert "nodeprep" not in machine.run("firewall-cmd", "--permanent", "--get-services").stdout
    assert answered(lan, machine, "inside") == SSH_ONLY


@pytest.mark.long
def test_ufw_has_the_openings_as_profiles_and_rules(machine: Clone, lan: Lan) -> None:
    assert status(machine)["openings"]["backend"] == "nftables"
    machine.run("ufw", "allow", "22/tcp")
    machine.run("ufw", "deny", "from", "10.77.0.99")
    machine.run("ufw", "--force", "enable")
    machine.run("iptables-nft-restore", "--noflush", stdin=KUBERNETES)
    theirs = saved(machine, "nft")
    in_charge(machine, "ufw")  # noticed, not told
    machine.wait_for(lambda: has_no_table(machine), LOOK_AGAIN_S)
    assert answered(lan, machine, "client") == WORKER
    assert re.search(r"(?m)^nodeprep-worker +ALLOW +Anywhere", machine.run("ufw", "status").stdout)
    assert "10250/tcp" in machine.run("ufw", "app", "info", "nodeprep-worker").stdout

    nodes = f'["{INSIDE}/32", "fd77::/64"]'
    reconfigure(machine, '["control-plane", "etcd", "calico"]', nodes=nodes, mode="enforce")
    assert answered(lan, machine, "client") == SSH_ONLY
    assert answered(lan, machine, "inside") == CONTROL_PLANE
    assert re.search(rf"(?m)^nodeprep-control-plane\S* +ALLOW +{INSIDE}", machine.run("ufw", "status").stdout)
    assert f"-s {INSIDE}/32 -p " in machine.run("iptables", "-S", "NODEPREP-INPUT").stdout, "IP in IP has no profile"
    assert saved(machine, "nft") == theirs

    added, whole = machine.run("ufw", "show", "added").stdout, chains(machine)
    for undo in (("ufw", "reload"), ("iptables", "-F", "ufw-user-input"), ("iptables", "-F"), ("ip6tables", "-F")):
        machine.run(*undo)
        if undo[1:] == ("-F",):
            look(machine)
        # All of it: while ufw loads its rules again, for either family, nothing is closed.
        machine.wait_for(lambda: chains(machine) == whole, LOOK_AGAIN_S)
        assert answered(lan, machine, "inside") == CONTROL_PLANE
        assert answered(lan, machine, "client") == SSH_ONLY
        assert machine.run("ufw", "show", "added").stdout == added
    lan.run("walled", "sh", "-c", "echo 1 > /proc/sys/net/ipv4/ip_forward")
    look(machine)
    machine.wait_for(lambda: "ufw forwards nothing for pods" in warnings(status(machine)), LOOK_AGAIN_S)
    assert boot_again(machine)["openings"]["backend"] == "ufw"
    assert answered(lan, machine, "client") == SSH_ONLY
    assert answered(lan, machine, "inside") == CONTROL_PLANE

    machine.run("ufw", "insert", "1", "deny", "10250/tcp")
    machine.run("ufw", "default", "allow", "incoming")
    told = warnings(reconfigure(machine, '["worker"]', mode="enforce"))
    assert "ufw allows incoming traffic by default" in told
    assert "`deny 10250/tcp` comes before 10250/tcp" in told
    machine.run("ufw", "default", "deny", "incoming")
    machine.run("ufw", "delete", "deny", "10250/tcp")
    reconfigure(machine, '["worker"]', mode="off")
    assert "nodeprep" not in machine.run("ufw", "show", "added").stdout
    assert "NODEPREP" not in machine.run("iptables-save").stdout
    assert not machine.exists("/etc/ufw/applications.d/nodeprep-worker")
    assert "deny from 10.77.0.99" in machine.run("ufw", "show", "added").stdout
    assert answered(lan, machine, "inside") == SSH_ONLY

    reconfigure(machine, '["worker"]')
    machine.run("ufw", "disable")
    in_charge(machine, "nftables")
    machine.wait_for(lambda: "nodeprep" not in machine.run("ufw", "show", "added").stdout, LOOK_AGAIN_S)
    assert not has_no_table(machine)


def test_iptables_has_the_openings_in_a_chain_of_ours_in_each_world_in_use(machine: Clone, lan: Lan) -> None:
    machine.write("/root/operator.rules", OPERATORS)
    machine.write("/etc/systemd/system/operator-rules.service", OPERATORS_UNIT)
    machine.run("systemctl", "enable", "--now", "operator-rules.service")
    for world in ("legacy", "nft"):
        machine.run(f"iptables-{world}-restore", "--noflush", stdin=KUBERNETES)
    theirs = {world: saved(machine, world) for world in ("legacy", "nft")}
    in_charge(machine, "iptables")
    machine.wait_for(lambda: has_no_table(machine), LOOK_AGAIN_S)
    assert answered(lan, machine, "client") == WORKER
    assert "nodeprep worker: kubelet API" in machine.run("iptables-legacy", "-S", "NODEPREP-INPUT").stdout
    assert "NODEPREP" not in machine.run("iptables-nft-save").stdout

    machine.run("iptables-nft", "-A", "INPUT", "-p", "tcp", "--dport", "22", "-j", "ACCEPT")
    machine.run("iptables-nft", "-A", "INPUT", "!", "-i", "lo", "-j", "REJECT")
    theirs["nft"] = saved(machine, "nft")
    nodes = f'["{INSIDE}/32"]'
    reconfigure(machine, '["control-plane", "etcd"]', nodes=nodes, mode="enforce")
    assert answered(lan, machine, "client") == SSH_ONLY
    assert answered(lan, machine, "inside") == CONTROL_PLANE
    assert {world: saved(machine, world) for world in theirs} == theirs

    for undo in ("iptables-legacy -F NODEPREP-INPUT", "iptables-nft -D INPUT -j NODEPREP-INPUT"):
        machine.run(*undo.split())
        if "-D" in undo:
            look(machine)
        machine.wait_for(lambda: answered(lan, machine, "inside") == CONTROL_PLANE, LOOK_AGAIN_S)
    assert {world: saved(machine, world) for world in theirs} == theirs
    machine.run("iptables-legacy-restore", "/root/operator.rules")  # as a reload of their own rules does
    look(machine)
    machine.wait_for(lambda: answered(lan, machine, "inside") == CONTROL_PLANE, LOOK_AGAIN_S)
    assert boot_again(machine)["openings"]["backend"] == "iptables"
    assert answered(lan, machine, "client") == SSH_ONLY
    assert answered(lan, machine, "inside") == CONTROL_PLANE

    reconfigure(machine, '["worker"]', backend="nftables")
    closes = "iptables-legacy chain INPUT (policy drop)"
    machine.wait_for(lambda: closes in warnings(status(machine)), LOOK_AGAIN_S)
    assert answered(lan, machine, "client") == SSH_ONLY
    before = saved(machine, "legacy")
    document = reconfigure(machine, '["worker"]', mode="off")
    assert document["openings"]["backend"] == "-"
    assert "NODEPREP" not in machine.run("iptables-legacy-save").stdout
    assert has_no_table(machine)
    assert saved(machine, "legacy") == before
