"""A doubled lease is asked for anew, where somebody has the link in hand; other addresses are left to the policy."""

from __future__ import annotations

from nodeprep.artefacts.ipv4_address import plan
from nodeprep.model import Finding, Link, LinkAddress, Profile, Verdict
from nodeprep.steps import Fresh, SetProfile, Situation

FRESH = Fresh("f" * 32, b"", "02:00:00:00:00:07", "/staging")
LEASED = LinkAddress("10.77.0.200", 24, "global", dynamic=True)
LINK = Link("eth0", 2, "52:54:00:77:00:10", None, carrier=True, addresses=(LEASED,))
PROFILES = (Profile("networkd:/etc/lan", "lan", "eth0", None), Profile("second", "second", "eth0", None))


def planned(address: str, link: Link = LINK, profiles: tuple[Profile, ...] = PROFILES) -> object:
    finding = Finding("ipv4-address", Verdict.CONFLICT, frozenset({address}))
    return plan(finding, FRESH, Situation(links=(link,), profiles=profiles))


def test_the_first_profile_of_the_link_is_activated_anew() -> None:
    assert planned("10.77.0.200") == (SetProfile("networkd:/etc/lan", "eth0"),)


def test_what_is_not_leased_is_not_asked_for() -> None:
    static = Link(
        "eth0", 2, "52:54:00:77:00:10", None, carrier=True, addresses=(LinkAddress("10.0.0.1", 24, "global"),)
    )
    assert planned("10.0.0.1", static) == ()
    assert planned("10.77.0.201") == ()


def test_a_link_that_nobody_has_in_hand_is_left_alone() -> None:
    assert planned("10.77.0.200", profiles=()) == ()
