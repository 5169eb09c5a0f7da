"""Tuples: ufw's rules as user.rules lists them before it makes rules of iptables of them. Pure.

The words of one are action, protocol, ports, destination, the source's ports, source, and then profiles and direction.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from ipaddress import ip_network

from nodeprep.host.firewall.passage import Network
from nodeprep.model import Opening

ANY = {4: "0.0.0.0/0", 6: "::/0"}


def listed(text: str) -> Iterator[list[str]]:
    """Yield the words of each rule of a file."""
    for line in text.splitlines():
        if line.startswith("### tuple ###"):
            yield line.split()[3:]


def covers(words: Sequence[str], opening: Opening, source: Network | None) -> bool:
    """Say whether a rule is about some of the ports of an opening, from a source.

    Without one: from anywhere, or from one of the opening's own.
    """
    if words[0].startswith("route:") or words[1] not in ("any", opening.protocol) or words[3] not in ANY.values():
        return False
    if source:
        network = ip_network(words[5], strict=False)
        if network.version != source.version or source.network_address not in network:
            return False
    elif words[5] not in (*ANY.values(), *opening.sources):
        return False
    ranges = (part.partition(":") for part in words[2].split(",") if part[:1].isdigit())
    return words[2] == "any" or any(
        int(first) <= opening.last_port and opening.first_port <= int(last or first) for first, _, last in ranges
    )


def spoken(words: Sequence[str]) -> str:
    """Return a rule in the words in which ufw is told of it, and told to delete it (ufw(8))."""
    action, protocol, ports, destination, _, source = words[:6]
    action = action.replace("_", " ")
    if destination in ANY.values() and source in ANY.values() and ports != "any":
        return f"{action} {ports}" + (f"/{protocol}" if protocol != "any" else "")
    ends = [" any" if each in ANY.values() else f" {each}" for each in (source, destination)]
    port = f" port {ports}" if ports != "any" else ""
    return f"{action} from{ends[0]} to{ends[1]}{port}" + (f" proto {protocol}" if protocol != "any" else "")
