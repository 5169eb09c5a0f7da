"""The network of a node in the hands of networkd, netplan or ifupdown; and DHCP with a server that keeps its leases."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any

import pytest

from tests.lab import networks, platform
from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import assert_pairwise_different, ready, status
from tests.lab.golden import MAC
from tests.lab.identity import identity
from tests.lab.lan import Lan
from tests.lab.networks import GATEWAY, KEYS, KINDS, PATHS, addresses, matched, pinned, template
from tests.lab.tree import Release

SILENT = ("02:77:77:77:77:77", "10.99.0.66/24")
REFUSED = ("01:00:5e:00:00:01", "10.77.0.66/24")
OTHER_UUID = "9f9f4544-0042-3510-8052-b4c04f56423{}"
OTHER_MAC = "52:54:00:77:02:0{}"
# What the daemon does, without the daemon.
CHANGE = """
import sys
sys.path.append("/usr/lib/python3/dist-packages")
from nodeprep.errors import HostError
from nodeprep.host import links
from nodeprep.host.files import Files
from nodeprep.host.network import ifupdown, netplan, networkd
from nodeprep.steps import SetProfile

change = SetProfile(sys.argv[1], "eth0", mac=sys.argv[2], ipv4_addresses=(sys.argv[3],))
try:
    if sys.argv[1].startswith("ifupdown"):
        ifupdown.set_profile(change, Files("change"))
    elif sys.argv[1].startswith("netplan"):
        netplan.set_profile(change, links.links(), Files("change"))
    else:
        networkd.set_profile(change, links.links(), Files("change"))
except HostError as error:
    print("put back:", error)
else:
    print("kept")
