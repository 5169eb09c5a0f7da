"""iptables: openings in a chain of our own, NODEPREP-INPUT, that INPUT jumps to once (iptables-restore(8)).

There are two worlds, legacy and nft, each with IPv4 and IPv6: what one accepts the other may drop. Each that an
operator uses is driven, in one transaction a family; nothing but our chain and the jump to it is ever written.
"""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable, Mapping

from nodeprep.errors import HostError
from nodeprep.host.firewall.invocation import run
from nodeprep.host.firewall.nftables import ForeignChain
from nodeprep.host.firewall.passage import Packet, Stop, packets, stop_of
from nodeprep.host.firewall.xtables import CHAIN, Filter, alike, parse, quoted, rules
from nodeprep.model import Opening

WORLDS = ("legacy", "nft")
PROGRAMS = {4: "iptables", 6: "ip6tables"}
FAMILIES = {4: "ip", 6: "ip6"}
TABLES = {4: "/proc/net/ip_tables_names", 6: "/proc/net/ip6_tables_names"}
"""The tables of the legacy world; to list one that is not there would make it."""

Seen = Mapping[tuple[str, int], Filter]


class Iptables:
    """The backend. `prefix` goes before every program, as ("ip", "netns", "exec", NAME) does."""

    name = "iptables"
    owned = re.compile(r"(?!)")
    """What closes in spite of our chain stands before it, and is an operator's."""

    def __init__(self, prefix: tuple[str, ...] = ()) -> None:
        self._prefix = prefix

    def active(self) -> bool:
        """Say whether an operator's rules are in force that our own table of nftables would not open. Raises HostError.

        In the legacy world that is any rule, because nft(8) does not show them; in the other it is what refuses.
        """
        return bool(_used(self._seen()))

    def held(self) -> bool:
        """Say whether anything of ours is there. Raises HostError."""
        return any(there.ours is not None or there.jumps for there in self._seen().values())

    def apply(self, openings: Iterable[Opening], mode: str, ssh_ports: tuple[int, ...]) -> None:
        """Make our chain pass these openings, in place of what it passed before.

        In mode "enforce" our chain ends in a drop and spares what nftables' spares; what an operator's own rules accept
        stays accepted. Raises HostError with the program's own words, and then has changed nothing; ValueError for
        another mode.
        """
        seen, wanted = self._seen(), tuple(openings)
        driven = self._driven(seen)
        made = {version: rules(wanted, mode, ssh_ports, version) for version in PROGRAMS}
        changes = {}
        for world in WORLDS:
            for version in PROGRAMS:
                there = seen.get((world, version), Filter())
                if world in driven:
                    changes[world, version] = _transaction(there, Filter(chains={CHAIN: made[version]}), there.place)
                elif there.ours is not None or there.jumps:
                    changes[world, version] = _transaction(there, Filter(), 0)
        self._carry_out(changes, seen)

    def remove(self) -> None:
        """Take our chain away, if it is there, and the jump to it. Raises HostError."""
        seen = self._seen()
        held = {key: there for key, there in seen.items() if there.ours is not None or there.jumps}
        self._carry_out({key: _transaction(there, Filter(), 0) for key, there in held.items()}, seen)

    def present(self, openings: Iterable[Opening], mode: str, ssh_ports: tuple[int, ...]) -> bool:
        """Say whether the kernel holds what `apply` would load, where it would, and nowhere else. Raises HostError."""
        seen, wanted = self._seen(), tuple(openings)
        driven = self._driven(seen)
        for version in PROGRAMS:
            made = rules(wanted, mode, ssh_ports, version)
            for world in WORLDS:
                there = seen.get((world, version), Filter())
                if world not in driven and (there.ours is not None or there.jumps):
                    return False
                if world in driven and not (alike(there.ours, made) and there.jumps == (there.place,)):
                    return False
        return True

    def closed_by(self, openings: Iterable[Opening], shown: Iterable[ForeignChain] = ()) -> tuple[ForeignChain, ...]:
        """Return the chains that close these openings to those whom they are for, kube-proxy's and a CNI's apart.

        shown: what nft(8) shows, of which those are left out that are read here. Raises HostError.
        """
        wanted, seen, found = tuple(openings), self._seen(), dict[tuple[str, str], list[Opening]]()
        for (world, version), there in seen.items():
            for opening in wanted:
                stops = (stop_of(there, packet) for packet in packets(opening, version))
                if stop := next((each for each in stops if each), None):
                    title = f"{PROGRAMS[version]}-{world} chain {stop.chain}"
                    found.setdefault((title, stop.reason), []).append(opening)
        closing = (ForeignChain(title, reason, tuple(shut)) for (title, reason), shut in found.items())
        return (*_beside(shown, seen), *closing)

    def beside(self, shown: Iterable[ForeignChain]) -> tuple[ForeignChain, ...]:
        """Return the chains that nft(8) shows, without those that are read here. Raises HostError."""
        return _beside(shown, self._seen())

    def own(self, version: int) -> str:
        """Return the program that `iptables` is on this machine, for IPv4 or IPv6. Raises HostError."""
        return f"{PROGRAMS[version]}-{'nft' if 'nf_tables' in self._checked('iptables', '--version') else 'legacy'}"

    def stops(self, packet: Packet) -> tuple[tuple[str, Stop], ...]:
        """Return where a packet is refused, whoever's the chain is, and of which program. Raises HostError."""
        found = (
            (f"{PROGRAMS[version]}-{world}", stop_of(there, packet, spares=False))
            for (world, version), there in self._seen().items()
            if version == packet.version
        )
        return tuple((program, stop) for program, stop in found if stop)

    def remarks(self, _openings: Iterable[Opening], _mode: str) -> tuple[str, ...]:
        """Return what an operator should know besides: nothing."""
        return ()

    def _driven(self, seen: Seen) -> tuple[str, ...]:
        """Return the worlds that openings are made in: those in use, else the one that `iptables` is here."""
        if used := _used(seen):
            return used
        return (self.own(4).rpartition("-")[2],)

    def _seen(self) -> Seen:
        """Return the filter tables that are there, of the worlds whose programs are installed. Raises HostError."""
        found = {}
        for world in WORLDS:
            for version, program in PROGRAMS.items():
                listing = f"{program}-{world}-save"
                if not shutil.which(listing) or (world == "legacy" and not self._has_legacy(version)):
                    continue
                if there := parse(self._checked(listing, "-t", "filter")):
                    found[world, version] = there
        return found

    def _has_legacy(self, version: int) -> bool:
        done = run(self._prefix, "cat", TABLES[version])
        return done.returncode == 0 and "filter" in done.stdout.split()

    def _carry_out(self, changes: Mapping[tuple[str, int], str], seen: Seen) -> None:
        """Load one transaction after the other; where one fails those before it are undone."""
        done: list[tuple[str, int]] = []
        try:
            for key, change in changes.items():
                self._load(key, change)
                done.append(key)
        except HostError:
            for key in reversed(done):
                former, now = seen.get(key, Filter()), self._seen().get(key, Filter())
                self._load(key, _transaction(now, former, former.jumps[0] if former.jumps else 0))
            raise

    def _load(self, key: tuple[str, int], change: str) -> None:
        world, version = key
        self._checked(f"{PROGRAMS[version]}-{world}-restore", "--noflush", "--wait", "5", stdin=change)

    def _checked(self, *argv: str, stdin: str = "") -> str:
        done = run(self._prefix, *argv, stdin=stdin)
        if done.returncode:
            words = " ".join(done.stderr.split()) or f"exit status {done.returncode}"
            raise HostError(f"{argv[0]}: {words}")
        return done.stdout


