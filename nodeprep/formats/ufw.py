"""ufw: application profiles, and the rules that let somebody in to them (ufw(8), "Application integration").

Every range of a profile has its protocol, which ufw asks for. The text is a shell script that may be run again.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from shlex import quote

from nodeprep.formats.sheet import UNKNOWN, Group, Sheet, Written, groups
from nodeprep.model import ICMP_ECHO, IP_PROTOCOLS, Opening

FOLDER = "/etc/ufw/applications.d"
WITHOUT_PORTS = ("esp", "vrrp")
"""The protocols without ports that a rule of ufw may be of."""


def write(sheet: Sheet) -> Written:
    """Return a script for sh(1)."""
    left_out = tuple(dict.fromkeys(_left_out(sheet.openings)))
    lines = ["#!/bin/sh", "# Pods are forwarded: what becomes of them ufw's routed policy says.", "set -eu"]
    all_groups = groups(sheet)
    for role in sheet.roles:
        profiles = [group for group in all_groups if group.role == role and _ported(group)]
        if profiles:
            text = "\n\n".join(_profile(group) for group in profiles)
            lines += ["", f"cat > {FOLDER}/nodeprep-{role} <<'END'", text, "END"]
            lines += [f"ufw app update {group.name}" for group in profiles]
    for group in all_groups:
        lines += ["", *_rules(group)]
    lines += [f"# {each}" for each in left_out]
    return Written("\n".join((*lines, "")), left_out)


def _ported(group: Group) -> list[Opening]:
    return [opening for opening in group.openings if opening.ports]


def _profile(group: Group) -> str:
    ports = "|".join(f"{opening.ports.replace('-', ':')}/{opening.protocol}" for opening in _ported(group))
    return f"[{group.name}]\ntitle={group.role}\ndescription={group.title.replace('%', '%%')}\nports={ports}"


def _rules(group: Group) -> Iterator[str]:
    comment = quote(f"{group.name}: {group.title.partition(': ')[2]}".replace("'", ""))
    if not group.sources:
        yield f"# {UNKNOWN}"
    for source in group.sources or ("any",):
        if _ported(group):
            yield f"ufw allow from {source} to any app {group.name} comment {comment}"
        for opening in group.openings:
            if opening.protocol in WITHOUT_PORTS:
                yield f"ufw allow proto {opening.protocol} from {source} to any comment {comment}"


def _left_out(openings: Iterable[Opening]) -> Iterator[str]:
    for opening in openings:
        if opening.protocol == ICMP_ECHO:
            yield "icmp-echo: ufw answers pings of anyone, by its before.rules"
        elif not opening.ports and opening.protocol not in WITHOUT_PORTS:
            rules = ", ".join(
                f"-A ufw-before-input -s {cidr} -p {IP_PROTOCOLS[opening.protocol]} -j ACCEPT"
                for cidr in opening.sources or ("0.0.0.0/0",)
                if ":" not in cidr
            )
            yield f"{opening.title}: no rule of ufw is of this protocol; write into /etc/ufw/before.rules: {rules}"
