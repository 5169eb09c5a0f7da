"""nftables: openings in a table of our own, `inet nodeprep`, driven through `nft -j` (libnftables-json(5)).

The table is replaced whole in one transaction, which leaves the former one in place when it fails; no other table is
ever written. An accept here does not open what another table drops: `closed_by` names the chains that may.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, collapse_addresses, ip_network
from itertools import pairwise
from pathlib import Path
from signal import SIGSEGV
from typing import Any, TypeAlias

from nodeprep.errors import HostError
from nodeprep.model import Opening

# The hook goes on after an accept and ends at a drop, so a table that drops belongs behind every one that has
# something to say: behind kube-proxy's rejects of services without endpoints (-110 for nftables, 0 for iptables),
# which a client should get to see, and behind IPVS, which takes the packets of its services out of this hook at 98
# and 99. At 110 what is left is meant for a process of this host, whichever proxy runs. Forwarded pods pass another
# hook, in which there is no chain of ours.
PRIORITY = 110
POLICIES = {"enforce": "drop", "open": "accept"}
SSH_PORT = 22
COMMENT_BYTES = 127  # NFTNL_UDATA_COMMENT_MAXLEN is 128, with the terminator
TIMEOUT_S = 15.0

Json: TypeAlias = dict[str, Any]

_TABLE = {"family": "inet", "name": "nodeprep"}
_CLEARED: list[Json] = [{"add": {"table": _TABLE}}, {"delete": {"table": _TABLE}}]
"""Deleting what does not exist fails, so it is added first."""
_IN_TABLE = {"family": "inet", "table": "nodeprep"}
_SPARED = re.compile(r"(?i)nodeprep |(\S+ )?(kube|cali|cilium|flannel)")
"""Our table, and tables or chains of kube-proxy or a CNI."""
_SSHD_PORT = re.compile(r"(?im)^\s*(?:port[\s=]+|listenaddress[\s=]+(?:\[\S+\]|[^:\s]+):)(\d+)(?!\S)")
_SOCKET_PORT = re.compile(r"(?m)^Listen=\S*:(\d+) \(Stream\)")


@dataclass(frozen=True, slots=True)
class ForeignChain:
    """A base chain of somebody else on the input hook that does not end in an accept."""

    title: str
    """As nft(8) is asked for it: table inet filter chain input."""
    reason: str
    """What happens to a packet that none of its rules took: "policy drop", "ends in reject", ..."""
    openings: tuple[Opening, ...]
    """Those that no rule of the chain accepts by itself. A rule in a chain that it jumps to still may."""


class Nftables:
    """The backend. `prefix` goes before every program, as ("ip", "netns", "exec", NAME) does."""

    def __init__(self, prefix: tuple[str, ...] = ()) -> None:
        self._prefix = prefix

    def apply(self, openings: Iterable[Opening], mode: str, ssh_ports: tuple[int, ...]) -> None:
        """Make our table pass these openings, in place of what it passed before.

        In mode "enforce" nothing else is let in but loopback, answers, ICMP, ICMPv6, DHCP and `ssh_ports` (22 if
        there are none); in mode "open" nothing is closed. Raises HostError with nft's own words, and then has changed
        nothing; ValueError for another mode.
        """
        made = [{"table": _TABLE}, *_ruleset(tuple(openings), mode, ssh_ports)]
        self._transaction([*_CLEARED, *({"add": each} for each in made)])

    def remove(self) -> None:
        """Take our table away, if it is there, and with it exactly what we opened and closed. Raises HostError."""
        self._transaction(_CLEARED)

    def present(self, openings: Iterable[Opening], mode: str, ssh_ports: tuple[int, ...]) -> bool:
        """Say whether what the kernel holds is what `apply` would load, comments aside. Raises HostError."""
        loaded = self._list("table", "inet", "nodeprep")
        return loaded is not None and _canonical(loaded) == _canonical(_ruleset(tuple(openings), mode, ssh_ports))

    def observe(self) -> tuple[Opening, ...]:
        """Return what our table accepts now, sorted, as the disjoint ranges that it was loaded as. Raises HostError."""
        loaded = self._list("table", "inet", "nodeprep") or []
        used = json.dumps([made["rule"] for made in loaded if "rule" in made])
        found: dict[tuple[int, int, str, str], list[str]] = {}
        for made in (made["set"] for made in loaded if "set" in made):
            protocol, _, family = made["name"].partition("_")
            if protocol not in ("tcp", "udp") or f'"@{made["name"]}"' not in used:
                continue
            for item in made.get("elem", ()):
                (cidr, first_port, last_port), comment = _element(item)
                sources = found.setdefault((first_port, last_port, protocol, comment), [])
                sources.extend([cidr] if family != "any" else [])
        return tuple(
            Opening(protocol, first_port, last_port, purpose or role, role if purpose else "", tuple(sources))
            for (first_port, last_port, protocol, comment), sources in sorted(found.items())
            for role, _, purpose in (comment.partition(": "),)
        )

    def closed_by(self, openings: Iterable[Opening]) -> tuple[ForeignChain, ...]:
        """Return the chains of others that may close these openings: those of kube-proxy and a CNI never count.

        Rules of iptables-legacy are not seen by nft. Raises HostError.
        """
        wanted, closing = tuple(openings), []
        for chain in (made["chain"] for made in self._list("chains") or () if "chain" in made):
            family, table, name = chain["family"], chain["table"], chain["name"]
            if chain.get("hook") != "input" or family not in ("inet", "ip", "ip6") or _SPARED.match(f"{table} {name}"):
                continue
            listed = self._list("chain", family, table, name) or ()
            rules = [made["rule"].get("expr", []) for made in listed if "rule" in made]
            reason = "policy drop" if chain.get("policy") == "drop" else _last_word(rules)
            shut = tuple(opening for opening in wanted if not any(_accepts(rule, opening) for rule in rules))
            if reason and shut:
                closing.append(ForeignChain(f"table {family} {table} chain {name}", reason, shut))
        return tuple(closing)

    def ssh_ports(self) -> tuple[int, ...]:
        """Return the ports that sshd(8) is reached on, sorted; 22 where nothing tells.

        The union of what sshd is configured to, what it listens on now, and what ssh.socket listens on for it: they
        differ while a changed configuration waits for a restart, and none of them may lock anyone out.
        """
        configuration = self._ask("sshd", "-T")
        if configuration is None:  # sshd -T wants host keys and /run/sshd, which early in a boot are not there yet
            files = (Path("/etc/ssh/sshd_config"), *Path("/etc/ssh/sshd_config.d").glob("*.conf"))
            configuration = "\n".join(path.read_text(errors="replace") for path in files if os.access(path, os.R_OK))
        ports = set(_SSHD_PORT.findall(configuration))
        for line in (self._ask("ss", "-Hltnp") or "").splitlines():
            address, _, port = line.split()[3].rpartition(":")
            if '"sshd"' in line and not address.startswith(("127.", "[::1]")):  # those are forwardings of a session
                ports.add(port)
        socket = self._ask("systemctl", "show", "--property=ActiveState,Listen", "ssh.socket") or ""
        if "ActiveState=active" in socket:
            ports.update(_SOCKET_PORT.findall(socket))
        return tuple(sorted(int(port) for port in ports)) or (SSH_PORT,)

    def _list(self, *what: str) -> list[Json] | None:
        """Return what nft lists, or None if that does not exist."""
        done = self._run("nft", "-j", "list", *what)
        if done.returncode and done.stderr.startswith("Error: No such file or directory"):
            return None
        return list(json.loads(self._checked(done))["nftables"])

    def _transaction(self, commands: Sequence[Json]) -> None:
        self._checked(self._run("nft", "-j", "-f", "-", stdin=json.dumps({"nftables": commands})))

    def _checked(self, done: subprocess.CompletedProcess[str]) -> str:
        if done.returncode == 0:
            return done.stdout
        words = " ".join(done.stderr.split())
        if done.returncode in (-SIGSEGV, 128 + SIGSEGV):
            # So does the nft 1.0.6 of Debian 12 at sets that an nft 1.1 made, as containers bring it.
            words = "it crashed; has a newer nft made a table that this one cannot read? " + words
        raise HostError(f"nft: {words.strip() or f'exit status {done.returncode}'}")

    def _ask(self, *argv: str) -> str | None:
        """Return what a program says, or None if it is not there or fails."""
        try:
            done = self._run(*argv)
        except HostError:
            return None
        return done.stdout if done.returncode == 0 else None

    def _run(self, *argv: str, stdin: str = "") -> subprocess.CompletedProcess[str]:
        how: Json = {"input": stdin, "capture_output": True, "text": True, "timeout": TIMEOUT_S}
        try:
            return subprocess.run((*self._prefix, *argv), env={**os.environ, "LC_ALL": "C"}, check=False, **how)
        except (OSError, subprocess.TimeoutExpired) as error:
            raise HostError(f"{argv[0]}: {error}") from error


def _ruleset(openings: tuple[Opening, ...], mode: str, ssh_ports: tuple[int, ...]) -> list[Json]:
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
    for protocol, port in (("tcp", tcp_port), ("udp", udp_port)):
        elements = tuple(_elements(openings, protocol))
        sets.append(_set(f"{protocol}_any", "inet_service", [item for family, item in elements if family == "any"]))
        rules.append(_rule("openings", _match(port, f"@{protocol}_any")))
        for family, header in (("ipv4", "ip"), ("ipv6", "ip6")):
            name, items = f"{protocol}_{family}", [item for of, item in elements if of == family]
            sets.append(_set(name, [f"{family}_addr", "inet_service"], items))
            rules.append(_rule("openings", _match({"concat": [_payload(header, "saddr"), port]}, f"@{name}")))
    return [{"chain": {**_IN_TABLE, "name": "input", **hook}}, *sets, *rules]


def _elements(openings: tuple[Opening, ...], protocol: str) -> Iterator[tuple[str, Json]]:
    """Yield "any", "ipv4" or "ipv6" and an element of that set; elements are disjoint, as interval sets demand."""
    wanted = [opening for opening in openings if opening.protocol == protocol]
    edges = sorted({edge for opening in wanted for edge in (opening.first_port, opening.last_port + 1)})
    for first, after in pairwise(edges):
        covering = [opening for opening in wanted if opening.first_port <= first <= opening.last_port]
        comment = "; ".join(dict.fromkeys(f"{opening.role}: {opening.purpose}" for opening in covering))
        comment = comment.replace('"', "'").encode()[:COMMENT_BYTES].decode(errors="ignore")
        port: object = first if first == after - 1 else {"range": [first, after - 1]}
        if any(not opening.sources for opening in covering):
            yield "any", {"elem": {"val": port, "comment": comment}}
            continue
        for network in _networks(cidr for opening in covering for cidr in opening.sources):
            source = {"prefix": {"addr": str(network.network_address), "len": network.prefixlen}}
            yield f"ipv{network.version}", {"elem": {"val": {"concat": [source, port]}, "comment": comment}}


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


def _canonical(objects: Iterable[Json]) -> tuple[list[object], list[str]]:
    """Return what of a table decides about packets, alike for what is sent and for any version's listing of it."""
    unordered: list[object] = []
    rules: list[str] = []
    for kind, made in (pair for wrapped in objects for pair in wrapped.items()):
        if kind == "rule":
            # nft lists names of protocols where /etc/protocols is installed, and numbers where it is not.
            expr = json.dumps(made["expr"], sort_keys=True).replace('"ipv6-icmp"', "58").replace('"icmp"', "1")
            rules.append(f"{made['chain']}: {expr}")
        elif kind == "set":
            unordered.append((kind, made["name"], sorted(_element(item)[0] for item in made.get("elem", ()))))
        elif kind not in ("metainfo", "table"):
            unordered.append((kind, *(str(made.get(key)) for key in ("name", "type", "hook", "prio", "policy"))))
    return sorted(unordered, key=repr), rules


