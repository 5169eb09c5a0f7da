"""Services: openings under the names that firewalld and ufw list them by, nodeprep-ROLE. Pure.

One name stands for one set of sources, because neither program narrows a part of a service: what of a role others may
reach is under nodeprep-ROLE-from-WORDS, in the words of roles.REACHED_FROM.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network

from nodeprep.errors import HostError
from nodeprep.model import Opening

PREFIX = "nodeprep-"
"""Of names that are ours."""


@dataclass(frozen=True, slots=True)
class Service:
    """Openings of one role for one set of sources."""

    name: str
    role: str
    purpose: str
    sources: tuple[IPv4Network | IPv6Network, ...]
    """Empty for anyone."""
    openings: tuple[Opening, ...]


def services(openings: Iterable[Opening]) -> tuple[Service, ...]:
    """Return the services of these openings, sorted by name; one that several roles need is in those of each.

    Raises HostError for a source that is no CIDR.
    """
    groups: dict[tuple[str, tuple[IPv4Network | IPv6Network, ...]], list[Opening]] = {}
    for opening in openings:
        try:
            networks = tuple(ip_network(cidr) for cidr in opening.sources)
        except ValueError as error:
            raise HostError(f"source of an opening: {error}") from error
        for role in opening.role.split(", "):
            groups.setdefault((role, networks), []).append(opening)
    made = []
    for (role, sources), group in groups.items():
        rest = [other for other in groups if other[0] == role and other != (role, sources)]
        # What anyone may reach bears the role's own name, and so does a role of one set of sources only.
        words = dict.fromkeys(word for opening in group for word in opening.needed_by) if sources and rest else {}
        name = f"{PREFIX}{role}" + (f"-from-{'-'.join(words)}" if words else "")
        purpose = "; ".join(dict.fromkeys(opening.purpose for opening in group))
        made.append(Service(name, role, purpose, sources, tuple(group)))
    return tuple(sorted(made, key=lambda service: service.name))
