"""The filter table as iptables-save(8) lists it: what an INPUT chain does with packets, and our own chain for it. Pure.

Words stand for a rule, as in ("-p", "tcp", "-m", "tcp", "--dport", "6443", "-j", "ACCEPT"): what is behind -A CHAIN.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from ipaddress import ip_network
from typing import TypeAlias

from nodeprep.errors import HostError
from nodeprep.host.firewall.ruleset import POLICIES, number, numbers
from nodeprep.host.firewall.sshd import SSH_PORT
from nodeprep.model import ICMP_ECHO, Opening

CHAIN = "NODEPREP-INPUT"
JUMP = ("-j", CHAIN)
COMMENT_CHARACTERS = 200  # XT_MAX_COMMENT_LEN is 256 bytes

Rule: TypeAlias = tuple[str, ...]

SPARED = re.compile(r"(?i)(kube|cali|cilium|flannel|weave)")
REFUSALS = ("DROP", "REJECT")
_COMMENT = re.compile(r"[^ -~]|[\"'\\`]")


@dataclass(frozen=True, slots=True)
class Filter:
    """The filter table of one family in one world."""

    policy: str = "ACCEPT"
    """What becomes of a packet that no rule of INPUT took."""
    chains: Mapping[str, tuple[Rule, ...]] | None = None

    @property
    def input(self) -> tuple[Rule, ...]:
        """The rules of INPUT, but for the jump to our chain."""
        return tuple(rule for rule in (self.chains or {}).get("INPUT", ()) if rule != JUMP)

    @property
    def jumps(self) -> tuple[int, ...]:
        """Where INPUT jumps to our chain, counted from 0."""
        return tuple(at for at, rule in enumerate((self.chains or {}).get("INPUT", ())) if rule == JUMP)

    @property
    def ours(self) -> tuple[Rule, ...] | None:
        """The rules of our chain, None where there is none."""
        return (self.chains or {}).get(CHAIN)

    @property
    def place(self) -> int:
        """Where our jump belongs: before the first rule that refuses whatever is left, else at the end.

        An accept there opens what the operator closes to everybody, and none of what he closes to somebody.
        """
        return next((at for at, rule in enumerate(self.input) if self.refusal(rule)), len(self.input))

    @property
    def theirs(self) -> tuple[Rule, ...]:
        """The rules of INPUT that are an operator's: neither ours nor kube-proxy's or a CNI's."""
        return tuple(rule for rule in self.input if not SPARED.match(target_of(rule)))

    @property
    def reason(self) -> str:
        """How INPUT refuses what no rule took: "policy drop", "ends in reject"; "" if it does not."""
        refusals = [refusal for rule in self.input if (refusal := self.refusal(rule))]
        return f"ends in {refusals[0]}" if refusals else "policy drop" if self.policy == "DROP" else ""

    def refusal(self, rule: Rule) -> str:
        """Return "drop" or "reject" if a rule does that, by itself or in a chain it jumps to, to all that is left."""
        target = target_of(rule)
        if _narrowing(rule) or SPARED.match(target):
            return ""
        last = ((self.chains or {}).get(target) or ((),))[-1]
        refused = target if target in REFUSALS else target_of(last) if not _narrowing(last) else ""
        return refused.lower() if refused in REFUSALS else ""


def parse(saved: str) -> Filter | None:
    """Return what iptables-save said of the filter table; None where it is not iptables' own, or not there."""
    if "incompatible" in saved:
        return None  # a table that nft(8) made under that name, and shows
    policy, chains = "ACCEPT", dict[str, list[Rule]]()
    for line in saved.splitlines():
        if line.startswith(":"):
            name, said, *_ = line[1:].split()
            chains.setdefault(name, [])
            policy = said if name == "INPUT" else policy
        elif line.startswith("-A "):
            _, name, *rule = shlex.split(line)
            chains.setdefault(name, []).append(tuple(rule))
    return Filter(policy, {name: tuple(rules) for name, rules in chains.items()}) if chains else None


