"""The whole catalogue on booted machines: the owners of the identities run, and every one of them uses its own."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import combinations
from pathlib import Path

import pytest

from tests.lab import platform
from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import assert_pairwise_different, ready
from tests.lab.golden import MAC, Golden, golden_tree
from tests.lab.identity import identity
from tests.lab.owners import (
    CERTIFICATE,
    DAEMONS,
    DRIFT,
    ENROLLED,
    HELD,
    KEY,
    NETDATA,
    PACKAGES,
    PPM,
    RULES,
    artefacts,
    certified,
    drift,
    furnish,
    live,
    names,
    offline,
    pair_matches,
    said,
)
from tests.lab.test_seal import MARK, clones_of, codes, on_image
from tests.lab.tree import Release

PLATFORMS = [(f"4c4c4544-0042-3510-8052-b4c04f56425{n}", f"52:54:00:77:05:0{n}") for n in range(3)]
NOT_OF_FILES = {"ipv4-address", "ipv6-address", "mac"} | {
    "dbus-machine-id",  # a link since the template's own first boot
    "persistent-link-names",  # names a link that is there
    "profile-matches",  # tests/lab/test_networks.py
}
NAMES = (
    "/etc/hostname",
    "/etc/machine-id",
    "/etc/nvme/hostid",
    "/var/lib/containerd/io.containerd.grpc.v1.introspection/uuid",
    "/var/lib/netdata/registry/netdata.public.unique.id",
)
"""Files that are nothing but an identity, which may be written elsewhere too."""
BOOT_S = 180.0


@pytest.fixture(scope="session")
def template(release: Release, deb: Path, store: Path) -> Golden:
    """Return a template with the owners of all artefacts, which have made their identities; it was never sealed."""
    return golden_tree(
        release, deb, store=store, name="catalogue", prepare=furnish, lived=live, extra=PACKAGES[release]
    )


def assert_nothing_shared(machines: Mapping[str, Mapping[str, set[str]]]) -> None:
    """Assert that no two machines have a value of an artefact in common."""
    both = {
        f"{first}, {second}": names
        for first, second in combinations(machines, 2)
        if (names := {n: v for n in machines[first] if (v := machines[first][n] & machines[second].get(n, set()))})
    }
    assert not both


def residue(image: Clone, words: Sequence[str]) -> str:
    """Return the files of a disk in which any of the words is, but for logs of programs other than journald."""
    where = [str(image.root / folder) for folder in ("etc", "var/lib", "var/cache", "var/log/journal", "root", "opt")]
    command = ("grep", "-rlaF", "-D", "skip", "-e", "\n".join(words), "--", *where)
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False).stdout


def assert_owners_use_their_own(machines: Sequence[Clone]) -> dict[str, dict[str, str]]:
    """Assert that the owners run on each of the machines, and that what they say is said on no other."""
    told = {machine.name: said(machine) for machine in machines}
    for machine in machines:
        active = (*DAEMONS, *((NETDATA,) if machine.exists("/usr/sbin/netdata") else ()))
        assert machine.run("systemctl", "is-active", *active).stdout.split() == ["active"] * len(active)
        assert machine.failed_units() == ()
        assert pair_matches(machine)
        assert all(told[machine.name].values())
    for first, second in combinations(told, 2):
        alike = {name: value for name, value in told[first].items() if value == told[second][name]}
        assert not alike, (first, second)
    return told


def test_three_clones_and_two_perfect_twins_beside_their_running_template(
    template: Golden, make_clone: MakeClone
) -> None:
    origin = make_clone("origin", mac=MAC, layers=template.layers)
    origin.boot(timeout=BOOT_S)
    ready(origin, BOOT_S)
    before, before_said, values = artefacts(origin, "A", "B"), said(origin), identity(origin)
    enrolled = artefacts(origin, "C")
    assert {name for name, there in enrolled.items() if there} == ENROLLED
    assert {name for name, there in before.items() if not there} == NOT_OF_FILES
    assert PPM in drift(origin)
    assert origin.run("systemctl", "is-active", HELD).stdout == "active\n"

    clones = [make_clone(f"clone-{n}", mac=mac, layers=template.layers) for n, (_, mac) in enumerate(PLATFORMS)]
    twins = [make_clone(f"twin-{n}", mac=MAC, layers=template.layers) for n in range(2)]
    for clone, (uuid, mac) in zip(clones, PLATFORMS, strict=True):
        platform.present(clone, uuid, mac)
    for machine in (*clones, *twins):
        machine.boot(wait=False)
    for machine in (*clones, *twins):
        document = ready(machine, BOOT_S)
        machine.wait_booted(BOOT_S)
        assert document["node"]["origin"] == ("twin" if machine in twins else "clone")
        told = {row["subject"] for row in document["warnings"] if row["code"] == "held-back"}
        assert told == ENROLLED
        assert machine.run("systemctl", "is-active", HELD, check=False).stdout != "active\n"

    everyone = (origin, *clones, *twins)
    found = assert_owners_use_their_own(everyone)
    after = {machine.name: artefacts(machine, "A", "B") for machine in everyone}
    assert_nothing_shared(after)
    assert_pairwise_different(everyone)
    for clone in clones:
        assert not clone.exists(RULES)
    for machine in (*clones, *twins):
        assert artefacts(machine, "C") == enrolled
        assert PPM not in drift(machine)
        hostname = machine.read("/etc/hostname").strip()
        assert certified(machine) == hostname
        assert machine.read("/etc/mailname") == f"{hostname}.example.org\n"
        assert names(machine) == {hostname}
    assert found["origin"] == before_said
    assert identity(origin) == values
    volatile = {"dhcp-identity", "random-seed", "timers", "netdata-guid", "clock-drift"}
    kept = {name: there for name, there in after["origin"].items() if name not in volatile}
    assert kept == {name: before[name] for name in kept}
    assert origin.exists(DRIFT)


def test_clones_of_a_sealed_image_make_what_was_taken_out_of_it(template: Golden, make_clone: MakeClone) -> None:
    image = make_clone("image", layers=template.layers)
    before = offline(image, "A", "B", "C")
    words = [image.read(path).strip() for path in NAMES]
    assert all(words)
    said_so = on_image(image)
    assert said_so.returncode == 0, said_so
    assert codes(image) == set(), on_image(image, "--check").stdout
    assert_nothing_shared({"template": before, "image": offline(image, "A", "B", "C")})
    assert residue(image, words) == ""
    for path in ("/etc/nvme/hostid", "/etc/nvme/hostnqn", KEY, CERTIFICATE):
        assert not image.exists(path)
    assert image.read("/etc/mailname") == "sealed-image.example.org\n"

    whole, cut = clones_of(image, template, make_clone)
    whole.boot(wait=False)
    cut.boot(wait=False)
    cut.wait_for(partial(cut.exists, CERTIFICATE), BOOT_S)
    assert cut.exists(MARK)
    cut.power_cut()
    cut.boot(wait=False)
    for machine in (whole, cut):
        assert ready(machine, BOOT_S)["node"]["origin"] == "first-boot"
        machine.wait_booted(BOOT_S)
        assert not machine.exists(MARK)
        hostname = machine.read("/etc/hostname").strip()
        assert certified(machine) == hostname
        assert machine.read("/etc/mailname") == f"{hostname}.example.org\n"
        assert f"127.0.1.1\t{hostname}.example.org {hostname}\n" in machine.read("/etc/hosts")
        assert names(machine) == {hostname}
        host = machine.read("/etc/nvme/hostid").strip()
        assert machine.read("/etc/nvme/hostnqn") == f"nqn.2014-08.org.nvmexpress:uuid:{host}\n"
        assert PPM not in drift(machine)
        for unit in DAEMONS:
            assert machine.run("systemctl", "show", "-P", "NRestarts", unit).stdout == "0\n"
    early = json.loads(whole.read("/run/nodeprep/early.json"))
    made = {name for name, old, _ in early["changes"] if old == "-"}
    assert {"nvme-host", "snakeoil-key", "ssh-host-keys"} <= made, "before their owners start"
    assert_owners_use_their_own((whole, cut))
    after = {machine.name: artefacts(machine, "A", "B") for machine in (whole, cut)}
    assert_nothing_shared({"template": before, **after})
    owned = {"nvme-host", "snakeoil-key", "popularity-contest", "mail-name", "hosts-entry", "ipv6-stable-secret"}
    assert all(after[machine.name][name] for machine in (whole, cut) for name in owned)
    assert_pairwise_different((whole, cut))
