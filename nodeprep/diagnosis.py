"""Diagnosis: what a try from outside proves of an opening, and what an operator does about it. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from ipaddress import ip_address, ip_network

from nodeprep.model import Opening
from nodeprep.peers.examination import Range, Result

SAMPLES = 8
"""Of a range of more ports than that, so many are tried, both ends among them."""


class Proof(str, Enum):
    """What is known of a port now."""

    OPEN = "open"
    """What listens there was reached."""
    FREE = "free"
    """Nothing listens there, and the path is free."""
    HERE = "blocked here"
    """The packet arrived, and nothing of it reached the port."""
    PATH = "blocked on the path"
    """The packet did not arrive."""
    UNPROVED = "unproved"
    """A datagram arrived at a port whose owner says nothing to strangers."""
    NOT_FOR_PEER = "closed to this peer"
    """As it should be: the peer is none of those that the opening is for."""
    UNTRIED = "untried"
    """The peer could not try it."""

    @property
    def is_fault(self) -> bool:
        """Whether the opening is not open to whom it is for."""
        return self in (Proof.HERE, Proof.PATH)


@dataclass(frozen=True, slots=True)
class Try:
    """What came of one port: the peer's word, whether its packet arrived, and whether the port was ours to answer."""

    protocol: str
    port: int
    result: Result
    arrived: bool
    ours: bool


@dataclass(frozen=True, slots=True)
class Proved:
    """What was proved of one opening by one peer at one address: proof → ports, of those that were tried."""

    opening: Opening
    address: str
    by: str
    ports: tuple[tuple[Proof, tuple[int, ...]], ...]
    peer: str = ""
    """The address that it was tried from."""

    @property
    def faults(self) -> tuple[tuple[Proof, tuple[int, ...]], ...]:
        """Those that are not open."""
        return tuple((proof, ports) for proof, ports in self.ports if proof.is_fault)


def proof_of(tried: Try, opening: Opening, peer: str) -> Proof:
    """Return what a try proves. peer: the address that it came from."""
    if tried.result is Result.ANSWERED:
        return Proof.FREE if tried.ours else Proof.OPEN
    if tried.result in (Result.FAILED, Result.PENDING):
        return Proof.UNTRIED
    if not is_for(opening, peer):
        return Proof.NOT_FOR_PEER
    if not tried.arrived:
        return Proof.PATH
    silent_owner = tried.protocol == "udp" and tried.result is Result.SILENT and not tried.ours
    return Proof.UNPROVED if silent_owner else Proof.HERE


def is_for(opening: Opening, peer: str) -> bool:
    """Whether an opening is for a machine of that address; it is for everybody where it names no sources."""
    return not opening.sources or any(ip_address(peer) in ip_network(cidr) for cidr in opening.sources if peer)


def ranges_of(openings: Iterable[Opening], *, whole: bool) -> tuple[Range, ...]:
    """Return what is to be tried of openings that have ports: of wide ranges samples, or every port of them."""
    ranges: dict[Range, None] = {}
    for opening in openings:
        if opening.protocol not in ("tcp", "udp"):
            continue
        first, last = opening.first_port, opening.last_port
        if whole or last - first < SAMPLES:
            ranges[Range(opening.protocol, first, last)] = None
        else:
            for number in range(SAMPLES):
                port = first + (last - first) * number // (SAMPLES - 1)
                ranges[Range(opening.protocol, port, port)] = None
    return tuple(ranges)


def prove(openings: Sequence[Opening], tries: Iterable[Try], address: str, by: str, peer: str) -> tuple[Proved, ...]:
    """Return what these tries of one address prove of each opening that has ports."""
    told = tuple(tries)
    proved = []
    for opening in openings:
        found: dict[Proof, list[int]] = {}
        for tried in told:
            if tried.protocol == opening.protocol and opening.first_port <= tried.port <= opening.last_port:
                found.setdefault(proof_of(tried, opening, peer), []).append(tried.port)
        if found:
            ports = tuple((proof, tuple(sorted(found[proof]))) for proof in Proof if proof in found)
            proved.append(Proved(opening, address, by, ports, peer))
    return tuple(proved)


def remedy(proof: Proof, opening: Opening, backend: str) -> str:
    """Return what an operator does about an opening that is not open, where nobody was found who closes it."""
    if proof is Proof.PATH:
        return (
            f"Open {opening.title} in what lies between: the cloud's security group or network policy, a router's "
            "filter, the hypervisor's firewall. `nodeprep ports --format aws|gcp|azure|terraform` writes the rule."
        )
    commands = {
        "firewalld": f"firewall-cmd --list-all; `firewall-cmd --permanent --add-port={opening.title}`",
        "ufw": f"ufw status verbose; `ufw allow {opening.title.replace('-', ':')}`",
        "iptables": "iptables -S INPUT; find the rule that drops it, before ours",
    }
    return commands.get(backend, f"`nft list ruleset`: find the chain on the input hook that drops {opening.title}")
