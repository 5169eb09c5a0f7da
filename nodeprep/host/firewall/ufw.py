"""ufw: openings as application profiles of our own and rules that name them (ufw(8), "Application integration").

Profiles and rules are made by ufw itself; what it has is read from its files. Its policies, and rules that name no
profile of ours, are never touched. A protocol without ports, which no profile can hold, is opened by a chain of ours
(`iptables.py`), which ufw leaves alone.
"""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterable, Iterator, Sequence

from nodeprep.errors import HostError
from nodeprep.host import programs
from nodeprep.host.files import Files
from nodeprep.host.firewall.invocation import run
from nodeprep.host.firewall.iptables import PROGRAMS, Iptables
from nodeprep.host.firewall.passage import Network
from nodeprep.host.firewall.services import PREFIX, Service, services
from nodeprep.host.firewall.tuples import ANY, covers, listed, spoken
from nodeprep.model import ICMP_ECHO, Opening

CONFIGURATION = "/etc/ufw/ufw.conf"
DEFAULTS = "/etc/default/ufw"
PROFILES = f"/etc/ufw/applications.d/{PREFIX}"
RULES = ("/etc/ufw/user.rules", "/etc/ufw/user6.rules")
FORWARDING = "/proc/sys/net/ipv4/ip_forward"
TIMEOUT_S = 30.0
HOOKS = ("INPUT", "FORWARD", "OUTPUT")
KINDS = ("before-logging", "before", "after", "after-logging", "reject", "track")
"""The chains that ufw leads each hook to, in this order."""

Tuple = tuple[str, str, str, str]
"""Protocol, ports, source and profile of a rule that allows it."""

_OF_A_CNI = re.compile(r"-j (cali|cilium|flannel|weave|kube-router)", re.IGNORECASE)


