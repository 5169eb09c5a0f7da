"""IPv6 addresses: made from machine ID, secret key and MAC, and therefore renewed with these (RFC 4862, RFC 7217)."""

from __future__ import annotations

from nodeprep.artefacts.ipv4_address import bare
from nodeprep.machine import MachineView
from nodeprep.model import Artefact, Claim, Finding, Kind, Stage, Values
from nodeprep.steps import Action, Fresh, SetProfile, Situation


def static(machine: MachineView) -> Values:
    """Return the static addresses of the profiles in use."""
    links = {link.name for link in machine.links()}
    return bare(tuple(a for profile in machine.profiles() if profile.link in links for a in profile.ipv6_addresses))


def present(machine: MachineView) -> Values:
    """Return every address that this machine answers for, link-local ones too, or would if nobody were in its way.

    The kernel takes away a static address that its own detection found on somebody else.
    """
    return static(machine) | frozenset(
        a.address for link in machine.links() for a in link.own_addresses if a.version == 6 and not a.dad_failed
    )


def plan(finding: Finding, fresh: Fresh, situation: Situation) -> tuple[Action, ...]:
    """Replace a doubled static address from the pool; activate anew where the address is a made one."""
    used = {link.name: link for link in situation.links}
    for profile in situation.profiles:
        if profile.link is None or profile.link not in used:
            continue
        kept = tuple(a for a in profile.ipv6_addresses if not bare((a,)) & finding.values)
        if len(kept) < len(profile.ipv6_addresses):
            if situation.address_on_conflict == "dhcp":
                return (SetProfile(profile.key, profile.link, ipv6_addresses=kept),)
            if situation.address_on_conflict == "pool" and fresh.ipv6_address:
                return (SetProfile(profile.key, profile.link, ipv6_addresses=(fresh.ipv6_address, *kept)),)
            return ()
        if any(address.address in finding.values for address in used[profile.link].addresses):
            return (SetProfile(profile.key, profile.link),)
    return ()


ARTEFACT = Artefact(
    name="ipv6-address",
    title="IPv6 addresses",
    reason="Two machines answer for one address.",
    kind=Kind.A,
    stage=Stage.MAIN,
    after=("mac",),
    observe=static,
    plan=plan,
    claim=Claim.IPV6,
    present=present,
)
