"""doctor: a peer tries this node's openings; what is lost here is told from what is lost on the path."""

from __future__ import annotations

import json
import shlex
from typing import Any

import pytest

from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import ready
from tests.lab.golden import CONFIGURATION, MAC, Golden
from tests.lab.lan import LINK, Lan
from tests.lab.test_firewalls import in_charge, template
from tests.lab.test_routed import NORTH, SOUTH, placed, south

__all__ = ["south", "template"]  # fixtures

pytestmark = pytest.mark.usefixtures("golden")

ROUTED = f'\n[peers]\nunicast = ["{NORTH}", "{SOUTH}"]\n'

ROLES = '["control-plane", "etcd", "worker"]'
LISTENER = """
import socket
listener = socket.socket()
listener.bind(("0.0.0.0", 10250))
listener.listen(16)
while True:
    listener.accept()[0].close()
"""
OPERATORS_TABLE = """\
table inet operator {
	chain input {
		type filter hook input priority filter; policy accept;
		tcp dport 10256 drop
		udp dport 31000-32767 drop
	}
}
"""
RICH = 'rule family="ipv4" source address="10.77.0.0/24" port port="10250" protocol="tcp" drop'
BLOCKS = (
    (
        ("ufw allow 22/tcp", "ufw --force enable"),
        "ufw",
        "ufw insert 1 deny 10250/tcp",
        "ufw's rule `deny 10250/tcp`",
        "ufw disable",
    ),
    (
        ("systemctl start firewalld.service",),
        "firewalld",
        f"firewall-cmd --add-rich-rule='{RICH}'",
        f"firewalld's zone public, rich rule `{RICH}`",
        "systemctl stop firewalld.service",
    ),
    (
        ("iptables-legacy -P INPUT DROP", "iptables-legacy -A INPUT -i lo -j ACCEPT"),
        "iptables",
        "iptables-legacy -I INPUT -p tcp --dport 10250 -j DROP",
        "iptables-legacy chain INPUT (a rule drops it)",
        "iptables-legacy -F INPUT",
    ),
)
"""How each is switched on, what it is called, how it blocks one opening, how that is told, and how it is put away."""
STEAL = """
import asyncio, sys
from nodeprep import preview
from nodeprep.errors import NodeprepError
from nodeprep.examinee import Examinee
from nodeprep.peers.examination import Range

async def steal(key, address):
    examinee = Examinee((key,), (await preview.view()).links())
    examinee._links[address] = "eth0"  # a node that lies
    for offer in await examinee.find():
        try:
            await examinee.ask(offer, address, "", (Range("tcp", 22, 22),), lambda *_: None)
            print("tried")
        except (NodeprepError, OSError) as error:
            print(error)
    examinee.close()

asyncio.run(steal(bytes.fromhex(open("/etc/nodeprep/fleet.key").read().strip()), sys.argv[1]))
"""


def doctor(machine: Clone, *arguments: str) -> tuple[dict[str, Any], int]:
    """Return what doctor says of a machine, and its exit code."""
    done = machine.run("nodeprep", "doctor", "--json", *arguments, check=False, timeout=120)
    document: dict[str, Any] = json.loads(done.stdout)
    return document, done.returncode


def proofs(document: dict[str, Any]) -> dict[str, set[str]]:
    """Return opening → what was proved of it, over all addresses and ports."""
    found: dict[str, set[str]] = {}
    for row in document["openings"]:
        found.setdefault(row["opening"], set()).update(each["proof"] for each in row["proofs"])
    return found


def closing(document: dict[str, Any], opening: str) -> tuple[str, str]:
    """Return who closes an opening, and the command that is told to mend it."""
    ((who, remedy),) = {
        (each["by"], each["remedy"])
        for row in document["openings"]
        for each in row["proofs"]
        if row["opening"] == opening and each["proof"] == "blocked here"
    }
    return who, remedy[remedy.index("`") + 1 : remedy.rindex("`")]


