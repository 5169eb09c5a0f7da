"""nftables: openings in a table of our own, `inet nodeprep`, driven through `nft -j` (libnftables-json(5)).

The table is replaced whole in one transaction, which leaves the former one in place when it fails; no other table is
ever written. An accept here does not open what another table drops: `closed_by` names the chains that may.
"""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from signal import SIGSEGV
from typing import Any

from nodeprep.errors import HostError
from nodeprep.host.firewall import sshd
from nodeprep.host.firewall.invocation import run
from nodeprep.host.firewall.ruleset import TABLE, Json, canonical, number, numbers, opened, ruleset
from nodeprep.model import ICMP_ECHO, Opening

_CLEARED: list[Json] = [{"add": {"table": TABLE}}, {"delete": {"table": TABLE}}]
"""Deleting what does not exist fails, so it is added first."""
_SPARED = re.compile(r"(?i)nodeprep |(\S+ )?(kube|cali|cilium|flannel)")
"""Our table, and tables or chains of kube-proxy or a CNI."""


HOOKS = ("prerouting", "input")
"""What comes in passes both."""


@dataclass(frozen=True, slots=True)
class ForeignChain:
    """A base chain of somebody else on the way in that does not end in an accept."""

    title: str
    """As nft(8) is asked for it: table inet filter chain input."""
    reason: str
    """What happens to a packet that none of its rules took: "policy drop", "ends in reject", ..."""
    openings: tuple[Opening, ...]
    """Those that a rule of the chain drops, at least in part, or that none accepts. One that it jumps to still may."""


class Nftables:
    """The backend. `prefix` goes before every program, as ("ip", "netns", "exec", NAME) does."""

    name = "nftables"
    owned = re.compile(r"table inet nodeprep ")

    def __init__(self, prefix: tuple[str, ...] = ()) -> None:
        self._prefix = prefix

    def active(self) -> bool:
        """Say that it can be driven: whatever else there is, the kernel has it."""
        return True

    def apply(self, openings: Iterable[Opening], mode: str, ssh_ports: tuple[int, ...]) -> None:
        """Make our table pass these openings, in place of what it passed before.

        In mode "enforce" nothing else is let in but loopback, answers, ICMP, ICMPv6, DHCP and `ssh_ports` (22 if
        there are none); in mode "open" nothing is closed. Raises HostError with nft's own words, and then has changed
        nothing; ValueError for another mode.
        """
        made = [{"table": TABLE}, *ruleset(tuple(openings), mode, ssh_ports)]
        self._transaction([*_CLEARED, *({"add": each} for each in made)])

    def remove(self) -> None:
        """Take our table away, if it is there, and with it exactly what we opened and closed. Raises HostError."""
        if self._list("table", "inet", "nodeprep") is not None:
            self._transaction(_CLEARED)

    def present(self, openings: Iterable[Opening], mode: str, ssh_ports: tuple[int, ...]) -> bool:
        """Say whether what the kernel holds is what `apply` would load, comments aside. Raises HostError."""
        loaded = self._list("table", "inet", "nodeprep")
        return loaded is not None and canonical(loaded) == canonical(ruleset(tuple(openings), mode, ssh_ports))

    def observe(self) -> tuple[Opening, ...]:
        """Return what our table accepts now, sorted, as the disjoint ranges that it was loaded as. Raises HostError."""
        return opened(self._list("table", "inet", "nodeprep") or [])

    def closed_by(self, openings: Iterable[Opening]) -> tuple[ForeignChain, ...]:
        """Return the chains of others that may close these openings: those of kube-proxy and a CNI never count.

        Rules of iptables-legacy are not seen by nft (see `Iptables.closed_by`). Raises HostError.
        """
        wanted, closing = tuple(openings), []
        for chain in (made["chain"] for made in self._list("chains") or () if "chain" in made):
            family, table, name = chain["family"], chain["table"], chain["name"]
            if (
                chain.get("hook") not in HOOKS
                or family not in ("inet", "ip", "ip6")
                or _SPARED.match(f"{table} {name}")
            ):
                continue
            listed = self._list("chain", family, table, name) or ()
            rules = [made["rule"].get("expr", []) for made in listed if "rule" in made]
            reason = "policy drop" if chain.get("policy") == "drop" else _last_word(rules)
            fates = {opening: _fate(rules, opening) for opening in wanted}
            shut = tuple(opening for opening, fate in fates.items() if fate == "drop" or (reason and not fate))
            if shut:
                closing.append(ForeignChain(f"table {family} {table} chain {name}", reason or "a rule drops it", shut))
        return tuple(closing)

    def remarks(self, _openings: Iterable[Opening], _mode: str) -> tuple[str, ...]:
        """Return what an operator should know besides: nothing."""
        return ()

    def ssh_ports(self) -> tuple[int, ...]:
        """Return the ports that sshd(8) is reached on."""
        return sshd.ports(self._prefix)

    def _list(self, *what: str) -> list[Json] | None:
        """Return what nft lists, or None if that does not exist."""
        done = run(self._prefix, "nft", "-j", "list", *what)
        if done.returncode and done.stderr.startswith("Error: No such file or directory"):
            return None
        return list(json.loads(self._checked(done))["nftables"])

    def _transaction(self, commands: Sequence[Json]) -> None:
        self._checked(run(self._prefix, "nft", "-j", "-f", "-", stdin=json.dumps({"nftables": commands})))

    def _checked(self, done: subprocess.CompletedProcess[str]) -> str:
        if done.returncode == 0:
            return done.stdout
        words = " ".join(done.stderr.split())
        if done.returncode in (-SIGSEGV, 128 + SIGSEGV):
            # So does the nft 1.0.6 of Debian 12 at sets that an nft 1.1 made, as containers bring it.
            words = "it crashed; has a newer nft made a table that this one cannot read? " + words
        raise HostError(f"nft: {words.strip() or f'exit status {done.returncode}'}")