def rules(openings: Sequence[Opening], mode: str, ssh_ports: Sequence[int], version: int) -> tuple[Rule, ...]:
    """Return the rules of our chain for IPv4 or IPv6, in the words in which iptables-save lists them.

    Raises ValueError for another mode, HostError for a source that is no CIDR.
    """
    if mode not in POLICIES:
        raise ValueError(f"firewall mode {mode!r} is none of {', '.join(POLICIES)}")
    made = [rule for opening in openings for rule in _opening(opening, version)]
    if mode == "open":
        return tuple(made)
    dhcp = ("--sport", "67", "--dport", "68") if version == 4 else ("--dport", "546")
    spared = (
        (("-i", "lo"), "loopback"),
        (("-m", "conntrack", "--ctstate", "RELATED,ESTABLISHED"), "answers"),
        (("-p", "icmp" if version == 4 else "ipv6-icmp"), "ICMP and neighbour discovery"),
        ((*(() if version == 4 else ("-d", "fe80::/10")), "-p", "udp", "-m", "udp", *dhcp), "DHCP replies"),
        *((("-p", "tcp", "-m", "tcp", "--dport", str(port)), "SSH") for port in sorted({*ssh_ports} or {SSH_PORT})),
    )
    return (*(_rule(match, told, "ACCEPT") for match, told in spared), *made, _rule((), "nothing else", "DROP"))


def _opening(opening: Opening, version: int) -> Iterator[Rule]:
    try:
        networks = [ip_network(cidr) for cidr in opening.sources]
    except ValueError as error:
        raise HostError(f"source of an opening: {error}") from error
    sources = [(("-s", str(each)) if each.prefixlen else ()) for each in networks if each.version == version]
    told = f"{opening.role}: {opening.purpose}"
    for source in sources if networks else ((),):
        if opening.ports:
            match: Rule = ("-p", opening.protocol, "-m", opening.protocol, "--dport", opening.ports.replace("-", ":"))
        elif opening.protocol == ICMP_ECHO:
            kind = ("-m", "icmp", "--icmp-type", "8") if version == 4 else ("-m", "icmp6", "--icmpv6-type", "128")
            match = ("-p", "icmp" if version == 4 else "ipv6-icmp", *kind)
        else:
            match = ("-p", str(numbers(opening.protocol)[0]))
        yield _rule((*source, *match), told, "ACCEPT")


def _rule(match: Rule, told: str, target: str) -> Rule:
    comment = _COMMENT.sub("", f"nodeprep {told}")[:COMMENT_CHARACTERS].strip()
    return (*match, "-m", "comment", "--comment", comment, "-j", target)


def alike(one: Sequence[Rule] | None, other: Sequence[Rule]) -> bool:
    """Whether two chains do the same: protocols are listed by name or by number."""
    return one is not None and [_numbered(rule) for rule in one] == [_numbered(rule) for rule in other]


def _numbered(rule: Rule) -> list[str]:
    before = ("", *rule)
    return [str(number(word)) if before[at] == "-p" else word for at, word in enumerate(rule)]


def quoted(rule: Rule) -> str:
    """Return a rule as iptables-restore reads it."""
    return " ".join(word if re.fullmatch(r"[\w!:/.,+-]+", word) else f'"{word}"' for word in rule)


def _protocol(rule: Rule) -> str:
    return next((rule[at + 1] for at, word in enumerate(rule) if word == "-p"), "all")


def target_of(rule: Rule) -> str:
    """Return where a rule leads: ACCEPT, DROP, the name of a chain; "" where it only counts."""
    return next((rule[at + 1] for at, word in enumerate(rule[:-1]) if word in ("-j", "-g")), "")


def _narrowing(rule: Rule) -> bool:
    return bool(_stripped(rule)) or _protocol(rule) not in ("all", "tcp", "udp")


def _stripped(rule: Rule) -> Rule:
    """Return what of a rule narrows it to some new packets of a protocol: "" of whom, of which port, how often."""
    left, at = list[str](), 0
    while at < len(rule):
        word, value = rule[at], rule[at + 1] if at + 1 < len(rule) else ""
        if word in ("-j", "-g"):
            break
        if word == "!" and value == "-i":
            at += 3
        elif word in ("-i", "-p", "-m", "--comment") or (word in ("--ctstate", "--state") and "NEW" in value):
            at += 2
        elif word == "--tcp-flags" and rule[at + 1 : at + 3] == ("FIN,SYN,RST,ACK", "SYN"):
            at += 3
        else:
            left.append(word)
            at += 1
    return tuple(left)
