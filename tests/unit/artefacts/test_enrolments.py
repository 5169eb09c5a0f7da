"""What is enrolled elsewhere: what of an agent's files is its identity, and what beside it is not."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from nodeprep.apply import perform
from nodeprep.artefacts import (
    catalogue,
    consul,
    docker_swarm,
    puppet_agent,
    salt_minion,
    snapd,
    tailscale,
    ubuntu_pro,
    wazuh_agent,
    wireguard,
    zabbix_agent,
)
from nodeprep.host.local import LocalMachine
from nodeprep.model import Artefact, Finding, Kind, Values, Verdict
from nodeprep.steps import Fresh, Situation
from tests.fakes.disk import put

FRESH = Fresh("f" * 32, b"seed", "02:00:00:00:00:aa", "/var/lib/nodeprep/staging")


@pytest.fixture
def machine(tmp_path: Path) -> LocalMachine:
    return LocalMachine("test", str(tmp_path))


def write(machine: LocalMachine, path: str, text: str) -> None:
    put(Path(machine.real("")), path, text.encode())


def seen(machine: LocalMachine, artefact: Artefact) -> Values:
    reading = artefact.observe(machine)
    assert isinstance(reading, frozenset)
    return reading


def reset(machine: LocalMachine, artefact: Artefact) -> None:
    finding = Finding(artefact.name, Verdict.INHERITED, seen(machine, artefact), "still the template's")
    for action in artefact.plan(finding, FRESH, Situation()):
        perform(action, machine)


def test_an_engine_that_never_joined_a_swarm_has_none(machine: LocalMachine) -> None:
    Path(machine.real("/var/lib/docker/swarm")).mkdir(parents=True)
    assert seen(machine, docker_swarm.ARTEFACT) == frozenset()
    write(machine, "/var/lib/docker/swarm/docker-state.json", "{}")
    assert seen(machine, docker_swarm.ARTEFACT)


def test_whom_to_trust_is_no_identity(machine: LocalMachine) -> None:
    stays = {
        "/etc/salt/pki/minion/minion_master.pub": salt_minion.ARTEFACT,
        "/var/lib/puppet/ssl/certs/ca.pem": puppet_agent.ARTEFACT,
        "/var/lib/consul/serf/local.keyring": consul.ARTEFACT,
    }
    write(machine, "/etc/salt/minion_id", "template")
    write(machine, "/var/lib/puppet/ssl/certs/template.pem", "certificate")
    write(machine, "/var/lib/consul/node-id", "id")
    for path, artefact in stays.items():
        write(machine, path, "the server's")
        reset(machine, artefact)
        assert seen(machine, artefact) == frozenset()
        assert machine.exists(path)


def test_what_an_agent_of_another_id_must_not_take_up_goes_with_the_id(machine: LocalMachine) -> None:
    write(machine, "/opt/consul/node-id", "id")
    write(machine, "/opt/consul/raft/raft.db", "log")
    reset(machine, consul.ARTEFACT)
    assert not machine.exists("/opt/consul/raft")
    assert machine.glob("/var/lib/nodeprep/attic/*/files/opt/consul/raft/raft.db")


def test_on_a_manager_the_keys_are_its_agents(machine: LocalMachine) -> None:
    write(machine, "/var/ossec/etc/client.keys", "001 one any key\n002 two any key\n")
    assert seen(machine, wazuh_agent.ARTEFACT)
    write(machine, "/var/ossec/bin/wazuh-remoted", "")
    assert seen(machine, wazuh_agent.ARTEFACT) == frozenset()
    assert wazuh_agent.seal(machine) == ()


@pytest.mark.parametrize(
    ("artefact", "path", "before", "after"),
    [
        (
            tailscale.ARTEFACT,
            tailscale.STATE,
            {"_machinekey": "k", "_current-profile": "a"},
            {"_machinekey": "k", "_current-profile": "b"},
        ),
        (
            ubuntu_pro.ARTEFACT,
            ubuntu_pro.FILE,
            {"machineToken": "t", "effectiveTo": "2026"},
            {"machineToken": "t", "effectiveTo": "2027"},
        ),
    ],
    ids=lambda value: value.name if isinstance(value, Artefact) else "",
)
def test_what_changes_by_itself_is_no_identity(
    machine: LocalMachine, artefact: Artefact, path: str, before: dict[str, str], after: dict[str, str]
) -> None:
    write(machine, path, json.dumps(before))
    first = seen(machine, artefact)
    write(machine, path, json.dumps(after))
    assert seen(machine, artefact) == first
    write(machine, path, json.dumps({name: f"another {value}" for name, value in after.items()}))
    assert seen(machine, artefact) != first
    write(machine, path, "\0 encrypted")
    assert seen(machine, artefact) not in (first, frozenset())


@pytest.mark.parametrize(
    "line", ["# Hostname=golden", "HostnameItem=system.hostname", "Hostname=", "Hostname=Zabbix server"]
)
def test_a_name_that_nobody_set_is_none(machine: LocalMachine, line: str) -> None:
    write(machine, "/etc/zabbix/zabbix_agent2.conf", f"{line}\n")
    assert seen(machine, zabbix_agent.ARTEFACT) == frozenset()


@pytest.mark.parametrize("text", ["Hostname=golden\n", "Server=10.0.0.1\nHostname=golden\nHostnameItem=x\n"])
def test_a_name_that_was_set_becomes_a_comment(machine: LocalMachine, text: str) -> None:
    path = "/etc/zabbix/zabbix_agent2.d/name.conf"
    write(machine, path, text)
    reset(machine, zabbix_agent.ARTEFACT)
    assert seen(machine, zabbix_agent.ARTEFACT) == frozenset()
    assert machine.read_text(path) == text.replace("Hostname=", "# Hostname=", 1)


KEY = "gI6EdUSYvn8ugXOt8QQD6Yc+JyiZxIhp3GInSWRfWGE="


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("/etc/wireguard/wg0.conf", f"[Interface]\nPrivateKey = {KEY}\n"),
        ("/etc/NetworkManager/system-connections/vpn.nmconnection", f"[wireguard]\nprivate-key={KEY}\n"),
        ("/etc/systemd/network/50-wg.netdev", f"[WireGuard]\nPrivateKey={KEY}\n"),
        ("/etc/systemd/network/51-wg.netdev", "[WireGuard]\nPrivateKeyFile=/etc/wg.key\n"),
    ],
)
def test_a_private_key_wherever_it_lies(machine: LocalMachine, path: str, text: str) -> None:
    write(machine, "/etc/wg.key", f"{KEY}\n")
    write(machine, path, text)
    (value,) = seen(machine, wireguard.ARTEFACT)
    assert KEY not in value
    for action in wireguard.seal(machine):
        perform(action, machine)
    assert seen(machine, wireguard.ARTEFACT) == frozenset()


def test_a_peers_public_key_and_a_password_are_none_of_ours(machine: LocalMachine) -> None:
    write(machine, "/etc/wireguard/wg0.conf", f"[Peer]\nPublicKey = {KEY}\n")
    write(machine, "/etc/NetworkManager/system-connections/wifi", "[802-1x]\nprivate-key=/etc/ssl/wifi.key\n")
    assert seen(machine, wireguard.ARTEFACT) == frozenset()


def test_a_sealed_image_has_its_snaps_and_no_serial(machine: LocalMachine) -> None:
    device = {"brand": "generic", "model": "generic-classic", "serial": "1", "key-id": "k", "session-macaroon": "m"}
    state = {"data": {"auth": {"device": device}, "snaps": {"core22": {"revision": 1}}}, "changes": {}}
    write(machine, snapd.STATE, json.dumps(state))
    write(machine, "/var/lib/snapd/device/private-keys-v1/k", "key")
    for action in snapd.seal(machine):
        perform(action, machine)
    left = json.loads(machine.read_text(snapd.STATE) or "")
    assert left["data"]["auth"]["device"] == {"brand": "generic", "model": "generic-classic"}
    assert left["data"]["snaps"] == state["data"]["snaps"]
    assert snapd.seal(machine) == ()


@pytest.mark.parametrize("text", ["{}", "torn", '{"data": {"auth": []}}'])
def test_a_state_that_has_no_device_is_left_alone(machine: LocalMachine, text: str) -> None:
    write(machine, snapd.STATE, text)
    assert snapd.seal(machine) == ()


def test_what_may_be_the_way_in_is_neither_held_nor_a_membership() -> None:
    by_name = {artefact.name: artefact for artefact in catalogue()}
    for name in ("tailscale", "wireguard", "teleport", "machine-account"):
        assert by_name[name].kind is Kind.C
        assert not by_name[name].holds
        assert not by_name[name].joins