def _element(item: Any) -> tuple[tuple[str, int, int], str]:
    """Return CIDR ("" for anyone), first and last port, and the comment, from any of the forms that nft lists."""
    wrapped = item["elem"] if isinstance(item, Mapping) and "elem" in item else {"val": item}
    value = wrapped["val"]
    source, port = value["concat"] if isinstance(value, Mapping) and "concat" in value else ("", value)
    if isinstance(source, Mapping):
        source = "{addr}/{len}".format(**source["prefix"]) if "prefix" in source else str(source)
    elif source:
        source = str(ip_network(source))
    first, last = port.get("range", (0, 65535)) if isinstance(port, Mapping) else (port, port)
    return (source, first, last), wrapped.get("comment", "")


def _last_word(rules: Sequence[Sequence[Json]]) -> str:
    """Return how a chain of policy accept refuses after all: by a last rule that spares nothing. "" if it does not."""
    verdict = {key for statement in (rules[-1] if rules else ()) for key in statement} - {"counter", "log"}
    return f"ends in {verdict.pop()}" if verdict in ({"drop"}, {"reject"}) else ""


def _accepts(rule: Sequence[Json], opening: Opening) -> bool:
    """Say whether a rule accepts an opening whatever else the packet says."""
    keys = {key for statement in rule for key in statement}
    if "accept" not in keys or keys - {"accept", "match", "counter", "log"}:
        return False
    matches = [statement["match"] for statement in rule if "match" in statement]
    new = [match for match in matches if "ct" in match["left"] and match["op"] != "!=" and "new" in str(match["right"])]
    narrowing = [match for match in matches if match not in new]
    if len(narrowing) != 1:
        return not narrowing
    left, op, right = (narrowing[0][part] for part in ("left", "op", "right"))
    field = left.get("payload", {})
    if op != "==" or field.get("field") != "dport" or field["protocol"] not in (opening.protocol, "th"):
        return False
    ports = right["set"] if isinstance(right, Mapping) and "set" in right else [right]
    known = (port for port in ports if not isinstance(port, str))  # the rest are named sets, which change
    ranges = (port.get("range", (1, 0)) if isinstance(port, Mapping) else (port, port) for port in known)
    return any(first <= opening.first_port and opening.last_port <= last for first, last in ranges)