class Ufw:
    """The backend."""

    name = "ufw"

    def __init__(self, files: Files, iptables: Iptables) -> None:
        self._files = files
        self._iptables = iptables

    @property
    def owned(self) -> re.Pattern[str]:
        """Its own chains, and where it is told to leave IPv6, which it then closes, the way in of that."""
        sixth = "" if self._setting(DEFAULTS, "IPV6") == "yes" else r"|ip6tables-\w+ chain INPUT \(policy"
        return re.compile(f"chain ufw6?-{sixth}")

    def active(self) -> bool:
        """Say whether ufw is enabled and its rules are in force. Raises HostError."""
        return self._setting(CONFIGURATION, "ENABLED") == "yes" and self._live(4) is not None

    def present(self, openings: Iterable[Opening], _mode: str, ssh_ports: tuple[int, ...]) -> bool:
        """Say whether ufw has what `apply` would make, in its files and in the kernel. Raises HostError."""
        wanted, portless = _parted(openings)
        return (
            self._profiles() == _profiles(services(wanted))
            and self._tuples() == self._wanted(services(wanted))
            and self._in_force()
            and (self._iptables.present(portless, "open", ssh_ports) if portless else not self._iptables.held())
        )

    def apply(self, openings: Iterable[Opening], _mode: str, ssh_ports: tuple[int, ...]) -> None:
        """Make rules of ours that allow these openings, in place of those that there were.

        In mode "enforce" too nothing is denied but what ufw denies. Raises HostError with ufw's own words, and then has
        put back what was there.
        """
        wanted, portless = _parted(openings)
        profiles, rules = self._profiles(), self._tuples()
        try:
            self._make(services(wanted))
            if portless:
                self._iptables.apply(portless, "open", ssh_ports)
            else:
                self._iptables.remove()
        except HostError:
            with contextlib.suppress(HostError):
                self._put_back(profiles, rules)
            raise

    def remove(self) -> None:
        """Take away our rules and profiles, if there are any. Raises HostError."""
        if self._profiles() or self._tuples():
            self._make(())

    def remarks(self, openings: Iterable[Opening], mode: str) -> tuple[str, ...]:
        """Return what an operator should know of ufw beside these openings. Raises HostError."""
        told = []
        if mode == "enforce" and self._setting(DEFAULTS, "DEFAULT_INPUT_POLICY") == "ACCEPT":
            told.append("mode enforce closes nothing: ufw allows incoming traffic by default (`ufw default deny`)")
        shut: dict[str, list[str]] = {}
        for opening in openings:
            if words := self.refusing(opening):
                shut.setdefault(spoken(words), []).append(opening.title)
        told += [f"ufw's rule `{rule}` comes before {', '.join(titles)}" for rule, titles in shut.items()]
        if self._drops_pods():
            policy = "DEFAULT_FORWARD_POLICY in /etc/default/ufw"
            told.append(f"ufw forwards nothing for pods: set {policy} to ACCEPT, or `ufw route allow` their networks")
        return tuple(told)

    def refusing(self, opening: Opening, source: Network | None = None) -> list[str]:
        """Return the words of the first of its rules about some of an opening if it refuses, else nothing.

        source: whom it is to let in; else whom the opening is for.
        """
        for path in RULES:
            rules = listed(self._files.read_text(path) or "")
            first = next((words for words in rules if covers(words, opening, source)), [])
            if first and first[0].partition("_")[0] in ("deny", "reject"):
                return first
        return []

    def _drops_pods(self) -> bool:
        """Say whether this node forwards and ufw refuses what it forwards, with no word for it of anybody's."""
        if self._setting(DEFAULTS, "DEFAULT_FORWARD_POLICY") == "ACCEPT":
            return False
        if (self._files.read_text(FORWARDING) or "").strip() != "1":
            return False
        if any(words[0].startswith("route:allow") for words in self._listed()):
            return False
        return not _OF_A_CNI.search(programs.run(("iptables", "-S", "FORWARD"), TIMEOUT_S))

    # What there is

    def _setting(self, path: str, key: str) -> str:
        found = re.findall(rf'(?m)^\s*{key}\s*=\s*"?(\w+)', self._files.read_text(path) or "")
        return found[-1] if found else ""

    def _profiles(self) -> dict[str, str]:
        """Return the files of our profiles by their paths."""
        return {path: self._files.read_text(path) or "" for path in self._files.glob(f"{PROFILES}*")}

    def _listed(self) -> Iterator[list[str]]:
        for path in RULES:
            yield from listed(self._files.read_text(path) or "")

    def _tuples(self) -> frozenset[Tuple]:
        """Return the rules that name a profile of ours."""
        return frozenset(
            (words[1], words[2], words[5], words[6])
            for words in self._listed()
            if len(words) > 8 and words[6].startswith(PREFIX)
        )

    def _wanted(self, wanted: Sequence[Service]) -> frozenset[Tuple]:
        return frozenset(
            (opening.protocol, opening.ports.replace("-", ":"), source, service.name)
            for service in wanted
            for source in self._sources(service)
            for opening in service.openings
        )

    def _sources(self, service: Service) -> tuple[str, ...]:
        """Return the networks of a service as ufw writes them down; of IPv6 none where ufw is told to leave it."""
        versions = (4, 6) if self._setting(DEFAULTS, "IPV6") == "yes" else (4,)
        if not service.sources:
            return tuple(ANY[version] for version in versions)
        lone = {32: 4, 128: 6}
        return tuple(
            str(each.network_address) if lone.get(each.prefixlen) == each.version else str(each)
            for each in service.sources
            if each.version in versions
        )

    def _live(self, version: int) -> str | None:
        """Return the rules of ufw's own in the kernel, None where there are none."""
        chain = "ufw-user-input" if version == 4 else "ufw6-user-input"
        try:
            return programs.run((PROGRAMS[version], "-S", chain), TIMEOUT_S)
        except HostError:
            return None

    def _in_force(self) -> bool:
        """Say whether the kernel holds the rules of ours that ufw has, and that the ways to them are there."""
        rules = self._tuples()
        for version in (4, 6):
            ours = [one for one in rules if (":" in one[2]) == (version == 6)]
            if (self._live(version) or "").count(f"dapp_{PREFIX}") != len(ours):
                return False
        return not self._lost_jumps(4) and not self._lost_jumps(6)

    # What is made

    def _make(self, wanted: Sequence[Service]) -> None:
        """Have ufw allow these services, then no other ones of ours; nothing is closed in between that stays open."""
        files, tuples = _profiles(wanted), self._wanted(wanted)
        had, rules = self._profiles(), self._tuples()
        stale = {path: text for path, text in had.items() if path not in files}
        for path, text in files.items():
            # A section that goes is still named by a rule, which cannot be deleted without it.
            gone = [section for section in _sections(had.get(path, "")) if section not in _sections(text)]
            kept = "".join(f"\n{_sections(had[path])[each]}" for each in gone)
            self._files.write_own(path, (text + kept).encode(), 0o644)
        named = {rule[3] for rule in rules}
        for service in wanted:
            if service.name in named and _of(rules, service.name) != _of(tuples, service.name):
                self._ufw("app", "update", service.name)
        rules = self._tuples()
        for source, name in sorted(_pairs(tuples) - _pairs(rules)):
            self._ufw("allow", "from", source, "to", "any", "app", name)
        for source, name in sorted(_pairs(rules) - _pairs(tuples)):
            self._ufw("delete", "allow", "from", source, "to", "any", "app", name)
        if self._tuples() != tuples:
            raise HostError("ufw: it did not make the rules that it was asked for")
        for path, text in files.items():
            if self._files.read_text(path) != text:
                self._files.write_own(path, text.encode(), 0o644)
        for path in stale:
            self._files.remove_own(path)
        if self.active() and not self._in_force():
            self._load_again()

    def _put_back(self, profiles: dict[str, str], rules: frozenset[Tuple]) -> None:
        for source, name in sorted(_pairs(self._tuples()) - _pairs(rules)):
            self._ufw("delete", "allow", "from", source, "to", "any", "app", name)
        for path in self._profiles():
            if path not in profiles:
                self._files.remove_own(path)
        for path, text in profiles.items():
            self._files.write_own(path, text.encode(), 0o644)
        for name in sorted({rule[3] for rule in rules if _of(rules, rule[3]) != _of(self._tuples(), rule[3])}):
            self._ufw("app", "update", name)
        for source, name in sorted(_pairs(rules) - _pairs(self._tuples())):
            self._ufw("allow", "from", source, "to", "any", "app", name)

    def _load_again(self) -> None:
        """Have ufw load what somebody flushed. Raises HostError where that does not help."""
        for version, program in PROGRAMS.items():
            if lost := self._lost_jumps(version):
                # ufw adds its jumps only together with its chains; without them its policy shuts everybody out.
                said = "\n".join(("*filter", *lost, "COMMIT", ""))
                done = run((), f"{program}-restore", "--noflush", stdin=said)
                if done.returncode:
                    raise HostError(f"{program}-restore: {' '.join(done.stderr.split())}")
        self._ufw("reload")
        if not self._in_force():
            raise HostError("ufw: its rules are not in force, and a reload did not help")

    def _lost_jumps(self, version: int) -> list[str]:
        """Return the jumps to ufw's chains that are missing, in ufw's own order (ufw-init-functions)."""
        if self._live(version) is None:
            return []
        there = programs.run((PROGRAMS[version], "-S"), TIMEOUT_S).splitlines()
        chains = ((hook, f"ufw{'' if version == 4 else '6'}-{kind}-{hook.lower()}") for hook in HOOKS for kind in KINDS)
        jumps = [f"-A {hook} -j {chain}" for hook, chain in chains if f"-N {chain}" in there]
        return [jump for jump in jumps if jump not in there]

    def _ufw(self, *words: str) -> None:
        programs.run(("ufw", *words), TIMEOUT_S)


