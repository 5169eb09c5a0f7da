"""IPv4 addresses: static ones are this machine's own; leased ones are the server's to give (RFC 5227)."""

from __future__ import annotations

from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Claim, Finding, Kind, Profile, Stage, Values
from nodeprep.steps import Action, Fresh, SetProfile, Situation


def bare(addresses: tuple[str, ...]) -> Values:
    """Return addresses without their prefix lengths."""
    return frozenset(address.partition("/")[0] for address in addresses)


def static(machine: MachineView) -> Values:
    """Return the static addresses of the profiles in use."""
    links = {link.name for link in machine.links()}
    return bare(tuple(a for profile in machine.profiles() if profile.link in links for a in profile.ipv4_addresses))


def present(machine: MachineView) -> Values:
    """Return every address that this machine answers for, or would if nobody were in its way."""
    return static(machine) | frozenset(
        a.address for link in machine.links() for a in link.own_addresses if a.version == 4
    )


def holder(situation: Situation, values: Values) -> Profile | None:
    """Return the profile in use that sets one of the addresses."""
    links = {link.name for link in situation.links}
    used = (profile for profile in situation.profiles if profile.link in links)
    return next((profile for profile in used if bare(profile.ipv4_addresses) & values), None)


def leased_anew(situation: Situation, values: Values) -> tuple[Action, ...]:
    """Activate anew the profiles of the links that hold one of the addresses for a time."""
    doubled = {link.name for link in situation.links for a in link.addresses if a.dynamic and a.address in values}
    first = {profile.link: profile for profile in reversed(situation.profiles)}
    return tuple(SetProfile(first[link].key, link) for link in sorted(doubled) if link in first)


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Replace the doubled address by the one secured from the pool, or by a lease, as the policy says.

    A doubled lease is asked for anew: by then the client has an identity of its own.
    """
    profile = holder(situation, finding.values)
    if profile is None or profile.link is None:
        return leased_anew(situation, finding.values)
    kept = tuple(a for a in profile.ipv4_addresses if not bare((a,)) & finding.values)
    if situation.address_on_conflict == "dhcp":
        return (SetProfile(profile.key, profile.link, ipv4_addresses=kept),)
    if situation.address_on_conflict == "pool" and fresh.ipv4_address:
        return (SetProfile(profile.key, profile.link, ipv4_addresses=(fresh.ipv4_address, *kept)),)
    return ()


ARTEFACT = Artefact(
    name="ipv4-address",
    title="IPv4 addresses",
    reason="Two machines answer for one address.",
    kind=Kind.A,
    stage=Stage.MAIN,
    after=("mac",),
    observe=static,
    plan=plan,
    claim=Claim.IPV4,
    present=present,
)
