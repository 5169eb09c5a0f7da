"""nft: a chain for the operator's own table, in the language of nft(8).

An accept in another table opens nothing that this one drops, so the chain goes where Debian's /etc/nftables.conf has
its input chain. Loading it again replaces it.
"""

from __future__ import annotations

from collections.abc import Iterator

from nodeprep.formats.sheet import UNKNOWN, Sheet, Written, by_family
from nodeprep.model import ICMP_ECHO, IP_PROTOCOLS, Opening

CHAIN = "inet filter nodeprep"
COMMENT_BYTES = 127
_SADDR = {"ipv4": "ip", "ipv6": "ip6"}
_ECHO = {"ipv4": "icmp type echo-request", "ipv6": "icmpv6 type echo-request"}


def write(sheet: Sheet) -> Written:
    """Return a file for `nft -f`."""
    lines = [
        f"# Openings of {', '.join(sheet.roles)}. Load it with `nft -f`; your input chain takes it in with",
        "#   nft insert rule inet filter input jump nodeprep",
        "add table inet filter",
        f"add chain {CHAIN}",
        f"flush chain {CHAIN}",
        *(line for opening in sheet.openings for line in _rules(opening)),
    ]
    return Written("\n".join((*lines, "")))


def _rules(opening: Opening) -> Iterator[str]:
    text = f"{opening.role}: {opening.purpose}".replace('"', "'").encode()[:COMMENT_BYTES].decode(errors="ignore")
    if not opening.sources:
        yield f"# {opening.title} {UNKNOWN}"
        for match in dict.fromkeys(_match(opening, family) for family in _SADDR):
            yield f'add rule {CHAIN} {match} accept comment "{text}"'
        return
    for family, cidrs in by_family(opening.sources):
        source = f"{_SADDR[family]} saddr {{ {', '.join(cidrs)} }}"
        yield f'add rule {CHAIN} {source} {_match(opening, family)} accept comment "{text}"'


def _match(opening: Opening, family: str) -> str:
    if opening.protocol == ICMP_ECHO:
        return _ECHO[family]
    if opening.protocol in IP_PROTOCOLS:
        return f"meta l4proto {IP_PROTOCOLS[opening.protocol]}"
    return f"{opening.protocol} dport {opening.ports}"