def _parted(openings: Iterable[Opening]) -> tuple[tuple[Opening, ...], tuple[Opening, ...]]:
    """Return the openings of ports, and those without; echo requests ufw answers by itself (before.rules)."""
    wanted = tuple(openings)
    portless = tuple(each for each in wanted if not each.ports and each.protocol != ICMP_ECHO)
    return tuple(each for each in wanted if each.ports), portless


def _profiles(wanted: Iterable[Service]) -> dict[str, str]:
    """Return the files of these services, one for each role, by their paths; ufw wants a protocol on every range."""
    files: dict[str, str] = {}
    for service in wanted:
        path = f"{PROFILES}{service.role}"
        ports = "|".join(f"{each.ports.replace('-', ':')}/{each.protocol}" for each in service.openings)
        purpose = re.sub(r"[^ -~]|%", "", service.purpose)
        section = f"[{service.name}]\ntitle=nodeprep: {service.role}\ndescription={purpose}\nports={ports}\n"
        files[path] = f"{files[path]}\n{section}" if path in files else section
    return files


def _sections(text: str) -> dict[str, str]:
    """Return the sections of a file of profiles by their names."""
    return {found[1]: found[0] for found in re.finditer(r"(?m)^\[([^]\n]+)\]\n(?:(?!\[|\n).*\n?)*", text)}


def _of(rules: Iterable[Tuple], name: str) -> frozenset[tuple[str, str]]:
    """Return protocols and ports that the rules of a profile allow."""
    return frozenset((protocol, ports) for protocol, ports, _, profile in rules if profile == name)


def _pairs(rules: Iterable[Tuple]) -> frozenset[tuple[str, str]]:
    """Return source and profile of each rule, as it was asked for."""
    return frozenset((source, name) for _, _, source, name in rules)
