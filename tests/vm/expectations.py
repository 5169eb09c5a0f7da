"""What the tests expect of virtual machines, asked inside them and seen from their network."""

from __future__ import annotations

import json
import re
import subprocess
import uuid
from collections.abc import Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

from nodeprep import stamp
from nodeprep.host.platform import canonical_uuid
from tests.lab.expectations import WRITTEN_BY_DEBIAN, assert_whole
from tests.lab.identity import shared
from tests.lab.lan import BRIDGE, Lan
from tests.lab.traces import administer
from tests.vm import told
from tests.vm.machine import Machine

CLIENT = "client"
KEY_KINDS = ("ed25519", "ecdsa")
"""The host keys that the golden machine has; one that is renewed gets an RSA key besides."""
LIST_TIMEOUT_S = 300.0
# What a container does not write, because it has neither a clock nor a seed of its own.
WRITTEN_BY_DEBIAN_ON_HARDWARE = (*WRITTEN_BY_DEBIAN, "/var/lib/systemd/random-seed")
# NetworkManager puts files of its state in one another's place; the others are mount points.
FOLDERS_WRITTEN_BY_DEBIAN = ("/var/lib/NetworkManager/", "/dev/", "/proc/", "/sys/")


def assert_up(machine: Machine, boots: int) -> None:
    """Assert that a machine is up without a failed unit, after no more than that many boots in all."""
    assert machine.failed_units() == (), machine.name
    assert machine.booted() == "running", machine.name
    assert machine.boots <= boots, machine.name
    cycles = [line for line in machine.said().splitlines() if "ordering cycle" in line.lower()]
    assert not cycles, cycles


def assert_pairwise_different(machines: Sequence[Machine]) -> dict[str, dict[str, str]]:
    """Assert that no two of the machines share anything they can be known by, and return what each of them has."""
    found = {machine.name: machine.identity() for machine in machines}
    for values in found.values():
        assert_whole(values)
        for name in ("random-seed", "networkmanager secret", "ipv6"):
            assert values[name], (name, values)
    for first, second in combinations(found, 2):
        assert not shared(found[first], found[second]), (first, found[first], second, found[second])
    return found


def assert_seen_so(lan: Lan, found: dict[str, dict[str, str]]) -> None:
    """Assert that a client on the segment meets what the machines say: MAC and host key behind each address."""
    for number, values in enumerate(found.values()):
        address = values["ipv4"].split("/")[0]
        name = f"{CLIENT}-{number}"
        lan.client("10.77.0.2/24", name)
        try:
            served = lan.run(name, "ssh-keyscan", "-T", "60", "-t", "ed25519", address, timeout=90).stdout
            neighbour = lan.run(name, "ip", "neighbour", "show", address).stdout
        finally:
            lan.unplug(name)
        assert told.scanned(served) == [values["ssh keys of sshd"]], address
        assert f"lladdr {values['mac']} " in neighbour, address
    learned = administer("bridge", "-n", lan.namespace, "fdb", "show", "br", BRIDGE).splitlines()
    ports = [line.split()[2] for line in learned for values in found.values() if line.startswith(values["mac"])]
    assert len(set(ports)) == len(ports) == len(found), learned


def stamped(machine: Machine) -> stamp.Stamp:
    """Return a machine's stamp, of which the checksum is right."""
    return stamp.decode(machine.run("cat", stamp.PATH).stdout)


def hardware_of(machine: Machine) -> dict[str, frozenset[str]]:
    """Return what the stamp is to hold of the hardware that the hypervisor gave a machine."""
    assert machine.generation
    told = {
        "product-uuid": canonical_uuid(machine.uuid),
        "permanent-mac": machine.mac,
        # A GUID's bytes: its first three fields are little-endian (QEMU, docs/specs/vmgenid.rst).
        "vm-generation-id": uuid.UUID(machine.generation).bytes_le.hex(),
    }
    return {kind: stamp.fingerprints(kind, (value,)) for kind, value in told.items()}


