"""Ruleset: our table `inet nodeprep` as libnftables-json(5), made of openings, and what any nft's listing of it says.

What is open is in sets, one for anyone and one for each family of sources; the rules that read them never differ.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from itertools import pairwise
from typing import Any, TypeAlias

from nodeprep.errors import HostError
from nodeprep.host.firewall.sshd import SSH_PORT
from nodeprep.model import ICMP_ECHO, IP_PROTOCOLS, Opening

# The hook goes on after an accept and ends at a drop, so a table that drops belongs behind every one that has
# something to say: behind kube-proxy's rejects of services without endpoints (-110 for nftables, 0 for iptables),
# which a client should get to see, and behind IPVS, which takes the packets of its services out of this hook at 98
# and 99. At 110 what is left is meant for a process of this host, whichever proxy runs. Forwarded pods pass another
# hook, in which there is no chain of ours.
PRIORITY = 110
POLICIES = {"enforce": "drop", "open": "accept"}
COMMENT_BYTES = 127  # NFTNL_UDATA_COMMENT_MAXLEN is 128, with the terminator

Json: TypeAlias = dict[str, Any]

TABLE = {"family": "inet", "name": "nodeprep"}
_IN_TABLE = {"family": "inet", "table": "nodeprep"}
_ICMP = {"ipv4": 1, "ipv6": 58}
_NAMES = {"icmp": 1, "ipv6-icmp": 58, "ipencap": 4, "ipv4": 4, "esp": 50, "vrrp": 112}
"""nft lists names of protocols where /etc/protocols is installed, and numbers where it is not."""


def ruleset(openings: tuple[Opening, ...], mode: str, ssh_ports: tuple[int, ...]) -> list[Json]:
    """Return chain, sets and rules of our table: the rules never differ, what is open is in the sets."""
    if mode not in POLICIES:
        raise ValueError(f"firewall mode {mode!r} is none of {', '.join(POLICIES)}")
    hook = {"type": "filter", "hook": "input", "prio": PRIORITY, "policy": POLICIES[mode]}
    tcp_port, udp_port = _payload("tcp", "dport"), _payload("udp", "dport")
    link_local = {"prefix": {"addr": "fe80::", "len": 10}}
    sets = [_set("ssh", "inet_service", [{"elem": {"val": port}} for port in sorted({*ssh_ports} or {SSH_PORT})])]
    rules = [
        _rule("loopback", _match({"meta": {"key": "iif"}}, "lo")),
        _rule("answers", _match({"ct": {"key": "state"}}, ["established", "related"], "in")),
        _rule("ICMP, ICMPv6 and so neighbour discovery", _match({"meta": {"key": "l4proto"}}, {"set": [1, 58]})),
        _rule("DHCP replies", _match(_payload("udp", "sport"), 67), _match(udp_port, 68)),
        _rule("DHCPv6 replies", _match(_payload("ip6", "daddr"), link_local), _match(udp_port, 546)),
        _rule("SSH", _match(tcp_port, "@ssh")),
    ]
    of_ip: Json = {"meta": {"key": "l4proto"}}
    for protocol, kind, field, elements in (
        ("tcp", "inet_service", tcp_port, tuple(_elements(openings, "tcp"))),
        ("udp", "inet_service", udp_port, tuple(_elements(openings, "udp"))),
        ("ip", "inet_proto", of_ip, tuple(_whole_protocols(openings))),
    ):
        sets.append(_set(f"{protocol}_any", kind, [item for family, item in elements if family == "any"]))
        rules.append(_rule("openings", _match(field, f"@{protocol}_any")))
        for family, header in (("ipv4", "ip"), ("ipv6", "ip6")):
            name, items = f"{protocol}_{family}", [item for of, item in elements if of == family]
            sets.append(_set(name, [f"{family}_addr", kind], items))
            rules.append(_rule("openings", _match({"concat": [_payload(header, "saddr"), field]}, f"@{name}")))
    return [{"chain": {**_IN_TABLE, "name": "input", **hook}}, *sets, *rules]


def _elements(openings: tuple[Opening, ...], protocol: str) -> Iterator[tuple[str, Json]]:
    """Yield "any", "ipv4" or "ipv6" and an element of that set; elements are disjoint, as interval sets demand."""
    wanted = [opening for opening in openings if opening.protocol == protocol]
    edges = sorted({edge for opening in wanted for edge in (opening.first_port, opening.last_port + 1)})
    for first, after in pairwise(edges):
        covering = [opening for opening in wanted if opening.first_port <= first <= opening.last_port]
        comment = _comment(covering)
        port: object = first if first == after - 1 else {"range": [first, after - 1]}
        if any(not opening.sources for opening in covering):
            yield "any", {"elem": {"val": port, "comment": comment}}
            continue
        for network in _networks(cidr for opening in covering for cidr in opening.sources):
            source = {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}
            yield f"ipv{network.version}", {"elem": {"val": {"concat": [source, port]}, "comment": comment}}


def _whole_protocols(openings: tuple[Opening, ...]) -> Iterator[tuple[str, Json]]:
    """Yield the same for openings without ports. Of ICMP all passes anyhow: an echo in the set only shows."""
    for protocol in sorted({opening.protocol for opening in openings if not opening.ports}):
        covering = [opening for opening in openings if opening.protocol == protocol]
        comment = _comment(covering)
        if any(not opening.sources for opening in covering):
            yield from (("any", {"elem": {"val": each, "comment": comment}}) for each in numbers(protocol))
            continue
        for network in _networks(cidr for opening in covering for cidr in opening.sources):
            family = f"ipv{network.version}"
            source = {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}
            each = IP_PROTOCOLS.get(protocol, _ICMP[family])
            yield family, {"elem": {"val": {"concat": [source, each]}, "comment": comment}}


def _comment(openings: Iterable[Opening]) -> str:
    comment = "; ".join(dict.fromkeys(f"{opening.role}: {opening.purpose}" for opening in openings))
    return comment.replace('"', "'").encode()[:COMMENT_BYTES].decode(errors="ignore")


def numbers(protocol: str) -> tuple[int, ...]:
    """Return the numbers of a protocol without ports, of ICMP and ICMPv6 for an echo."""
    return (IP_PROTOCOLS[protocol],) if protocol in IP_PROTOCOLS else tuple(_ICMP.values())


def number(listed: Any) -> Any:
    """Return a protocol's number for its name, as it may be listed; anything else as it is."""
    return _NAMES.get(listed, listed) if isinstance(listed, str) else listed


