"""A cluster of Debian's own etcd on three nodes under default-deny, formed through the openings of their role."""

from __future__ import annotations

import base64
import json
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import ready
from tests.lab.golden import CONFIGURATION, MAC, Golden, golden_tree, worst_case
from tests.lab.lan import LINK, Lan
from tests.lab.test_doctor import doctor, proofs
from tests.lab.tree import Release

ENFORCED = CONFIGURATION.replace('["worker"]', '["etcd"]') + '\n[firewall]\nmode = "enforce"\n'
CALL = """
import sys, urllib.request
asked = urllib.request.Request(sys.argv[1], sys.argv[2].encode() or None)
print(urllib.request.urlopen(asked, timeout=5).read().decode())
"""


def without_a_member(root: Path) -> None:
    """Furnish the worst common case, in which etcd is installed and was never started."""
    worst_case(root)
    (root / "etc/nodeprep/nodeprep.toml").write_text(ENFORCED)
    (root / "etc/systemd/system/multi-user.target.wants/etcd.service").unlink(missing_ok=True)


@pytest.fixture(scope="session")
def template(release: Release, deb: Path, store: Path) -> Golden:
    """Return a template of members of etcd."""
    return golden_tree(release, deb, store=store, name="etcd", prepare=without_a_member, extra=("etcd-server",))


def address(machine: Clone) -> str:
    """Return a machine's IPv4 address."""
    listed = json.loads(machine.run("ip", "-4", "-json", "address", "show", "dev", LINK).stdout)
    return str(listed[0]["addr_info"][0]["local"])


def join(members: dict[Clone, str]) -> None:
    """Configure etcd on these machines as one new cluster, and start it."""
    cluster = ",".join(f"{machine.name}=http://{at}:2380" for machine, at in members.items())
    for machine, at in members.items():
        settings = {
            "NAME": machine.name,
            "DATA_DIR": "/var/lib/etcd/default",
            "LISTEN_PEER_URLS": f"http://{at}:2380",
            "LISTEN_CLIENT_URLS": f"http://{at}:2379",
            "INITIAL_ADVERTISE_PEER_URLS": f"http://{at}:2380",
            "ADVERTISE_CLIENT_URLS": f"http://{at}:2379",
            "INITIAL_CLUSTER": cluster,
            "INITIAL_CLUSTER_STATE": "new",
        }
        machine.write("/etc/default/etcd", "".join(f'ETCD_{key}="{value}"\n' for key, value in settings.items()))
        machine.run("systemctl", "enable", "etcd.service")
        machine.run("systemctl", "--no-block", "start", "etcd.service")


def call(lan: Lan, at: str, path: str, body: dict[str, str] | None = None) -> dict[str, Any]:
    """Return what a member answers to a client outside; {} if it does not."""
    said = json.dumps(body) if body else ""
    done = lan.run("client", "/usr/bin/python3", "-c", CALL, f"http://{at}:2379{path}", said, check=False)
    answer: dict[str, Any] = json.loads(done.stdout) if done.returncode == 0 else {}
    return answer


def has_quorum(lan: Lan, at: str) -> bool:
    """Whether a member says that its cluster can be written to."""
    return bool(call(lan, at, "/health").get("health") == "true")


def test_a_cluster_forms_under_default_deny_and_keeps_its_quorum_over_a_reboot(
    template: Golden, make_clone: MakeClone, lan: Lan
) -> None:
    machines = [make_clone(f"member-{number}", mac=MAC, layers=template.layers) for number in range(3)]
    for machine in machines:
        machine.boot(wait=False)
    for machine in machines:
        ready(machine)
    lan.client()
    members = {machine: address(machine) for machine in machines}
    join(members)
    for machine, at in members.items():
        machine.wait_for(partial(has_quorum, lan, at), 60)

    first, second, third = members
    third.run("systemctl", "--no-block", "reboot")
    third.wait_for(lambda: not has_quorum(lan, members[third]), 60)
    key, value = (base64.b64encode(text).decode() for text in (b"who", b"still here"))
    assert call(lan, members[first], "/v3/kv/put", {"key": key, "value": value}), "two of three are a quorum"
    third.wait_rebooted(2)
    assert ready(third)["node"]["origin"] == "same"
    third.wait_for(partial(has_quorum, lan, members[third]), 60)
    assert call(lan, members[third], "/v3/kv/range", {"key": key})["kvs"][0]["value"] == value

    second.run("nft", "add table inet operator; add chain inet operator input { type filter hook input priority 0; };")
    second.run("nft", "add rule inet operator input tcp dport 2380 drop")
    document, code = doctor(second)
    found = proofs(document)
    assert (code, found["2380/tcp"], found["2379/tcp"]) == (1, {"blocked here"}, {"open"})
    (told,) = [proof for row in document["openings"] for proof in row["proofs"] if row["opening"] == "2380/tcp"]
    assert "inet operator chain input" in told["by"]
