"""Azure: rules of a network security group.

A rule is of one protocol and of one family of addresses. Of the protocols without ports it knows ICMP, AH and ESP;
Azure's networks carry no IP in IP at all.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from shlex import quote
from typing import NamedTuple

from nodeprep.formats.sheet import UNKNOWN, Group, Sheet, Written, by_family, groups, said

FIRST_PRIORITY = 1000
BETWEEN = 10
DESCRIPTION_LENGTH = 140
PROTOCOLS = {"tcp": "Tcp", "udp": "Udp", "icmp-echo": "Icmp", "esp": "Esp"}


class Rule(NamedTuple):
    """A security rule."""

    name: str
    priority: int
    protocol: str
    sources: tuple[str, ...]
    """"*" alone where nobody said."""
    ports: tuple[str, ...]
    description: str


def write(sheet: Sheet) -> Written:
    """Return command lines of az(1), for the group that the variables RESOURCE_GROUP and NSG name."""
    left_out = unsaid(sheet)
    lines = [f"# {each}" for each in left_out]
    for rule in rules(sheet):
        lines += ["", *([f"# {UNKNOWN}"] if rule.sources == ("*",) else []), _command(rule)]
    return Written("\n".join((*lines, "")).lstrip("\n"), left_out)


def rules(sheet: Sheet) -> tuple[Rule, ...]:
    """Return the rules; a priority is a rule's alone in its group."""
    priorities = count(FIRST_PRIORITY, BETWEEN)
    return tuple(rule for group in groups(sheet) for rule in _rules(group, priorities))


def unsaid(sheet: Sheet) -> tuple[str, ...]:
    """Return what no rule of Azure says."""
    missing = [
        f"{opening.title}: no rule of Azure is of this protocol, and its networks do not carry IP in IP"
        if opening.protocol == "ip-in-ip"
        else f"{opening.title}: no rule of Azure is of this protocol"
        for opening in sheet.openings
        if opening.protocol not in PROTOCOLS
    ]
    echo = [
        "icmp-echo: a rule of Azure lets in all of ICMP, not only echo requests"
        for opening in sheet.openings
        if opening.protocol == "icmp-echo"
    ]
    return (*missing, *echo)


def _rules(group: Group, priorities: Iterator[int]) -> Iterator[Rule]:
    families = by_family(group.sources) if group.sources else (("any", ("*",)),)
    description = said(group.title, group.sources, DESCRIPTION_LENGTH)
    for family, sources in families:
        for word, protocol in PROTOCOLS.items():
            alike = [opening for opening in group.openings if opening.protocol == word]
            if alike:
                ports = tuple(opening.ports for opening in alike if opening.ports) or ("*",)
                name = f"{group.name}-{protocol.lower()}-{family}"
                yield Rule(name, next(priorities), protocol, sources, ports, description)


def _command(rule: Rule) -> str:
    return " ".join(
        (
            'az network nsg rule create --resource-group "${RESOURCE_GROUP:?}" --nsg-name "${NSG:?}"',
            f"--name {rule.name} --priority {rule.priority}",
            f"--direction Inbound --access Allow --protocol {rule.protocol}",
            f"--source-address-prefixes {' '.join(map(quote, rule.sources))}",
            f"--destination-port-ranges {' '.join(map(quote, rule.ports))}",
            f"--description {quote(rule.description)}",
        )
    )
