"""The fleet key: changed on nodes that run, missing, garbled, and another's. READY stays, and no twin slips through."""

from __future__ import annotations

import json
import secrets
from functools import partial
from typing import Any

import pytest

from tests.lab.clone import Clone
from tests.lab.conftest import MakeClone
from tests.lab.expectations import KEPT, assert_pairwise_different, held, problem_codes, ready, status
from tests.lab.golden import MAC
from tests.lab.identity import identity

pytestmark = pytest.mark.usefixtures("golden")

FILE = "/etc/nodeprep/fleet.key"
GONE = "/root/gone"
WATCHED = f"while sleep 0.05; do [ -e /run/nodeprep/ready ] || echo gone >> {GONE}; done"
"""Notes on the disk whenever a node is not ready."""


def kept(values: dict[str, str]) -> dict[str, str]:
    return {name: values[name] for name in KEPT}


def ids(clone: Clone) -> list[str]:
    """Return the IDs of the keys that a node accepts, the spoken one first."""
    return [line.split()[0] for line in clone.run("nodeprep", "key", "show-id").stdout.splitlines()]


def rotate(clone: Clone, *step: str, stdin: str | None = None) -> str:
    return clone.run("nodeprep", "key", "rotate", *step, stdin=stdin, timeout=60.0).stdout


def codes(document: dict[str, Any]) -> set[str]:
    return {row["code"] for kind in ("problems", "warnings") for row in document[kind]}


def says(clone: Clone, code: str) -> dict[str, Any] | None:
    document = status(clone)
    return document if code in codes(document) else None


def test_a_fleet_that_changes_its_key_stays_ready_and_late_twins_yield_at_every_step(make_clone: MakeClone) -> None:
    first, second, late, later = (make_clone(name, mac=MAC) for name in ("first", "second", "late", "later"))
    for node in (first, second):
        node.boot()
        ready(node)
        node.run("systemd-run", "--unit=watched", "bash", "-c", WATCHED)
    had = {node.name: (identity(node), node.run("systemctl", "show", "-P", "MainPID", "nodeprep").stdout)
           for node in (first, second)}  # fmt: skip
    (old,) = ids(first)
    rotate(first, "--add")
    new = ids(first)[1]
    rotate(second, "--add", "--from", "-", stdin=first.read(FILE))
    assert ids(second) == [old, new]
    for node in (first, second):
        rotate(node, "--switch", new)
        assert ids(node) == [new, old]
        assert status(node)["peers"]["keys"] == [new, old], "and the daemon has taken it up"
    late.boot(wait=False)  # from an image that has the old key only
    assert ready(late)["node"]["origin"] == "twin"
    refused = first.run("nodeprep", "key", "rotate", "--finish", new, check=False)
    assert refused.returncode == 1
    assert f"under {old}" in refused.stderr, "the late one speaks it yet"
    rotate(late, "--add", "--from", "-", stdin=first.read(FILE))
    rotate(late, "--switch", new)
    for node in (first, second, late):
        node.wait_for(partial(all_announce, node, new), 60)
        # What the late one asked while it booted, of addresses that came a little later, is remembered for a minute.
        rotate(node, "--finish", new, "--force")
        assert ids(node) == [new]
    later.write(FILE, first.read(FILE), 0o600)
    later.boot(wait=False)
    assert ready(later)["node"]["origin"] == "twin"
    for node in (first, second):
        document = status(node)
        assert document["state"] == "ready"
        assert "foreign-key" not in codes(document)
        assert not node.exists(GONE), "not for an instant"
        before, pid = had[node.name]
        assert kept(identity(node)) == kept(before)
        assert node.run("systemctl", "show", "-P", "MainPID", "nodeprep").stdout == pid
    assert_pairwise_different([first, second, late, later])
    for node in (first, second, late, later):
        assert first.read(FILE).strip() not in node.journal()


def all_announce(clone: Clone, key: str) -> bool:
    return all(peer["key"] == key for peer in status(clone)["peers"]["list"] if peer["state"] == "ready")


def test_a_twin_under_another_key_is_reported_by_both_and_nothing_changes(make_clone: MakeClone) -> None:
    node, other = make_clone("node", mac=MAC), make_clone("other", mac=MAC)
    other.write(FILE, f"{secrets.token_hex(32)}\n", 0o600)
    node.boot()
    ready(node)
    had = identity(node)
    mac = had["mac"].split()[0]
    other.boot(wait=False)
    other.wait_for(partial(other.exists, "/run/nodeprep/ready"), 90)
    for each in (node, other):
        found = each.wait_for(partial(says, each, "foreign-key"), 60)
        (warning,) = [row for row in found["warnings"] if row["code"] == "foreign-key"]
        assert mac in warning["detail"] and "a MAC of this node" in warning["detail"]
        assert "nodeprep key show-id" in warning["remedy"]
        (shown,) = found["peers"]["foreign"]
        assert (shown["address"], shown["own_mac"]) == (mac, True)
        assert f"another fleet key: {mac}" in each.run("nodeprep", "peers").stdout
        assert "speaks another fleet key" in each.run("nodeprep", "status", check=False).stdout
        assert each.exists("/run/nodeprep/ready")
        assert found["node"]["origin"] == "same"
        assert not found["changes"]
        each.wait_for(("bash", "-c", "journalctl -b -o cat -t nodeprep | grep 'speaks under another fleet key'"), 20)
    assert kept(identity(node)) == kept(had) == kept(identity(other))


def test_a_node_without_a_key_is_held_and_asks_its_peers_as_soon_as_it_has_one(make_clone: MakeClone) -> None:
    node, keyless = make_clone("node", mac=MAC), make_clone("keyless", mac=MAC)
    keyless.path(FILE).unlink()
    node.boot()
    ready(node)
    had = identity(node)
    keyless.boot(wait=False)
    document = held(keyless)
    assert keyless.wait_booted() == "running", "it boots all the same"
    assert problem_codes(document) == ["no-fleet-key"]
    assert FILE in document["problems"][0]["detail"]
    assert "nodeprep key rotate --add" in document["problems"][0]["remedy"]
    assert kept(identity(keyless)) == kept(had), "nothing is renewed where nobody can be asked"
    assert keyless.run("nodeprep", "key", "show-id").stdout == ""
    node.run("systemctl", "restart", "nodeprep.service")  # so that it says something
    keyless.wait_for(partial(says, keyless, "foreign-key"), 60)
    rotate(keyless, "--add", "--from", "-", stdin=node.read(FILE))
    assert ready(keyless)["node"]["origin"] == "twin"
    assert kept(identity(node)) == kept(had)
    assert_pairwise_different([node, keyless])


def test_a_ready_node_that_loses_its_key_says_so_stays_ready_and_defends_what_it_has(make_clone: MakeClone) -> None:
    node, twin = make_clone("node", mac=MAC), make_clone("twin", mac=MAC)
    node.boot()
    ready(node)
    had, key = identity(node), node.read(FILE)
    node.write(FILE, f"{key.strip()}g\n", 0o600)
    found = node.wait_for(partial(says, node, "config"), 30)
    assert found["state"] == "degraded"
    assert FILE in found["problems"][0]["detail"] and key.strip() not in json.dumps(found)
    node.path(FILE).unlink()
    node.wait_for(partial(says, node, "no-fleet-key"), 30)
    twin.boot(wait=False)
    assert ready(twin)["node"]["origin"] == "twin", "defended with the key that the daemon still has"
    assert node.exists("/run/nodeprep/ready")
    assert kept(identity(node)) == kept(had)
    node.write(FILE, key, 0o600)
    ready(node, 40)
