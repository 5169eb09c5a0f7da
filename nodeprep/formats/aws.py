"""AWS: permissions of a security group, for `aws ec2 authorize-security-group-ingress --ip-permissions file://FILE`.

JSON has no comments: what is open to anyone because nobody said from where says so in its description.
"""

from __future__ import annotations

import json
import re
from typing import Any

from nodeprep.formats.sheet import Sheet, Written, by_family, said
from nodeprep.model import ICMP_ECHO, IP_PROTOCOLS, Opening

DESCRIPTION_LENGTH = 255
ALL_CODES = -1
_ECHO = {"ipv4": ("icmp", 8), "ipv6": ("icmpv6", 128)}


def write(sheet: Sheet) -> Written:
    """Return a list of IpPermission."""
    return Written(json.dumps(permissions(sheet), indent=2) + "\n")


def permissions(sheet: Sheet) -> list[dict[str, Any]]:
    """Return the permissions, one of each protocol and range, since a group refuses what it has already."""
    made = []
    for opening in sheet.openings:
        families = by_family(opening.sources)
        if opening.protocol == ICMP_ECHO:
            for family, cidrs in families:
                protocol, kind = _ECHO[family]
                made.append(_permission(opening, protocol, (kind, ALL_CODES), ((family, cidrs),)))
        elif opening.ports:
            made.append(_permission(opening, opening.protocol, (opening.first_port, opening.last_port), families))
        else:
            made.append(_permission(opening, str(IP_PROTOCOLS[opening.protocol]), None, families))
    return made


def description(opening: Opening) -> str:
    """Return what is told of an opening, in the characters that AWS takes."""
    title = re.sub(r"[^A-Za-z0-9 ._:/()#,@\[\]+=&;{}!$*-]", "_", f"{opening.role}: {opening.purpose}")
    return said(title, opening.sources, DESCRIPTION_LENGTH)


def _permission(
    opening: Opening,
    protocol: str,
    ports: tuple[int, int] | None,
    families: tuple[tuple[str, tuple[str, ...]], ...],
) -> dict[str, Any]:
    keys = {"ipv4": ("IpRanges", "CidrIp"), "ipv6": ("Ipv6Ranges", "CidrIpv6")}
    made: dict[str, Any] = {"IpProtocol": protocol}
    if ports:
        made |= {"FromPort": ports[0], "ToPort": ports[1]}
    for family, cidrs in families:
        ranges, key = keys[family]
        made[ranges] = [{key: cidr, "Description": description(opening)} for cidr in cidrs]
    return made