def end_state(machine: Machine, document: Mapping[str, Any]) -> dict[str, object]:
    """Return what must be the same of every renewed copy, however it came there: all but the values themselves."""
    active = ("systemctl", "is-active", "ssh.service", "NetworkManager.service", "nodeprep-ready.target")
    leftovers = (
        "find / -xdev -name '.nodeprep-*'; ls /var/lib/nodeprep; ls /etc/ssh /etc/NetworkManager/system-connections"
    )
    return {
        "origin": document["node"]["origin"],
        "verdicts": {row["artefact"]: row["verdict"] for row in document["identity"]},
        "problems": document["problems"],
        "warnings": document["warnings"],
        "stamped": sorted(stamped(machine).artefacts),
        "hardware": sorted(stamped(machine).hardware),
        "inherited": dict(stamped(machine).inherited),
        "active": machine.run(*active, check=False).stdout.split(),
        "failed": machine.failed_units(),
        "files": sorted(machine.run("sh", "-c", leftovers, timeout=LIST_TIMEOUT_S).stdout.split()),
    }


def assert_valid_on_disk(machine: Machine, directory: Path) -> None:
    """Assert of a machine whose power was cut that it would boot with a machine ID, a hostname and host keys."""
    keys = [f"/etc/ssh/ssh_host_{kind}_key" for kind in KEY_KINDS]
    found = machine.disk.files(directory, "/etc/machine-id", "/etc/hostname", *keys, *(f"{key}.pub" for key in keys))
    assert re.fullmatch("[0-9a-f]{32}\n", found["/etc/machine-id"] or ""), found
    assert re.fullmatch("[a-z0-9-]+\n", found["/etc/hostname"] or ""), found
    for key in keys:
        private = directory / "key"
        private.touch(0o600)
        private.write_text(found[key] or "")
        read = ("ssh-keygen", "-y", "-f", str(private))
        assert subprocess.run(read, capture_output=True, check=False, timeout=30).returncode == 0, key
        private.unlink()
        assert (found[f"{key}.pub"] or "").split()[:1], key


def disk(machine: Machine) -> dict[str, str]:
    """Return path → inode, size, mode and time of the last change of all on a disk that Debian itself does not write.

    Folders end in a slash; what was made in one and removed again shows in its time.
    """
    shown = r"%i %s %m %C@\n"
    command = ("find", "/", "-xdev", "-type", "d", "-printf", rf"%p/\t{shown}", "-o", "-printf", rf"%p\t{shown}")
    listing = machine.run(*command, timeout=LIST_TIMEOUT_S).stdout
    entries = (line.partition("\t")[::2] for line in listing.splitlines())
    return {
        path: entry
        for path, entry in entries
        if not path.startswith(WRITTEN_BY_DEBIAN_ON_HARDWARE) and path not in FOLDERS_WRITTEN_BY_DEBIAN
    }


def early_said(machine: Machine) -> list[str]:
    """Return what the early run of this boot said on the console: nothing where it found all unchanged, and left."""
    return re.findall(r"python3\[\d+\]: nodeprep: (.*)", machine.said().rpartition("] Linux version ")[2])


def units(machine: Machine, *names: str) -> dict[str, tuple[int, int]]:
    """Return when units began to start and when they were up, in µs of this boot."""
    properties = ("-p", "Id", "-p", "InactiveExitTimestampMonotonic", "-p", "ActiveEnterTimestampMonotonic")
    listing = machine.run("systemctl", "show", *properties, *names).stdout
    found = {}
    for block in listing.strip().split("\n\n"):
        shown = dict(line.split("=", 1) for line in block.splitlines())
        began, up = (int(shown[f"{when}TimestampMonotonic"]) for when in ("InactiveExit", "ActiveEnter"))
        found[shown["Id"]] = began, up
    return found


def early_report(machine: Machine) -> dict[str, Any]:
    """Return what the early run of this boot changed."""
    document: dict[str, Any] = json.loads(machine.run("cat", "/run/nodeprep/early.json").stdout)
    return document