def _last_word(rules: Sequence[Sequence[Json]]) -> str:
    """Return how a chain of policy accept refuses after all: by a last rule that spares nothing. "" if it does not."""
    verdict = {key for statement in (rules[-1] if rules else ()) for key in statement} - {"counter", "log"}
    return f"ends in {verdict.pop()}" if verdict in ({"drop"}, {"reject"}) else ""


def _fate(rules: Sequence[Sequence[Json]], opening: Opening) -> str:
    """Return what the first rule that decides on an opening, or on a part of it, does: "accept", "drop", or ""."""
    for rule in rules:
        if (narrowing := _narrowing(rule, {"accept"})) is not None and _covers(narrowing, opening):
            return "accept"
        if (narrowing := _narrowing(rule, {"drop", "reject"})) and any(
            first <= opening.last_port and opening.first_port <= last for first, last in _ports(narrowing, opening)
        ):
            return "drop"
    return ""


def _narrowing(rule: Sequence[Json], verdicts: set[str]) -> list[Json] | None:
    """Return by what a rule is narrowed, states of new connections apart; None where it does not end so."""
    keys = {key for statement in rule for key in statement}
    if not keys & verdicts or keys - verdicts - {"match", "counter", "log"}:
        return None
    matches = [statement["match"] for statement in rule if "match" in statement]
    new = [match for match in matches if "ct" in match["left"] and match["op"] != "!=" and "new" in str(match["right"])]
    return [match for match in matches if match not in new]


def _covers(narrowing: Sequence[Json], opening: Opening) -> bool:
    """Say whether a rule that is narrowed so is about the whole of an opening, whatever else the packet says."""
    if len(narrowing) != 1:
        return not narrowing
    if opening.ports:
        return any(
            first <= opening.first_port and opening.last_port <= last for first, last in _ports(narrowing, opening)
        )
    left, op, right = (narrowing[0][part] for part in ("left", "op", "right"))
    return op == "==" and _accepts_whole(left, _values(right), opening)


def _ports(narrowing: Sequence[Json], opening: Opening) -> tuple[tuple[int, int], ...]:
    """Return the ranges of ports of an opening's protocol that a rule is about, if it is narrowed by those alone."""
    if len(narrowing) != 1 or narrowing[0]["op"] != "==":
        return ()
    field = narrowing[0]["left"].get("payload", {})
    if field.get("field") != "dport" or field["protocol"] not in (opening.protocol, "th"):
        return ()
    known = (port for port in _values(narrowing[0]["right"]) if not isinstance(port, str))  # named sets change
    ranges = (port.get("range", (1, 0)) if isinstance(port, Mapping) else (port, port) for port in known)
    return tuple((first, last) for first, last in ranges)


def _values(right: Any) -> list[Any]:
    return list(right["set"]) if isinstance(right, Mapping) and "set" in right else [right]


def _accepts_whole(left: Json, values: Sequence[object], opening: Opening) -> bool:
    """Say whether a match is of the protocol of an opening without ports, or of echo requests."""
    field = left.get("payload", {}).get("field", left.get("meta", {}).get("key"))
    if field == "type" and opening.protocol == ICMP_ECHO:
        return "echo-request" in values
    return field in ("l4proto", "protocol", "nexthdr") and any(
        number(each) in numbers(opening.protocol) for each in values
    )
