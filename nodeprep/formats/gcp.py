"""GCP: firewall rules of a VPC network, for machines that bear the tag `nodeprep-ROLE`.

A rule is of one family of addresses. A protocol is all that it can say of ICMP.
"""

from __future__ import annotations

from shlex import quote
from typing import NamedTuple

from nodeprep.formats.sheet import UNKNOWN, Group, Sheet, Written, by_family, groups, said
from nodeprep.model import ICMP_ECHO, IP_PROTOCOLS, Opening

ALL_OF_ICMP = "icmp-echo: a rule of GCP lets in all of ICMP, not only echo requests"
_ICMP = {"ipv4": "icmp", "ipv6": "58"}


class Rule(NamedTuple):
    """A firewall rule."""

    name: str
    tag: str
    description: str
    known: bool
    sources: tuple[str, ...]
    allowed: tuple[tuple[str, tuple[str, ...]], ...]
    """Protocols, and the ports of those that have any."""


def write(sheet: Sheet) -> Written:
    """Return command lines of gcloud(1), for the network that the variable NETWORK names."""
    left_out = echoes(sheet)
    lines = [f"# {each}" for each in left_out]
    for rule in rules(sheet):
        lines += ["", *([] if rule.known else [f"# {UNKNOWN}"]), _command(rule)]
    return Written("\n".join((*lines, "")).lstrip("\n"), left_out)


def rules(sheet: Sheet) -> tuple[Rule, ...]:
    """Return the rules."""
    return tuple(
        Rule(
            name=f"{group.name}-{family}",
            tag=f"nodeprep-{group.role}",
            description=said(group.title, group.sources),
            known=bool(group.sources),
            sources=cidrs,
            allowed=_allowed(group, family),
        )
        for group in groups(sheet)
        for family, cidrs in by_family(group.sources)
    )


def echoes(sheet: Sheet) -> tuple[str, ...]:
    """Return what is to be told of openings for echo requests, if there are any."""
    return (ALL_OF_ICMP,) if any(opening.protocol == ICMP_ECHO for opening in sheet.openings) else ()


def _allowed(group: Group, family: str) -> tuple[tuple[str, tuple[str, ...]], ...]:
    ports: dict[str, list[str]] = {}
    for opening in group.openings:
        ports.setdefault(_protocol(opening, family), []).extend([opening.ports] if opening.ports else [])
    return tuple((protocol, tuple(each)) for protocol, each in ports.items())


def _protocol(opening: Opening, family: str) -> str:
    if opening.protocol == ICMP_ECHO:
        return _ICMP[family]
    return str(IP_PROTOCOLS.get(opening.protocol, opening.protocol))


def _command(rule: Rule) -> str:
    allowed = ",".join(
        each for protocol, ports in rule.allowed for each in ([f"{protocol}:{port}" for port in ports] or [protocol])
    )
    return " ".join(
        (
            f"gcloud compute firewall-rules create {rule.name}",
            '--network="${NETWORK:-default}"',
            "--direction=INGRESS --action=ALLOW",
            f"--rules={allowed}",
            f"--source-ranges={','.join(rule.sources)}",
            f"--target-tags={rule.tag}",
            f"--description={quote(rule.description)}",
        )
    )
