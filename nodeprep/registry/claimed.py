"""Claimed: who claims, what came of it, and what is to be said of that where nothing is renewed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from nodeprep.model import Claim, Values

Claims = Mapping[Claim, Values]
Troubles = tuple[tuple[str, str], ...]
"""What keeps a machine from being called ready: codes and details."""


@dataclass(frozen=True, slots=True)
class Speaker:
    """Who wants to claim."""

    machine: str
    """The fingerprint of its machine ID."""
    template: Values = frozenset()
    """Fingerprints of machine IDs that are a template's."""
    renews: bool = False
    insists: bool = False
    """An operator has said that this is the machine itself: what a silent holder has is taken over."""


@dataclass(slots=True)
class Claimed:
    """What others have of what was claimed; nothing, if all is ours."""

    lost: dict[Claim, Values] = field(default_factory=dict)
    doubted: dict[Claim, Values] = field(default_factory=dict)
    """Held by somebody that does not answer."""
    is_copy: bool = False
    """That somebody is another copy of this disk."""

    def __bool__(self) -> bool:
        """Whether anything is not ours."""
        return bool(self.lost or self.doubted)

    def add(self, claim: Claim, value: str, *, lost: bool) -> None:
        """Note that another has a value."""
        into = self.lost if lost else self.doubted
        into[claim] = into.get(claim, frozenset()) | {value}

    def troubles(self, where: str) -> Troubles:
        """Return what is to be said of it; where: the registry."""
        if self.is_copy:
            return (("registry-copy", f"another copy of this machine speaks for what it claims in {where}"),)
        found = [*self.lost.items(), *self.doubted.items()]
        return tuple(
            ("claimed", f"{claim.value}{_shown(claim, values)}: another machine has claimed it in {where}")
            for claim, values in found
        )


def _shown(claim: Claim, values: Values) -> str:
    """Return values as anybody may see them: a machine ID is confidential (machine-id(5))."""
    return "" if claim is Claim.MACHINE_ID else f" {', '.join(sorted(values))}"
