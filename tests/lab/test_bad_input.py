"""Bad input: the error names file, key and remedy; the machine boots; nothing is changed; the node is not ready."""

from __future__ import annotations

import pytest

from tests.lab.conftest import MakeClone
from tests.lab.expectations import KEPT, held, problem_codes, ready
from tests.lab.golden import CONFIGURATION, MAC
from tests.lab.identity import identity

pytestmark = pytest.mark.usefixtures("golden")

FILE = "/etc/nodeprep/nodeprep.toml"
BROKEN = {
    "syntax": ('[node]\nroles = ["worker"\n', "syntax", "correct the line"),
    "unknown-key": ("[node]\nrole = 'worker'\n", "node.role", "known in [node]: roles, hostname"),
    "unknown-section": ("[nodes]\n", "nodes", "known are node, identity"),
    "empty-pool": ('[address]\non_conflict = "pool"\n', "address.pool", "10.77.0.100-10.77.0.199"),
    "bad-pool": ('[address]\npool = ["10.77.0.199-10.77.0.100"]\n', "address.pool", "10.77.0.100-10.77.0.199"),
    "bad-cidr": ('[cluster]\nnodes = ["10.77.0.0/33"]\n', "cluster.nodes", "10.77.0.0/24"),
    "no-such-role": ('[node]\nroles = ["wroker"]\n', "node.roles", "worker"),
}


def test_every_bad_input_is_named_and_changes_nothing(make_clone: MakeClone) -> None:
    template = make_clone("template", mac=MAC)
    template.boot()
    ready(template)
    before = identity(template)
    machines = {name: make_clone(name, mac=MAC) for name in BROKEN}
    for name, machine in machines.items():
        machine.write(FILE, BROKEN[name][0])
        machine.boot(wait=False)
    for name, machine in machines.items():
        _, key, remedy = BROKEN[name]
        document = held(machine)
        assert machine.wait_booted() == "running", name
        assert problem_codes(document) == ["config"]
        shown = machine.run("nodeprep", "status", check=False)
        assert shown.returncode == 1
        said = machine.run("journalctl", "-b", "-o", "cat", "-t", "nodeprep").stdout
        for text in (document["problems"][0]["detail"], shown.stdout, said):
            assert FILE in text, (name, text)
            assert key in text, (name, text)
            assert remedy in text, (name, text)
        after = identity(machine)
        assert {a: after[a] for a in KEPT} == {a: before[a] for a in KEPT}, name
        assert not machine.exists("/run/nodeprep/ready")


def test_a_node_becomes_ready_when_its_configuration_is_corrected(make_clone: MakeClone) -> None:
    machine = make_clone("corrected", mac=MAC)
    machine.write(FILE, BROKEN["no-such-role"][0])
    machine.boot(wait=False)
    held(machine)
    machine.write(FILE, CONFIGURATION)
    machine.run("systemctl", "restart", "nodeprep.service")
    ready(machine)
