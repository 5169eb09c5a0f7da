"""Contest: what came of probing what a machine presents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nodeprep.model import Claim, Values


@dataclass(slots=True)
class Contest:
    """What came of probing: the values lost to, kept against or disputed with live peers."""

    clear: bool = False
    lost: dict[Claim, Values] = field(default_factory=dict)
    kept: dict[Claim, Values] = field(default_factory=dict)
    disputed: dict[Claim, Values] = field(default_factory=dict)
    deaf: str = ""  # why nobody could be asked, and the silence says nothing
    on_segment: bool = False
    """Somebody that it was lost to, or is disputed with, was heard on a link, and not beyond routers only."""


def add(into: dict[Claim, Values], more: Mapping[Claim, Values]) -> None:
    """Add values to those that are there."""
    for claim, values in more.items():
        into[claim] = into.get(claim, frozenset()) | values
