"""Passage: the way of a first packet through INPUT, as iptables-save(8) lists it, and where it ends. Pure.

What a rule asks beside protocol, ports, addresses, links and state nobody can tell from here, and counts as not met.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from enum import IntEnum
from ipaddress import IPv4Network, IPv6Network, ip_address, ip_network
from typing import TypeAlias

from nodeprep.host.firewall.ruleset import number, numbers
from nodeprep.host.firewall.xtables import REFUSALS, SPARED, Filter, Rule, target_of
from nodeprep.model import ICMP_ECHO, Opening

DEPTH_MAX = 16
_ECHO = {"--icmp-type": ("8", "echo-request", "any"), "--icmpv6-type": ("128", "echo-request")}
_SYN = ("FIN,SYN,RST,ACK", "SYN")

Network: TypeAlias = "IPv4Network | IPv6Network"
Chains: TypeAlias = Mapping[str, tuple[Rule, ...]]


class Met(IntEnum):
    """Of how much of an opening a rule is."""

    NOTHING = 0
    PART = 1
    WHOLE = 2


@dataclass(frozen=True, slots=True)
class Packet:
    """The first packet to an opening, as far as it is known."""

    opening: Opening
    version: int
    source: Network | None = None
    """None for anyone: a rule about some is not about it."""
    link: str = ""
    """Where it comes in; empty where nobody says."""
    address: str = ""
    """What it is sent to; empty where nobody says."""


@dataclass(frozen=True, slots=True)
class Stop:
    """Where a packet is refused: the rule of a chain, or no rule but INPUT's policy."""

    chain: str
    rule: Rule = ()

    @property
    def reason(self) -> str:
        """Why: "policy drop", "ends in reject", "a rule drops it"."""
        if not self.rule:
            return "policy drop"
        spares_nobody = self.rule[0] in ("-j", "-g")
        return f"ends in {target_of(self.rule).lower()}" if spares_nobody else "a rule drops it"


def packets(opening: Opening, version: int) -> Iterator[Packet]:
    """Yield the packets of those of a family whom an opening is for."""
    if not opening.sources:
        yield Packet(opening, version)
    for network in map(ip_network, opening.sources):
        if network.version == version:
            yield Packet(opening, version, network)


def stop_of(there: Filter, packet: Packet, *, spares: bool = True) -> Stop | None:
    """Return where a packet is refused, or some of a range of ports; None where it is let in.

    spares: not by kube-proxy and CNIs.
    """
    decided = _walk(there.chains or {}, "INPUT", packet, DEPTH_MAX, spares=spares)
    if decided is None:
        return Stop("INPUT") if there.policy == "DROP" else None
    return None if target_of(decided.rule) == "ACCEPT" else decided


def _walk(chains: Chains, name: str, packet: Packet, depth: int, *, spares: bool) -> Stop | None:
    """Return the rule that decides on a packet in a chain or in those that it leads to, None where it comes back."""
    for rule in chains.get(name, ()):
        target, met = target_of(rule), _met(rule, packet)
        if met is Met.NOTHING or (spares and SPARED.match(target)):
            continue
        if target in REFUSALS or (target == "ACCEPT" and met is Met.WHOLE):
            return Stop(name, rule)
        if target == "RETURN" and met is Met.WHOLE:
            return None
        if target in chains and depth:
            decided = _walk(chains, target, packet, depth - 1, spares=spares)
            if decided and (met is Met.WHOLE or target_of(decided.rule) != "ACCEPT"):
                return decided
            if "-g" in rule and met is Met.WHOLE:
                return None
    return None


def _met(rule: Rule, packet: Packet) -> Met:
    met, at = Met.WHOLE, 0
    while at + 1 < len(rule) and rule[at] not in ("-j", "-g"):
        is_not = rule[at] == "!"
        at += is_not
        word, value = rule[at], rule[at + 1] if at + 1 < len(rule) else ""
        if word == "--tcp-flags":
            this = Met.WHOLE if rule[at + 1 : at + 3] == _SYN else None
            at += 1
        else:
            this = Met.WHOLE if word in ("-m", "--comment") else _word(word, value, packet)
        if this is None:
            return Met.NOTHING
        met = min(met, Met(Met.WHOLE - this) if is_not else this)
        at += 2
    return met


def _word(word: str, value: str, packet: Packet) -> Met | None:
    """Return whether a packet meets one word of a rule, None where nobody can tell."""
    opening = packet.opening
    is_met: bool
    match word:
        case "-p":
            own = () if opening.ports else tuple(map(str, numbers(opening.protocol)))
            is_met = value in ("all", opening.protocol) or str(number(value)) in own
        case "-i" if value != "lo" and not packet.link:
            return Met.PART
        case "-i":
            is_met = value == packet.link or (value.endswith("+") and packet.link.startswith(value[:-1]))
        case "-s":
            is_met = _is_within(packet.source, value)
        case "-d":
            is_met = bool(packet.address) and _is_within(ip_network(packet.address), value)
        case "--ctstate" | "--state":
            is_met = "NEW" in value.split(",")
        case "--dst-type":
            is_met = "LOCAL" in value.split(",")
        case "--dport" | "--dports":
            return _ports(value, opening)
        case "--icmp-type" | "--icmpv6-type":
            is_met = opening.protocol == ICMP_ECHO and value in _ECHO[word]
        case _:
            return None
    return Met.WHOLE if is_met else Met.NOTHING


def _is_within(inner: Network | None, cidr: str) -> bool:
    outer = ip_network(cidr)
    if inner is None or outer.prefixlen == 0:
        return outer.prefixlen == 0
    return inner.version == outer.version and inner.network_address in outer and inner.prefixlen >= outer.prefixlen


def _ports(value: str, opening: Opening) -> Met:
    if not re.fullmatch(r"[\d:,]+", value) or not opening.ports:
        return Met.NOTHING
    met = Met.NOTHING
    for first, _, last in (part.partition(":") for part in value.split(",")):
        low, high = int(first or 0), int(last or first)
        if low <= opening.first_port and opening.last_port <= high:
            return Met.WHOLE
        if low <= opening.last_port and opening.first_port <= high:
            met = Met.PART
    return met


def of_peer(opening: Opening, peer: str, link: str, address: str) -> Packet:
    """Return the packet that a peer sends to an opening at an address of ours."""
    return Packet(opening, ip_address(peer).version, ip_network(peer), link, address)
