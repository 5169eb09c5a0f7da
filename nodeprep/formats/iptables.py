"""iptables: a chain of rules for iptables-restore(8) and ip6tables-restore(8), which each pass over the other's.

A chain that is declared is emptied, so that loading it again replaces it; `--noflush` leaves all others alone.
"""

from __future__ import annotations

from collections.abc import Iterator

from nodeprep.formats.sheet import UNKNOWN, Sheet, Written, by_family
from nodeprep.model import ICMP_ECHO, IP_PROTOCOLS, Opening

CHAIN = "NODEPREP"
COMMENT_BYTES = 255
_FAMILY = {"ipv4": "-4 ", "ipv6": "-6 "}
_ECHO = {"ipv4": "-p icmp --icmp-type echo-request", "ipv6": "-p ipv6-icmp --icmpv6-type echo-request"}


def write(sheet: Sheet) -> Written:
    """Return one file for both programs."""
    lines = [
        f"# Openings of {', '.join(sheet.roles)}. Without --noflush all other rules are lost. INPUT takes it in:",
        "#   iptables-restore --noflush FILE; ip6tables-restore --noflush FILE",
        f"#   iptables -I INPUT -j {CHAIN}; ip6tables -I INPUT -j {CHAIN}",
        "*filter",
        f":{CHAIN} - [0:0]",
        *(line for opening in sheet.openings for line in _rules(opening)),
        "COMMIT",
    ]
    return Written("\n".join((*lines, "")))


def _rules(opening: Opening) -> Iterator[str]:
    text = f"{opening.role}: {opening.purpose}".replace("\\", "/").replace('"', "'")
    text = text.encode()[:COMMENT_BYTES].decode(errors="ignore")
    end = f'-m comment --comment "{text}" -j ACCEPT'
    if not opening.sources:
        yield f"# {opening.title} {UNKNOWN}"
        for family in _FAMILY if opening.protocol == ICMP_ECHO else ("",):
            yield f"{_FAMILY.get(family, '')}-A {CHAIN} {_match(opening, family)} {end}"
        return
    for family, cidrs in by_family(opening.sources):
        for cidr in cidrs:
            yield f"{_FAMILY[family]}-A {CHAIN} -s {cidr} {_match(opening, family)} {end}"


def _match(opening: Opening, family: str) -> str:
    if opening.protocol == ICMP_ECHO:
        return _ECHO[family]
    if opening.protocol in IP_PROTOCOLS:
        return f"-p {IP_PROTOCOLS[opening.protocol]}"
    return f"-p {opening.protocol} --dport {opening.ports.replace('-', ':')}"
