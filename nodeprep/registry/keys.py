"""Keys: where in the registry what is kept.

No identity is: a claim's key is the token that peers see, made with the fleet key (`peers/message.py`), and its value
is an owner, which is random.
"""

from __future__ import annotations

import hmac
from collections.abc import Mapping
from dataclasses import dataclass

from nodeprep.model import Claim, Observation, Values
from nodeprep.peers import message as codec

CLAIMED = {
    Claim.MACHINE_ID: "machine-id",
    Claim.HOSTNAME: "hostname",
    Claim.IPV4: "ipv4-address",
    Claim.IPV6: "ipv6-address",
}
"""Claim → the artefact whose observed values are claimed: of addresses the static ones only."""


@dataclass(frozen=True, slots=True)
class Keys:
    """The keys below one prefix."""

    prefix: str
    fleet_key: bytes
    others: tuple[bytes, ...] = ()
    """Further keys that are accepted while one follows the other: what is claimed, is claimed under these as well."""

    @property
    def fleet(self) -> str:
        """The key under which lies which fleet key made all others."""
        return f"{self.prefix}fleet"

    @property
    def successor(self) -> str:
        """The key under which lies which fleet key is going to follow."""
        return f"{self.prefix}successor"

    @property
    def seal(self) -> str:
        """What lies there: nobody can tell the key from it."""
        return hmac.digest(self.fleet_key, b"nodeprep registry 1 fleet", "sha256")[:16].hex()

    def owner(self, owner: str) -> str:
        """Return the key of an owner's record."""
        return f"{self.prefix}owner/{owner}"

    def question(self, owner: str) -> str:
        """Return the key under which an owner is asked whether it runs."""
        return f"{self.prefix}question/{owner}"

    def claim(self, claim: Claim, value: str) -> str:
        """Return the key of a claim to one value."""
        return self._claim(self.fleet_key, claim, value)

    def _claim(self, fleet_key: bytes, claim: Claim, value: str) -> str:
        token = codec.claim(fleet_key, codec.ClaimKind[claim.name], value).token.hex()
        return f"{self.prefix}claim/{CLAIMED[claim]}/{token}"

    def claims(self, claims: Mapping[Claim, Values]) -> dict[str, tuple[Claim, str]]:
        """Return key → claim and value for all of them."""
        return {
            self._claim(fleet_key, claim, value): (claim, value)
            for fleet_key in (self.fleet_key, *self.others)
            for claim, values in claims.items()
            for value in sorted(values)
        }


def claims_of(observation: Observation) -> dict[Claim, Values]:
    """Return what of a machine's identity is claimed: one of each value in the whole fleet."""
    readings = {claim: observation.get(name) for claim, name in CLAIMED.items()}
    return {claim: values for claim, values in readings.items() if isinstance(values, frozenset) and values}
