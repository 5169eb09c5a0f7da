"""Diagnosis: what a try proves, of whom it is a fault, and what is tried of a wide range."""

from __future__ import annotations

import pytest

from nodeprep.diagnosis import Proof, Try, is_for, proof_of, prove, ranges_of, remedy
from nodeprep.model import Opening
from nodeprep.peers.examination import Range, Result

PEER = "10.77.0.11"
API = Opening("tcp", 6443, 6443, "API server", "control-plane")
INSIDE = Opening("tcp", 2380, 2380, "etcd peers", "etcd", ("10.77.0.0/24", "fd77::/64"))
ELSEWHERE = Opening("tcp", 2380, 2380, "etcd peers", "etcd", ("192.0.2.0/24",))
PORTS = Opening("udp", 30000, 32767, "NodePort services", "worker")


@pytest.mark.parametrize(
    ("result", "arrived", "ours", "proof"),
    [
        (Result.ANSWERED, True, False, Proof.OPEN),
        (Result.ANSWERED, True, True, Proof.FREE),
        (Result.ANSWERED, False, True, Proof.FREE),  # our own socket lost it in a crowd; the answer is proof enough
        (Result.REFUSED, True, True, Proof.HERE),
        (Result.PROHIBITED, True, True, Proof.HERE),
        (Result.SILENT, True, True, Proof.HERE),
        (Result.SILENT, True, False, Proof.HERE),
        (Result.REFUSED, False, True, Proof.PATH),
        (Result.PROHIBITED, False, True, Proof.PATH),
        (Result.SILENT, False, False, Proof.PATH),
        (Result.FAILED, False, True, Proof.UNTRIED),
        (Result.PENDING, False, True, Proof.UNTRIED),
    ],
)
def test_what_a_connection_proves(result: Result, arrived: bool, ours: bool, proof: Proof) -> None:
    assert proof_of(Try("tcp", 6443, result, arrived, ours), API, PEER) is proof


@pytest.mark.parametrize(
    ("result", "arrived", "ours", "proof"),
    [
        (Result.SILENT, True, False, Proof.UNPROVED),  # a VXLAN port of the kernel's, for one
        (Result.SILENT, True, True, Proof.HERE),
        (Result.REFUSED, True, False, Proof.HERE),
        (Result.SILENT, False, False, Proof.PATH),
    ],
)
def test_what_a_datagram_proves(result: Result, arrived: bool, ours: bool, proof: Proof) -> None:
    assert proof_of(Try("udp", 30000, result, arrived, ours), PORTS, PEER) is proof


def test_what_is_closed_to_whom_it_is_not_for_is_no_fault() -> None:
    lost = Try("tcp", 2380, Result.SILENT, arrived=True, ours=True)
    assert proof_of(lost, ELSEWHERE, PEER) is Proof.NOT_FOR_PEER
    assert proof_of(lost, INSIDE, PEER) is Proof.HERE
    assert proof_of(lost, INSIDE, "fd77::5") is Proof.HERE
    assert not Proof.NOT_FOR_PEER.is_fault
    assert not is_for(INSIDE, "")


def test_of_a_wide_range_both_ends_are_tried_and_some_between() -> None:
    ranges = ranges_of((API, PORTS), whole=False)
    assert ranges[0] == Range("tcp", 6443, 6443)
    ports = [each.first_port for each in ranges[1:]]
    assert ports[0] == 30000 and ports[-1] == 32767
    assert len(ports) == len(set(ports)) == 8
    assert ranges_of((PORTS,), whole=True) == (Range("udp", 30000, 32767),)


def test_what_has_no_ports_is_not_tried() -> None:
    assert ranges_of((Opening("icmp", 0, 0, "echo", "cilium"),), whole=True) == ()


def test_an_opening_is_told_by_what_each_of_its_ports_came_to() -> None:
    tries = [Try("udp", port, Result.ANSWERED, arrived=True, ours=True) for port in (30000, 31000)]
    tries.append(Try("udp", 32767, Result.SILENT, arrived=False, ours=True))
    tries.append(Try("tcp", 30000, Result.SILENT, arrived=False, ours=True))
    (proved,) = prove((PORTS, API), tries, "10.77.0.10", "02:00:00:00:00:01", PEER)
    assert proved.ports == ((Proof.FREE, (30000, 31000)), (Proof.PATH, (32767,)))
    assert proved.faults == ((Proof.PATH, (32767,)),)


@pytest.mark.parametrize(
    ("proof", "backend", "words"),
    [
        (Proof.PATH, "nftables", "security group"),
        (Proof.HERE, "nftables", "nft list ruleset"),
        (Proof.HERE, "ufw", "ufw allow 30000:32767/udp"),
        (Proof.HERE, "firewalld", "--add-port=30000-32767/udp"),
        (Proof.HERE, "iptables", "iptables -S"),
    ],
)
def test_the_remedy_is_that_of_whoever_is_in_the_way(proof: Proof, backend: str, words: str) -> None:
    assert words in remedy(proof, PORTS, backend)
