"""firewalld: services, and rich rules that let somebody in (firewalld.service(5), firewalld.richlanguage(5)).

A service says nothing of sources, so what has any is let in by rich rules, in the default zone. The text is a shell
script that may be run again.
"""

from __future__ import annotations

from collections.abc import Iterator
from xml.sax.saxutils import escape, quoteattr

from nodeprep.formats.sheet import UNKNOWN, Group, Sheet, Written, by_family, groups
from nodeprep.model import ICMP_ECHO, IP_PROTOCOLS, Opening

FOLDER = "/etc/firewalld/services"


def write(sheet: Sheet) -> Written:
    """Return a script for sh(1)."""
    lines = ["#!/bin/sh", "set -eu"]
    all_groups = groups(sheet)
    for group in all_groups:
        if _listed(group):
            lines += ["", f"cat > {FOLDER}/{group.name}.xml <<'END'", service(group), "END"]
    lines += ["", "firewall-cmd --reload"]
    for group in all_groups:
        lines += ["", *_commands(group)]
    return Written("\n".join((*lines, "", "firewall-cmd --reload", "")))


def service(group: Group) -> str:
    """Return the service of a group as XML."""
    parts = [
        f"  <port protocol={quoteattr(opening.protocol)} port={quoteattr(opening.ports)}/>"
        if opening.ports
        else f'  <protocol value="{IP_PROTOCOLS[opening.protocol]}"/>'
        for opening in _listed(group)
    ]
    return "\n".join(
        (
            '<?xml version="1.0" encoding="utf-8"?>',
            "<service>",
            f"  <short>{escape(group.name)}</short>",
            f"  <description>{escape(group.title)}</description>",
            *parts,
            "</service>",
        )
    )


def _listed(group: Group) -> list[Opening]:
    """Return what a service can name: of ICMP it could only name all."""
    return [opening for opening in group.openings if opening.protocol != ICMP_ECHO]


def _commands(group: Group) -> Iterator[str]:
    if not group.sources:
        yield f"# {UNKNOWN}; a zone lets ICMP in unless it blocks it"
        if _listed(group):
            yield f"firewall-cmd --permanent --add-service={group.name}"
        return
    for family, cidrs in by_family(group.sources):
        for cidr in cidrs:
            source = f'rule family="{family}" source address="{cidr}"'
            if _listed(group):
                yield f"firewall-cmd --permanent --add-rich-rule='{source} service name=\"{group.name}\" accept'"
            if _listed(group) != list(group.openings):
                yield f"firewall-cmd --permanent --add-rich-rule='{source} icmp-type name=\"echo-request\" accept'"
