"""Openings: real TCP and UDP from another namespace to real listeners; nothing else in the ruleset is touched."""

from __future__ import annotations

import json
import subprocess

import pytest

from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import ready
from tests.lab.golden import CONFIGURATION, MAC
from tests.lab.lan import Lan
from tests.lab.listeners import TCP, UDP, answered, listen

pytestmark = pytest.mark.usefixtures("golden")

FLANNEL = '{"name": "cbr0", "plugins": [{"type": "flannel"}, {"type": "portmap"}]}'
OPERATORS_TABLE = """\
table inet operator {
	chain input {
		type filter hook input priority filter; policy accept;
		tcp dport 4242 counter accept comment "mine"
	}
}
"""


def configuration(roles: str, mode: str, nodes: str = "[]") -> str:
    """Return a configuration with these roles and this mode."""
    return (
        CONFIGURATION.replace('roles = ["worker"]', f"roles = {roles}")
        + f'\n[firewall]\nmode = "{mode}"\n\n[cluster]\nnodes = {nodes}\n'
    )


def restart(machine: Clone) -> None:
    """Restart the daemon with what the file says now."""
    machine.run("systemctl", "restart", "nodeprep.service")
    ready(machine)


def test_in_enforce_mode_exactly_the_ports_of_the_role_answer(make_clone: MakeClone, lan: Lan) -> None:
    machine = make_clone("enforced", mac=MAC)
    machine.write("/etc/nodeprep/nodeprep.toml", configuration('["worker"]', "enforce"))
    machine.write("/root/operator.nft", OPERATORS_TABLE)
    machine.boot()
    ready(machine)
    machine.run("nft", "-f", "/root/operator.nft")
    theirs = machine.run("nft", "list", "table", "inet", "operator").stdout
    listen(machine)
    lan.client()
    worker = {"tcp": [22, 10250, 10256, 30000, 31234, 32767], "udp": [30000, 32767]}
    assert answered(lan, machine, "client") == worker

    machine.write("/etc/nodeprep/nodeprep.toml", configuration('["control-plane", "etcd"]', "enforce"))
    restart(machine)
    assert answered(lan, machine, "client") == {"tcp": [22, 2379, 2380, 6443, 10250], "udp": []}

    nodes = '["10.77.0.200/32"]'
    machine.write("/etc/nodeprep/nodeprep.toml", configuration('["worker"]', "enforce", nodes))
    restart(machine)
    assert answered(lan, machine, "client") == {"tcp": [22], "udp": []}, "no wider than the cluster"
    lan.client("10.77.0.200/24", "inside")
    assert answered(lan, machine, "inside") == worker

    assert machine.run("nft", "list", "table", "inet", "operator").stdout == theirs

    # The network of the pods comes with the cluster, to a node that is ready; the daemon was told nothing.
    assert 8472 not in answered(lan, machine, "inside")["udp"]
    machine.run("mkdir", "-p", "/etc/cni/net.d")
    machine.write("/etc/cni/net.d/10-flannel.conflist", FLANNEL)
    machine.wait_for(lambda: 8472 in answered(lan, machine, "inside")["udp"], 30)
    assert answered(lan, machine, "client") == {"tcp": [22], "udp": []}, "whoever reaches VXLAN reaches the pods"
    assert answered(lan, machine, "inside") == {**worker, "udp": [8472, *worker["udp"]]}
    shown = json.loads(machine.run("runuser", "-u", "nobody", "--", "nodeprep", "ports", "--format", "json").stdout)
    assert shown["roles"] == ["worker", "flannel"]
    told = {
        row["opening"] for row in json.loads(machine.run("nodeprep", "status", "--json").stdout)["openings"]["list"]
    }
    assert told == {row["opening"] for row in shown["openings"]}
    machine.run("rm", "/etc/cni/net.d/10-flannel.conflist")
    machine.wait_for(lambda: answered(lan, machine, "inside") == worker, 30)


def test_in_open_mode_nothing_is_closed(make_clone: MakeClone, lan: Lan) -> None:
    machine = make_clone("open", mac=MAC)
    machine.boot()
    document = ready(machine)
    assert document["openings"]["mode"] == "open"
    listen(machine)
    lan.client()
    assert answered(lan, machine, "client") == {"tcp": list(TCP), "udp": list(UDP)}


def test_openings_come_back_after_somebody_flushed_the_ruleset(make_clone: MakeClone) -> None:
    machine = make_clone("flushed", mac=MAC)
    machine.write("/etc/nodeprep/nodeprep.toml", configuration('["worker"]', "enforce"))
    machine.boot()
    ready(machine)
    before = machine.run("nft", "list", "table", "inet", "nodeprep").stdout
    machine.run("nft", "flush", "ruleset")

    def back() -> bool:
        try:
            return machine.run("nft", "list", "table", "inet", "nodeprep", check=False).stdout == before
        except subprocess.SubprocessError:
            return False

    machine.wait_for(back, 30)
