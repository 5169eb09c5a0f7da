"""Sheets of the roles that are shipped, as `nodeprep ports` makes them."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TypeAlias

from nodeprep.cluster import Cluster, Ports
from nodeprep.formats.sheet import Sheet
from nodeprep.model import Opening
from nodeprep.roles import Need, Role, openings, parse

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

FOLDER = Path(__file__).parents[2] / "config" / "roles.d"
SHIPPED = tuple(sorted(path.stem for path in FOLDER.glob("*.toml")))
KNOWN = Cluster(
    ("10.77.0.0/24", "fd77::/64"),
    ("192.0.2.0/24", "2001:db8::/32"),
    load_balancers=("198.51.100.7/32",),
    pods=("10.42.0.0/16",),
    metrics_from=("10.77.0.9/32",),
)
"""A cluster of which everything is said, in both families of addresses."""
NOBODY_SAID = Cluster()
HOSTILE = "a \"b\" 'c' $(touch /tmp/x) `id` ${d} %{e} \\ ä; <f> & #"
"""A purpose that each language would take for something else, if it were not quoted."""


def shipped(name: str) -> Role:
    """Return a role that is shipped."""
    return parse(name, tomllib.loads((FOLDER / f"{name}.toml").read_text(encoding="utf-8")), name)


def sheet(*roles: str | Role, cluster: Cluster = KNOWN) -> Sheet:
    """Return the sheet of these roles."""
    chosen = tuple(shipped(role) if isinstance(role, str) else role for role in roles)
    return Sheet(
        openings(chosen, cluster, Ports()),
        tuple((role.name, openings((role,), cluster, Ports())) for role in chosen),
    )


def hostile() -> Role:
    """Return an operator's own role with such a purpose, and one of every protocol."""
    return Role(
        "hostile",
        "Hostile",
        (
            Need("tcp", 8443, 8443, HOSTILE, ("clients",)),
            Need("udp", 9000, 9100, HOSTILE * 9, ("nodes",)),
            *(Need(each, 0, 0, HOSTILE, ("nodes",)) for each in ("ip-in-ip", "esp", "vrrp", "icmp-echo")),
        ),
    )


EVERY = (*SHIPPED, "hostile")


def every(name: str, cluster: Cluster = KNOWN) -> Sheet:
    """Return the sheet of one of EVERY, or of "all" that are shipped together."""
    if name == "all":
        return sheet(*SHIPPED, cluster=cluster)
    return sheet(hostile() if name == "hostile" else name, cluster=cluster)


Entry: TypeAlias = tuple[str, int, int, str]
"""Protocol, first and last port, source."""
Told: TypeAlias = frozenset[Entry]
"""What a reader of any format should find."""


def told(openings: tuple[Opening, ...]) -> Told:
    """Return what openings say, one of each source; where nobody said, of every address there is."""
    return frozenset(
        (opening.protocol, opening.first_port, opening.last_port, source)
        for opening in openings
        for source in opening.sources or ("0.0.0.0/0", "::/0")
    )