def test_a_peer_proves_every_opening_and_tells_a_local_block_from_one_on_the_path(
    make_clone: MakeClone, lan: Lan
) -> None:
    node, peer = make_clone("node", mac=MAC), make_clone("peer", mac=MAC)
    node.write("/etc/nodeprep/nodeprep.toml", CONFIGURATION.replace('["worker"]', ROLES))
    for machine in (node, peer):
        machine.boot()
        ready(machine)
    node.run("ip", "route", "add", "default", "via", "10.77.0.1")
    node.write("/root/listener.py", LISTENER)
    node.run("systemd-run", "-q", "--unit=listener", "/usr/bin/python3", "/root/listener.py")
    node.wait_for(lambda: ":10250" in node.run("ss", "-Hltn").stdout, 10)

    document, _ = doctor(node)
    found = proofs(document)
    assert found["10250/tcp"] == {"open"}, "what listens there was reached"
    assert {title: proof for title, proof in found.items() if title != "10250/tcp"} == {
        title: {"free"} for title in found if title != "10250/tcp"
    }
    assert {"6443/tcp", "2379/tcp", "2380/tcp", "10256/tcp", "30000-32767/udp"} <= set(found)
    assert document["peers"] and not document["unheard"]
    assert document["outcome"] != "bad", document["summary"]
    assert "10250" not in node.run("ss", "-Hlun").stdout
    assert "2380" not in node.run("ss", "-Hltn").stdout, "what was opened for the moment is closed again"

    node.write("/root/operator.nft", OPERATORS_TABLE)
    node.run("nft", "-f", "/root/operator.nft")
    lan.filter("2380/tcp")
    document, code = doctor(node)
    found = proofs(document)
    assert code == 1 and document["outcome"] == "bad"
    assert found["2380/tcp"] == {"blocked on the path"}
    assert found["10256/tcp"] == {"blocked here"}
    assert found["30000-32767/udp"] == {"free", "blocked here"}, "a part of the range"
    assert found["6443/tcp"] == {"free"}
    who, command = closing(document, "10256/tcp")
    assert who == "table inet operator chain input (a rule drops it)"
    assert command == "nft insert rule inet operator input tcp dport 10256 accept"
    told = node.run("nodeprep", "doctor", check=False, timeout=120).stdout
    assert told.startswith("bad: 2380/tcp is blocked on the path (and 2 more)"), told
    assert "security group" in told

    lan.filter()
    node.run("nft", "delete", "table", "inet", "operator")
    document, _ = doctor(node, "--all")
    (range_row,) = [row for row in document["openings"] if row["opening"] == "30000-32767/tcp"]
    assert [(each["proof"], len(each["ports"])) for each in range_row["proofs"]] == [("free", 2768)]


def test_who_blocks_is_named_in_the_words_of_the_firewall_that_is_active_and_its_command_mends_it(
    template: Golden, make_clone: MakeClone
) -> None:
    node, peer = (make_clone(name, mac=MAC, layers=template.layers) for name in ("node", "peer"))
    for machine in (node, peer):
        machine.boot(wait=False)
    for machine in (node, peer):
        ready(machine)
    for start, backend, close, who, stop in BLOCKS:
        for command in start:
            node.run(*shlex.split(command))
        node.run("systemctl", "reload", "nodeprep.service")
        in_charge(node, backend)
        node.run(*shlex.split(close))
        document, code = doctor(node)
        found = proofs(document)
        assert (code, found.pop("10250/tcp")) == (1, {"blocked here"}), document
        assert set().union(*found.values()) == {"free"}
        told, command = closing(document, "10250/tcp")
        assert told == who
        assert document["summary"] == f"bad: 10250/tcp is blocked here by {who}"
        node.run("sh", "-c", command)
        assert proofs(doctor(node)[0])["10250/tcp"] == {"free"}, command
        node.run(*shlex.split(stop))


def test_a_node_can_have_nobody_but_itself_tried(make_clone: MakeClone) -> None:
    node, peer, third = (make_clone(name, mac=MAC) for name in ("node", "peer", "third"))
    for machine in (node, peer, third):
        machine.boot(wait=False)
    for machine in (node, peer, third):
        ready(machine)
    listed = json.loads(third.run("ip", "-4", "-json", "address", "show", "dev", LINK).stdout)
    address = listed[0]["addr_info"][0]["local"]
    node.write("/root/steal.py", STEAL)
    said = node.run("python3", "/root/steal.py", address, timeout=60).stdout.splitlines()
    assert len(said) == 2, said
    assert all("does not see" in line or "answers no more" in line for line in said), said


def test_without_a_peer_doctor_says_that_nothing_was_proved(make_clone: MakeClone) -> None:
    node = make_clone("node", mac=MAC)
    node.boot()
    ready(node)
    document, code = doctor(node)
    assert code in (1, 2)
    assert document["openings"] == []
    assert document["unheard"] == ["no peer answers: the openings were not tried"]


def test_beyond_a_router_a_filter_on_the_way_is_told_from_one_on_the_node(make_clone: MakeClone, south: Lan) -> None:
    node, other = placed(make_clone("node"), NORTH, ROUTED), placed(make_clone("other", lan=south), SOUTH, ROUTED)
    for machine in (node, other):
        machine.boot(wait=False)
    for machine in (node, other):
        ready(machine)
    document, _ = doctor(node)
    assert document["peers"] == [SOUTH], document
    assert {row["address"] for row in document["openings"]} == {NORTH}
    assert set().union(*proofs(document).values()) == {"free"}
    south.filter("10250/tcp")
    node.run("nft", "add table inet operator; add chain inet operator input { type filter hook input priority 0; };")
    node.run("nft", "add rule inet operator input tcp dport 10256 drop")
    south.filter("10250/tcp")
    document, code = doctor(node)
    assert code == 1
    found = proofs(document)
    assert found["10250/tcp"] == {"blocked on the path"}
    assert found["10256/tcp"] == {"blocked here"}