def _beside(shown: Iterable[ForeignChain], seen: Seen) -> tuple[ForeignChain, ...]:
    read = {f"table {FAMILIES[version]} filter chain INPUT" for world, version in seen if world == "nft"}
    return tuple(chain for chain in shown if chain.title not in read)


def _used(seen: Seen) -> tuple[str, ...]:
    """Return the worlds in which an operator's rules ask for ours beside them."""
    used = []
    for world in WORLDS:
        tables = [there for (where, _), there in seen.items() if where == world]
        if any(there.reason or (there.theirs and world == "legacy") for there in tables):
            used.append(world)
    return tuple(used)


def _transaction(there: Filter, wanted: Filter, place: int) -> str:
    """Return what iptables-restore makes our chain and the jump with, from what is there."""
    lines = ["*filter"]
    if wanted.ours is None:
        lines += [f"-D INPUT -j {CHAIN}"] * len(there.jumps)
        lines += [f"-F {CHAIN}", f"-X {CHAIN}"] if there.ours is not None else []
    else:
        lines += [f":{CHAIN} - [0:0]"]  # with --noflush a chain that is declared is emptied, and only that one
        lines += [f"-A {CHAIN} {quoted(rule)}" for rule in wanted.ours]
        if there.jumps != (place,):
            lines += [f"-D INPUT -j {CHAIN}"] * len(there.jumps)
            at_end = place >= len(there.input)
            lines += [f"-A INPUT -j {CHAIN}" if at_end else f"-I INPUT {place + 1} -j {CHAIN}"]
    return "\n".join((*lines, "COMMIT", ""))
