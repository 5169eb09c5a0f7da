"""Sheet: what is written down, and how the formats that name their rules put it together."""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import blake2s
from typing import NamedTuple

from nodeprep.model import Opening

UNKNOWN = "from anyone, since [cluster] does not say from where"
ANYONE = ("0.0.0.0/0", "::/0")
NAME_LENGTH = 55
"""With a suffix still within the 63 characters of a label (RFC 1035), which the names of some clouds are."""


@dataclass(frozen=True, slots=True)
class Sheet:
    """The openings of some roles, together and of each by itself."""

    openings: tuple[Opening, ...]
    by_role: tuple[tuple[str, tuple[Opening, ...]], ...]

    @property
    def roles(self) -> tuple[str, ...]:
        """The names of the roles, and of what is opened beside them."""
        return tuple(name for name, _ in self.by_role)

    @property
    def unknown(self) -> tuple[Opening, ...]:
        """Those of which nobody said from where they are reached."""
        return tuple(opening for opening in self.openings if not opening.sources)


class Written(NamedTuple):
    """A text, and what could not be said in it."""

    text: str
    left_out: tuple[str, ...] = ()


class Group(NamedTuple):
    """Openings of one role that the same sources reach, under a name that no other group has."""

    name: str
    role: str
    openings: tuple[Opening, ...]
    sources: tuple[str, ...]

    @property
    def title(self) -> str:
        """What a person reads."""
        return f"{self.role}: {'; '.join(dict.fromkeys(opening.purpose for opening in self.openings))}"


def groups(sheet: Sheet) -> tuple[Group, ...]:
    """Return the openings by role and sources; a role whose openings differ in sources names who needs them."""
    found = []
    for role, openings in sheet.by_role:
        by_sources: dict[tuple[str, ...], list[Opening]] = {}
        for opening in openings:
            by_sources.setdefault(opening.sources, []).append(opening)
        for sources, alike in by_sources.items():
            words = sorted({word for opening in alike for word in opening.needed_by}) if len(by_sources) > 1 else []
            found.append(Group(_short("-".join(("nodeprep", role, *words))), role, tuple(alike), sources))
    return tuple(found)


def by_family(sources: tuple[str, ...]) -> tuple[tuple[str, tuple[str, ...]], ...]:
    """Return "ipv4" and "ipv6" with the sources of each, without a family that has none; all where nobody said."""
    ipv4 = tuple(cidr for cidr in sources or ANYONE if ":" not in cidr)
    ipv6 = tuple(cidr for cidr in sources or ANYONE if ":" in cidr)
    return tuple((family, cidrs) for family, cidrs in (("ipv4", ipv4), ("ipv6", ipv6)) if cidrs)


def said(title: str, sources: tuple[str, ...], length: int = 1000) -> str:
    """Return what is told beside a rule, no longer than that; that nobody named the sources is never cut off."""
    note = "" if sources else f" ({UNKNOWN})"
    return title[: length - len(note)] + note


def _short(name: str) -> str:
    """Return a name as it is, or cut to NAME_LENGTH and told apart by a digest of what was cut."""
    if len(name) <= NAME_LENGTH:
        return name
    return f"{name[: NAME_LENGTH - 5].rstrip('-')}-{blake2s(name.encode(), digest_size=2).hexdigest()}"