"""


def carries(machine: Clone) -> bool:
    """Whether the gateway answers a machine."""
    return machine.run("arping", "-q", "-c", "1", "-w", "3", "-I", "eth0", GATEWAY, check=False).returncode == 0


def leased(leases: Path) -> dict[str, str]:
    """Return address → client identifier of the leases that a server has given."""
    rows = (line.split() for line in leases.read_text().splitlines())
    return {row[2]: row[4] for row in rows if len(row) == 5}


@pytest.mark.parametrize("kind", KINDS)
def test_three_perfect_twins_with_a_pinned_mac_and_a_static_address_become_unique_and_ready(
    kind: str, release: Release, deb: Path, store: Path, make_clone: MakeClone, lan: Lan
) -> None:
    golden = template(release, deb, store, kind, "static", pinned(kind, leased=False))
    lan.client(f"{GATEWAY}/24", "gateway")
    twins = [make_clone(f"twin-{number}", mac=MAC, layers=golden.layers) for number in range(3)]
    for twin in twins:
        twin.boot(wait=False)
    for twin in twins:
        ready(twin)
    for twin in twins:
        assert twin.wait_booted() == "running", twin.failed_units()
    values = assert_pairwise_different(twins)
    assert len({address for twin in twins for address in addresses(twin)}) == 3
    for twin in twins:
        assert len(addresses(twin)) == 1
        assert carries(twin)
        assert "the operator's" in twin.read(PATHS[kind])
        assert not twin.exists("/var/lib/nodeprep/trial.json")
    changed = next(twin for twin in twins if values[twin.name]["mac"] != MAC)
    changed.shutdown()
    changed.boot()
    ready(changed)
    again = identity(changed)
    assert (again["mac"], again["ipv4"]) == (values[changed.name]["mac"], values[changed.name]["ipv4"])


@pytest.mark.long
@pytest.mark.parametrize("kind", [*KINDS, "networkmanager"])
def test_perfect_twins_that_shared_one_lease_get_one_each(
    kind: str, release: Release, deb: Path, store: Path, make_clone: MakeClone, lan: Lan, tmp_path: Path
) -> None:
    golden = template(release, deb, store, kind, "leased", pinned(kind, leased=True), leases=True)
    leases = lan.serve_leases(tmp_path)
    twins = [make_clone(f"twin-{number}", mac=MAC, layers=golden.layers) for number in range(3)]
    for twin in twins:
        twin.boot(wait=False)
    for twin in twins:
        ready(twin, 150)
    assert_pairwise_different(twins)
    held = {twin.name: addresses(twin) for twin in twins}
    assert all(len(one) == 1 for one in held.values()), held
    assert len({one[0] for one in held.values()}) == 3, held
    given = leased(leases)
    identifiers = {given[one[0]] for one in held.values()}
    assert len(identifiers) == 3, given
    assert all(carries(twin) for twin in twins)


@pytest.mark.parametrize("kind", [*KINDS, "networkmanager"])
def test_clones_that_shared_one_lease_get_one_each_from_the_start(
    kind: str, release: Release, deb: Path, store: Path, make_clone: MakeClone, lan: Lan, tmp_path: Path
) -> None:
    text = pinned(kind, leased=True)
    unpinned = "".join(line for line in text.splitlines(keepends=True) if MAC not in line)
    golden = template(release, deb, store, kind, "clones", unpinned, also=networks.on_hardware, leases=True)
    leases = lan.serve_leases(tmp_path)
    clones = [make_clone(f"clone-{n}", mac=OTHER_MAC.format(n), layers=golden.layers) for n in range(2)]
    for number, clone in enumerate(clones):
        platform.present(clone, OTHER_UUID.format(number), OTHER_MAC.format(number))
        clone.boot(wait=False)
    for clone in clones:
        assert ready(clone)["node"]["origin"] == "clone"
    held = {clone.name: addresses(clone) for clone in clones}
    assert all(len(one) == 1 for one in held.values()), held
    given = leased(leases)
    assert len({given[one[0]] for one in held.values()}) == 2, given
    assert len(given) == 2, "nobody asked with the template's identity"
    assert_pairwise_different(clones)


def deaf(machine: Clone) -> dict[str, Any] | None:
    """Return the status of a machine that is held because no link of it carries."""
    document = status(machine)
    return document if [row["code"] for row in document["problems"]] == ["no-link"] else None


@pytest.mark.parametrize("kind", ["networkd", "networkmanager", "netplan"])
def test_a_clone_of_a_template_whose_profile_matches_a_mac_comes_up_with_its_own(
    kind: str, release: Release, deb: Path, store: Path, make_clone: MakeClone, lan: Lan, tmp_path: Path
) -> None:
    # networkd matches netplan's by the permanent MAC, which no veth has: there only the files can be seen to follow.
    up = kind != "netplan"
    golden = template(
        release, deb, store, kind, "matched", matched(kind), also=networks.on_hardware, leases=True, up=up
    )
    lan.serve_leases(tmp_path)
    clone = make_clone("clone", mac=OTHER_MAC.format(1), layers=golden.layers)
    platform.present(clone, OTHER_UUID.format(1), OTHER_MAC.format(1))
    clone.boot()
    document = ready(clone) if up else clone.wait_for(partial(deaf, clone))
    assert document["node"]["origin"] == "clone"
    assert clone.read(PATHS[kind]) == matched(kind).replace(MAC, OTHER_MAC.format(1))
    if up:
        clone.wait_for(partial(addresses, clone), 20)
        assert identity(clone)["mac"] == OTHER_MAC.format(1)
    else:
        assert OTHER_MAC.format(1) in clone.read("/run/systemd/network/10-netplan-lan.network")


@pytest.mark.parametrize("kind", KINDS)
def test_a_change_after_which_the_link_does_not_carry_is_put_back(
    kind: str, release: Release, deb: Path, store: Path, make_clone: MakeClone, lan: Lan
) -> None:
    golden = template(release, deb, store, kind, "static", pinned(kind, leased=False))
    lan.client(f"{GATEWAY}/24", "gateway")
    machine = make_clone("machine", mac=MAC, layers=golden.layers)
    machine.boot()
    ready(machine)
    machine.run("systemctl", "stop", "nodeprep.service")
    before, text = identity(machine), machine.read(PATHS[kind])
    machine.write("/root/change.py", CHANGE)

    def change(mac: str, address: str) -> str:
        return machine.run("python3", "/root/change.py", KEYS[kind], mac, address, timeout=120).stdout

    # Through ifupdown's gateway, which is "onlink", a silent one still answers: there it is a MAC that no link takes.
    said = change(*REFUSED if kind == "ifupdown" else SILENT)
    assert said.startswith("put back") and said.rstrip().endswith("rolled back"), said
    assert machine.read(PATHS[kind]) == text
    machine.wait_for(lambda: identity(machine)["ipv4"] == before["ipv4"], 20)
    assert identity(machine)["mac"] == before["mac"]
    assert carries(machine)
    assert change("02:77:77:77:77:77", "10.77.0.66/24") == "kept\n"
    # That the link came up anew networkd may hear later, and then it configures it once more.
    machine.wait_for(lambda: addresses(machine) == ["10.77.0.66"], 20)
    assert identity(machine)["mac"] == "02:77:77:77:77:77"
    assert carries(machine)
