"""What the tests expect of machines: to become ready, to differ, to be whole."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from itertools import combinations
from typing import Any

from tests.lab.clone import Clone
from tests.lab.identity import hostnames, identity, machine_ids, shared
from tests.lab.traces import LabError

# Of what nodeprep has renewed, each must differ; a clone is told by none of them.
ARTEFACTS = (
    "machine-id",
    "machine-id of pid1",
    "machine-id of journald",
    "machine-id of dbus",
    "hostname",
    "hostname of kernel",
    "ssh key ed25519",
    "ssh key rsa",
    "ssh keys of sshd",
    "random-seed",
    "networkmanager secret",
    "journal directories",
    "mac",
    "ipv4",
    "ipv6",
)

# NetworkManager counts failed detections of duplicates in the link-local address, and begins anew at each boot.
KEPT = tuple(name for name in ARTEFACTS if name != "ipv6")

# What Debian itself writes at every boot.
WRITTEN_BY_DEBIAN = (
    "/var/log/",
    "/var/lib/systemd/timers/",
    "/var/lib/systemd/catalog/",
    "/var/lib/NetworkManager/timestamps",
    "/var/lib/NetworkManager/NetworkManager.state",
    "/var/lib/NetworkManager/seen-bssids",
    "/var/lib/NetworkManager/NetworkManager-intern.conf",
    "/var/cache/",
    "/var/tmp/",
    "/tmp/",
    "/run/",
    "/root/",
    "/etc/.updated",
    "/var/.updated",
    "/var/lib/private",
)


def status(clone: Clone) -> dict[str, Any]:
    """Return the status document of a machine, whatever it says; LabError where it has no words yet."""
    told = clone.run("nodeprep", "status", "--json", check=False)
    try:
        document: dict[str, Any] = json.loads(told.stdout)
    except ValueError as error:
        raise LabError(f"{clone.name}: no status: {told.stderr}") from error
    return document


def said_ready(clone: Clone) -> bool:
    """Whether a machine has said in this boot that it is ready, as it is read from outside.

    A program inside for each look, of many machines, would be much of what they have to do.
    """
    try:
        return clone.running and clone.exists("/run/nodeprep/ready")
    except OSError:
        return False  # between two boots


def ready(clone: Clone, timeout: float = 90.0) -> dict[str, Any]:
    """Return the status document of a machine, once it says that it is ready; it may reboot on the way."""

    def document() -> dict[str, Any] | None:
        if not said_ready(clone):
            return None
        found = status(clone)
        return found if found["state"] == "ready" else None

    found: dict[str, Any] = clone.wait_for(document, timeout)
    return found


def held(clone: Clone, timeout: float = 60.0) -> dict[str, Any]:
    """Return the status document of a machine, once it says that it is held."""

    def document() -> dict[str, Any] | None:
        found = status(clone)
        return found if found["state"] == "held" else None

    found: dict[str, Any] = clone.wait_for(document, timeout)
    return found


def assert_pairwise_different(clones: Sequence[Clone]) -> dict[str, dict[str, str]]:
    """Assert that no two of the machines share an artefact, and return what each of them has."""
    found = {clone.name: identity(clone) for clone in clones}
    for values in found.values():
        assert_whole(values)
    for first, second in combinations(found, 2):
        assert not shared(found[first], found[second]), (first, found[first], second, found[second])
    return found


def assert_whole(values: Mapping[str, str]) -> None:
    """Assert that a machine has what it must have, and that all of its services give one machine ID and one name."""
    ids, names = machine_ids(dict(values)), hostnames(dict(values))
    assert len(set(ids.values())) == 1, ids
    assert len(set(names.values())) == 1, names
    assert re.fullmatch("[0-9a-f]{32}", ids["machine-id"]), ids
    assert values["ssh key ed25519"] and values["ssh keys of sshd"], values
    assert values["mac"] and values["ipv4"], values


def problem_codes(document: Mapping[str, Any]) -> list[str]:
    """Return the codes of what keeps a node from being ready."""
    return [row["code"] for row in document["problems"]]