def opened(loaded: Iterable[Json]) -> tuple[Opening, ...]:
    """Return what a listing of our table accepts, sorted, as the disjoint ranges that it was loaded as."""
    objects = tuple(loaded)
    used = json.dumps([made["rule"] for made in objects if "rule" in made])
    words = {1: ICMP_ECHO, 58: ICMP_ECHO, **{each: word for word, each in IP_PROTOCOLS.items()}}
    found: dict[tuple[int, int, str, str], list[str]] = {}
    for made in (made["set"] for made in objects if "set" in made):
        protocol, _, family = made["name"].partition("_")
        if protocol not in ("tcp", "udp", "ip") or f'"@{made["name"]}"' not in used:
            continue
        for item in made.get("elem", ()):
            (cidr, first, last), comment = _element(item)
            key = (
                (0, 0, words.get(first, str(first)), comment) if protocol == "ip" else (first, last, protocol, comment)
            )
            found.setdefault(key, []).extend([cidr] if family != "any" else [])
    return tuple(
        Opening(protocol, first_port, last_port, purpose or role, role if purpose else "", tuple(sources))
        for (first_port, last_port, protocol, comment), sources in sorted(found.items())
        for role, _, purpose in (comment.partition(": "),)
    )


def _networks(cidrs: Iterable[str]) -> tuple[IPv4Network | IPv6Network, ...]:
    """Return the fewest networks that cover these CIDRs: overlaps would not load. Raises HostError."""
    try:
        given = [ip_network(cidr) for cidr in cidrs]
    except ValueError as error:
        raise HostError(f"source of an opening: {error}") from error
    ipv4 = collapse_addresses(network for network in given if isinstance(network, IPv4Network))
    return (*ipv4, *collapse_addresses(network for network in given if isinstance(network, IPv6Network)))


def _payload(protocol: str, field: str) -> Json:
    return {"payload": {"protocol": protocol, "field": field}}


def _match(left: Json, right: object, op: str = "==") -> Json:
    return {"match": {"op": op, "left": left, "right": right}}


def _rule(comment: str, *matches: Json) -> Json:
    return {"rule": {**_IN_TABLE, "chain": "input", "comment": comment, "expr": [*matches, {"accept": None}]}}


def _set(name: str, kind: str | list[str], elements: list[Json]) -> Json:
    made = {**_IN_TABLE, "name": name, "type": kind, "flags": ["interval"]}
    return {"set": {**made, "elem": elements} if elements else made}  # nft 1.0.6 refuses an empty list


def canonical(objects: Iterable[Json]) -> tuple[list[object], list[str]]:
    """Return what of a table decides about packets, alike for what is sent and for any version's listing of it."""
    unordered: list[object] = []
    rules: list[str] = []
    for kind, made in (pair for wrapped in objects for pair in wrapped.items()):
        if kind == "rule":
            expr = json.dumps(made["expr"], sort_keys=True).replace('"ipv6-icmp"', "58").replace('"icmp"', "1")
            rules.append(f"{made['chain']}: {expr}")
        elif kind == "set":
            unordered.append(
                (kind, made["name"], sorted((_element(item)[0] for item in made.get("elem", ())), key=repr))
            )
        elif kind not in ("metainfo", "table"):
            unordered.append((kind, *(str(made.get(key)) for key in ("name", "type", "hook", "prio", "policy"))))
    return sorted(unordered, key=repr), rules


def _element(item: Any) -> tuple[tuple[str, int, int], str]:
    """Return CIDR ("" for anyone), first and last port or twice the protocol, and comment, however nft lists it."""
    wrapped = item["elem"] if isinstance(item, Mapping) and "elem" in item else {"val": item}
    value = wrapped["val"]
    source, port = value["concat"] if isinstance(value, Mapping) and "concat" in value else ("", value)
    if isinstance(source, Mapping):
        source = "{addr}/{len}".format(**source["prefix"]) if "prefix" in source else str(source)
    elif source:
        source = str(ip_network(source))
    first, last = port.get("range", (0, 65535)) if isinstance(port, Mapping) else (number(port), number(port))
    return (source, first, last), wrapped.get("comment", "")
